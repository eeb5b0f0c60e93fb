"""Recordings on their way to players: what is asked for, out of the files, without a server."""

from __future__ import annotations

import asyncio
import weakref
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from arcly._native import Outline, Remuxed, Vod
from arcly.contract import StorageBackend
from arcly.errors import NotFoundError
from arcly.recording.index import RecordedSegment, RecordingIndex
from arcly.recording.kept import Kept
from arcly.recording.stored import Shelf, StoredFile

T = TypeVar("T")

OUTLINES_BYTES = 128 << 20
"""Of what is where in files, which is remembered: some 100 kB for an hour."""

SEGMENTS_BYTES = 64 << 20
"""Of segments that were made: who watches the same at the same time gets the same."""

SIZES_BYTES = 4 << 20
"""Of how long the pieces are of parts that are written anew: 8 bytes for each second or so."""

RECORDINGS_MAX = 32
"""Recordings that are remembered."""

THREADS = 2
"""Segments that are made at a time: the rest of the machine belongs to what is live."""

Stamp: TypeAlias = tuple[int, int]
"""Size and when it was changed."""


@dataclass(frozen=True)
class File:
    """A file of a recording, where it is."""

    segment: RecordedSegment
    source: Path | StoredFile
    stamp: Stamp

    @property
    def name(self) -> str:
        """What is remembered of it is remembered under this name."""
        return self.segment.path or f":{self.segment.stored}"


@dataclass(frozen=True)
class Sizes:
    """Bytes of the pieces of a part that is written anew: of the first ones, as far as they were made."""

    pieces: int
    known: array[int] = field(default_factory=lambda: array("Q"))


