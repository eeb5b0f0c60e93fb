"""Transport streams over UDP and RTP, by FFmpeg and GStreamer on the other side, and over ways that lose."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import eventually, missing, run, running, serving
from test_rtmp_relay import assert_run_of, digest, of_kind, packets, take

import arcly
from arcly.testing import MemoryRegistry

CAM = arcly.StreamKey("live", "cam")
GROUP = "239.77.3.1"
QUICK = (0.05, 0.2)


def free_udp_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def sending(ffmpeg: str, path: Path, url: str, *more: str) -> AsyncIterator[None]:
    """Send a file in real time, again and again."""
    form = "rtp_mpegts" if url.startswith("rtp") else "mpegts"
    command = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", path, "-c", "copy", *more, "-f", form, url]
    async with running(*map(str, command)):
        yield


async def heard(engine: arcly.Engine, key: arcly.StreamKey = CAM) -> arcly.StreamHandle:
    """Return the stream as soon as it is there."""
    stream: arcly.StreamHandle = await eventually(lambda: engine.get_stream(key))
    return stream


def sizes(frames: list[arcly.MediaFrame], kind: str) -> list[tuple[str, str]]:
    """The sizes of the frames of a kind."""
    return [(str(len(data)), "") for data in of_kind(frames, kind)]


WAYS = {
    "udp": ("udp://127.0.0.1:{port}", "udp://127.0.0.1:{port}?pkt_size=1316"),
    "rtp": ("rtp://127.0.0.1:{port}", "rtp://127.0.0.1:{port}"),
    # What comes is told by its bytes, not by the name of the way.
    "rtp as udp": ("udp://127.0.0.1:{port}", "rtp://127.0.0.1:{port}"),
    "188 bytes": ("udp://:{port}", "udp://127.0.0.1:{port}?pkt_size=188"),
    "IPv6": ("udp://[::1]:{port}", "udp://[::1]:{port}?pkt_size=1316"),
    "multicast": (f"udp://@{GROUP}:{{port}}?iface=lo", f"udp://{GROUP}:{{port}}?pkt_size=1316&localaddr=127.0.0.1"),
    "one source": (
        f"udp://{GROUP}:{{port}}?iface=127.0.0.1&source=127.0.0.1",
        f"udp://{GROUP}:{{port}}?pkt_size=1316&localaddr=127.0.0.1",
    ),
}


async def test_a_transport_stream_comes_into_a_registry_in_plain_python_and_goes_out_of_it(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    registry, (port, out) = MemoryRegistry(), (free_udp_port(), free_udp_port())
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", CAM)
    push = arcly.PushTarget(f"udp://127.0.0.1:{out}", CAM)
    there = f"udp://127.0.0.1:{port}?pkt_size=1316"
    async with arcly.Engine(pull, push, registry=registry) as engine, sending(ffmpeg, clip(), there):
        stream = await eventually(lambda: (it := registry.get_stream(CAM)) and len(it.tracks) == 2 and it)
        assert (stream.protocol, engine.list_streams()) == ("udp", [stream])
        hear = ["-i", f"udp://127.0.0.1:{out}", "-t", "3", "-c", "copy", "-f", "framecrc", "-"]
        read = await run(ffmpeg, "-v", "error", *hear)
        assert min(read.stdout.count(b"\n0,"), read.stdout.count(b"\n1,")) > 10


@pytest.mark.parametrize("way", WAYS)
async def test_what_ffmpeg_sends_comes_in_frame_by_frame(way: str, ffmpeg: str, clip: Callable[..., Path]) -> None:
    path, port = clip(seconds=4), free_udp_port()
    here, there = (url.format(port=port) for url in WAYS[way])
    pull = arcly.PullSource(here, CAM)
    async with arcly.Engine(pull) as engine, sending(ffmpeg, path, there):
        stream = await heard(engine)
        frames = await take(stream, 150)
        assert {track.codec for track in stream.tracks} == {"H264", "AAC"}
        assert (stream.protocol, pull.state) == ("udp", arcly.LinkState.RUNNING)
    assert not any(frame.is_discontinuity for frame in frames)
    whole = await digest(ffmpeg, path)
    # Sound as it was; pictures lose the delimiters that FFmpeg puts in, and nothing else.
    assert_run_of(sizes(frames, "audio"), [(size, "") for size, _ in packets(whole, 1)] * 2, 50)
    assert len(of_kind(frames, "video")) > 40


OUT = {
    "udp": ("udp://127.0.0.1:{port}", "udp://127.0.0.1:{port}"),
    "rtp": ("rtp://127.0.0.1:{port}", "rtp://127.0.0.1:{port}"),
    "constant rate": ("udp://127.0.0.1:{port}?bitrate=4000000", "udp://127.0.0.1:{port}"),
    "multicast": (f"udp://{GROUP}:{{port}}?iface=lo&ttl=2", f"udp://{GROUP}:{{port}}?localaddr=127.0.0.1"),
    "rtp to a group": (f"rtp://{GROUP}:{{port}}?iface=lo", f"rtp://{GROUP}:{{port}}?localaddr=127.0.0.1"),
}


@pytest.mark.parametrize("way", OUT)
async def test_ffmpeg_reads_what_goes_out(way: str, ffmpeg: str, clip: Callable[..., Path]) -> None:
    path, port = clip(), free_udp_port()
    here, there = (url.format(port=port) for url in OUT[way])
    push = arcly.PushTarget(here, CAM)
    async with arcly.Engine(push, arcly.FileSource(path, CAM)):
        await eventually(lambda: push.state is arcly.LinkState.RUNNING)
        played = await digest(ffmpeg, there, "-t", "4")
        status = push.status
        assert (status.last_error, status.skipped) == (None, 0)
    whole = await digest(ffmpeg, path)
    # Sound travels with a header of 7 bytes (ADTS).
    played_sizes = [(str(int(size) - 7), "") for size, _ in packets(played, 1)]
    assert_run_of(played_sizes, [(size, "") for size, _ in packets(whole, 1)] * 3, 100)
    assert len(packets(played, 0)) > 60
    assert push.state is arcly.LinkState.STOPPED


@pytest.mark.skipif(not Path("/proc/net/igmp").exists(), reason="memberships are read from Linux's own list")
@pytest.mark.parametrize("interface", ["lo", "127.0.0.1"])
async def test_a_group_is_joined_on_the_interface_that_is_chosen(interface: str) -> None:
    group = "239.77.3.9"
    packed = struct.pack("=I", *struct.unpack("!I", socket.inet_aton(group)))
    shown = f"{struct.unpack('!I', packed)[0]:08X}"

    def joined_on() -> list[str]:
        interfaces, found = "", []
        for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
            if not line.startswith("\t"):
                interfaces = line.split()[1]
            elif shown in line:
                found.append(interfaces)
        return found

    async with arcly.Engine(arcly.PullSource(f"udp://@{group}:{free_udp_port()}?iface={interface}", CAM)):
        assert await eventually(joined_on) == ["lo"]
    await eventually(lambda: not joined_on(), what="it is left")


async def test_each_program_is_a_stream_of_its_own(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    path, port = tmp_path / "two.ts", free_udp_port()
    programs = ["-program", "program_num=11:st=0:st=1", "-program", "program_num=22:st=2:st=3"]
    inputs = ["-i", str(clip(seconds=3)), "-i", str(clip(seconds=3, size="320x180"))]
    maps = [f"-map {n}:{kind}" for n in (0, 1) for kind in ("v", "a")]
    muxed = await run(ffmpeg, "-v", "error", *inputs, *" ".join(maps).split(), "-c", "copy", *programs, path)
    assert muxed.returncode == 0, muxed.stderr
    all_maps = ["-map", "0", *programs]
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", "tv/{program}")
    async with arcly.Engine(pull) as engine, sending(ffmpeg, path, f"udp://127.0.0.1:{port}?pkt_size=1316", *all_maps):
        first = await heard(engine, arcly.StreamKey("tv", "11"))
        second = await heard(engine, arcly.StreamKey("tv", "22"))
        await asyncio.gather(take(first, 50), take(second, 50))
        assert [(track.codec, track.width) for track in first.tracks] == [("H264", 640), ("AAC", None)]
        assert [(track.codec, track.width) for track in second.tracks] == [("H264", 320), ("AAC", None)]
    one = arcly.PullSource(f"udp://127.0.0.1:{port}?program=22", "tv/one")
    async with arcly.Engine(one) as engine, sending(ffmpeg, path, f"udp://127.0.0.1:{port}?pkt_size=1316", *all_maps):
        only = await heard(engine, arcly.StreamKey("tv", "one"))
        tracks = await eventually(lambda: only.tracks)
        assert next(track.width for track in tracks if track.kind == "video") == 320


async def test_a_key_that_is_taken_stops_neither_its_own_listener_nor_another(
    ffmpeg: str, clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Where a second publisher used to tear down every protocol of the server."""
    path, port = clip(seconds=4), free_udp_port()
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", CAM, backoff_s=QUICK)
    async with serving() as server:
        await pull.start(server.engine)
        holder = await server.engine.start_publish(CAM)
        async with sending(ffmpeg, path, f"udp://127.0.0.1:{port}?pkt_size=1316"):
            await eventually(lambda: "live/cam cannot be published" in caplog.text)
            publish = ["-re", "-i", path, "-c", "copy", "-f", "flv", server.rtmp_url("live/other")]
            async with running(ffmpeg, "-v", "error", *map(str, publish)):
                await heard(server.engine, arcly.StreamKey("live", "other"))
            holder.end()
            stream = await eventually(
                lambda: (stream := server.stream("live/cam")) and stream.protocol == "udp" and stream
            )
            assert await take(stream, 20)
        assert caplog.text.count("live/cam cannot be published") == 1
        await pull.stop()


