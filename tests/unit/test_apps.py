"""Applications: bounds, takeover, grace, idle publishers, lag."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, eventually, running, serving

import arcly

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))
KEY = arcly.StreamKey("live", "cam")


def send(session: arcly.PublishSession, start: int, end: int) -> None:
    for n in range(start, end):
        session.publish(n.to_bytes(4, "big"), track=1, pts=n * 1024, duration=1024)


async def publish(engine: arcly.Engine) -> arcly.PublishSession:
    session = await engine.start_publish(KEY)
    session.set_tracks([AUDIO])
    return session


async def test_applications_are_named_changed_and_removed_live() -> None:
    async with arcly.Engine(apps={"live": arcly.AppSpec()}, default_app=None) as engine:
        with pytest.raises(arcly.NotFoundError, match="no application other"):
            await engine.start_publish(arcly.StreamKey("other", "cam"))
        engine.put_app("other", arcly.AppSpec())
        session = await engine.start_publish(arcly.StreamKey("other", "cam"))
        assert engine.remove_app("other")
        assert not session.active
        assert not engine.remove_app("other")
        assert engine.list_streams() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"ring_frames": 0},
        {"ring_frames": -1},
        {"ring_bytes": 0},
        {"gop_frames": 0},
        {"gop_bytes": 1 << 41},
        {"max_lag": -1},
        {"reconnect_grace_s": -0.1},
        {"reconnect_grace_s": float("nan")},
        {"reconnect_grace_s": float("inf")},
        {"idle_timeout_s": 0},
        {"second_publisher": "Replace"},
    ],
)
def test_an_application_that_cannot_be_is_misuse(wrong: dict[str, Any]) -> None:
    with pytest.raises(arcly.MisuseError, match=next(iter(wrong))):
        arcly.AppSpec(**wrong)


def test_applications_are_listed_and_have_names_that_streams_can_have() -> None:
    replacing = arcly.AppSpec(second_publisher="replace")
    engine = arcly.Engine(apps={"live": arcly.AppSpec()})
    engine.put_app("live/eu", replacing)
    assert engine.apps == {"live": arcly.AppSpec(), "live/eu": replacing}
    engine.remove_app("live")
    assert engine.apps == {"live/eu": replacing}
    for name in ("", "..", "a b", "live/", "a~\n"):
        with pytest.raises(arcly.MalformedError):
            engine.put_app(name, replacing)
    assert list(engine.apps) == ["live/eu"]
    for wrong in ({"max_publishers": -1}, {"workers": -1}, {"workers": 1 << 20}):
        with pytest.raises(arcly.MisuseError):
            arcly.Engine(**wrong)


async def test_a_second_publisher_may_take_over() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(second_publisher="replace")) as engine:
        events = engine.events()
        first = await publish(engine)
        second = await publish(engine)
        assert not first.active
        first.end()
        assert second.active
        seen = [await anext(events) for _ in range(3)]
        assert [event.kind.value for event in seen] == ["publish_started", "publish_ended", "publish_started"]
        assert seen[1].reason == "replaced by another publisher"
        await events.aclose()


async def test_readers_stay_through_a_reconnect_and_the_timeline_goes_on() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(reconnect_grace_s=30)) as engine:
        first = await publish(engine)
        handle = engine.get_stream(KEY)
        subscription = handle.subscribe()
        send(first, 0, 10)
        first.end("the network is down")
        assert handle.state == "idle"
        second = await publish(engine)
        assert handle.state == "publishing"
        send(second, 7_000, 7_010)
        second.end()
        frames = subscription.drain(10)
        frames += [await anext(subscription) for _ in range(10)]
        assert [frame.is_discontinuity for frame in frames] == [False] * 10 + [True] + [False] * 9
        steps = [b.dts - a.dts for a, b in pairwise(frames)]
        assert set(steps[:9] + steps[10:]) == {1024}
        assert 0 < steps[9] < 48_000 * 5
        subscription.close()


async def test_a_publisher_that_does_not_come_back_ends_its_stream() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(reconnect_grace_s=1)) as engine:
        session = await publish(engine)
        reading = asyncio.create_task(anext(engine.get_stream(KEY).subscribe(), None))
        session.end()
        assert await asyncio.wait_for(reading, 10) is None
        assert engine.get_stream(KEY) is None


async def test_an_idle_publisher_is_disconnected(ffmpeg: str, clip: Callable[..., Path]) -> None:
    """The real publisher is stopped (SIGSTOP), so that its connection stands and says nothing."""
    import signal

    async with serving(default_app=arcly.AppSpec(idle_timeout_s=2)) as server:
        publisher = [ffmpeg, "-v", "error", "-re", "-i", clip(), "-c", "copy", "-f", "flv", server.rtmp_url("live/cam")]
        async with running(*publisher) as process:
            await eventually(lambda: server.stream("live/cam") and server.stream("live/cam").tracks)
            process.send_signal(signal.SIGSTOP)
            await eventually(lambda: server.stream("live/cam") is None)
            process.send_signal(signal.SIGCONT)
            # It notices by itself, because the connection was closed.
            assert await asyncio.wait_for(process.wait(), 10) != 0


async def test_an_ended_stream_disconnects_its_publisher(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    publisher = [ffmpeg, "-v", "error", "-re", "-i", clip(), "-c", "copy", "-f", "flv", server.rtmp_url("live/cam")]
    async with running(*publisher) as process:
        stream = await eventually(lambda: server.stream("live/cam"))
        await eventually(lambda: stream.tracks)
        assert server.engine.end_stream(stream, "kicked")
        assert not server.engine.end_stream(stream, "kicked")
        assert await asyncio.wait_for(process.wait(), 10) != 0


async def test_a_reader_is_evicted_when_it_misses_more_than_it_may() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(ring_frames=128, max_lag=100)) as engine:
        events = engine.events()
        session = await publish(engine)
        subscription = engine.get_stream(KEY).subscribe()
        patient = engine.get_stream(KEY).subscribe(max_lag=1 << 40)
        send(session, 0, 5000)
        seen = [frame async for frame in subscription]
        assert subscription.evicted
        assert len(seen) <= 128, "what was left of the chunk in which it stood"
        assert patient.drain(64)
        kinds = []
        while not kinds or kinds[-1] != "subscriber_evicted":
            kinds.append((await asyncio.wait_for(anext(events), 5)).kind.value)
        assert "subscriber_lagged" in kinds
        await events.aclose()
        subscription.close()
        patient.close()
        session.end()


async def test_a_reader_reads_only_the_tracks_it_asks_for() -> None:
    async with arcly.Engine() as engine:
        session = await engine.start_publish(KEY)
        session.set_tracks([AUDIO, arcly.Track(2, "AAC", bytes([0x11, 0x90]))])
        subscription = engine.get_stream(KEY).subscribe(tracks=[2])
        for n in range(20):
            session.publish(b"x", track=1 + n % 2, pts=n * 1024)
        session.end()
        assert [frame.track async for frame in subscription] == [2] * 10


async def test_a_request_for_a_key_frame_reaches_the_publisher() -> None:
    async with arcly.Engine() as engine:
        session = await publish(engine)
        assert not session.take_keyframe_request()
        engine.get_stream(KEY).request_keyframe()
        assert session.take_keyframe_request()
        assert not session.take_keyframe_request()
