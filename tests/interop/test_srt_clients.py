"""SRT with real clients: FFmpeg 5 and 9 (libsrt), srt-live-transmit and GStreamer publish and play."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from conftest import eventually, missing, run, running
from srt_server import SECRET, Srt, is_whole, live, play, serving, times

import arcly


@pytest.fixture
async def srt() -> AsyncIterator[Srt]:
    """A server in the clear."""
    async with serving() as srt:
        yield srt


@asynccontextmanager
async def encrypting(key_bytes: int) -> AsyncIterator[tuple[Srt, dict[str, object]]]:
    """A server that encrypts, and what its callers have to say; in the clear without a length of keys."""
    secret = {"passphrase": SECRET, "pbkeylen": key_bytes} if key_bytes else {}
    async with serving(arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET if key_bytes else None)) as srt:
        yield srt, secret


@pytest.fixture(params=["system", "newest"])
def either(request: pytest.FixtureRequest, ffmpeg: str) -> str:
    """Both FFmpegs: the system's with its libsrt, and the newest."""
    found = shutil.which("ffmpeg") if request.param == "system" else ffmpeg
    if found is None:
        missing("ffmpeg of the system")
    assert found is not None
    return found


async def test_ffmpeg_publishes_and_plays_without_a_hole(srt: Srt, either: str, clip: Callable[..., Path]) -> None:
    async with live(srt, either, clip()):
        read = await play(either, srt.url("read:live/cam"))
        assert read.returncode == 0, read.stderr
        assert is_whole(read)
        assert len(times(read, 1)) >= 100
        [publisher] = [it for it in srt.handler.list_connections() if it.role == "publisher"]
        assert publisher.stats["delivered_packets"] > 100
        assert publisher.stats["receive_dropped_packets"] == publisher.stats["undecrypted_packets"] == 0
    await eventually(lambda: srt.stream("live/cam") is None, what="a killed publisher is gone")


@pytest.mark.parametrize("key_bytes", [16, 24, 32])
async def test_keys_of_all_sizes(either: str, clip: Callable[..., Path], key_bytes: int) -> None:
    secret = {"passphrase": SECRET, "pbkeylen": key_bytes}
    async with serving(arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET)) as srt, live(srt, either, clip(), **secret):
        read = await play(either, srt.url("read:live/cam", **secret), 2)
        assert read.returncode == 0, read.stderr
        assert len(times(read)) >= 45
        bits = await eventually(lambda: {it.stats["key_bits"] for it in srt.handler.list_connections()})
        assert bits == {key_bytes * 8}


async def test_who_does_not_know_the_passphrase_neither_publishes_nor_plays(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with serving(arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET)) as srt:
        for wrong in [{"passphrase": "another passphrase"}, {}]:
            publish = ["-re", "-i", clip(), "-c", "copy", "-f", "mpegts", srt.url("publish:live/cam", **wrong)]
            assert (await run(ffmpeg, "-v", "error", *publish)).returncode != 0
            assert srt.stream("live/cam") is None
        async with live(srt, ffmpeg, clip(), passphrase=SECRET):
            for wrong in [{"passphrase": "another passphrase"}, {}]:
                read = await play(ffmpeg, srt.url("read:live/cam", **wrong))
                assert read.returncode != 0
                assert not read.stdout


