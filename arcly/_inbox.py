"""Requests and warnings of native tasks, read on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from arcly._loop import Signal
from arcly._native import Inbox, PublishRequest

log = logging.getLogger("arcly")


class InboxReader:
    """Reads one inbox: warnings go to the log, requests to `decide`."""

    def __init__(self, name: str, decide: Callable[[PublishRequest], None] | None = None) -> None:
        self._name = name
        self._decide = decide
        self._signal = Signal()
        self.inbox = Inbox(self._signal.token)
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        dropped = 0
        while True:
            await self._signal.wait()
            self.flush()
            if self.inbox.dropped > dropped:
                log.warning("[%s] %d messages were dropped: too many at once", self._name, self.inbox.dropped - dropped)
                dropped = self.inbox.dropped

    def flush(self) -> None:
        """Handle what is waiting."""
        while (notice := self.inbox.pop()) is not None:
            if isinstance(notice, PublishRequest):
                if self._decide is not None:
                    self._decide(notice)
                continue
            level, text = notice
            log.log(logging.ERROR if level == "error" else logging.WARNING, "[%s] %s", self._name, text)

    async def close(self) -> None:
        """Handle what is waiting, and read no more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.flush()
        self._signal.close()
