"""HLS with GStreamer's hlsdemux2: pictures and sound come out decoded."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator

import pytest
from conftest import Server, eventually, missing, serving

import arcly
from arcly.server.serve import DEMO_CLIP

KEY = arcly.StreamKey("live", "cam")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server with a stream of the demo."""
    async with serving() as server:
        source = arcly.FileSource(DEMO_CLIP, KEY)
        await source.start(server.engine)
        # Its demuxer begins three target durations behind the end, and waits for them.
        await eventually(lambda: server.http.window_s(KEY) >= 7, deadline_s=60)
        yield server
        await source.stop()


async def test_gstreamer_plays(server: Server) -> None:
    for name in "index.m3u8", "ts.m3u8":
        await play(server.url(f"/live/cam/{name}"))


async def play(url: str) -> None:
    """Decode forty pictures and as many frames of sound."""
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        missing("GStreamer (gstreamer1.0-tools, -plugins-good, -plugins-bad, -libav)")
    assert launch is not None
    # Each sink ends its branch after so many buffers, and the program ends when both have.
    video = "videoconvert ! fakesink num-buffers=40 sync=false"
    audio = "audioconvert ! fakesink num-buffers=40 sync=false"
    pipeline = f"uridecodebin3 uri={url} name=s s. ! queue ! {video} s. ! queue ! {audio}"
    process = await asyncio.create_subprocess_exec(
        launch,
        "-q",
        *pipeline.split(),
        env=os.environ | {"GST_PLUGIN_FEATURE_RANK": "hlsdemux:NONE"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(100):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    assert b"ERROR" not in said, said.decode()
