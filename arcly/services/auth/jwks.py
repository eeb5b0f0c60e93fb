"""The keys that JSON Web Tokens are checked with: one key, a JSON Web Key Set (RFC 7517), or the URL of one."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from arcly._limits import require_between
from arcly.errors import MisuseError
from arcly.services._http import HttpClient, HttpFailedError

if TYPE_CHECKING:
    from jwt import PyJWK

log = logging.getLogger("arcly")

KEYS_MAX = 32
"""Keys of a set that are used: a token without `kid` costs one check of a signature for each."""

SET_BYTES_MAX = 256 << 10
"""Bytes of a set that are read from a URL."""

RETRY_S = 10.0
"""Seconds between two fetches: peers who invent a `kid` cannot make us hammer the URL, nor wait for one that fails."""

PATIENCE_S = 1.0
"""Seconds that a token waits for a newer set while the last one will do."""

KEY_TYPES = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""The algorithms that can be allowed (RFC 7518 §3.1, RFC 8037 §3.1) and the `kty` of their keys; never `none`."""


@dataclass(frozen=True, slots=True)
class JwksUrl:
    """Where a key set is fetched from when it is first needed, and kept.

    Raises:
        MisuseError: a number is out of range. The URL is checked by `JwtAuthenticator`.
    """

    url: str
    """`https://`, or `http://` where nobody can come between; redirects are not followed."""

    refresh_s: float = 3600.0
    """Seconds after which it is fetched again, default an hour; 10 to 86 400. A key that is revoked is believed for
    so long. A token with an unknown `kid` causes a fetch too, at most every 10 s."""

    stale_s: float = 86_400.0
    """Seconds for which the last set is used while it cannot be fetched, default a day; from `refresh_s` to 30 days."""

    deadline_s: float = 4.0
    """Seconds for a fetch, default 4; 0.01 to 60. Keep it below the engine's `auth_deadline_s`, which is 5."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        require_between("refresh_s", self.refresh_s, RETRY_S, 86_400)
        require_between("stale_s", self.stale_s, self.refresh_s, 30 * 86_400)
        require_between("deadline_s", self.deadline_s, 0.01, 60)


class KeySource(Protocol):
    """Where the keys for a token come from."""

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the keys that may have signed it, as PyJWT takes them."""


class SingleKey:
    """One key, which has no id."""

    def __init__(self, key: str | bytes, algorithms: Iterable[str]) -> None:
        import jwt

        self._keys: dict[str, Any] = {}
        for name in algorithms:
            algorithm = jwt.get_algorithm_by_name(name)
            try:
                prepared = self._keys[name] = algorithm.prepare_key(key)
            except (jwt.PyJWTError, ValueError, TypeError) as error:
                raise MisuseError(f"not a key for {name}: {error}") from None
            if weakness := algorithm.check_key_length(prepared):
                raise MisuseError(weakness)

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the key, whatever the token calls it."""
        key = self._keys.get(algorithm)
        return [] if key is None else [key]


class KeySet:
    """The usable keys of a set; others are passed over, as RFC 7517 §5 wants it.

    Raises:
        ValueError: this is not a key set, or no key of it can be used.
    """

    def __init__(self, document: object, algorithms: Sequence[str]) -> None:
        entries = document.get("keys") if isinstance(document, Mapping) else None
        if not isinstance(entries, list):
            raise ValueError('a key set is an object with an array "keys"')
        self._keys = [key for entry in entries[:KEYS_MAX] for key in _usable(entry, algorithms)]
        if not self._keys:
            raise ValueError(f"no key of the set is for {', '.join(algorithms)}")

    def candidates(self, algorithm: str, kid: str | None) -> list[PyJWK]:
        """Return the keys for an algorithm and, if the token names one, with that id or none."""
        return [
            key for key in self._keys if key.algorithm_name == algorithm and (kid is None or key.key_id in (kid, None))
        ]

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return `candidates`."""
        return self.candidates(algorithm, kid)


def _usable(entry: object, algorithms: Sequence[str]) -> Iterable[PyJWK]:
    """Yield one key per algorithm that `entry` can be used with: most say it themselves, some only say their type."""
    import jwt

    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return
    for name in algorithms:
        if KEY_TYPES[name] == entry.get("kty") and entry.get("alg", name) == name:
            try:
                yield jwt.PyJWK(entry, name)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
                log.warning("a key of the set cannot be used for %s: %s", name, type(error).__name__)


class RemoteKeySet:
    """A key set behind a URL."""

    def __init__(self, where: JwksUrl, algorithms: Sequence[str]) -> None:
        self._where = where
        self._algorithms = algorithms
        self._client = HttpClient(where.url, deadline_s=where.deadline_s, concurrency=1, body_max=SET_BYTES_MAX + 1)
        self._fetch: asyncio.Task[None] | None = None
        self._keys: KeySet | None = None
        self._fetched_s = self._tried_s = float("-inf")

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the candidates, after a fetch if that is due or may help; none when there is no set to be had."""
        if time.monotonic() - self._fetched_s >= self._where.refresh_s:
            self._begin_fetch()
            # While the last set will do, a provider that hangs keeps nobody outside.
            await self._wait(PATIENCE_S if self._current(algorithm, kid) else None)
        found = self._current(algorithm, kid)
        if not found and kid is not None:
            self._begin_fetch()
            await self._wait(None)
            found = self._current(algorithm, kid)
        return found

    def _current(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        if self._keys is None or time.monotonic() - self._fetched_s >= self._where.stale_s:
            return []
        return self._keys.candidates(algorithm, kid)

    def _begin_fetch(self) -> None:
        """Fetch the set, unless that goes on already or has just been tried."""
        if time.monotonic() - self._tried_s >= RETRY_S and (self._fetch is None or self._fetch.done()):
            self._tried_s = time.monotonic()
            self._fetch = asyncio.create_task(self._renew())

    async def _wait(self, patience_s: float | None) -> None:
        """Wait for the fetch that goes on. It does not end with who waits: the next who comes has use for it."""
        if self._fetch is not None:
            await asyncio.wait([self._fetch], timeout=patience_s)

    async def _renew(self) -> None:
        try:
            self._keys = await self._download()
            self._fetched_s = time.monotonic()
        except (HttpFailedError, ValueError, RecursionError) as error:
            log.warning("the key set could not be fetched: %s", error)

    async def _download(self) -> KeySet:
        response = await self._client.request("GET", Accept="application/jwk-set+json, application/json")
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        if len(response.body) > SET_BYTES_MAX:
            raise ValueError(f"longer than {SET_BYTES_MAX} bytes")
        return KeySet(json.loads(response.body), self._algorithms)
