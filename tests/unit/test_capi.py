"""The C API through its first client, the Cython module."""

import threading
from collections.abc import AsyncIterator

import pytest

import arcly
from arcly import capi

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))


@pytest.fixture
async def session() -> AsyncIterator[arcly.PublishSession]:
    async with arcly.Engine() as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        session.set_tracks([AUDIO])
        yield session


async def test_publish_and_read_without_the_gil(session: arcly.PublishSession) -> None:
    cursor = session.handle.subscribe()
    assert capi.read(cursor) is None
    assert capi.publish(session, b"abc", track=1, pts=5, dts=4) == 0
    assert capi.read(cursor) == (1, 5, 4, 0, b"abc")
    assert capi.publish(session, b"x", track=9, pts=0) == -2
    session.end()
    assert capi.publish(session, b"x", track=1, pts=9) == -1
    with pytest.raises(StopIteration):
        capi.read(cursor)


async def test_what_is_published_natively_is_read_in_python_and_the_other_way_round(
    session: arcly.PublishSession,
) -> None:
    subscription = arcly.StreamHandle(session.handle).subscribe()
    capi.publish(session, b"native", track=1, pts=0)
    assert bytes(await anext(subscription)) == b"native"
    for n in range(1, 11):
        session.publish(b"python", track=1, pts=n * 1024)
    assert capi.drain_bytes(subscription) == (10, 60)
    subscription.close()


async def test_wrong_objects_are_type_errors(session: arcly.PublishSession) -> None:
    with pytest.raises(TypeError, match="needed"):
        capi.read(object())
    with pytest.raises(TypeError, match="needed"):
        capi.publish(session.handle, b"", track=1, pts=0)


async def test_threads_take_turns_on_one_session(session: arcly.PublishSession) -> None:
    cursor = session.handle.subscribe()
    seen = 0

    def publish(base: int) -> None:
        for n in range(2000):
            capi.publish(session, b"12345678", track=1, pts=base + n)

    threads = [threading.Thread(target=publish, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen += capi.drain_bytes(cursor)[0]
    seen += capi.drain_bytes(cursor)[0]
    assert seen + cursor.missed == 8000