@pytest.mark.parametrize(("grace_s", "is_same"), [(20.0, True), (0.0, False)])
async def test_a_sender_that_stops_and_returns_is_the_same_stream_within_its_grace_and_another_behind_it(
    grace_s: float, is_same: bool, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    path, port = clip(seconds=4), free_udp_port()
    there = f"udp://127.0.0.1:{port}?pkt_size=1316"
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", CAM, idle_timeout_s=0.5, grace_s=grace_s)
    async with arcly.Engine(pull) as engine:
        async with sending(ffmpeg, path, there):
            stream = await heard(engine)
            await take(stream, 30)
        await eventually(lambda: pull.state is arcly.LinkState.CONNECTING)
        if not is_same:
            await eventually(lambda: engine.get_stream(CAM) is None)
        async with sending(ffmpeg, path, there):
            await eventually(lambda: pull.state is arcly.LinkState.RUNNING)
            again = await heard(engine)
            await take(again, 30)
        assert (again.session == stream.session) is is_same


async def test_other_tracks_are_announced_where_they_begin(ffmpeg: str, clip: Callable[..., Path]) -> None:
    """The sender changes its program: other pictures, no sound."""
    port = free_udp_port()
    there = f"udp://127.0.0.1:{port}?pkt_size=1316"
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", CAM, idle_timeout_s=0.5)
    async with arcly.Engine(pull) as engine:
        async with sending(ffmpeg, clip(seconds=4), there):
            stream = await heard(engine)
            await take(stream, 30)
        await eventually(lambda: pull.state is arcly.LinkState.CONNECTING)
        async with sending(ffmpeg, clip(seconds=4, audio=False, size="320x180"), there):
            await eventually(lambda: [track.width for track in stream.tracks] == [320])
            frames = await take(stream, 20)
            assert {frame.kind for frame in frames} == {"video"}


async def test_times_go_on_through_the_wrap_of_33_bits(ffmpeg: str, clip: Callable[..., Path]) -> None:
    path, port = clip(seconds=4), free_udp_port()
    offset = str(2**33 / 90_000 - 3)
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", CAM)
    there = f"udp://127.0.0.1:{port}?pkt_size=1316"
    async with arcly.Engine(pull) as engine, sending(ffmpeg, path, there, "-output_ts_offset", offset):
        frames = [frame for frame in await take(await heard(engine), 350) if frame.kind == "audio"]
    steps = {after.dts - before.dts for before, after in itertools.pairwise(frames)}
    assert frames[-1].dts - frames[0].dts > 3.5 * 44_100
    # A loop of the clip ends in a frame that is not whole.
    assert all(0 < step <= 2 * 1024 for step in steps), steps
    assert not any(frame.is_discontinuity for frame in frames)


@asynccontextmanager
async def lossy(port: int, *, loss: float, garbage: float = 0.0, reorder: float = 0.0) -> AsyncIterator[int]:
    """Pass datagrams on to `port`, and do harm to some of them; gives the port to send to."""
    chance = random.Random(7)
    loop = asyncio.get_running_loop()
    held: list[bytes] = []

    class Way(asyncio.DatagramProtocol):
        transport: asyncio.DatagramTransport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport  # type: ignore[assignment]

        def datagram_received(self, data: bytes, addr: object) -> None:
            there = ("127.0.0.1", port)
            if chance.random() < garbage:
                self.transport.sendto(chance.randbytes(chance.randrange(1, 1500)), there)
            if chance.random() < loss:
                return
            if not held and chance.random() < reorder:
                held.append(data)
                return
            self.transport.sendto(data, there)
            if held:
                self.transport.sendto(held.pop(), there)

    transport, _ = await loop.create_datagram_endpoint(Way, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_loss_and_garbage_cost_frames_and_are_marked(ffmpeg: str, clip: Callable[..., Path]) -> None:
    path, port = clip(seconds=4), free_udp_port()
    pull = arcly.PullSource(f"udp://127.0.0.1:{port}", CAM)
    async with (
        arcly.Engine(pull) as engine,
        lossy(port, loss=0.03, garbage=0.1) as way,
        sending(ffmpeg, path, f"udp://127.0.0.1:{way}?pkt_size=1316"),
    ):
        frames = await take(await heard(engine), 250)
    assert any(frame.is_discontinuity for frame in frames)
    for kind in ("video", "audio"):
        times = [frame.dts for frame in frames if frame.kind == kind]
        assert times == sorted(set(times))
        assert len(times) > 40


async def test_rtp_out_of_order_is_put_in_order(ffmpeg: str, clip: Callable[..., Path]) -> None:
    path, port = clip(seconds=4), free_udp_port()
    pull = arcly.PullSource(f"rtp://127.0.0.1:{port}", CAM)
    async with (
        arcly.Engine(pull) as engine,
        lossy(port, loss=0.0, reorder=0.2) as way,
        sending(ffmpeg, path, f"rtp://127.0.0.1:{way}"),
    ):
        frames = await take(await heard(engine), 150)
    assert not any(frame.is_discontinuity for frame in frames)


async def test_gstreamer_sends_and_receives(clip: Callable[..., Path], ffmpeg: str, tmp_path: Path) -> None:
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        missing("gst-launch-1.0 (on Debian: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad)")
        return
    path, port, back = tmp_path / "clip.ts", free_udp_port(), free_udp_port()
    muxed = await run(ffmpeg, "-v", "error", "-stream_loop", "4", "-i", clip(seconds=4), "-c", "copy", path)
    assert muxed.returncode == 0, muxed.stderr
    pull = arcly.PullSource(f"rtp://127.0.0.1:{port}", CAM)
    push = arcly.PushTarget(f"rtp://127.0.0.1:{back}", CAM)
    send = f"filesrc location={path} ! tsparse set-timestamps=true ! rtpmp2tpay ! udpsink host=127.0.0.1 port={port}"
    caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=MP2T"
    copy = tmp_path / "copy.ts"
    receive = f"udpsrc address=127.0.0.1 port={back} caps={caps} ! rtpmp2tdepay ! tsparse ! filesink location={copy}"
    async with (
        arcly.Engine(pull, push) as engine,
        running(launch, "-q", *receive.split()),
        running(launch, "-q", *send.split()),
    ):
        await take(await heard(engine), 150)
        await eventually(lambda: copy.exists() and copy.stat().st_size > 300_000)
    probed = await run(ffmpeg, "-v", "error", "-i", copy, "-map", "0:v", "-c", "copy", "-f", "framemd5", "-")
    assert len(packets(probed.stdout, 0)) > 20


async def test_relay_carries_a_file_to_udp_and_udp_to_a_file(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    path, port, copy = clip(seconds=4), free_udp_port(), tmp_path / "copy.ts"
    relay = [sys.executable, "-m", "arcly", "relay"]
    there = f"rtp://127.0.0.1:{port}"
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        taking = await asyncio.create_subprocess_exec(*map(str, (*relay, there, copy)), stderr=stderr)
    try:
        await eventually(lambda: "listening" in log.read_text())
        sent = await run(*relay, path, there)
        assert sent.returncode == 0, sent.stderr
        assert "frames" in sent.stderr
        taking.send_signal(signal.SIGINT)
        assert await taking.wait() == 0
    finally:
        if taking.returncode is None:
            taking.kill()
            await taking.wait()
    played = await digest(ffmpeg, copy)
    whole = await digest(ffmpeg, path)
    played_sizes = [(str(int(size) - 7), "") for size, _ in packets(played, 1)]
    assert_run_of(played_sizes, [(size, "") for size, _ in packets(whole, 1)], 50)
