"""What is in the files is what was published, over a clock that is set and publishers that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import eventually

import arcly
from recording.conftest import CLIP, KEY, ROOMY, demo_frames, payloads, read

CLOCK = """
import asyncio, json, pathlib, sys, time
import arcly
from conftest import eventually
from recording.conftest import CLIP, KEY, ROOMY, demo_frames, later

directory, clock, jump_s = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])

async def main():
    before_s = time.time()
    recorder = arcly.Recorder(directory, record=["*"], segment_s=3, resume_s=60, keep_s=86_400)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        frames = demo_frames()
        for round in range(2):
            session = await engine.start_publish(KEY)
            await eventually(lambda: (status := recorder.status(KEY)) and status.state == "recording")
            for frame in frames:
                session.send(frame)
            await eventually(lambda: recorder.status(KEY).frames > 2 * round * len(frames) + len(frames) // 2)
            # In the middle of a file; at the second time it is set right again.
            clock.write_text(str(jump_s if round == 0 else 0))
            for frame in later(frames, 12):
                session.send(frame)
            session.end()
            await eventually(lambda: recorder.status(KEY).frames == 2 * (round + 1) * len(frames))
            await eventually(lambda: recorder.status(KEY).state == "waiting")
            assert abs(time.time() - before_s - (jump_s if round == 0 else 0)) < 3600, "the clock was set"
            await recorder.sweep()
        await recorder.finish(KEY)
        print(json.dumps([[s.path, s.position_us, s.duration_us, s.gap_us] for s in await recorder.index.segments(1)]))

asyncio.run(main())
"""


@pytest.mark.parametrize("jump_s", [-86_400, 400 * 86_400])
def test_a_clock_that_is_set_changes_nothing_in_a_recording(tmp_path: Path, shim: Path, jump_s: int) -> None:
    clock, recordings = tmp_path / "clock", tmp_path / "recordings"
    environment = os.environ | {"LD_PRELOAD": str(shim), "CLOCK": str(clock)}
    command = [sys.executable, "-c", CLOCK, str(recordings), str(clock), str(jump_s)]
    tests = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tests, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    segments = json.loads(done.stdout)
    assert payloads(read(recordings / path for path, *_ in segments)) == payloads(demo_frames() * 4)
    ends_us = [position_us + duration_us for _, position_us, duration_us, _ in segments]
    for (_, position_us, _, gap_us), end_us in zip(segments[1:], ends_us, strict=False):
        # Sound of one file may reach a little beyond the key frame with which the next one begins.
        assert end_us - 100_000 <= position_us < end_us + 60_000_000
        assert gap_us < 60_000_000, "the gap is that of the publisher, not that of the clock"


async def test_what_a_killed_publisher_had_sent_is_recorded_and_goes_on_when_it_returns(
    tmp_path: Path, ffmpeg: str
) -> None:
    frames = demo_frames()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=60)
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp, recorder, default_app=ROOMY) as engine:
        assert rtmp.address
        url = f"rtmp://127.0.0.1:{rtmp.address[1]}/{KEY}"
        source = ["-re", "-i", str(CLIP), "-c", "copy", "-f", "flv", url]
        for recorded in (150, 300):
            publisher = await asyncio.create_subprocess_exec(ffmpeg, "-v", "quiet", *source)
            try:
                await eventually(
                    lambda wanted=recorded: (status := recorder.status(KEY)) and status.frames >= wanted, deadline_s=60
                )
            finally:
                publisher.kill()
                await publisher.wait()
            await eventually(lambda: engine.get_stream(KEY) is None, deadline_s=60)
            await eventually(lambda: (status := recorder.status(KEY)) and status.state == "waiting")
        await recorder.finish(KEY)
        segments = await recorder.index.segments(1)
    rounds: list[list[Path]] = []
    for segment in segments:
        rounds += [] if segment.follows else [[]]
        rounds[-1].append(tmp_path / segment.path)
    assert len(rounds) == 2
    for files in rounds:
        found, published = payloads(read(files)), payloads(frames)
        for kind in ("video", "audio"):
            assert len(found[kind]) > 20
            assert found[kind] == published[kind][: len(found[kind])], "all up to the kill, in order"
    with closing(sqlite3.connect(tmp_path / ".arcly" / "index.db")) as index:
        assert index.execute("SELECT count(*) FROM recording").fetchone() == (1,)
