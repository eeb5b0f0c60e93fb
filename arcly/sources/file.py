"""A media file as a publisher."""

from __future__ import annotations

import asyncio
from pathlib import Path

from arcly._bridge import native_session
from arcly._native import FilePlayer, PublishSession, StreamKey
from arcly.contract import IngestContext


class FileSource:
    """Publishes an MPEG-TS, FLV or MP4 file. An `InboundProtocol`. What the file is, is told by its contents.

    It is read a piece at a time, however large it is. When it is looped the timestamps go on at each repetition, for
    ever: to viewers it is one endless stream. Where they break within the file (it steps back by more than a second, or
    forward by more than ten), what follows goes on where the last frame ended, and its first frame is a discontinuity.
    A file whose first frame is decoded before 0 is published later by that.

    Args:
        path: the file.
        key: where it is published.
        loop: start again at the end, default True; else the stream ends with the file.
        real_time: publish each frame when its time has come, default True; else as fast as the file can be read, and
            readers that are slower skip.
    """

    name = "file"

    def __init__(self, path: str | Path, key: StreamKey, *, loop: bool = True, real_time: bool = True) -> None:
        self._path = Path(path)
        self._key = key
        self._loop = loop
        self._real_time = real_time
        self._player: FilePlayer | None = None

    @property
    def error(self) -> str | None:
        """What was wrong with the file, where its stream ended for that: it is malformed, or cannot be read on."""
        return None if self._player is None else self._player.error

    async def start(self, context: IngestContext) -> None:
        """Open the file and start publishing. What goes wrong later ends the stream, with the reason.

        Raises:
            OSError: the file cannot be opened.
            UnsupportedError: it is neither MPEG-TS, FLV nor MP4.
            AlreadyPublishingError, LimitExceededError, ClosedError: the key cannot be had.
        """
        # Before there is a stream: targets would be dialled for nothing.
        await asyncio.to_thread(self._path.stat)
        session = await context.start_publish(self._key, protocol=self.name)
        try:
            self._player = await asyncio.to_thread(self._play, context, native_session(session))
        except BaseException as error:
            session.end(str(error))
            raise

    def _play(self, context: IngestContext, session: PublishSession) -> FilePlayer:
        return FilePlayer(context.native, session, self._path, looped=self._loop, real_time=self._real_time)

    async def stop(self) -> None:
        """Stop publishing."""
        if self._player is not None:
            self._player.stop()
