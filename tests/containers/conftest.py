"""Clips of every pair of codecs, made once by a real encoder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run

VIDEO = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"],
    "h264-bframes": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "15"],
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=15:bframes=2"],
    "av1": ["-c:v", "libsvtav1", "-preset", "12", "-g", "15", "-svtav1-params", "lookahead=0"],
    "h266": ["-c:v", "libvvenc", "-preset", "faster", "-g", "15"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "15"],
    "vp8": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "15"],
}
AUDIO = {
    "aac": ["-c:a", "aac", "-ar", "44100"],
    "opus": ["-c:a", "libopus"],
    "mp3": ["-c:a", "libmp3lame"],
    "ac3": ["-c:a", "ac3"],
    "eac3": ["-c:a", "eac3"],
    "mp2": ["-c:a", "mp2"],
}

Clip = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A function that makes (once) two seconds of 29.97 pictures a second with sound, as an MP4 file of true clocks.

    VP8 in milliseconds: FFmpeg writes it into Matroska alone.
    """
    folder = tmp_path_factory.mktemp("clips")

    def make(video: str, audio: str) -> Path:
        path = folder / f"{video}+{audio}.{'mkv' if video == 'vp8' else 'mp4'}"
        if not path.exists():
            picture = ["-f", "lavfi", "-i", "testsrc2=size=192x108:rate=30000/1001"]
            sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
            command = [ffmpeg, "-v", "error", *picture, *sound, "-t", "2", *VIDEO[video], *AUDIO[audio], "-ac", "2"]
            clock = [] if video == "vp8" else ["-video_track_timescale", "90000"]
            made = asyncio.run(run(*command, "-pix_fmt", "yuv420p", *clock, str(path)))
            assert made.returncode == 0, made.stderr
        return path

    return make
