"""Who may see what is kept of a stream, over HTTP: whoever may play it. Who may change it: whoever may publish it.

The authenticator is asked once for each playback: playlists and manifests carry a pass into what they name, and a
request with a pass is let in without asking again. A pass is worth as much as the URL in which it stands, holds for one
recording, and for some hours. Everybody who asks within an hour is given the same: a cache in front needs one copy.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request

from arcly._native import StreamKey
from arcly.contract import Credentials
from arcly.contract.access import IN_QUERY, challenge, may_bring_better
from arcly.engine import Engine
from arcly.errors import MalformedError, UnauthorizedError
from arcly.protocols._whip import peer_of

PASS = "pass"
"""The parameter of the query in which a pass stands."""

PASS_S = 6 * 3600
"""At least so long holds a pass: who pauses goes on afterwards."""

ROUND_S = 3600
"""Passes end at multiples of so many seconds."""

ASKED_AT_ONCE = 16
"""Questions to the authenticator at a time about what is on a list."""

SHAPE = re.compile(r"(\d{1,12})-([0-9a-f]{32})")

FIELD = re.compile(rf"(?:^|&){PASS}={SHAPE.pattern}(?=&|$)")
"""A pass in a query, with what parts it from the field before."""

HLS_URI = re.compile(r'^(?=[^#\s])(.*)$|URI="([^"]*)"', re.MULTILINE)
"""A line of a playlist that is an URI, and an attribute that is one (RFC 8216 §4.1)."""

DASH_URI = re.compile(r'(media|initialization)="([^"]*)"')
"""A template of URIs in a manifest (ISO/IEC 23009-1 §5.3.9.4)."""


class Admission:
    """The decisions.

    Args:
        engine: its authenticator is asked.
        clock: seconds that only go forward.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    @property
    def asks(self) -> bool:
        """Whether there is anybody to ask; otherwise everybody may do everything."""
        return self._engine.has_authenticator

    async def play(self, request: Request, key: StreamKey, protocol: str) -> None:
        """Let in whoever may play the stream.

        Raises:
            HTTPException: 401 asks for better credentials, 403 says that there are none (`may_bring_better`).
        """
        credentials = credentials_of(request, protocol)
        try:
            await self._engine.authorize_play(key, credentials)
        except (MalformedError, UnauthorizedError):
            raise refusal(request, credentials, f"may not play {key}") from None

    async def change(self, request: Request, key: StreamKey, protocol: str) -> None:
        """Let in whoever may publish the stream: what is kept of it is theirs.

        Raises:
            HTTPException: as `play`.
        """
        credentials = credentials_of(request, protocol)
        try:
            await self._engine.authorize_publish(key, credentials)
        except (MalformedError, UnauthorizedError):
            raise refusal(request, credentials, f"may not change what is kept of {key}") from None

    async def those(
        self, keys: Collection[StreamKey], let_in: Callable[[StreamKey], Awaitable[None]]
    ) -> set[StreamKey]:
        """Return those of the streams that `let_in` (`play` or `change`) lets whoever asks to."""
        if not self.asks:
            return set(keys)
        asking = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(key: StreamKey) -> bool:
            async with asking:
                try:
                    await let_in(key)
                except HTTPException:
                    return False
                return True

        answers = await asyncio.gather(*map(ask, keys))
        return {key for key, may in zip(keys, answers, strict=True) if may}

    def query(self, recording: int) -> str:
        """Return what URIs of a recording must end with, for whoever was let in; empty when nobody is asked."""
        if not self.asks:
            return ""
        until_s = (int(self._clock() + PASS_S) // ROUND_S + 1) * ROUND_S
        return f"?{PASS}={until_s}-{self._proof(recording, until_s)}"

    def has_pass(self, request: Request, recording: int) -> bool:
        """Return whether a request brings a pass for a recording that still holds."""
        match = SHAPE.fullmatch(request.query_params.get(PASS, ""))
        if match is None:
            return False
        until_s, proof = int(match[1]), match[2]
        return hmac.compare_digest(proof, self._proof(recording, until_s)) and self._clock() < until_s

    def _proof(self, recording: int, until_s: int) -> str:
        return hmac.digest(self._secret, f"{recording}-{until_s}".encode(), "sha256").hex()[:32]


def credentials_of(request: Request, protocol: str) -> Credentials:
    """Return what a request brings. A pass is ours, and no password, which it would hide in a header.

    Raises:
        HTTPException: 400, they cannot be read.
    """
    try:
        return Credentials(
            peer=peer_of(request.scope),
            agent=request.headers.get("user-agent", ""),
            query=FIELD.sub("", request.scope["query_string"].decode("latin-1")),
            protocol=protocol,
            authorization=request.headers.get("authorization", ""),
        )
    except MalformedError as error:
        raise HTTPException(400, str(error)) from None


def brings_credentials(request: Request) -> bool:
    """Return whether a request brings something that says who asks, right or wrong."""
    credentials = credentials_of(request, "")
    return bool(credentials.authorization) or not IN_QUERY.isdisjoint(credentials.params)


def refusal(request: Request, credentials: Credentials, text: str) -> HTTPException:
    """Return the answer to whom was not let in."""
    if not may_bring_better(credentials):
        return HTTPException(403, text)
    mode = request.headers.get("sec-fetch-mode")
    return HTTPException(401, text, headers={"www-authenticate": challenge(mode)})


def carry_hls(playlist: str, query: str) -> str:
    """Return a playlist whose URIs end with `query`."""

    def put(match: re.Match[str]) -> str:
        return f"{match[1]}{query}" if match[1] is not None else f'URI="{match[2]}{query}"'

    return HLS_URI.sub(put, playlist) if query else playlist


def carry_dash(manifest: str, query: str) -> str:
    """Return a manifest whose URIs end with `query`."""
    return DASH_URI.sub(rf'\1="\2{query}"', manifest) if query else manifest
