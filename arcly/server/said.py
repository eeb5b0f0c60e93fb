"""What the command says: its log, and why something could not be done."""

from __future__ import annotations

import logging
import sys


class Lines(logging.Formatter):
    """Writes a line for each message, whatever is in it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).3s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return shown(super().formatMessage(record))


def log_to_stderr(level: str) -> None:
    """Write the log to standard error, from `level` (`info`) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def shown(text: str) -> str:
    """Return a text as a terminal may have it: words of a remote must not move its cursor, nor begin a line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def reason_of(error: Exception) -> str:
    """Return why, in a line for a person: `cam.mp4: No such file or directory`, without the number of the error."""
    if isinstance(error, OSError) and error.strerror:
        return shown(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return shown(str(error))
