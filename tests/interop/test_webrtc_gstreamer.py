"""WHIP by GStreamer's whipsink: H.264, VP8, H.265, Opus and G.711 by a real client; WHEP by its whepsrc.

Debian has no such plugin: `make whip-gstreamer` builds it, or GST_PLUGIN_PATH says where it is. GStreamer before 1.28
gives itself RSA certificates, which arcly's DTLS does not take (docs/concepts/webrtc.md): see `gstreamer/ecdsa.c`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import eventually, missing, run, running
from webrtc_server import WebRtcServer, serving

PLUGINS = Path(__file__).parents[2] / "target/gstreamer"

PICTURES = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=25/1"

ENCODERS = {
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! video/x-h264,profile=constrained-baseline"
    " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
    "H265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h265parse"
    " ! rtph265pay config-interval=-1 aggregate-mode=zero-latency",
    "VP8": "vp8enc deadline=1 keyframe-max-dist=25 ! rtpvp8pay picture-id-mode=2",
    "Opus": "opusenc ! rtpopuspay",
    "G711A": "alawenc ! rtppcmapay",
    "G711U": "mulawenc ! rtppcmupay",
}

CAPS = {
    "H264": "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1",
    "H265": "application/x-rtp,media=video,encoding-name=H265,payload=97,clock-rate=90000",
    "VP8": "application/x-rtp,media=video,encoding-name=VP8,payload=98,clock-rate=90000",
    "Opus": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
    "G711A": "application/x-rtp,media=audio,encoding-name=PCMA,payload=8,clock-rate=8000",
    "G711U": "application/x-rtp,media=audio,encoding-name=PCMU,payload=0,clock-rate=8000",
}

PAIRS = [("H264", "Opus"), ("VP8", "G711A"), ("H265", "G711U")]


@dataclass
class GStreamer:
    """gst-launch-1.0, and what it is run under."""

    path: str
    env: dict[str, str]


@pytest.fixture(scope="session")
def gstreamer(tmp_path_factory: pytest.TempPathFactory) -> GStreamer:
    """GStreamer with whipsink and whepsrc, and a certificate of ECDSA."""
    path, inspect, compiler = (shutil.which(name) for name in ("gst-launch-1.0", "gst-inspect-1.0", "cc"))
    if path is None or inspect is None or compiler is None:
        missing("gst-launch-1.0, gst-inspect-1.0 or cc")
    assert path and inspect and compiler  # noqa: PT018
    directory = tmp_path_factory.mktemp("gstreamer")
    paths = filter(None, [str(PLUGINS), os.environ.get("GST_PLUGIN_PATH")])
    env = os.environ | {"GST_PLUGIN_PATH": ":".join(paths), "GST_REGISTRY": str(directory / "registry.bin")}
    if subprocess.run([inspect, "whipsink"], env=env, capture_output=True, check=False).returncode != 0:
        missing("GStreamer's whipsink (make whip-gstreamer)")
    library = directory / "ecdsa.so"
    source = Path(__file__).parent / "gstreamer/ecdsa.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return GStreamer(path, env | {"LD_PRELOAD": str(library)})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebRtcServer]:
    """A server on free ports."""
    async with serving(tmp_path) as server:
        yield server


def publisher(launch: str, url: str, picture: str, sound: str) -> list[str]:
    """The command that publishes."""
    rate = 8000 if sound.startswith("G711") else 48_000
    words = f"{PICTURES} ! {ENCODERS[picture]} ! {CAPS[picture]} ! whipsink name=out whip-endpoint={url}"
    words += f" audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate={rate},channels={1 if rate == 8000 else 2}"
    words += f" ! {ENCODERS[sound]} ! {CAPS[sound]} ! out."
    return [launch, "-q", *words.split()]


@pytest.mark.parametrize(("picture", "sound"), PAIRS)
async def test_gstreamer_publishes(server: WebRtcServer, gstreamer: GStreamer, picture: str, sound: str) -> None:
    whip = publisher(gstreamer.path, server.url("/live/cam/whip"), picture, sound)
    async with running(*whip, env=gstreamer.env):
        stream = await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2 and it, what="it")
        assert [track.codec for track in stream.tracks] == [picture, sound]
        assert (stream.tracks[0].width, stream.tracks[0].height) == (320, 180)
        assert stream.tracks[1].sample_rate_hz == (8000 if sound.startswith("G711") else 48_000)
        await eventually(lambda: stream.stats.video_frames >= 50, what="two seconds of pictures")


async def watched(server: WebRtcServer, gstreamer: GStreamer, words: str, enough: dict[Path, int]) -> bool:
    """Plays until the files have so many bytes.

    False when GStreamer gives up before: gst-launch links the tracks as they come, and now and then packets come first.
    """
    async with running(gstreamer.path, "-q", *words.split(), env=gstreamer.env) as player:

        def has_enough() -> bool:
            return all(file.exists() and file.stat().st_size > least for file, least in enough.items())

        await eventually(lambda: has_enough() or player.returncode is not None, what="pictures and sound")
        if player.returncode is None:
            assert len(server.webrtc.list_viewers()) == 1
        return player.returncode is None


async def test_gstreamer_watches(server: WebRtcServer, gstreamer: GStreamer, ffmpeg: str, tmp_path: Path) -> None:
    pictures, sound = tmp_path / "pictures.h264", tmp_path / "sound.raw"
    source = "-v error -re -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=sample_rate=48000"
    coded = "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -bf 0 -g 25 -c:a libopus -ac 2 -f flv"
    async with running(ffmpeg, *source.split(), *coded.split(), server.rtmp_url("live/cam")):
        await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2, what="two tracks")
        kept = "filesink buffer-mode=unbuffered location"
        words = f"whepsrc name=in whep-endpoint={server.url('/live/cam/whep')}"
        # No filters: of tracks that are told apart by them, and come at one moment, gst-launch links none.
        words += " in. ! rtph264depay ! h264parse"
        words += f" ! video/x-h264,stream-format=byte-stream ! {kept}={pictures}"
        words += f" in. ! rtpopusdepay ! opusdec ! {kept}={sound}"
        # A second of 16 bits, of one channel or two.
        enough = {pictures: 200_000, sound: 48_000 * 4}
        for _ in range(3):
            if await watched(server, gstreamer, words, enough):
                break
        else:
            pytest.fail("GStreamer gave up three times")
    decoded = await run(ffmpeg, "-v", "error", "-i", str(pictures), "-f", "null", "-progress", "-", "-")
    told = decoded.stdout.decode().splitlines()
    frames = [int(line.removeprefix("frame=")) for line in told if line.startswith("frame=")]
    assert frames[-1] >= 25, decoded.stderr
