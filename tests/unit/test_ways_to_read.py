"""The five ways to read a subscription, under asyncio and under uvloop."""

import asyncio
import contextlib
import contextvars
import gc
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
import uvloop
from conftest import eventually

import arcly
from arcly._loop import LoopHub

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))
KEY = arcly.StreamKey("live", "cam")


def loop_of_python_tasks() -> asyncio.AbstractEventLoop:
    """Return a loop whose tasks are asyncio's own in Python: what tasks are where there is no C."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(lambda loop, coro, **kw: asyncio.tasks._PyTask(coro, loop=loop, **kw))  # type: ignore[attr-defined]
    return loop


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop, "python tasks": loop_of_python_tasks}


async def publish(engine: arcly.Engine) -> arcly.PublishSession:
    session = await engine.start_publish(KEY)
    session.set_tracks([AUDIO])
    return session


def send(session: arcly.PublishSession, start: int, stop: int) -> None:
    for n in range(start, stop):
        session.publish(n.to_bytes(4, "big"), track=1, pts=n * 1024)


def number(frame: arcly.MediaFrame) -> int:
    return int.from_bytes(bytes(frame), "big")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on each kind of loop."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(coroutine)

    return run


def test_a_reader_slower_than_the_stream_leaves_the_loop_to_others(run: Callable[..., Any]) -> None:
    """Found by reading: a frame was always there, so the task never waited, and nobody could even cancel it."""

    async def read() -> int:
        seen = 0
        async with arcly.Engine() as engine:
            session = await engine.start_publish(KEY)
            session.set_tracks([AUDIO])
            stream = engine.get_stream(KEY)
            assert stream is not None
            send(session, 0, 1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1), stream.subscribe() as subscription:
                    async for frame in subscription:
                        assert number(frame) == seen, "nothing is lost by it"
                        seen += 1
                        assert seen < 3_000_000, "the timeout is never heard"
                        send(session, seen, seen + 1)
        return seen

    assert run(read()) > 100


def test_all_ways_give_every_frame_in_order(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with arcly.Engine() as engine:
            session = await publish(engine)
            stream = engine.get_stream(KEY)
            assert stream
            subscriptions = [stream.subscribe() for _ in range(5)]
            called: list[int] = []
            callback = subscriptions[0].on_frames(lambda frames: called.extend(map(number, frames)))
            drained: list[int] = []

            async def one_by_one() -> list[int]:
                return [number(frame) async for frame in subscriptions[1]]

            async def in_batches() -> list[int]:
                return [number(frame) async for batch in subscriptions[2].batches(7) for frame in batch]

            def in_a_thread() -> list[int]:
                return [number(frame) for frame in subscriptions[3].blocking(timeout_s=30)]

            async def without_waiting() -> list[int]:
                while not subscriptions[4].cursor.ended:
                    drained.extend(map(number, subscriptions[4].drain(5)))
                    await asyncio.sleep(0)
                return drained

            reading = [asyncio.create_task(way()) for way in (one_by_one, in_batches, without_waiting)]
            thread = asyncio.create_task(asyncio.to_thread(in_a_thread))
            for n in range(0, 500, 10):
                await asyncio.to_thread(send, session, n, n + 10)
            session.end()
            results = [*await asyncio.gather(*reading, thread), called]
            await callback.wait()
            assert results == [list(range(500))] * 5
            assert (callback.frames, callback.fault) == (500, None)

    run(main())


@pytest.mark.parametrize("end", ["end", "close"])
def test_a_thread_needs_no_loop_and_is_woken_by_frames_end_and_close(end: str) -> None:
    session = arcly.Engine().native.start_publish(KEY, "python", None)
    session.set_tracks([AUDIO])
    with arcly.StreamHandle(session.handle).subscribe() as subscription:
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.extend(map(number, subscription.blocking(timeout_s=30))))
        thread.start()
        send(session, 0, 3)
        while len(seen) < 3:
            time.sleep(0.001)
        # It waits now, or will: either way it must learn of the end.
        if end == "end":
            session.end()
        else:
            subscription.close()
        thread.join(10)
        assert not thread.is_alive()
        assert seen == [0, 1, 2]


def test_who_leaves_a_loop_in_a_thread_goes_on_where_it_was() -> None:
    """Found by reading: up to 63 frames that were taken out with the last one were lost, and counted nowhere."""
    session = arcly.Engine().native.start_publish(KEY, "python", None)
    session.set_tracks([AUDIO])
    with arcly.StreamHandle(session.handle).subscribe() as subscription:
        send(session, 0, 10)
        assert number(next(subscription.blocking())) == 0
        assert number(next(subscription.blocking(timeout_s=1))) == 1
        assert [number(frame) for frame in subscription.drain()] == list(range(2, 10))


class GivesUpTheGil:
    """Garbage: collected while something else is made, and other threads run meanwhile."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        time.sleep(0.0005)


