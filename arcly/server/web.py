"""The page of the server and the few routes behind it, as an ordinary ASGI application.

The native origin owns the public port: it answers the media paths (`/<app>/<stream>/index.m3u8`,
segments) itself and passes everything else here, over a Unix socket. So this application serves
no media, only:

* `/` and `/<app>/<stream>/`: the page; the second form opens on that stream's player,
* `/api/streams`: what is live now, `/api/viewers?stream=live/cam`: who watches it, as JSON,
* `/api/viewers/<id>/kick`: ends a viewer, where the server lets everybody do that,
* `/api/recordings` and `/recordings/…`: what was recorded, where something is,
* `/<app>/<stream>/thumbnail.jpg`: the newest picture of a stream,
* `/<app>/<stream>/whip` and `/whep`: what WebRTC needs besides its media,
* `/static/…`: the page's files, `/healthz`: a liveness probe.

The page's files are read once, into memory: the set of names that can be served is the set of
names in the package, and no request ever reaches the file system. Names of streams are chosen
by strangers; nothing here echoes one into HTML.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arcly._native import StreamKey
from arcly.server.addresses import Shown, may_see, without_addresses
from arcly.server.admission import brings_credentials
from arcly.server.asset import Asset, load_assets
from arcly.server.listing import Listing
from arcly.server.own import is_own
from arcly.server.recordings import Recordings, key_of
from arcly.server.viewers import Viewers

PAGE_DIR = Path(__file__).with_name("page")

RESERVED_APPS = frozenset({"api", "recordings", "static"})
"""First path segments that belong to this application, never to a stream."""

KICK_HEADER = "x-arcly-kick"
"""See `is_own`."""

SECURITY_HEADERS = {
    # Everything comes from this origin. `blob:` is what Media Source Extensions (media-src) and
    # the transmuxing worker of hls.js (worker-src) need; `data:` is for images in CSS.
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "media-src 'self' blob:",
            "worker-src 'self' blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def create_app(
    status: Callable[[], dict[str, Any]],
    viewers: Viewers,
    *,
    addresses: Shown = "local",
    listing: Listing | None = None,
    recordings: Recordings | None = None,
    signalling: ASGIApp | None = None,
    thumbnails: Sequence[BaseRoute] = (),
) -> Starlette:
    """Build the application.

    Args:
        status: Returns the body of `/api/streams`, ready for JSON. It is called on the event
            loop once per request (every open page asks once a second), so it must not block.
        viewers: Who watches.
        addresses: To whom the addresses of viewers and publishers are shown.
        listing: Who sees which streams; None: everybody sees all.
        recordings: What is recorded, when something is.
        signalling: What answers WHIP and WHEP.
        thumbnails: What answers with pictures of streams: see `thumbnail_routes`.

    Returns:
        The application. It keeps no state of its own and can be mounted or served as it is.
    """
    # The page asks for recordings only where there are any to ask for.
    body = status if recordings is None else lambda: status() | {"recordings": True}
    site = Site(body, viewers, load_assets(PAGE_DIR), addresses, listing)
    app = Starlette(
        routes=[
            *([] if signalling is None else signalling_routes(signalling)),
            Route("/", site.index),
            Route("/healthz", site.healthz),
            Route("/favicon.ico", site.favicon),
            Route("/api/streams", site.streams),
            Route("/api/viewers", site.viewers),
            Route("/api/viewers/{id}/kick", site.kick, methods=["POST"]),
            *([] if recordings is None else recordings.routes()),
            *thumbnails,
            Route("/static/{name:path}", site.static),
            Route("/{key:path}/", site.stream_page),
            Route("/{key:path}", site.stream_redirect),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: site.refused},
    )
    app.router.redirect_slashes = False  # it would answer with an absolute URL made of Host
    return app


def signalling_routes(signalling: ASGIApp) -> list[Route]:
    """Return the routes of WHIP and WHEP: for streams, and for the sessions below them."""
    paths = ("/whip", "/whep", "/whip/{session}", "/whep/{session}", "/whep/{session}/layer")
    return [Route("/{key:path}" + path, signalling) for path in paths]


class Site:
    """The handlers of the routes. None of them waits for anything but the answer who may see what."""

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        viewers: Viewers,
        assets: dict[str, Asset],
        addresses: Shown,
        listing: Listing | None,
    ) -> None:
        """Serve what `status` returns, `viewers`, and the files in `assets`; show addresses to those in `addresses`,
        and streams to those whom `listing` lets see them.
        """
        self._listing = listing
        self._addresses: Shown = addresses
        self._status = status
        self._viewers = viewers
        self._assets = assets

    async def index(self, request: Request) -> Response:
        """Answer with the page."""
        return self._assets["index.html"].respond(request)

    async def stream_page(self, request: Request) -> Response:
        """Answer with the page: its script reads the stream's name from the address."""
        if not is_stream_path(request.path_params["key"]):
            raise HTTPException(404)
        return await self.index(request)

    async def stream_redirect(self, request: Request) -> Response:
        """Lead `/live/cam` to `/live/cam/`, with the query: credentials may stand in it."""
        key = request.path_params["key"]
        name = key.rpartition("/")[2]
        if not is_stream_path(key) or "." in name:  # `index.m3u8` of a stream that is not there
            raise HTTPException(404)
        query = request.scope["query_string"].decode("latin-1")
        # Relative, so that no path such as `//host/x` can lead to another site.
        return RedirectResponse(f"./{quote(name, safe='')}/{query and f'?{query}'}", status_code=308)

    async def static(self, request: Request) -> Response:
        """Answer with a file of the page."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return asset.respond(request)

    async def favicon(self, request: Request) -> Response:
        """Answer the request that browsers make for pages without a `<link rel="icon">`."""
        return self._assets["logo.svg"].respond(request)

    async def streams(self, request: Request) -> Response:
        """Answer with what is live now and whoever asks may play."""
        body = self._status()
        if self._listing is not None:
            keys = {StreamKey(it["app"], it["stream"]): it for it in body["streams"]}
            playable = await self._listing.those(request, keys)
            body |= {
                "streams": [it for key, it in keys.items() if key in playable],
                "hides": True,
                # A wrong password looks like a server without streams.
                "refused": bool(keys) and not playable and brings_credentials(request),
            }
        return self._answer(request, body, "streams")

    async def viewers(self, request: Request) -> Response:
        """Answer with who watches a stream."""
        key = key_of(request)
        if self._listing is not None and key not in await self._listing.those(request, [key]):
            raise HTTPException(404, "no such stream, or none that you may play")
        return self._answer(request, self._viewers.status(str(key)), "viewers", "srt")

    def _answer(self, request: Request, body: dict[str, Any], *lists: str) -> Response:
        """Answer with `body`, of whose `lists` only some may see the addresses."""
        if not may_see(request, self._addresses):
            body = body | {name: without_addresses(body[name]) for name in lists if name in body}
        return JSONResponse(body, headers={"cache-control": "no-store"})

    async def kick(self, request: Request) -> Response:
        """End a viewer."""
        if not self._viewers.may_kick:
            raise HTTPException(403, "the server was started without --allow-kick")
        if not is_own(request, KICK_HEADER):
            raise HTTPException(403, f"asked for by another site, or without {KICK_HEADER}")
        if not self._viewers.kick(request.path_params["id"]):
            raise HTTPException(404, "no such viewer")
        return Response(status_code=204)

    async def healthz(self, _request: Request) -> Response:
        """Answer a liveness probe."""
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    async def refused(self, request: Request, error: Exception) -> Response:
        """Answer a program with JSON, and a person who finds nothing with a page."""
        assert isinstance(error, HTTPException)
        is_for_people = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
        if error.status_code == 404 and is_for_people:
            return self._assets["404.html"].respond(request, status=404)
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def is_stream_path(key: str) -> bool:
    """Tell whether `key` has the form `app/stream` or `app/instance/stream`."""
    segments = key.split("/")
    return len(segments) >= 2 and all(segments) and segments[0] not in RESERVED_APPS


class SecurityHeaders:
    """ASGI middleware that puts `SECURITY_HEADERS` on every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the head of its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
