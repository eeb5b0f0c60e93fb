"""An event loop whose clock jumps to the next timer whenever nothing else is to do: deadlines cost no time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


class JumpingSelector(selectors.DefaultSelector):
    """Says that nothing is ready, and moves the clock instead of waiting."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for something that never comes")
        if not ready and timeout is not None and timeout > 0:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._clock = JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a `VirtualLoop`. Nothing in it may wait for a thread or another process."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class Bus:
    """A context in plain Python: what a service sees of a foreign engine."""

    def __init__(self) -> None:
        self.streams: list[Any] = []
        self.queues: list[asyncio.Queue[Any]] = []
        self.native = None

    def emit(self, event: Any) -> None:
        for queue in self.queues:
            queue.put_nowait(event)

    def events(self) -> Any:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.queues.append(queue)

        async def iterate() -> Any:
            while True:
                yield await queue.get()

        return iterate()

    def list_streams(self) -> list[Any]:
        return self.streams

    def get_stream(self, key: Any) -> Any:
        return next((stream for stream in self.streams if stream.key == key), None)
