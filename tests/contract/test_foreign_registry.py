"""A registry in plain Python under every shipped protocol and packager: RTMP in, HLS out, a file in."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from conftest import eventually, run, running

import arcly
from arcly.server.serve import DEMO_CLIP
from arcly.testing import MemoryRegistry

KEY = arcly.StreamKey("live", "cam")


async def test_rtmp_publishes_into_it_and_hls_is_made_of_it(ffmpeg: str, clip: Callable[..., Path]) -> None:
    registry = MemoryRegistry()
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")
    async with arcly.Engine(rtmp, http, registry=registry) as engine:
        url = f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam"
        publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "flv", url]
        async with running(*publish) as publisher:
            stream = await eventually(lambda: registry.get_stream(KEY))
            await eventually(lambda: len(stream.tracks) == 2)
            assert (stream.protocol, engine.list_streams()) == ("rtmp", [])
            playlist = f"http://127.0.0.1:{http.address[1]}/live/cam/index.m3u8"
            read = await run(ffmpeg, "-v", "error", "-i", playlist, "-t", "3", "-f", "null", "-")
            assert (read.returncode, read.stderr) == (0, "")
            second = await run(*publish[:1], *publish[1:])
            assert second.returncode != 0, "the key is taken"
            assert registry.get_stream(KEY) is stream
            publisher.kill()
            await eventually(lambda: registry.get_stream(KEY) is None)
        assert stream.closed


async def test_a_stream_that_its_registry_ends_disconnects_its_publisher(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    registry = MemoryRegistry()
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp, registry=registry):
        url = f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam"
        async with running(ffmpeg, "-v", "error", "-re", "-i", clip(), "-c", "copy", "-f", "flv", url) as publisher:
            stream = await eventually(lambda: registry.get_stream(KEY))
            await eventually(lambda: stream.tracks)
            registry.remove(stream, "kicked")
            assert await asyncio.wait_for(publisher.wait(), 10) != 0


async def test_a_file_plays_into_it() -> None:
    registry = MemoryRegistry()
    async with arcly.Engine(arcly.FileSource(DEMO_CLIP, KEY), registry=registry):
        frames = []
        async for frame in registry.get_stream(KEY).subscribe():
            frames.append(frame)
            if len(frames) == 50:
                break
        assert frames[0].is_key
        assert {track.codec for track in frames[0].tracks} == {"H264", "AAC"}
    await eventually(lambda: registry.get_stream(KEY) is None)
