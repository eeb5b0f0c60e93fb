"""RTSP with real programs: two generations of FFmpeg publish and play, over TCP and UDP, and get what was sent."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
import websockets
from conftest import Server, eventually, missing, run, running
from test_rtmp_play import frames

import arcly

TRANSPORTS = ["tcp", "udp"]


@pytest.fixture(params=["ffmpeg 5", "ffmpeg 9"])
def player(request: pytest.FixtureRequest, ffmpeg: str) -> str:
    """FFmpeg of Debian, and the newest one."""
    if request.param == "ffmpeg 9":
        return ffmpeg
    found = shutil.which("ffmpeg", path="/usr/bin:/usr/local/bin")
    if found is None:
        missing("Debian's ffmpeg")
    assert found is not None
    return found


class RtspServer(Server):
    """A server that speaks RTSP, too."""

    rtsp: arcly.RtspHandler

    def rtsp_url(self, name: str) -> str:
        """Where `name` (`live/cam`) is published and played."""
        assert self.rtsp.address is not None
        return f"rtsp://127.0.0.1:{self.rtsp.address[1]}/{name}"


@asynccontextmanager
async def rtsp_serving(rtsp: arcly.RtspHandler | None = None, **options: object) -> AsyncIterator[RtspServer]:
    """Run a server on free ports."""
    rtsp = rtsp or arcly.RtspHandler("127.0.0.1:0", udp_port=0)
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")
    async with arcly.Engine(rtsp, rtmp, http, **options) as engine:  # type: ignore[arg-type]
        server = RtspServer(engine, rtmp, http)
        server.rtsp = rtsp
        yield server


@pytest.fixture
async def rtsp_server() -> AsyncIterator[RtspServer]:
    """A server on free ports."""
    async with rtsp_serving() as server:
        yield server


@asynccontextmanager
async def published(
    server: RtspServer,
    program: str,
    source: Path,
    *options: str,
    transport: str = "tcp",
    name: str = "live/cam",
    url: str | None = None,
) -> AsyncIterator[None]:
    """A stream that repeats `source` for ever, by RTSP."""
    publish = [program, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", *options]
    publish += ["-rtsp_transport", transport, "-f", "rtsp", url or server.rtsp_url(name)]
    async with running(*publish):
        await eventually(lambda: (stream := server.stream(name)) and stream.tracks, what="it is published")
        yield


def times(output: bytes, stream: int, rate_hz: int) -> list[float]:
    """When the frames of a stream are shown, in seconds. FFmpeg gives the very first picture of RTSP no time, whatever
    the server: it is left out.
    """
    return [int(row[2]) / rate_hz for row in frames(output, stream)][1:]


def play(program: str, url: str, *options: str, transport: str = "tcp", seconds: float = 3) -> list[str]:
    """The command that plays, and lists what came."""
    command = [program, "-v", "error", "-rtsp_transport", transport, "-i", url, "-t", str(seconds)]
    return [*command, "-c", "copy", *options, "-f", "framemd5", "-"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_ffmpeg_publishes_and_plays(
    rtsp_server: RtspServer, player: str, clip: Callable[..., Path], transport: str
) -> None:
    async with published(rtsp_server, player, clip(b_frames=0), transport=transport):
        url = rtsp_server.rtsp_url("live/cam")
        read = await run(*play(player, url, transport=transport))
        assert read.returncode == 0, read.stderr
        pictures, sound = times(read.stdout, 0, 90_000), times(read.stdout, 1, 44_100)
        assert {round(b - a, 3) for a, b in itertools.pairwise(pictures)} == {0.04}, "each picture, at its time"
        assert {round((b - a) * 44_100) for a, b in itertools.pairwise(sound)} == {1024}
        assert len(pictures) >= 20
        assert len(sound) >= 35
        # By UDP each track finds its own way: a packet of sound may overtake the key picture.
        assert abs(pictures[0] - sound[0]) < 0.12


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_reordered_pictures_arrive_with_their_sound(
    rtsp_server: RtspServer, player: str, clip: Callable[..., Path], transport: str
) -> None:
    """A peer is 200 to 300 ms off here."""
    async with published(rtsp_server, player, clip(b_frames=3), transport=transport):
        url = rtsp_server.rtsp_url("live/cam")
        read = await run(*play(player, url, transport=transport))
        assert read.returncode == 0, read.stderr
        pictures, sound = sorted(times(read.stdout, 0, 90_000)), times(read.stdout, 1, 44_100)
        steps = {round(b - a, 3) for a, b in itertools.pairwise(pictures[3:-3])}
        assert steps == {0.04}, "no picture is missing between the first and the last ones"
        # Behind the key picture, which FFmpeg gives no time, the first that is shown.
        assert abs(pictures[0] - sound[0]) < 0.19, "both begin at the key picture"


async def test_viewers_are_listed_by_how_they_watch_and_can_be_ended(
    rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with published(rtsp_server, ffmpeg, clip(b_frames=0)):
        url = rtsp_server.rtsp_url("live/cam")
        for transport, protocol in [("tcp", "rtsp"), ("udp", "rtsp-udp")]:
            async with running(*play(ffmpeg, url, transport=transport, seconds=60)) as process:
                await eventually(lambda: (viewers := rtsp_server.rtsp.list_viewers()) and viewers[0].frames > 20)
                [viewer] = rtsp_server.rtsp.list_viewers()
                assert (viewer.protocol, str(viewer.key), viewer.dropped) == (protocol, "live/cam", 0)
                assert viewer.bytes > 10_000
                assert rtsp_server.rtsp.kick(viewer.id)
                await eventually(lambda: rtsp_server.rtsp.list_viewers() == [], what="it is gone")
                await eventually(lambda process=process: process.returncode is not None, what="and has noticed")


async def test_ffmpeg_plays_through_a_tunnel_of_http(
    rtsp_server: RtspServer, player: str, clip: Callable[..., Path]
) -> None:
    async with published(rtsp_server, player, clip(b_frames=0)):
        read = await run(*play(player, rtsp_server.rtsp_url("live/cam"), transport="http"))
        assert read.returncode == 0, read.stderr
        assert len(times(read.stdout, 0, 90_000)) >= 70
        assert len(times(read.stdout, 1, 44_100)) >= 115


@asynccontextmanager
async def bridged(url: str) -> AsyncIterator[int]:
    """A TCP port whose connections go on as WebSockets: what a page's gateway does."""

    async def back(socket: websockets.ClientConnection, writer: asyncio.StreamWriter) -> None:
        with suppress(websockets.ConnectionClosed, ConnectionError), closing(writer):
            async for message in socket:
                assert isinstance(message, bytes)
                writer.write(message)
                await writer.drain()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(websockets.ConnectionClosed, ConnectionError), closing(writer):
            async with websockets.connect(url, subprotocols=[websockets.Subprotocol("rtsp.onvif.org")]) as socket:
                assert socket.subprotocol == "rtsp.onvif.org"
                answers = asyncio.create_task(back(socket, writer))
                while said := await reader.read(1000):
                    await socket.ping()
                    await socket.send(said)
            await answers

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("way", ["play", "publish"])
async def test_a_websocket_carries_a_session(
    rtsp_server: RtspServer, player: str, clip: Callable[..., Path], way: str
) -> None:
    """FFmpeg through a bridge of the `websockets` library, with a ping in front of everything that is said."""
    through = rtsp_server.rtsp_url("").replace("rtsp:", "ws:")
    async with bridged(through) as port:
        bridge = f"rtsp://127.0.0.1:{port}/live/cam"
        is_play = way == "play"
        publish_to, play_from = (None, bridge) if is_play else (bridge, rtsp_server.rtsp_url("live/cam"))
        async with published(rtsp_server, player, clip(b_frames=0), url=publish_to):
            read = await run(*play(player, play_from))
            assert read.returncode == 0, read.stderr
            assert len(times(read.stdout, 0, 90_000)) >= 70
            assert len(times(read.stdout, 1, 44_100)) >= 115
        await eventually(lambda: rtsp_server.stream("live/cam") is None, what="the goodbye has come through")
        await eventually(lambda: rtsp_server.rtsp.list_viewers() == [])


