"""What happens to streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from arcly._native import EventQueue, StreamKey, Track

log = logging.getLogger("arcly")


class StreamEventKind(StrEnum):
    """What can happen to a stream."""

    PUBLISH_STARTED = "publish_started"
    """A publisher has taken the key. Tracks and frames may follow."""

    TRACKS_CHANGED = "tracks_changed"
    """The first frame under these tracks was published: the codecs are known, or have changed."""

    PUBLISH_INTERRUPTED = "publish_interrupted"
    """The publisher is gone, and the stream waits for it (`AppSpec.reconnect_grace_s`); `reason` says why."""

    PUBLISH_RESUMED = "publish_resumed"
    """A publisher has come back within the grace time and goes on in the same stream."""

    PUBLISH_ENDED = "publish_ended"
    """The stream is over and the key is free again; `reason` says why."""

    SUBSCRIBER_JOINED = "subscriber_joined"
    """Somebody watches from now on; `reason` says how: `hls`, `python`."""

    SUBSCRIBER_LEFT = "subscriber_left"
    """Somebody does not watch any more; `reason` says how it did. It may come after the end of the stream."""

    SUBSCRIBER_LAGGED = "subscriber_lagged"
    """A slow reader was made to skip; `reason` says how many frames."""

    SUBSCRIBER_EVICTED = "subscriber_evicted"
    """A reader has missed more than it may (`AppSpec.max_lag`); `reason` says how many frames in all."""

    GOP_TRUNCATED = "gop_truncated"
    """A GOP has outgrown what the stream may keep: joiners wait for the next key frame. Once in a GOP."""

    RECORDING_STARTED = "recording_started"
    """A recording has begun; `reason` says where it goes."""

    RECORDING_ENDED = "recording_ended"
    """A recording is complete or was given up; `reason` says what came of it."""

    TRANSCODING_STARTED = "transcoding_started"
    """A transcoder has begun; `reason` names its renditions."""

    TRANSCODING_ENDED = "transcoding_ended"
    """A transcoder has ended; `reason` says why."""

    FAILED = "failed"
    """Something that belongs to the stream has failed, and the stream goes on; `reason` says what."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something that happened to a stream."""

    kind: StreamEventKind
    """What."""

    key: StreamKey
    """To which stream."""

    at_unix_ms: int
    """When, in milliseconds of Unix time."""

    reason: str | None = None
    """Why, or how much, for people."""

    tracks: tuple[Track, ...] = ()
    """The tracks; with `TRACKS_CHANGED`."""


class EventReader:
    """The events of one native queue."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    @property
    def dropped(self) -> int:
        """Events lost because too many were unread."""
        return self._queue.dropped

    def pop(self) -> StreamEvent | None:
        """Return the oldest unread event, or None."""
        native = self._queue.pop()
        if native is None:
            return None
        kind, key, at_unix_ms, reason, tracks = native
        return StreamEvent(StreamEventKind(kind), key, at_unix_ms, reason, tuple(tracks or ()))


LOSSES_EVERY_S = 1.0
"""So often somebody who must not miss a stream looks whether events were lost."""


async def after_losses(events: object, catch_up: Callable[[], None]) -> None:
    """Call `catch_up` whenever `events` says by `dropped` that some were lost, once a second at most; for ever."""
    lost = 0
    while True:
        await asyncio.sleep(LOSSES_EVERY_S)
        dropped = getattr(events, "dropped", 0)  # A registry of a host need not count.
        if dropped != lost:
            try:
                catch_up()
            except Exception:
                # Such as by a registry of the host that fails. The next look tries again.
                log.exception("the streams whose events were lost could not be found")
            else:
                lost = dropped
