"""Frames handed to a function on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from arcly._native import MediaFrame

if TYPE_CHECKING:
    from arcly.subscription import Subscription

log = logging.getLogger("arcly")


class FrameCallback:
    """A function that is called with the frames of a subscription, until the stream ends, somebody closes this, or the
    function misbehaves.
    """

    def __init__(
        self,
        subscription: Subscription,
        callback: Callable[[list[MediaFrame]], object],
        max_frames: int,
        deadline_s: float,
    ) -> None:
        self.frames = 0
        """Frames handed over so far."""
        self.fault: str | None = None
        """Why the function was detached; None as long as it behaves."""
        self._subscription = subscription
        self._callback = callback
        self._deadline_s = deadline_s
        self._task = asyncio.create_task(self._run(max_frames))

    async def _run(self, max_frames: int) -> None:
        with self._subscription:
            async for frames in self._subscription.batches(max_frames):
                self.fault = self._call(frames)
                if self.fault is not None:
                    log.warning("a callback gets no more frames: it %s", self.fault)
                    return
                # Every coroutine has its turn, however fast frames come.
                await asyncio.sleep(0)

    def _call(self, frames: list[MediaFrame]) -> str | None:
        """Call the function; return what was wrong with that."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            self._callback(frames)
        except Exception as error:
            log.warning("a callback has failed", exc_info=True)
            return f"raised {error!r}"
        self.frames += len(frames)
        took_s = loop.time() - started_s
        return f"took {took_s:.3f} s" if took_s > self._deadline_s else None

    async def wait(self) -> None:
        """Wait until no more frames are handed over."""
        await asyncio.shield(self._task)

    def close(self) -> None:
        """Call it no more. Idempotent."""
        self._subscription.close()
