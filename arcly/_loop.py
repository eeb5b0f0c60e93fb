"""How native threads wake an asyncio event loop: one descriptor per loop, any number of callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from arcly._native import LoopHub as NativeHub
from arcly._native import WakeToken

T = TypeVar("T")

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopHub] = WeakKeyDictionary()


class LoopHub:
    """The wake-ups of one event loop."""

    def __init__(self) -> None:
        self._native = NativeHub()
        self._callbacks: dict[int, Callable[[], None]] = {}
        # For as long as there is the loop: tokens that tasks wait for come and go without a word.
        asyncio.get_running_loop().add_reader(self._native.fileno(), self._ready)

    @classmethod
    def current(cls) -> LoopHub:
        """Return the hub of the running loop."""
        loop = asyncio.get_running_loop()
        hub = _hubs.get(loop)
        if hub is None:
            hub = _hubs[loop] = cls()
        return hub

    def token(self, callback: Callable[[], None] | None = None) -> WakeToken:
        """Return a token whose wake-ups run the task that waits for it, or call `callback` on the loop. A token with a
        callback has to be given back with `release`.
        """
        token = self._native.token()
        if callback is not None:
            self._callbacks[token.id] = callback
        return token

    def release(self, token: WakeToken) -> None:
        """Forget the callback of `token`. The loop may be closed already."""
        self._callbacks.pop(token.id, None)

    def _ready(self) -> None:
        for token_id in self._native.serve():
            callback = self._callbacks.get(token_id)
            if callback is not None:
                callback()


class Signal:
    """A native wake-up that a coroutine can wait for, one at a time. A wake-up that comes while nobody waits is
    kept.
    """

    def __init__(self) -> None:
        self._hub = LoopHub.current()
        self._loop = asyncio.get_running_loop()
        self._woken = False
        # An asyncio.Event would do the same for any number of waiters, and take twice as long for one.
        self._waiter: asyncio.Future[None] | None = None
        self.token = self._hub.token(self._wake)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._woken = True
        else:
            waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for a wake-up since the last `wait`."""
        if self._woken:
            self._woken = False
            return
        self._waiter = self._loop.create_future()
        await self._waiter

    def close(self) -> None:
        """Forget the token, and wake whoever waits."""
        self._hub.release(self.token)
        self._wake()

    def forget(self) -> None:
        """Close it soon, when nobody can wait for it any more. From any thread: there the collector may run."""
        try:
            self._loop.call_soon_threadsafe(self.close)
        except RuntimeError:  # The loop is closed.
            self.close()


async def woken(begin: Callable[[WakeToken], T]) -> T:
    """Call `begin` with a token and wait until that is woken; return what `begin` has returned."""
    signal = Signal()
    try:
        begun = begin(signal.token)
        await signal.wait()
        return begun
    finally:
        signal.close()
