import asyncio
import gc
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
from conftest import Server, eventually
from rtmp_client import RtmpClient

import arcly

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))
KEY = arcly.StreamKey("live", "cam")


@pytest.fixture
async def engine() -> AsyncIterator[arcly.Engine]:
    async with arcly.Engine() as engine:
        yield engine


async def publish(engine: arcly.Engine, frames: int = 0) -> arcly.PublishSession:
    session = await engine.start_publish(KEY)
    session.set_tracks([AUDIO])
    send(session, 0, frames)
    return session


def send(session: arcly.PublishSession, start: int, end: int) -> None:
    for n in range(start, end):
        session.publish(n.to_bytes(4, "big"), track=1, pts=n * 1024, duration=1024)


def number(frame: arcly.MediaFrame) -> int:
    return int.from_bytes(frame, "big")


async def test_a_subscriber_reads_every_frame_in_order(engine: arcly.Engine) -> None:
    session = await publish(engine)
    reader = asyncio.create_task(collect(engine.get_stream(KEY).subscribe()))
    await asyncio.sleep(0)
    for start in range(0, 500, 50):
        send(session, start, start + 50)
        await asyncio.sleep(0)
    session.end()
    assert await reader == list(range(500))


async def collect(subscription: arcly.Subscription) -> list[int]:
    async with subscription:
        return [number(frame) async for frame in subscription]


async def test_batches_and_drain_share_one_cursor(engine: arcly.Engine) -> None:
    session = await publish(engine)
    subscription = engine.get_stream(KEY).subscribe()
    send(session, 0, 100)
    assert [number(frame) for frame in subscription.drain(10)] == list(range(10))
    session.end()
    batches = [batch async for batch in subscription.batches(30)]
    assert [number(frame) for batch in batches for frame in batch] == list(range(10, 100))
    assert max(map(len, batches)) <= 30


async def test_a_frame_published_by_another_thread_wakes_the_loop(engine: arcly.Engine) -> None:
    session = await publish(engine)
    subscription = engine.get_stream(KEY).subscribe()
    waiting = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    thread = threading.Thread(target=send, args=(session, 7, 8))
    thread.start()
    assert number(await asyncio.wait_for(waiting, 5)) == 7
    thread.join()


async def test_close_ends_a_waiting_iteration(engine: arcly.Engine) -> None:
    _session = await publish(engine)
    subscription = engine.get_stream(KEY).subscribe()
    reading = asyncio.create_task(collect(subscription))
    await asyncio.sleep(0)
    subscription.close()
    assert await asyncio.wait_for(reading, 5) == []


async def test_frames_are_read_only_views_that_outlive_the_stream(engine: arcly.Engine) -> None:
    session = await publish(engine)
    subscription = engine.get_stream(KEY).subscribe()
    session.publish(np.arange(16, dtype=np.uint8), track=1, pts=48_000)
    frame = await anext(subscription)
    assert (frame.kind, frame.codec, frame.track, frame.clock_rate_hz) == ("audio", "AAC", 1, 48_000)
    assert (frame.pts, frame.dts, frame.pts_s, frame.is_key) == (48_000, 48_000, 1.0, False)
    view, array = memoryview(frame), np.frombuffer(frame, np.uint8)
    assert (view.readonly, array.flags.writeable, len(frame)) == (True, False, 16)
    # No copy: both look at the same memory.
    assert array.__array_interface__["data"][0] == np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    session.end()
    subscription.close()
    del frame, subscription, session
    gc.collect()
    assert array.tolist() == list(range(16))


async def test_a_slow_reader_skips_and_is_told() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(ring_frames=128)) as engine:
        session = await publish(engine)
        subscription = engine.get_stream(KEY).subscribe()
        send(session, 0, 10)
        assert number(await anext(subscription)) == 0
        send(session, 10, 5000)
        session.publish(b"last", track=1, pts=5000 * 1024)
        session.end()
        frames = [frame async for frame in subscription]
        assert bytes(frames[-1]) == b"last"
        assert any(frame.is_discontinuity for frame in frames)
        assert subscription.missed + len(frames) + 1 == 5001


