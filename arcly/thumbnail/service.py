"""One picture for all who ask, as often as it may be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from arcly import contract
from arcly._limits import require_between
from arcly._native import StreamKey
from arcly.contract import MediaFrame
from arcly.errors import LimitExceededError, NotFoundError, UnsupportedError
from arcly.thumbnail.worker import DECODERS

STREAMS_MAX = 256
"""Streams whose pictures are remembered."""

WAITING_MAX = 32
"""Streams whose pictures wait for the worker; more are refused."""


@dataclass(slots=True)
class Picture:
    """A picture of a stream."""

    session: int
    """Of which stream of that key it is."""

    made_s: float
    """When it was made."""

    jpeg: bytes
    """It."""


class Thumbnails:
    """The newest key frames of streams as JPEG.

        thumbnails = Thumbnails(engine.get_stream)
        jpeg = await thumbnails.jpeg(arcly.StreamKey("live", "cam"))

    A picture is made when somebody asks, once for all who do within `interval_s`, in a process of its own, which is
    ended when it takes too long.

    Args:
        find: returns the stream of a key: `engine.get_stream`.
        interval_s: seconds that a picture may be old before another one is made, default 5; 0 to 3600.
        width: how wide pictures are at most, in pixels, default 640; 16 to 7680.
        deadline_s: seconds that a key frame is waited for, and again that decoding it may take, default 5; 0.01 to 60.

    Raises:
        MisuseError: a number is out of range.
    """

    def __init__(
        self,
        find: Callable[[StreamKey], contract.StreamHandle | None],
        *,
        interval_s: float = 5.0,
        width: int = 640,
        deadline_s: float = 5.0,
    ) -> None:
        require_between("interval_s", interval_s, 0, 3600)
        require_between("width", width, 16, 7680)
        require_between("deadline_s", deadline_s, 0.01, 60)
        self._find = find
        self._interval_s = interval_s
        self._width = width
        self._deadline_s = deadline_s
        self._pictures: OrderedDict[StreamKey, Picture] = OrderedDict()
        self._making: dict[StreamKey, asyncio.Task[bytes]] = {}
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    @staticmethod
    def available() -> bool:
        """Return whether PyAV is there."""
        return find_spec("av") is not None

    async def jpeg(self, key: StreamKey) -> bytes:
        """Return the newest picture of a stream, or one that is not much older.

        Raises:
            NotFoundError: nobody publishes it.
            UnsupportedError: PyAV is not installed, there are no pictures in the stream, or none that can be decoded.
            LimitExceededError: too many wait.
            TimeoutError: it took too long.
        """
        stream = self._find(key)
        if stream is None:
            self._pictures.pop(key, None)
            raise NotFoundError(f"{key} is not published")
        known = self._pictures.get(key)
        if known and known.session == stream.session and time.monotonic() - known.made_s < self._interval_s:
            return known.jpeg
        if not self.available():
            raise UnsupportedError("thumbnails need PyAV: pip install 'arcly[av]'")
        task = self._making.get(key)
        if task is None:
            if len(self._making) >= WAITING_MAX:
                raise LimitExceededError(f"{WAITING_MAX} pictures are being made")
            task = self._making[key] = asyncio.create_task(self._make(stream))
            task.add_done_callback(lambda _: self._making.pop(key, None))
        # Shielded: whoever goes away takes it from nobody else.
        return await asyncio.shield(task)

    async def _make(self, stream: contract.StreamHandle) -> bytes:
        async with asyncio.timeout(self._deadline_s):
            frame = await key_frame(stream)
        async with self._turn:
            jpeg = await self._decode(frame)
        self._pictures[stream.key] = Picture(stream.session, time.monotonic(), jpeg)
        self._pictures.move_to_end(stream.key)
        while len(self._pictures) > STREAMS_MAX:
            self._pictures.popitem(last=False)
        return jpeg

    async def _decode(self, frame: MediaFrame) -> bytes:
        track = next(track for track in frame.tracks if track.id == frame.track)
        data, config = bytes(frame), bytes(track.config) if track.codec[0] == "H" or track.codec == "AV1" else b""
        sizes = {"codec": track.codec, "width": self._width, "config": len(config), "frame": len(data)}
        asked = json.dumps(sizes).encode()
        try:
            async with asyncio.timeout(self._deadline_s):
                process = await self._worker()
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(struct.pack(">I", len(asked)) + asked + config + data)
                await process.stdin.drain()
                kind, size = struct.unpack(">BI", await process.stdout.readexactly(5))
                body = await process.stdout.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.close()
            raise UnsupportedError(f"decoding {track.codec} ended the decoder") from None
        except BaseException:
            await self.close()  # What it does with this one is nobody's any more.
            raise
        if kind != 0:
            raise UnsupportedError(f"{track.codec} is not decoded here: {body.decode(errors='replace')}")
        return body

    async def _worker(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            command = (sys.executable, "-m", "arcly.thumbnail.worker")
            none = asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=none)
        return self._process

    async def close(self) -> None:
        """End the worker. Idempotent; the next picture begins another one."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def key_frame(stream: contract.StreamHandle) -> MediaFrame:
    """Return the newest key frame of the pictures of a stream, or the next one.

    Raises:
        UnsupportedError: there are no pictures, or none that are known here.
        NotFoundError: the stream ends before one comes.
    """
    reader = stream.subscribe()
    try:
        async for frame in reader:
            video = next((track for track in frame.tracks if track.kind == "video"), None)
            if video is None:
                raise UnsupportedError(f"{stream.key} has no pictures")
            if video.codec not in DECODERS:
                raise UnsupportedError(f"no decoder is known for {video.codec}")
            if frame.track == video.id and frame.is_key:
                return frame
    finally:
        close = getattr(reader, "close", None)
        if close is not None:
            closing = close()
            if closing is not None:
                await closing
    raise NotFoundError(f"{stream.key} has ended")


__all__ = ["Thumbnails", "key_frame"]
