"""RTSP by UDP with real programs over bad networks: what is lost costs pictures, what is late nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually, run
from lossy import Network, rtsp_lossy
from test_rtsp_clients import RtspServer, play, player, published, rtsp_server, times

import arcly

__all__ = ["player", "rtsp_server"]

LOSING = {
    "1 %": Network(loss=0.01),
    "5 %": Network(loss=0.05),
    "10 %": Network(loss=0.1),
    "bursts": Network(loss=0.08, burst=4),
}
UNORDERED = Network(reorder=0.05, duplicate=0.05, delay_s=0.05, jitter_s=0.005, late_s=0.005)


def port(server: RtspServer) -> int:
    """Where it listens."""
    assert server.rtsp.address is not None
    return server.rtsp.address[1]


@pytest.mark.parametrize("network", LOSING)
async def test_a_player_goes_on_over_what_is_lost(
    rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path], network: str
) -> None:
    async with (
        published(rtsp_server, ffmpeg, clip(b_frames=0)),
        rtsp_lossy(port(rtsp_server), Network(), LOSING[network]) as link,
    ):
        read = await run(*play(ffmpeg, f"rtsp://127.0.0.1:{link.port}/live/cam", transport="udp"))
        assert read.returncode == 0, read.stderr
        assert link.back.lost > 0
        # A picture is several packets; FFmpeg shows what it has of one.
        assert len(times(read.stdout, 0, 90_000)) >= 20
        assert len(times(read.stdout, 1, 44_100)) >= 80


async def test_ffmpeg_goes_on_by_tcp_where_no_datagrams_come(
    rtsp_server: RtspServer, player: str, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    """With its usual transports: when its time is up it pauses, and sets up another session. That was refused."""
    async with (
        published(rtsp_server, ffmpeg, clip(b_frames=0)),
        rtsp_lossy(port(rtsp_server), Network(loss=1), Network(loss=1)) as link,
    ):
        url = f"rtsp://127.0.0.1:{link.port}/live/cam"
        read = await run(
            player, "-v", "warning", "-timeout", "1000000", "-i", url, "-t", "2", "-c", "copy", "-f", "framemd5", "-"
        )
        assert read.returncode == 0, read.stderr
        assert "retrying with TCP" in read.stderr
        assert link.back.lost > 0
        assert len(times(read.stdout, 0, 90_000)) >= 20


@pytest.mark.parametrize("network", LOSING)
async def test_a_publisher_goes_on_over_what_is_lost(
    rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path], network: str
) -> None:
    async with rtsp_lossy(port(rtsp_server), LOSING[network], Network()) as link:
        through = f"rtsp://127.0.0.1:{link.port}/live/cam"
        async with published(rtsp_server, ffmpeg, clip(b_frames=0), transport="udp", url=through):
            stream = rtsp_server.stream("live/cam")
            assert stream is not None
            await eventually(lambda: stream.stats.video_frames > 30 and link.there.lost > 0)
            await eventually(lambda: stream.stats.other_frames > 80)
            assert not stream.closed


async def test_what_is_late_or_comes_twice_costs_nothing(
    rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    """Through such a network to the server, and through another one from it: to our own client, and to FFmpeg."""
    server = port(rtsp_server)
    async with rtsp_lossy(server, UNORDERED) as there, rtsp_lossy(server, UNORDERED, seed=2) as back:
        publish_to, play_from = (f"rtsp://127.0.0.1:{link.port}/live/cam" for link in (there, back))
        source = arcly.PullSource(play_from.replace("rtsp:", "rtspu:"), "live/copy")
        copies = arcly.RtspHandler("127.0.0.1:0", udp_port=None)
        async with (
            published(rtsp_server, ffmpeg, clip(b_frames=2), transport="udp", url=publish_to),
            arcly.Engine(source, copies) as engine,
        ):
            await eventually(lambda: (it := engine.get_stream(arcly.StreamKey("live", "copy"))) and it.tracks)
            assert copies.address is not None
            read = await run(*play(ffmpeg, f"rtsp://127.0.0.1:{copies.address[1]}/live/copy"))
            assert read.returncode == 0, read.stderr
            pictures, sound = sorted(times(read.stdout, 0, 90_000))[3:-3], times(read.stdout, 1, 44_100)
            assert {round(b - a, 3) for a, b in itertools.pairwise(pictures)} == {0.04}, "each picture, at its time"
            assert {round((b - a) * 44_100) for a, b in itertools.pairwise(sound)} == {1024}
            assert there.there.late > 0
            assert back.back.late > 0
            assert back.back.doubled > 0
