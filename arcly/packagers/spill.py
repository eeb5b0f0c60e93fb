"""The older part of a window in a storage backend. What native threads that may wait call."""

from __future__ import annotations

import asyncio
import logging
import os
import time

from arcly._deadline import end
from arcly.contract import StorageBackend
from arcly.storage.blocking import Waiter

log = logging.getLogger("arcly")

PREFIX = "arcly-hls-"
"""In front of all keys."""

PATIENCE_S = 30.0
"""How long a segment may take to be kept or to come."""


class SpillStore:
    """What `Spill` takes for a place: keys of a storage backend, all below one name that is this process's.

    Args:
        storage: what keeps them.
    """

    def __init__(self, storage: StorageBackend) -> None:
        self._storage = storage
        self._waiter = Waiter(PATIENCE_S)
        self._root = f"{PREFIX}{time.time_ns():x}-{os.getpid():x}"
        self._cleaning: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Take this loop, and remove what an earlier process has left. Idempotent."""
        if not self._waiter.is_open:
            self._waiter.open()
            self._cleaning = asyncio.create_task(self._clean())

    async def close(self) -> None:
        """Keep nothing any more."""
        if self._cleaning is not None:
            await end(self._cleaning)
            self._cleaning = None
        self._waiter.close()

    async def _clean(self) -> None:
        try:
            for key in await self._storage.keys(PREFIX):
                if not key.startswith(f"{self._root}/"):
                    await self._storage.delete(key)
        except Exception as error:  # Whatever a backend of the host raises: the next start tries again.
            log.warning("[hls] what an earlier server has left in the storage stays there: %s", error)

    def _key(self, stream: str, name: str) -> str:
        return f"{self._root}/{stream}/{name}"

    def put(self, stream: str, name: str, data: bytes) -> None:
        """Keep a segment. Raises `OSError`, as all of these."""
        self._waiter.wait(self._storage.put(self._key(stream, name), data))

    def get(self, stream: str, name: str) -> bytes:
        """Return a segment."""
        return self._waiter.wait(self._storage.get(self._key(stream, name)))

    def remove(self, stream: str, name: str) -> None:
        """Forget a segment."""
        self._waiter.wait(self._storage.delete(self._key(stream, name)))

    def end(self, stream: str) -> None:
        """Every segment of the stream was removed: a storage has no directories that could be left."""
