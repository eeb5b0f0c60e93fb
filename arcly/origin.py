"""The HTTP origin: one port for media, and for your own application behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from arcly._address import resolve, show
from arcly._asgi import OriginApp
from arcly._bridge import Lease, native_stream
from arcly._deadline import end
from arcly._gate import PlayGate
from arcly._inbox import InboxReader
from arcly._limits import require_between
from arcly._loop import woken
from arcly._native import HlsOutput, HttpListener, HttpSite, Origin, StreamKey
from arcly.contract import IngestContext, Packager, StreamHandle
from arcly.errors import ClosedError, MisuseError
from arcly.events import StreamEvent, StreamEventKind, after_losses
from arcly.packagers.hls import HlsPackager
from arcly.protocols._listener import CONNECTIONS_MAX
from arcly.services._follow import EventFollower
from arcly.tls import Tls
from arcly.viewer import EgressOptions, Viewer

if TYPE_CHECKING:
    from arcly.protocols._whip import WhipApp

log = logging.getLogger("arcly")


class HttpOrigin:
    """Serves streams over HTTP/1.1 and HTTP/2 (without TLS: by prior knowledge): HLS at `/<app>/<stream>/index.m3u8`
    (with MPEG-TS at `ts.m3u8`), DASH at `/<app>/<stream>/manifest.mpd`, and without an end at `/<app>/<stream>.flv`,
    `.ts` and `.mp4`. An `InboundProtocol`.

    `.flv` has the first track of each kind, which is all that mpegts.js and older players read, and with `?tracks=all`
    every track (multitrack of Enhanced RTMP v2).

    Streams `cam~720p` and `cam~360p` of the application of `cam` are renditions of that one: its playlist and its
    manifest tell of them, and whoever may play `cam` may play them. Their times must be those of `cam`.

    HTTP/1.1 and 2, by ALPN over TLS. Playlists have an `ETag` and are compressed; segments can be kept by caches for an
    hour, and fetched by ranges; everything may be played from any page.

    Media never passes through Python. Where the engine has an authenticator, it is asked once for each viewer, when
    that asks for the first playlist or for an endless stream: with `?token=` or an `Authorization` header. Every other
    path is passed on to `app_socket`, or is 404.

    Args:
        bind: `HOST:PORT` to listen on; an empty host stands for all addresses, port 0 for any free one. Default
            `:8888`. None for no port at all: see `asgi`.
        https: `HOST:PORT` to speak HTTPS on besides, under `tls`; the same as `bind`: HTTP and HTTPS on one port, told
            apart by the first byte. Without it `bind` itself speaks HTTPS where there is a `tls`, and nothing else.
        packager: how streams are packaged; default `HlsPackager()`.
        app_socket: path of a Unix socket on which an HTTP/1.1 server, for instance uvicorn with your ASGI
            application, answers what is no media.
        connections_max: connections at a time, default 10 000. More are closed at once.
        tls: speak HTTPS, under this certificate.
        egress: how endless streams leave.

    Raises:
        MisuseError: `https` without `tls`, or `connections_max` is out of range, 0 to 2^31.
    """

    name = "http"

    def __init__(
        self,
        bind: str | None = ":8888",
        *,
        https: str | None = None,
        packager: Packager | None = None,
        app_socket: str | Path | None = None,
        connections_max: int = 10_000,
        tls: Tls | None = None,
        egress: EgressOptions | None = None,
    ) -> None:
        if https is not None and tls is None:
            raise MisuseError("https needs a certificate: tls=Tls(…)")
        require_between("connections_max", connections_max, 0, CONNECTIONS_MAX)
        self._egress = egress or EgressOptions()
        self._tls = tls
        self._bind = bind
        self._https = https
        self._packager: Packager = packager or HlsPackager()
        self._app_socket = app_socket
        self._connections_max = connections_max
        self._native = Origin()
        self._outputs: dict[StreamKey, HlsOutput] = {}
        self._packaged: dict[StreamKey, int] = {}
        self._leases: dict[StreamKey, Lease] = {}
        self._site: HttpSite | None = None
        self._listener: HttpListener | None = None
        self._secure: HttpListener | None = None
        self._inbox: InboxReader | None = None
        self._follower: EventFollower | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._gate: PlayGate | None = None
        self._unwatch: Callable[[], None] | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """IP and port that are listened on; None while it does not run."""
        return self._listener.addr if self._listener else None

    @property
    def https_address(self) -> tuple[str, int] | None:
        """IP and port of `https`; None where there is none, and while it does not run."""
        return self._secure.addr if self._secure else None

    def asgi(self, signalling: WhipApp | None = None) -> OriginApp:
        """Return the same media as an ASGI application, to be mounted in one of your own: see `arcly.asgi`.

        Args:
            signalling: answers for WHIP and WHEP: `WebRtcHandler.asgi()`.
        """
        return OriginApp(lambda: self._site, signalling)

    def viewers(self, key: StreamKey) -> int:
        """Return how many players watch `key` over HTTP now."""
        output = self._outputs.get(key)
        return output.viewers if output else 0

    def list_viewers(self) -> list[Viewer]:
        """Return who watches endless streams (FLV, TS, MP4) here, by age. HLS players hold no connection: see
        `list_hls_viewers`.
        """
        return [Viewer(*fields) for fields in self._site.viewers()] if self._site else []

    def list_hls_viewers(self, key: StreamKey) -> list[Viewer]:
        """Return who watches `key` by HLS or DASH, by age. `id` counts those of this stream and cannot be kicked;
        `bytes` are told by address and agent, since segments are fetched without a session: players that share both
        share them.
        """
        output = self._outputs.get(key)
        found = output.list_viewers() if output else []
        return [
            Viewer(number, key, "hls", peer, agent, since_unix_ms, size, frames=0, dropped=0, lag_frames=0)
            for number, peer, agent, since_unix_ms, size in found
        ]

    def kick(self, viewer: int) -> bool:
        """End a viewer by its `Viewer.id`, within a second; False when it is not there."""
        return self._site is not None and self._site.kick(viewer)

    def hls_path(self, key: StreamKey) -> str | None:
        """Return the path of the stream's playlist, percent-encoded; None when it has none."""
        return f"/{quote(str(key))}/index.m3u8" if key in self._outputs else None

    def dash_path(self, key: StreamKey) -> str | None:
        """Return the path of the stream's DASH manifest, percent-encoded; None when it has none."""
        output = self._outputs.get(key)
        return f"/{quote(str(key))}/manifest.mpd" if output is not None and output.has_dash else None

    def window_s(self, key: StreamKey) -> float:
        """Return how many seconds a viewer of HLS or DASH can go back."""
        output = self._outputs.get(key)
        return output.window_s if output else 0.0

    def spill_failures(self, key: StreamKey) -> int:
        """Return how often segments of `key` could not be moved to the disk that `HlsPackager(spill=…)` names."""
        output = self._outputs.get(key)
        return output.spill_failures if output else 0

    def live_path(self, key: StreamKey, ending: Literal["flv", "ts", "mp4"]) -> str | None:
        """Return the path of the endless stream in that container, percent-encoded; None when it is not served."""
        return f"/{quote(str(key))}.{ending}" if key in self._outputs else None

    async def start(self, context: IngestContext) -> None:
        """Listen, and package every stream there is and will be.

        Raises:
            ListenError: the address cannot be had.
            MisuseError: `bind` or `https` is no address.
        """
        address = None if self._bind is None else await resolve(self._bind)
        https = None if self._https is None else await resolve(self._https)
        self._gate = PlayGate(context)
        self._inbox = InboxReader(self.name, play=self._gate.decide)
        self._site = HttpSite(
            context.native,
            self._native,
            self._inbox.inbox,
            app_socket=None if self._app_socket is None else str(self._app_socket),
            asks=context.has_authenticator,
            egress=self._egress.native(),
        )
        tls = None if self._tls is None else self._tls.native
        if address is not None:
            is_one = https is not None and https == address and not address.endswith(":0")
            own = tls if https is None or is_one else None
            self._listener = HttpListener(
                self._site, address, connections_max=self._connections_max, tls=own, takes_plain=is_one
            )
            if is_one:
                self._secure = self._listener
        if https is not None and self._secure is None:
            self._secure = HttpListener(self._site, https, connections_max=self._connections_max, tls=tls)
        events = context.events()
        for stream in context.list_streams():
            self._package(context, stream)
        self._follower = EventFollower(events, lambda event: self._on_event(context, event))
        self._catching_up = asyncio.create_task(after_losses(events, lambda: self._catch_up(context)))
        self._unwatch = context.offers.watch(self._native.offer, self._native.withdraw)
        if self._listener is not None:
            scheme = "https" if self._tls and self._https is None else "http"
            log.info("[%s] listening on %s", scheme, show(self._listener.addr))
        if self._secure is not None:
            log.info("[https] listening on %s", show(self._secure.addr))

    async def stop(self) -> None:
        """Stop listening; answers that have begun are finished."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._follower is not None:
            await self._follower.close()
            self._follower = None
        if self._catching_up is not None:
            await end(self._catching_up)
            self._catching_up = None
        if self._site is not None:
            self._site.close()
            self._site = None
        for listener in set(filter(None, (self._listener, self._secure))):
            await woken(listener.stop)
        self._listener = self._secure = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        for key in list(self._leases):
            self._give_back(key)
        self._packaged.clear()
        await self._packager.stop()
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None

    def _catch_up(self, context: IngestContext) -> None:
        """Find the streams that began or ended in events which were lost."""
        live = {stream.key: stream for stream in context.list_streams()}
        for stream in live.values():
            self._package(context, stream)
        for key in self._packaged.keys() - live.keys():
            self._forget(key)
        self._native.expire()

    def _on_event(self, context: IngestContext, event: StreamEvent) -> None:
        if event.kind is StreamEventKind.PUBLISH_STARTED:
            stream = context.get_stream(event.key)
            if stream is not None:
                self._package(context, stream)
        elif event.kind is StreamEventKind.PUBLISH_ENDED and context.get_stream(event.key) is None:
            self._forget(event.key)
            self._native.expire()

    def _forget(self, key: StreamKey) -> None:
        self._outputs.pop(key, None)
        self._packaged.pop(key, None)
        self._give_back(key)

    def _package(self, context: IngestContext, stream: StreamHandle) -> None:
        session = stream.session
        if self._packaged.get(stream.key) == session:
            return  # An older event led here already: the key was taken, freed and taken again meanwhile.
        with contextlib.suppress(ClosedError):  # The engine is stopping.
            try:
                output = self._packager.package(context, stream)
            except ClosedError:
                raise
            except Exception as error:  # Keys of the host, or a packager of its own: other streams go on.
                log.exception("[%s] %s is not packaged", self.name, stream.key)
                context.native.emit(stream.key, StreamEventKind.FAILED.value, f"not packaged: {error}")
                self._packaged[stream.key] = session
                return
            self._outputs[stream.key], self._packaged[stream.key] = output, session
            self._native.put_hls(stream.key, output)
            readable, lease = native_stream(stream)
            self._native.put_live(stream.key, readable)
            self._give_back(stream.key)
            self._leases[stream.key] = lease

    def _give_back(self, key: StreamKey) -> None:
        if (lease := self._leases.pop(key, None)) is not None:
            lease.close()
