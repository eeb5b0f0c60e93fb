"""Streams that begin when somebody wants to see them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from arcly._native import StreamKey
from arcly.errors import MisuseError

if TYPE_CHECKING:  # The contract names what is here.
    from arcly import contract

log = logging.getLogger("arcly")

BEGIN_DEADLINE_S = 8.0
"""What a stream may take to begin: viewers are turned away after 10 s without an answer."""

Begin = Callable[[], Awaitable[None]]
Watcher = tuple[Callable[[StreamKey], None], Callable[[StreamKey], None]]


class Offers:
    """Which keys somebody can begin to publish on demand. One for each engine."""

    def __init__(self) -> None:
        self._begin: dict[StreamKey, Begin] = {}
        self._watchers: list[Watcher] = []

    def add(self, key: StreamKey, begin: Begin) -> None:
        """Offer `key`: `begin` is called for each viewer, and returns when the stream is live, or its publishing was
        begun or is under way.

        Raises:
            MisuseError: somebody else offers it.
        """
        if key in self._begin:
            raise MisuseError(f"{key} is offered on demand already")
        self._begin[key] = begin
        for added, _ in self._watchers:
            added(key)

    def remove(self, key: StreamKey) -> None:
        """Take the offer back. Idempotent."""
        if self._begin.pop(key, None) is not None:
            for _, removed in self._watchers:
                removed(key)

    def watch(self, added: Callable[[StreamKey], None], removed: Callable[[StreamKey], None]) -> Callable[[], None]:
        """Call `added` for every offer there is and will be, `removed` when one is taken back; returns how to stop."""
        watcher = (added, removed)
        self._watchers.append(watcher)
        for key in self._begin:
            added(key)
        return lambda: self._watchers.remove(watcher)

    async def summon(self, context: contract.IngestContext, key: StreamKey) -> contract.StreamHandle | None:
        """Return the stream, beginning it where it is offered; None when it is not, or takes longer than 8 s."""
        begin = self._begin.get(key)
        if begin is None:
            return context.get_stream(key)
        stream, events = None, context.events()
        try:
            async with asyncio.timeout(BEGIN_DEADLINE_S):
                await begin()
                while (stream := context.get_stream(key)) is None:
                    await anext(events)
        except TimeoutError:
            log.warning("%s did not begin within %g s", key, BEGIN_DEADLINE_S)
        finally:
            with contextlib.suppress(RuntimeError):
                await events.aclose()
        return stream
