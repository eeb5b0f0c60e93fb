"""An authoriser of your own, asked over HTTP in the way that MediaMTX asks, so that one made for it works here."""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from arcly._native import StreamKey
from arcly.contract import Credentials
from arcly.services._http import HttpClient, HttpFailedError
from arcly.services.auth.combine import Action, Authenticator

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("arcly")

FIELD_CHARS_MAX = 8192
"""Characters of each thing that a peer said about itself: what is longer is refused unasked."""


class HttpAuthenticator(Authenticator):
    """Asks a URL: a POST of JSON, allowed by a status of 200 to 209.

    The body is `{user, password, token, ip, action, path, protocol, id, query, userAgent}`. `user`, `password` and
    `token` are those of the query (`?user=&pass=&token=`), `action` is `publish` or `read`, `path` is `app/stream`,
    `id` is null. Every other status, a redirect, no answer, and an answer that is no HTTP all refuse. The body of
    the answer is not read.

    Args:
        url: `http://` or `https://`. The peer's password goes there: use TLS unless it is this machine.
        deadline_s: seconds from the question to the answer, waiting for a free thread included, default 4; 0.01 to
            60. Keep it below the engine's `auth_deadline_s`, which is 5.
        concurrency: questions at a time, default 16; 1 to 256. Each is a thread, made when needed.
        gate_play: whether players are asked about too, default True.
        headers: sent with every question, for instance a secret that tells the authoriser who asks.
        tls: for `https`; default: the system's authorities and the host's name are checked.

    Raises:
        MisuseError: the URL is none, has a user or password in it, or a number is out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline_s: float = 4.0,
        concurrency: int = 16,
        gate_play: bool = True,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._client = HttpClient(
            url,
            deadline_s=deadline_s,
            concurrency=concurrency,
            body_max=0,
            headers={**(headers or {}), "Content-Type": "application/json"},
            tls=tls,
        )
        self._gate_play = gate_play

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the authoriser allows it."""
        if action is Action.PLAY and not self._gate_play:
            return True
        body = question(action, key, credentials)
        if any(len(value) > FIELD_CHARS_MAX for value in body.values() if value is not None):
            return False
        try:
            response = await self._client.request("POST", json.dumps(body).encode())
        except HttpFailedError as error:
            log.warning("%s is refused: the authoriser failed: %s", key, error)
            return False
        return 200 <= response.status <= 209


def question(action: Action, key: StreamKey, credentials: Credentials) -> dict[str, str | None]:
    """Return the body of the request."""
    params = credentials.params
    return {
        "user": params.get("user", ""),
        "password": params.get("pass", ""),
        "token": params.get("token", ""),
        "ip": ip_of(credentials.peer),
        "action": action.value,
        "path": str(key),
        "protocol": credentials.protocol,
        "id": None,
        "query": credentials.query,
        "userAgent": credentials.agent,
    }


def ip_of(peer: str | None) -> str:
    """Return the address alone of `192.0.2.1:5` or `[2001:db8::1]:5`, or of one without port, as ASGI has it; empty
    for a peer inside this process.
    """
    if peer is None:
        return ""
    address = _address(peer) or _address(peer.rpartition(":")[0].removeprefix("[").removesuffix("]"))
    if address is None:
        return ""
    # A listener for both families sees IPv4 peers as ::ffff:192.0.2.1 (RFC 4291 §2.5.5.2).
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
