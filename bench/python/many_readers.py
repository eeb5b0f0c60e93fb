"""asyncio: a thousand subscriptions that get a hundred frames a second each, on one event loop."""

import asyncio
import time
from array import array
from dataclasses import dataclass
from statistics import median
from types import ModuleType

from rows import Row

import arcly

SUBSCRIPTIONS = 1000
FRAMES_PER_S = 100
SECONDS = 3
RUNS = 3
PROBES = 20
"""Every so many-th subscription notes when it got each frame: few, so that noting does not count."""

FRAME_BYTES = 1316
TICK_NS = 1_000_000
"""The publishing thread wakes up a thousand times a second and publishes what is due."""

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))


@dataclass
class Result:
    """One run."""

    cpu_us_per_frame: float
    wake_p99_ms: float
    lost: int


def measure(nogil: ModuleType) -> list[Row]:
    """Return the rows of both shapes: a stream for each subscription, and one stream for all."""
    rows, floor_us = [], median(asyncio.run(bare_wake_us()) for _ in range(RUNS))
    for streams in (SUBSCRIPTIONS, 1):
        results = [asyncio.run(run(nogil, streams)) for _ in range(RUNS)]
        shape = f"asyncio, {SUBSCRIPTIONS} subscriptions to {streams} stream{'s' if streams > 1 else ''}"
        cpu = median(result.cpu_us_per_frame for result in results)
        wake = median(result.wake_p99_ms for result in results)
        rows += [
            Row(f"{shape}: loop CPU per frame", "us", cpu, floor_us, at_most=2.0),
            Row(f"{shape}: p99 wake", "ms", wake, at_most=5.0),
            Row(f"{shape}: frames lost", "frames", sum(result.lost for result in results), at_most=0.0),
        ]
    return rows


async def bare_wake_us() -> float:
    """Return what the loop takes to wake a coroutine that awaits a future, and no more: nothing of arcly."""
    loop, rounds = asyncio.get_running_loop(), 100
    futures = [loop.create_future() for _ in range(SUBSCRIPTIONS)]

    async def wait(n: int) -> None:
        for _ in range(rounds):
            await futures[n]
            futures[n] = loop.create_future()

    tasks = [asyncio.create_task(wait(n)) for n in range(SUBSCRIPTIONS)]
    await asyncio.sleep(0)
    cpu_ns = time.thread_time_ns()
    for _ in range(rounds):
        for future in futures:
            future.set_result(None)
        await asyncio.sleep(0)
    cpu_ns = time.thread_time_ns() - cpu_ns
    await asyncio.gather(*tasks)
    return cpu_ns / rounds / SUBSCRIPTIONS / 1000


async def run(nogil: ModuleType, streams: int) -> Result:
    """Let a native thread publish and `SUBSCRIPTIONS` coroutines read."""
    async with arcly.Engine() as engine:
        sessions = [await engine.start_publish(arcly.StreamKey("bench", str(n))) for n in range(streams)]
        for session in sessions:
            session.set_tracks([AUDIO])
        readers = [Reader(sessions[n % streams], n % streams) for n in range(SUBSCRIPTIONS)]
        tasks = [
            asyncio.create_task(reader.probe() if n % PROBES == 0 else reader.read())
            for n, reader in enumerate(readers)
        ]
        # All of them wait for a first frame after this.
        await asyncio.sleep(0.1)
        rounds = FRAMES_PER_S * SECONDS
        published_ns = array("q", bytes(8 * rounds * streams))
        publishers = [nogil.Publisher(session, AUDIO.id, FRAME_BYTES) for session in sessions]
        cpu_ns = time.thread_time_ns()
        period_ns = 1_000_000_000 // FRAMES_PER_S
        await asyncio.to_thread(nogil.publish_paced, publishers, rounds, period_ns, TICK_NS, published_ns)
        for session in sessions:
            session.end()
        await asyncio.gather(*tasks)
        cpu_ns = time.thread_time_ns() - cpu_ns
        frames = sum(reader.frames for reader in readers)
        waits_ns = sorted(wait for reader in readers for wait in reader.waits(published_ns, streams))
        p99_ms = waits_ns[len(waits_ns) * 99 // 100] / 1e6
        return Result(cpu_ns / frames / 1000, p99_ms, rounds * SUBSCRIPTIONS - frames)


class Reader:
    """One subscription and the coroutine that reads it."""

    def __init__(self, session: arcly.PublishSession, stream: int) -> None:
        self.subscription = arcly.StreamHandle(session.handle).subscribe()
        self.stream = stream
        self.frames = 0
        self.read_ns: list[int] = []

    async def read(self) -> None:
        """Read to the end of the stream."""
        async with self.subscription:
            async for _ in self.subscription:
                self.frames += 1

    async def probe(self) -> None:
        """Do the same, and note the times."""
        async with self.subscription:
            async for _ in self.subscription:
                self.frames += 1
                self.read_ns.append(time.monotonic_ns())

    def waits(self, published_ns: array, streams: int) -> list[int]:
        """Return how long each frame took from its publish to the coroutine."""
        return [read_ns - published_ns[n * streams + self.stream] for n, read_ns in enumerate(self.read_ns)]
