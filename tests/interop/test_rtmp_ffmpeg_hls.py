"""ffmpeg publishes over RTMP, ffmpeg reads HLS: every frame comes out as it went in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Server, eventually, run, running

TICK_MS = 90
"""Ticks of the 90 kHz clock in a millisecond: RTMP's resolution."""


@dataclass(frozen=True)
class Packet:
    """One line of ffmpeg's framemd5, with -copyts: what a demuxer gave."""

    dts: int
    pts: int
    size: int
    md5: str


# AUD, SPS and PPS are written anew by every container; all other NAL units must be the same bits.
VIDEO = ["-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb,filter_units=remove_types=7-9"]
# The audio of a transport stream is framed by ADTS; the access units must be the same bits.
AUDIO = ["-map", "0:a", "-c", "copy", "-bsf:a", "aac_adtstoasc"]


async def packets(ffmpeg: str, source: str | Path, track: list[str], clock_hz: int) -> list[Packet]:
    """The packets of one track, times in ticks of `clock_hz`."""
    time_base = ["-enc_time_base", f"1/{clock_hz}", "-copyts", "-avoid_negative_ts", "disabled"]
    result = await run(ffmpeg, "-v", "error", "-i", str(source), *track, *time_base, "-f", "framemd5", "-")
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "the reader complained"
    lines = result.stdout.decode().splitlines()
    base = next(line for line in lines if line.startswith("#tb 0:")).split()[-1]
    numerator, denominator = map(int, base.split("/"))
    found = []
    for line in lines:
        if not line.startswith("#"):
            _, dts, pts, _, size, md5 = (field.strip() for field in line.split(",")[:6])
            ticks = [round(int(t) * numerator * clock_hz / denominator) for t in (dts, pts)]
            found.append(Packet(ticks[0], ticks[1], int(size), md5))
    assert found
    return found


async def publish_and_read(server: Server, ffmpeg: str, clip: Path, tmp_path: Path) -> tuple[Path, str]:
    """Publish `clip`, wait for its end; returns the FLV that was sent, and the URL of the playlist."""
    sent = tmp_path / "sent.flv"
    made = await run(ffmpeg, "-v", "error", "-i", clip, "-c", "copy", "-f", "flv", sent)
    assert made.returncode == 0, made.stderr
    published = await run(
        ffmpeg, "-v", "error", "-re", "-i", sent, "-c", "copy", "-f", "flv", server.rtmp_url("live/cam")
    )
    assert published.returncode == 0, published.stderr
    await eventually(lambda: server.stream("live/cam") is None, what="the stream ends with its publisher")
    return sent, server.url("/live/cam/index.m3u8")


def segment_of(sent: list[Packet], read: list[Packet]) -> list[Packet]:
    """The part of `sent` that `read` should equal: nothing between the first and the last may be missing."""
    start = next(i for i, packet in enumerate(sent) if packet.md5 == read[0].md5)
    return sent[start:]


CASES = {
    "b-frames": {},
    "29.97-fps-48-kHz": {"fps": "30000/1001", "sample_rate_hz": 48_000, "gop": 30},
    "video-only": {"audio": False},
    "audio-only": {"video": False},
}


@pytest.mark.parametrize("case", CASES)
async def test_every_frame_comes_out_bit_exact_with_its_times(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, case: str
) -> None:
    options = CASES[case]
    source = clip(**options)
    sent, url = await publish_and_read(server, ffmpeg, source, tmp_path)
    offsets = []
    if options.get("video", True):
        wire = await packets(ffmpeg, sent, VIDEO, 1000)
        read = await packets(ffmpeg, url, VIDEO, 90_000)
        expected = segment_of(wire, read)
        assert [(p.size, p.md5) for p in read] == [(p.size, p.md5) for p in expected]
        offset = read[0].dts - expected[0].dts * TICK_MS
        # RTMP has milliseconds, and each of them is kept exactly.
        assert [(p.dts - offset, p.pts - offset) for p in read] == [
            (p.dts * TICK_MS, p.pts * TICK_MS) for p in expected
        ]
        assert any(p.pts != p.dts for p in read), "the clip has B-frames"
        offsets.append(offset)
    if options.get("audio", True):
        rate_hz = int(options.get("sample_rate_hz", 44_100))
        wire = await packets(ffmpeg, sent, AUDIO, 1000)
        read = await packets(ffmpeg, url, AUDIO, 90_000)
        expected = segment_of(wire, read)
        assert [(p.size, p.md5) for p in read] == [(p.size, p.md5) for p in expected]
        # The wire's rounded milliseconds are put back onto the grid of samples: within a millisecond of the wire …
        offset = offsets[0] if offsets else read[0].pts - expected[0].pts * TICK_MS
        for got, want in zip(read, expected, strict=True):
            assert abs(got.pts - offset - want.pts * TICK_MS) <= TICK_MS, (got, want)
        # … and exactly 1024 samples apart, to the rounding of the 90 kHz clock.
        for i, got in enumerate(read):
            assert abs(got.pts - read[0].pts - i * 1024 * 90_000 / rate_hz) <= 1
    if options.get("video", True) and options.get("audio", True):
        assert len(offsets) == 1


async def test_the_command_of_the_readme_reads_a_stream_while_it_is_live(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: server.stream("live/cam"))
        url = server.url("/live/cam/index.m3u8")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "4", "-c", "copy", "-f", "framemd5", "-")
        assert (read.returncode, read.stderr) == (0, "")
        frames = [line for line in read.stdout.decode().splitlines() if not line.startswith("#")]
        assert len([line for line in frames if line.startswith("0,")]) >= 90
        await eventually(lambda: server.http.viewers(server.stream("live/cam").key) == 1, what="one viewer is counted")


async def test_pictures_decode_to_the_same_pixels(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    sent, url = await publish_and_read(server, ffmpeg, clip(), tmp_path)

    async def pixels(source: str | Path) -> list[str]:
        decode = ["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
        result = await run(ffmpeg, "-v", "error", "-i", str(source), *decode)
        assert (result.returncode, result.stderr) == (0, "")
        return [line.split(",")[-1].strip() for line in result.stdout.decode().splitlines() if line[:1] != "#"]

    before, after = await asyncio.gather(pixels(sent), pixels(url))
    assert after == before
