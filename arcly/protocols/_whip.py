"""The HTTP half of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep), as a plain ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from arcly._native import StreamKey
from arcly.contract import Credentials
from arcly.contract.access import challenge, may_bring_better
from arcly.errors import (
    AlreadyPublishingError,
    ClosedError,
    LimitExceededError,
    MalformedError,
    MisuseError,
    NotFoundError,
    StreamError,
    UnauthorizedError,
    UnsupportedError,
)

log = logging.getLogger("arcly")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_BYTES_MAX = 64 << 10
"""Bytes of an offer or a fragment; a browser's offer of everything has ten thousand."""

BODY_DEADLINE_S = 10.0
"""How long it may take to come: who is not asked yet who they are hold a place for as long."""

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"

RETRY_AFTER_S = "5"
"""When somebody who was turned away for want of room may come again."""

CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "OPTIONS, GET, POST, PATCH, DELETE"),
    ("access-control-allow-headers", "authorization, content-type, if-match"),
    ("access-control-expose-headers", "location, etag, link, accept-patch, x-arcly-note, x-arcly-layer"),
    ("access-control-max-age", "86400"),
)

STATUS: dict[type[StreamError], int] = {
    MalformedError: 400,
    NotFoundError: 404,
    AlreadyPublishingError: 409,
    UnsupportedError: 422,
    MisuseError: 412,
    LimitExceededError: 503,
    ClosedError: 503,
}
"""What HTTP says of each error; others are 500."""

IceServer = str | tuple[str, str, str]
"""A STUN or TURN server that peers are told to use besides: a URL, or a URL, a user name and its credential."""

ICE_URL = re.compile(r"(stun|turn)s?:[^\x00-\x20<>\"\x7f-\U0010ffff]+")
"""RFC 7064, RFC 7065."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was opened."""

    id: str
    """Its name, which nobody can guess: who has it may end the session."""
    answer: str
    """The SDP answer."""
    ice: str
    """The name of its ICE session: the entity tag (RFC 9725 §4.3.1)."""
    notes: list[str]
    """What a person may want to know: what was left out, and why."""
    has_layers: bool = False
    """Whether a viewer is sent one of several renditions: which one, may be asked for."""


class Sessions(Protocol):
    """Who opens sessions: a `WebRtcHandler`."""

    @property
    def ice_servers(self) -> list[IceServer]:
        """What peers are told to use besides."""

    async def publish(self, key: StreamKey, offer: str, credentials: Credentials) -> Session:
        """Open a session of a publisher."""

    async def play(self, key: StreamKey, offer: str, credentials: Credentials) -> Session:
        """Open a session of a viewer."""

    async def trickle(self, session: str, fragment: str, ice: str | None) -> tuple[str, str] | None:
        """Take a fragment for a session."""

    async def layer(self, session: str) -> tuple[str, int]:
        """Return which rendition a viewer is sent, and what its path carries in bits per second."""

    async def close(self, session: str) -> None:
        """End a session."""


LAYER = "layer"
"""Below a session: which rendition its viewer is sent."""


