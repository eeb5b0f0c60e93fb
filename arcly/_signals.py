"""Signals as events, and waiting for the first of several things."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What ends a server: Ctrl-C, and what service managers send."""


@contextlib.contextmanager
def heard(signals: Sequence[signal.Signals]) -> Iterator[asyncio.Event]:
    """Return an event that any of the signals sets; what they did before is put back at the end.

    Only the main thread hears signals: elsewhere the event is never set.
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
    """Answer the signals, where they can be heard, until the end of the block. Every task that is in such a block
    answers, by the innermost of its own.
    """
    block = _Block(asyncio.get_running_loop(), asyncio.current_task(), answer)
    catchers = [catcher for number in signals if (catcher := _catcher_of(number)) is not None]
    for catcher in catchers:
        catcher.blocks.append(block)
    try:
        if catchers:
            _keep_awake(block.loop)
        yield
    finally:
        for catcher in catchers:
            catcher.leave(block)
        if not _catchers:
            _let_sleep()


@dataclass(frozen=True, eq=False)
class _Block:
    """A task that answers signals for a while."""

    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[object] | None
    answer: Callable[[], object]


class _Catcher:
    """The handler of one signal, for all that answer it. A process has one handler of each signal, and so has a loop:
    not by `loop.add_signal_handler`, since nobody can ask a loop for the one that this would replace.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.blocks: list[_Block] = []
        self._number = number
        self._before = signal.signal(number, self._catch)

    def _catch(self, *_: object) -> None:
        if not self.blocks:
            # Put back, at its end, by somebody who had taken the signal meanwhile.
            self._put_back()
            signal.raise_signal(self._number)
        for block in {block.task: block for block in self.blocks}.values():
            if not block.loop.is_closed():
                block.loop.call_soon_threadsafe(block.answer)

    def leave(self, block: _Block) -> None:
        """Let go of a block; with the last one, what the signal did before is put back."""
        self.blocks.remove(block)
        if not self.blocks:
            del _catchers[self._number]
            # Whoever has taken the signal since keeps it.
            if signal.getsignal(self._number) == self._catch:
                self._put_back()

    def _put_back(self) -> None:
        signal.signal(self._number, signal.SIG_DFL if self._before is None else self._before)


_catchers: dict[signal.Signals, _Catcher] = {}


def _catcher_of(number: signal.Signals) -> _Catcher | None:
    """Return what catches the signal; None where it cannot be caught."""
    if threading.current_thread() is not threading.main_thread():
        return None
    if number not in _catchers:
        try:
            _catchers[number] = _Catcher(number)
        except (ValueError, OSError):
            return None
    return _catchers[number]


_awake: asyncio.AbstractEventLoop | None = None


def _keep_awake(loop: asyncio.AbstractEventLoop) -> None:
    """Let signals wake the loop. Those of asyncio do from the first `add_signal_handler` on; before it, a signal that
    comes just when the loop goes to sleep, or to another thread, waits for the next event. SIGURG does nothing, as by
    default.
    """
    global _awake
    # On Windows the loop has it always.
    if sys.platform != "win32" and signal.getsignal(signal.SIGURG) is signal.SIG_DFL:
        # Not every loop has handlers of signals, and none of them is worth a server.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError, OSError):
            if not _is_woken():
                loop.add_signal_handler(signal.SIGURG, lambda: None)
                _awake = loop


def _is_woken() -> bool:
    """Return whether signals wake somebody: the loop, or a host, which would not hear of them any more."""
    before = signal.set_wakeup_fd(-1)
    if before != -1:
        signal.set_wakeup_fd(before)
    return before != -1


def _let_sleep() -> None:
    global _awake
    if sys.platform != "win32" and _awake is not None:
        _awake.remove_signal_handler(signal.SIGURG)
        _awake = None


async def wait_any(*things: asyncio.Event | asyncio.Task[None] | None) -> None:
    """Wait until one of the events is set or one of the tasks is done; None stands for what never comes."""
    tasks = [thing for thing in things if isinstance(thing, asyncio.Task)]
    waiting = [asyncio.ensure_future(thing.wait()) for thing in things if isinstance(thing, asyncio.Event)]
    try:
        await asyncio.wait([*tasks, *waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
