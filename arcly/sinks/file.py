"""A stream into a media file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

from arcly._native import MediaFrame, Muxer
from arcly.errors import MisuseError

WRITE_BYTES = 1 << 20
"""Bytes that are collected before they are written."""

WRITE_AFTER_S = 1.0
"""After so long, fewer are: a crash costs what waits."""

FORMATS = {".ts": "ts", ".m2ts": "ts", ".flv": "flv", ".mp4": "mp4", ".m4v": "mp4", ".m4a": "mp4"}
"""Formats by the ending of a file's name."""


class FileSink:
    """Writes a stream into an MPEG-TS, FLV or (fragmented) MP4 file. A `MediaSink`:

        await drive_to(stream, FileSink("copy.mp4"))

    A disk that is slower than the stream makes the stream skip frames here, never anywhere else. What is on the disk
    can be played while the file grows, and after a crash.

    Args:
        path: the file; one that exists is replaced.
        format: `"ts"`, `"flv"` or `"mp4"`; default by the ending of the name.
        fragment_s: see `arcly.media.Muxer`.

    Raises:
        MisuseError: neither `format` nor the ending says what to write.
    """

    def __init__(self, path: str | Path, format: str | None = None, *, fragment_s: float = 1.0) -> None:
        self.path = Path(path)
        chosen = format or FORMATS.get(self.path.suffix.lower())
        if chosen is None:
            raise MisuseError(f"{self.path.name}: no format given, and the ending is none of {', '.join(FORMATS)}")
        self._muxer = Muxer(chosen, fragment_s=fragment_s)
        self._waiting = bytearray()
        self._file: BinaryIO | None = None
        self._written_s = 0.0

    async def send(self, frame: MediaFrame) -> None:
        """Write a frame, sooner or later.

        Raises:
            OSError: the disk refused.
            UnsupportedError: the format cannot carry the tracks of this frame.
        """
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

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        await asyncio.to_thread(self._write, waiting)
        self._written_s = asyncio.get_running_loop().time()

    def _write(self, data: bytearray) -> None:
        if self._file is None:
            self._file = self.path.open("wb")
        self._file.write(data)
        self._file.flush()
