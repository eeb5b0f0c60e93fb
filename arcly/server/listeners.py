"""What `arcly serve` listens with, as its flags say."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from arcly._address import split
from arcly.contract import InboundProtocol
from arcly.errors import ListenError, MisuseError
from arcly.origin import HttpOrigin
from arcly.packagers.hls import HlsEncryption, HlsPackager
from arcly.protocols.rtmp import SAME, RtmpHandler
from arcly.protocols.rtsp import RtspHandler, network_of
from arcly.protocols.srt import SrtHandler
from arcly.protocols.webrtc import WebRtcHandler
from arcly.server.default import Default
from arcly.server.flagged import Flagged
from arcly.server.naming import naming
from arcly.server.sparing import SparingRtspHandler
from arcly.storage import open_storage
from arcly.tls import Tls
from arcly.viewer import EgressOptions

OFF = "off"
MULTICAST_PORT = 8002


@dataclass(frozen=True)
class Listeners:
    """One of each kind; None where it is off."""

    rtmp: RtmpHandler | None
    rtmps: RtmpHandler | None
    rtsp: RtspHandler | None
    rtsps: RtspHandler | None
    srt: SrtHandler | None
    webrtc: WebRtcHandler | None
    http: HttpOrigin | None

    @classmethod
    def of(cls, options: argparse.Namespace, tls: Tls | None, app_socket: Path) -> Listeners:
        """Return what the flags ask for; the application behind HTTP answers on `app_socket`.

        Raises:
            MisuseError: an address or a number is none.
        """
        check_addresses(options)
        egress = EgressOptions(flush=options.flush, merge_s=options.merge_ms / 1000)
        http = http_origin(options, tls, app_socket, egress)
        return cls(
            rtmp=rtmp_handler(options.rtmp, options, egress),
            rtmps=rtmp_handler(options.rtmps, options, egress, tls),
            rtsp=rtsp_handler(options, egress),
            rtsps=rtsps_handler(options, tls, egress),
            srt=srt_handler(options),
            # Its signalling is HTTP.
            webrtc=None if options.webrtc == OFF or http is None else webrtc_handler(options),
            http=http,
        )

    def named(self) -> dict[str, RtmpHandler | RtspHandler | SrtHandler | WebRtcHandler | HttpOrigin]:
        """Return those there are, by name, in the order in which they start: the origin is last, so that the page shows
        a server that is complete.
        """
        fields = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return {name: listener for name, listener in fields if listener is not None}

    def protocols(self, options: argparse.Namespace) -> list[InboundProtocol]:
        """Return those there are, by the flags they were made of, in the order in which they start."""
        usual = unasked(options)
        return [
            Flagged(listener, flags(name, options), is_asked=name not in usual)
            for name, listener in self.named().items()
        ]

    def check(self) -> None:
        """Make sure that somebody is there to listen.

        Raises:
            ListenError: all addresses are taken.
        """
        named = self.named()
        addresses = [listener.address for listener in named.values()]
        if self.http is not None:
            addresses.append(self.http.https_address)
        if named and not any(addresses):
            raise ListenError("nothing can be listened on: every address is taken")


def check_addresses(options: argparse.Namespace) -> None:
    """Look at the addresses before anything listens.

    Raises:
        MisuseError: one is none.
    """
    for name in (*Listeners.__dataclass_fields__, "https"):
        if (address := getattr(options, name)) != OFF:
            with naming(f"--{name}"):
                split(address)


def unasked(options: argparse.Namespace) -> frozenset[str]:
    """Return which listeners are at their usual addresses only because no flag says otherwise."""
    names = {name for name in ("rtmp", "rtsp", "srt", "webrtc", "http") if isinstance(getattr(options, name), Default)}
    # One origin serves both: HTTPS was asked for. And who names the ports of datagrams asks for RTSP.
    names -= {"http"} if options.https != OFF else set()
    names -= {"rtsp"} if is_named(options.rtsp_udp) else set()
    return frozenset(names)


def is_named(port: str) -> bool:
    """Return whether somebody has asked for the port."""
    return port != OFF and not isinstance(port, Default)


def flags(name: str, options: argparse.Namespace) -> str:
    """Return what gives a listener other addresses."""
    # One origin serves both.
    names = ("http", "https") if name == "http" else (name,)
    found = [f"--{it} HOST:PORT" for it in names if getattr(options, it) != OFF]
    datagrams = {"rtsp": "rtsp-udp", "rtsps": "rtsps-srtp"}.get(name)
    if datagrams and is_named(getattr(options, datagrams.replace("-", "_"))):
        found.append(f"--{datagrams} PORT")
    return " or ".join(found)


def rtmp_handler(
    bind: str, options: argparse.Namespace, egress: EgressOptions, tls: Tls | None = None
) -> RtmpHandler | None:
    """Return what listens at `bind`, unless that is off.

    Raises:
        MisuseError: nobody would be asked to reconnect, or at no server.
    """
    if options.rtmp_reconnect is not None and not options.drain:
        raise MisuseError("--rtmp-reconnect needs --drain SECONDS: the time in which peers leave")
    if bind == OFF:
        return None
    reconnect_to = SAME if options.rtmp_reconnect == "same" else options.rtmp_reconnect
    if tls is not None and reconnect_to is not None and reconnect_to.startswith("rtmp:"):
        reconnect_to = None  # Nobody is asked to give TLS up.
    with naming("--rtmp-reconnect"):
        return RtmpHandler(bind, tls=tls, egress=egress, reconnect_to=reconnect_to)


def rtsp_handler(options: argparse.Namespace, egress: EgressOptions) -> RtspHandler | None:
    """Return what the flags of RTSP say."""
    if options.rtsp == OFF:
        return None
    with naming("--rtsp-multicast"):
        multicast, port = groups(options.rtsp_multicast)
    with naming("--rtsp-udp"):
        datagrams = udp_port(options.rtsp_udp)
    handler = RtspHandler if is_named(options.rtsp_udp) else SparingRtspHandler
    return handler(options.rtsp, udp_port=datagrams, multicast=multicast, multicast_port=port, egress=egress)


def rtsps_handler(options: argparse.Namespace, tls: Tls | None, egress: EgressOptions) -> RtspHandler | None:
    """Return what the flags of RTSPS say.

    Raises:
        MisuseError: a flag says something of SRTP, which is off.
    """
    with naming("--rtsps-srtp"):
        port = udp_port(options.rtsps_srtp)
    if port is None and options.rtsps_srtp_optional:
        raise MisuseError("--rtsps-srtp-optional needs --rtsps-srtp PORT: without it there is no SRTP")
    if options.rtsps == OFF:
        return None
    if port is not None and options.rtsps_srtp_optional:
        return RtspHandler(options.rtsps, tls=tls, srtp="optional", udp_port=port, egress=egress)
    return RtspHandler(options.rtsps, tls=tls, srtp=port is not None, udp_port=port, egress=egress)


def srt_handler(options: argparse.Namespace) -> SrtHandler | None:
    """Return what the flags of SRT say."""
    if options.srt == OFF:
        return None
    return SrtHandler(options.srt, latency_ms=options.srt_latency_ms, passphrase=options.srt_passphrase)


def webrtc_handler(options: argparse.Namespace) -> WebRtcHandler:
    """Return what the flags of WebRTC say."""
    with naming("--webrtc-…"):
        return WebRtcHandler(
            options.webrtc,
            hosts=options.webrtc_host,
            stun_servers=options.webrtc_stun,
            b_frames=options.webrtc_b_frames,
        )


def udp_port(text: str) -> int | None:
    """Return what `--rtsp-udp` or `--rtsps-srtp` names.

    Raises:
        MisuseError: it is no port.
    """
    if text == OFF:
        return None
    if not text.isdecimal() or int(text) > 65534:
        raise MisuseError(f"{text!r} is no port for RTP")
    return int(text)


def groups(text: str) -> tuple[str | None, int]:
    """Return what `--rtsp-multicast` names: the network, and the port of its first track.

    Raises:
        MisuseError: it is no network of groups, or no port.
    """
    network, _, port = text.partition(":")
    if port and not (port.isdecimal() and 0 < int(port) < 65535):
        raise MisuseError(f"{port!r} is no port for RTP")
    return None if network == OFF else str(network_of(network)), int(port or MULTICAST_PORT)


def http_origin(
    options: argparse.Namespace, tls: Tls | None, app_socket: Path, egress: EgressOptions
) -> HttpOrigin | None:
    """Return what serves HTTP, or HTTPS, or both."""
    plain, secure = (None if address == OFF else address for address in (options.http, options.https))
    if plain is None and secure is None:
        return None
    with naming("--hls-…"):
        packager = hls_packager(options)
    certificate = tls if secure else None
    return HttpOrigin(plain, https=secure, tls=certificate, packager=packager, app_socket=app_socket, egress=egress)


def hls_packager(options: argparse.Namespace) -> HlsPackager:
    """Return what the flags of HLS say."""
    spill = options.hls_spill
    return HlsPackager(
        part_s=options.hls_part,
        segment_s=options.hls_segment,
        window_s=options.hls_window,
        window_bytes_max=options.hls_window_mb << 20,
        ts=options.hls_ts == "on",
        spill=open_storage(spill) if spill and "://" in spill else spill,
        memory_s=options.hls_memory,
        idle_s=options.hls_idle,
        encryption=None if options.hls_encrypt is None else HlsEncryption(rotate_segments=options.hls_encrypt),
    )


def page_url(options: argparse.Namespace, http: HttpOrigin) -> str:
    """Return the page's URL for somebody who sits at this machine."""
    scheme, bind, address = "http", options.http, http.address
    if address is None:
        scheme, bind, address = "https", options.https, http.https_address
    host, port = split(bind)[0], address[1] if address else 0
    name = "localhost" if host in ("", "::", "0.0.0.0") else host
    return f"{scheme}://[{name}]:{port}/" if ":" in name else f"{scheme}://{name}:{port}/"
