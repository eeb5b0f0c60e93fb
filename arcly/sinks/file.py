"""A stream into a media file."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from arcly._native import Muxer
from arcly.contract import MediaFrame
from arcly.errors import MisuseError

log = logging.getLogger("arcly")

WRITE_BYTES = 1 << 20
"""Bytes that are collected before they are written."""

FILES_MAX = 10_000
"""Files of one name: a stream whose tracks change so often is ill."""

WRITE_AFTER_S = 1.0
"""After so long, fewer are: a crash costs what waits."""

FORMATS = {".ts": "ts", ".m2ts": "ts", ".flv": "flv", ".mp4": "mp4", ".m4v": "mp4", ".m4a": "mp4"}
"""Formats by the ending of a file's name."""


class FileSink:
    """Writes a stream into an MPEG-TS, FLV or (fragmented) MP4 file. A `MediaSink`:

        await drive_to(stream, FileSink("copy.mp4"))

    A disk that is slower than the stream makes the stream skip frames here, never anywhere else. What is on the disk
    can be played while the file grows, and after a crash.

    An MP4 file says at its beginning what is in it. Where the tracks become others (another size of the picture, say),
    it ends, and what follows goes into `copy-2.mp4`, `copy-3.mp4` and so on, each from its first key frame on. Of these
    none that exists is replaced: its number is passed over. `paths` are the files written.

    Args:
        path: the file; one that exists is replaced, by the first bytes that there are.
        format: `"ts"`, `"flv"` or `"mp4"`; default by the ending of the name.
        fragment_s: see `arcly.media.Muxer`.

    Raises:
        MisuseError: neither `format` nor the ending says what to write.
    """

    def __init__(self, path: str | Path, format: str | None = None, *, fragment_s: float = 1.0) -> None:
        self.path = Path(path)
        self.paths: list[Path] = []
        """The files written so far, in their order."""
        chosen = format or FORMATS.get(self.path.suffix.lower())
        if chosen is None:
            raise MisuseError(f"{self.path.name}: no format given, and the ending is none of {', '.join(FORMATS)}")
        self._format = chosen
        self._fragment_s = fragment_s
        self._muxer = Muxer(chosen, fragment_s=fragment_s)
        self._before_key: set[int] = set()
        self._waiting = bytearray()
        self._file: BinaryIO | None = None
        self._writing: asyncio.Future[None] | None = None
        self._written_s = 0.0

    async def send(self, frame: MediaFrame) -> None:
        """Write a frame, sooner or later.

        Raises:
            OSError: the disk refused.
            UnsupportedError: the format cannot carry the tracks of this frame.
        """
        if self._muxer.needs_new_file(frame):
            await self._begin_next(frame)
        if frame.track in self._before_key:
            if not frame.is_key:
                return
            self._before_key.discard(frame.track)
        self._waiting += self._muxer.write(frame)
        waits_s = asyncio.get_running_loop().time() - self._written_s
        if len(self._waiting) >= WRITE_BYTES or (self._waiting and waits_s >= WRITE_AFTER_S):
            await self._flush()

    async def close(self) -> None:
        """Write what is left and close the file.

        Raises:
            OSError: the disk refused.
        """
        try:
            self._waiting += self._muxer.finish()
            await self._flush()
        finally:
            if self._file is not None:
                await asyncio.to_thread(self._file.close)
                self._file = None

    async def _begin_next(self, frame: MediaFrame) -> None:
        await self.close()
        self._muxer = Muxer(self._format, fragment_s=self._fragment_s)
        # Pictures in front of the first key frame need some that are in the file before.
        self._before_key = {track.id for track in frame.tracks if track.kind == "video"}

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        await self._end_write()
        waiting, self._waiting = self._waiting, bytearray()
        self._writing = loop.run_in_executor(None, self._write, waiting)
        await self._end_write()
        self._written_s = loop.time()

    async def _end_write(self) -> None:
        """Wait for the write that goes on. It does not end with who is cancelled: the next one comes behind it."""
        writing = self._writing
        if writing is not None:
            try:
                await asyncio.shield(writing)
            finally:
                if writing.done():
                    self._writing = None

    def _write(self, data: bytearray) -> None:
        if not data:
            return
        if self._file is None:
            self._file = self._open()
        self._file.write(data)
        self._file.flush()

    def _open(self) -> BinaryIO:
        if not self.paths:
            file = self.path.open("wb")
            self.paths.append(self.path)
            return file
        for number in range(len(self.paths) + 1, FILES_MAX):
            path = self.path.with_stem(f"{self.path.stem}-{number}")
            with suppress(FileExistsError):
                file = path.open("xb")
                self.paths.append(path)
                log.info("[file] the tracks have changed: %s goes on in %s", self.path, path)
                return file
        raise FileExistsError(f"too many files are called {self.path.stem}")
