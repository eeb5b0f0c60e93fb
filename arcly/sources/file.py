"""A media file as a publisher."""

from __future__ import annotations

import asyncio
from pathlib import Path

from arcly._bridge import native_session
from arcly._native import FilePlayer, StreamKey
from arcly.contract import IngestContext

FILE_BYTES_MAX = 256 << 20
"""Largest file that is played: it is held in memory as a whole."""


class FileSource:
    """Publishes an FLV file (H.264, AAC) in real time. An `InboundProtocol`.

    When it is looped the timestamps go on at each repetition, for ever: to viewers it is one endless stream.

    Args:
        path: the file, at most 256 MiB.
        key: where it is published.
        loop: start again at the end, default True; else the stream ends with the file.
    """

    name = "file"

    def __init__(self, path: str | Path, key: StreamKey, *, loop: bool = True) -> None:
        self._path = Path(path)
        self._key = key
        self._loop = loop
        self._player: FilePlayer | None = None

    async def start(self, context: IngestContext) -> None:
        """Read the file and start publishing.

        Raises:
            OSError: the file cannot be read.
            MalformedError: it is not FLV.
            AlreadyPublishingError, LimitExceededError, ClosedError: the key cannot be had.
        """
        data = await asyncio.to_thread(self._read)
        session = await context.start_publish(self._key, protocol=self.name)
        self._player = FilePlayer(context.native, native_session(session), data, looped=self._loop)

    def _read(self) -> bytes:
        if self._path.stat().st_size > FILE_BYTES_MAX:
            raise OSError(f"{self._path} is larger than {FILE_BYTES_MAX >> 20} MiB")
        return self._path.read_bytes()

    async def stop(self) -> None:
        """Stop publishing."""
        if self._player is not None:
            self._player.stop()
            self._player = None
