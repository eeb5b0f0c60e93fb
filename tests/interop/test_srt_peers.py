"""SRT with those who wrote it anew, as we did: gosrt in Go and sapflow-srt in Rust. `make srt-peers` builds both."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import eventually, run, running
from srt_server import SECRET, Srt, is_whole, live, serving, url
from test_srt_relay import free_port

import arcly

BUILT = Path(__file__).parents[2] / "target/srt-peers/bin"


def peer(name: str) -> Path:
    """A program that `make srt-peers` has built."""
    found = shutil.which(name, path=f"{BUILT}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} was not found (make srt-peers)")
    return Path(str(found))


@pytest.fixture(params=[0, 16, 32], ids=["clear", "aes128", "aes256"])
def key_bytes(request: pytest.FixtureRequest) -> int:
    """Of the keys; 0: in the clear. Neither peer does AES-192 as callers of libsrt do."""
    return int(request.param)


def secret(key_bytes: int) -> dict[str, object]:
    """What a URL says about the keys."""
    return {"passphrase": SECRET, "pbkeylen": key_bytes} if key_bytes else {}


def handler(key_bytes: int) -> arcly.SrtHandler:
    """One that demands what callers of that kind know."""
    return arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET if key_bytes else None)


def ours(port: int, key_bytes: int) -> str:
    """How we dial a peer that listens."""
    return url(port, "x", **secret(key_bytes)).replace(" ", "%20")


@asynccontextmanager
async def gosrt(source: str, target: str) -> AsyncIterator[None]:
    """Gosrt's client, from one place to another."""
    async with running(peer("gosrt"), "-from", source, "-to", target):
        yield


@asynccontextmanager
async def fed(ffmpeg: str, source: Path) -> AsyncIterator[str]:
    """A transport stream that never ends, by UDP, and where to listen for it."""
    feed = f"udp://127.0.0.1:{free_port()}"
    send = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "mpegts"]
    async with running(*send, f"{feed}?pkt_size=1316"):
        yield feed


async def has_pictures(ffmpeg: str, file: Path) -> None:
    """Wait until two seconds without a hole are in a file that grows."""
    await eventually(lambda: file.exists() and file.stat().st_size > 100_000, what="it receives")

    async def is_good() -> bool:
        read = await run(ffmpeg, "-v", "quiet", "-i", file, "-t", "2", "-c", "copy", "-f", "framemd5", "-")
        return is_whole(read, 2)

    await eventually(is_good, what="two seconds of pictures without a hole")


async def flows(srt: Srt, key_bytes: int) -> None:
    """Wait until the stream `live/cam` comes, encrypted as agreed on."""
    await eventually(lambda: (stream := srt.stream("live/cam")) and stream.tracks, what="it is published")

    def stats() -> dict[str, int]:
        connections = [it for it in srt.handler.list_connections() if it.role == "publisher"]
        return dict(connections[0].stats) if connections else {}

    found = await eventually(lambda: (it := stats()).get("delivered_packets", 0) > 100 and it, what="packets come")
    assert found["key_bits"] == key_bytes * 8
    assert found["undecrypted_packets"] == found["malformed_packets"] == 0


async def test_gosrt_publishes(ffmpeg: str, clip: Callable[..., Path], key_bytes: int) -> None:
    async with serving(handler(key_bytes)) as srt, fed(ffmpeg, clip()) as feed:
        async with gosrt(feed, srt.url("publish:live/cam", mode="caller", **secret(key_bytes))):
            await flows(srt, key_bytes)
        await eventually(lambda: srt.stream("live/cam") is None, what="who was killed is gone")


async def test_gosrt_plays(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, key_bytes: int) -> None:
    async with serving(handler(key_bytes)) as srt, live(srt, ffmpeg, clip(), **secret(key_bytes)):
        played = tmp_path / "played.ts"
        async with gosrt(srt.url("read:live/cam", mode="caller", **secret(key_bytes)), f"file://{played}"):
            await has_pictures(ffmpeg, played)


async def test_a_stream_is_pulled_from_gosrt(ffmpeg: str, clip: Callable[..., Path], key_bytes: int) -> None:
    port = free_port()
    source = arcly.PullSource(ours(port, key_bytes), "live/cam", backoff_s=(0.1, 0.2))
    async with fed(ffmpeg, clip()) as feed:
        theirs = url(port, "x", mode="listener", **secret(key_bytes))
        async with gosrt(feed, theirs), arcly.Engine(source):
            await eventually(lambda: source.status.frames > 50, what="it is pulled")


async def test_a_stream_is_pushed_to_gosrt(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, key_bytes: int
) -> None:
    port, came = free_port(), tmp_path / "came.ts"
    target = arcly.PushTarget(ours(port, key_bytes), "live/cam", backoff_s=(0.1, 0.2))
    source = arcly.FileSource(clip(), arcly.StreamKey.parse("live/cam"))
    theirs = url(port, "x", mode="listener", **secret(key_bytes))
    async with gosrt(theirs, f"file://{came}"), arcly.Engine(source, target):
        await has_pictures(ffmpeg, came)


def sapflow_env(key_bytes: int) -> dict[str, str]:
    """How sapflow-srt's examples are told the passphrase."""
    return {"SAPFLOW_SRT_PASSPHRASE": SECRET, "SAPFLOW_SRT_KEY_BITS": str(key_bytes * 8)} if key_bytes else {}


async def test_sapflow_publishes(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, key_bytes: int) -> None:
    file = tmp_path / "clip.ts"
    made = await run(ffmpeg, "-v", "error", "-stream_loop", "3", "-i", clip(), "-c", "copy", file)
    assert made.returncode == 0, made.stderr
    async with serving(handler(key_bytes)) as srt:
        send = [peer("send"), f"127.0.0.1:{srt.port}", "publish:live/cam", file, "250000", "200"]
        async with running(*send, env=sapflow_env(key_bytes)) as process:
            await flows(srt, key_bytes)
            assert process.returncode is None


async def test_a_stream_is_pushed_to_sapflow(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, key_bytes: int
) -> None:
    port, came = free_port(), tmp_path / "came.ts"
    target = arcly.PushTarget(ours(port, key_bytes), "live/cam", backoff_s=(0.1, 0.2))
    source = arcly.FileSource(clip(), arcly.StreamKey.parse("live/cam"))
    receive = [peer("receive"), f"127.0.0.1:{port}", came, "10000000", "200"]
    async with running(*receive, env=sapflow_env(key_bytes)), arcly.Engine(source, target):
        await has_pictures(ffmpeg, came)
