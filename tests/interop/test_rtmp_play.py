"""RTMP players: what ffmpeg gets when it plays, and what a viewer is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Server, eventually, run, running, serving
from test_http_live import Tokens, live


def frames(output: bytes, stream: int) -> list[list[str]]:
    """The rows of one stream in ffmpeg's framemd5."""
    rows = [line.split(",") for line in output.decode().splitlines() if not line.startswith("#")]
    return [row for row in rows if row[0] == str(stream)]


async def test_ffmpeg_plays_at_once_and_without_a_hole(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()):
        url = server.rtmp_url("live/cam")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "4", "-c", "copy", "-f", "framemd5", "-")
        assert (read.returncode, read.stderr) == (0, "")
        dts = [int(row[1]) for row in frames(read.stdout, 0)]
        steps = {b - a for a, b in itertools.pairwise(dts)}
        assert len(dts) >= 95, "25 pictures a second"
        assert max(steps) - min(steps) <= 90, "a millisecond, the rounding of the wire"
        assert len(frames(read.stdout, 1)) >= 150


async def test_a_player_is_listed_while_it_plays_and_can_be_kicked(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with live(server, ffmpeg, clip()):
        play = [ffmpeg, "-v", "error", "-i", server.rtmp_url("live/cam"), "-c", "copy", "-f", "null", "-"]
        async with running(*play) as player:
            await eventually(lambda: (viewers := server.rtmp.list_viewers()) and viewers[0].frames > 20)
            [viewer] = server.rtmp.list_viewers()
            assert (viewer.protocol, str(viewer.key), viewer.dropped) == ("rtmp", "live/cam", 0)
            assert server.rtmp.kick(viewer.id)
            await eventually(lambda: server.rtmp.list_viewers() == [], what="it is gone")
            await eventually(lambda: player.returncode is not None, what="and has noticed")


async def test_the_end_of_the_stream_ends_the_play_with_every_frame(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    publish = [ffmpeg, "-v", "error", "-re", "-i", clip(seconds=4.0), "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
        url = server.rtmp_url("live/cam")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-c", "copy", "-f", "framemd5", "-")
    assert read.returncode == 0, read.stderr
    pictures = len(frames(read.stdout, 0))
    assert pictures % 25 == 0, "from a key picture to the last one of the stream"
    assert pictures >= 50


@pytest.mark.parametrize("query", ["", "?token=bad"])
async def test_who_may_not_play_is_told(ffmpeg: str, clip: Callable[..., Path], query: str) -> None:
    async with serving(authenticator=Tokens()) as server, live(server, ffmpeg, clip()):
        url = server.rtmp_url(f"live/cam{query}")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-f", "null", "-")
        assert read.returncode != 0
        assert server.rtmp.list_viewers() == []
        good = server.rtmp_url("live/cam?token=good")
        read = await run(ffmpeg, "-v", "error", "-i", good, "-t", "1", "-c", "copy", "-f", "null", "-")
        assert read.returncode == 0, read.stderr


async def test_a_missing_stream_is_refused(server: Server, ffmpeg: str) -> None:
    read = await run(ffmpeg, "-v", "error", "-i", server.rtmp_url("live/nothing"), "-f", "null", "-", deadline_s=20)
    assert read.returncode != 0
