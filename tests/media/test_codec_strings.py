"""RFC 6381 strings, FFmpeg's DASH muxer as the judge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import run

import arcly
from arcly.media import MediaReader, Muxer, config_from_frame, inspect

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
    "MP3": [*SOUND, "libmp3lame"],
}
"""Of H.265 FFmpeg 5 prints no more than `hvc1`: its strings are checked against mp4box.js in the tests of the codec."""


@pytest.mark.parametrize("codec", CODECS)
async def test_a_codec_string_is_that_of_ffmpeg(ffmpeg: str, tmp_path: Path, codec: str) -> None:
    clip, manifest = tmp_path / "clip.mp4", tmp_path / "clip.mpd"
    made = await run(ffmpeg, "-v", "error", *CODECS[codec], "-strict", "-2", clip)
    assert made.returncode == 0, made.stderr
    (track,) = MediaReader(clip).read(1)[0].tracks
    await copy_to_dash(ffmpeg, clip, manifest)
    assert [inspect(track.codec, track.config).rfc6381] == printed(manifest)


async def test_the_codec_string_of_mp2_is_that_of_ffmpeg(ffmpeg: str, tmp_path: Path) -> None:
    """Of a bare stream: in MP4 FFmpeg takes it for MP3."""
    clip = tmp_path / "clip.mp2"
    made = await run(ffmpeg, "-v", "error", *SOUND, "mp2", clip)
    assert made.returncode == 0, made.stderr
    record = config_from_frame("MP2", clip.read_bytes()[:576])
    await copy_to_dash(ffmpeg, clip, tmp_path / "clip.mpd")
    assert [inspect("MP2", record).rfc6381] == printed(tmp_path / "clip.mpd")


@pytest.mark.parametrize("record", ["2b920800", "eb8a0800"], ids=["HE-AAC", "HE-AAC v2"])
async def test_a_codec_string_of_he_aac_is_that_of_ffmpeg(ffmpeg: str, tmp_path: Path, record: str) -> None:
    """FFmpeg has no encoder for it: AAC LC is told to be its core, by the AudioSpecificConfig of another."""
    core, clip = tmp_path / "core.mp4", tmp_path / "clip.mp4"
    made = await run(ffmpeg, "-v", "error", *CODECS["AAC"], "-ar", "22050", core)
    assert made.returncode == 0, made.stderr
    track = arcly.Track(1, "AAC", bytes.fromhex(record))
    muxer = Muxer("mp4")
    written = muxer.set_tracks([track])
    for frame in MediaReader(core).read(100):
        written += muxer.write(arcly.MediaFrame(bytes(frame), [track], track=1, pts=frame.pts, dts=frame.dts))
    clip.write_bytes(written + muxer.finish())
    await copy_to_dash(ffmpeg, clip, tmp_path / "clip.mpd")
    assert [inspect("AAC", track.config).rfc6381] == printed(tmp_path / "clip.mpd")


async def copy_to_dash(ffmpeg: str, clip: Path, manifest: Path) -> None:
    copied = ["-c", "copy", "-strict", "-2", "-f", "dash", "-dash_segment_type", "mp4"]
    made = await run(ffmpeg, "-v", "error", "-i", clip, *copied, manifest)
    assert made.returncode == 0, made.stderr


def printed(manifest: Path) -> list[str]:
    """What FFmpeg says of the codecs."""
    return re.findall('codecs="([^"]+)"', manifest.read_text())
