"""The events of an engine, each handed to a function, until somebody stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from arcly._deadline import end
from arcly.contract import EventStream
from arcly.events import StreamEvent

log = logging.getLogger("arcly")

LOOP_TURNS = 8
"""Turns of the event loop in which an event that has happened reaches its follower: it takes three, from the
descriptor's wake-up over the callback to the task."""

ROUNDS_MAX = 64
"""Times that so many turns are waited for at the end: a busy engine cannot hold a service that leaves it."""


class EventFollower:
    """Reads events in a task of its own, and gives each to `handle`, which must not block."""

    def __init__(self, events: EventStream, handle: Callable[[StreamEvent], None]) -> None:
        self._handle = handle
        self._seen = 0
        self._task = asyncio.create_task(self._follow(events))

    async def _follow(self, events: EventStream) -> None:
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    self._seen += 1
                    try:
                        self._handle(event)
                    except Exception:
                        # One event is lost, such as by a registry of the host that fails: those behind it are not.
                        log.exception("%s of %s could not be handled", event.kind, event.key)
        except Exception:
            log.exception("events are no longer followed")

    async def close(self) -> None:
        """Hand on what has happened by now, such as the end of all streams when the engine stops; read no more."""
        for _ in range(ROUNDS_MAX):
            seen = self._seen
            for _ in range(LOOP_TURNS):
                await asyncio.sleep(0)
            if seen == self._seen:
                break
        await end(self._task)