def test_threads_that_share_a_subscription_do_not_wait_for_each_other_with_the_gil() -> None:
    """Found by reading: objects are made while the subscription is locked, and that may collect garbage."""
    session = arcly.Engine().native.start_publish(KEY, "python", None)
    session.set_tracks([AUDIO])
    subscription = arcly.StreamHandle(session.handle).subscribe()
    seen: list[int] = []

    def read() -> None:
        while not subscription.cursor.ended:
            GivesUpTheGil()
            seen.extend(map(number, subscription.drain(2)))
            assert subscription.missed >= 0

    threads = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for thread in threads:
            thread.start()
        for n in range(60):
            # Other tracks each time: their objects are made anew.
            session.set_tracks([AUDIO, arcly.Track(2, "AAC", bytes([0x12, 0x10] if n % 2 else [0x11, 0x88]))])
            send(session, n, n + 1)
            deadline = time.monotonic() + 60
            while len(seen) < n - 4:
                assert time.monotonic() < deadline, "nobody reads any more"
                time.sleep(0.0005)
        session.end()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        gc.set_threshold(*before)
    assert sorted(seen) == list(range(60))


async def test_waiting_in_a_thread_holds_no_gil_and_ends_in_time() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        stream = engine.get_stream(KEY)
        assert stream
        with stream.subscribe() as subscription, pytest.raises(TimeoutError, match="no frame within"):
            for _ in subscription.blocking(timeout_s=0.01):
                pass
        # This thread runs on while the other waits: with the GIL held it would never publish.
        with stream.subscribe() as subscription:
            waiting = asyncio.create_task(asyncio.to_thread(next, subscription.blocking()))
            await asyncio.sleep(0)
            send(session, 5, 6)
            assert number(await asyncio.wait_for(waiting, 10)) == 5


def test_a_signal_reaches_a_thread_that_waits() -> None:
    session = arcly.Engine().native.start_publish(KEY, "python", None)
    subscription = arcly.StreamHandle(session.handle).subscribe()
    old = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(subscription.blocking(timeout_s=30))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("fault", ["raises", "overruns"])
