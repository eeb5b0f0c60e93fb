import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import eventually
from virtual_time import Bus, in_virtual_time

import arcly
from arcly.services.observe import JsonLines, LoggingObserver, Observer, Observers, StreamReport

KEY = arcly.StreamKey("live", "cam")
AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))


def event(reason: str | None = None) -> arcly.StreamEvent:
    return arcly.StreamEvent(arcly.StreamEventKind.PUBLISH_ENDED, KEY, 1_767_225_600_123, reason)


class Recorder(Observer):
    def __init__(self) -> None:
        self.events: list[arcly.StreamEvent] = []
        self.stats: list[Sequence[StreamReport]] = []

    async def on_event(self, event: arcly.StreamEvent) -> None:
        self.events.append(event)

    async def on_stats(self, streams: Sequence[StreamReport]) -> None:
        self.stats.append(streams)


class Broken(Recorder):
    async def on_event(self, event: arcly.StreamEvent) -> None:
        await super().on_event(event)
        raise ValueError("broken")


class Hanging(Recorder):
    async def on_event(self, event: arcly.StreamEvent) -> None:
        await super().on_event(event)
        await asyncio.Event().wait()


class Deaf(Recorder):
    """Does not heed its cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def on_event(self, event: arcly.StreamEvent) -> None:
        await super().on_event(event)
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                continue


async def test_observers_are_told_what_happens_in_an_engine() -> None:
    first, second = Recorder(), Recorder()
    observers = Observers(first, second)
    assert isinstance(observers, arcly.InboundProtocol)
    async with arcly.Engine(observers) as engine:
        session = await engine.start_publish(KEY)
        session.end("done")
        _other = await engine.start_publish(arcly.StreamKey("live", "other"))
        await eventually(lambda: len(second.events) == 3)
    # The end of the other stream is the engine's own, and is told too.
    kinds = ["publish_started", "publish_ended", "publish_started", "publish_ended"]
    for observer in (first, second):
        assert [event.kind.value for event in observer.events] == kinds
        assert [str(event.key) for event in observer.events] == ["live/cam"] * 2 + ["live/other"] * 2
    assert first.events[1].reason == "done"
    assert (observers.detached, observers.dropped) == (0, 0)
    await observers.stop()


async def test_stats_hold_numbers_and_no_media() -> None:
    recorder = Recorder()
    async with arcly.Engine(Observers(recorder, stats_interval_s=0.1)) as engine:
        session = await engine.start_publish(KEY, protocol="test", peer="192.0.2.1:5")
        session.set_tracks([AUDIO])
        for n in range(10):
            session.publish(bytes(100), track=1, pts=n * 1024)
        await eventually(lambda: recorder.stats and recorder.stats[-1] and recorder.stats[-1][0].tracks)
        (report,) = recorder.stats[-1]
        session.end()
    assert (report.key, report.protocol, report.peer, report.state) == (KEY, "test", "192.0.2.1:5", "publishing")
    assert (report.stats.bytes, report.stats.other_frames) == (1000, 10)


@in_virtual_time
async def test_one_that_fails_or_hangs_is_detached_and_the_others_go_on() -> None:
    logging.getLogger("arcly").disabled = True
    try:
        good, broken, hanging, deaf, bus = Recorder(), Broken(), Hanging(), Deaf(), Bus()
        observers = Observers(broken, hanging, deaf, good, deadline_s=2, stats_interval_s=None)
        await observers.start(bus)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        bus.emit(event("1"))
        bus.emit(event("2"))
        await asyncio.sleep(1)
        assert [event.reason for event in good.events] == ["1", "2"]
        assert observers.detached == 1
        await asyncio.sleep(1.5)
        assert observers.detached == 3
        bus.emit(event("3"))
        await asyncio.sleep(0.1)
        assert len(good.events) == 3
        for bad in (broken, hanging, deaf):
            assert len(bad.events) == 1
        began_s = loop.time()
        await observers.stop()
        assert loop.time() - began_s < 1
        deaf.free.set()
    finally:
        logging.getLogger("arcly").disabled = False


async def test_a_detached_one_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    observers = Observers(Broken(), deadline_s=1)
    await observers.start(bus)  # type: ignore[arg-type]
    bus.emit(event())
    await eventually(lambda: observers.detached)
    assert "Broken observes no more: it failed" in caplog.text
    assert "ValueError: broken" in caplog.text
    caplog.clear()
    await observers.stop()


async def test_starting_twice_is_misuse() -> None:
    observers = Observers(Recorder())
    await observers.start(Bus())  # type: ignore[arg-type]
    with pytest.raises(arcly.MisuseError, match="already"):
        await observers.start(Bus())  # type: ignore[arg-type]
    await observers.stop()


async def test_one_that_blocks_the_loop_is_detached(caplog: pytest.LogCaptureFixture) -> None:
    class Blocking(Observer):
        async def on_event(self, event: arcly.StreamEvent) -> None:
            import time

            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass

    bus = Bus()
    observers = Observers(Blocking(), deadline_s=0.02)
    await observers.start(bus)  # type: ignore[arg-type]
    bus.emit(event())
    await eventually(lambda: observers.detached)
    assert "Blocking observes no more: it " in caplog.text
    caplog.clear()
    await observers.stop()


@in_virtual_time
async def test_a_slow_one_loses_the_oldest_and_they_are_counted() -> None:
    class Slow(Recorder):
        async def on_event(self, event: arcly.StreamEvent) -> None:
            await asyncio.sleep(1)
            await super().on_event(event)

    slow, good, bus = Slow(), Recorder(), Bus()
    observers = Observers(slow, good, deadline_s=10, capacity=4, stats_interval_s=None)
    await observers.start(bus)  # type: ignore[arg-type]
    bus.emit(event("0"))
    await asyncio.sleep(0.5)
    for n in range(1, 11):
        bus.emit(event(str(n)))
        await asyncio.sleep(0.01)
    await asyncio.sleep(30)
    assert [event.reason for event in slow.events] == ["0", "7", "8", "9", "10"]
    assert len(good.events) == 11
    assert (observers.dropped, observers.detached) == (6, 0)
    await observers.stop()


@in_virtual_time
async def test_stop_tells_what_is_left_for_one_deadline_at_most() -> None:
    class Slow(Recorder):
        async def on_event(self, event: arcly.StreamEvent) -> None:
            await asyncio.sleep(1)
            await super().on_event(event)

    slow, bus = Slow(), Bus()
    observers = Observers(slow, deadline_s=3.5, stats_interval_s=None)
    await observers.start(bus)  # type: ignore[arg-type]
    for n in range(10):
        bus.emit(event(str(n)))
    loop = asyncio.get_running_loop()
    await observers.stop()
    assert loop.time() == pytest.approx(3.5)
    assert len(slow.events) == 3
    assert observers.dropped == 6
    await observers.stop()


@in_virtual_time
async def test_many_streams_are_read_in_turns() -> None:
    class Stream:
        key, protocol, peer, started_unix_ms, closed, tracks, stats = KEY, "x", None, 0, False, (), None

    recorder, bus = Recorder(), Bus()
    bus.streams = [Stream()] * 1000
    observers = Observers(recorder, stats_interval_s=10)
    await observers.start(bus)  # type: ignore[arg-type]
    await asyncio.sleep(25)
    assert [len(streams) for streams in recorder.stats] == [1000, 1000]
    await observers.stop()


@pytest.mark.parametrize(
    "options", [{"deadline_s": 0}, {"stats_interval_s": 0.01}, {"capacity": 0}, {"deadline_s": float("nan")}]
)
def test_numbers_out_of_range_are_misuse(options: dict[str, Any]) -> None:
    with pytest.raises(arcly.MisuseError):
        Observers(Recorder(), **options)
    with pytest.raises(arcly.MisuseError):
        Observers()


async def test_the_log_has_one_object_a_line_that_no_text_breaks() -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger = logging.Logger("test")
    handler = Lines()
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    observer = LoggingObserver(logger)
    await observer.on_event(event('a "reason"\nwith %s \x1b[31m and \u2028 in it'))
    try:
        raise ValueError("a\nb")
    except ValueError:
        logger.exception("failed")
    logger.info("plain %d", 5, extra={"arcly": {"message": "not this"}})
    assert all(line.isascii() and line.isprintable() for line in lines)
    ended, failed, plain = map(json.loads, lines)
    assert ended["at"].endswith("Z")
    del ended["at"]
    assert ended == {
        "level": "info",
        "logger": "test",
        "message": "publish_ended live/cam",
        "event": "publish_ended",
        "app": "live",
        "stream": "cam",
        "at_unix_ms": 1_767_225_600_123,
        "reason": 'a "reason"\nwith %s \x1b[31m and \u2028 in it',
    }
    assert "ValueError: a\nb" in failed["exception"]
    assert plain["message"] == "plain 5"


async def test_the_log_has_tracks_and_when_asked_for_numbers(caplog: pytest.LogCaptureFixture) -> None:
    async with arcly.Engine(Observers(LoggingObserver(stats_streams_max=1), stats_interval_s=0.1)) as engine:
        sessions = [await engine.start_publish(arcly.StreamKey("live", name)) for name in "ab"]
        sessions[0].set_tracks([AUDIO])
        sessions[0].publish(bytes(10), track=1, pts=0)

        def fields(kind: str) -> list[dict[str, Any]]:
            found = [record.arcly for record in caplog.records if record.name == "arcly.events"]  # type: ignore[attr-defined]
            return [entry for entry in found if entry["event"] == kind]

        await eventually(lambda: any(entry["bytes"] == 10 for entry in fields("stats")))
        assert fields("tracks_changed")[0]["tracks"] == ["AAC 48000 Hz"]
        assert {entry["stream"] for entry in fields("stats")} == {"a"}
        for session in sessions:
            session.end()
