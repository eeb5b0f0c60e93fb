"""The contracts between the parts of arcly, and what a host may implement itself.

Handlers and packagers depend on these, never on `Engine`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from arcly._native import Engine as NativeEngine
from arcly._native import HlsOutput, StreamKey, Track
from arcly.errors import MalformedError
from arcly.events import StreamEvent
from arcly.stream import StreamStats


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a peer brings to show that it may do what it asks for."""

    peer: str | None = None
    """Its address, `192.0.2.1:51234`; None inside this process."""

    agent: str = ""
    """What it calls itself; do not trust it."""

    query: str = ""
    """What stood behind `?` in the stream's name or URL, undecoded: `user=a&token=b`."""

    protocol: str = ""
    """How it comes: `rtmp`."""

    params: Mapping[str, str] = field(init=False)
    """`query`, decoded; the last one of repeated names."""

    def __post_init__(self) -> None:
        """Decode the query.

        Raises:
            MalformedError: it has more than 64 fields.
        """
        from urllib.parse import parse_qs  # Only when a peer comes: it would be a tenth of the import of arcly.

        try:
            pairs = parse_qs(self.query, keep_blank_values=True, max_num_fields=64)
        except ValueError as error:
            raise MalformedError(f"query: {error}") from None
        object.__setattr__(self, "params", {name: values[-1] for name, values in pairs.items()})


class MediaFrame(Protocol):
    """One access unit: any object with a buffer of bytes and these attributes. `arcly.MediaFrame` documents them."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Export the bytes (before Python 3.12 only native classes, `bytes` and what derives from it can)."""

    @property
    def track(self) -> int:
        """`Track.id`."""

    @property
    def tracks(self) -> Sequence[Track]:
        """The tracks of the stream at this frame."""

    @property
    def pts(self) -> int:
        """Presentation time in ticks of the track's clock."""

    @property
    def dts(self) -> int:
        """Decoding time in ticks of the track's clock."""

    @property
    def duration(self) -> int:
        """Ticks; 0 when unknown."""

    @property
    def is_key(self) -> bool:
        """Whether the video can be decoded from here on."""

    @property
    def is_discontinuity(self) -> bool:
        """Whether this does not continue the frame before."""


@runtime_checkable
class FrameSink(Protocol):
    """What frames are published into."""

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Replace the tracks, exactly between the frame before and the frame after this call."""

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
        """Publish one access unit; `data` is any buffer of bytes and only good during the call.

        Raises:
            ClosedError: the stream has ended.
        """


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


@runtime_checkable
class StreamAuthenticator(Protocol):
    """Who may publish and play. A call that raises or takes too long refuses."""

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may publish to `key`."""

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may play `key`."""


@runtime_checkable
class IngestContext(Protocol):
    """What a handler needs to bring streams in."""

    @property
    def native(self) -> NativeEngine:
        """The native engine, whose runtime listeners run on."""

    async def start_publish(self, key: StreamKey, *, protocol: str, peer: str | None = None) -> PublishSession:
        """Take `key` without asking the authenticator: for sources of the host itself. See `PublishRegistry`."""

    async def open_publish(self, key: StreamKey, credentials: Credentials, *, protocol: str) -> PublishSession:
        """Ask the authenticator, then the registry.

        Raises:
            UnauthorizedError: the authenticator refused, failed or took too long.
            AlreadyPublishingError, LimitExceededError, ClosedError: the registry refused.
        """

    def get_stream(self, key: StreamKey) -> StreamHandle | None:
        """Return the stream with that key, or None when nobody publishes it."""

    def list_streams(self) -> Sequence[StreamHandle]:
        """Return all streams that are being published."""

    def events(self) -> EventStream:
        """Return the events from now on."""


@runtime_checkable
class InboundProtocol(Protocol):
    """Something that listens while an engine runs: an ingest protocol, an origin."""

    @property
    def name(self) -> str:
        """A short lower-case name for logs and metadata: `rtmp`."""

    async def start(self, context: IngestContext) -> None:
        """Listen. Returns when connections are accepted.

        Raises:
            ListenError: the address cannot be had.
        """

    async def stop(self) -> None:
        """Stop listening and end what was accepted. Idempotent."""


@runtime_checkable
class Packager(Protocol):
    """Makes files for HTTP out of streams."""

    def package(self, context: IngestContext, stream: StreamHandle) -> HlsOutput:
        """Begin to package `stream` and return where viewers find it."""

    async def stop(self) -> None:
        """Let go of what belongs to the packager itself; what is being packaged ends with its stream."""
