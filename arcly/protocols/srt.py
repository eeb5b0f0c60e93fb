"""SRT."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from arcly._native import Inbox, PlayRequest, PublishRequest, SrtListener, StreamKey
from arcly.contract import IngestContext
from arcly.errors import StreamError
from arcly.protocols._listener import Listener

log = logging.getLogger("arcly")

SrtRole = Literal["publisher", "viewer"]
"""What a peer is here for."""

Passphrases: TypeAlias = Callable[[StreamKey, SrtRole], "str | None"]
"""Says what whoever publishes or plays a stream must know: 10 to 79 bytes, or None for a stream in the clear."""


@dataclass(frozen=True, slots=True)
class SrtConnection:
    """A peer of a `SrtHandler`, as of less than a second ago."""

    id: int
    """Its number."""

    key: StreamKey
    """What it publishes or plays."""

    role: SrtRole
    """Which of the two."""

    peer: str
    """Its address, `192.0.2.1:51234`."""

    since_unix_ms: int
    """When it was let in, in milliseconds of Unix time."""

    version: str
    """The version of its library."""

    stats: dict[str, int]
    """What is counted and measured, the set of libsrt under names with units: `rtt_us`, `receive_lost_packets` …"""


class SrtHandler(Listener[SrtListener]):
    """SRT: publishing by encoders over networks that lose packets, and playing. An `InboundProtocol`.

    A stream id says what a caller wants: `publish:live/cam` or `#!::m=publish,r=live/cam`, and `read:live/cam` or
    `#!::r=live/cam`. Credentials in it (`publish:live/cam:user:password`, or `u=` and `s=`) reach the authenticator in
    `Credentials.query`, as `user` and `pass`.

    Args:
        bind: `HOST:PORT` to listen on, UDP; an empty host stands for all addresses, port 0 for any free one. Default
            `:8890`.
        latency_ms: with which delay publishers' packets are delivered at least, so that lost ones can be asked for
            again: three or four round trips. A peer may want more. Default 120.
        peer_latency_ms: the same for what viewers receive. Default: what they want.
        passphrase: encrypt. A text for everybody, or a function that is asked for each publisher and viewer, on the
            event loop. Who encrypts where nobody should, or does not where everybody must, is refused. Default: in the
            clear.
        key_bytes: the length of keys that callers are asked for: 16, 24 or 32 (pbkeylen). Default: they choose.
        connections_max: connections at a time, default 4096.
        decision_deadline_s: seconds that authenticator and registry may take together, default 3, after which callers
            give up.
        idle_timeout_s: seconds without a packet after which a connection is ended, default 5: peers send one a second.

    Raises:
        MisuseError: `connections_max` is out of range, 0 to 2^31.
    """

    name = "srt"

    def __init__(
        self,
        bind: str = ":8890",
        *,
        latency_ms: float = 120.0,
        peer_latency_ms: float = 0.0,
        passphrase: str | Passphrases | None = None,
        key_bytes: int | None = None,
        connections_max: int = 4096,
        decision_deadline_s: float = 3.0,
        idle_timeout_s: float = 5.0,
    ) -> None:
        super().__init__(bind, decision_deadline_s=decision_deadline_s, connections_max=connections_max)
        self._latency_ms = latency_ms
        self._peer_latency_ms = peer_latency_ms
        self._passphrase = passphrase
        self._key_bytes = key_bytes
        self._idle_timeout_s = idle_timeout_s

    def list_connections(self) -> list[SrtConnection]:
        """Return publishers and viewers with their statistics, as of less than a second ago."""
        if self._listener is None:
            return []
        return [SrtConnection(*fields) for fields in self._listener.connections()]

    def listen(self, context: IngestContext, inbox: Inbox, address: str) -> SrtListener:
        """Return a listener at `address`."""
        passphrase = self._passphrase if isinstance(self._passphrase, str) else None
        return SrtListener(
            context.native,
            inbox,
            address,
            connections_max=self._connections_max,
            decision_deadline_s=self._decision_deadline_s,
            idle_timeout_s=self._idle_timeout_s,
            latency_ms=self._latency_ms,
            peer_latency_ms=self._peer_latency_ms,
            key_bytes=self._key_bytes,
            publish_passphrase=passphrase,
            read_passphrase=passphrase,
        )

    def prepare(self, request: PublishRequest | PlayRequest) -> None:
        """Say what the peer must know."""
        if not callable(self._passphrase):
            return
        try:
            key = StreamKey(request.app, request.stream) if isinstance(request, PublishRequest) else request.key
        except StreamError:
            return  # No stream can have this name: it is refused for that.
        try:
            request.secure(self._passphrase(key, "publisher" if isinstance(request, PublishRequest) else "viewer"))
        except StreamError as error:
            log.info("[srt] no passphrase for %s, which is refused: %s", key, error)
            request.secure("")
        except Exception:
            log.exception("[srt] asking for a passphrase failed")
            # Nobody knows it, so nobody is let in.
            request.secure("")
