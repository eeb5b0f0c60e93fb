"""Signals as events, and waiting for the first of several things."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What ends a server: Ctrl-C, and what service managers send."""


@contextlib.contextmanager
def heard(signals: Sequence[signal.Signals]) -> Iterator[asyncio.Event]:
    """Return an event that any of the signals sets; what they did before is put back at the end.

    Only the main thread hears signals: elsewhere, and on loops that cannot do it, the event is never set.
    """
    event = asyncio.Event()
    with handled(signals, event.set):
        yield event


@contextlib.contextmanager
def cancelling(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Let any of the signals cancel the task in this block: a start, which is undone rather than cut off."""
    task = asyncio.current_task()
    assert task is not None
    with handled(signals, task.cancel):
        yield


@contextlib.contextmanager
def handled(signals: Sequence[signal.Signals], answer: Callable[[], object]) -> Iterator[None]:
    """Answer the signals, where they can be heard, until the end of the block."""
    loop = asyncio.get_running_loop()
    before = {}
    for number in signals:
        try:
            before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, answer)
        except (ValueError, RuntimeError, NotImplementedError):
            before.pop(number, None)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)


async def wait_any(*things: asyncio.Event | asyncio.Task[None] | None) -> None:
    """Wait until one of the events is set or one of the tasks is done; None stands for what never comes."""
    tasks = [thing for thing in things if isinstance(thing, asyncio.Task)]
    waiting = [asyncio.ensure_future(thing.wait()) for thing in things if isinstance(thing, asyncio.Event)]
    try:
        await asyncio.wait([*tasks, *waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
