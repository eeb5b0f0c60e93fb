"""What is kept of what was made already, as long as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by name; those that were not asked for the longest go first. May be used from any thread.

    Args:
        bytes_max: what all of them may have together; what is larger by itself is not kept.
        size: bytes of one.
    """

    def __init__(self, bytes_max: int, size: Callable[[T], int]) -> None:
        self._bytes_max = bytes_max
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What all of them have."""
        return self._bytes

    def get(self, name: Hashable) -> T | None:
        """Return what is kept under that name."""
        with self._lock:
            value = self._values.get(name)
            if value is not None:
                self._values.move_to_end(name)
            return value

    def put(self, name: Hashable, value: T) -> None:
        """Keep a value, in place of another one of that name."""
        with self._lock:
            before = self._values.pop(name, None)
            self._bytes -= 0 if before is None else self._size(before)
            if self._size(value) > self._bytes_max:
                return
            self._values[name] = value
            self._bytes += self._size(value)
            while self._bytes > self._bytes_max:
                _, oldest = self._values.popitem(last=False)
                self._bytes -= self._size(oldest)
