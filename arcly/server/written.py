"""A part of a recording that is written while it is read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import accumulate

from arcly._native import Remuxed


async def pieces(remuxed: Remuxed, run: Callable[..., Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """Yield all of it."""
    for index in range(remuxed.pieces):
        yield await run(remuxed.piece, index)


class Pieces:
    """Any bytes of it, where it is known how long its pieces are.

    Args:
        remuxed: what writes them.
        sizes: the bytes of each.
    """

    def __init__(self, remuxed: Remuxed, sizes: Sequence[int]) -> None:
        self._remuxed = remuxed
        self._begins = [0, *accumulate(sizes)]
        self._newest: tuple[int, bytes] | None = None

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self._begins[-1]

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes from `offset` on, up to the end of a piece. Blocks.

        Raises:
            OSError: a file cannot be read, or is not what it was.
        """
        if offset >= self.size:
            return b""
        index = bisect_right(self._begins, offset) - 1
        if self._newest is None or self._newest[0] != index:
            self._newest = index, self._remuxed.piece(index)
        begin = offset - self._begins[index]
        return self._newest[1][begin : begin + size]