class _Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names."""

    key: str
    direction: str
    session: str | None
    asks_layer: bool = False


class WhipApp:
    """`/<app>/<stream>/whip` and `/whep`, and the sessions below them."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @classmethod
    def target_of(cls, scope: Scope) -> _Target | None:
        """The same for a request, wherever the application is mounted."""
        return cls.target(scope["path"].removeprefix(scope.get("root_path", "")))

    @staticmethod
    def target(path: str) -> _Target | None:
        """Return what `path` names; None when it is nothing of WHIP or WHEP."""
        segments = path.strip("/").split("/")
        if len(segments) > 4 and segments[-1] == LAYER and segments[-3] == "whep":
            return _Target("/".join(segments[:-3]), "whep", segments[-2], asks_layer=True)
        for at, session in ((-1, None), (-2, segments[-1])):
            if len(segments) + at >= 2 and segments[at] in ("whip", "whep"):
                return _Target("/".join(segments[:at]), segments[at], session)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError("WHIP and WHEP are HTTP")
        target = self.target_of(scope)
        try:
            if target is None:
                raise _Refused(404, "not found: streams are at /<app>/<stream>/whip and /whep")
            status, headers, body = await self._answer(target, scope, receive)
        except _Refused as refusal:
            status, headers, body = refusal.status, list(refusal.headers), f"{refusal}\n"
            headers.append(("content-type", "text/plain; charset=utf-8"))
        await respond(send, status, headers, body)

    async def _answer(self, target: _Target, scope: Scope, receive: Receive) -> tuple[int, list[tuple[str, str]], str]:
        method = scope["method"]
        if method == "OPTIONS":
            # Who asks this has not said who they are: of credentials they are told nothing.
            told = [server for server in self._sessions.ice_servers if isinstance(server, str)]
            return 204, [("accept-post", SDP), *links(told)], ""
        if target.session is None:
            if method == "POST":
                return await self._open(target, scope, receive)
            raise _Refused(405, f"{target.direction} is a POST of an SDP offer", ("allow", "OPTIONS, POST"))
        if target.asks_layer:
            return await self._layer(target.session, method)
        if method == "PATCH":
            return await self._trickle(target.session, scope, receive)
        if method == "DELETE":
            # One that has ended already is no fault: so it is where a peer says goodbye to its media first.
            async with _Translated():
                with contextlib.suppress(NotFoundError):
                    await self._sessions.close(target.session)
            return 200, [], ""
        raise _Refused(405, "a session takes PATCH and DELETE", ("allow", "OPTIONS, PATCH, DELETE"))

    async def _open(self, target: _Target, scope: Scope, receive: Receive) -> tuple[int, list[tuple[str, str]], str]:
        expect(scope, SDP)
        async with _Translated(scope):
            app, _, stream = target.key.rpartition("/")
            key = StreamKey(app, stream)
            credentials = credentials_of(scope)
            offer = await read(receive)
            begin = self._sessions.publish if target.direction == "whip" else self._sessions.play
            session = await begin(key, offer, credentials)
        for note in session.notes:
            log.info("[webrtc] %s, %s: %s", key, credentials.peer, note)
        location = f"{scope.get('root_path', '')}/{quote(target.key)}/{target.direction}/{session.id}"
        headers = [
            ("content-type", SDP),
            ("location", location),
            ("etag", f'"{session.ice}"'),
            ("accept-patch", FRAGMENT),
            *links(self._sessions.ice_servers),
        ]
        if session.has_layers:
            headers.append(("x-arcly-layer", f"{location}/{LAYER}"))
        if session.notes:
            headers.append(("x-arcly-note", "; ".join(session.notes)))
        return 201, headers, session.answer

    async def _trickle(self, session: str, scope: Scope, receive: Receive) -> tuple[int, list[tuple[str, str]], str]:
        expect(scope, FRAGMENT)
        # RFC 9725 §4.3.1: the entity tag says which ICE session is meant, `*` any; many clients say nothing.
        matches = header(scope, "if-match").strip()
        ice = None if matches in ("", "*", '"*"') else matches.removeprefix("W/").strip('"')
        async with _Translated():
            restarted = await self._sessions.trickle(session, await read(receive), ice)
        if restarted is None:
            return 204, [], ""
        fragment, ice = restarted
        return 200, [("content-type", FRAGMENT), ("etag", f'"{ice}"')], fragment

    async def _layer(self, session: str, method: str) -> tuple[int, list[tuple[str, str]], str]:
        if method != "GET":
            raise _Refused(405, "what a viewer is sent takes GET", ("allow", "GET, OPTIONS"))
        async with _Translated():
            name, estimate_bps = await self._sessions.layer(session)
        told = json.dumps({"layer": name, "estimate_bps": estimate_bps})
        return 200, [("content-type", "application/json")], told