async def test_a_callback_that_misbehaves_is_detached(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        stream = engine.get_stream(KEY)
        assert stream
        calls = 0

        def misbehave(_: list[arcly.MediaFrame]) -> None:
            nonlocal calls
            calls += 1
            if fault == "raises":
                raise ZeroDivisionError
            time.sleep(0.02)

        callback = stream.subscribe().on_frames(misbehave, deadline_s=0.01)
        send(session, 0, 3)
        await asyncio.wait_for(callback.wait(), 10)
        send(session, 3, 6)
        assert calls == 1
        assert callback.fault
        assert ("ZeroDivisionError" if fault == "raises" else "took") in callback.fault
        assert "gets no more frames" in caplog.text
        await eventually(lambda: stream.stats.viewers == 0)


async def test_a_callback_that_nobody_would_await_is_misuse() -> None:
    async def callback(_: list[arcly.MediaFrame]) -> None:
        raise AssertionError

    async with arcly.Engine() as engine:
        session = await publish(engine)
        with (
            arcly.StreamHandle(session.handle).subscribe() as subscription,
            pytest.raises(arcly.MisuseError, match="coroutine"),
        ):
            subscription.on_frames(callback)
        session.end()


async def test_a_callback_that_is_closed_is_called_no_more() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        stream = engine.get_stream(KEY)
        assert stream
        got: list[arcly.MediaFrame] = []
        callback = stream.subscribe().on_frames(got.extend)
        send(session, 0, 1)
        await eventually(lambda: len(got) == 1)
        callback.close()
        await asyncio.wait_for(callback.wait(), 10)
        send(session, 1, 2)
        assert len(got) == 1


async def test_publish_many() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        subscription = session.handle.subscribe()
        data = [b"a", bytearray(b"bc"), memoryview(b"def"), np.arange(4, dtype=np.int16)]
        session.publish_many(data, track=1, pts=[0, 1024, 2048, 3072], duration=1024)
        frames = subscription.drain(9)
        assert [bytes(frame) for frame in frames] == [bytes(memoryview(one)) for one in data]
        assert [(frame.pts, frame.dts, frame.duration) for frame in frames] == [
            (n * 1024,) * 2 + (1024,) for n in range(4)
        ]
        with pytest.raises(arcly.MisuseError, match="2 buffers need as many"):
            session.publish_many([b"", b""], track=1, pts=[0])
        with pytest.raises(arcly.MisuseError, match="no track 7"):
            session.publish_many([b""], track=7, pts=[0])
        with pytest.raises((BufferError, TypeError)):
            session.publish_many([object()], track=1, pts=[9999])  # type: ignore[list-item]


async def test_frames_are_sent_on_without_a_copy_and_with_their_tracks() -> None:
    async with arcly.Engine() as engine:
        source = await publish(engine)
        reader = source.handle.subscribe()
        target = await engine.start_publish(arcly.StreamKey("live", "copy"))
        copies = target.handle.subscribe()
        source.publish(b"payload", track=1, pts=1024, duration=1024)
        (frame,) = reader.drain(9)
        target.send(frame)
        target.publish(frame, track=1, pts=4096)
        first, second = copies.drain(9)
        assert (first.tracks, first.pts, first.duration, second.pts) == ([AUDIO], 1024, 1024, 4096)

        def address(frame: arcly.MediaFrame) -> int:
            return int(np.frombuffer(frame, np.uint8).__array_interface__["data"][0])

        assert address(first) == address(frame) == address(second)
        source.set_tracks([AUDIO, arcly.Track(2, "AAC", bytes([0x12, 0x10]))])
        source.publish(b"", track=2, pts=9000)
        target.send(reader.drain(9)[0])
        assert [track.id for track in copies.drain(9)[0].tracks] == [1, 2]


async def test_frames_can_be_made_by_hand() -> None:
    frame = arcly.MediaFrame(b"abc", [AUDIO], track=1, pts=48_000, duration=1024)
    assert (frame.kind, frame.codec, frame.pts_s, frame.dts, bytes(frame)) == ("audio", "AAC", 1.0, 48_000, b"abc")
    assert not frame.is_key
    for wrong in (
        lambda: arcly.MediaFrame(b"", [AUDIO], track=0, pts=0),
        lambda: arcly.MediaFrame(b"", [AUDIO, AUDIO], track=1, pts=0),
    ):
        with pytest.raises(arcly.MisuseError):
            wrong()


async def test_small_frames_that_share_memory_outlive_stream_and_neighbours() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(ring_frames=64)) as engine:
        session = await publish(engine)
        subscription = session.handle.subscribe()
        kept = []
        for n in range(2000):
            session.publish(n.to_bytes(4, "big") * 50, track=1, pts=n * 1024)
            kept += [np.frombuffer(frame, np.uint8) for frame in subscription.drain(64) if n % 97 == 0]
        session.end()
        del session, subscription
        gc.collect()
        assert [int.from_bytes(bytes(array[:4]), "big") for array in kept] == list(range(0, 2000, 97))


