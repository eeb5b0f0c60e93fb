"""What WebRTC does not carry as it is, made into what it carries: once for all viewers of a stream, by PyAV.

It runs in a thread of its own: the loop and the native threads do not wait for it.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from arcly._bridge import private_session
from arcly._native import MediaFrame, PublishSession, StreamKey, Track
from arcly._native import StreamHandle as NativeStream
from arcly.errors import StreamError
from arcly.events import StreamEventKind
from arcly.subscription import Subscription

log = logging.getLogger("arcly")

LOOK_S = 0.5
"""How often the thread looks whether it is to end."""

Tell = Callable[[StreamEventKind, StreamKey, str], None]
"""What a registry that has events does with one: `Engine.emit`."""


@functools.cache
def is_available() -> bool:
    """Tell whether PyAV is installed (`pip install arcly[av]`)."""
    return importlib.util.find_spec("av") is not None


class Made(ABC):
    """A track of a stream in another coding, in a stream of its own with the times of the other.

    Args:
        stream: whose.
        track: which.
        what: what is made of it, for people: `Opus`.
        tell: is told of its begin and of its end, the latter from its thread.
    """

    def __init__(self, stream: NativeStream, track: Track, what: str, tell: Tell) -> None:
        self._session: PublishSession = private_session(stream.key)
        self._stream = stream
        self._track = track
        self._what = what
        self._tell = tell
        self._revision: int | None = None
        self._reason = "the stream has ended"
        self._ending = threading.Event()
        self.failed = False
        """Whether it has ended because it could not go on."""
        self.handle = self._session.handle

    def __str__(self) -> str:
        """Say what is made of what, for people."""
        made = "its sound is" if self._track.kind == "audio" else "its pictures are"
        return f"{made} made into {self._what} from {self._track.codec}"

    def start(self) -> None:
        """Begin."""
        text = f"{self._what} for WebRTC, from {self._track.codec}"
        self._tell(StreamEventKind.TRANSCODING_STARTED, self._stream.key, text)
        self._thread = threading.Thread(target=self._run, name=f"{self._what} {self._stream.key}", daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive() and not self._ending.is_set()

    def stop(self) -> None:
        """End it, soon."""
        self._ending.set()

    @abstractmethod
    def _make(self, subscription: Subscription) -> None:
        """Read, and publish what comes of it, until the stream ends or `_ending` is set."""

    def _run(self) -> None:
        reason = self._reason
        try:
            with Subscription(self._stream, tracks=[self._track.id], protocol="webrtc") as subscription:
                self._make(subscription)
            reason = self._reason
            if self._ending.is_set():
                reason = "nobody takes it any more"
        except StreamError:
            pass  # The stream has ended.
        except Exception as error:
            reason, self.failed = f"failed: {error!r}", True
            log.exception("[webrtc] %s: no %s is made any more", self._stream.key, self._what)
        finally:
            self._session.end(reason)
            self._tell(StreamEventKind.TRANSCODING_ENDED, self._stream.key, reason)

    def _has_changed(self, frame: MediaFrame) -> bool:
        """Tell whether the track is coded otherwise from this frame on: its frames do not say it."""
        if frame.revision == self._revision:
            return False
        self._revision, before = frame.revision, self._track
        self._track = now = next((track for track in frame.tracks if track.id == before.id), before)
        return (now.codec, now.config, now.clock_rate_hz) != (before.codec, before.config, before.clock_rate_hz)

    def _live(self, subscription: Subscription) -> Iterator[MediaFrame]:
        """Yield the frames that come, until it is to end."""
        while not self._ending.is_set():
            try:
                for frame in subscription.blocking(timeout_s=LOOK_S):
                    if self._ending.is_set():
                        return
                    yield frame
                return
            except TimeoutError:
                continue


def decoded(decoder: Any, frame: MediaFrame) -> list[Any]:
    """Return what comes out of a decoder of PyAV for a frame; nothing for one that is broken."""
    import av

    packet = av.Packet(bytes(frame))
    packet.pts, packet.dts = frame.pts, frame.dts
    try:
        return list(decoder.decode(packet))
    except av.error.InvalidDataError:
        return []
