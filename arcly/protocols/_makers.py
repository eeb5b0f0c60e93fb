"""Who makes what WebRTC does not carry: begun by the first viewer of a stream, ended a while behind the last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from arcly._native import StreamHandle as NativeStream
from arcly._native import StreamKey, Track
from arcly.protocols import _made
from arcly.protocols._made import Made, Tell
from arcly.protocols._pictures import PicturesInOrder, reordered_pictures
from arcly.protocols._sound import OpusSound, foreign_sound

log = logging.getLogger("arcly")

LOOK_S = 5.0
KEPT_LOOKS = 6
"""What is made goes on for half a minute behind its last viewer."""

RETRY_S = 60.0
"""What has failed is not begun anew for so long, however many ask: it would most likely fail again, and say so."""

Maker = type[OpusSound] | type[PicturesInOrder]


class Makers:
    """What is made of streams for the viewers of WebRTC.

    Args:
        watched: returns the streams that somebody watches.
        tell: is told of begins and ends, from any thread.
    """

    def __init__(self, watched: Callable[[], set[StreamKey]], tell: Tell) -> None:
        self._watched = watched
        self._tell = tell
        self._made: dict[tuple[StreamKey, Maker], tuple[int, Made, float]] = {}
        """By stream and maker: the stream's session, what is made, and when it was begun."""
        self._tidying: asyncio.Task[None] | None = None

    def opus_of(self, session: int, stream: NativeStream) -> Made | None:
        """Return the sound of a stream as Opus, where it has to be made and can be."""
        track = foreign_sound(stream.tracks)
        return self._make(session, stream, track, OpusSound) if track and _made.is_available() else None

    def in_order_of(self, session: int, stream: NativeStream) -> Made | None:
        """Return the pictures of a stream in order, where they have to be made and can be."""
        track = reordered_pictures(stream.tracks)
        if track and not _made.is_available():
            log.warning("[webrtc] %s: B-frames are left out: PyAV is not installed (pip install arcly[av])", stream.key)
        return self._make(session, stream, track, PicturesInOrder) if track and _made.is_available() else None

    def stop(self) -> None:
        """End all of it."""
        if self._tidying is not None:
            self._tidying.cancel()
        for _, made, _ in self._made.values():
            made.stop()
        self._made.clear()

    def _make(self, session: int, stream: NativeStream, track: Track, maker: Maker) -> Made | None:
        """Return what is made of a track; None where that has failed lately."""
        now = time.monotonic()
        known = self._made.get((stream.key, maker))
        if known is not None and known[0] == session:
            _, made, since = known
            if made.runs:
                return made
            if made.failed and now - since < RETRY_S:
                return None
        made = maker(stream, track, self._tell)
        self._made[stream.key, maker] = (session, made, now)
        log.info("[webrtc] %s: %s", stream.key, made)
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())
        return made

    async def _tidy(self) -> None:
        """End what nobody has taken for a while and forget what has ended, until there is nothing."""
        idle: dict[StreamKey, int] = {}
        while self._made:
            await asyncio.sleep(LOOK_S)
            watched = self._watched()
            idle = {key: 0 if key in watched else idle.get(key, 0) + 1 for key, _ in self._made}
            for (key, maker), (_, made, since) in list(self._made.items()):
                is_remembered = made.failed and time.monotonic() - since < RETRY_S
                if idle[key] > KEPT_LOOKS or (not made.runs and not is_remembered):
                    made.stop()
                if not made.runs and not is_remembered:
                    del self._made[key, maker]