async def test_misuse_has_an_error_of_its_own(engine: arcly.Engine) -> None:
    session = await publish(engine)
    with pytest.raises(arcly.MisuseError, match="no track 9"):
        session.publish(b"", track=9, pts=0)
    with pytest.raises(arcly.MisuseError, match="two tracks"):
        session.set_tracks([AUDIO, AUDIO])
    with pytest.raises(arcly.LimitExceededError):
        session.publish(bytes(33 << 20), track=1, pts=0)
    with pytest.raises(arcly.AlreadyPublishingError):
        await engine.start_publish(KEY)
    session.end()
    assert not session.active
    with pytest.raises(arcly.ClosedError):
        session.publish(b"", track=1, pts=0)


async def test_a_session_that_is_dropped_ends_its_stream(engine: arcly.Engine) -> None:
    session = await publish(engine)
    assert engine.get_stream(KEY)
    del session
    gc.collect()
    assert engine.get_stream(KEY) is None


async def test_a_stale_session_never_ends_its_successor(engine: arcly.Engine) -> None:
    first = await publish(engine)
    handle = engine.get_stream(KEY)
    handle.close()
    first.end()
    second = await publish(engine)
    first.end()
    del first, handle
    gc.collect()
    assert engine.get_stream(KEY) is not None
    assert second.active


async def test_events_tell_the_life_of_a_stream(engine: arcly.Engine) -> None:
    events = engine.events()
    session = await publish(engine, frames=1)
    session.end("enough")
    seen = [await anext(events) for _ in range(3)]
    kinds = arcly.StreamEventKind
    assert [event.kind for event in seen] == [kinds.PUBLISH_STARTED, kinds.TRACKS_CHANGED, kinds.PUBLISH_ENDED]
    assert {event.key for event in seen} == {KEY}
    assert seen[1].tracks == (AUDIO,)
    assert seen[2].reason == "enough"
    assert all(event.at_unix_ms > 1_700_000_000_000 for event in seen)
    await events.aclose()


async def test_rates_are_measured_and_decay(engine: arcly.Engine) -> None:
    session = await publish(engine)
    handle = engine.get_stream(KEY)
    n = 0

    def send_some() -> bool:
        nonlocal n
        session.publish(bytes(1000), track=1, pts=n * 1024)
        n += 1
        return handle.stats.bits_per_s > 1000

    await eventually(send_some, what="a rate is measured")
    await eventually(lambda: handle.stats.bits_per_s == 0, what="and falls to zero")


async def test_many_engines_live_in_one_process() -> None:
    async with arcly.Engine() as a, arcly.Engine() as b:
        session = await a.start_publish(KEY)
        assert b.get_stream(KEY) is None
        other = await b.start_publish(KEY)
        assert session.active
        assert other.active


def test_loops_come_and_go() -> None:
    for _ in range(3):

        async def once() -> list[int]:
            async with arcly.Engine() as engine:
                session = await publish(engine)
                reading = asyncio.create_task(collect(engine.get_stream(KEY).subscribe()))
                await asyncio.sleep(0)
                send(session, 0, 3)
                session.end()
                return await reading

        assert asyncio.run(once()) == [0, 1, 2]


async def test_a_stream_says_what_its_rtmp_publisher_calls_itself(server: Server) -> None:
    assert server.rtmp.address
    async with await RtmpClient.dial(server.rtmp.address) as client:
        await client.connect()
        await client.publish("cam")
        await eventually(lambda: server.stream("live/cam"))
        stream = server.stream("live/cam")
        assert stream
        assert (stream.protocol, stream.agent) == ("rtmp", "FMLE/3.0 (test)")
        session = await server.engine.start_publish(arcly.StreamKey("live", "mine"))
        assert arcly.StreamHandle(session.handle).agent is None