async def test_joining_and_leaving_is_told() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        stream = engine.get_stream(KEY)
        assert stream
        events = engine.events()
        subscription = stream.subscribe(protocol="mine")
        assert stream.stats.viewers == 1
        subscription.close()
        assert stream.stats.viewers == 0
        seen = [await anext(events) for _ in range(2)]
        kinds = arcly.StreamEventKind
        assert [(event.kind, event.reason) for event in seen] == [
            (kinds.SUBSCRIBER_JOINED, "mine"),
            (kinds.SUBSCRIBER_LEFT, "mine"),
        ]
        engine.emit(kinds.RECORDING_STARTED, KEY, "to nowhere")
        assert ((await anext(events)).kind, session.active) == (kinds.RECORDING_STARTED, True)
        with pytest.raises(arcly.MisuseError):
            engine.emit(kinds.PUBLISH_ENDED, KEY)
        await events.aclose()


async def test_a_reader_that_is_cancelled_as_it_is_woken_loses_nothing() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        subscription = arcly.StreamHandle(session.handle).subscribe()
        for way in (subscription.__anext__, subscription.batches().__anext__):
            waiting = asyncio.create_task(way())  # type: ignore[arg-type]
            await asyncio.sleep(0)
            send(session, 0, 1)
            # The loop hears of it, and in the same turn somebody gives up.
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
                continue
            assert number(await asyncio.wait_for(anext(subscription), 10)) == 0
        session.end()


async def test_what_has_ended_has_ended_however_often_one_asks() -> None:
    async with arcly.Engine() as engine:
        for close in (False, True):
            session = await publish(engine)
            subscription = arcly.StreamHandle(session.handle).subscribe()
            send(session, 0, 3)
            assert number(await anext(subscription)) == 0
            if close:
                subscription.close()
            session.end()
            rest = [number(frame) async for frame in subscription]
            assert rest == ([] if close else [1, 2])
            for _ in range(3):
                with pytest.raises(StopAsyncIteration):
                    await asyncio.wait_for(anext(subscription), 10)


