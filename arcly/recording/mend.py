"""What a recorder left behind that died: files without an end, recordings without a reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from pathlib import Path

from arcly._native import finalize_recording, make_whole, measure_recording
from arcly.errors import StreamError
from arcly.recording.index import RecordedSegment, RecordingIndex

log = logging.getLogger("arcly")

TEMPORARY = ".arcly-*"
"""Files that were being made when the recorder died."""


async def mend(directory: Path, index: RecordingIndex) -> int:
    """Make every file whole that has no end, and end every recording that has none; return how many files that were.

    Can be done again at any time while nothing is recorded: what is whole stays as it is.
    """
    formats = {recording.id: recording.format for recording in await index.recordings(limit=-1)}
    torn = await index.segments(torn=True)
    for segment in torn:
        mended = await asyncio.to_thread(mend_segment, directory, segment, formats.get(segment.recording) == "mp4")
        if mended is None:
            log.warning("[record] %s has nothing in it that can be played: forgotten", segment.path)
            await index.forget([segment.id])
        else:
            log.info("[record] %s was mended: %.1f s of it", segment.path, mended.duration_us / 1e6)
            await index.put(mended)
    for recording in await index.unfinished():
        segments = await index.segments(recording.id)
        ends = [segment.began_unix_ms + segment.duration_us // 1000 for segment in segments]
        await index.end(recording.id, max(ends, default=recording.began_unix_ms), "the recorder died")
    return len(torn)


def mend_segment(directory: Path, segment: RecordedSegment, finalize: bool) -> RecordedSegment | None:
    """Return what is left of a file; None when that is nothing."""
    path = directory / segment.path
    for leftover in path.parent.glob(TEMPORARY) if path.parent.is_dir() else ():
        with contextlib.suppress(OSError):
            leftover.unlink()
    try:
        size, _ = make_whole(path)
        if size == 0:
            return None
        frames, duration_us = measure_recording(path)
        if finalize:
            size = finalize_recording(path)
    except (FileNotFoundError, StreamError):
        return None
    except OSError as error:
        log.warning("[record] %s cannot be mended: %s", segment.path, error)
        return None
    return replace(segment, is_whole=True, bytes=size, frames=frames, duration_us=duration_us)
