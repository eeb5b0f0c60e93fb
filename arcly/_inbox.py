"""Requests and warnings of native tasks, read on the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from arcly._deadline import end
from arcly._loop import Signal
from arcly._native import Inbox, PlayRequest, PublishRequest

log = logging.getLogger("arcly")

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class InboxReader:
    """Reads one inbox: news and warnings go to the log, requests to publish to `publish`, to play to `play`. Without
    these they are refused.
    """

    def __init__(
        self,
        name: str,
        publish: Callable[[PublishRequest], None] | None = None,
        play: Callable[[PlayRequest], None] | None = None,
    ) -> None:
        self._name = name
        self._publish = publish
        self._play = play
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
                if self._publish is not None:
                    self._publish(notice)
                continue
            if isinstance(notice, PlayRequest):
                if self._play is not None:
                    self._play(notice)
                continue
            level, text = notice
            log.log(LEVELS[level], "[%s] %s", self._name, text)

    async def close(self) -> None:
        """Handle what is waiting, and read no more."""
        await end(self._task)
        self.flush()
        self._signal.close()
