"""Streams: where they are started and found, and what happens to them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

from arcly._native import StreamKey, Track
from arcly.contract.frames import FrameSink, MediaFrame
from arcly.events import StreamEvent
from arcly.stream import StreamStats


@runtime_checkable
class PublishSession(FrameSink, Protocol):
    """The right to publish one stream. `arcly.PublishSession` is the native one."""

    @property
    def key(self) -> StreamKey:
        """What is published."""

    def end(self, reason: str = "") -> None:
        """End the publish. Idempotent, and never ends a later session of the same key."""


@runtime_checkable
class StreamHandle(Protocol):
    """A stream as its readers see it. `arcly.StreamHandle` is the native one, and documents these."""

    @property
    def key(self) -> StreamKey:
        """Its name."""

    @property
    def tracks(self) -> Sequence[Track]:
        """The tracks as of the newest frame."""

    @property
    def protocol(self) -> str:
        """How it comes in."""

    @property
    def peer(self) -> str | None:
        """The publisher's address."""

    @property
    def started_unix_ms(self) -> int:
        """When it began."""

    @property
    def session(self) -> int:
        """Which stream of this registry it is: two streams of one key differ in it."""

    @property
    def stats(self) -> StreamStats:
        """What has passed, and what passes now."""

    @property
    def closed(self) -> bool:
        """Whether it has ended."""

    def subscribe(self) -> AsyncIterable[MediaFrame]:
        """Return a reader that begins at a key frame, as near to now as can be, and ends with the stream."""


@runtime_checkable
class PublishRegistry(Protocol):
    """Where streams are started."""

    async def start_publish(self, key: StreamKey, *, protocol: str, peer: str | None = None) -> PublishSession:
        """Take `key` for a new publisher.

        Raises:
            AlreadyPublishingError: somebody publishes there.
            LimitExceededError: too many publishers.
            ClosedError: shutting down.
        """


@runtime_checkable
class PlaybackRegistry(Protocol):
    """Where streams are found."""

    def get_stream(self, key: StreamKey) -> StreamHandle | None:
        """Return the stream with that key, or None when nobody publishes it."""

    def list_streams(self) -> Sequence[StreamHandle]:
        """Return all streams that are being published, by key."""


class EventStream(Protocol):
    """Events, oldest first; an async generator will do."""

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Iterate."""

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""

    async def aclose(self) -> None:
        """Stop listening. Idempotent."""


@runtime_checkable
class EventBus(Protocol):
    """Where one learns what happens to streams."""

    def events(self) -> EventStream:
        """Return the events from now on."""


@runtime_checkable
class Registry(PublishRegistry, PlaybackRegistry, EventBus, Protocol):
    """All that `Engine(registry=...)` needs to leave streams to a host."""
