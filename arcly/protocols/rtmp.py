"""RTMP."""

from __future__ import annotations

import logging

from arcly._native import Inbox, RtmpListener
from arcly.contract import IngestContext
from arcly.errors import MisuseError
from arcly.protocols._listener import Listener
from arcly.tls import Tls
from arcly.viewer import EgressOptions

log = logging.getLogger("arcly")

SAME = ""
"""Where peers are: behind a balancer that sends them elsewhere now, or a name that means another machine."""


class RtmpHandler(Listener[RtmpListener]):
    """RTMP: publishing by OBS, ffmpeg and every other encoder, and playing. An `InboundProtocol`.

    The key of a stream is `app/stream` of the URL: `rtmp://host/live/cam` publishes or plays `live/cam`, whatever the
    application is called. What stands behind `?` reaches the authenticator as `Credentials.query`, and
    `user:password@`, which links of arcly say and FFmpeg and OBS do not, as `Credentials.authorization`.

    A player is sent the first track of each kind, and all where it says that it reads multitrack (Enhanced RTMP v2).

    Args:
        bind: `HOST:PORT` to listen on; an empty host stands for all addresses, port 0 for any free one. Default
            `:1935`.
        connections_max: connections at a time, default 4096; each costs some 5 KiB, and its stream when it publishes.
            More are closed at once.
        decision_deadline_s: seconds that authenticator and registry may take together, default 10; then the publish
            is refused.
        handshake_timeout_s: seconds that a peer may take for the handshake, and again until it asks for something,
            default 10.
        idle_timeout_s: seconds without a byte after which a connection is ended, default 30.
        tls: speak RTMPS, under this certificate.
        egress: how streams leave to players.
        reconnect_to: where publishers and players are asked to go on when the engine drains (`Engine.drain`), those who
            say that they can (`NetConnection.Connect.ReconnectRequest`, Enhanced RTMP v2): `rtmp://HOST[:PORT]` or
            `rtmps://HOST[:PORT]`, where they ask for the same application and stream, or empty for where they are.
            Default None: nobody is asked.

    Raises:
        MisuseError: `connections_max` is out of range, 0 to 2^31; `reconnect_to` is no server.
    """

    def __init__(
        self,
        bind: str = ":1935",
        *,
        connections_max: int = 4096,
        decision_deadline_s: float = 10.0,
        handshake_timeout_s: float = 10.0,
        idle_timeout_s: float = 30.0,
        tls: Tls | None = None,
        egress: EgressOptions | None = None,
        reconnect_to: str | None = None,
    ) -> None:
        super().__init__(bind, decision_deadline_s=decision_deadline_s, connections_max=connections_max)
        self.name = "rtmp" if tls is None else "rtmps"
        self._handshake_timeout_s = handshake_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._tls = tls
        self._egress = egress or EgressOptions()
        self._reconnect_to = None if reconnect_to is None else server_of(reconnect_to)

    def listen(self, context: IngestContext, inbox: Inbox, address: str) -> RtmpListener:
        """Return a listener at `address`."""
        return RtmpListener(
            context.native,
            inbox,
            address,
            connections_max=self._connections_max,
            decision_deadline_s=self._decision_deadline_s,
            handshake_timeout_s=self._handshake_timeout_s,
            idle_timeout_s=self._idle_timeout_s,
            tls=None if self._tls is None else self._tls.native,
            egress=self._egress.native(),
        )

    def request_reconnect(self, to: str = SAME) -> None:
        """Ask all who are connected, and who say that they can, to come again; nothing else changes for them here.

        Args:
            to: as `reconnect_to`. Who came by RTMPS may refuse to go on without TLS.

        Raises:
            MisuseError: `to` is no server.
        """
        server = server_of(to)
        if self._listener is not None:
            self._listener.request_reconnect(server)

    async def drain(self) -> None:
        """Ask everybody to go on at `reconnect_to`, if there is one. A `Drainable`."""
        if self._reconnect_to is None or self._listener is None:
            return
        place = f"at {self._reconnect_to}" if self._reconnect_to else "where they are"
        log.info("[%s] asking publishers and players who can to connect again %s", self.name, place)
        self.request_reconnect(self._reconnect_to)


def server_of(url: str) -> str:
    """Return `rtmp://HOST[:PORT]` as peers are told it; empty stays empty.

    Raises:
        MisuseError: it is of another form.
    """
    from urllib.parse import urlsplit  # Only where it is asked for: it would be a tenth of the import of arcly.

    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("rtmp", "rtmps") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # A port that is none, half a bracket.
        is_server = False
    if url and not (is_server and url.rstrip("/") == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc):
        # It is not repeated: there may be a password in it.
        raise MisuseError("peers reconnect to a server of the form rtmp://HOST[:PORT] or rtmps://HOST[:PORT]")
    return url.rstrip("/")
