"""Patterns of streams, `live/*`, as hosts write them."""

from __future__ import annotations

from fnmatch import fnmatchcase

from arcly._native import StreamKey
from arcly.errors import MisuseError


def require_pattern(pattern: str) -> None:
    """Raise `MisuseError` where no stream can be called so: a `/` is in every name."""
    if not any(letter in pattern for letter in "/*?["):
        raise MisuseError(f"{pattern!r} matches no stream: names are APP/STREAM, such as {pattern or 'live'}/*")


def is_match(key: StreamKey, pattern: str) -> bool:
    """Return whether `app/stream` matches; `*` stands for `/`, too."""
    return fnmatchcase(str(key), pattern)
