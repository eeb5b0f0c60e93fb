"""Objects in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from arcly.errors import LimitExceededError, NotFoundError
from arcly.storage.key import check_key, check_prefix

if TYPE_CHECKING:
    from typing_extensions import Buffer


class MemoryStorage:
    """A `StorageBackend` that forgets everything with its process.

    Args:
        max_bytes: what all objects may have together, default 1 GiB; beyond it `put` fails.
    """

    def __init__(self, *, max_bytes: int = 1 << 30) -> None:
        self._max_bytes = max_bytes
        self._objects: dict[str, bytes] = {}
        self._bytes = 0

    async def put(self, key: str, data: Buffer) -> None:
        """Keep a copy of `data` under `key`.

        Raises:
            MalformedError: the key is not allowed.
            LimitExceededError: there is no room for it.
        """
        self._keep(check_key(key), bytes(data))

    async def put_file(self, key: str, path: Path) -> None:
        """Keep what the file at `path` holds. Raises as `put`, and OSError."""
        check_key(key)
        self._keep(key, await asyncio.to_thread(path.read_bytes))

    def _keep(self, key: str, data: bytes) -> None:
        total = self._bytes - len(self._objects.get(key, b"")) + len(data)
        if total > self._max_bytes:
            raise LimitExceededError(f"{total} bytes are more than the {self._max_bytes} that may be kept")
        self._objects[key], self._bytes = data, total

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`.

        Raises:
            NotFoundError: nothing is.
        """
        data = self._objects.get(check_key(key))
        if data is None:
            raise NotFoundError(f"nothing is kept under {key}")
        return data

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """Return a part of what is kept under `key`. Raises as `get`."""
        return (await self.get(key))[offset : offset + size]

    async def exists(self, key: str) -> bool:
        """Return whether something is kept under `key`."""
        return check_key(key) in self._objects

    async def delete(self, key: str) -> bool:
        """Forget what is kept under `key`; False when nothing was."""
        data = self._objects.pop(check_key(key), None)
        self._bytes -= len(data or b"")
        return data is not None

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, sorted."""
        check_prefix(prefix)
        return sorted(key for key in self._objects if key.startswith(prefix))
