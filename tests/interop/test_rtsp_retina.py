"""RTSP with `retina`, a client in Rust that is not ours, and strict about what it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run
from test_rtsp_clients import RtspServer, published, rtsp_server

__all__ = ["rtsp_server"]

RETINA = Path(__file__).parents[2] / "target" / "rtsp-retina" / "debug" / "retina-play"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_retina_plays(rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path], transport: str) -> None:
    if not RETINA.exists():
        pytest.skip("retina was not built: make rtsp-retina")
    async with published(rtsp_server, ffmpeg, clip(b_frames=0)):
        played = await run(RETINA, rtsp_server.rtsp_url("live/cam"), transport, "60")
    assert played.returncode == 0, played.stderr
    lines = [line.split() for line in played.stdout.decode().splitlines()]
    assert [line[1] for line in lines if line[0] == "track"] == ["h264", "mpeg4-generic"]
    pictures = [(float(line[1]), line[2]) for line in lines if line[0] == "video"]
    sound = [float(line[1]) for line in lines if line[0] == "audio"]
    assert len(pictures) == 60
    assert pictures[0][1] == "true", "it begins where a decoder may"
    assert {round(b - a, 2) for (a, _), (b, _) in itertools.pairwise(pictures)} == {0.04}
    assert {round((b - a) * 44_100 / 1024, 1) for a, b in itertools.pairwise(sound)} == {1.0}
    assert abs(pictures[0][0] - sound[0]) < 0.1, "both from one moment on"
