"""JSON Web Tokens (RFC 7519) that say what their bearer may do, in the way that MediaMTX reads them.

The claim `mediamtx_permissions` holds `[{"action": "publish", "path": "live/cam"}]`. Needs the extra `arcly[jwt]`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from arcly._limits import require_between
from arcly._native import StreamKey
from arcly.contract import Credentials
from arcly.errors import MisuseError
from arcly.services.auth.combine import Action, Authenticator
from arcly.services.auth.jwks import KEY_TYPES, JwksUrl, KeySet, KeySource, RemoteKeySet, SingleKey

log = logging.getLogger("arcly")

TOKEN_CHARS_MAX = 8192
"""Longest token that is looked at."""

PERMISSIONS_MAX = 256
"""Permissions of a token that are looked at."""

PATTERN_CHARS_MAX = 1024
"""Longest expression in a permission."""

PATTERN_MEMORY_BYTES = 1 << 20
"""Memory that an expression may need to be matched."""


class JwtAuthenticator(Authenticator):
    """Allows what the peer's token permits.

    The token comes in the query as `token`, `pass` or `jwt`, the first of these that is there. It must carry `exp`;
    `nbf` and `iat` count if they are there. A permission has an `action`, `publish` or `read`, and a `path`: that
    very `app/stream`, or everything when it is empty or absent, or, behind `~`, an RE2 expression that has to match
    somewhere in it: `~^live/`. RE2 takes linear time, so that no expression can hold up the server.

    Args:
        keys: a secret or a public key in PEM; a JSON Web Key Set as a mapping; or a `JwksUrl`.
        algorithms: those that are accepted, of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256,
            ES384, ES512, EdDSA. There is no default, so that nothing is accepted that nobody chose. Secrets shorter
            than the hash and RSA keys below 2048 bits are refused.
        claim: where the permissions are, default `mediamtx_permissions`; a list, or JSON of one as text.
        issuer: what `iss` must be; default None: not looked at.
        audience: what `aud` must be or contain; default None: not looked at. Give it where the same issuer makes
            tokens for others.
        clock_skew_s: seconds by which clocks may disagree, default 30; 0 to 3600.
        gate_play: whether players need a token too, default True.

    Raises:
        MisuseError: no algorithm, an unknown one, a key that is none for it, a set without a usable key, or
            algorithms of secrets beside those of public keys: then a public key would pass for a secret.
        ImportError: `arcly[jwt]` is not installed.
    """

    def __init__(
        self,
        keys: str | bytes | Mapping[str, Any] | JwksUrl,
        *,
        algorithms: Sequence[str],
        claim: str = "mediamtx_permissions",
        issuer: str | None = None,
        audience: str | None = None,
        clock_skew_s: float = 30.0,
        gate_play: bool = True,
    ) -> None:
        _require_extra()
        require_between("clock_skew_s", clock_skew_s, 0, 3600)
        self._algorithms = _checked(algorithms)
        self._keys = _source(keys, self._algorithms)
        self._claim = claim
        self._issuer = issuer
        self._audience = audience
        self._clock_skew_s = clock_skew_s
        self._gate_play = gate_play

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer's token permits it."""
        if action is Action.PLAY and not self._gate_play:
            return True
        claims = await self._claims(_token_of(credentials))
        return claims is not None and permits(claims.get(self._claim), action, str(key))

    async def _claims(self, token: str) -> dict[str, Any] | None:
        """Return what a genuine token says, None for any other."""
        import jwt

        if not 0 < len(token) <= TOKEN_CHARS_MAX:
            return None
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
        except (jwt.PyJWTError, RecursionError, ValueError) as error:
            log.info("a token is refused: %s", type(error).__name__)
            return None
        if algorithm not in self._algorithms:
            return None
        for candidate in await self._keys.find(algorithm, kid):
            claims = self._verified(token, candidate, algorithm)
            if claims is not None:
                return claims
        return None

    def _verified(self, token: str, key: Any, algorithm: str) -> dict[str, Any] | None:
        import jwt

        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._clock_skew_s,
                options={
                    "require": ["exp"],
                    "verify_iss": self._issuer is not None,
                    "verify_aud": self._audience is not None,
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, RecursionError, ValueError, TypeError, OverflowError) as error:
            # The last four: what a number or nesting in the token can do to its parser.
            log.info("a token is refused: %s", type(error).__name__)
            return None


def permits(permissions: object, action: Action, path: str) -> bool:
    """Return whether one of `permissions`, the value of the claim, allows `action` on `path`."""
    if isinstance(permissions, str):  # Some identity providers can only make text.
        try:
            permissions = json.loads(permissions)
        except (ValueError, RecursionError):
            return False
    if not isinstance(permissions, list):
        return False
    return any(_covers(permission, action, path) for permission in permissions[:PERMISSIONS_MAX])


def _covers(permission: object, action: Action, path: str) -> bool:
    if not isinstance(permission, dict) or permission.get("action") != action.value:
        return False
    pattern = permission.get("path", "")
    if not isinstance(pattern, str):
        return False
    if pattern.startswith("~"):
        return _matches(pattern[1:], path)
    return pattern in ("", path)


def _matches(pattern: str, path: str) -> bool:
    import re2  # type: ignore[import-untyped]

    if len(pattern) > PATTERN_CHARS_MAX:
        return False
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search(path) is not None
    except (re2.error, ValueError):  # ValueError: a lone surrogate, which JSON can name and UTF-8 cannot.
        return False


def _token_of(credentials: Credentials) -> str:
    params = credentials.params
    return params.get("token") or params.get("pass") or params.get("jwt") or ""


def _checked(algorithms: Sequence[str]) -> tuple[str, ...]:
    if isinstance(algorithms, str) or not algorithms:
        raise MisuseError('algorithms is a list of what is accepted: ["RS256"]')
    unknown = [name for name in algorithms if name not in KEY_TYPES]
    if unknown:
        raise MisuseError(f"unknown algorithms: {', '.join(map(repr, unknown))}; known are {', '.join(KEY_TYPES)}")
    if len({KEY_TYPES[name] == "oct" for name in algorithms}) > 1:
        raise MisuseError("algorithms of secrets (HS…) and of public keys cannot be accepted at once")
    return tuple(dict.fromkeys(algorithms))


def _source(keys: str | bytes | Mapping[str, Any] | JwksUrl, algorithms: tuple[str, ...]) -> KeySource:
    if isinstance(keys, JwksUrl):
        return RemoteKeySet(keys, algorithms)
    if isinstance(keys, str | bytes):
        return SingleKey(keys, algorithms)
    try:
        return KeySet(keys, algorithms)
    except ValueError as error:
        raise MisuseError(str(error)) from None


def _require_extra() -> None:
    try:
        import jwt  # noqa: F401
        import re2  # noqa: F401
    except ImportError as error:
        raise ImportError("JwtAuthenticator needs PyJWT and google-re2: pip install 'arcly[jwt]'") from error
