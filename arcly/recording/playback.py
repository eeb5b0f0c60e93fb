"""Recordings on their way to players: what is asked for, out of the files, without a server."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from arcly._native import Outline, Vod
from arcly.errors import NotFoundError, UnsupportedError
from arcly.recording.index import RecordedSegment, RecordingIndex

OUTLINES_MAX = 1024
"""Files that are remembered: some 100 kB for an hour each."""

RECORDINGS_MAX = 32
"""Recordings that are remembered."""

Signature: TypeAlias = tuple[tuple[int, int, int], ...]


class Playback:
    """The recordings of one directory, ready to be played.

    Args:
        directory: where the files are.
        index: what there is.
    """

    def __init__(self, directory: Path, index: RecordingIndex) -> None:
        self._directory = directory
        self._index = index
        self._outlines: OrderedDict[tuple[str, int, int], Outline] = OrderedDict()
        self._ready: OrderedDict[int, tuple[Signature, Vod]] = OrderedDict()

    async def open(self, recording: int) -> Vod:
        """Return a recording as players see it. One that goes on is as long as it is now.

        Raises:
            NotFoundError: there is no such.
            UnsupportedError: it is not fragmented MP4.
        """
        info = await self._index.recording(recording)
        if info is None:
            raise NotFoundError(f"there is no recording {recording}")
        if info.format != "fmp4":
            raise UnsupportedError(f"recording {recording} is {info.format}: only fmp4 is played back")
        segments = await self._index.segments(recording)
        sizes = await asyncio.to_thread(self._sizes, segments)
        signature = tuple((segment.id, size, changed_ns) for segment, (size, changed_ns) in sizes)
        ready = self._ready.get(recording)
        if ready is None or ready[0] != signature:
            vod = await asyncio.to_thread(self._make, sizes, info.ended_unix_ms is not None)
            ready = self._ready[recording] = (signature, vod)
        self._ready.move_to_end(recording)
        while len(self._ready) > RECORDINGS_MAX:
            self._ready.popitem(last=False)
        return ready[1]

    def _sizes(self, segments: Sequence[RecordedSegment]) -> list[tuple[RecordedSegment, tuple[int, int]]]:
        """Return the files that are there, each with its size and when it was changed."""
        found = []
        for segment in filter(lambda segment: segment.path, segments):
            try:
                stat = (self._directory / segment.path).stat()
            except FileNotFoundError:
                continue
            found.append((segment, (stat.st_size, stat.st_mtime_ns)))
        return found

    def _make(self, sizes: Sequence[tuple[RecordedSegment, tuple[int, int]]], has_ended: bool) -> Vod:
        pieces = []
        for segment, stamp in sizes:
            outline = self._outline(segment.path, stamp)
            base = (segment.base_ticks, segment.base_hz)
            place = (segment.number, segment.position_us, *base, segment.follows, segment.began_unix_ms)
            pieces.append((self._directory / segment.path, outline, *place))
        return Vod(pieces, has_ended)

    def _outline(self, path: str, stamp: tuple[int, int]) -> Outline:
        name = (path, *stamp)
        outline = self._outlines.get(name)
        if outline is None:
            outline = self._outlines[name] = Outline(self._directory / path)
            while len(self._outlines) > OUTLINES_MAX:
                self._outlines.popitem(last=False)
        return outline
