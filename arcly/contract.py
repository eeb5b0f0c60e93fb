"""The contracts between the parts of arcly, and what a host may implement itself.

Handlers and packagers depend on these, never on `Engine`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from arcly._native import Engine as NativeEngine
from arcly._native import HlsOutput, PublishSession, StreamKey
from arcly.events import StreamEvent
from arcly.stream import StreamHandle


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a peer brings to show that it may do what it asks for."""

    peer: str | None = None
    """Its address, `192.0.2.1:51234`; None inside this process."""

    agent: str = ""
    """What it calls itself; do not trust it."""

    query: str = ""
    """What stood behind `?` in the stream's name or URL, undecoded: `user=a&token=b`."""

    params: Mapping[str, str] = field(init=False)
    """`query`, decoded; the last one of repeated names."""

    def __post_init__(self) -> None:
        """Decode the query."""
        from urllib.parse import parse_qs  # Only when a peer comes: it would be a tenth of the import of arcly.

        pairs = parse_qs(self.query, keep_blank_values=True, max_num_fields=64)
        object.__setattr__(self, "params", {name: values[-1] for name, values in pairs.items()})


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


@runtime_checkable
class EventBus(Protocol):
    """Where one learns what happens to streams."""

    def events(self) -> AsyncIterator[StreamEvent]:
        """Return the events from now on."""


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

    def events(self) -> AsyncIterator[StreamEvent]:
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