async def test_a_passphrase_where_there_should_be_none_is_refused(
    srt: Srt, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    publish = ["-re", "-i", clip(), "-c", "copy", "-f", "mpegts", srt.url("publish:live/cam", passphrase=SECRET)]
    assert (await run(ffmpeg, "-v", "error", *publish)).returncode != 0


async def test_a_passphrase_for_each_stream_and_role(ffmpeg: str, clip: Callable[..., Path]) -> None:
    def passphrase(key: arcly.StreamKey, role: Literal["publisher", "viewer"]) -> str | None:
        return f"{role} of {key}" if key.stream == "cam" and role == "publisher" else None

    handler, known = arcly.SrtHandler("127.0.0.1:0", passphrase=passphrase), "publisher of live/cam"
    async with serving(handler) as srt, live(srt, ffmpeg, clip(), passphrase=known):
        read = await play(ffmpeg, srt.url("read:live/cam"), 1)
        assert read.returncode == 0, read.stderr


async def test_a_passphrase_that_is_refused_lets_nobody_in(ffmpeg: str, clip: Callable[..., Path]) -> None:
    """Found by reading: an error of arcly's own was taken for a name that no stream can have, and let everybody in."""

    def passphrase(key: arcly.StreamKey, role: Literal["publisher", "viewer"]) -> str | None:
        if str(key) == "live/cam" and role == "publisher":
            return SECRET
        raise arcly.UnauthorizedError("unknown tenant")

    async with serving(arcly.SrtHandler("127.0.0.1:0", passphrase=passphrase)) as srt:
        publish = ["-re", "-i", clip(), "-c", "copy", "-f", "mpegts", srt.url("publish:live/other")]
        assert (await run(ffmpeg, "-v", "error", *publish)).returncode != 0
        async with live(srt, ffmpeg, clip(), passphrase=SECRET):
            read = await play(ffmpeg, srt.url("read:live/cam"))
            assert read.returncode != 0
            assert not read.stdout


STREAM_IDS = [
    ("publish:live/cam", "read:live/cam"),
    ("#!::m=publish,r=live/cam", "#!::m=request,r=live/cam"),
    ("#!::r=/live/cam,m=publish,u=ann,s=secret", "#!::r=live/cam"),
    ("publish:live/cam:ann:secret", "live/cam"),
]


@pytest.mark.parametrize(("publish", "read"), STREAM_IDS)
async def test_stream_ids(srt: Srt, ffmpeg: str, clip: Callable[..., Path], publish: str, read: str) -> None:
    async with live(srt, ffmpeg, clip(), publish):
        got = await play(ffmpeg, srt.url(read), 1)
        assert got.returncode == 0, got.stderr


@pytest.mark.parametrize("stream_id", ["", "cam", "read:live/nothing", "#!::r=live/cam,m=bidirectional"])
async def test_what_cannot_be_played_is_refused_at_once(srt: Srt, ffmpeg: str, stream_id: str) -> None:
    read = await run(ffmpeg, "-v", "error", "-i", srt.url(stream_id), "-f", "null", "-")
    assert read.returncode != 0


class Ann:
    """Only Ann publishes, and everybody plays."""

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        """Look at what the stream id says."""
        return credentials.params.get("user") == "ann" and credentials.params.get("pass") == "se:cret"

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        """Let everybody play."""
        return True


async def test_credentials_of_the_stream_id_reach_the_authenticator(ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with serving(authenticator=Ann()) as srt:
        bad = srt.url("publish:live/cam:ann:wrong")
        assert (
            await run(ffmpeg, "-v", "error", "-re", "-i", clip(), "-c", "copy", "-f", "mpegts", bad)
        ).returncode != 0
        async with live(srt, ffmpeg, clip(), "publish:live/cam:ann:se:cret"):
            pass


@pytest.mark.parametrize("latency_ms", [20, 500])
async def test_latencies_are_agreed_on(srt: Srt, ffmpeg: str, clip: Callable[..., Path], latency_ms: int) -> None:
    # FFmpeg takes microseconds.
    async with live(srt, ffmpeg, clip(), latency=latency_ms * 1000):
        [publisher] = await eventually(srt.handler.list_connections)
        assert publisher.stats["receive_latency_ms"] == max(120, latency_ms)
        read = await play(ffmpeg, srt.url("read:live/cam", latency=latency_ms * 1000), 1)
        assert read.returncode == 0, read.stderr


@pytest.mark.parametrize("latency_ms", [20, 8000])
async def test_the_shortest_and_the_longest_latency(ffmpeg: str, clip: Callable[..., Path], latency_ms: int) -> None:
    latency = latency_ms * 1000
    async with (
        serving(arcly.SrtHandler("127.0.0.1:0", latency_ms=20)) as srt,
        live(srt, ffmpeg, clip(), latency=latency),
        running(ffmpeg, "-v", "quiet", "-i", srt.url("read:live/cam", latency=latency), "-f", "null", "-"),
    ):

        def flows() -> dict[str, dict[str, int]]:
            stats = {it.role: it.stats for it in srt.handler.list_connections()}
            return stats if stats.get("viewer", {}).get("sent_packets", 0) > 50 else {}

        stats = await eventually(flows, deadline_s=60)
        assert stats["publisher"]["receive_latency_ms"] == stats["viewer"]["send_latency_ms"] == latency_ms
        assert stats["publisher"]["delivered_packets"] > 50


async def test_a_viewer_is_listed_and_can_be_kicked(srt: Srt, ffmpeg: str, clip: Callable[..., Path]) -> None:
    command = [ffmpeg, "-v", "quiet", "-i", srt.url("read:live/cam"), "-f", "null", "-"]
    async with live(srt, ffmpeg, clip()), running(*command) as player:
        [viewer] = await eventually(srt.handler.list_viewers)
        assert (viewer.protocol, str(viewer.key)) == ("srt", "live/cam")
        assert srt.handler.kick(viewer.id)
        await eventually(lambda: srt.handler.list_viewers() == [], what="it is gone")
        await eventually(lambda: player.returncode is not None, what="and has noticed")


async def test_to_kick_one_viewer_leaves_the_others(srt: Srt, ffmpeg: str, clip: Callable[..., Path]) -> None:
    command = [ffmpeg, "-v", "quiet", "-i", srt.url("read:live/cam"), "-f", "null", "-"]
    async with live(srt, ffmpeg, clip()), running(*command), running(*command):
        await eventually(lambda: len(srt.handler.list_viewers()) == 2)
        first, second = srt.handler.list_viewers()
        assert srt.handler.kick(first.id)
        await eventually(lambda: len(srt.handler.list_viewers()) == 1, what="one is gone")
        [left] = srt.handler.list_viewers()
        assert left.id == second.id

        def plays_on() -> bool:
            now = srt.handler.list_viewers()
            return bool(now) and now[0].bytes > left.bytes + 100_000

        await eventually(plays_on, what="the other one is fed")


async def test_the_end_of_the_stream_ends_its_viewers(srt: Srt, ffmpeg: str, clip: Callable[..., Path]) -> None:
    publish = [ffmpeg, "-v", "error", "-re", "-i", clip(seconds=4.0), "-c", "copy", "-f", "mpegts"]
    async with running(*publish, srt.url("publish:live/cam", pkt_size=1316)):
        await eventually(lambda: (stream := srt.stream("live/cam")) and stream.tracks)
        read = await run(ffmpeg, "-v", "error", "-i", srt.url("read:live/cam"), "-c", "copy", "-f", "framemd5", "-")
    assert read.returncode == 0
    assert len(times(read)) >= 50


@pytest.mark.parametrize("key_bytes", [0, 24])
async def test_srt_live_transmit_publishes_and_plays(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, key_bytes: int
) -> None:
    transmit = shutil.which("srt-live-transmit")
    if transmit is None:
        missing("srt-live-transmit (on Debian: apt-get install srt-tools)")
    assert transmit is not None
    port = 20_000 + hash(tmp_path) % 10_000
    feed = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts"]
    into = f"udp://127.0.0.1:{port}"
    async with (
        encrypting(key_bytes) as (srt, secret),
        running(transmit, "-q", into, srt.url("publish:live/cam", **secret)),
        running(*feed, f"{into}?pkt_size=1316"),
    ):
        await eventually(lambda: (stream := srt.stream("live/cam")) and stream.tracks, what="it is published")
        play = f"timeout 4 {transmit} -q '{srt.url('read:live/cam', **secret)}' file://con > {tmp_path}/out.ts"
        await run("sh", "-c", play)
        read = await run(ffmpeg, "-v", "error", "-i", tmp_path / "out.ts", "-c", "copy", "-f", "framemd5", "-")
        assert is_whole(read), read.stderr


@pytest.mark.parametrize("key_bytes", [0, 16])
async def test_gstreamer_publishes_and_plays(ffmpeg: str, tmp_path: Path, key_bytes: int) -> None:
    launch = shutil.which("gst-launch-1.0")
    if launch is None or (await run("gst-inspect-1.0", "srtsrc")).returncode != 0:
        missing("GStreamer with srtsrc (on Debian: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad)")
    assert launch is not None
    source = (
        "videotestsrc is-live=true ! video/x-raw,framerate=25/1 ! x264enc tune=zerolatency key-int-max=25 ! mpegtsmux"
    )
    async with encrypting(key_bytes) as (srt, secret):
        sink = f"srtsink uri='\"{srt.url('publish:live/cam', **secret)}\"' wait-for-connection=false"
        async with running("sh", "-c", f"exec {launch} -q {source} alignment=7 ! {sink}"):
            await eventually(lambda: (stream := srt.stream("live/cam")) and stream.tracks, what="it is published")
            got = f"srtsrc uri='\"{srt.url('read:live/cam', **secret)}\"' ! filesink location={tmp_path}/out.ts"
            await run("sh", "-c", f"timeout 4 {launch} -q {got}")
            read = await run(ffmpeg, "-v", "error", "-i", tmp_path / "out.ts", "-c", "copy", "-f", "framemd5", "-")
            assert len(times(read)) >= 45, read.stderr


async def test_the_dissector_of_wireshark_finds_nothing_malformed(
    srt: Srt, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        missing("tshark (on Debian: apt-get install tshark)")
    assert tshark is not None
    port, capture = srt.port, tmp_path / "srt.pcapng"
    record = [tshark, "-q", "-i", "lo", "-f", f"udp port {port}", "-a", "duration:12", "-w", capture]
    async with running(*record) as recorder:
        # Before it has a file it hears nothing, and the handshakes are over at once.
        await eventually(lambda: capture.exists() and capture.stat().st_size > 0, what="a capture")
        async with live(srt, ffmpeg, clip()):
            await play(ffmpeg, srt.url("read:live/cam"), 2)
            await recorder.wait()
    look = [tshark, "-r", capture, "-d", f"udp.port=={port},srt"]
    kinds = await run(*look, "-T", "fields", "-e", "srt.type")
    assert {"0x0000", "0x0002", "0x0006"} <= set(kinds.stdout.decode().split()), "handshakes, ACK, ACKACK"
    bad = await run(*look, "-Y", "_ws.malformed || _ws.expert.severity >= 0x600000")
    assert bad.stdout == b""
