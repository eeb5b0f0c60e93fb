"""What is in the files is what was published, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

import arcly
from arcly.recording import RecordedSegment, RecordingInfo
from arcly.recording.index import RecordingIndex
from arcly.recording.take import Take
from recording.conftest import KEY, ROOMY, demo_frames, later, payloads, read


async def recorded(recorder: arcly.Recorder, frames: int) -> None:
    """Wait until so many frames are on the disk."""

    def are_there() -> bool:
        status = recorder.status(KEY)
        return status is not None and status.frames >= frames

    await eventually(are_there, what=f"{recorder.status(KEY)}")


async def begun(recorder: arcly.Recorder) -> None:
    """Wait until the stream is being read."""
    await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")


async def the_recording(recorder: arcly.Recorder) -> tuple[RecordingInfo, list[RecordedSegment]]:
    """The only one there is, when it has ended and its files are whole."""

    async def ended() -> bool:
        (recording,) = await recorder.list()
        return recording.ended_unix_ms is not None

    await eventually(ended)
    await all_are_whole(recorder)
    (recording,) = await recorder.list()
    return recording, await recorder.index.segments(recording.id)


async def all_are_whole(recorder: arcly.Recorder) -> None:
    """Wait until no file is without its end, or without its tables."""

    async def is_so() -> bool:
        return not await recorder.index.segments(torn=True)

    await eventually(is_so)


async def record(directory: Path, frames: list[arcly.MediaFrame], **options: Any) -> list[RecordedSegment]:
    """Publish frames, all at once, and record them."""
    recorder = arcly.Recorder(directory, record=["live/*"], resume_s=0, **options)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        session = await engine.start_publish(KEY)
        await begun(recorder)
        for frame in frames:
            session.send(frame)
        session.end()
        _, segments = await the_recording(recorder)
    return segments


def files(directory: Path, segments: list[RecordedSegment]) -> list[Path]:
    return [directory / segment.path for segment in segments]


@pytest.mark.parametrize("format", ["fmp4", "mp4", "ts", "flv"])
async def test_every_frame_is_in_the_files_once_and_every_file_begins_with_a_key_frame(
    tmp_path: Path, format: str, ffprobe: Any
) -> None:
    frames = demo_frames()
    segments = await record(tmp_path, frames, format=format, segment_s=3)
    assert len(segments) == 3
    found = read(files(tmp_path, segments))
    assert payloads(found) == payloads(frames)
    assert [segment.follows for segment in segments] == [False, True, True]
    for segment, path in zip(segments, files(tmp_path, segments), strict=True):
        first = next(frame for frame in read([path]) if frame.kind == "video")
        assert first.is_key
        probed = ffprobe(path)
        assert probed.packets == segment.frames
        assert probed.duration_s == pytest.approx(segment.duration_us / 1e6, abs=0.3)
        assert path.stat().st_size == segment.bytes


async def test_times_of_files_that_follow_each_other_agree_to_the_tick(tmp_path: Path) -> None:
    frames = demo_frames()
    segments = await record(tmp_path, frames, segment_s=3)
    times = [
        (frame.kind, frame.pts + segment.base_ticks * frame.clock_rate_hz // segment.base_hz)
        for segment, path in zip(segments, files(tmp_path, segments), strict=True)
        for frame in read([path])
    ]
    assert sorted(times) == sorted((frame.kind, frame.pts) for frame in frames)


async def test_a_publisher_that_comes_back_goes_on_in_the_same_recording_behind_a_gap(tmp_path: Path) -> None:
    frames = demo_frames()
    recorder = arcly.Recorder(tmp_path, record=["live/*"], resume_s=30)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        for part in (frames[:300], frames[:200]):
            session = await engine.start_publish(KEY)
            before = recorder.status(KEY)
            await begun(recorder)
            for frame in part:
                session.send(frame)
            await recorded(recorder, (before.frames if before else 0) + 1)
            session.end()
            await eventually(lambda: (status := recorder.status(KEY)) and status.state == "waiting")
        status = recorder.status(KEY)
        assert status is not None
        assert (status.frames, status.gaps) == (500, 1)
        assert await recorder.finish(KEY)
        recording, segments = await the_recording(recorder)
    assert [segment.follows for segment in segments] == [False, False]
    assert segments[1].gap_us > 0
    assert segments[1].position_us == segments[0].position_us + segments[0].duration_us + segments[1].gap_us
    assert payloads(read(files(tmp_path, segments))) == payloads([*frames[:300], *frames[:200]])
    assert (recording.gaps, recording.segments) == (1, 2)


async def test_a_publisher_within_the_grace_time_goes_on_too(tmp_path: Path) -> None:
    frames = demo_frames()
    recorder = arcly.Recorder(tmp_path, record=["live/*"], resume_s=0)
    spec = arcly.AppSpec(ring_frames=1 << 16, ring_bytes=1 << 30, reconnect_grace_s=60)
    async with arcly.Engine(recorder, default_app=spec) as engine:
        for _ in range(2):
            session = await engine.start_publish(KEY)
            await begun(recorder)
            for frame in frames:
                session.send(frame)
            session.end()
            await asyncio.sleep(2.5)  # What is less than a second is no gap but a loss, and an engine counts seconds.
        await recorder.finish(KEY)
        _, segments = await the_recording(recorder)
    assert len(segments) == 2
    assert 500_000 < segments[1].gap_us < 20_000_000
    assert payloads(read(files(tmp_path, segments))) == payloads([*frames, *frames])


@pytest.mark.parametrize("format", ["fmp4", "mp4"])
async def test_a_clock_of_the_publisher_that_jumps_begins_another_file(tmp_path: Path, format: str) -> None:
    frames = demo_frames()
    jumped = [*frames, *later(frames, 500), *frames]
    segments = await record(tmp_path, jumped, format=format)
    assert len(segments) == 3
    assert payloads(read(files(tmp_path, segments))) == payloads(jumped)
    ends = [segment.position_us + segment.duration_us for segment in segments]
    assert [segment.position_us >= end for segment, end in zip(segments[1:], ends, strict=False)] == [True, True]
    assert segments[1].gap_us == pytest.approx(488e6, rel=0.01)


SERVER = """
import asyncio, sys
import arcly
from recording.conftest import KEY, ROOMY, demo_frames, later

