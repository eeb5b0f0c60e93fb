"""What the command says: its log, and why something could not be done."""

from __future__ import annotations

import logging
import sys


def log_to_stderr(level: str) -> None:
    """Write the log to standard error, from `level` (`info`) on."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname).3s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )


def reason_of(error: Exception) -> str:
    """Return why, in a line for a person: `cam.mp4: No such file or directory`, without the number of the error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
