"""What is found of recordings whose recorder died."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import eventually

import arcly
from arcly._native import finalize_recording, is_own_recording, make_whole, measure_recording, recording_path
from arcly.recording import mend
from arcly.recording.directory import lock_directory
from arcly.recording.index import RecordedSegment, RecordingIndex
from recording.conftest import KEY, ROOMY, read, record_demo


async def recorded(directory: Path, format: str = "mp4") -> RecordedSegment:
    """A file of the demo clip."""
    recorder = arcly.Recorder(directory, record=["*"], resume_s=0, format=format)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        (segment,) = await recorder.index.segments()
    return segment


@pytest.mark.parametrize(("refuses", "is_whole"), [("finalize_recording", True), ("make_whole", False)])
async def test_a_disk_that_refuses_makes_no_recording_vanish(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refuses: str,
    is_whole: bool,
) -> None:
    """The tables need as much room as the file, and where there is none it is played as it is."""
    segment = replace(await recorded(tmp_path, "fmp4"), is_whole=False)

    def refuse(path: Path, *_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mend, refuses, refuse)
    mended = mend.mend_segment(tmp_path, segment)
    assert mended is not None
    if mended.is_whole:
        mended = mend.finish(tmp_path, mended, lambda: False)
    assert (mended.is_whole, mended.frames) == (is_whole, segment.frames)
    assert "No space left" in caplog.text
    caplog.clear()


async def test_a_file_that_is_found_is_as_old_as_itself_not_as_its_recording(tmp_path: Path) -> None:
    """By its age the oldest is deleted first."""
    week_ms = 7 * 86_400_000
    made = await recorded(tmp_path / "one", "fmp4")
    index = RecordingIndex(tmp_path / "two" / ".arcly" / "index.db")
    (tmp_path / "two" / ".arcly").mkdir(parents=True)
    await index.open()
    now_ms = time.time_ns() // 1_000_000
    recording = await index.begin(KEY, "fmp4", now_ms - week_ms)
    (info,) = await index.unfinished()
    template = arcly.Recorder(tmp_path).settings.template
    path = tmp_path / "two" / f"{recording_path(template, KEY, info.began_unix_ms, 0)}.mp4"
    path.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "one" / made.path, path)
    os.utime(path, ns=(now_ms * 1_000_000,) * 2)
    await mend.adopt(tmp_path / "two", index, info, template, [])
    (found,) = await index.segments(recording)
    assert abs(found.began_unix_ms + found.duration_us // 1000 - now_ms) < 2
    await index.close()


def spaced(file: bytes, between: bytes) -> bytes:
    """An MP4 file with these boxes between its tables and its media."""
    media = file.index(b"mdat") - 4
    return file[:media] + between + file[media:]


async def test_what_somebody_puts_beside_a_recording_is_left_as_it_is(tmp_path: Path) -> None:
    """Found by a reader: of a part that FFmpeg had cut with its tables in front all media was cut off, and what was no
    media was removed; the rest was played with the recording, stored, and deleted for its age.
    """
    whole = (tmp_path / "one" / (await recorded(tmp_path / "one")).path).read_bytes()
    left = await left_in_fragments(tmp_path)
    folder = (tmp_path / left.path).parent
    cut = spaced(whole, b"\0\0\0\x08free")
    own_name = (tmp_path / left.path).with_stem(f"{Path(left.path).stem}-99")
    somebodys = {
        folder / "highlight.mp4": cut,
        own_name: cut.replace(b"isomiso6", b"isomiso2"),
        own_name.with_suffix(".ts"): b"\x47" + bytes(187),
        folder / "notes.mp4": b"what happened",
    }
    for path, content in somebodys.items():
        path.write_bytes(content)
    index = RecordingIndex(tmp_path / ".arcly" / "index.db")
    await index.open()
    mended = await mend.mend(tmp_path, arcly.Recorder(tmp_path).settings.template, index)
    assert [found.path for found in mended.fragmented] == [left.path]
    assert [segment.path for segment in await index.segments(left.recording)] == [left.path]
    await index.close()
    assert [path.read_bytes() == content for path, content in somebodys.items()] == [True] * 4


async def test_what_a_power_cut_left_of_the_beginning_of_a_file_is_removed(tmp_path: Path) -> None:
    """Found by review: it was taken for somebody's, and stayed for ever, in no list."""
    left = await left_in_fragments(tmp_path)
    path = tmp_path / left.path
    torn = {path.with_stem(f"{path.stem}-{size}"): path.read_bytes()[:size] for size in (0, 3, 6, 11, 27)}
    torn[path.with_stem(f"{path.stem}-99")] = bytes(5000)
    for torn_path, beginning in torn.items():
        torn_path.write_bytes(beginning)
    index = RecordingIndex(tmp_path / ".arcly" / "index.db")
    await index.open()
    await mend.mend(tmp_path, arcly.Recorder(tmp_path).settings.template, index)
    await index.close()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_each_beginning_of_a_recording_is_known_for_one(tmp_path: Path, format: str) -> None:
    whole = (tmp_path / (await recorded(tmp_path, format)).path).read_bytes()
    torn = tmp_path / "torn"
    for size in range(900):
        torn.write_bytes(whole[:size])
        assert is_own_recording(torn, format), size


