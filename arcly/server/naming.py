"""What is wrong with options, by their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from arcly.errors import MisuseError, StreamError


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Put `option` in front of what is wrong, and not what was given for it: that may be a password.

    Raises:
        MisuseError: something is wrong.
    """
    try:
        yield
    except StreamError as error:
        raise MisuseError(f"{option}: {error}") from None
