"""Tokens that a web application makes with a shared secret, and that need no question to anybody.

A token is `<expiry>:<mac>`: the Unix second at which it ends, and the HMAC-SHA256 (RFC 2104) of `app/stream:<expiry>`
in hex. It comes as `token` in the query: `rtmp://host/live/cam?token=1767225600:9f86d0…`.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Sequence

from arcly._limits import require_between
from arcly._native import StreamKey
from arcly.contract import Credentials
from arcly.errors import MisuseError
from arcly.services.auth.combine import Action, Authenticator

_TOKEN = re.compile(r"(0|[1-9][0-9]{0,11}):([0-9a-fA-F]{64})", re.ASCII)
"""One way only to write a number, and none longer than 12 digits (the year 33 658)."""

SECRET_BYTES_MIN = 16
"""A secret below 128 bits can be guessed from one token."""

SECRETS_MAX = 16
"""Each secret costs one HMAC per question, and questions come from anybody."""


class SignedToken(Authenticator):
    """Allows who brings a token for this very stream, made with one of the secrets and not expired.

    A token can be used any number of times until it expires, by whoever sees it: let it live for minutes. It does not
    say what it is for: where viewers get tokens too, make `play_secrets` others than `*secrets`, or they may publish.

    Args:
        *secrets: what tokens for publishing are made with, each at least 16 bytes; text is taken as UTF-8. Several,
            up to 16, are for rotation: `issue` uses the first, all are accepted. Costs one HMAC each.
        play_secrets: the same for playing; default None: everybody may play.
        clock_skew_s: seconds that a token is accepted after its expiry, for clocks that disagree, default 30;
            0 to 3600.
        now: the Unix time in seconds; default `time.time`.

    Raises:
        MisuseError: no secret, too many, a short one, or `clock_skew_s` out of range.
    """

    def __init__(
        self,
        *secrets: str | bytes,
        play_secrets: Sequence[str | bytes] | None = None,
        clock_skew_s: float = 30.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        require_between("clock_skew_s", clock_skew_s, 0, 3600)
        if isinstance(play_secrets, str | bytes):
            raise MisuseError("play_secrets is a sequence of secrets, not one secret")
        self._secrets = {Action.PUBLISH: _checked(secrets)}
        if play_secrets is not None:
            self._secrets[Action.PLAY] = _checked(play_secrets)
        self._clock_skew_s = clock_skew_s
        self._now = now

    def issue(self, key: StreamKey, expires_at: float, *, action: Action = Action.PUBLISH) -> str:
        """Return a token.

        Args:
            key: the only stream that it is good for.
            expires_at: when it ends, in seconds of Unix time; the fraction is cut off.
            action: what it is for, default publishing.

        Raises:
            MisuseError: tokens for playing without `play_secrets`, or `expires_at` is not within 12 digits.
        """
        require_between("expires_at", expires_at, 0, 10**12 - 1)
        if action not in self._secrets:
            raise MisuseError("no play_secrets: everybody may play, without a token")
        expiry = str(int(expires_at))
        return f"{expiry}:{_mac(self._secrets[action][0], key, expiry).hex()}"

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer's `token` is good for it."""
        secrets = self._secrets.get(action)
        if secrets is None:
            return True
        form = _TOKEN.fullmatch(credentials.params.get("token", ""))
        if form is None:
            return False
        expiry, mac = form[1], bytes.fromhex(form[2])
        # Every secret is tried, and compared in constant time: how long it takes says nothing.
        genuine = sum([hmac.compare_digest(mac, _mac(secret, key, expiry)) for secret in secrets]) > 0
        return genuine and self._now() <= int(expiry) + self._clock_skew_s


def _mac(secret: bytes, key: StreamKey, expiry: str) -> bytes:
    return hmac.digest(secret, f"{key}:{expiry}".encode(), "sha256")


def _checked(secrets: Sequence[str | bytes]) -> tuple[bytes, ...]:
    found = tuple(secret.encode() if isinstance(secret, str) else bytes(secret) for secret in secrets)
    require_between("the number of secrets", len(found), 1, SECRETS_MAX)
    require_between("the length of the shortest secret", min(map(len, found)), SECRET_BYTES_MIN, 1 << 20)
    return found
