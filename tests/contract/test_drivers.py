"""Drivers between streams and the sources, sinks, muxers and transcoders of a host: on the engine and on a registry in
plain Python.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import eventually, run

import arcly
from arcly._bridge import native_session
from arcly.contract import Registry, Rendition
from arcly.drive import MuxSink, SinkDriver, drive_to, pump_source
from arcly.ladder import drive_ladder, rung_key
from arcly.media import Demuxer, Muxer
from arcly.sinks.file import FileSink
from arcly.testing import MemoryRegistry

KEY = arcly.StreamKey("live", "cam")
AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))


@pytest.fixture(params=["engine", "python"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    if request.param == "python":
        yield MemoryRegistry()
        return
    async with arcly.Engine() as engine:
        yield engine


def frame(n: int) -> arcly.MediaFrame:
    return arcly.MediaFrame(n.to_bytes(4, "big"), [AUDIO], track=1, pts=n * 1024, duration=1024)


def number(frame: object) -> int:
    return int.from_bytes(bytes(memoryview(frame)), "big")  # type: ignore[arg-type]


class Source:
    """A `MediaSource` in plain Python."""

    def __init__(self, frames: int, fault: Exception | None = None, *, endless: bool = False) -> None:
        self.count, self.fault, self.endless = frames, fault, endless
        self.closed = False

    async def frames(self) -> AsyncIterator[arcly.MediaFrame]:
        try:
            for n in range(self.count):
                yield frame(n)
                await asyncio.sleep(0)
            if self.fault:
                raise self.fault
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


class Sink:
    """A `MediaSink` in plain Python."""

    def __init__(self, *, enough: int | None = None, fault_at: int | None = None, turns: int = 0) -> None:
        self.numbers: list[int] = []
        self.discontinuities = 0
        self.closed = 0
        self.enough, self.fault_at, self.turns = enough, fault_at, turns

    async def send(self, frame: arcly.contract.MediaFrame) -> bool:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.fault_at is not None and len(self.numbers) == self.fault_at:
            raise ZeroDivisionError
        self.numbers.append(number(frame))
        self.discontinuities += frame.is_discontinuity
        return len(self.numbers) != self.enough

    async def close(self) -> None:
        self.closed += 1


async def test_a_source_is_published_to_its_end(registry: Registry) -> None:
    events = registry.events()
    # An end is a stream's own end: whoever reads has read everything.
    pumping = asyncio.create_task(pump_source(registry, KEY, Source(50), protocol="mine"))
    assert (await anext(events)).kind is arcly.StreamEventKind.PUBLISH_STARTED
    stream = registry.get_stream(KEY)
    assert stream
    assert stream.protocol == "mine"
    assert [number(frame) async for frame in stream.subscribe()] == list(range(50))
    assert await pumping == 50
    assert registry.get_stream(KEY) is None
    await events.aclose()


async def test_a_source_that_fails_ends_its_stream_and_is_told(registry: Registry) -> None:
    events = registry.events()
    source = Source(3, OSError("the camera is gone"))
    with pytest.raises(OSError, match="camera"):
        await pump_source(registry, KEY, source)
    assert registry.get_stream(KEY) is None
    assert source.closed
    seen = [await anext(events) for _ in range(3)]
    assert "the camera is gone" in (seen[-1].reason or "")
    await pump_source(registry, KEY, Source(1))  # The key is free again.
    await events.aclose()


async def test_a_source_is_stopped_while_it_waits(registry: Registry) -> None:
    source, shutdown = Source(2, endless=True), asyncio.Event()
    pumping = asyncio.create_task(pump_source(registry, KEY, source, shutdown=shutdown))
    await eventually(lambda: (stream := registry.get_stream(KEY)) and stream.stats.other_frames == 2)
    shutdown.set()
    assert await asyncio.wait_for(pumping, 10) == 2
    assert source.closed
    assert registry.get_stream(KEY) is None


async def test_cancelling_is_not_taken_for_stopping(registry: Registry) -> None:
    source, shutdown = Source(2, endless=True), asyncio.Event()
    pumping = asyncio.create_task(pump_source(registry, KEY, source, shutdown=shutdown))
    await eventually(lambda: registry.get_stream(KEY))
    pumping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pumping
    assert source.closed
    assert registry.get_stream(KEY) is None


async def test_a_slow_sink_loses_nothing_between_replay_and_live(registry: Registry) -> None:
    """The seed subscribed after its replay: 75 of 300 frames were lost."""
    session = await registry.start_publish(KEY, protocol="test")
    session.set_tracks([AUDIO])
    for n in range(100):
        session.send(frame(n))
    stream = registry.get_stream(KEY)
    assert stream
    sink = Sink(turns=3)
    driving = asyncio.create_task(drive_to(stream, sink))
    for n in range(100, 300):
        session.send(frame(n))
        await asyncio.sleep(0)
    session.end()
    frames = await asyncio.wait_for(driving, 30)
    # From where a joiner begins, every frame to the last, once each.
    assert sink.numbers == list(range(300 - frames, 300))
    assert frames > 200
    assert (sink.closed, sink.discontinuities) == (1, 0)


async def test_a_driver_reads_from_when_it_is_made(registry: Registry) -> None:
    session = await registry.start_publish(KEY, protocol="test")
    session.set_tracks([AUDIO])
    stream = registry.get_stream(KEY)
    assert stream
    sink = Sink()
    driver = SinkDriver(stream, sink)
    for n in range(10):
        session.send(frame(n))
    session.end()
    assert await driver.run() == 10
    assert sink.numbers == list(range(10))


@pytest.mark.parametrize("end", ["enough", "fault", "shutdown", "stream"])
async def test_a_sink_is_closed_once_however_it_ends(registry: Registry, end: str) -> None:
    session = await registry.start_publish(KEY, protocol="test")
    session.set_tracks([AUDIO])
    stream = registry.get_stream(KEY)
    assert stream
    sink = Sink(enough=5 if end == "enough" else None, fault_at=5 if end == "fault" else None)
    shutdown = asyncio.Event()
    driving = asyncio.create_task(drive_to(stream, sink, shutdown))
    for n in range(5 if end in ("shutdown", "stream") else 20):
        session.send(frame(n))
        await asyncio.sleep(0)
    await eventually(lambda: len(sink.numbers) == 5)
    if end == "shutdown":
        shutdown.set()
    if end == "stream":
        session.end()
    if end == "fault":
        with pytest.raises(ZeroDivisionError):
            await driving
    else:
        assert await asyncio.wait_for(driving, 10) == 5
    assert (sink.numbers, sink.closed) == (list(range(5)), 1)


class AdtsMuxer:
    """A `Muxer` in plain Python: AAC as ADTS (ISO/IEC 14496-3 §1.A.2.2), what an `.aac` file holds."""

    def set_tracks(self, tracks: Sequence[arcly.Track]) -> bytes:
        (track,) = tracks
        config = int.from_bytes(track.config[:2], "big")
        self.profile, self.rate, self.channels = (config >> 11) - 1, config >> 7 & 15, config >> 3 & 15
        return b""

    def write(self, frame: arcly.contract.MediaFrame) -> bytes:
        payload = bytes(memoryview(frame))
        size = len(payload) + 7
        header = 0xFFF1 << 40 | self.profile << 38 | self.rate << 34 | self.channels << 30 | size << 13 | 0x7FF << 2
        return header.to_bytes(7, "big") + payload

    def finish(self) -> bytes:
        return b""


async def test_a_muxer_in_python_makes_a_file_that_others_read(registry: Registry, ffmpeg: str, tmp_path: Path) -> None:
    """The sound of a real clip, muxed here and decoded by ffmpeg."""
    clip, out = tmp_path / "clip.flv", tmp_path / "out.aac"
    make = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "2"]
    assert (await run(*make, "-c:a", "aac", "-f", "flv", clip)).returncode == 0
    frames = Demuxer("flv").feed(clip.read_bytes())
    session = await registry.start_publish(KEY, protocol="test")
    stream = registry.get_stream(KEY)
    assert stream
    with out.open("wb") as file:

        async def write(data: bytes) -> None:
            file.write(data)

        driver = SinkDriver(stream, MuxSink(AdtsMuxer(), write))
        for frame in frames:
            session.send(frame)
        session.end()
        assert await driver.run() == len(frames)
    decode = [ffmpeg, "-v", "error", "-i", str(out), "-f", "s16le", "-ac", "1", "-"]
    done = await run(*decode)
    assert (done.returncode, done.stderr) == (0, "")
    assert abs(len(done.stdout) / 2 - 2 * 48_000) <= 4096


VIDEO = arcly.Track(0, "VP9", bytes([0, 10, 0x82, 2, 2, 2, 0, 0]), size=(320, 180))


@pytest.mark.parametrize("form", ["mp4", "flv"])
async def test_what_is_shipped_writes_frames_of_any_registry(registry: Registry, tmp_path: Path, form: str) -> None:
    """Found by reading: those of a host were a TypeError, for `FileSink` and for `Muxer` in a `MuxSink`."""
    session = await registry.start_publish(KEY, protocol="test")
    # Tracks are in the order that the publisher says; a container begins once all the same.
    session.set_tracks([AUDIO, VIDEO])
    stream = registry.get_stream(KEY)
    assert stream
    muxed = bytearray()

    async def write(data: bytes) -> None:
        muxed.extend(data)

    file = FileSink(tmp_path / f"copy.{form}")
    drivers = [SinkDriver(stream, file), SinkDriver(stream, MuxSink(Muxer(form), write))]
    session.publish(b"picture", track=0, pts=0, key=True)
    for n in range(10):
        session.publish(n.to_bytes(4, "big"), track=1, pts=n * 1024, duration=1024)
    session.end()
    assert [await driver.run() for driver in drivers] == [11, 11]
    assert file.path.read_bytes() == muxed
    assert muxed.count(b"moov") == (form == "mp4")
    demuxer = Demuxer(form)
    read = demuxer.feed(muxed) + demuxer.finish()
    assert [number(frame) for frame in read if frame.track == 1] == list(range(10))
    assert b"picture" in muxed


def test_whether_a_file_ends_is_asked_of_the_tracks_alone() -> None:
    """Found by a reader: `FileSink` had each frame of a host copied twice, the first time for its tracks."""
    muxer = Muxer("mp4")
    muxer.write(arcly.MediaFrame(b"sound", [AUDIO], track=1, pts=0, duration=1024))
    for tracks, ends in (([AUDIO], False), ([AUDIO, VIDEO], True)):
        frame: Any = SimpleNamespace(tracks=tracks)  # It has no bytes.
        assert muxer.needs_new_file(frame) == ends


def test_a_muxer_says_what_is_wrong_with_a_frame_of_the_host() -> None:
    with pytest.raises(AttributeError, match="tracks"):
        Muxer("ts").write(b"bytes")  # type: ignore[arg-type]


class Halver:
    """A `Transcoder` in plain Python: every frame for `all`, every other one for `half`."""

    renditions: Sequence[Rendition] = (Rendition("all", 720, 2_000_000), Rendition("half", 360, 500_000))

    def __init__(self, fault_at: int | None = None) -> None:
        self.fault_at = fault_at
        self.flushed = 0

    async def transcode(
        self, frame: arcly.contract.MediaFrame
    ) -> Iterable[tuple[Rendition, arcly.contract.MediaFrame]]:
        if number(frame) == self.fault_at:
            raise ZeroDivisionError
        every, half = self.renditions
        return [(every, frame), (half, frame)] if number(frame) % 2 == 0 else [(every, frame)]

    async def flush(self) -> Iterable[tuple[Rendition, arcly.contract.MediaFrame]]:
        self.flushed += 1
        return [(self.renditions[1], frame(999))]


async def collect(registry: Registry, key: arcly.StreamKey) -> list[int]:
    stream = await eventually(lambda: registry.get_stream(key))
    return [number(frame) async for frame in stream.subscribe()]


async def test_a_ladder_publishes_each_rung_and_ends_them(registry: Registry) -> None:
    session = await registry.start_publish(KEY, protocol="test")
    session.set_tracks([AUDIO])
    stream = registry.get_stream(KEY)
    assert stream
    transcoder = Halver()
    driving = asyncio.create_task(drive_ladder(registry, stream, transcoder))
    rungs = [rung_key(KEY, rendition) for rendition in transcoder.renditions]
    assert [str(rung) for rung in rungs] == ["live/cam~all", "live/cam~half"]
    reading = [asyncio.create_task(collect(registry, rung)) for rung in rungs]
    await eventually(lambda: all(map(registry.get_stream, rungs)))
    for _ in range(5):
        await asyncio.sleep(0)
    for n in range(20):
        session.send(frame(n))
        await asyncio.sleep(0)
    session.end()
    assert await asyncio.wait_for(driving, 10) == 31
    assert await asyncio.gather(*reading) == [list(range(20)), [*range(0, 20, 2), 999]]
    assert transcoder.flushed == 1
    assert registry.list_streams() == []


async def test_the_rungs_of_a_ladder_end_when_its_transcoder_fails(registry: Registry) -> None:
    """The seed left their slots taken for ever."""
    session = await registry.start_publish(KEY, protocol="test")
    session.set_tracks([AUDIO])
    stream = registry.get_stream(KEY)
    assert stream
    transcoder = Halver(fault_at=3)
    driving = asyncio.create_task(drive_ladder(registry, stream, transcoder))
    await eventually(lambda: len(registry.list_streams()) == 3)
    for n in range(5):
        session.send(frame(n))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(driving, 10)
    assert [stream.key for stream in registry.list_streams()] == [KEY]
    assert transcoder.flushed == 0


async def test_a_ladder_of_which_one_rung_is_taken_takes_none(registry: Registry) -> None:
    session = await registry.start_publish(KEY, protocol="test")
    stream = registry.get_stream(KEY)
    assert stream
    taken = await registry.start_publish(arcly.StreamKey("live", "cam~half"), protocol="test")
    with pytest.raises(arcly.AlreadyPublishingError):
        await drive_ladder(registry, stream, Halver())
    assert {str(stream.key) for stream in registry.list_streams()} == {"live/cam", "live/cam~half"}
    taken.end()
    session.end()


async def test_a_ladder_tells_of_itself() -> None:
    async with arcly.Engine() as engine:
        session = await engine.start_publish(KEY)
        session.set_tracks([AUDIO])
        stream = engine.get_stream(KEY)
        assert stream
        events = engine.events()
        driving = asyncio.create_task(drive_ladder(engine, stream, Halver()))
        await eventually(lambda: len(engine.list_streams()) == 3)
        session.end()
        await driving
        told = {}
        while len(told) < 2:
            event = await anext(events)
            if event.kind.value.startswith("transcoding"):
                told[event.kind.value] = (event.key, event.reason)
        assert told == {
            "transcoding_started": (KEY, "all, half"),
            "transcoding_ended": (KEY, "the stream has ended"),
        }
        await events.aclose()


OTHER = arcly.Track(0, "AAC", bytes([0x11, 0x90]))


class Foreign(bytes):
    """A frame of somebody else's class."""

    track, tracks, duration, is_key, is_discontinuity = 1, (AUDIO, OTHER), 1024, False, False

    @property
    def pts(self) -> int:
        """Its time, by its number."""
        return int.from_bytes(self, "big") * 1024

    dts = pts


