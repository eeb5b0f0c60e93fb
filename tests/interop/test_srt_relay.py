"""SRT streams pulled from and pushed to others: FFmpeg's listener, srt-live-transmit's, and our own."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually, missing, running
from srt_server import SECRET, Srt, is_whole, live, play, serving
from test_srt_clients import either, srt  # noqa: F401

import arcly
from arcly import LinkState


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("secret", ["", f"&passphrase={SECRET}&pbkeylen=16", f"&passphrase={SECRET}&pbkeylen=32"])
async def test_a_stream_is_pulled_from_ffmpegs_listener(either: str, clip: Callable[..., Path], secret: str) -> None:  # noqa: F811
    port = free_port()
    send = [either, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts"]
    source = arcly.PullSource(
        f"srt://127.0.0.1:{port}?latency=200000{secret}".replace(" ", "%20"), "live/cam", backoff_s=(0.1, 0.2)
    )
    async with (
        arcly.Engine(source) as engine,
        running(*send, f"srt://127.0.0.1:{port}?mode=listener&pkt_size=1316{secret}"),
    ):
        stream = await eventually(lambda: engine.get_stream(arcly.StreamKey.parse("live/cam")))
        await eventually(lambda: stream.tracks)
        assert source.status.state is LinkState.RUNNING
        await eventually(lambda: source.status.frames > 50)


@pytest.mark.parametrize("secret", ["", f"&passphrase={SECRET}", f"&passphrase={SECRET}&pbkeylen=24"])
async def test_a_stream_is_pushed_to_ffmpegs_listener(
    either: str,  # noqa: F811
    clip: Callable[..., Path],
    secret: str,
) -> None:
    port = free_port()
    target = arcly.PushTarget(
        f"srt://127.0.0.1:{port}?streamid=x{secret}".replace(" ", "%20"), "live/cam", backoff_s=(0.1, 0.2)
    )
    source = arcly.FileSource(clip(), arcly.StreamKey.parse("live/cam"))
    async with arcly.Engine(source, target):
        read = await play(either, f"srt://127.0.0.1:{port}?mode=listener{secret}")
        assert read.returncode == 0, read.stderr
        assert is_whole(read)


async def test_a_chain_of_servers_survives_the_one_in_the_middle(ffmpeg: str, clip: Callable[..., Path]) -> None:
    port = free_port()
    origin = arcly.SrtHandler(f"127.0.0.1:{port}")
    pull = arcly.PullSource(f"srt://127.0.0.1:{port}?streamid=read:live/cam", "live/edge", backoff_s=(0.1, 0.5))
    async with serving(authenticator=None) as edge, arcly.Engine(pull) as engine:
        for _ in range(2):
            async with arcly.Engine(arcly.FileSource(clip(), arcly.StreamKey.parse("live/cam")), origin):
                await eventually(lambda: pull.status.state is LinkState.RUNNING)
                frames = pull.status.frames
                await eventually(lambda before=frames: pull.status.frames > before + 50)
                stream = engine.get_stream(arcly.StreamKey.parse("live/edge"))
                assert stream is not None
            await eventually(lambda: pull.status.state is not LinkState.RUNNING)
            assert engine.get_stream(arcly.StreamKey.parse("live/edge")) is not None, "it is kept, with its viewers"
        assert edge.handler.list_viewers() == []


async def test_a_listener_that_refuses_says_why(srt: Srt) -> None:  # noqa: F811
    pull = arcly.PullSource(srt.url("read:live/nothing"), "live/copy", retries_max=0)
    async with arcly.Engine(pull):
        await eventually(lambda: pull.status.state is LinkState.FAILED)
        assert "no such stream" in (pull.status.last_error or "")


async def test_the_command_relays_between_protocols(
    srt: Srt,  # noqa: F811
    ffmpeg: str,
    clip: Callable[..., Path],
) -> None:
    async with live(srt, ffmpeg, clip()):
        into = srt.url("publish:live/again", latency=50_000)
        async with running(sys.executable, "-m", "arcly", "relay", srt.url("read:live/cam"), into):
            await eventually(lambda: (stream := srt.stream("live/again")) and stream.tracks)
            read = await play(ffmpeg, srt.url("read:live/again"))
            assert is_whole(read), read.stderr


@pytest.mark.parametrize("secret", ["", "&passphrase=secret-secret"])
async def test_two_who_call_each_other_meet(ffmpeg: str, clip: Callable[..., Path], secret: str) -> None:
    transmit = shutil.which("srt-live-transmit")
    if transmit is None:
        missing("srt-live-transmit (on Debian: apt-get install srt-tools)")
    assert transmit is not None
    port, feed = free_port(), f"udp://127.0.0.1:{free_port()}"
    # Two addresses of one machine: each side sends from the port that it is called at.
    theirs = f"srt://127.0.0.1:{port}?mode=rendezvous&adapter=127.0.0.2{secret}"
    ours = f"srt://127.0.0.2:{port}?mode=rendezvous&adapter=127.0.0.1{secret}"
    send = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts"]
    pull = arcly.PullSource(ours, "live/cam", backoff_s=(0.1, 0.2))
    async with arcly.Engine(pull), running(transmit, "-q", feed, theirs), running(*send, f"{feed}?pkt_size=1316"):
        await eventually(lambda: pull.status.frames > 50)


@pytest.mark.parametrize("key_bytes", [16, 32])
async def test_galois_counter_mode_with_the_newest_libsrt(
    ffmpeg: str, clip: Callable[..., Path], key_bytes: int
) -> None:
    # FFmpeg cannot ask for it, and does as its callers: those are ours.
    secret = f"&passphrase={SECRET}&pbkeylen={key_bytes}"
    ours = f"{secret}&cryptomode=2".replace(" ", "%20")
    from_port, to_port = free_port(), free_port()
    send = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts"]
    source = arcly.PullSource(f"srt://127.0.0.1:{from_port}?streamid=x{ours}", "live/cam", backoff_s=(0.1, 0.2))
    target = arcly.PushTarget(f"srt://127.0.0.1:{to_port}?streamid=x{ours}", "live/cam", backoff_s=(0.1, 0.2))
    async with (
        arcly.Engine(source, target),
        running(*send, f"srt://127.0.0.1:{from_port}?mode=listener&pkt_size=1316{secret}"),
    ):
        await eventually(lambda: source.status.state is LinkState.RUNNING)
        read = await play(ffmpeg, f"srt://127.0.0.1:{to_port}?mode=listener{secret}", 2)
        assert is_whole(read, 2), read.stderr


async def test_who_does_not_know_galois_counter_mode_is_told_and_not_trusted(clip: Callable[..., Path]) -> None:
    system = shutil.which("ffmpeg")
    if system is None:
        missing("ffmpeg of the system")
    port, secret = free_port(), f"&passphrase={SECRET}"
    ours = f"srt://127.0.0.1:{port}?streamid=x{secret}&cryptomode=2".replace(" ", "%20")
    send = [str(system), "-v", "quiet", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts"]
    source = arcly.PullSource(ours, "live/cam", backoff_s=(0.1, 0.2), retries_max=50)
    async with (
        arcly.Engine(source) as engine,
        running(*send, f"srt://127.0.0.1:{port}?mode=listener&pkt_size=1316{secret}"),
    ):
        await eventually(lambda: "refused" in (source.status.last_error or ""), what="it is refused")
        assert engine.get_stream(arcly.StreamKey.parse("live/cam")) is None
