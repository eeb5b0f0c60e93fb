"""A disk, or a storage, that does not answer costs the recording what it misses, and nobody else."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import eventually

import arcly
from arcly.recording import recorder as recorder_module
from arcly.recording.index import RecordingIndex
from arcly.storage import MemoryStorage
from recording.conftest import KEY, ROOMY, demo_frames, later, payloads, read, record_demo

HANGING = """
import asyncio, pathlib, sys, time
import arcly
from arcly.recording import recorder as recorder_module
from conftest import eventually
from recording.conftest import KEY, ROOMY, demo_frames, later

directory, flag, stall_s, container = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
recorder_module.STOP_S = 0.2

async def main():
    recorder = arcly.Recorder(directory, record=["*"], stall_s=stall_s, retry_s=0.2, format=container)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        events = engine.events()
        session = await engine.start_publish(KEY)
        viewer = engine.get_stream(KEY).subscribe()
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        frames = demo_frames()
        for frame in frames:
            session.send(frame)
        await eventually(lambda: recorder.status(KEY).frames > len(frames) // 2)
        flag.touch()
        for frame in later(frames, 12):
            session.send(frame)
        # The way of the media is as if nothing was.
        seen = 0
        async for frame in viewer:
            seen += 1
            if seen == 2 * len(frames):
                break
        print(seen, flush=True)
        if stall_s < 60:
            async for event in events:
                if event.kind is arcly.StreamEventKind.RECORDING_ENDED:
                    print(event.reason, flush=True)
                    break
            await eventually(lambda: recorder.status(KEY).refusals == 1)
            print(recorder.status(KEY).state, flush=True)
            # Nothing else is begun while that write hangs.
            await asyncio.sleep(1)
            assert recorder.status(KEY).refusals == 1
            flag.unlink()
            await eventually(lambda: recorder.status(KEY).state == "recording")
            for frame in later(frames, 24):
                session.send(frame)
            await eventually(lambda: recorder.status(KEY).frames >= len(frames))
            session.end()
        print("stopping", flush=True)
        began_s = time.monotonic()
    print(f"stopped after {time.monotonic() - began_s:.1f} s", flush=True)

# A disk that does not hang after all is a failure, not a wait without an end.
asyncio.run(asyncio.wait_for(main(), 100))
"""


def run_hanging(library: Path, directory: Path, stall_s: float, container: str = "fmp4") -> tuple[list[str], float]:
    """Return what the program said, and how long it took to end when it had stopped."""
    flag = directory / "hang"
    environment = os.environ | {"LD_PRELOAD": str(library), "HANG": str(flag)}
    command = [sys.executable, "-c", HANGING, str(directory / "recordings"), str(flag), str(stall_s), container]
    tests = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tests, env=environment) as program:
        assert program.stdout
        said = [line.strip() for line in program.stdout]
        stopped_s = time.monotonic()
        assert program.wait(60) == 0
        return said, time.monotonic() - stopped_s


def test_a_disk_that_hangs_pauses_the_recording_and_nothing_else(tmp_path: Path, shim: Path) -> None:
    said, _ = run_hanging(shim, tmp_path, 0.5)
    frames = demo_frames()
    assert said[:3] == [f"{2 * len(frames)}", "recording 1: the disk does not answer", "paused"]
    files = sorted((tmp_path / "recordings/live/cam").iterdir(), key=lambda path: (len(path.name), path.name))
    assert len(files) >= 2
    # All of what was written is what was published; the file that hung was gone on with by the write that hung.
    published = payloads(frames * 3)
    for path in files:
        found = payloads(read([path]))
        for kind in ("video", "audio"):
            assert found[kind]
            at = published[kind].index(found[kind][0])
            assert found[kind] == published[kind][at : at + len(found[kind])]


async def test_a_file_whose_write_hung_is_whole_when_the_disk_answers_and_the_next_lies_behind_it(
    tmp_path: Path, shim: Path
) -> None:
    await asyncio.to_thread(run_hanging, shim, tmp_path, 0.5)
    # No recorder has started since, that would have mended it.
    index = RecordingIndex(tmp_path / "recordings/.arcly/index.db")
    await index.open()
    segments = await index.segments()
    await index.close()
    assert len(segments) >= 2
    assert all(segment.is_whole for segment in segments)
    for before, behind in itertools.pairwise(segments):
        assert behind.position_us >= before.position_us + before.duration_us
    for segment in segments:
        assert segment.frames == len(read([tmp_path / "recordings" / segment.path]))


def test_nothing_waits_for_a_copy_of_the_file_whose_write_hung(tmp_path: Path, shim: Path) -> None:
    """Found by reading: nothing was recorded before all of it had been copied, on such a disk, to give it tables."""
    run_hanging(shim, tmp_path, 0.5, "mp4")
    files = sorted((tmp_path / "recordings/live/cam").iterdir(), key=lambda path: (len(path.name), path.name))
    hung, *others = [b"moof" in path.read_bytes() for path in files]
    assert hung
    assert others
    assert not any(others)


def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path: Path, shim: Path) -> None:
    said, leaving_s = run_hanging(shim, tmp_path, 3600)
    assert said[1] == "stopping"
    # 0.2 s for the recorder, 2 s for native threads.
    assert float(said[2].split()[2]) < 20
    assert leaving_s < 20


async def test_a_storage_that_hangs_holds_up_neither_recordings_nor_the_end(tmp_path: Path) -> None:
    class Hanging(MemoryStorage):
        asked = 0

        async def put_file(self, key: str, path: Path) -> None:
            self.asked += 1
            await asyncio.Event().wait()

    storage = Hanging()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0, storage=storage, move=True)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        await eventually(lambda: storage.asked == 1)
        segments = await recorder.index.segments(1)
        assert [bool(segment.path) for segment in segments] == [True] * 3
        assert payloads(read(tmp_path / segment.path for segment in segments)) == payloads(demo_frames())
    assert storage.asked == 1


class Undeletable(MemoryStorage):
    """Is asked to delete something, and does not answer."""

    asked = 0

    async def delete(self, key: str) -> bool:
        self.asked += 1
        await asyncio.Event().wait()
        return False


async def test_a_storage_that_hangs_when_files_are_deleted_holds_up_no_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "DELETE_S", 3600)
    storage = Undeletable()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=2, resume_s=0, storage=storage, keep_bytes=300_000)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        session = await engine.start_publish(KEY)
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        for frame in demo_frames():
            session.send(frame)

        async def is_stored() -> bool:
            return any(segment.stored for segment in await recorder.index.segments())

        await eventually(is_stored)
        for frame in later(demo_frames(), 10):
            session.send(frame)
        await eventually(lambda: storage.asked)
        for frame in later(demo_frames(), 20):
            session.send(frame)
        session.end()
        await eventually(lambda: recorder.status(KEY) is None)
        await record_demo(engine, recorder)
        again = await recorder.index.segments(2)
        assert len(again) == 6
        assert all(segment.is_whole for segment in again)


async def test_a_storage_that_deletes_nothing_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "DELETE_S", 0.05)
    storage = Undeletable()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=2, resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)

        async def all_are_stored() -> bool:
            return all(segment.stored for segment in await recorder.index.segments())

        await eventually(all_are_stored)
        recorder.settings = replace(recorder.settings, keep_bytes=0)
        with pytest.raises(TimeoutError):
            await recorder.sweep()
        assert list(tmp_path.rglob("*.mp4")) == []  # noqa: ASYNC240
        assert storage.asked == 1
        # What the storage still has is known, and deleted when it answers.
        assert len(await recorder.index.segments()) == 6


async def test_a_recording_that_does_not_end_is_left_behind_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder_module, "STOP_S", 0.05)

    async def never(self: object, stream: object) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr("arcly.recording.take.Take.run", never)
    recorder = arcly.Recorder(tmp_path, record=["*"])
    async with arcly.Engine(recorder) as engine:
        session = await engine.start_publish(KEY)
        await eventually(lambda: (status := recorder.status(KEY)) and status.id)
        assert session.active
    assert "live/cam is left as it is: the disk does not answer" in caplog.text
    caplog.clear()
    async with arcly.Engine(again := arcly.Recorder(tmp_path)):
        assert await again.list() == []


LEAVING = """
import sys, threading
from arcly.__main__ import main
from arcly.server import serve
from arcly.storage import FileStorage

serve.LEAVE_S = 0.2

def hang(*arguments):
    print("hangs", flush=True)
    threading.Event().wait()

FileStorage._put = hang
off = [option for name in ("rtmp", "rtsp", "srt", "webrtc") for option in (f"--{name}", "off")]
sys.exit(main(["serve", *off, "--http", "127.0.0.1:0", "--record", sys.argv[1], "--record-to", sys.argv[2]]))
"""


async def test_a_server_ends_though_a_thread_waits_for_its_storage(tmp_path: Path) -> None:
    here = tmp_path / "here"
    async with arcly.Engine(recorder := arcly.Recorder(here, record=["*"], resume_s=0), default_app=ROOMY) as engine:
        session = await engine.start_publish(KEY)
        await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
        for frame in demo_frames()[:200]:
            session.send(frame)
        session.end()
        await eventually(lambda: recorder.status(KEY) is None)
    command = [sys.executable, "-c", LEAVING, str(here), str(tmp_path / "there")]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        assert server.stdout
        assert server.stderr
        assert await asyncio.wait_for(server.stdout.readline(), 60) == b"hangs\n"
        # Only then does it listen to signals.
        while b"in a browser" not in await asyncio.wait_for(server.stderr.readline(), 60):
            assert server.returncode is None
        server.terminate()
        _, said = await asyncio.wait_for(server.communicate(), 60)
    finally:
        if server.returncode is None:
            server.kill()
    assert server.returncode == 1
    assert b"is left behind" in said
