"""One suite for every registry: the native engine, and the one in plain Python."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import arcly
from arcly.testing import MemoryRegistry

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))
VIDEO = arcly.Track(
    0,
    "H264",
    bytes.fromhex(
        "0164001fffe1001a6764001facd9405005bb01100000030010000003032 0f1831960010006 68ebe3cb22c0".replace(" ", "")
    ),
)
KEY = arcly.StreamKey("live", "cam")


@pytest.fixture(params=["engine", "memory"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield MemoryRegistry()
    else:
        async with arcly.Engine() as engine:
            yield engine


async def start(registry: Any, *tracks: arcly.Track) -> Any:
    session = await registry.start_publish(KEY, protocol="test", peer="192.0.2.1:1")
    session.set_tracks(tracks)
    return session


async def read(stream: Any) -> list[Any]:
    return [frame async for frame in stream.subscribe()]


def test_it_keeps_the_contracts(registry: Any) -> None:
    for contract in (arcly.PublishRegistry, arcly.PlaybackRegistry, arcly.EventBus):
        assert isinstance(registry, contract)


async def test_a_reader_gets_every_frame_with_its_times_and_tracks(registry: Any) -> None:
    session = await start(registry, AUDIO)
    stream = registry.get_stream(KEY)
    assert (stream.key, stream.protocol, stream.peer, stream.closed) == (KEY, "test", "192.0.2.1:1", False)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    for n in range(100):
        session.publish(bytearray(b"%d" % n), track=1, pts=n * 1024, duration=1024)
        await asyncio.sleep(0)
    session.end()
    frames = await asyncio.wait_for(reading, 5)
    assert [bytes(memoryview(frame)) for frame in frames] == [b"%d" % n for n in range(100)]
    assert [(frame.pts, frame.dts, frame.duration, frame.track) for frame in frames] == [
        (n * 1024, n * 1024, 1024, 1) for n in range(100)
    ]
    assert list(frames[0].tracks) == [AUDIO]
    assert stream.closed
    assert registry.get_stream(KEY) is None


async def test_a_late_reader_begins_at_the_newest_key_frame(registry: Any) -> None:
    session = await start(registry, VIDEO)
    for n in range(25):
        session.publish(b"x", track=0, pts=n * 3600, key=n % 10 == 0)
    stream = registry.get_stream(KEY)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    session.publish(b"x", track=0, pts=25 * 3600)
    await asyncio.sleep(0)
    session.end()
    assert [frame.pts // 3600 for frame in await asyncio.wait_for(reading, 5)] == list(range(20, 26))


async def test_an_overtaken_reader_goes_on_at_a_key_frame_and_is_told(registry: Any) -> None:
    session = await start(registry, VIDEO)
    session.publish(b"x", track=0, pts=0, key=True)
    reader = aiter(registry.get_stream(KEY).subscribe())
    assert (await anext(reader)).pts == 0
    for n in range(1, 5000):
        session.publish(b"x", track=0, pts=n * 3600, key=n % 10 == 0)
    session.end()
    frames = [frame async for frame in reader]
    jumps = [n for n, frame in enumerate(frames) if frame.is_discontinuity]
    assert len(jumps) == 1
    assert frames[jumps[0]].is_key
    times = [frame.pts // 3600 for frame in frames]
    assert times[jumps[0] :] == list(range(times[jumps[0]], 5000))


async def test_a_change_of_tracks_is_seen_at_its_place(registry: Any) -> None:
    session = await start(registry, AUDIO)
    reading = asyncio.create_task(read(registry.get_stream(KEY)))
    await asyncio.sleep(0)
    session.publish(b"a", track=1, pts=0)
    session.set_tracks([AUDIO, VIDEO])
    session.publish(b"b", track=1, pts=1024)
    await asyncio.sleep(0)
    session.end()
    frames = await asyncio.wait_for(reading, 5)
    # A stream that now has video is read on by those who are in it.
    assert [len(frame.tracks) for frame in frames] == [1, 2]


async def test_keys_are_exclusive_and_sessions_end_only_themselves(registry: Any) -> None:
    first = await start(registry, AUDIO)
    with pytest.raises(arcly.AlreadyPublishingError):
        await registry.start_publish(KEY, protocol="test")
    first.end()
    second = await start(registry, AUDIO)
    first.end()
    assert registry.get_stream(KEY) is not None
    with pytest.raises(arcly.ClosedError):
        first.publish(b"", track=1, pts=0)
    with pytest.raises(arcly.MisuseError):
        second.publish(b"", track=9, pts=0)
    assert [stream.key for stream in registry.list_streams()] == [KEY]
    assert registry.list_streams()[0].session > 1
    second.end()


async def test_events_tell_the_life_of_a_stream(registry: Any) -> None:
    events = registry.events()
    session = await start(registry, AUDIO)
    session.publish(b"", track=1, pts=0)
    session.end("enough")
    seen = [await asyncio.wait_for(anext(events), 5) for _ in range(3)]
    assert [event.kind.value for event in seen] == ["publish_started", "tracks_changed", "publish_ended"]
    assert (seen[1].tracks, seen[2].reason, seen[2].key) == ((AUDIO,), "enough", KEY)
    await events.aclose()


async def test_who_listens_no_more_waits_no_more(registry: Any) -> None:
    unread, waited_for = registry.events(), registry.events()
    waiting = asyncio.ensure_future(anext(waited_for, "the end"))
    await asyncio.sleep(0)
    for events in (unread, waited_for):
        await events.aclose()
        await events.aclose()
    assert await asyncio.wait_for(waiting, 60) == "the end"
    (await start(registry, AUDIO)).end()
    assert await asyncio.wait_for(anext(unread, "the end"), 60) == "the end"


async def test_a_listener_in_memory_that_is_closed_unread_keeps_nothing() -> None:
    registry = MemoryRegistry()
    await registry.events().aclose()
    assert registry._listeners == []
