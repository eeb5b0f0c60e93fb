"""The example of a protocol in plain Python, with a real ffmpeg."""

import asyncio
import importlib.util
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import eventually, run

import arcly
from arcly.media import Demuxer
from arcly.server.serve import DEMO_CLIP
from arcly.testing import MemoryRegistry

EXAMPLE = Path(__file__).parents[2] / "examples" / "flv_over_tcp.py"
KEY = arcly.StreamKey("live", "tcp")


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flv_over_tcp", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def port(handler: Any) -> int:
    return int(handler.server.sockets[0].getsockname()[1])


async def connect(handler: Any) -> asyncio.StreamWriter:
    return (await asyncio.open_connection("127.0.0.1", port(handler)))[1]


def test_it_is_short() -> None:
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(code) < 60


@pytest.mark.parametrize("foreign", [False, True])
async def test_ffmpeg_publishes_every_frame_by_it(
    example: ModuleType, ffmpeg: str, clip: Callable[..., Path], foreign: bool
) -> None:
    handler, registry = example.FlvOverTcp("127.0.0.1", 0), MemoryRegistry() if foreign else None
    async with arcly.Engine(handler, registry=registry) as engine:
        events = (registry or engine).events()
        push = asyncio.create_task(
            run(
                ffmpeg,
                "-v",
                "error",
                "-i",
                clip(seconds=4),
                "-c",
                "copy",
                "-f",
                "flv",
                f"tcp://127.0.0.1:{port(handler)}",
            )
        )
        started = await anext(events)
        assert (started.kind, started.key) == (arcly.StreamEventKind.PUBLISH_STARTED, KEY)
        stream = (registry or engine).get_stream(KEY)
        assert stream
        assert stream.protocol == "flv-tcp"
        frames = [frame async for frame in stream.subscribe()]
        finished = await push
        assert (finished.returncode, finished.stderr) == (0, "")
        # 4 s at 25 pictures a second, from a key frame on; and its sound.
        pictures = [frame for frame in frames if frame.track == 0]
        assert pictures[0].is_key
        assert len(pictures) == 100
        assert sum(frame.track == 1 for frame in frames) in range(170, 178)
        assert all(a.dts < b.dts for a, b in pairwise(pictures))
        await events.aclose()


async def test_what_is_no_flv_ends_its_connection(example: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    handler = example.FlvOverTcp("127.0.0.1", 0)
    async with arcly.Engine(handler) as engine:
        writer = await connect(handler)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await eventually(lambda: "FLV signature" in caplog.text)
        await eventually(lambda: engine.get_stream(KEY) is None)
        writer.close()


async def test_a_second_publisher_is_turned_away(example: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    handler = example.FlvOverTcp("127.0.0.1", 0)
    async with arcly.Engine(handler) as engine:
        first = await connect(handler)
        stream = await eventually(lambda: engine.get_stream(KEY))
        second = await connect(handler)
        await eventually(lambda: "may not publish" in caplog.text)
        assert engine.get_stream(KEY).session == stream.session
        first.close()
        second.close()
        await eventually(lambda: engine.get_stream(KEY) is None)


class Recorder:
    """A sink that remembers what it was handed."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, bool, bytes]] = []
        self.tracks: list[list[arcly.Track]] = []

    def set_tracks(self, tracks: list[arcly.Track]) -> None:
        self.tracks.append(tracks)

    def send(self, frame: arcly.MediaFrame) -> None:
        self.frames.append((frame.track, frame.pts, frame.is_key, bytes(frame)))


@pytest.mark.parametrize("step", [1, 7, 4096, 65_536])
def test_the_demuxer_gives_the_same_however_the_bytes_are_cut(step: int) -> None:
    data = DEMO_CLIP.read_bytes()[:200_000]
    whole, cut, demuxer = Recorder(), Recorder(), Demuxer("flv")
    for frame in Demuxer("flv").feed(data):
        whole.send(frame)
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        demuxer.get_buffer()[: len(piece)] = piece
        demuxer.buffer_updated(len(piece))
        demuxer.send_to(cut)  # type: ignore[arg-type]
    assert len(whole.frames) > 10
    assert cut.frames == whole.frames
    assert [track.codec for track in cut.tracks[-1]] == ["H264", "AAC"]


def test_misuse_of_a_demuxer_is_told() -> None:
    with pytest.raises(arcly.MisuseError, match="unknown"):
        Demuxer("mkv")
    demuxer = Demuxer("flv")
    with pytest.raises(arcly.MisuseError, match="do not fit"):
        demuxer.buffer_updated(65_537)
    with pytest.raises(arcly.MalformedError):
        demuxer.feed(b"RIFF and so on")