async def test_a_file_with_free_space_in_front_of_its_media_is_whole(tmp_path: Path) -> None:
    """Found by a reader: it was taken for fragments without any, and ended behind its tables."""
    path = tmp_path / (await recorded(tmp_path)).path
    whole = path.read_bytes()
    for between in (b"", b"\0\0\0\x08free", b"\0\0\0\x08wide\0\0\0\x0cskip\0\0\0\0"):
        path.write_bytes(file := spaced(whole, between))
        assert make_whole(path) == (len(file), 0)


async def left_in_fragments(directory: Path) -> RecordedSegment:
    """Record a file as a process leaves it that is killed while it records MP4."""
    left = await recorded(directory, "fmp4")
    index = RecordingIndex(directory / ".arcly" / "index.db")
    await index.open()
    left = replace(left, recording=await index.begin(KEY, "mp4", left.began_unix_ms))
    await index.put(replace(left, is_whole=False, bytes=0, frames=0, duration_us=0))
    await index.close()
    return left


async def test_nobody_waits_until_files_that_were_left_in_fragments_have_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of each is copied: with many cameras the server was deaf for minutes."""
    left = await left_in_fragments(tmp_path)
    goes_on = threading.Event()

    def finalize(path: Path, is_stopped: Callable[[], bool]) -> int:
        assert goes_on.wait(60)
        return finalize_recording(path, is_stopped)

    monkeypatch.setattr(mend, "finalize_recording", finalize)
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        (before,) = await recorder.index.segments(left.recording)
        assert (before.is_whole, before.frames) == (False, left.frames)
        deleting = asyncio.create_task(recorder.delete(left.recording))
        goes_on.set()
        assert await deleting
        # What was being copied has not come back under its name.
        assert not (tmp_path / left.path).exists()


async def test_a_file_that_gets_tables_is_left_off_when_the_recorder_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy went on, in a directory that was another recorder's already, and after 10 s ended the server with 1."""
    left = await left_in_fragments(tmp_path)
    path, begun, locked = tmp_path / left.path, threading.Event(), []
    before = path.read_bytes()

    def finalize(path: Path, is_stopped: Callable[[], bool]) -> int:
        begun.set()
        while not is_stopped():
            time.sleep(0.01)
        with pytest.raises(arcly.MisuseError):
            lock_directory(tmp_path / ".arcly")
        locked.append(True)
        return finalize_recording(path, is_stopped)

    with monkeypatch.context() as patch:
        patch.setattr(mend, "finalize_recording", finalize)
        async with arcly.Engine(arcly.Recorder(tmp_path, resume_s=0)):
            await asyncio.to_thread(begun.wait)
    assert locked
    assert path.read_bytes() == before
    assert list(path.parent.glob(mend.TEMPORARY)) == []
    recorder = arcly.Recorder(tmp_path, resume_s=0)
    async with arcly.Engine(recorder):

        async def is_whole() -> bool:
            (segment,) = await recorder.index.segments(left.recording)
            return segment.is_whole

        await eventually(is_whole)
    assert b"moof" not in path.read_bytes()


def bytes_read() -> int:
    """By this thread so far."""
    return int(Path("/proc/thread-self/io").read_text().split()[1])


@pytest.mark.parametrize("format", ["fmp4", "mp4"])
async def test_the_media_of_a_file_that_was_left_is_not_read_to_measure_it(tmp_path: Path, format: str) -> None:
    """Twenty cameras of which a killed server had ten minutes each were 9 GB, in front of which it did not listen."""
    segment = await recorded(tmp_path, format)
    before = bytes_read()
    frames, duration_us = measure_recording(tmp_path / segment.path)
    assert bytes_read() - before < segment.bytes / 4
    assert (frames, duration_us) == (segment.frames, pytest.approx(segment.duration_us, abs=1))


@pytest.mark.parametrize("format", ["fmp4", "flv"])
async def test_the_zeros_that_a_power_cut_leaves_behind_a_file_are_cut_off(tmp_path: Path, format: str) -> None:
    segment = await recorded(tmp_path, format)
    path = tmp_path / segment.path
    whole = path.read_bytes()
    for zeros in (15, 150, 10_000):
        path.write_bytes(whole + bytes(zeros))
        assert make_whole(path) == (len(whole), zeros)
        assert path.read_bytes() == whole


async def test_a_tag_of_flv_whose_end_a_power_cut_has_made_zeros_is_cut_off(tmp_path: Path) -> None:
    segment = await recorded(tmp_path, "flv")
    path = tmp_path / segment.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + bytes(20))
    bytes_whole, cut = make_whole(path)
    assert 20 < cut < 100_000
    assert bytes_whole + cut == len(whole)
    assert len(read([path])) == segment.frames - 1
