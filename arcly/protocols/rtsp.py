"""RTSP."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Literal

from arcly._limits import require_between
from arcly._native import Inbox, RtspListener
from arcly.contract import IngestContext
from arcly.errors import MisuseError
from arcly.protocols._listener import Listener
from arcly.tls import Tls
from arcly.viewer import EgressOptions


class RtspHandler(Listener[RtspListener]):
    """RTSP: publishing by ffmpeg, GStreamer and cameras that push, and playing. An `InboundProtocol`.

    The key of a stream is the path of the URL: `rtsp://host:8554/live/cam` publishes or plays `live/cam`. What stands
    behind `?` reaches the authenticator as `Credentials.query`, and what the peer was asked for as
    `Credentials.authorization`.

    Args:
        bind: `HOST:PORT` to listen on; an empty host stands for all addresses, port 0 for any free one. Default
            `:8554`.
        udp_port: the port of RTP in datagrams, default 8000; RTCP has the next one, 0 stands for any free pair, None
            for none: then everything goes over the connection. With `tls` of use only with `srtp`.
        srtp: with `tls`, encrypt what is played for each viewer (`RTP/SAVP`, keys by MIKEY and `a=crypto`), over the
            connection and in datagrams; players that know no SRTP cannot play then. `"optional"`: a player that asks
            for `RTP/AVP` gets packets as they are, over the connection alone, which TLS encrypts; keys are told by
            MIKEY only. With either there are no groups (multicast), which would share one key, and a play ends when its
            key has sealed as much as it may (2^48 packets). Default False. What is published encrypted is read in any
            case.
        srtp_suite: how that is encrypted and signed: a name of RFC 4568, 6188 or 7714, default
            `AES_CM_128_HMAC_SHA1_80`, which all players of SRTP know. FFmpeg knows no other but its `_32`, GStreamer
            `AEAD_AES_128_GCM`, too.
        multicast: the network of groups, one address of which each stream has for whoever asks for multicast; default
            `224.1.0.0/16`, None for none. Of no use without `udp_port`.
        multicast_port: the port of RTP of the first track at a group, default 8002; RTCP and further tracks have the
            next ones.
        back_channel: let players speak to `live/cam`, as ONVIF has it: what they say is the stream `live/cam-talk`, and
            the authenticator is asked about it as about any publish. Default False.
        users: names and passwords. With them everybody is asked for one, by Digest (SHA-256 or MD5) or Basic, before
            the authenticator is; it then sees `user` and `pass` as if they had come by Basic. Default none: the
            authenticator alone decides, and who needs credentials is asked for them by Basic.
        connections_max: connections at a time, default 4096. More are closed at once.
        decision_deadline_s: seconds that authenticator and registry may take together, default 10; then the publish
            is refused.
        session_timeout_s: seconds without a sign of life after which a session ends, default 60.
        media_timeout_s: seconds without media after which a publish ends, default 10.
        tls: speak RTSPS, under this certificate.
        egress: how streams leave to players.

    Raises:
        MisuseError: `srtp` without `tls`, `multicast` is no network of groups, or a number is out of range.
    """

    def __init__(
        self,
        bind: str = ":8554",
        *,
        udp_port: int | None = 8000,
        srtp: bool | Literal["optional"] = False,
        srtp_suite: str = "AES_CM_128_HMAC_SHA1_80",
        back_channel: bool = False,
        multicast: str | None = "224.1.0.0/16",
        multicast_port: int = 8002,
        users: Mapping[str, str] | None = None,
        connections_max: int = 4096,
        decision_deadline_s: float = 10.0,
        session_timeout_s: float = 60.0,
        media_timeout_s: float = 10.0,
        tls: Tls | None = None,
        egress: EgressOptions | None = None,
    ) -> None:
        super().__init__(bind, decision_deadline_s=decision_deadline_s, connections_max=connections_max)
        self.name = "rtsp" if tls is None else "rtsps"
        if srtp and tls is None:
            raise MisuseError("SRTP needs TLS: the connection carries its keys")
        require_between("udp_port", udp_port or 0, 0, 65534)
        require_between("multicast_port", multicast_port, 1, 65534)
        self._udp_port = udp_port if tls is None or srtp else None
        self._srtp = (srtp_suite, srtp == "optional") if srtp else None
        self._back_channel = back_channel
        network = None if multicast is None else network_of(multicast)
        self._groups: tuple[int, int, int] | None = None
        if network is not None:
            self._groups = (int(network.network_address), network.num_addresses, multicast_port)
        self._users = None if users is None else dict(users)
        self._session_timeout_s = session_timeout_s
        self._media_timeout_s = media_timeout_s
        self._tls = tls
        self._egress = egress or EgressOptions()

    @property
    def udp_ports(self) -> tuple[int, int] | None:
        """Ports of RTP and RTCP in datagrams; None where there are none, or it does not run."""
        return self._listener.udp_ports if self._listener else None

    def listen(self, context: IngestContext, inbox: Inbox, address: str) -> RtspListener:
        """Return a listener at `address`."""
        return RtspListener(
            context.native,
            inbox,
            address,
            connections_max=self._connections_max,
            decision_deadline_s=self._decision_deadline_s,
            session_timeout_s=self._session_timeout_s,
            media_timeout_s=self._media_timeout_s,
            udp_port=self._udp_port,
            srtp=self._srtp,
            back_channel=self._back_channel,
            groups=self._groups,
            users=self._users,
            tls=None if self._tls is None else self._tls.native,
            egress=self._egress.native(),
        )


def network_of(text: str) -> IPv4Network:
    """Return a network of groups.

    Raises:
        MisuseError: it is none.
    """
    try:
        network = IPv4Network(text)
    except ValueError:
        network = None
    if network is None or not network.is_multicast:
        raise MisuseError(f"{text!r} is no network of groups, as in 224.1.0.0/16")
    return network
