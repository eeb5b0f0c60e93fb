"""What an RTSP reader sees and hears belongs together, with B-frames too (a peer is 200 to 300 ms off)."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import eventually, run, running
from test_rtsp_clients import RtspServer, rtsp_server
from test_webrtc_clients import edges

__all__ = ["rtsp_server"]

FLASH = "color=black:size=320x180:rate=25,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.12)'"
BEEP = "aevalsrc='if(lt(mod(t,1),0.12),sin(2*PI*880*t),0)':s=48000"
"""A flash and a beep on each second."""


@pytest.mark.parametrize(("publish_by", "play_by"), [("rtmp", "tcp"), ("rtsp", "udp"), ("rtsp", "tcp")])
async def test_a_flash_and_its_beep_come_together(
    rtsp_server: RtspServer, ffmpeg: str, tmp_path: Path, publish_by: str, play_by: str
) -> None:
    clip = tmp_path / "clip.mp4"
    source = ["-f", "lavfi", "-i", FLASH, "-f", "lavfi", "-i", BEEP, "-t", "20"]
    video = ["-c:v", "libx264", "-g", "25", "-bf", "3", "-x264-params", "b-adapt=0:scenecut=0", "-pix_fmt", "yuv420p"]
    made = await run(ffmpeg, "-v", "error", *source, *video, "-c:a", "aac", clip)
    assert made.returncode == 0, made.stderr
    url = rtsp_server.rtmp_url("live/cam") if publish_by == "rtmp" else rtsp_server.rtsp_url("live/cam")
    publish = [ffmpeg, "-v", "error", "-re", "-i", clip, "-c", "copy", "-f", "flv" if publish_by == "rtmp" else "rtsp"]
    async with running(*publish, url):
        await eventually(lambda: (stream := rtsp_server.stream("live/cam")) and stream.tracks)
        flashes, beeps = await edges(ffmpeg, rtsp_server.rtsp_url(f"live/cam?{play_by}"))
    apart = [min(flash - beep for beep in beeps if abs(flash - beep) < 0.5) for flash in flashes[1:4]]
    assert all(abs(seconds) <= 0.045 for seconds in apart), (flashes, beeps)
