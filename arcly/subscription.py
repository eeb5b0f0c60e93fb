"""Reading a stream from asyncio."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from arcly._loop import Signal
from arcly._native import MediaFrame
from arcly._native import StreamHandle as NativeStream

BATCH_FRAMES = 64
"""Frames taken out of the log at a time; so many a subscription may hold beyond what the log holds."""


class Subscription:
    """A cursor over a live stream: `async for frame in subscription`.

    It begins at the newest random access point (or waits for the next one) and reads every frame from there on, in the
    order of publishing, without copying any. A reader that falls so far behind that the stream no longer has what comes
    next goes on at the newest random access point; that frame has `is_discontinuity`, and `missed` has counted the gap.
    The iteration ends with the stream.

    One task may read a subscription at a time. Leave it with `close()` or by `async with`.
    """

    def __init__(
        self, stream: NativeStream, *, tracks: Sequence[int] | None = None, max_lag: int | None = None
    ) -> None:
        self._signal = Signal()
        self.cursor = stream.subscribe(self._signal.token, tracks=tracks, max_lag=max_lag)
        self._waiting: deque[MediaFrame] = deque()
        self._closed = False

    @property
    def missed(self) -> int:
        """Frames skipped because this reader was too slow."""
        return self.cursor.missed

    @property
    def evicted(self) -> bool:
        """Whether this reader has missed more than it may: its iteration has ended for good."""
        return self.cursor.evicted

    def drain(self, max_frames: int = BATCH_FRAMES) -> list[MediaFrame]:
        """Return what is waiting, without waiting: up to `max_frames` frames, perhaps none."""
        if self._waiting:
            return [self._waiting.popleft() for _ in range(min(max_frames, len(self._waiting)))]
        return self.cursor.drain(max_frames)

    async def batches(self, max_frames: int = BATCH_FRAMES) -> AsyncIterator[list[MediaFrame]]:
        """Iterate over lists of 1 to `max_frames` frames: what has come since the last one."""
        while frames := await self._read(max_frames):
            yield frames

    def __aiter__(self) -> Subscription:
        """Iterate over frames."""
        return self

    async def __anext__(self) -> MediaFrame:
        """Return the next frame."""
        if not self._waiting:
            self._waiting.extend(await self._read(BATCH_FRAMES))
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def _read(self, max_frames: int) -> list[MediaFrame]:
        """Return at least one frame; an empty list at the end of the stream."""
        while not self._closed:
            frames = self.drain(max_frames)
            if frames or self.cursor.ended:
                return frames
            self.cursor.arm()
            # What was published between the last look and the arming wakes nobody.
            frames = self.cursor.drain(max_frames)
            if frames or self.cursor.ended:
                return frames
            await self._signal.wait()
        return []

    def close(self) -> None:
        """Stop reading; a waiting iteration ends. Idempotent."""
        if not self._closed:
            self._closed = True
            self._signal.close()

    async def __aenter__(self) -> Subscription:
        """Return the subscription."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