def test_a_reader_that_is_cancelled_in_mid_wait_leaves_the_subscription_whole(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with arcly.Engine() as engine:
            session = await publish(engine)
            subscription = arcly.StreamHandle(session.handle).subscribe()

            async def by_frame() -> int:
                async for frame in subscription:
                    return number(frame)
                return -1

            async def by_batch() -> int:
                async for batch in subscription.batches():
                    return number(batch[0])
                return -1

            for n, way in enumerate([by_frame, by_batch] * 3):
                waiting = asyncio.create_task(way())
                await asyncio.sleep(0)
                waiting.cancel("enough")
                with pytest.raises(asyncio.CancelledError, match="enough"):
                    await waiting
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(way(), 0.001)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(aiter(subscription).__anext__(), 0.001)
                waiting = asyncio.create_task(way())
                await asyncio.sleep(0)
                await asyncio.to_thread(send, session, n, n + 1)
                assert await asyncio.wait_for(waiting, 10) == n
            subscription.close()

    run(main())


def test_a_cancellation_that_races_with_a_frame_loses_nothing_and_hits_nobody_else(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with arcly.Engine() as engine:
            session = await publish(engine)
            subscription = arcly.StreamHandle(session.handle).subscribe()
            seen: list[int] = []

            async def read() -> None:
                async for frame in subscription:
                    seen.append(number(frame))

            publishing = asyncio.create_task(asyncio.to_thread(send_slowly, session, 400))
            while not publishing.done():
                reading = asyncio.create_task(read())
                await asyncio.sleep(0)
                reading.cancel()
                # Waits while the task that was cancelled has not heard of it yet: the cancellation is not for this one.
                with contextlib.suppress(TimeoutError):
                    seen.append(number(await asyncio.wait_for(anext(subscription), 0.01)))
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
            await publishing
            session.end()
            await asyncio.wait_for(read(), 10)
            assert seen == list(range(400))

    def send_slowly(session: arcly.PublishSession, frames: int) -> None:
        for n in range(frames):
            send(session, n, n + 1)
            time.sleep(0.0002)

    run(main())


def test_a_group_with_a_failing_task_cancels_those_that_wait(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with arcly.Engine() as engine:
            session = await publish(engine)

            async def read() -> None:
                async with arcly.StreamHandle(session.handle).subscribe() as subscription:
                    async for _ in subscription:
                        pass

            async def fail() -> None:
                await asyncio.sleep(0)
                send(session, 0, 1)
                raise ZeroDivisionError

            async def together() -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(5):
                        group.create_task(read())
                    group.create_task(fail())

            with pytest.raises(ExceptionGroup):
                await together()
            stream = engine.get_stream(KEY)
            assert stream
            assert stream.stats.viewers == 0

    run(main())


def test_a_task_that_is_woken_has_its_context_and_is_the_current_one(run: Callable[..., Any]) -> None:
    variable = contextvars.ContextVar("variable", default="of the loop")

    async def main() -> None:
        async with arcly.Engine() as engine:
            session = await publish(engine)

            async def read(name: str) -> None:
                variable.set(name)
                async with arcly.StreamHandle(session.handle).subscribe() as subscription:
                    async for _ in subscription:
                        assert variable.get() == name
                        assert asyncio.current_task() is tasks[name]

            tasks = {name: asyncio.create_task(read(name)) for name in "abc"}
            await asyncio.sleep(0)
            for n in range(5):
                await asyncio.to_thread(send, session, n, n + 1)
            session.end()
            await asyncio.gather(*tasks.values())
            assert variable.get() == "of the loop"

    run(main())


async def test_two_tasks_cannot_wait_for_one_subscription() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        async with arcly.StreamHandle(session.handle).subscribe() as subscription:
            first = asyncio.create_task(subscription.__anext__())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task waits"):
                await anext(subscription)
            send(session, 7, 8)
            assert number(await asyncio.wait_for(first, 10)) == 7


def test_a_task_that_stops_the_loop_takes_no_wake_up_from_others() -> None:
    async def main() -> list[int]:
        engine = arcly.Engine()
        session = await publish(engine)
        seen: list[int] = []

        async def read(interrupts: bool) -> None:
            async for frame in arcly.StreamHandle(session.handle).subscribe():
                if interrupts:
                    raise KeyboardInterrupt
                seen.append(number(frame))

        tasks.extend(asyncio.create_task(read(n == 2)) for n in range(5))
        await asyncio.sleep(0)
        send(session, 3, 4)
        await asyncio.sleep(10)
        return seen

    async def go_on() -> None:
        await asyncio.sleep(0.05)

    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.new_event_loop()
    running = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(running)
    loop.run_until_complete(go_on())
    with pytest.raises(KeyboardInterrupt):
        tasks[2].result()
    seen = running.get_coro().cr_frame.f_locals["seen"]  # type: ignore[union-attr]
    for task in (running, *tasks):
        task.cancel()
    loop.run_until_complete(asyncio.gather(running, *tasks, return_exceptions=True))
    loop.close()
    assert seen == [3] * 4


def test_subscriptions_that_are_only_dropped_leave_nothing_with_the_loop(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with arcly.Engine() as engine:
            session = await publish(engine)
            send(session, 0, 1)
            stream = arcly.StreamHandle(session.handle)
            before = len(LoopHub.current()._callbacks)
            for _ in range(10):
                async for _ in stream.subscribe():
                    break
            # One whose object is gone while its iterator is read goes on.
            reading = aiter(stream.subscribe())
            assert number(await anext(reading)) == 0
            gc.collect()
            assert len(LoopHub.current()._callbacks) == before
            waiting = asyncio.ensure_future(anext(reading))
            await asyncio.sleep(0)
            send(session, 1, 2)
            assert number(await asyncio.wait_for(waiting, 60)) == 1

    run(main())
