"""Where finished things are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Buffer


@runtime_checkable
class StorageBackend(Protocol):
    """Objects under keys: recordings, segments, thumbnails. `arcly.storage` has files and memory.

    A key is a path of names joined by `/`, `live/cam/2026-01-31.mp4`, as `arcly.storage.check_key` allows.
    """

    async def put(self, key: str, data: Buffer) -> None:
        """Keep `data` under `key`, in place of what was there: readers see the old or the new, never a part.

        Raises:
            MalformedError: the key is not allowed. Here and below.
        """

    async def put_file(self, key: str, path: Path) -> None:
        """Keep a copy of the file at `path`, without holding it in memory."""

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`.

        Raises:
            NotFoundError: nothing is.
        """

    async def exists(self, key: str) -> bool:
        """Return whether something is kept under `key`."""

    async def delete(self, key: str) -> bool:
        """Forget what is kept under `key`; False when nothing was."""

    async def keys(self, prefix: str = "") -> Sequence[str]:
        """Return the keys that begin with `prefix`, sorted."""


@runtime_checkable
class RangedStorage(StorageBackend, Protocol):
    """A `StorageBackend` that gives parts of objects: those of a large one are read without the rest."""

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """Return `size` bytes of what is kept under `key` from `offset` on; fewer only at its end.

        Raises:
            NotFoundError: nothing is.
        """


async def read_range(storage: StorageBackend, key: str, offset: int, size: int) -> bytes:
    """Return `size` bytes of an object from `offset` on, fewer only at its end, of any backend: one that has no ranges
    gives the whole object for each.

    Raises:
        NotFoundError: nothing is kept under `key`.
    """
    if isinstance(storage, RangedStorage):
        return await storage.get_range(key, offset, size)
    return (await storage.get(key))[offset : offset + size]