async def main():
    recorder = arcly.Recorder(sys.argv[1], record=["*"], format=sys.argv[2], segment_s=20)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        session, frames, passes = await engine.start_publish(KEY), demo_frames(), 0
        while (status := recorder.status(KEY)) is None or status.state != "recording":
            await asyncio.sleep(0.01)
        while True:
            for frame in later(frames, 12 * passes):
                session.send(frame)
            passes += 1
            await asyncio.sleep(0.02)
            status = recorder.status(KEY)
            print(status.frames if status else 0, flush=True)

asyncio.run(main())
"""


def place_of(path: Path) -> list[int]:
    """When a segment began, by its name. One before the last may have been made whole after that was written to."""
    return [int(digits) for digits in re.findall(r"\d+", path.name.partition(".")[0])]


def record_and_die(directory: Path, format: str) -> None:
    command = [sys.executable, "-c", SERVER, str(directory), format]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as server:
        assert server.stdout
        while int(server.stdout.readline()) < 2500:
            pass
        server.kill()
    # What a kill leaves behind differs from time to time. What a power cut leaves, too: of the file that was being
    # written, the end may be missing, anywhere.
    newest = max(directory.glob("live/cam/*"), key=lambda path: (place_of(path), path.stat().st_mtime_ns))
    os.truncate(newest, max(0, newest.stat().st_size - 777))


@pytest.mark.parametrize("format", ["fmp4", "mp4", "ts", "flv"])
async def test_after_a_kill_every_file_plays_and_the_next_start_completes_the_index(
    tmp_path: Path, format: str, ffprobe: Any
) -> None:
    await asyncio.to_thread(record_and_die, tmp_path, format)
    recorder = arcly.Recorder(tmp_path, resume_s=0)
    async with arcly.Engine(recorder):
        recording, segments = await the_recording(recorder)
    assert recording.reason == "the recorder died"
    assert all(segment.is_whole for segment in segments)
    assert {path.name for path in (tmp_path / "live/cam").iterdir()} == {Path(s.path).name for s in segments}
    for segment, path in zip(segments, files(tmp_path, segments), strict=True):
        assert ffprobe(path).packets == segment.frames
    found, published = payloads(read(files(tmp_path, segments))), payloads(demo_frames())
    for kind in ("video", "audio"):
        assert len(found[kind]) > 500
        assert found[kind] == (published[kind] * 1000)[: len(found[kind])]


@pytest.mark.parametrize("format", ["fmp4", "mp4", "ts", "flv"])
async def test_a_publisher_that_comes_back_after_a_kill_goes_on_in_the_same_recording(
    tmp_path: Path, format: Any
) -> None:
    await asyncio.to_thread(record_and_die, tmp_path, format)
    frames = demo_frames()
    recorder = arcly.Recorder(tmp_path, record=["*"], format=format, resume_s=3600)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        (cut,) = await recorder.list()
        assert cut.ended_unix_ms is None
        await all_are_whole(recorder)
        before = await recorder.index.segments(cut.id)
        session = await engine.start_publish(KEY)
        await begun(recorder)
        for frame in frames:
            session.send(frame)
        await recorded(recorder, cut.frames + 1)
        session.end()
        status = recorder.status(KEY)
        assert status is not None
        assert (status.id, status.gaps) == (cut.id, 1)
        assert await recorder.finish(KEY)
        recording, segments = await the_recording(recorder)
    assert (recording.id, recording.began_unix_ms, recording.gaps) == (cut.id, cut.began_unix_ms, 1)
    assert segments[: len(before)] == before
    first = segments[len(before)]
    assert (first.number, first.follows) == (before[-1].number + 1, False)
    assert first.gap_us > 0
    assert first.position_us == before[-1].position_us + before[-1].duration_us + first.gap_us
    assert payloads(read(files(tmp_path, segments[len(before) :]))) == payloads(frames)


async def test_a_recording_that_was_cut_ends_when_its_publisher_stays_away(tmp_path: Path) -> None:
    left_ms = time.time_ns() // 1_000_000 - 59_000
    index = RecordingIndex(tmp_path / ".arcly" / "index.db")
    await index.open()
    for key, began_ms in ((KEY, left_ms), (arcly.StreamKey("live", "old"), left_ms - 3_600_000)):
        number = await index.begin(key, "fmp4", began_ms)
        await index.put(
            RecordedSegment(
                id=0,
                recording=number,
                number=0,
                path=f"{key}.mp4",
                is_whole=True,
                began_unix_ms=began_ms,
                position_us=0,
                duration_us=1000,
                base_ticks=0,
                base_hz=1000,
                follows=False,
                gap_us=0,
                bytes=1,
                frames=1,
                stored=None,
            )
        )
    await index.close()
    recorder = arcly.Recorder(tmp_path, resume_s=60)
    async with arcly.Engine(recorder):
        old = await recorder.index.recording(2)
        assert old is not None
        assert old.reason == "the recorder died", "nobody waits for it"

        async def both_ended() -> bool:
            return all(recording.ended_unix_ms for recording in await recorder.list())

        await eventually(both_ended)
        assert [recording.reason for recording in await recorder.list()] == ["the recorder died"] * 2


async def test_a_recording_that_was_cut_can_be_deleted(tmp_path: Path) -> None:
    await asyncio.to_thread(record_and_die, tmp_path, "fmp4")
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=3600)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        assert await recorder.delete(1)
        assert await recorder.list() == []
        session = await engine.start_publish(KEY)
        await begun(recorder)
        status = recorder.status(KEY)
        assert status is not None
        assert status.id == 2
        session.end()


async def test_a_stream_whose_events_were_lost_is_recorded(tmp_path: Path) -> None:
    recorder = arcly.Recorder(tmp_path, record=[str(KEY)])
    async with arcly.Engine(recorder) as engine:
        session = await engine.start_publish(KEY)
        # In the same turn of the loop: more than a listener's queue holds.
        for number in range(600):
            (await engine.start_publish(arcly.StreamKey("live", str(number)))).end()
        await begun(recorder)
        session.end()


async def test_an_index_that_hangs_holds_up_no_other_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, hangs = arcly.Recorder(tmp_path, record=["*"]), arcly.StreamKey("live", "hangs")
    begin = recorder.index.begin

    async def begin_or_hang(key: arcly.StreamKey, format: str, began_ms: int) -> int:
        if key == hangs:
            await asyncio.Event().wait()
        return await begin(key, format, began_ms)

    monkeypatch.setattr(recorder.index, "begin", begin_or_hang)
    async with arcly.Engine(recorder) as engine:
        sessions = [await engine.start_publish(hangs), await engine.start_publish(KEY)]
        await begun(recorder)
        assert [status.state for status in recorder.list_running()] == ["recording", "waiting"]
        for session in sessions:
            session.end()
    assert recorder.list_running() == []


async def test_an_index_that_refuses_one_recording_has_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = arcly.Recorder(tmp_path, record=["*"])
    begin, refused = recorder.index.begin, arcly.StreamKey("live", "refused")

    async def begin_or_fail(key: arcly.StreamKey, format: str, began_ms: int) -> int:
        if key == refused:
            raise sqlite3.OperationalError("disk I/O error")
        return await begin(key, format, began_ms)

    monkeypatch.setattr(recorder.index, "begin", begin_or_fail)
    async with arcly.Engine(recorder) as engine:
        sessions = [await engine.start_publish(refused), await engine.start_publish(KEY)]
        await begun(recorder)
        assert recorder.status(refused) is None
        assert "live/refused is not recorded" in caplog.text
        for session in sessions:
            session.end()
    caplog.clear()


async def test_a_publisher_that_returns_while_its_recording_is_finished_is_recorded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = demo_frames()[:200]
    may_end = asyncio.Event()
    put = RecordingIndex.put

    async def held(index: RecordingIndex, segment: RecordedSegment) -> int:
        if segment.is_whole:
            await may_end.wait()
        return await put(index, segment)

    monkeypatch.setattr(RecordingIndex, "put", held)
    # The recording before, which still is there, hears of it.
    told = asyncio.Event()
    monkeypatch.setattr(Take, "published", lambda _: told.set())
    recorder = arcly.Recorder(tmp_path, record=["live/*"], resume_s=0)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        first = await engine.start_publish(KEY)
        await begun(recorder)
        for frame in frames:
            first.send(frame)
        finishing = asyncio.create_task(recorder.finish(KEY))
        first.end()
        await eventually(lambda: engine.get_stream(KEY) is None)
        again = await engine.start_publish(KEY)
        await asyncio.wait_for(told.wait(), 60)
        may_end.set()
        assert await finishing
        await eventually(lambda: (status := recorder.status(KEY)) and status.id == 2 and status.state == "recording")
        for frame in frames:
            again.send(frame)
        await recorded(recorder, len(frames))
        again.end()

        async def both_ended() -> bool:
            found = await recorder.list()
            return len(found) == 2 and all(recording.ended_unix_ms for recording in found)

        await eventually(both_ended)


async def test_finishing_waits_for_a_recording_that_is_being_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_begin = asyncio.Event()
    begin = RecordingIndex.begin

    async def held(index: RecordingIndex, *arguments: Any) -> int:
        await may_begin.wait()
        return await begin(index, *arguments)

    monkeypatch.setattr(RecordingIndex, "begin", held)
    recorder = arcly.Recorder(tmp_path, record=["live/*"])
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        session = await engine.start_publish(KEY)
        await eventually(lambda: recorder.status(KEY))
        finishing = asyncio.create_task(recorder.finish(KEY))
        await asyncio.sleep(0)
        may_begin.set()
        assert await finishing
        assert recorder.status(KEY) is None
        session.end()
