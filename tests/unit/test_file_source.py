from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually, run

import arcly
from arcly.server.serve import DEMO_CLIP

KEY = arcly.StreamKey("live", "demo")


async def test_the_demo_clip_plays_in_real_time() -> None:
    async with arcly.Engine(arcly.FileSource(DEMO_CLIP, KEY)) as engine:
        stream = engine.get_stream(KEY)
        assert stream.protocol == "file"
        async with stream.subscribe() as subscription:
            frame = await anext(subscription)
            assert (frame.is_key, frame.codec) == (True, "H264")
        assert [str(track) for track in stream.tracks] == ["H264 1280x720", "AAC 48000 Hz"]


async def test_a_loop_continues_the_timestamps(
    tmp_path: Path, clip: Callable[..., Path], ffmpeg: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "short.flv"
    await run(ffmpeg, "-v", "error", "-i", clip(seconds=1, sample_rate_hz=48_000), "-c", "copy", path)
    async with arcly.Engine(arcly.FileSource(path, KEY)) as engine:
        last: dict[int, int] = {}
        steps: dict[int, set[int]] = {0: set(), 1: set()}
        keys = 0
        async with engine.get_stream(KEY).subscribe() as subscription:
            async for frame in subscription:
                assert not frame.is_discontinuity
                if frame.track in last:
                    steps[frame.track].add(frame.dts - last[frame.track])
                last[frame.track] = frame.dts
                keys += frame.is_key
                if keys == 4:
                    break
    assert not [line for line in caplog.messages if "has changed" in line], "the tracks are the same in each loop"
    assert all(step > 0 for found in steps.values() for step in found)
    assert max(steps[0]) <= 90_000 * 3 / 25, "no gap of pictures at the seam"


async def test_a_file_that_is_played_once_ends_its_stream(
    tmp_path: Path, clip: Callable[..., Path], ffmpeg: str
) -> None:
    path = tmp_path / "short.flv"
    await run(ffmpeg, "-v", "error", "-i", clip(seconds=1), "-c", "copy", path)
    async with arcly.Engine(arcly.FileSource(path, KEY, loop=False)) as engine:
        stream = engine.get_stream(KEY)
        frames = [frame async for frame in stream.subscribe()]
        assert sum(frame.kind == "video" for frame in frames) == 25
        await eventually(lambda: engine.get_stream(KEY) is None)


async def test_what_is_no_flv_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "x.flv"
    path.write_bytes(b"this is not FLV at all")
    with pytest.raises(arcly.MalformedError, match="FLV"):
        async with arcly.Engine(arcly.FileSource(path, KEY)):
            pass
