"""What is deleted, what names files have, and what a disk does to a recording."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import eventually, missing
from hypothesis import given
from hypothesis import strategies as st

import arcly
from arcly._native import recording_path
from arcly.recording.directory import remove_file
from arcly.recording.index import RecordedSegment, RecordingIndex
from arcly.recording.retention import DISTRUST_S, WallClock, expired
from recording.conftest import KEY, ROOMY, demo_frames, later, payloads, read, record_demo


def segment(
    number: int, *, began_s: float = 0, lasts_s: float = 10, size: int = 100, is_whole: bool = True
) -> RecordedSegment:
    return RecordedSegment(
        id=number,
        recording=1,
        number=number,
        path=f"{number}.mp4",
        is_whole=is_whole,
        began_unix_ms=round(began_s * 1000),
        position_us=0,
        duration_us=round(lasts_s * 1e6),
        base_ticks=0,
        base_hz=90_000,
        follows=True,
        gap_us=0,
        bytes=size,
        frames=1,
        stored=None,
    )


def ids(segments: list[RecordedSegment]) -> list[int]:
    return [segment.id for segment in segments]


def test_files_are_too_old_by_their_end_and_what_is_written_stays() -> None:
    segments = [segment(1, began_s=0), segment(2, began_s=10), segment(3, began_s=20, is_whole=False)]
    assert ids(expired(segments, 110, 100, None)) == []
    assert ids(expired(segments, 110.1, 100, None)) == [1]
    assert ids(expired(segments, 1e6, 100, None)) == [1, 2]
    assert ids(expired(segments, None, 100, None)) == []


def test_the_oldest_go_until_the_rest_fits() -> None:
    segments = [segment(3, began_s=20), segment(1, began_s=0), segment(2, began_s=10), segment(4, is_whole=False)]
    assert ids(expired(segments, None, None, 400)) == []
    assert ids(expired(segments, None, None, 399)) == [1]
    assert ids(expired(segments, None, None, 250)) == [1, 2]
    assert ids(expired(segments, None, None, 0)) == [1, 2, 3]


def test_a_clock_that_is_set_back_makes_no_new_file_the_oldest() -> None:
    before, after = segment(1, began_s=2e9), segment(2, began_s=10)
    assert ids(expired([before, after], None, None, 100)) == [1]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 500), st.booleans())), st.integers(0, 3000))
def test_what_is_kept_is_newer_than_what_goes_and_fits(files: list[tuple[int, int, bool]], limit: int) -> None:
    segments = [segment(i, began_s=b, size=size, is_whole=w) for i, (b, size, w) in enumerate(files)]
    gone = expired(segments, None, None, limit)
    kept = [one for one in segments if one not in gone]
    whole = [one for one in kept if one.is_whole]
    assert all(one.is_whole for one in gone)
    assert sum(one.bytes for one in kept) <= limit or not whole
    if gone:
        newest = max(gone, key=lambda one: one.id)
        assert all(one.id > newest.id for one in whole)
        assert sum(one.bytes for one in [*kept, newest]) > limit


def test_a_clock_that_is_set_makes_nothing_old() -> None:
    now = [1000.0, 50.0]
    clock = WallClock(lambda: now[0], lambda: now[1])
    assert clock.now_s() == 1000
    now[:] = [1010, 60]
    assert clock.now_s() == 1010
    now[:] = [31_536_000, 70]
    assert clock.now_s() is None
    now[:] = [31_536_000 + DISTRUST_S - 20, 50 + DISTRUST_S]
    assert clock.now_s() is None
    now[:] = [31_536_000 + DISTRUST_S + 1, 71 + DISTRUST_S]
    assert clock.now_s() == now[0]


async def test_old_files_are_deleted_from_disk_and_index(tmp_path: Path) -> None:
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0, keep_bytes=700_000)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        await recorder.sweep()
        (recording,) = await recorder.list()
        segments = await recorder.index.segments()
        assert 1 <= len(segments) < 3
        assert recording.bytes <= 700_000
        there = {path.name for path in (tmp_path / "live/cam").iterdir()}
        assert there == {Path(one.path).name for one in segments}
        # The last of them: nothing is left, not even the directories.
        assert await recorder.delete(recording.id)
        assert await recorder.list() == []
        assert [path.name for path in tmp_path.iterdir()] == [".arcly"]  # noqa: ASYNC240


async def test_a_file_that_is_being_written_counts(tmp_path: Path) -> None:
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        session = await engine.start_publish(KEY)
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        for frame in demo_frames():
            session.send(frame)

        async def two_are_whole() -> bool:
            return [one.is_whole for one in await recorder.index.segments()] == [True, True, False]

        await eventually(two_are_whole)
        *whole, growing = await recorder.index.segments()
        await eventually(lambda: (tmp_path / growing.path).stat().st_size > 10_000)
        recorder.settings = replace(recorder.settings, keep_bytes=sum(one.bytes for one in whole) + 5_000)
        assert await recorder.sweep() == 1
        session.end()


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_a_file_that_cannot_be_deleted_keeps_no_other_and_ends_no_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    kept: list[str] = []

    def remove_all_but_the_first(root: Path, path: str) -> None:
        kept.extend([] if kept else [path])
        if path in kept:
            raise error("nobody may delete it")
        remove_file(root, path)

    monkeypatch.setattr("arcly.recording.recorder.remove_file", remove_all_but_the_first)
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=2, resume_s=0, keep_bytes=700_000)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        session = await engine.start_publish(KEY)
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        frames = demo_frames()
        for repeat in (0, 10, 20):
            for frame in later(frames, repeat):
                session.send(frame)

        async def is_swept() -> bool:
            left = [one.number for one in await recorder.index.segments() if one.is_whole]
            return left[:1] == [0] and left[-1] >= 13 and len(left) <= 3

        await eventually(is_swept)
        assert recorder.status(KEY) is not None, "it goes on"
        assert "old files cannot be deleted: nobody may delete it" in caplog.text
        session.end()


async def test_an_index_is_closed_twice(tmp_path: Path) -> None:
    index = RecordingIndex(tmp_path / "index.db")
    await index.open()
    await index.close()
    await index.close()
    with pytest.raises(OSError, match="closed"):
        await index.recordings()


async def test_a_recorder_that_cannot_start_lets_go_of_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr("arcly.recording.recorder.mend", fail)
    recorder = arcly.Recorder(tmp_path)
    with pytest.raises(OSError, match="away"):
        async with arcly.Engine(recorder):
            pass
    with pytest.raises(OSError, match="closed"):
        await recorder.list()


TEMPLATES = ["{app}/{stream}/{date}_{time}", "{stream}", "{app}", "x{app}y/{stream}{stream}-{number}", ".{stream}"]

NAMES = st.text(min_size=1, max_size=300)


@given(
    st.lists(NAMES, min_size=1, max_size=8),
    NAMES,
    st.sampled_from(TEMPLATES),
    st.integers(0, 2**48),
)
def test_whatever_a_stream_is_called_its_files_stay_below_the_root(
    app: list[str], stream: str, template: str, unix_ms: int
) -> None:
    try:
        key = arcly.StreamKey("/".join(app), stream)
    except arcly.MalformedError:
        return
    path = recording_path(template, key, unix_ms, 0)
    root = Path("/root/of/all")
    assert not path.startswith("/")
    for name in path.split("/"):
        assert name not in ("", ".", "..")
        assert not name.startswith(".")
        assert len(name.encode()) <= 200
        assert not set(name) & set("\\:\0\n")
    assert Path(os.path.normpath(root / path)).is_relative_to(root)
    assert os.path.normpath(root / path) == str(root / path)


@given(st.text(alphabet="abc./{}\\\0:apptrm*", max_size=30))
def test_a_template_is_refused_or_stays_below_the_root(template: str) -> None:
    try:
        path = recording_path(template, arcly.StreamKey("live", "cam"), 0, 0)
    except arcly.MisuseError:
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    """Two recorders one after the other in the same second, or a clock that is set back."""

    async def once() -> None:
        recorder = arcly.Recorder(tmp_path, record=["*"], template="{stream}", resume_s=0)
        async with arcly.Engine(recorder, default_app=ROOMY) as engine:
            session = await engine.start_publish(KEY)
            await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
            for frame in demo_frames()[:100]:
                session.send(frame)
            session.end()
            await eventually(lambda: recorder.status(KEY) is None)

    for _ in range(3):
        asyncio.run(once())
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"cam.mp4", "cam-1.mp4", "cam-2.mp4"}
    assert len({path.stat().st_size for path in tmp_path.glob("*.mp4")}) == 1


async def test_two_recorders_cannot_have_one_directory(tmp_path: Path) -> None:
    async with arcly.Engine(arcly.Recorder(tmp_path)):
        with pytest.raises(arcly.MisuseError, match="another recorder"):
            async with arcly.Engine(arcly.Recorder(tmp_path)):
                pass


FULL = """
import asyncio, os, sys
import arcly
from conftest import eventually
from recording.conftest import KEY, ROOMY, demo_frames, later

