"""RTMP clients besides the newest ffmpeg: rtmpdump, GStreamer, an old ffmpeg, PyAV; and Enhanced RTMP."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Server, eventually, missing, run, running
from test_http_live import live
from test_rtmp_relay import assert_run_of, digest, packets


def program(name: str, package: str) -> str:
    """The path of a program of Debian."""
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")
    if found is None:
        missing(f"{name} (on Debian: apt-get install {package})")
    assert found is not None
    return found


async def assert_same_packets(ffmpeg: str, read: Path, source: Path, at_least: tuple[int, int] = (50, 50)) -> None:
    """Assert that video and audio of `read` are those of `source`, without a hole."""
    found, whole = await digest(ffmpeg, read), await digest(ffmpeg, source)
    for kind, count in enumerate(at_least):
        assert_run_of(packets(found, kind), packets(whole, kind), count)


async def test_rtmpdump_plays(server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    rtmpdump = program("rtmpdump", "rtmpdump")
    dumped = tmp_path / "dump.flv"
    async with live(server, ffmpeg, clip()):
        url = server.rtmp_url("live/cam")
        async with running(rtmpdump, "-q", "--live", "-r", url, "-o", dumped) as dumping:
            await eventually(lambda: dumped.exists() and dumped.stat().st_size > 800_000, what="it plays")
            dumping.terminate()
            await dumping.wait()
    await assert_same_packets(ffmpeg, dumped, clip())


async def test_the_ffmpeg_of_debian_publishes_and_plays(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    old = program("ffmpeg", "ffmpeg")
    read = tmp_path / "read.flv"
    async with live(server, old, clip()):
        url = server.rtmp_url("live/cam")
        played = await run(old, "-v", "error", "-i", url, "-t", "4", "-c", "copy", read)
        assert played.returncode == 0, played.stderr
    await assert_same_packets(ffmpeg, read, clip(), (90, 150))


GST_SOURCE = (
    "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1"
    " ! x264enc tune=zerolatency key-int-max=25 ! h264parse ! queue ! flvmux streamable=true name=mux"
    " audiotestsrc is-live=true ! voaacenc ! aacparse ! queue ! mux."
)


def gst(pipeline: str) -> list[str]:
    """A pipeline of GStreamer, with all that it needs."""
    launch = program("gst-launch-1.0", "gstreamer1.0-tools")
    inspect = program("gst-inspect-1.0", "gstreamer1.0-tools")
    for element in ("rtmp2sink", "rtmp2src", "flvmux", "x264enc", "voaacenc"):
        if subprocess.run([inspect, "--exists", element], check=False).returncode != 0:
            missing(f"GStreamer's {element} (on Debian: apt-get install gstreamer1.0-plugins-{{base,good,bad,ugly}})")
    return [launch, "-q", *pipeline.split()]


async def test_gstreamer_publishes(server: Server, ffmpeg: str, tmp_path: Path) -> None:
    async with running(*gst(f"{GST_SOURCE} mux. ! rtmp2sink location={server.rtmp_url('live/cam')}")):
        await eventually(lambda: (stream := server.stream("live/cam")) and len(stream.tracks) == 2, what="two tracks")
        output = (await digest(ffmpeg, server.rtmp_url("live/cam"), "-t", "3")).decode()
        assert len(packets(output.encode(), 0)) >= 20
        assert len(packets(output.encode(), 1)) >= 100
        # A live source's clock is uneven on a busy machine: what ffmpeg's own sink says of times is not asked.
        strict = ["-v", "error", "-xerror", "-err_detect", "explode"]
        played = await run(ffmpeg, *strict, "-i", server.rtmp_url("live/cam"), "-t", "2", "-f", "null", "-")
        assert played.returncode == 0, f"every picture can be decoded: {played.stderr}"


async def test_gstreamer_plays(server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    played = tmp_path / "played.flv"
    async with live(server, ffmpeg, clip()):
        command = gst(
            f"rtmp2src location={server.rtmp_url('live/cam')} ! filesink location={played} buffer-mode=unbuffered"
        )
        async with running(*command):
            await eventually(lambda: played.exists() and played.stat().st_size > 800_000, what="it plays")
    await assert_same_packets(ffmpeg, played, clip())


ENHANCED = {
    "hevc-aac": ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=25:bframes=2", "-c:a", "aac"],
    "av1-opus": ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "25", "-c:a", "libopus"],
    "h264-flac": ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "flac"],
    "vp9-ac3": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "ac3"],
}
"""Codecs that only Enhanced RTMP carries, as ffmpeg's options."""


@pytest.fixture(params=ENHANCED)
def enhanced(request: pytest.FixtureRequest, ffmpeg: str, tmp_path: Path) -> Path:
    """A clip of such codecs."""
    path = tmp_path / "enhanced.mkv"
    made = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi"]
    made += ["-i", "sine=sample_rate=48000", *ENHANCED[request.param], "-t", "6", str(path)]
    subprocess.run(made, check=True, timeout=60)
    return path


async def test_enhanced_rtmp_is_published_and_played_bit_by_bit(
    server: Server, ffmpeg: str, enhanced: Path, tmp_path: Path
) -> None:
    read = tmp_path / "read.flv"
    publish = [ffmpeg, "-v", "error", "-re", "-i", enhanced, "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := server.stream("live/cam")) and len(stream.tracks) == 2, what="tracks")
        url = server.rtmp_url("live/cam")
        played = await run(ffmpeg, "-v", "error", "-i", url, "-t", "4", "-c", "copy", read)
        assert (played.returncode, played.stderr) == (0, "")
    sent = tmp_path / "sent.flv"
    assert (await run(ffmpeg, "-v", "error", "-i", enhanced, "-c", "copy", sent)).returncode == 0
    await assert_same_packets(ffmpeg, read, sent, (60, 20))


PYAV_PUBLISHES = """
import av, sys, time
with av.open(sys.argv[1]) as source, av.open(sys.argv[2], "w", format="flv") as target:
    track = target.add_stream_from_template(source.streams.video[0])
    for packet in source.demux(video=0):
        if packet.dts is not None:
            packet.stream = track
            target.mux(packet)
    time.sleep(60)
"""

PYAV_PLAYS = """
import av, hashlib, itertools, sys
with av.open(sys.argv[1], timeout=20) as source:
    for packet in itertools.islice(source.demux(video=0), 15):
        print(hashlib.md5(packet).hexdigest())
"""


async def test_pyav_publishes_and_plays_hevc(server: Server, ffmpeg: str, tmp_path: Path) -> None:
    """In processes of their own: PyAV connects with the GIL in its hands, and so we could not answer."""
    url, path = server.rtmp_url("live/cam"), tmp_path / "clip.flv"
    made = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", *ENHANCED["hevc-aac"]]
    assert (await run(*made, "-t", "4", path)).returncode == 0
    async with running(sys.executable, "-c", PYAV_PUBLISHES, path, url):
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.stats.video_frames >= 90, what="all")
        played = await run(sys.executable, "-c", PYAV_PLAYS, url)
        assert played.returncode == 0, played.stderr
    got, sent = played.stdout.decode().split(), [md5 for _, md5 in packets(await digest(ffmpeg, path), 0)]
    assert len(got) == 15
    assert any(sent[n : n + 15] == got for n in range(len(sent))), "the same packets, in a run"
