"""Media inside an ASGI application of your own: one process, one port, yours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from arcly._loop import Signal
from arcly._native import HttpExchange, HttpSite
from arcly.errors import MalformedError

if TYPE_CHECKING:
    from arcly.contract import Packager
    from arcly.engine import Engine
    from arcly.protocols._whip import WhipApp
    from arcly.viewer import EgressOptions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PLAIN = "/~!$&'()*+,;=:@-._"
"""What stands for itself in a path (RFC 3986 §3.3)."""

NO_ONE = "0.0.0.0:0"
"""Who asks, where the server does not say it by an address."""


class Answer:
    """One request, and what is answered."""

    def __init__(self, site: HttpSite, method: str, scope: Scope) -> None:
        """Ask `site`.

        Raises:
            MalformedError: this is no request.
        """
        self._changed = Signal()
        self._is_left = False
        try:
            self.exchange: HttpExchange | None = site.ask(
                method, target(scope), list(scope["headers"]), peer(scope), self._changed.token
            )
        except BaseException:
            self._changed.close()
            raise

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]] | None:
        """Return status and headers; None when whoever asked has left."""
        assert self.exchange is not None
        while not self._is_left:
            head = self.exchange.head()
            if head is not None:
                return head
            await self._changed.wait()
        return None

    async def piece(self) -> bytes | None:
        """Return the next piece of the body; None at its end, and when whoever asked has left.

        Raises:
            ClosedError: the rest will never come. The server breaks the answer off then: nobody takes it for all.
        """
        assert self.exchange is not None
        while not self._is_left:
            is_over, piece = self.exchange.take()
            if piece is not None or is_over:
                return piece
            await self._changed.wait()
        return None

    async def leave_with(self, receive: Receive) -> None:
        """End when whoever asked leaves: it would not be noticed while there is nothing to send."""
        while not (await receive())["type"].endswith(".disconnect"):
            pass
        self._is_left = True
        self._changed.token.wake()

    def close(self) -> None:
        """End it."""
        self.exchange = None
        self._changed.close()


class OriginApp:
    """An ASGI application that answers for media, as `HttpOrigin` does on its own port: HLS, DASH, FLV, TS and MP4, and
    the latter three over WebSocket. Paths are those below the place where it is mounted.

    Bytes pass through Python here, a piece for each picture and viewer of an endless stream, and through the server
    that runs the application. Where that is too much, give media a port of its own: `HttpOrigin(":8888")`.
    """

    def __init__(self, site: Callable[[], HttpSite | None], signalling: WhipApp | None = None) -> None:
        """Answer by what `site` returns, None while the engine does not run; WHIP and WHEP by `signalling`."""
        self._site = site
        self._signalling = signalling

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket."""
        if scope["type"] == "http":
            if self._signalling is not None and self._signalling.target_of(scope) is not None:
                await self._signalling(scope, receive, send)
            else:
                await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        site = self._site()
        if site is None:
            await refuse(send, 503, b"the engine does not run\n")
            return
        try:
            answer = Answer(site, scope["method"], scope)
        except MalformedError:
            await refuse(send, 400, b"this is no request\n")
            return
        leaving = asyncio.create_task(answer.leave_with(receive))
        try:
            head = await answer.head()
            if head is None:
                return
            await send({"type": "http.response.start", "status": head[0], "headers": head[1]})
            while (piece := await answer.piece()) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            answer.close()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        site = self._site()
        if site is None:
            await send({"type": "websocket.close", "code": 1013})
            return
        try:
            answer = Answer(site, "GET", scope)
        except MalformedError:
            await send({"type": "websocket.close"})
            return
        leaving = asyncio.create_task(answer.leave_with(receive))
        try:
            head = await answer.head()
            if head is None:
                return
            if head[0] != 200:
                # Before it is accepted this is 403 of HTTP, the only refusal that ASGI has.
                await send({"type": "websocket.close"})
                return
            await send({"type": "websocket.accept"})
            while (piece := await answer.piece()) is not None:
                await send({"type": "websocket.send", "bytes": piece})
            await send({"type": "websocket.close", "code": 1000})
        finally:
            leaving.cancel()
            answer.close()


def asgi(engine: Engine, *, packager: Packager | None = None, egress: EgressOptions | None = None) -> OriginApp:
    """Return an ASGI application with the media of `engine`, to be mounted in FastAPI, Starlette or any other:

        engine = arcly.Engine(arcly.RtmpHandler())

        @contextlib.asynccontextmanager
        async def lifespan(app):
            async with engine:
                yield

        app = FastAPI(lifespan=lifespan)
        app.mount("/media", arcly.asgi(engine))      # /media/live/cam/index.m3u8, /media/live/cam.flv …

    Where the engine has a `WebRtcHandler`, WHIP and WHEP are there too: `/media/live/cam/whip`, `/media/live/cam/whep`.

    Args:
        engine: not running yet; its streams are packaged from their beginning.
        packager: how; default `HlsPackager()`.
        egress: how endless streams leave.

    Raises:
        MisuseError: `engine` runs already.
    """
    from arcly.origin import HttpOrigin

    origin = HttpOrigin(None, packager=packager, egress=egress)
    engine.attach(origin)
    return origin.asgi(signalling_of(engine))


def signalling_of(engine: Engine) -> WhipApp | None:
    """Return the signalling of an engine's WebRTC; None where it has none."""
    from arcly.protocols.webrtc import WebRtcHandler

    webrtc = next((protocol for protocol in engine.protocols if isinstance(protocol, WebRtcHandler)), None)
    return webrtc.asgi() if webrtc is not None else None


def peer(scope: Scope) -> str:
    """Return who asks, `192.0.2.1:51234`. Clients of tests and servers behind a Unix socket say what is no address."""
    host, port = (scope.get("client") or ("", 0))[:2]
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return NO_ONE
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def target(scope: Scope) -> str:
    """Return path and query, as they were written, below the place where the application is mounted."""
    raw = scope.get("raw_path")
    written = raw.decode("latin-1").partition("?")[0] if raw else quote(scope["path"], safe=PLAIN)
    path = written.removeprefix(quote(scope.get("root_path", ""), safe=PLAIN)) or "/"
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


async def refuse(send: Send, status: int, text: bytes) -> None:
    """Answer with a sentence."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": False})