class _Translated:
    """Turns the errors of arcly into answers of HTTP."""

    def __init__(self, scope: Scope | None = None) -> None:
        self._scope = scope

    async def __aenter__(self) -> None:
        """Do nothing."""

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raise the answer."""
        if error is None or isinstance(error, _Refused) or not isinstance(error, Exception):
            return
        if isinstance(error, UnauthorizedError):
            if self._scope is not None and not may_bring_better(credentials_of(self._scope)):
                raise _Refused(403, str(error)) from None
            mode = None if self._scope is None else header(self._scope, "sec-fetch-mode")
            raise _Refused(401, str(error), ("www-authenticate", challenge(mode))) from None
        if not isinstance(error, StreamError):
            log.exception("[webrtc] answering a request failed")
            raise _Refused(500, "an error of the server") from None
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        retry = [("retry-after", RETRY_AFTER_S)] if status == 503 else []
        raise _Refused(status, str(error), *retry) from None


def links(servers: Iterable[IceServer]) -> list[tuple[str, str]]:
    """Return the headers that name servers of STUN and TURN (RFC 9725 §4.6).

    Raises:
        MisuseError: one of them is none that a browser takes.
    """
    return [("link", link(server)) for server in servers]


def link(server: IceServer) -> str:
    """Return what is said of one of them."""
    url, *account = (server,) if isinstance(server, str) else server
    if not ICE_URL.fullmatch(url):
        raise MisuseError(f"{url!r} is no URL of STUN or TURN: turn:HOST[:PORT][?transport=udp]")
    if not account:
        if url.startswith("turn"):
            raise MisuseError(
                f"browsers refuse a TURN server without user name and credential: ({url!r}, USER, CREDENTIAL)"
            )
        return f'<{url}>; rel="ice-server"'
    username, credential = map(quoted, account)
    return f'<{url}>; rel="ice-server"; username={username}; credential={credential}; credential-type="password"'


def quoted(text: str) -> str:
    """Return text as a quoted string of HTTP (RFC 9110 §5.6.4)."""
    if not (text.isascii() and text.isprintable()):
        raise MisuseError("user names and credentials of TURN servers are printable ASCII: nothing else fits a header")
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def header(scope: Scope, name: str) -> str:
    """Return the first header with that name, in lower case; empty where there is none."""
    wanted = name.encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), "")


def expect(scope: Scope, media_type: str) -> None:
    """Refuse a body of another type."""
    given = header(scope, "content-type").partition(";")[0].strip().lower()
    if given != media_type:
        raise _Refused(415, f"the body must be {media_type}, and is {given or 'of no type'}", ("accept-post", SDP))


async def read(receive: Receive) -> str:
    """Return the body of the request."""
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            body = await _whole(receive)
    except TimeoutError:
        raise _Refused(408, f"the body did not come within {BODY_DEADLINE_S:g} s") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise _Refused(400, "the body is not UTF-8") from None


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "the request was not finished")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_BYTES_MAX:
            raise _Refused(413, f"the body has more than {BODY_BYTES_MAX} bytes")
    return body


def credentials_of(scope: Scope) -> Credentials:
    """Return what the request brings."""
    return Credentials(
        peer=peer_of(scope),
        agent=header(scope, "user-agent"),
        query=scope.get("query_string", b"").decode("latin-1"),
        protocol="webrtc",
        authorization=header(scope, "authorization"),
    )


def peer_of(scope: Scope) -> str | None:
    """Return the address of the client."""
    client = scope.get("client")
    if client and client[0]:
        return str(client[0])
    # Behind a Unix socket, which is how arcly's own origin passes requests on: it says who asks, and nobody else can.
    # Proxies that keep what the client has written put theirs behind it.
    forwarded = b",".join(value for key, value in scope["headers"] if key == b"x-forwarded-for")
    return forwarded.rpartition(b",")[2].decode("latin-1").strip() or None


async def respond(send: Send, status: int, headers: Iterable[tuple[str, str]], body: str) -> None:
    """Send an answer that pages of other origins may read."""
    encoded = body.encode()
    all_headers = [*CORS, *headers, ("cache-control", "no-store"), ("content-length", str(len(encoded)))]
    if status == 204:
        all_headers.pop()
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in all_headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": encoded})
