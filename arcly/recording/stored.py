"""Files that a storage backend has, read as if they were here."""

from __future__ import annotations

from arcly.contract import StorageBackend
from arcly.contract.storage import read_range
from arcly.recording.kept import Kept
from arcly.storage.blocking import Waiter

READ_S = 20.0
"""How long one read may take."""

AHEAD_BYTES = 256 << 10
"""Read at least at a time: a request costs more than so many bytes."""

KEPT_BYTES = 64 << 20
"""Ranges that are kept: sound and pictures of a segment lie in the same one."""


class Shelf:
    """Reads from a storage backend for threads that may block.

    Args:
        storage: what has the files.
    """

    def __init__(self, storage: StorageBackend) -> None:
        self._storage = storage
        self._waiter = Waiter(READ_S)
        self._ranges: Kept[bytes] = Kept(KEPT_BYTES, len)

    def open(self) -> None:
        """Take this loop for the reads."""
        self._waiter.open()

    def close(self) -> None:
        """Read no more; who waits gets an error."""
        self._waiter.close()

    def read(self, key: str, offset: int, size: int) -> bytes:
        """Return a part of a file. Blocks: not for the loop.

        Raises:
            OSError: it cannot be had, or not in time.
        """
        name = (key, offset, size)
        found = self._ranges.get(name)
        if found is None:
            found = self._waiter.wait(read_range(self._storage, key, offset, size))
            self._ranges.put(name, found)
        return found


class StoredFile:
    """A file of a recording that a storage backend has. What `Outline` and `Vod` read.

    Args:
        shelf: what reads.
        key: under which it is kept.
        size: its bytes.
    """

    def __init__(self, shelf: Shelf, key: str, size: int) -> None:
        self.size = size
        self._shelf = shelf
        self._key = key

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes from `offset` on, fewer only at its end. Raises as `Shelf.read`."""
        # Small pieces that lie together, as boxes do, are asked for together.
        begin = offset - offset % AHEAD_BYTES if size < AHEAD_BYTES else offset
        end = min(self.size, max(offset + size, begin + AHEAD_BYTES))
        if begin >= end:
            return b""
        return self._shelf.read(self._key, begin, end - begin)[offset - begin : offset - begin + size]