class Playback:
    """The recordings of one directory, ready to be played.

    Args:
        directory: where the files are.
        index: what there is.
        storage: where those are that the directory has no longer.
        growing: what is where in a file that is being written, where its recorder knows it.
    """

    def __init__(
        self,
        directory: Path,
        index: RecordingIndex,
        storage: StorageBackend | None = None,
        growing: Callable[[RecordedSegment], Outline | None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._index = index
        self._growing = growing
        self._shelf = None if storage is None else Shelf(storage)
        self._threads: ThreadPoolExecutor | None = None
        self._outlines: Kept[tuple[Stamp, Outline]] = Kept(OUTLINES_BYTES, lambda kept: kept[1].bytes)
        self._segments: Kept[bytes] = Kept(SEGMENTS_BYTES, len)
        self._sizes: Kept[Sizes] = Kept(SIZES_BYTES, lambda sizes: 8 * sizes.pieces)
        self._measuring = asyncio.Lock()
        self._ready: OrderedDict[int, tuple[object, Vod]] = OrderedDict()

    def start(self) -> None:
        """Be ready."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="arcly-playback")
        if self._shelf is not None:
            self._shelf.open()

    def stop(self) -> None:
        """Make nothing more. Idempotent."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        if self._shelf is not None:
            self._shelf.close()

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do work that reads files, away from the loop, and only so much of it at a time.

        Raises:
            OSError: the recorder does not run; or what the work raises.
        """
        if self._threads is None:
            raise OSError("the recorder does not run")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def open(self, recording: int) -> Vod:
        """Return a recording as players see it. One that goes on is as long as it is now.

        Raises:
            NotFoundError: there is no such.
            OSError: a file cannot be read.
        """
        info = await self._index.recording(recording)
        if info is None:
            raise NotFoundError(f"there is no recording {recording}")
        files = await self.run(self._find, await self._index.segments(recording))
        has_ended = info.ended_unix_ms is not None
        signature = (has_ended, *((file.segment.id, file.segment.is_whole, file.name, file.stamp) for file in files))
        ready = self._ready.get(recording)
        if ready is None or ready[0] != signature:
            kept = await self._index.outlines([file.segment.id for file in files if self._known(file) is None])
            vod, read = await self.run(self._make, files, has_ended, kept)
            for segment, packed in read.items():
                await self._index.keep_outline(segment, packed)
            # One object stands for the files as they are: who asked at the same time may have made it.
            ready = self._ready.get(recording)
            if ready is None or ready[0] != signature:
                ready = self._ready[recording] = (signature, vod)
        self._ready.move_to_end(recording)
        while len(self._ready) > RECORDINGS_MAX:
            self._ready.popitem(last=False)
        return ready[1]

    async def segment(self, recording: int, track: int, begin: int) -> bytes | None:
        """Return a segment: see `Vod.segment`. Raises as `open`."""
        vod = await self.open(recording)
        name = (recording, track, begin)
        made = self._segments.get(name)
        if made is None:
            made = await self.run(vod.segment, track, begin)
            if made is not None:
                self._segments.put(name, made)
        return made

    async def measure(
        self, vod: Vod, part: tuple[float, float], remuxed: Remuxed, has_left: Callable[[], Awaitable[bool]]
    ) -> Sequence[int]:
        """Return the bytes of each piece of a part that is written anew. The first time all of it is made.

        Who asks for the same meanwhile, or again, goes on where it is.

        Raises:
            OSError: a file cannot be read; or whoever asks `has_left`.
        """
        # The object stands for the files as they are: others make another one, and this one need not stay for its name.
        name = (weakref.ref(vod), *part)
        sizes = self._sizes.get(name)
        if sizes is None:
            sizes = Sizes(remuxed.pieces)
            self._sizes.put(name, sizes)
        while len(sizes.known) < sizes.pieces:
            if await has_left():
                raise ConnectionAbortedError("whoever asked has left")
            # A piece at a time, whatever is measured: one thread is always there for those who play.
            async with self._measuring:
                index = len(sizes.known)
                if index < sizes.pieces:
                    sizes.known.append(len(await self.run(remuxed.piece, index)))
        return sizes.known

    def is_measured(self, vod: Vod, part: tuple[float, float]) -> bool:
        """Return whether `measure` need make nothing more."""
        sizes = self._sizes.get((weakref.ref(vod), *part))
        return sizes is not None and len(sizes.known) == sizes.pieces

    async def file(self, recording: int, number: int) -> File | None:
        """Return a file as it was recorded, where it is; None when there is no such."""
        segments = [segment for segment in await self._index.segments(recording) if segment.number == number]
        files = await self.run(self._find, segments)
        return files[0] if files else None

    def _find(self, segments: Sequence[RecordedSegment]) -> list[File]:
        """Return the files that are there, or in the storage."""
        return [file for file in map(self._locate, segments) if file is not None]

    def _locate(self, segment: RecordedSegment) -> File | None:
        if segment.path:
            path = self._directory / segment.path
            try:
                stat = path.stat()
            except FileNotFoundError:
                pass
            else:
                return File(segment, path, (stat.st_size, stat.st_mtime_ns))
        if segment.stored is None or self._shelf is None:
            return None
        return File(segment, StoredFile(self._shelf, segment.stored, segment.bytes), (segment.bytes, 0))

    def _make(self, files: Sequence[File], has_ended: bool, kept: dict[int, bytes]) -> tuple[Vod, dict[int, bytes]]:
        """Return the recording, and the outlines of files of which everything was read for it."""
        pieces, read = [], {}
        for file in files:
            segment = file.segment
            base = (segment.base_ticks, segment.base_hz)
            place = (segment.number, segment.position_us, *base, segment.follows, segment.began_unix_ms)
            outline = self._outline(file, kept.get(file.segment.id))
            pieces.append((file.source, outline, *place))
            if outline.packed is not None and file.segment.id not in kept:
                read[file.segment.id] = outline.packed
        return Vod(pieces, has_ended), read

    def _known(self, file: File) -> Outline | None:
        known = self._outlines.get(file.name)
        return known[1] if known is not None and known[0] == file.stamp else None

    def _outline(self, file: File, packed: bytes | None) -> Outline:
        found = self._known(file)
        if found is None:
            grows = not file.segment.is_whole
            # That of a recorder may be a write behind the file: it is asked again for each look.
            growing = self._growing(file.segment) if grows else None
            if growing is not None:
                return growing
            # What was read of a file that grows need not be read again.
            known = self._outlines.get(file.name)
            before = known[1] if known is not None and known[0][0] <= file.stamp[0] else None
            found = Outline(file.source, before, packed=packed, grows=grows)
            self._outlines.put(file.name, (file.stamp, found))
        return found
