"""The back channel of ONVIF: our client speaks to a camera, for which our own server stands in."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually, running
from test_rtsp_clients import RtspServer, published, rtsp_serving

import arcly

KEY, TALK = arcly.StreamKey("live", "cam"), arcly.StreamKey("live", "cam-talk")


@pytest.mark.parametrize("scheme", ["rtsp", "rtspu"])
async def test_what_is_said_here_is_heard_at_the_camera(ffmpeg: str, clip: Callable[..., Path], scheme: str) -> None:
    handler = arcly.RtspHandler("127.0.0.1:0", udp_port=0, back_channel=True)
    async with rtsp_serving(handler) as camera, published(camera, ffmpeg, clip(b_frames=0)):
        source = arcly.PullSource(camera.rtsp_url("live/cam").replace("rtsp", scheme, 1), KEY, back_channel=True)
        ours = arcly.RtspHandler("127.0.0.1:0", udp_port=0)
        async with arcly.Engine(source, ours) as engine:
            await eventually(lambda: engine.get_stream(KEY), what="it is seen")
            assert ours.address is not None
            voice = ["-re", "-f", "lavfi", "-i", "sine=sample_rate=8000", "-c:a", "pcm_mulaw", "-ac", "1", "-f", "rtsp"]
            url = f"rtsp://127.0.0.1:{ours.address[1]}/live/voice"
            async with running(ffmpeg, "-v", "error", *voice, url):
                spoken = await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "voice")))
                source.say(spoken)
                heard = await eventually(lambda: (it := camera.stream("live/cam-talk")) and it.tracks and it)
                assert [track.codec for track in heard.tracks] == ["G711U"]
                await eventually(lambda: heard.stats.other_frames > 20)
                source.say(None)
            # The picture goes on all the while.
            seen = engine.get_stream(KEY)
            assert seen is not None
            assert [track.codec for track in seen.tracks] == ["H264", "AAC"], "what is said is no track of it"
            before = seen.stats.video_frames
            await eventually(lambda: seen.stats.video_frames > before + 10)
        await eventually(lambda: camera.stream("live/cam-talk") is None, what="it ends with the session")


async def test_a_camera_without_a_back_channel_is_seen_all_the_same(ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with rtsp_serving() as camera, published(camera, ffmpeg, clip(b_frames=0)):
        source = arcly.PullSource(camera.rtsp_url("live/cam"), KEY, back_channel=True)
        async with arcly.Engine(source) as engine:
            await eventually(lambda: (it := engine.get_stream(KEY)) and it.stats.video_frames > 10)
            with pytest.raises(arcly.MisuseError):
                arcly.PullSource("rtsp://h/a", KEY).say(engine.get_stream(KEY))


async def test_a_client_that_asks_for_it_is_offered_one(ffmpeg: str, clip: Callable[..., Path]) -> None:
    """As ONVIF has it: `Require` in DESCRIBE, a third track of sound, marked as the client sees it."""
    handler = arcly.RtspHandler("127.0.0.1:0", udp_port=0, back_channel=True)
    async with rtsp_serving(handler) as server, published(server, ffmpeg, clip(b_frames=0)):
        require = "Require: www.onvif.org/ver20/backchannel\r\n"
        for extra, tracks in [(require, 3), ("", 2)]:
            text = await describe(server, extra)
            assert text.startswith("RTSP/1.0 200")
            assert text.count("m=") == tracks
            assert ("a=sendonly" in text) == (tracks == 3)
        assert (await describe(server, "Require: something\r\n")).startswith("RTSP/1.0 551")


@pytest.fixture(scope="module")
def python() -> str:
    """A Python whose bindings know GStreamer: the system's."""
    known = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst"
    found = Path("/usr/bin/python3")
    if not found.exists() or subprocess.run([found, "-c", known], capture_output=True, check=False).returncode != 0:
        pytest.skip("Python's bindings of GStreamer (on Debian: python3-gi gir1.2-gstreamer-1.0)")
    return str(found)


@pytest.mark.parametrize(("protocol", "law"), [("tcp", "mu"), ("udp", "mu"), ("tcp", "a")])
async def test_gstreamer_speaks_to_us_as_to_a_camera(
    ffmpeg: str, python: str, clip: Callable[..., Path], protocol: str, law: str
) -> None:
    handler = arcly.RtspHandler("127.0.0.1:0", udp_port=0, back_channel=True)
    async with rtsp_serving(handler) as camera, published(camera, ffmpeg, clip(b_frames=0)):
        talk = Path(__file__).parent / "gstreamer" / "talk.py"
        async with running(python, talk, camera.rtsp_url("live/cam"), protocol, law):
            heard = await eventually(lambda: (it := camera.stream("live/cam-talk")) and it.tracks and it, what="it")
            assert [track.codec for track in heard.tracks] == ["G711U" if law == "mu" else "G711A"]
            await eventually(lambda: heard.stats.other_frames > 10, what="a second of it")
            assert camera.rtsp.list_viewers()[0].protocol == ("rtsp-udp" if protocol == "udp" else "rtsp")
        await eventually(lambda: camera.stream("live/cam-talk") is None, what="it ends with the session")


async def describe(server: RtspServer, headers: str) -> str:
    """What a DESCRIBE is answered."""
    url = server.rtsp_url("live/cam")
    assert server.rtsp.address is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", server.rtsp.address[1])
    writer.write(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n{headers}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if "Content-Length: " in head:
        head += (await reader.readexactly(int(head.split("Content-Length: ")[1].split()[0]))).decode()
    writer.close()
    await writer.wait_closed()
    return head
