"""RTMP."""

from __future__ import annotations

from arcly._native import Inbox, RtmpListener
from arcly.contract import IngestContext
from arcly.protocols._listener import Listener
from arcly.tls import Tls
from arcly.viewer import EgressOptions


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

    Raises:
        MisuseError: `connections_max` is out of range, 0 to 2^31.
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
    ) -> None:
        super().__init__(bind, decision_deadline_s=decision_deadline_s, connections_max=connections_max)
        self.name = "rtmp" if tls is None else "rtmps"
        self._handshake_timeout_s = handshake_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._tls = tls
        self._egress = egress or EgressOptions()

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
