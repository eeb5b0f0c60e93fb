"""For tests of what is built on arcly: a registry in plain Python, to the same contracts as the engine.

It is small and slow, keeps everything on the event loop, and shows what a host's own registry must do.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from arcly import contract
from arcly._native import StreamKey, Track
from arcly.errors import AlreadyPublishingError, ClosedError, MisuseError
from arcly.events import StreamEvent, StreamEventKind
from arcly.stream import StreamStats

FRAMES_KEPT = 1024
"""Frames that a stream keeps for late joiners and slow readers."""

EVENTS_UNREAD = 1024
"""Events that a listener may leave unread; then the oldest are dropped."""


class MemoryFrame(bytes):
    """One access unit: its bytes, and what `arcly.contract.MediaFrame` asks for."""

    number: int
    track: int
    tracks: tuple[Track, ...]
    pts: int
    dts: int
    duration: int
    is_key: bool
    is_discontinuity: bool


class MemoryStream:
    """A stream in memory: the last frames, and who waits for the next."""

    def __init__(self, key: StreamKey, session: int, protocol: str, peer: str | None) -> None:
        self.key, self.session, self.protocol, self.peer = key, session, protocol, peer
        self.started_unix_ms = time.time_ns() // 1_000_000
        self.tracks: tuple[Track, ...] = ()
        self.closed = False
        self._frames: deque[MemoryFrame] = deque(maxlen=FRAMES_KEPT)
        self._published = 0
        self._bytes = 0
        self._changed = asyncio.Event()

    @property
    def stats(self) -> StreamStats:
        """What has passed; rates are not measured here."""
        return StreamStats(0.0, 0.0, 0, self._published, self._bytes, 0, 0, 0)

    def append(self, frame: MemoryFrame) -> None:
        """Publish one frame."""
        frame.number = self._published
        self._published += 1
        self._bytes += len(frame)
        self._frames.append(frame)
        self._wake()

    def close(self) -> None:
        """End it for its readers, who still get what is there."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _begin(self) -> int:
        """Where a new reader begins: the newest key frame; anywhere without video; the next key frame else."""
        if not any(track.kind == "video" for track in self.tracks):
            return self._published - len(self._frames)
        keys = [frame.number for frame in self._frames if frame.is_key]
        return keys[-1] if keys else self._published

    def subscribe(self) -> AsyncIterator[MemoryFrame]:
        """Return a reader."""
        return self._read(self._begin())

    async def _read(self, position: int) -> AsyncIterator[MemoryFrame]:
        started = broken = False
        while True:
            changed = self._changed
            while position < self._published:
                oldest = self._published - len(self._frames)
                if position < oldest:
                    # The stream has overtaken this reader: what lies between is lost, and a decoder needs a key frame.
                    position, started, broken = max(self._begin(), oldest), False, True
                    continue
                frame = self._frames[position - oldest]
                position += 1
                started = started or frame.is_key or all(track.kind == "audio" for track in frame.tracks)
                if started:
                    yield _behind_a_gap(frame) if broken else frame
                    broken = False
            if self.closed:
                return
            await changed.wait()


def _behind_a_gap(frame: MemoryFrame) -> MemoryFrame:
    """Return the frame as it is for a reader that has missed the one before it; others read the same frame."""
    marked = copy.copy(frame)
    marked.is_discontinuity = True
    return marked


