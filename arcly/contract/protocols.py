"""What listens and what packages while an engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from arcly._native import Engine as NativeEngine
from arcly._native import HlsOutput, StreamKey
from arcly._offers import Offers
from arcly.contract.access import Credentials
from arcly.contract.streams import EventStream, PublishSession, StreamHandle


@runtime_checkable
class IngestContext(Protocol):
    """What a handler needs to bring streams in."""

    @property
    def native(self) -> NativeEngine:
        """The native engine, whose runtime listeners run on."""

    async def start_publish(
        self, key: StreamKey, *, protocol: str, peer: str | None = None, agent: str | None = None
    ) -> PublishSession:
        """Take `key` without asking the authenticator: for sources of the host itself, and for whoever it has let in
        (`authorize_publish`). See `PublishRegistry`.
        """

    async def open_publish(self, key: StreamKey, credentials: Credentials, *, protocol: str) -> PublishSession:
        """Ask the authenticator, then the registry.

        Raises:
            UnauthorizedError: the authenticator refused, failed or took too long.
            AlreadyPublishingError, LimitExceededError, ClosedError: the registry refused.
        """

    @property
    def has_authenticator(self) -> bool:
        """Whether there is somebody to ask; otherwise everybody may publish and play."""

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> None:
        """Ask the authenticator only, and take nothing: for one more connection of a publisher that is here, or for one
        that has more to show before it is given a stream.

        Raises:
            UnauthorizedError: the authenticator refused, failed or took too long.
        """

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> None:
        """Ask the authenticator whether the peer may play `key`. Every way out asks before the first byte of media.

        Raises:
            UnauthorizedError: the authenticator refused, failed or took too long.
        """

    @property
    def offers(self) -> Offers:
        """Streams that begin when somebody wants to see them."""

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
class Drainable(Protocol):
    """What an `InboundProtocol` may be besides: it has something to do before it is stopped."""

    async def drain(self) -> None:
        """Tell peers that the engine is about to stop, and return; they may go on for a while. New publishers are
        refused from now on.
        """


@runtime_checkable
class Packager(Protocol):
    """Makes files for HTTP out of streams."""

    def package(self, context: IngestContext, stream: StreamHandle) -> HlsOutput:
        """Begin to package `stream` and return where viewers find it."""

    async def stop(self) -> None:
        """Let go of what belongs to the packager itself; what is being packaged ends with its stream."""