async def test_the_end_of_the_publisher_ends_the_stream_and_its_plays(
    rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with published(rtsp_server, ffmpeg, clip(b_frames=0)):
        reading = asyncio.create_task(run(*play(ffmpeg, rtsp_server.rtsp_url("live/cam"), seconds=60)))
        await eventually(lambda: (viewers := rtsp_server.rtsp.list_viewers()) and viewers[0].frames > 20)
    read = await reading
    assert len(frames(read.stdout, 0)) > 5
    await eventually(lambda: rtsp_server.stream("live/cam") is None)


async def test_a_stream_that_is_not_there_is_404_and_a_bad_name_400(rtsp_server: RtspServer, ffmpeg: str) -> None:
    for name, status in [("live/nothing", "404"), ("nothing", "400")]:
        read = await run(*play(ffmpeg, rtsp_server.rtsp_url(name)))
        assert read.returncode != 0
        assert status in read.stderr


async def test_a_name_that_is_taken_is_refused(rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path]) -> None:
    source = clip(b_frames=0)
    async with published(rtsp_server, ffmpeg, source):
        second = [ffmpeg, "-v", "error", "-re", "-i", source, "-c", "copy", "-f", "rtsp"]
        refused = await run(*second, rtsp_server.rtsp_url("live/cam"))
        assert refused.returncode != 0
        assert "403" in refused.stderr


