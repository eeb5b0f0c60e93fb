"""Who may publish and play."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from arcly._native import StreamKey
from arcly.errors import MalformedError

CHALLENGE = 'Basic realm="arcly", Bearer'
"""What an answer of HTTP with 401 asks for (RFC 9110 §11.6.1). Players keep the password that they have until one asks
for it by Basic, with its realm (RFC 7617 §2), and FFmpeg finds it in front only."""

SCRIPT_CHALLENGE = "Bearer"
"""The same for scripts of a page: a browser would ask whoever looks at it for a password, and let the script wait."""

IN_QUERY = frozenset({"user", "pass", "token", "jwt"})
"""Fields of a query that tell of credentials; others have meanings of their own."""


def challenge(fetch_mode: str | None) -> str:
    """Return what an answer with 401 asks for.

    Args:
        fetch_mode: the header Sec-Fetch-Mode of the request (Fetch Metadata §2.2), by which browsers say what for.
    """
    return CHALLENGE if fetch_mode in (None, "", "navigate") else SCRIPT_CHALLENGE


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a peer brings to show that it may do what it asks for."""

    peer: str | None = None
    """Its address, `192.0.2.1:51234`; None inside this process."""

    agent: str = ""
    """What it calls itself; do not trust it."""

    query: str = ""
    """What stood behind `?` in the stream's name or URL, undecoded: `user=a&token=b`."""

    protocol: str = ""
    """How it comes: `rtmp`, `hls`."""

    authorization: str = field(default="", repr=False)
    """The `Authorization` header of HTTP and RTSP, and of RTMP what it would be for `user:password@` in the URL, where
    the peer says it; empty where there is none."""

    params: Mapping[str, str] = field(init=False)
    """`query`, decoded; the last one of repeated names. `authorization` adds what the query does not say: `token` from
    the scheme Bearer, `user` and `pass` from the scheme Basic.
    """

    def __post_init__(self) -> None:
        """Decode the query.

        Raises:
            MalformedError: it has more than 64 fields.
        """
        from urllib.parse import parse_qs  # Only when a peer comes: it would be a tenth of the import of arcly.

        try:
            pairs = parse_qs(self.query, keep_blank_values=True, max_num_fields=64)
        except ValueError as error:
            raise MalformedError(f"query: {error}") from None
        params = {name: values[-1] for name, values in pairs.items()}
        object.__setattr__(self, "params", _from_header(self.authorization) | params)


def may_bring_better(credentials: Credentials) -> bool:
    """Return whether who was refused is asked for credentials, 401, and not turned away for good, 403.

    A password that nobody asked for yet is not sent (RFC 7617 §2), whatever else stands in the query; and a browser
    keeps a mistyped one until 401 says that it was wrong (RFC 9110 §15.5.2). Whoever wrote credentials into the URL, or
    has a token, has no others.
    """
    from urllib.parse import parse_qs  # As above.

    has_token = credentials.authorization.partition(" ")[0].lower() == "bearer"
    return not has_token and IN_QUERY.isdisjoint(parse_qs(credentials.query, keep_blank_values=True))


def is_first_ask(credentials: Credentials) -> bool:
    """Return whether a refusal is the beginning of every log-in: 401 to who has shown nothing yet (RFC 9110 §11.1).

    RTMP and SRT ask for nothing: who comes without anything there has been turned away.
    """
    asks = credentials.protocol not in ("rtmp", "srt")
    return asks and not credentials.authorization and may_bring_better(credentials)


def _from_header(authorization: str) -> dict[str, str]:
    """Return what an `Authorization` header says (RFC 6750 §2.1, RFC 7617 §2); nothing when it is broken."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return {"token": value.strip()}
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return {}
        return {"user": user, "pass": password} if colon else {}
    return {}


@runtime_checkable
class StreamAuthenticator(Protocol):
    """Who may publish and play. A call that raises or takes too long refuses, with a line in the log; by a
    `MalformedError` it tells the peer what is wrong with the name.
    """

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may publish to `key`."""

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may play `key`."""
