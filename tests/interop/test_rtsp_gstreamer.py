"""RTSP with GStreamer: rtspclientsink publishes, rtspsrc plays, over TCP and UDP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from conftest import eventually, missing, run, running
from test_rtmp_play import frames
from test_rtsp_clients import RtspServer, play, published, rtsp_server

__all__ = ["rtsp_server"]


@pytest.fixture(scope="module")
def gst() -> str:
    """The path of gst-launch, with the elements that are needed."""
    found = shutil.which("gst-launch-1.0")
    if found is None:
        missing("GStreamer (gstreamer1.0-tools, -plugins-good, -plugins-bad, -plugins-ugly, -libav, -rtsp)")
    assert found is not None
    return found


async def shows(gst: list[str], source: str, ffmpeg: str, out: Path) -> None:
    """That a pipeline, begun by the command `gst`, shows forty pictures of `source`, and plays the sound beside them.

    Every track of `source` is linked: one that leads nowhere stops rtspsrc ("not-linked") when its packets come first.
    And without a filter: of tracks that are told apart by one, and come at one moment, gst-launch links none.
    """
    video = f"h264parse ! video/x-h264,stream-format=byte-stream ! filesink buffer-mode=unbuffered location={out}"
    words = f"{source} name=s s. ! rtph264depay ! {video} s. ! rtpmp4gdepay ! fakesink sync=false"

    async def is_shown() -> bool:
        assert process.returncode is None, "GStreamer has given up"
        command = [ffmpeg, "-v", "quiet", "-f", "h264", "-i", out, "-c", "copy", "-f", "framemd5", "-"]
        return len(frames((await run(*command)).stdout, 0)) >= 40

    async with running(*gst, *words.split()) as process:
        await eventually(is_shown, what="forty pictures")


@pytest.mark.parametrize(("protocol", "query"), [("tcp", ""), ("udp", ""), ("tcp", "?token=a")])
async def test_rtspsrc_plays(
    rtsp_server: RtspServer, gst: str, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, protocol: str, query: str
) -> None:
    out = tmp_path / "out.mkv"
    async with AsyncExitStack() as playing:
        publishing = await playing.enter_async_context(AsyncExitStack())
        await publishing.enter_async_context(published(rtsp_server, ffmpeg, clip(b_frames=0)))
        source = [
            "rtspsrc",
            f"location={rtsp_server.rtsp_url('live/cam')}{query}",
            f"protocols={protocol}",
            "name=s",
            "latency=200",
        ]
        video = "s. ! rtph264depay ! h264parse ! queue ! m."
        audio = "s. ! rtpmp4gdepay ! aacparse ! queue ! m."
        sink = ["matroskamux", "name=m", "!", "filesink", f"location={out}"]
        process = await playing.enter_async_context(running(gst, "-q", *source, *video.split(), *audio.split(), *sink))
        await eventually(lambda: (viewers := rtsp_server.rtsp.list_viewers()) and viewers[0].frames > 300)
        await publishing.aclose()
        await eventually(lambda: process.returncode is not None, what="the goodbye of both tracks ends it")
    read = await run(
        ffmpeg, "-v", "error", "-i", out, "-map", "0:v", "-map", "0:a", "-copyinkf", "-c", "copy", "-f", "framemd5", "-"
    )
    rows = [line.split(",") for line in read.stdout.decode().splitlines() if not line.startswith("#")]
    pictures = sorted(int(row[2]) for row in rows if row[0] == "0")
    sound = sorted(int(row[2]) for row in rows if row[0] == "1")
    assert len(pictures) >= 40
    assert len(sound) >= 70
    assert abs(pictures[0] - sound[0]) < 60, "milliseconds"
    assert abs(pictures[-1] - sound[-1]) < 500


@pytest.fixture(scope="module")
def sink(gst: str) -> str:
    """The element that publishes."""
    if subprocess.run(["gst-inspect-1.0", "rtspclientsink"], capture_output=True, check=False).returncode != 0:
        missing("rtspclientsink (gstreamer1.0-rtsp)")
    return "rtspclientsink"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_rtspclientsink_publishes(
    rtsp_server: RtspServer, gst: str, sink: str, ffmpeg: str, protocol: str
) -> None:
    target = [sink, f"location={rtsp_server.rtsp_url('live/cam')}", f"protocols={protocol}", "name=s"]
    pictures, sound = "video/x-raw,width=320,height=240,framerate=25/1", "audio/x-raw,rate=48000,channels=2"
    video = f"videotestsrc is-live=true ! {pictures} ! x264enc tune=zerolatency key-int-max=25 ! s."
    audio = f"audiotestsrc is-live=true ! {sound} ! opusenc ! s."
    async with running(gst, "-q", *target, *video.split(), *audio.split()):
        stream = await eventually(lambda: (found := rtsp_server.stream("live/cam")) and found.tracks and found)
        assert sorted(track.codec for track in stream.tracks) == ["H264", "Opus"]
        await eventually(lambda: stream.stats.video_frames > 50)
        url = rtsp_server.rtsp_url("live/cam")
        read = await run(*play(ffmpeg, url, seconds=2))
        assert read.returncode == 0, read.stderr
    await eventually(lambda: rtsp_server.stream("live/cam") is None)
