"""Whoever waits for a task that was told to end can be told to end themselves."""

import asyncio
from typing import Any

import pytest

from arcly.services._follow import EventFollower


class SlowToLeave:
    """Events of a host's registry that takes its time to close them."""

    def __init__(self) -> None:
        self.leaving, self.may_leave = asyncio.Event(), asyncio.Event()

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.leaving.set()
        await self.may_leave.wait()


async def test_who_is_cancelled_while_a_task_ends_is_cancelled() -> None:
    events = SlowToLeave()
    closing = asyncio.create_task(EventFollower(events, lambda event: None).close())
    await asyncio.wait_for(events.leaving.wait(), 60)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    events.may_leave.set()
