"""Checks of what a host configures."""

from __future__ import annotations

import re

from arcly.errors import MisuseError

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def require_between(name: str, value: float, least: float, most: float) -> None:
    """Raise `MisuseError` unless `least <= value <= most`."""
    if not least <= value <= most:
        raise MisuseError(f"{name} is {value!r}; it must be between {least:g} and {most:g}")


def require_name(what: str, name: str) -> None:
    """Raise `MisuseError` unless `name` is 1 to 64 of `a-z 0-9 _ . -` and begins with a letter."""
    if not _NAME.fullmatch(name):
        raise MisuseError(f"{name!r} is no name of {what}: 1 to 64 of a-z 0-9 _ . -, a letter first")
