"""RFC 6381 strings, FFmpeg's DASH muxer as the judge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import run

from arcly.media import MediaReader, inspect

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-t", "0.2", "-c:v"]
SOUND = ["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "0.2", "-ac", "2", "-c:a"]

CODECS = {
    "H.264 baseline": [*PICTURES, "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p"],
    "H.264 high": [*PICTURES, "libx264", "-pix_fmt", "yuv420p"],
    "H.264 of 10 bit": [*PICTURES, "libx264", "-pix_fmt", "yuv420p10le"],
    "AV1": [*PICTURES, "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p"],
    "AV1 of 10 bit": [*PICTURES, "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p10le"],
    "VP9": [*PICTURES, "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuv420p"],
    "VP9 of 10 bit": [*PICTURES, "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuv420p10le"],
    "AAC": [*SOUND, "aac"],
    "Opus": [*SOUND, "libopus"],
    "AC-3": [*SOUND, "ac3"],
    "E-AC-3": [*SOUND, "eac3"],
    "FLAC": [*SOUND, "flac"],
}
"""Of H.265 FFmpeg 5 prints no more than `hvc1`: its strings are checked against mp4box.js in the tests of the codec."""


@pytest.mark.parametrize("codec", CODECS)
async def test_a_codec_string_is_that_of_ffmpeg(ffmpeg: str, tmp_path: Path, codec: str) -> None:
    clip, manifest = tmp_path / "clip.mp4", tmp_path / "clip.mpd"
    made = await run(ffmpeg, "-v", "error", *CODECS[codec], "-strict", "-2", clip)
    assert made.returncode == 0, made.stderr
    copied = ["-c", "copy", "-strict", "-2", "-f", "dash", "-dash_segment_type", "mp4"]
    made = await run(ffmpeg, "-v", "error", "-i", clip, *copied, manifest)
    assert made.returncode == 0, made.stderr
    theirs = re.findall('codecs="([^"]+)"', manifest.read_text())
    (track,) = MediaReader(clip).read(1)[0].tracks
    assert [inspect(track.codec, track.config).rfc6381] == theirs
