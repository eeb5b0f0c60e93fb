# ruff: noqa: D103 (a benchmark is said by its name, as a test is)
"""What one call over the Python border costs.

Run by `bench_border.py`, with pytest-benchmark on the CPU time of the thread. Each benchmark runs a loop of `CALLS`
calls; `bench_border.py` takes off what the same loop costs empty.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count, islice
from types import ModuleType

import extension
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import arcly

CALLS = 1024
BATCH = 64
ROUNDS = 400
AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))


class PlainFrame:
    """The least that an attribute can cost in Python: a slot."""

    __slots__ = ("pts",)

    def __init__(self) -> None:
        self.pts = 0


@pytest.fixture(scope="session")
def nogil() -> ModuleType:
    return extension.build()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def session(loop: asyncio.AbstractEventLoop) -> Iterator[arcly.PublishSession]:
    """A stream whose log keeps what one round publishes."""
    engine = arcly.Engine(default_app=arcly.AppSpec(ring_frames=2 * CALLS))
    session = loop.run_until_complete(engine.start_publish(arcly.StreamKey("bench", "calls")))
    session.set_tracks([AUDIO])
    yield session
    session.end()


@pytest.fixture
def subscription(session: arcly.PublishSession, loop: asyncio.AbstractEventLoop) -> Iterator[arcly.Subscription]:
    async def subscribe() -> arcly.Subscription:
        return arcly.StreamHandle(session.handle).subscribe()

    subscription = loop.run_until_complete(subscribe())
    yield subscription
    subscription.close()


def measure(
    benchmark: BenchmarkFixture,
    run: Callable[[], object],
    *,
    before: Callable[[], object] = lambda: None,
    **row: object,
) -> None:
    """Run `before` unmeasured and `run` measured; `row` is what `bench_border.py` makes of it."""
    benchmark.extra_info.update(row)
    benchmark.pedantic(run, setup=lambda: before() and None, rounds=ROUNDS, warmup_rounds=5)


@pytest.mark.parametrize("kind", ["each", "range"])
def bench_empty_loop(benchmark: BenchmarkFixture, kind: str) -> None:
    items = list(range(CALLS)) if kind == "each" else None

    def each() -> None:
        for _ in items or ():
            pass

    numbers = count()

    def ranged() -> None:
        for _ in islice(numbers, CALLS):
            pass

    measure(benchmark, each if kind == "each" else ranged, empty=kind)


def bench_drain(
    benchmark: BenchmarkFixture, nogil: ModuleType, session: arcly.PublishSession, subscription: arcly.Subscription
) -> None:
    publisher = nogil.Publisher(session, AUDIO.id, 188)

    def drain() -> None:
        for _ in range(CALLS // BATCH):
            frames = subscription.drain(BATCH)
        assert len(frames) == BATCH

    measure(benchmark, drain, before=lambda: publisher.publish(CALLS), name=f"drain({BATCH}), per frame", goal=50)
    assert not subscription.missed


@pytest.mark.parametrize("size", [188, 1316])
def bench_publish(benchmark: BenchmarkFixture, session: arcly.PublishSession, size: int) -> None:
    view, times, publish = memoryview(bytes(size)), count(), session.publish

    def run() -> None:
        for pts in islice(times, CALLS):
            publish(view, track=1, pts=pts)

    goal = 150 if size == 1316 else None
    measure(benchmark, run, name=f"publish(memoryview of {size} bytes)", goal=goal, loop="range")


@pytest.mark.parametrize("size", [188, 1316])
def bench_copy_of_a_memoryview(benchmark: BenchmarkFixture, size: int) -> None:
    view, times = memoryview(bytes(size)), count()

    def run() -> None:
        for _ in islice(times, CALLS):
            bytes(view)

    measure(benchmark, run, floor_of=f"publish(memoryview of {size} bytes)", loop="range")


@pytest.mark.parametrize("name", ["pts", "dts", "track", "duration", "is_key", "kind", "codec"])
def bench_attribute(
    benchmark: BenchmarkFixture,
    session: arcly.PublishSession,
    subscription: arcly.Subscription,
    name: str,
) -> None:
    for pts in range(CALLS):
        session.publish(b"", track=1, pts=pts)
    frames = [frame for _ in range(CALLS // BATCH) for frame in subscription.drain(BATCH)]
    assert len(frames) == CALLS
    measure(benchmark, reader(name, frames), name=f"frame.{name}", goal=30, loop="each")


def bench_slot(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, reader("pts", [PlainFrame() for _ in range(CALLS)]), floor_of="frame.pts", loop="each")


def reader(name: str, frames: list[object]) -> Callable[[], None]:
    """Return a loop that reads the attribute `name` of all frames, compiled for it: `getattr` would cost more."""
    namespace: dict[str, Callable[[], None]] = {"frames": frames}  # type: ignore[dict-item]
    exec(f"def read(frames=frames):\n    for frame in frames:\n        frame.{name}", namespace)
    return namespace["read"]


@pytest.mark.parametrize("size", [188, 1316])
def bench_nogil_publish_and_read(
    benchmark: BenchmarkFixture,
    nogil: ModuleType,
    session: arcly.PublishSession,
    subscription: arcly.Subscription,
    size: int,
) -> None:
    publisher = nogil.Publisher(session, AUDIO.id, size)
    name, goal = f"Cython, nogil: publish and read, {size} bytes", 60 if size == 188 else None
    measure(benchmark, lambda: publisher.publish_and_read(subscription, CALLS), name=name, goal=goal)


@pytest.mark.parametrize("size", [188, 1316])
def bench_nogil_copy(benchmark: BenchmarkFixture, nogil: ModuleType, session: arcly.PublishSession, size: int) -> None:
    publisher = nogil.Publisher(session, AUDIO.id, size)
    measure(benchmark, lambda: publisher.copy(CALLS), floor_of=f"Cython, nogil: publish and read, {size} bytes")


def bench_nogil_publish(benchmark: BenchmarkFixture, nogil: ModuleType, session: arcly.PublishSession) -> None:
    publisher = nogil.Publisher(session, AUDIO.id, 188)
    measure(benchmark, lambda: publisher.publish(CALLS), name="Cython, nogil: publish, 188 bytes")


def bench_nogil_read(
    benchmark: BenchmarkFixture, nogil: ModuleType, session: arcly.PublishSession, subscription: arcly.Subscription
) -> None:
    publisher = nogil.Publisher(session, AUDIO.id, 188)
    measure(
        benchmark,
        lambda: nogil.read(subscription, CALLS),
        before=lambda: publisher.publish(CALLS),
        name="Cython, nogil: read, 188 bytes",
    )


def bench_nogil_read_batches(
    benchmark: BenchmarkFixture, nogil: ModuleType, session: arcly.PublishSession, subscription: arcly.Subscription
) -> None:
    publisher = nogil.Publisher(session, AUDIO.id, 188)
    measure(
        benchmark,
        lambda: nogil.read_batches(subscription, CALLS),
        before=lambda: publisher.publish(CALLS),
        name="Cython, nogil: read in batches of 64, 188 bytes",
    )
