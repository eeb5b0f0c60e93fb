"""What happens to streams."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arcly._native import EventQueue, StreamKey, Track


class StreamEventKind(StrEnum):
    """What can happen to a stream."""

    PUBLISH_STARTED = "publish_started"
    """A publisher has taken the key. Tracks and frames may follow."""

    TRACKS_CHANGED = "tracks_changed"
    """The first frame under these tracks was published: the codecs are known, or have changed."""

    PUBLISH_ENDED = "publish_ended"
    """The publisher is gone and the key is free again; `reason` says why."""


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
    """Why, for people; with `PUBLISH_ENDED`."""

    tracks: tuple[Track, ...] = ()
    """The tracks; with `TRACKS_CHANGED`."""


class EventReader:
    """The events of one native queue."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    def pop(self) -> StreamEvent | None:
        """Return the oldest unread event, or None."""
        native = self._queue.pop()
        if native is None:
            return None
        kind, key, at_unix_ms, reason, tracks = native
        return StreamEvent(StreamEventKind(kind), key, at_unix_ms, reason, tuple(tracks or ()))
