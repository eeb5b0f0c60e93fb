"""The directory of a recorder: held by one process, and left tidy."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from arcly.errors import MisuseError


def remove_file(root: Path, path: str) -> None:
    """Delete a file, and the directories between it and `root` that are empty then."""
    file = root / path
    file.unlink(missing_ok=True)
    for parent in file.parents:
        if parent == root:
            break
        try:
            parent.rmdir()
        except OSError:
            break  # It is not empty.


def lock_directory(directory: Path) -> int:
    """Return a descriptor that holds `directory` for this process until it is closed.

    Raises:
        MisuseError: somebody else has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise MisuseError(f"another recorder has {directory.parent}") from None
    return descriptor
