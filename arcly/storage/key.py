"""Names of stored objects, checked once and for all backends."""

from __future__ import annotations

from arcly.errors import MalformedError

KEY_BYTES_MAX = 1024
"""Bytes of a key: what S3 allows."""

NAME_BYTES_MAX = 255
"""Bytes of one name in it: what Linux file systems allow."""

FORBIDDEN = frozenset('\\:*?"<>|')
"""What means something to some file system or shell."""

TEMPORARY = ".arcly-"
"""What the names of unfinished objects begin with; no key may have such a name."""


def check_key(key: str) -> str:
    """Return `key`; it can then be no path but one below the root of any backend.

    Raises:
        MalformedError: it is empty or too long, one of its names is empty, `.` or `..`, begins with `.arcly-`, or has a
            control character or one of the characters `\\ : * ? " < > |`.
    """
    if not key or len(key.encode("utf-8", "surrogatepass")) > KEY_BYTES_MAX:
        raise MalformedError(f"a key has 1 to {KEY_BYTES_MAX} bytes")
    for name in key.split("/"):
        _check_name(name)
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix`, the beginning of a key; the last of its names may be incomplete or missing."""
    *names, last = prefix.split("/")
    for name in names:
        _check_name(name)
    if last and last not in (".", ".."):
        _check_name(last)
    return prefix


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or name.startswith(TEMPORARY):
        raise MalformedError(f"a key may not have the name {name!r}")
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise MalformedError(f"a name in a key has at most {NAME_BYTES_MAX} bytes")
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" or char in FORBIDDEN for char in name):
        raise MalformedError(f"a key may not have the characters of {name!r}")
