import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
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


@pytest.mark.parametrize("ending", ["ts", "flv", "mp4"])
async def test_every_container_plays_and_loops(
    tmp_path: Path, clip: Callable[..., Path], ffmpeg: str, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    """All pictures of two repetitions, evenly spaced through the seam."""
    path = tmp_path / f"short.{ending}"
    source = clip(seconds=2, sample_rate_hz=48_000, b_frames=0)
    made = await run(ffmpeg, "-v", "error", "-i", source, "-c", "copy", path)
    assert made.returncode == 0
    async with arcly.Engine(arcly.FileSource(path, KEY)) as engine:
        times = []
        async with engine.get_stream(KEY).subscribe(tracks=[0]) as subscription:
            async for frame in subscription:
                assert not frame.is_discontinuity
                times.append(frame.dts)
                if len(times) == 75:
                    break
    steps = {later - earlier for earlier, later in pairwise(times)}
    # A repetition begins behind the longest track: its sound may be up to a frame longer than its pictures.
    assert steps <= set(range(3600 - 90, 3600 + 90 + 2880)), steps
    assert not [line for line in caplog.messages if "has changed" in line], "the tracks are the same in each loop"


@pytest.mark.parametrize("second_s", ["0", "36000"])
async def test_joined_files_play_one_behind_the_other(
    tmp_path: Path, clip: Callable[..., Path], ffmpeg: str, second_s: str
) -> None:
    """Found by reading: the second went out at the speed of the disk, and a jump of ten hours was slept through."""
    source = clip(seconds=2, sample_rate_hz=48_000, b_frames=0)
    path, parts = tmp_path / "joined.ts", []
    for name, offset_s in (("first", "0"), ("second", second_s)):
        part = tmp_path / f"{name}.ts"
        await run(ffmpeg, "-v", "error", "-i", source, "-c", "copy", "-output_ts_offset", offset_s, part)
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    async with arcly.Engine(arcly.FileSource(path, KEY, loop=False)) as engine:
        stream = engine.get_stream(KEY)
        async with asyncio.timeout(30):
            frames = [frame async for frame in stream.subscribe()]
    pictures = [frame for frame in frames if frame.kind == "video"]
    # Of the last picture of the first file nothing says that it is whole.
    assert len(pictures) in (99, 100)
    steps = [(later.dts - earlier.dts, later.is_discontinuity) for earlier, later in pairwise(pictures)]
    assert [is_break for _, is_break in steps].count(True) == 1
    assert all(step in (3599, 3600, 3601) for step, is_break in steps if not is_break), steps
    assert all(3600 - 90 <= step <= 2 * 3600 + 2880 for step, is_break in steps if is_break), steps
    sound = [frame.dts for frame in frames if frame.kind == "audio"]
    gaps = {later - earlier for earlier, later in pairwise(sound)}
    assert max(gaps) <= 4 * 1024, gaps
    assert abs((sound[-1] - sound[0]) / 48_000 - 4) < 0.1


async def test_as_fast_as_possible_takes_less_than_the_file_lasts(tmp_path: Path, clip: Callable[..., Path]) -> None:
    """All frames of a minute; nobody waits for the clock."""
    path = clip(seconds=60, size="160x90")
    app = arcly.AppSpec(ring_frames=8192)
    source = arcly.FileSource(path, KEY, loop=False, real_time=False)
    async with arcly.Engine(default_app=app) as engine:
        events = engine.events()
        await source.start(engine)
        ended = [event async for event in until_ended(events)]
        await source.stop()
    lasted_ms = ended[-1].at_unix_ms - ended[0].at_unix_ms
    assert lasted_ms < 30_000
    assert "end of the file" in (ended[-1].reason or "")


async def until_ended(events: AsyncIterator[arcly.StreamEvent]) -> AsyncIterator[arcly.StreamEvent]:
    """The events up to the end of the publish."""
    async for event in events:
        yield event
        if event.kind is arcly.StreamEventKind.PUBLISH_ENDED:
            await events.aclose()


async def test_a_file_larger_than_memory_would_be_read_piece_by_piece(
    tmp_path: Path, clip: Callable[..., Path], ffmpeg: str
) -> None:
    """A transport stream of a gigabyte, nearly all of it null packets, plays without a gigabyte of memory."""
    import resource

    path = tmp_path / "large.ts"
    await run(ffmpeg, "-v", "error", "-i", clip(seconds=1), "-c", "copy", path)
    nulls = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 1024
    with path.open("ab") as file:
        for _ in range(512):
            file.write(nulls)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = arcly.FileSource(path, KEY, loop=False, real_time=False)
    async with arcly.Engine(source) as engine:
        await eventually(lambda: engine.get_stream(KEY) is None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 60_000


async def test_what_is_no_media_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.flv"
    path.write_bytes(b"this is no media at all")
    with pytest.raises(arcly.UnsupportedError, match="neither MPEG-TS, FLV nor MP4"):
        async with arcly.Engine(arcly.FileSource(path, KEY)):
            pass
    with pytest.raises(FileNotFoundError, match=r"missing\.ts"):
        async with arcly.Engine(arcly.FileSource(tmp_path / "missing.ts", KEY)):
            pass


async def test_a_file_that_is_not_there_begins_no_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Found by `arcly relay`: its targets were dialled for a stream that had no frame."""
    caplog.set_level("INFO")
    with pytest.raises(FileNotFoundError, match=r"missing\.ts"):
        async with arcly.Engine(arcly.FileSource(tmp_path / "missing.ts", KEY)):
            pass
    assert not [line for line in caplog.messages if str(KEY) in line]
