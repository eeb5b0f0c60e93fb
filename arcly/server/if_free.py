"""Listeners that nobody has asked for."""

from __future__ import annotations

import logging

from arcly.contract import InboundProtocol, IngestContext
from arcly.errors import ListenError

log = logging.getLogger("arcly")


class IfFree:
    """A listener at its usual address: another program may have that, and then it is left out. An `InboundProtocol`.

    Args:
        listener: what listens.
        flag: what gives it another address: `--srt`.
    """

    def __init__(self, listener: InboundProtocol, flag: str) -> None:
        self.name = listener.name
        self._listener = listener
        self._flag = flag

    async def start(self, context: IngestContext) -> None:
        """Listen, if that is possible."""
        try:
            await self._listener.start(context)
        except ListenError as error:
            await self._listener.stop()
            log.warning("[%s] left out: %s (%s HOST:PORT listens elsewhere)", self.name, error, self._flag)

    async def stop(self) -> None:
        """Stop."""
        await self._listener.stop()