class MemorySession:
    """The right to publish one `MemoryStream`."""

    def __init__(self, registry: MemoryRegistry, stream: MemoryStream) -> None:
        self._registry = registry
        self.handle = stream
        self._tracks_are_news = False

    @property
    def key(self) -> StreamKey:
        """What is published."""
        return self.handle.key

    @property
    def active(self) -> bool:
        """Whether this session can still publish."""
        return not self.handle.closed

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Replace the tracks."""
        self._check()
        self.handle.tracks = tuple(tracks)
        self._tracks_are_news = True

    def publish(
        self,
        data: Any,
        *,
        track: int,
        pts: int,
        dts: int | None = None,
        duration: int = 0,
        key: bool = False,
        discontinuity: bool = False,
    ) -> None:
        """Publish one access unit; the bytes are copied."""
        self._check()
        if all(known.id != track for known in self.handle.tracks):
            raise MisuseError(f"the stream has no track {track}")
        frame = MemoryFrame(memoryview(data))
        frame.track, frame.tracks = track, self.handle.tracks
        frame.pts, frame.dts, frame.duration = pts, pts if dts is None else dts, duration
        frame.is_key, frame.is_discontinuity = key, discontinuity
        self.handle.append(frame)
        if self._tracks_are_news:
            self._tracks_are_news = False
            self._registry.emit(StreamEventKind.TRACKS_CHANGED, self.key, tracks=self.handle.tracks)

    def send(self, frame: contract.MediaFrame) -> None:
        """Publish a frame of another stream."""
        if self.handle.tracks != tuple(frame.tracks):
            self.set_tracks(frame.tracks)
        self.publish(
            frame,
            track=frame.track,
            pts=frame.pts,
            dts=frame.dts,
            duration=frame.duration,
            key=frame.is_key,
            discontinuity=frame.is_discontinuity,
        )

    def end(self, reason: str = "ended by the application") -> None:
        """End the stream. Idempotent."""
        if self.active:
            self._registry.remove(self.handle, reason)

    def _check(self) -> None:
        if not self.active:
            raise ClosedError("the session has ended")


class MemoryRegistry:
    """A `PublishRegistry`, `PlaybackRegistry` and `EventBus` in memory."""

    def __init__(self) -> None:
        self._streams: dict[StreamKey, MemoryStream] = {}
        self._sessions = 0
        self._listeners: list[MemoryEvents] = []

    async def start_publish(
        self, key: StreamKey, *, protocol: str = "python", peer: str | None = None
    ) -> MemorySession:
        """Take `key` for a new publisher."""
        if key in self._streams:
            raise AlreadyPublishingError(f"{key} is being published already")
        self._sessions += 1
        stream = self._streams[key] = MemoryStream(key, self._sessions, protocol, peer)
        self.emit(StreamEventKind.PUBLISH_STARTED, key)
        return MemorySession(self, stream)

    def get_stream(self, key: StreamKey) -> MemoryStream | None:
        """Return the stream with that key."""
        return self._streams.get(key)

    def list_streams(self) -> list[MemoryStream]:
        """Return all streams, by key."""
        return [self._streams[key] for key in sorted(self._streams)]

    def remove(self, stream: MemoryStream, reason: str) -> None:
        """End a stream."""
        if self._streams.get(stream.key) is stream:
            del self._streams[stream.key]
        stream.close()
        self.emit(StreamEventKind.PUBLISH_ENDED, stream.key, reason)

    def emit(
        self, kind: StreamEventKind, key: StreamKey, reason: str | None = None, *, tracks: tuple[Track, ...] = ()
    ) -> None:
        """Tell every listener."""
        event = StreamEvent(kind, key, time.time_ns() // 1_000_000, reason, tracks)
        for listener in self._listeners:
            listener.put(event)

    def events(self) -> MemoryEvents:
        """Return the events from now on."""
        listener = MemoryEvents(self._listeners)
        self._listeners.append(listener)
        return listener


class MemoryEvents:
    """The events of a registry for one listener: among `listeners` until it is closed. Not a generator, which could not
    be closed before it was read, nor while somebody waits for the next event.
    """

    def __init__(self, listeners: list[MemoryEvents]) -> None:
        self._listeners = listeners
        self._waiting: deque[StreamEvent] = deque(maxlen=EVENTS_UNREAD)
        self._changed = asyncio.Event()
        self._closed = False
        self.dropped = 0
        """Events lost, of more unread ones than are kept."""

    def put(self, event: StreamEvent) -> None:
        """Tell of an event."""
        self.dropped += len(self._waiting) == EVENTS_UNREAD
        self._waiting.append(event)
        self._changed.set()

    def __aiter__(self) -> MemoryEvents:
        """Iterate."""
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        while not self._closed:
            if self._waiting:
                return self._waiting.popleft()
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Listen no more; a waiting iteration ends. Idempotent."""
        if not self._closed:
            self._closed = True
            self._listeners.remove(self)
            self._changed.set()
