"""`arcly serve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from arcly._address import split
from arcly._native import StreamKey
from arcly.contract import Credentials, InboundProtocol
from arcly.engine import Engine
from arcly.errors import MisuseError, StreamError
from arcly.origin import HttpOrigin
from arcly.packagers.hls import HlsPackager
from arcly.protocols.rtmp import RtmpHandler
from arcly.protocols.rtsp import RtspHandler
from arcly.protocols.srt import SrtHandler
from arcly.protocols.webrtc import WebRtcHandler
from arcly.recording import Recorder
from arcly.server.record_options import recorder_arguments
from arcly.server.recordings import Recordings
from arcly.server.status import status
from arcly.server.viewers import Viewers
from arcly.server.web import RESERVED_APPS, create_app
from arcly.sinks.push import PushTarget
from arcly.sources.file import FileSource
from arcly.sources.pull import PullSource
from arcly.tls import Tls
from arcly.viewer import EgressOptions

log = logging.getLogger("arcly")

DEMO_CLIP = Path(__file__).with_name("demo.flv")
DEMO_KEY = StreamKey("live", "demo")

OFF = "off"

CERTIFICATE_LOOK_S = 30.0
"""How often the files of the certificate are looked at."""


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname).3s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    # The application behind the origin is our own control plane; its access log would be a line a second per open page.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(options))
    except (StreamError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM; a second one cuts the draining short."""
    with tempfile.TemporaryDirectory(prefix="arcly-") as directory:
        socket = Path(directory) / "app.sock"
        tls = certificate(options)
        egress = EgressOptions(flush=options.flush, merge_s=options.merge_ms / 1000)
        rtmp = None if options.rtmp == OFF else RtmpHandler(options.rtmp, egress=egress)
        rtmps = None if options.rtmps == OFF else RtmpHandler(options.rtmps, tls=tls, egress=egress)
        rtsp = (
            None
            if options.rtsp == OFF
            else RtspHandler(options.rtsp, udp_port=udp_port(options.rtsp_udp), egress=egress)
        )
        rtsps = None if options.rtsps == OFF else RtspHandler(options.rtsps, tls=tls, egress=egress)
        srt = srt_handler(options)
        http = origin_of(options, tls, socket, egress)
        # Its signalling is HTTP.
        webrtc = None
        if options.webrtc != OFF and http is not None:
            webrtc = WebRtcHandler(options.webrtc, hosts=options.webrtc_host)
        demo = FileSource(DEMO_CLIP, DEMO_KEY) if options.demo else None
        recorder = Recorder(options.record, **recorder_arguments(options)) if options.record else None
        listening = (recorder, rtmp, rtmps, rtsp, rtsps, srt, webrtc, http, demo)
        protocols: list[InboundProtocol] = [protocol for protocol in listening if protocol is not None]
        protocols += pulls(options.pull, on_demand=False) + pulls(options.pull_on_demand, on_demand=True)
        protocols += [PushTarget(url, key) for key, url in map(key_and_url, options.push)]
        async with contextlib.AsyncExitStack() as stack:
            engine = Engine(*protocols, authenticator=Names())
            if http is not None:
                origin = http
                listeners = {
                    "rtmp": rtmp,
                    "rtmps": rtmps,
                    "rtsp": rtsp,
                    "rtsps": rtsps,
                    "srt": srt,
                    "webrtc": webrtc,
                    "http": http,
                }
                watched = {name: listener for name, listener in listeners.items() if listener is not None}
                app = create_app(
                    lambda: status(engine, rtmp, origin, webrtc),
                    Viewers(watched, may_kick=options.allow_kick),
                    signalling=webrtc.asgi() if webrtc else None,
                    recordings=None if recorder is None else Recordings(recorder, may_change=options.allow_record),
                )
                await stack.enter_async_context(answering(app, socket))
            await stack.enter_async_context(engine)
            if http is not None:
                log.info("open %s in a browser", page_url(options, http))
            renewing = asyncio.create_task(renew(tls)) if tls else None
            await engine.until_signal(drain_s=options.drain)
            if renewing:
                renewing.cancel()


