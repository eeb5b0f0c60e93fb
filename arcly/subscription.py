"""Reading a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType

from arcly._callback import FrameCallback
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

    Read it in one of five ways: frame by frame, in `batches()`, by `drain()` without waiting, in a thread by
    `blocking()`, or by a function given to `on_frames()`. All share the one cursor, so use one of them at a time,
    from one task or thread at a time. Leave it with `close()` or by `async with`.
    """

    def __init__(
        self,
        stream: NativeStream,
        *,
        tracks: Sequence[int] | None = None,
        max_lag: int | None = None,
        protocol: str = "python",
    ) -> None:
        self.cursor = stream.subscribe(tracks=tracks, max_lag=max_lag, protocol=protocol)
        # Made when a coroutine waits for the first time: threads need none, and the loop is known only then.
        self._signal: Signal | None = None
        # Taken out of the log and not handed on yet, newest first.
        self._waiting: list[MediaFrame] = []
        # The log had no more at the last look, and will wake the signal when it has.
        self._drained = False

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
            return [self._waiting.pop() for _ in range(min(max_frames, len(self._waiting)))]
        return self.cursor.drain(max_frames)

    async def batches(self, max_frames: int = BATCH_FRAMES) -> AsyncIterator[list[MediaFrame]]:
        """Iterate over lists of 1 to `max_frames` frames: what has come since the last one."""
        while frames := (self.drain(max_frames) if self._waiting else await self._read(max_frames)):
            yield frames

    def __aiter__(self) -> Subscription:
        """Iterate over frames."""
        return self

    async def __anext__(self) -> MediaFrame:
        """Return the next frame."""
        if self._waiting:
            return self._waiting.pop()
        # As `_read`, which would be one coroutine more for each frame.
        signal = self._signal or self._make_signal()
        while True:
            if self._drained:
                # Also when the waiting is cancelled: what it was woken for is then still to be read.
                self._drained = False
                if (waiter := signal.waiter()) is not None:
                    await waiter
            frames = self.cursor.take(BATCH_FRAMES, signal.token)
            if frames is None:
                raise StopAsyncIteration
            self._drained = len(frames) < BATCH_FRAMES
            if frames:
                frames.reverse()
                self._waiting = frames
                return frames.pop()

    async def _read(self, max_frames: int) -> list[MediaFrame]:
        """Return at least one frame; an empty list at the end of the stream."""
        signal = self._signal or self._make_signal()
        while True:
            if self._drained:
                self._drained = False
                await signal.wait()
            frames = self.cursor.take(max_frames, signal.token)
            if frames is None:
                return []
            self._drained = len(frames) < max_frames
            if frames:
                return frames

    def _make_signal(self) -> Signal:
        self._signal = Signal()
        return self._signal

    def blocking(self, *, timeout_s: float | None = None) -> Iterator[MediaFrame]:
        """Iterate over frames in a thread: `for frame in subscription.blocking()`. Needs no event loop.

        The GIL is released while it waits. `close()` from another thread ends it, as the end of the stream does.

        Args:
            timeout_s: seconds that one frame may be waited for; default None, for ever.

        Raises:
            TimeoutError: no frame came for so long. The subscription is as it was.
        """
        while True:
            yield from (frames := self.drain())
            if frames:
                continue
            if self.cursor.ended:
                return
            if not self.cursor.wait(timeout_s):
                raise TimeoutError(f"no frame within {timeout_s:g} s")

    def on_frames(
        self,
        callback: Callable[[list[MediaFrame]], object],
        *,
        max_frames: int = BATCH_FRAMES,
        deadline_s: float = 1.0,
    ) -> FrameCallback:
        """Call `callback` on the running event loop with lists of 1 to `max_frames` frames, as they come.

        A callback that raises, or takes longer than `deadline_s`, is logged and called no more: the loop and the stream
        go on. The subscription is closed then, and at the end of the stream.
        """
        return FrameCallback(self, callback, max_frames, deadline_s)

    def close(self) -> None:
        """Stop reading; a waiting iteration ends. Idempotent. Another thread may call it when no coroutine reads."""
        self.cursor.close()
        self._waiting.clear()
        if self._signal is not None:
            self._signal.close()

    async def __aenter__(self) -> Subscription:
        """Return the subscription."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __enter__(self) -> Subscription:
        """Return the subscription, for threads."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
