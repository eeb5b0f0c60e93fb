"""Frames to publish, and what came of them in files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import eventually, missing

import arcly
from arcly.media import MediaReader

CLIP = Path(__file__).parents[1] / "clips" / "b_frames.flv"
"""10 s of H.264 with B-frames and AAC, a key frame every 2 s. It can be repeated without a seam."""

KEY = arcly.StreamKey("live", "cam")

ROOMY = arcly.AppSpec(ring_frames=1 << 16, ring_bytes=1 << 30)
"""Keeps all that a test publishes: nothing is lost however fast it does."""


def demo_frames() -> list[arcly.MediaFrame]:
    """Those of the clip."""
    reader, frames = MediaReader(CLIP), []
    while read := reader.read():
        frames += read
    return frames


async def record_demo(engine: arcly.Engine, recorder: arcly.Recorder, key: arcly.StreamKey = KEY) -> None:
    """Publish the demo clip, and wait until it was recorded."""
    session = await engine.start_publish(key)
    await eventually(lambda: (status := recorder.status(key)) and status.state == "recording")
    for frame in demo_frames():
        session.send(frame)
    session.end()
    await eventually(lambda: recorder.status(key) is None)


def later(frames: Iterable[arcly.MediaFrame], seconds: float) -> list[arcly.MediaFrame]:
    """The same, so much later."""
    return [
        arcly.MediaFrame(
            frame,
            frame.tracks,
            track=frame.track,
            pts=frame.pts + round(seconds * frame.clock_rate_hz),
            dts=frame.dts + round(seconds * frame.clock_rate_hz),
            duration=frame.duration,
            key=frame.is_key,
            discontinuity=frame.is_discontinuity,
        )
        for frame in frames
    ]


def payloads(frames: Iterable[arcly.MediaFrame]) -> dict[str, list[bytes]]:
    """What is in the frames, by kind."""
    found: dict[str, list[bytes]] = {"video": [], "audio": []}
    for frame in frames:
        found[frame.kind].append(bytes(frame))
    return found


def read(paths: Iterable[Path]) -> list[arcly.MediaFrame]:
    """All frames of these files, one after the other; none of them broken."""
    frames: list[arcly.MediaFrame] = []
    for path in paths:
        reader = MediaReader(path)
        while some := reader.read():
            frames += some
        assert reader.broken == 0, (path, reader.problem)
    return frames


@dataclass(frozen=True)
class Probed:
    """What ffprobe says of a file."""

    duration_s: float
    """0 where it cannot tell."""
    packets: int


@pytest.fixture(scope="session")
def ffprobe():
    """Reads a file to its end with ffprobe, which must have nothing to complain of."""
    import shutil

    program = shutil.which("ffprobe")
    if program is None:
        missing("ffprobe")

    def probe(path: Path) -> Probed:
        fields = ["-count_packets", "-show_entries", "format=duration:stream=nb_read_packets", "-of", "json"]
        done = subprocess.run([program, "-v", "error", *fields, str(path)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), (path, done.stderr)
        said = json.loads(done.stdout)
        packets = sum(int(stream["nb_read_packets"]) for stream in said["streams"])
        return Probed(float(said["format"].get("duration", 0)), packets)

    return probe


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes disks hang and clocks jump when it is loaded in front of the C library: see `shim.c`."""
    import shutil

    compiler = shutil.which("cc")
    if compiler is None:
        missing("cc")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library
