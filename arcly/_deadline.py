"""The ends of tasks: deadlines that hold even for code which ignores its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_left: set[asyncio.Task[Any]] = set()
"""Tasks that may end when nobody waits for them any more; the event loop itself holds tasks weakly."""


async def within(deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns.

    Raises:
        TimeoutError: it took longer than `deadline_s`, or held up the whole loop for so long. It is cancelled, and
            not waited for.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    task = loop.create_task(work)
    try:
        await asyncio.wait({task}, timeout=deadline_s)
    finally:
        if not task.done():
            abandon(task)
    if not task.done():
        raise TimeoutError(f"took longer than {deadline_s:g} s")
    if task.cancelled():
        raise RuntimeError("cancelled itself")
    result = task.result()
    if loop.time() - started > deadline_s:
        raise TimeoutError(f"held up the event loop for more than {deadline_s:g} s")
    return result


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and wait until it has ended. Whoever is cancelled meanwhile is cancelled, and the task ends alone.

    Raises:
        Exception: what the task has raised.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def abandon(task: asyncio.Task[Any]) -> None:
    """Cancel `task`, and do not wait until it heeds that."""
    keep(task)
    task.cancel()


def keep(task: asyncio.Task[Any]) -> None:
    """Hold `task` until it has ended, also where nobody waits for it."""
    _left.add(task)
    task.add_done_callback(_bury)


def _bury(task: asyncio.Task[Any]) -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # Retrieved, so that asyncio does not complain: nobody waits for it any more.
