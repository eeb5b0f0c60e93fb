"""What is deleted: what is too old, and the oldest when all together is too much."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from arcly.recording.index import RecordedSegment

log = logging.getLogger("arcly")

JUMP_S = 60.0
"""A wall clock that is off from the monotonic one by so much more than before has been set."""

DISTRUST_S = 3600.0
"""So long after the clock was set nothing is too old: it may have been wrong, or be wrong now."""


class WallClock:
    """The time of day, and whether it can be believed: who sets the clock by a year must not delete a year of files."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()
        self._jumped_s: float | None = None

    def now_s(self) -> float | None:
        """Return the time; None when it was set a short while ago."""
        wall, monotonic = self._wall(), self._monotonic()
        offset_s = wall - monotonic
        if abs(offset_s - self._offset_s) > JUMP_S:
            log.warning(
                "[record] the clock was set by %.0f s: nothing is deleted for its age", offset_s - self._offset_s
            )
            self._jumped_s = monotonic
        self._offset_s = offset_s
        if self._jumped_s is not None and monotonic - self._jumped_s < DISTRUST_S:
            return None
        return wall


def expired(
    segments: Sequence[RecordedSegment], now_s: float | None, keep_s: float | None, keep_bytes: int | None
) -> list[RecordedSegment]:
    """Return the files that are deleted now, oldest first. What is being written stays, and counts.

    The oldest is what was entered first, not what began first by the clock: behind one that was set back each new file
    would be.

    Args:
        segments: all there are.
        now_s: the time of day, None when nobody knows it.
        keep_s: how long after its end a file is kept.
        keep_bytes: what all files may have together.
    """
    oldest_first = sorted(segments, key=lambda segment: segment.id)
    total = sum(segment.bytes for segment in segments)
    gone = []
    for segment in oldest_first:
        ended_s = segment.began_unix_ms / 1000 + segment.duration_us / 1e6
        is_old = keep_s is not None and now_s is not None and now_s - ended_s > keep_s
        is_too_much = keep_bytes is not None and total > keep_bytes
        if segment.is_whole and (is_old or is_too_much):
            gone.append(segment)
            total -= segment.bytes
    return gone