CODECS = {
    "h265": ["-c:v", "libx265", "-x265-params", "log-level=error:keyint=25:bframes=2", "-c:a", "libopus"],
    "av1": ["-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-c:a", "libopus"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "libopus"],
    "vp8": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "libopus"],
    "mp3": ["-c:v", "libx264", "-g", "25", "-c:a", "libmp3lame"],
    "g711a": ["-c:v", "libx264", "-g", "25", "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
    "g711u": ["-c:v", "libx264", "-g", "25", "-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"],
}


EXPERIMENTAL = ["-strict", "experimental", "-copyinkf"]
"""FFmpeg marks no picture of VP8 and VP9 over RTSP as a key picture."""


@pytest.mark.parametrize("codec", CODECS)
async def test_codecs_pass_both_ways(
    rtsp_server: RtspServer, player: str, ffmpeg: str, codec: str, tmp_path: Path
) -> None:
    if codec == "av1" and player != ffmpeg:
        pytest.skip("FFmpeg 5 knows no AV1 over RTP")
    source = tmp_path / "clip.mkv"
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000"]
    made = await run(ffmpeg, "-v", "error", "-y", *inputs, *CODECS[codec], "-t", "4", "-pix_fmt", "yuv420p", source)
    assert made.returncode == 0, made.stderr

    async def passes(way_in: str, way_out: str) -> None:
        name = f"live/{way_in}"
        async with published(rtsp_server, player, source, *EXPERIMENTAL[:2], transport=way_in, name=name):
            url = rtsp_server.rtsp_url(name)
            read = await run(*play(player, url, *EXPERIMENTAL, transport=way_out, seconds=2))
            assert read.returncode == 0, read.stderr
            # By UDP a busy machine loses some.
            assert len(frames(read.stdout, 0)) >= 20
            assert len(frames(read.stdout, 1)) >= 20

    await asyncio.gather(passes("tcp", "udp"), passes("udp", "tcp"))


async def test_what_comes_by_rtmp_leaves_by_rtsp(rtsp_server: RtspServer, ffmpeg: str, tmp_path: Path) -> None:
    """Enhanced RTMP brings what plain RTMP cannot."""
    source = tmp_path / "clip.mp4"
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000"]
    made = await run(
        ffmpeg,
        "-v",
        "error",
        "-y",
        *inputs,
        *CODECS["h265"][:4],
        "-c:a",
        "aac",
        "-t",
        "4",
        "-pix_fmt",
        "yuv420p",
        source,
    )
    assert made.returncode == 0, made.stderr
    publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv"]
    async with running(*publish, rtsp_server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := rtsp_server.stream("live/cam")) and stream.tracks)
        for transport in TRANSPORTS:
            read = await run(*play(ffmpeg, rtsp_server.rtsp_url("live/cam"), transport=transport, seconds=2))
            assert read.returncode == 0, read.stderr
            pictures, sound = sorted(times(read.stdout, 0, 90_000)), times(read.stdout, 1, 48_000)
            assert len(pictures) >= 40
            assert len(sound) >= 70
            assert abs(pictures[0] - sound[0]) < 0.12, "in step from the first picture on"


async def test_what_comes_by_rtsp_leaves_by_all_other_ways(
    rtsp_server: RtspServer, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with published(rtsp_server, ffmpeg, clip(b_frames=2)):
        ways = {
            "rtmp": rtsp_server.rtmp_url("live/cam"),
            "flv": rtsp_server.url("/live/cam.flv"),
            "ts": rtsp_server.url("/live/cam.ts"),
            "mp4": rtsp_server.url("/live/cam.mp4"),
            "hls": rtsp_server.url("/live/cam/index.m3u8"),
        }
        for way, url in ways.items():
            if way == "hls":
                await eventually(lambda: (stream := rtsp_server.stream("live/cam")) and stream.stats.video_frames > 150)
            read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "2", "-c", "copy", "-f", "framemd5", "-")
            assert read.returncode == 0, f"{way}: {read.stderr}"
            assert len(frames(read.stdout, 0)) >= 40, way
            assert len(frames(read.stdout, 1)) >= 70, way
