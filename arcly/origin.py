"""The HTTP origin: one port for media, and for your own application behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from arcly._address import resolve, show
from arcly._bridge import native_stream
from arcly._gate import PlayGate
from arcly._inbox import InboxReader
from arcly._loop import Signal
from arcly._native import HlsOutput, HttpListener, Origin, StreamKey
from arcly.contract import EventStream, IngestContext, Packager, StreamHandle
from arcly.errors import ClosedError
from arcly.events import StreamEvent, StreamEventKind
from arcly.packagers.hls import HlsPackager
from arcly.tls import Tls
from arcly.viewer import EgressOptions, Viewer

log = logging.getLogger("arcly")


class HttpOrigin:
    """Serves streams over HTTP/1.1 and HTTP/2 (without TLS: by prior knowledge): HLS at `/<app>/<stream>/index.m3u8`
    (with MPEG-TS at `ts.m3u8`), DASH at `/<app>/<stream>/manifest.mpd`, and without an end at `/<app>/<stream>.flv`,
    `.ts` and `.mp4`. An `InboundProtocol`.

    Streams `cam~720p` and `cam~360p` of the application of `cam` are renditions of that one: its playlist and its
    manifest tell of them, and whoever may play `cam` may play them. Their times must be those of `cam`.

    Media never passes through Python. Where the engine has an authenticator, it is asked once for each viewer, when
    that asks for the first playlist or for an endless stream: with `?token=` or an `Authorization` header. Every other
    path is passed on to `app_socket`, or is 404.

    Args:
        bind: `HOST:PORT` to listen on; an empty host stands for all addresses, port 0 for any free one. Default
            `:8888`.
        packager: how streams are packaged; default `HlsPackager()`.
        app_socket: path of a Unix socket on which an HTTP/1.1 server, for instance uvicorn with your ASGI
            application, answers what is no media.
        connections_max: connections at a time, default 10 000. More are closed at once.
        tls: speak HTTPS, under this certificate.
        egress: how endless streams leave.
    """

    name = "http"

    def __init__(
        self,
        bind: str = ":8888",
        *,
        packager: Packager | None = None,
        app_socket: str | Path | None = None,
        connections_max: int = 10_000,
        tls: Tls | None = None,
        egress: EgressOptions | None = None,
    ) -> None:
        self._egress = egress or EgressOptions()
        self._tls = tls
        self._bind = bind
        self._packager: Packager = packager or HlsPackager()
        self._app_socket = app_socket
        self._connections_max = connections_max
        self._native = Origin()
        self._outputs: dict[StreamKey, HlsOutput] = {}
        self._packaged: dict[StreamKey, int] = {}
        self._listener: HttpListener | None = None
        self._inbox: InboxReader | None = None
        self._following: asyncio.Task[None] | None = None
        self._gate: PlayGate | None = None
        self._unwatch: Callable[[], None] | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """IP and port that are listened on; None while it does not run."""
        return self._listener.addr if self._listener else None

    def viewers(self, key: StreamKey) -> int:
        """Return how many players watch `key` over HTTP now."""
        output = self._outputs.get(key)
        return output.viewers if output else 0

    def list_viewers(self) -> list[Viewer]:
        """Return who watches endless streams (FLV, TS) here, by age. HLS players hold no connection: see `viewers`."""
        return [Viewer(*fields) for fields in self._listener.viewers()] if self._listener else []

    def kick(self, viewer: int) -> bool:
        """End a viewer by its `Viewer.id`, within a second; False when it is not there."""
        return self._listener is not None and self._listener.kick(viewer)

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

    def live_path(self, key: StreamKey, ending: Literal["flv", "ts", "mp4"]) -> str | None:
        """Return the path of the endless stream in that container, percent-encoded; None when it is not served."""
        return f"/{quote(str(key))}.{ending}" if key in self._outputs else None

    async def start(self, context: IngestContext) -> None:
        """Listen, and package every stream there is and will be.

        Raises:
            ListenError: the address cannot be had.
            MisuseError: `bind` is no address.
        """
        address = await resolve(self._bind)
        self._gate = PlayGate(context)
        self._inbox = InboxReader(self.name, play=self._gate.decide)
        self._listener = HttpListener(
            context.native,
            self._native,
            self._inbox.inbox,
            address,
            connections_max=self._connections_max,
            app_socket=None if self._app_socket is None else str(self._app_socket),
            asks=context.has_authenticator,
            tls=None if self._tls is None else self._tls.native,
            egress=self._egress.native(),
        )
        events = context.events()
        for stream in context.list_streams():
            self._package(context, stream)
        self._following = asyncio.create_task(self._follow(context, events))
        self._unwatch = context.offers.watch(self._native.offer, self._native.withdraw)
        log.info("[%s] listening on %s", "https" if self._tls else "http", show(self._listener.addr))

    async def stop(self) -> None:
        """Stop listening; answers that have begun are finished."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
            self._following = None
        if self._listener is not None:
            stopped = Signal()
            self._listener.stop(stopped.token)
            await stopped.wait()
            stopped.close()
            self._listener = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        await self._packager.stop()
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None

    async def _follow(self, context: IngestContext, events: EventStream) -> None:
        async with contextlib.aclosing(events):
            async for event in events:
                self._on_event(context, event)

    def _on_event(self, context: IngestContext, event: StreamEvent) -> None:
        if event.kind is StreamEventKind.PUBLISH_STARTED:
            stream = context.get_stream(event.key)
            if stream is not None:
                self._package(context, stream)
        elif event.kind is StreamEventKind.PUBLISH_ENDED and context.get_stream(event.key) is None:
            self._outputs.pop(event.key, None)
            self._packaged.pop(event.key, None)
            self._native.expire()

    def _package(self, context: IngestContext, stream: StreamHandle) -> None:
        session = stream.session
        if self._packaged.get(stream.key) == session:
            return  # An older event led here already: the key was taken, freed and taken again meanwhile.
        with contextlib.suppress(ClosedError):  # The engine is stopping.
            output = self._packager.package(context, stream)
            self._outputs[stream.key], self._packaged[stream.key] = output, session
            self._native.put_hls(stream.key, output)
            self._native.put_live(stream.key, native_stream(stream))