async def test_tracks_in_any_order_are_set_once() -> None:
    """Found by reading: beside the sorted ones of the publisher they were others with each frame, each a new chunk."""
    async with arcly.Engine() as engine:
        session = await engine.start_publish(KEY)
        stream = engine.get_stream(KEY)
        assert stream is not None
        async with stream.subscribe() as reader:
            for n in range(0, 50, 2):
                session.send(arcly.MediaFrame(n.to_bytes(4, "big"), [AUDIO, OTHER], track=1, pts=n * 1024))
                session.send(Foreign((n + 1).to_bytes(4, "big")))
            frames = reader.drain()
            assert [number(frame) for frame in frames] == list(range(50))
            assert {frame.revision for frame in frames} == {1}


async def test_a_registry_of_the_host_gets_what_a_publisher_sends_at_once() -> None:
    """Found by reading: the cursor was made by a task, and began at the newest entry of what had waited."""
    registry = MemoryRegistry()
    session = await registry.start_publish(KEY)
    stream = registry.get_stream(KEY)
    assert stream is not None
    reader = stream.subscribe()
    native = native_session(session)
    native.set_tracks([AUDIO])
    for n in range(200):
        native.publish(n.to_bytes(4, "big"), track=1, pts=n * 1024)
    native.end()
    assert [number(frame) async for frame in reader] == list(range(200))
