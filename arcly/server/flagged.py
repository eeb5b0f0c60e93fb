"""Listeners by the flags that place them."""

from __future__ import annotations

import logging

from arcly.contract import Drainable, InboundProtocol, IngestContext
from arcly.errors import ListenError, MisuseError

log = logging.getLogger("arcly")


class Flagged:
    """A listener that says by which flag another address is chosen where its own is taken. An `InboundProtocol`.

    Args:
        listener: what listens.
        flag: what gives it another address: `--srt HOST:PORT`.
        is_asked: False leaves it out where its address is taken: it is the usual one, which another program may have.
    """

    def __init__(self, listener: InboundProtocol, flag: str, *, is_asked: bool) -> None:
        self.name = listener.name
        self._listener = listener
        self._flag = flag
        self._is_asked = is_asked

    async def start(self, context: IngestContext) -> None:
        """Listen, if that is possible.

        Raises:
            ListenError: it is asked for and its address cannot be had.
            MisuseError: a name of a host is none that this machine knows.
        """
        try:
            await self._listener.start(context)
        except MisuseError as error:
            raise MisuseError(f"[{self.name}] {error}") from None
        except ListenError as error:
            if self._is_asked:
                raise ListenError(f"{error} ({self._flag} listens elsewhere)") from None
            await self._listener.stop()
            log.warning("[%s] left out: %s (%s listens elsewhere)", self.name, error, self._flag)

    async def drain(self) -> None:
        """Let it tell its peers, if it has something to."""
        if isinstance(self._listener, Drainable):
            await self._listener.drain()

    async def stop(self) -> None:
        """Stop."""
        await self._listener.stop()
