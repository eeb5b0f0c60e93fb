"""What a recorder left behind that died: files and recordings without an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from arcly._native import (
    finalize_recording,
    fits_recording,
    is_own_recording,
    make_whole,
    measure_recording,
    recording_path,
)
from arcly.errors import StreamError
from arcly.recording.index import RecordedSegment, RecordingIndex, RecordingInfo

log = logging.getLogger("arcly")

ENDINGS = {"fmp4": ".mp4", "mp4": ".mp4", "ts": ".ts", "flv": ".flv"}

TEMPORARY = ".arcly-*"
"""Files that were being made when the recorder died."""


@dataclass(frozen=True, slots=True)
class Left:
    """A recording that its recorder has left behind: it may be gone on with, or is ended."""

    recording: RecordingInfo
    """What the index says of it now."""

    number: int
    """Of its next file."""

    end_position_us: int
    """Where in the recording that would be, if nothing was missing."""

    ended_unix_ms: int
    """When its last file ends."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What there is to do yet when everything that was left behind can be played."""

    left: list[Left]
    """Recordings without an end."""

    fragmented: list[RecordedSegment]
    """Files that get tables: `finish`. Until then they are not whole."""


async def mend(directory: Path, template: str, index: RecordingIndex) -> Mended:
    """Cut the torn end off every file that has none of its own, and enter what is left of it.

    Can be done again at any time while nothing is recorded: what is whole stays as it is.
    """
    formats = {recording.id: recording.format for recording in await index.recordings(limit=-1)}
    fragmented: list[RecordedSegment] = []
    for segment in await index.segments(torn=True):
        mended = await asyncio.to_thread(mend_segment, directory, segment)
        if mended is None:
            log.warning("[record] %s has nothing in it that can be played: forgotten", segment.path)
            await index.forget([segment.id])
        elif mended.is_whole:
            log.info("[record] %s was mended: %.1f s of it", segment.path, mended.duration_us / 1e6)
            await enter(index, mended, formats.get(segment.recording), fragmented)
    for recording in await index.unfinished():
        await adopt(directory, index, recording, template, fragmented)
    return Mended([await left_of(index, recording) for recording in await index.unfinished()], fragmented)


async def enter(
    index: RecordingIndex, mended: RecordedSegment, format: str | None, fragmented: list[RecordedSegment]
) -> None:
    """Enter a mended file; one that gets tables is not whole yet."""
    mended = replace(mended, is_whole=format != "mp4")
    number = await index.put(mended)
    if not mended.is_whole:
        fragmented.append(replace(mended, id=number))


async def left_of(index: RecordingIndex, recording: RecordingInfo) -> Left:
    """Return how far a recording has come."""
    segments = await index.segments(recording.id)
    ends_ms = [segment.began_unix_ms + segment.duration_us // 1000 for segment in segments]
    ends_us = [segment.position_us + segment.duration_us for segment in segments]
    return Left(
        recording=recording,
        number=max((segment.number for segment in segments), default=-1) + 1,
        end_position_us=max(ends_us, default=0),
        ended_unix_ms=max(ends_ms, default=recording.began_unix_ms),
    )


async def adopt(
    directory: Path,
    index: RecordingIndex,
    recording: RecordingInfo,
    template: str,
    fragmented: list[RecordedSegment],
) -> None:
    """Enter the files of a recording of which the index had not been told yet when the recorder died: those that are
    where its files are, named and made as they are, and newer than it. Whatever else lies there is somebody's.
    """
    segments = await index.segments(recording.id)
    known = {segment.path for segment in await index.segments()}
    first = recording_path(template, recording.key, recording.began_unix_ms, 0)
    folders = {(directory / path).parent for path in [first, *(segment.path for segment in segments)]}
    number = max((segment.number for segment in segments), default=-1) + 1
    position_us = max((segment.position_us + segment.duration_us for segment in segments), default=0)

    for path, changed_ms in await asyncio.to_thread(orphans, directory, folders, known, recording, template):
        orphan = RecordedSegment(
            id=0,
            recording=recording.id,
            number=number,
            path=path,
            is_whole=False,
            began_unix_ms=recording.began_unix_ms,
            position_us=position_us,
            duration_us=0,
            base_ticks=0,
            base_hz=0,
            follows=False,
            gap_us=0,
            bytes=0,
            frames=0,
            stored=None,
        )
        mended = await asyncio.to_thread(mend_segment, directory, orphan)
        if mended is not None and mended.is_whole:
            log.info("[record] %s was found: %.1f s", path, mended.duration_us / 1e6)
            # When it was written last it ended. Taken for as old as its recording it would be deleted with the oldest.
            began_ms = max(recording.began_unix_ms, changed_ms - mended.duration_us // 1000)
            await enter(index, replace(mended, began_unix_ms=began_ms), recording.format, fragmented)
            number, position_us = number + 1, position_us + mended.duration_us


def orphans(
    root: Path, folders: set[Path], known: set[str], recording: RecordingInfo, template: str
) -> list[tuple[str, int]]:
    """Return files in these folders that nobody knows and that are named and made as those of a recording, and when
    each was written last, oldest first.
    """
    ending, found = ENDINGS[recording.format], []
    for folder in folders:
        for path in folder.glob(f"*{ending}"):
            name = path.relative_to(root).as_posix()
            if name in known or not fits_recording(template, recording.key, name.removesuffix(ending)):
                continue
            with contextlib.suppress(OSError):
                changed_ms = path.stat().st_mtime_ns // 1_000_000
                if changed_ms >= recording.began_unix_ms and is_own_recording(path, recording.format):
                    found.append((changed_ms, name))
    return [(name, changed_ms) for changed_ms, name in sorted(found)]


def mend_segment(directory: Path, segment: RecordedSegment) -> RecordedSegment | None:
    """Return what is left of a file: None when that is nothing, the segment as it is when that cannot be said now."""
    path = directory / segment.path
    for leftover in path.parent.glob(TEMPORARY) if path.parent.is_dir() else ():
        with contextlib.suppress(OSError):
            leftover.unlink()
    try:
        size, _ = make_whole(path)
        if size == 0:
            return None
        frames, duration_us = measure_recording(path)
    except (FileNotFoundError, StreamError):
        return None
    except OSError as error:
        log.warning("[record] %s cannot be mended now: %s", segment.path, error)
        return segment
    return replace(segment, is_whole=True, bytes=size, frames=frames, duration_us=duration_us)


def finish(directory: Path, segment: RecordedSegment, is_stopped: Callable[[], bool]) -> RecordedSegment:
    """Make an MP4 file of fragments one with tables. All of it is copied; without room for both it stays as it is, and
    when that is stopped it is not whole.
    """
    path, size = directory / segment.path, segment.bytes
    try:
        size = finalize_recording(path, is_stopped)
    except InterruptedError:
        return segment
    except (OSError, StreamError) as error:
        log.warning("[record] %s stays fragmented: %s", path, error)
    return replace(segment, is_whole=True, bytes=size)
