"""A storage backend for threads that may block."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

from arcly.errors import StreamError

T = TypeVar("T")


class Waiter:
    """Runs what a storage backend does on an event loop, for other threads that wait for it.

    Args:
        patience_s: how long they do.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waited: set[concurrent.futures.Future[Any]] = set()

    @property
    def is_open(self) -> bool:
        """Whether there is a loop."""
        return self._loop is not None

    def open(self) -> None:
        """Take this loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Begin nothing more; who waits gets an error. Idempotent."""
        self._loop = None
        for waited in list(self._waited):
            waited.cancel()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns. Blocks: not for the loop.

        Raises:
            OSError: it failed, or has not ended in time.
        """
        loop = self._loop
        if loop is None:
            work.close()
            raise OSError("the loop of the storage does not run")
        waited = asyncio.run_coroutine_threadsafe(work, loop)
        self._waited.add(waited)
        try:
            return waited.result(self._patience_s)
        except (TimeoutError, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            waited.cancel()
            raise OSError("the storage does not answer") from None
        except StreamError as error:
            raise OSError(str(error)) from None
        finally:
            self._waited.discard(waited)