async def main():
    format, limit = sys.argv[2], int(sys.argv[3])
    if limit:
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    recorder = arcly.Recorder(sys.argv[1], record=["*"], format=format, segment_s=3600, retry_s=0.2)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        events = engine.events()
        session = await engine.start_publish(KEY)
        viewer = engine.get_stream(KEY).subscribe()
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        sent = [frame for passes in range(4) for frame in later(demo_frames(), 12 * passes)]
        for frame in sent:
            session.send(frame)
        async for event in events:
            if event.kind is arcly.StreamEventKind.RECORDING_ENDED:
                print(event.reason, flush=True)
                break
        # The way of the media is as if nothing was.
        seen = 0
        async for frame in viewer:
            seen += 1
            if seen == len(sent):
                break
        print(seen, len(sent), flush=True)
        status = recorder.status(KEY)
        print(status.state if status else None, flush=True)
        # There is room again, and more of it: the next try begins at a key frame.
        if len(sys.argv) > 4:
            os.unlink(sys.argv[4])
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        for frame in later(demo_frames(), 48):
            session.send(frame)
        await eventually(lambda: (status := recorder.status(KEY)) and status.segments > 1)
        session.end()
        await eventually(lambda: (status := recorder.status(KEY)) is None or status.state == "waiting")

asyncio.run(main())
"""


def run_until_full(directory: Path, format: str, limit: int, *, prefix: tuple[str, ...] = ()) -> list[str]:
    command = [*prefix, sys.executable, "-c", FULL, str(directory), format, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=80)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("format", ["fmp4", "ts", "flv"])
def test_a_disk_that_refuses_ends_the_file_and_nothing_else(tmp_path: Path, format: str) -> None:
    said = run_until_full(tmp_path, format, 3_000_000)
    assert "the disk is full" in said[0]
    assert said[1:] == ["1472 1472", "paused"] or said[1:] == ["2944 2944", "paused"]
    files = sorted(tmp_path.glob("live/cam/*"), key=lambda path: (len(path.name), path.name))
    assert len(files) >= 2
    assert 2_000_000 < files[0].stat().st_size <= 3_000_000
    found, published = payloads(read([files[0]])), payloads(demo_frames() * 4)
    for kind in ("video", "audio"):
        assert len(found[kind]) > 100
        assert found[kind] == published[kind][: len(found[kind])]


def test_a_full_disk_ends_the_file_and_nothing_else(tmp_path: Path) -> None:
    """A real file system with no room left, in a mount namespace of its own."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        missing("unshare, as root")
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=4m arcly "$1" && head -c 1500000 /dev/zero > "$1/filler" && '
        '"$3" -c "$4" "$1/recordings" fmp4 0 "$1/filler" && cp -r "$1" "$2"'
    )
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(disk), str(copy), sys.executable, FULL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=80)
    if "permission denied" in done.stderr or "Operation not permitted" in done.stderr:
        missing("mount")
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "the disk is full" in said[0]
    files = sorted(copy.glob("recordings/live/cam/*"), key=lambda path: (len(path.name), path.name))
    assert len(files) > 1
    before, behind, published = payloads(read(files[:1])), payloads(read(files[1:])), payloads(demo_frames() * 5)
    for kind in ("video", "audio"):
        assert len(before[kind]) > 100
        assert before[kind] == published[kind][: len(before[kind])]
        # From the key frame on at which the next try began, all that was published, to the end.
        assert len(behind[kind]) > len(published[kind]) // 5
        assert behind[kind] == published[kind][-len(behind[kind]) :]
