"""RTSP by multicast with real players, in a network of their own: nothing of it leaves this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from conftest import eventually, missing, run, running
from test_rtmp_play import frames
from test_rtsp_gstreamer import shows

NETWORK = "ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo && exec "
URL = "rtsp://127.0.0.1:8554/live/cam"


@pytest.fixture
async def inside(ffmpeg: str, clip: Callable[..., Path]) -> AsyncIterator[list[str]]:
    """What runs a program beside `arcly serve` with its usual ports and groups, and a stream on it."""
    if shutil.which("unshare") is None or shutil.which("ip") is None or os.geteuid() != 0:
        missing("unshare and ip, as root")
    serve = [
        sys.executable,
        "-m",
        "arcly",
        "serve",
        "--rtmp",
        "off",
        "--srt",
        "off",
        "--webrtc",
        "off",
        "--http",
        "off",
    ]
    async with running("unshare", "--net", "sh", "-c", NETWORK + '"$@"', "sh", *serve) as server:
        nsenter = ["nsenter", f"--net=/proc/{server.pid}/ns/net"]
        listening, network = Path(f"/proc/{server.pid}/net/tcp6"), Path(f"/proc/{server.pid}/ns/net")
        # Until `unshare` has run, that is our own network, where another test may listen.
        await eventually(
            lambda: network.readlink() != Path("/proc/self/ns/net").readlink(), what="a network of its own"
        )
        # 8554, in the state of a listener.
        await eventually(lambda: ":216A 00000000" in listening.read_text(), what="it listens")
        publish = [
            ffmpeg,
            "-v",
            "error",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            clip(b_frames=0),
            "-c",
            "copy",
            "-f",
            "rtsp",
        ]
        async with running(*nsenter, *publish, URL):
            probe = ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-show_streams", URL]

            async def is_there() -> bool:
                return (await run(*nsenter, *probe)).stdout.count(b"[STREAM]") == 2

            await eventually(is_there, what="it is published")
            yield nsenter


async def test_ffmpeg_plays_from_a_group(inside: list[str], ffmpeg: str) -> None:
    command = [ffmpeg, "-v", "error", "-rtsp_transport", "udp_multicast", "-i", URL, "-t", "4", "-c", "copy"]
    first, second = await asyncio.gather(*(run(*inside, *command, "-f", "framemd5", "-") for _ in range(2)))
    for read in (first, second):
        assert read.returncode == 0, read.stderr
        assert len(frames(read.stdout, 0)) >= 40
        assert len(frames(read.stdout, 1)) >= 70


async def test_gstreamer_plays_from_a_group(inside: list[str], ffmpeg: str, tmp_path: Path) -> None:
    if shutil.which("gst-launch-1.0") is None:
        missing("GStreamer (gstreamer1.0-tools)")
    source = f"rtspsrc location={URL} protocols=udp-mcast multicast-iface=lo latency=200"
    await shows([*inside, "gst-launch-1.0", "-q"], source, ffmpeg, tmp_path / "out.h264")
