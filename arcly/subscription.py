"""Reading a stream."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType

from arcly._callback import FrameCallback
from arcly._loop import LoopHub
from arcly._native import MediaFrame, WakeToken
from arcly._native import StreamHandle as NativeStream
from arcly.errors import MisuseError

BATCH_FRAMES = 64
"""Frames taken out of the log at a time by those who do not say how many."""


class Subscription:
    """A cursor over a live stream: `async for frame in subscription`.

    It begins at the newest random access point (or waits for the next one) and reads every frame from there on, in the
    order of publishing, without copying any. A reader that falls so far behind that the stream no longer has what comes
    next goes on at the newest random access point; that frame has `is_discontinuity`, and `missed` has counted the gap.
    The iteration ends with the stream. Where pictures are announced and for some seconds none has come, sound is a
    random access point too, and pictures follow from their next key frame on.

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
        # Made when a coroutine reads for the first time: threads need none, and the loop is known only then.
        self._token: WakeToken | None = None
        self._frames: AsyncIterator[MediaFrame] | None = None

    @property
    def missed(self) -> int:
        """Frames skipped because this reader was too slow: those of all tracks that lie in its gaps, also where it
        reads only some, since nobody knows any more of which tracks they were. What a filter leaves out does not count.
        """
        return self.cursor.missed

    @property
    def evicted(self) -> bool:
        """Whether this reader has missed more than it may: its iteration has ended for good."""
        return self.cursor.evicted

    def drain(self, max_frames: int = BATCH_FRAMES) -> list[MediaFrame]:
        """Return what is waiting, without waiting: up to `max_frames` frames, perhaps none."""
        return self.cursor.drain(max_frames)

    async def batches(self, max_frames: int = BATCH_FRAMES) -> AsyncIterator[list[MediaFrame]]:
        """Iterate over lists of 1 to `max_frames` frames: what has come since the last one."""
        async for frames in self.cursor.batches(max_frames, self._wake_token(), asyncio.get_running_loop()):
            yield frames

    def __aiter__(self) -> AsyncIterator[MediaFrame]:
        """Iterate over frames."""
        if self._frames is None:
            self._frames = self.cursor.frames(self._wake_token(), asyncio.get_running_loop())
        return self._frames

    async def __anext__(self) -> MediaFrame:
        """Return the next frame."""
        return await anext(self.__aiter__())

    def _wake_token(self) -> WakeToken:
        if self._token is None:
            self._token = LoopHub.current().token()
        return self._token

    def blocking(self, *, timeout_s: float | None = None) -> Iterator[MediaFrame]:
        """Iterate over frames in a thread: `for frame in subscription.blocking()`. Needs no event loop.

        The GIL is released while it waits. `close()` from another thread ends it, as the end of the stream does.

        Args:
            timeout_s: seconds that one frame may be waited for; default None, for ever.

        Raises:
            TimeoutError: no frame came for so long. The subscription is as it was.
        """
        while True:
            # One at a time: what is taken out and not handed over goes with whoever leaves the loop.
            while frames := self.cursor.drain(1):
                yield frames[0]
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

        Raises:
            MisuseError: `callback` is a coroutine function, whose calls nobody would await: use `batches()`.
        """
        if inspect.iscoroutinefunction(callback):
            raise MisuseError("the callback is a coroutine function; read batches() in a task of your own instead")
        return FrameCallback(self, callback, max_frames, deadline_s)

    def close(self) -> None:
        """Stop reading; a waiting iteration ends. Idempotent. Another thread may call it when no coroutine reads."""
        self.cursor.close()
        if self._token is not None:
            self.cursor.wake(self._token)

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