def srt_handler(options: argparse.Namespace) -> SrtHandler | None:
    """Return what the flags of SRT say."""
    if options.srt == OFF:
        return None
    return SrtHandler(options.srt, latency_ms=options.srt_latency_ms, passphrase=options.srt_passphrase)


def pulls(wishes: list[str], *, on_demand: bool) -> list[PullSource]:
    """Return the streams of other servers that `--pull` and `--pull-on-demand` name.

    Raises:
        MisuseError: one is not of the form KEY=URL.
    """
    return [PullSource(url, key, on_demand=on_demand) for key, url in map(key_and_url, wishes)]


def key_and_url(wish: str) -> tuple[str, str]:
    """Return the two sides of KEY=URL.

    Raises:
        MisuseError: it is not of this form.
    """
    key, equals, url = wish.partition("=")
    if not equals:
        raise MisuseError(f"{wish!r} is not of the form KEY=URL: live/cam=rtmp://HOST/APP/STREAM")
    return key, url


def udp_port(text: str) -> int | None:
    """Return what `--rtsp-udp` names.

    Raises:
        MisuseError: it is no port.
    """
    if text == OFF:
        return None
    if not text.isdecimal() or int(text) > 65534:
        raise MisuseError(f"{text!r} is no port for RTP")
    return int(text)


def certificate(options: argparse.Namespace) -> Tls | None:
    """Return what `--tls-cert` and `--tls-key` name.

    Raises:
        MisuseError: one is missing that is needed.
    """
    given = [options.tls_cert, options.tls_key]
    if all(given):
        return Tls(options.tls_cert, options.tls_key)
    if any(given) or any(address != OFF for address in (options.rtmps, options.rtsps, options.https)):
        raise MisuseError("TLS needs both --tls-cert and --tls-key")
    return None


async def renew(tls: Tls) -> None:
    """Take over a renewed certificate soon after it was written."""
    while True:
        await asyncio.sleep(CERTIFICATE_LOOK_S)
        try:
            if tls.reload_if_changed():
                log.info("[tls] the certificate was renewed")
        except (StreamError, OSError) as error:
            log.error("[tls] the certificate is not renewed: %s", error)


class Names:
    """Everybody may publish, but not under names with which the page's own paths begin: their links lead astray."""

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the page could show the stream."""
        return key.app.partition("/")[0] not in RESERVED_APPS

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> bool:
        """Let everybody play."""
        return True


def origin_of(options: argparse.Namespace, tls: Tls | None, socket: Path, egress: EgressOptions) -> HttpOrigin | None:
    """Return what serves HTTP, or HTTPS, or both."""
    plain, secure = (None if address == OFF else address for address in (options.http, options.https))
    if plain is None and secure is None:
        return None
    packager = HlsPackager(
        part_s=options.hls_part,
        segment_s=options.hls_segment,
        window_s=options.hls_window,
        window_bytes_max=options.hls_window_mb << 20,
        ts=options.hls_ts == "on",
    )
    certificate = tls if secure else None
    return HttpOrigin(plain, https=secure, tls=certificate, packager=packager, app_socket=socket, egress=egress)


def page_url(options: argparse.Namespace, http: HttpOrigin) -> str:
    """Return the page's URL for somebody who sits at this machine."""
    scheme, bind, address = "http", options.http, http.address
    if address is None:
        scheme, bind, address = "https", options.https, http.https_address
    host, port = split(bind)[0], address[1] if address else 0
    name = "localhost" if host in ("", "::", "0.0.0.0") else host
    return f"{scheme}://[{name}]:{port}/" if ":" in name else f"{scheme}://{name}:{port}/"


@contextlib.asynccontextmanager
async def answering(app: ASGIApp, socket: Path) -> AsyncIterator[None]:
    """Answer HTTP on a Unix socket by `app`, by uvicorn inside this event loop."""
    config = uvicorn.Config(
        app,
        uds=str(socket),
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        # The origin in front says it.
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
            raise OSError("the application could not be started")
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.leave()
        await task


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, for signals are ours, and without its ten looks a second at the clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Serve as `config` says."""
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Wait for the end. What uvicorn does besides is to keep the date."""
        await self.on_tick(0)
        await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave signals alone."""
        yield
