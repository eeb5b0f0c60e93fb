"""Streams pulled from and pushed to other servers: nginx-rtmp, and arcly itself."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from conftest import Server, eventually, missing, run, running, serving
from test_http_live import live
from test_tls import issue

import arcly
from arcly.server.relay import way
from arcly.services.auth import Action, User, Users
from arcly.testing import MemoryRegistry

QUICK = (0.05, 0.2)
"""A backoff that tests can wait for."""

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

CONFIG = """\
load_module {module};
daemon off;
master_process off;
worker_processes 1;
error_log {folder}/error.log info;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
rtmp {{
  server {{
    listen 127.0.0.1:{port};
    chunk_size 4096;
    application live {{ live on; }}
    application closed {{ live on; deny publish all; }}
    {more}
  }}
}}
"""


@dataclass
class Nginx:
    """A server with nginx-rtmp that can be killed and started again on its port."""

    folder: Path
    port: int
    more: str = ""
    process: asyncio.subprocess.Process | None = None

    def url(self, name: str) -> str:
        """Where `name` (`live/cam`) is."""
        return f"rtmp://127.0.0.1:{self.port}/{name}"

    async def start(self) -> None:
        """Start it, and return when it listens."""
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(module=MODULE, folder=self.folder, port=self.port, more=self.more))
        self.process = await asyncio.create_subprocess_exec(
            "/usr/sbin/nginx", "-p", str(self.folder), "-c", str(config), "-e", str(self.folder / "error.log")
        )
        await eventually(self.listens, what="nginx listens")

    async def listens(self) -> bool:
        """Return whether somebody answers."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        """End it without any goodbye."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def free_port() -> int:
    """Return a port that was free a moment ago: nginx cannot be asked which one it got."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def nginx_folder(tmp_path: Path) -> Path:
    """Where nginx-rtmp puts its files, if it is installed."""
    if not MODULE.exists() or shutil.which("nginx", path="/usr/sbin:/usr/bin") is None:
        missing("nginx-rtmp (on Debian: apt-get install nginx libnginx-mod-rtmp)")
    folder = tmp_path / "nginx"
    folder.mkdir()
    return folder


@pytest.fixture
async def nginx(nginx_folder: Path) -> AsyncIterator[Nginx]:
    """A running nginx-rtmp."""
    nginx = Nginx(nginx_folder, free_port())
    await nginx.start()
    yield nginx
    await nginx.kill()


def packets(output: bytes, kind: int) -> list[tuple[str, str]]:
    """Size and digest of every packet of a stream of ffmpeg's framemd5."""
    rows = [line.split(",") for line in output.decode().splitlines() if not line.startswith("#")]
    return [(row[4].strip(), row[5].strip()) for row in rows if int(row[0]) == kind]


async def digest(ffmpeg: str, source: object, *options: object) -> bytes:
    """Every packet of a source, by ffmpeg."""
    read = await run(ffmpeg, "-v", "error", *options, "-i", str(source), "-c", "copy", "-f", "framemd5", "-")
    assert read.returncode == 0, read.stderr
    return read.stdout


def assert_run_of(part: list[tuple[str, str]], whole: list[tuple[str, str]], at_least: int) -> None:
    """Assert that the packets of `part` stand in `whole` in one piece: nothing changed, lost or made up."""
    assert len(part) >= at_least
    starts = (n for n, packet in enumerate(whole) if packet == part[0])
    assert any(whole[n : n + len(part)] == part for n in starts), "a run of the same packets"


async def test_ffmpeg_plays_from_nginx_what_arcly_pushes(nginx: Nginx, ffmpeg: str, clip: Callable[..., Path]) -> None:
    path = clip()
    source = arcly.FileSource(path, arcly.StreamKey("live", "cam"))
    push = arcly.PushTarget(nginx.url("live/out"), "live/cam", backoff_s=QUICK)
    async with arcly.Engine(push, source):
        await eventually(lambda: push.state is arcly.LinkState.RUNNING)
        played = await digest(ffmpeg, nginx.url("live/out"), "-t", "4")
        whole = await digest(ffmpeg, path)
        for kind, at_least in ((0, 60), (1, 100)):
            assert_run_of(packets(played, kind), packets(whole, kind) * 3, at_least)
        status = push.status
        assert (status.retries, status.last_error, status.skipped) == (0, None, 0)
        assert status.frames > 100
        assert status.bytes > 50_000
    assert push.state is arcly.LinkState.STOPPED


async def test_arcly_pulls_from_nginx_what_ffmpeg_publishes(
    nginx: Nginx, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    path = clip(seconds=4)
    pull = arcly.PullSource(nginx.url("live/in"), "live/cam", backoff_s=QUICK, idle_timeout_s=5)
    async with arcly.Engine(pull) as engine:
        assert engine.get_stream(arcly.StreamKey("live", "cam")) is None, "nothing is published before there is media"
        publish = ["-re", "-i", path, "-c", "copy", "-f", "flv", nginx.url("live/in")]
        async with running(ffmpeg, "-v", "error", *map(str, publish)):
            stream = await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "cam")))
            frames = []
            async for frame in stream.subscribe():
                frames.append(frame)
                if len(frames) == 150:
                    break
        whole = await digest(ffmpeg, path)
        for kind, name in ((0, "video"), (1, "audio")):
            got = [bytes(frame) for frame in frames if frame.kind == name]
            sizes = [int(size) for size, _ in packets(whole, kind)]
            # ffmpeg leaves what x264 says of itself in the first packet; parameter sets stand in the record for both.
            assert_run_of([(str(len(data)), "") for data in got], [(str(size), "") for size in sizes], 50)
        assert pull.state is arcly.LinkState.RUNNING
        assert pull.status.frames >= 150


async def test_nginx_pushes_to_arcly_and_pulls_from_it(
    nginx_folder: Path, server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    """The other way round: nginx-rtmp is the client, once as publisher and once as player."""
    target, source = server.rtmp_url("live/pushed"), server.rtmp_url("live/cam")
    push = f"application up {{ live on; push {target}; }}"
    pull = f"application down {{ live on; pull {source} name=cam; }}"
    nginx = Nginx(nginx_folder, free_port(), f"{push} {pull}")
    await nginx.start()
    path = clip()
    try:
        async with live(server, ffmpeg, path):
            whole = await digest(ffmpeg, path)
            played = await digest(ffmpeg, nginx.url("down/cam"), "-t", "3")
            assert_run_of(packets(played, 0), packets(whole, 0) * 3, 40)
            publish = ["-re", "-i", source, "-c", "copy", "-f", "flv", nginx.url("up/cam")]
            async with running(ffmpeg, "-v", "error", *publish):
                stream = await eventually(lambda: server.stream("live/pushed"))
                frames = await take(stream, 100)
            sizes = [(size, "") for size, _ in packets(whole, 1)]
            assert_run_of([(str(len(data)), "") for data in of_kind(frames, "audio")], sizes * 3, 40)
    finally:
        await nginx.kill()


async def test_a_stream_goes_through_two_arclies_bit_by_bit(ffmpeg: str, clip: Callable[..., Path]) -> None:
    """origin ──push──▶ middle ◀──pull── edge."""
    path = clip()
    key = arcly.StreamKey("live", "cam")
    async with serving() as middle:
        push = arcly.PushTarget(middle.rtmp_url("live/cam?token=x"), key, backoff_s=QUICK)
        pull = arcly.PullSource(middle.rtmp_url("live/cam"), key, backoff_s=QUICK)
        async with arcly.Engine(push, arcly.FileSource(path, key)) as origin, arcly.Engine(pull) as edge:
            there = await eventually(lambda: edge.get_stream(key))
            here = origin.get_stream(key)
            assert here is not None
            sent, came = await asyncio.gather(take(here, 200), take(there, 150))
            for kind in ("video", "audio"):
                got, whole = of_kind(came, kind), of_kind(sent, kind)
                overlap = [frame for frame in got if frame in set(whole)]
                assert len(overlap) > 30
                assert_run_of(pair(overlap), pair(whole), 30)
            assert [track.codec for track in there.tracks] == [track.codec for track in here.tracks]
        await eventually(lambda: middle.stream("live/cam") is None, what="the goodbye ends the stream at once")


async def test_a_server_that_drains_sends_publishers_and_players_to_another_one(
    clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """By the reconnect request of Enhanced RTMP v2, which links obey. source ──push──▶ old ◀──pull── edge."""
    key, token = arcly.StreamKey("live", "cam"), "token=x"
    asked: list[str] = []

    class Witness:
        async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
            asked.append(credentials.query)
            return True

        async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
            return True

    async with serving(authenticator=Witness()) as new:
        old_rtmp = arcly.RtmpHandler("127.0.0.1:0", reconnect_to=new.rtmp_url("").rstrip("/"))
        async with serving(old_rtmp) as old:
            push = arcly.PushTarget(old.rtmp_url(f"live/cam?{token}"), key, backoff_s=QUICK)
            pull = arcly.PullSource(old.rtmp_url("live/cam"), key, backoff_s=QUICK)
            source = arcly.FileSource(clip(), key, loop=True)
            async with arcly.Engine(push, source), arcly.Engine(pull) as edge:
                there = await eventually(lambda: edge.get_stream(key))
                assert await old.engine.drain(60), "all have left"
                stream = await eventually(lambda: new.stream("live/cam"))
                assert await take(stream, 50)
                assert asked == [token]
                await eventually(lambda: [viewer.protocol for viewer in new.rtmp.list_viewers()] == ["rtmp"])
                assert await take(edge.get_stream(key) or there, 50)
                # They named the first server ever after.
                assert (push.status.remote, pull.status.remote) == (new.rtmp_url("live/cam"),) * 2
                assert f"[push] live/cam goes out to {new.rtmp_url('live/cam')}" in caplog.messages
                assert f"[pull] {new.rtmp_url('live/cam')} comes in as live/cam" in caplog.messages
            assert str(push) == old.rtmp_url("live/cam")
            assert way(push) == f"{push}, then {new.rtmp_url('live/cam')}"


async def test_who_cannot_reconnect_is_let_be(ffmpeg: str, clip: Callable[..., Path]) -> None:
    """FFmpeg does not say that it can; its stream goes on, and ends the draining when it ends."""
    async with serving(arcly.RtmpHandler("127.0.0.1:0", reconnect_to="rtmp://127.0.0.1:9")) as server:
        publish = ["-re", "-i", clip(seconds=4), "-c", "copy", "-f", "flv", server.rtmp_url("live/cam")]
        async with running(ffmpeg, "-v", "error", *map(str, publish)) as process:
            await eventually(lambda: server.stream("live/cam"))
            assert await server.engine.drain(60)
            assert await process.wait() == 0


@pytest.mark.parametrize(
    "place", ["live", "http://host", "rtmp://", "rtmp://host/live", "rtmp://me:secret@host", "rtmp://host:x"]
)
def test_who_is_sent_away_is_sent_to_a_server(place: str) -> None:
    with pytest.raises(arcly.MisuseError, match="to a server of the form"):
        arcly.RtmpHandler(reconnect_to=place)


async def take(stream: arcly.StreamHandle, count: int) -> list[arcly.MediaFrame]:
    """The next frames of a stream."""
    frames = []
    async for frame in stream.subscribe():
        frames.append(frame)
        if len(frames) == count:
            break
    return frames


def of_kind(frames: list[arcly.MediaFrame], kind: str) -> list[bytes]:
    """Their payloads."""
    return [bytes(frame) for frame in frames if frame.kind == kind]


def pair(payloads: list[bytes]) -> list[tuple[str, str]]:
    """In the form of `packets`."""
    return [(str(len(data)), data.hex()) for data in payloads]


async def test_a_pull_survives_its_remote_and_so_do_the_viewers(
    nginx: Nginx, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    """nginx is killed and comes back: same stream, same reader, times go on, one discontinuity."""
    publish = [
        "-v",
        "error",
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        clip(),
        "-c",
        "copy",
        "-f",
        "flv",
        nginx.url("live/in"),
    ]
    pull = arcly.PullSource(nginx.url("live/in"), "live/cam", backoff_s=QUICK)
    key = arcly.StreamKey("live", "cam")
    async with arcly.Engine(pull) as engine:
        async with running(ffmpeg, *map(str, publish)):
            stream = await eventually(lambda: engine.get_stream(key))
            reader = aiter(stream.subscribe())
            before = [await anext(reader) for _ in range(50)]
            await nginx.kill()
        await eventually(lambda: pull.retries >= 2)
        assert pull.last_error is not None
        assert "connect" in pull.last_error
        await nginx.start()
        async with running(ffmpeg, *map(str, publish)):
            after = [await anext(reader) for _ in range(200)]
        breaks = [n for n, frame in enumerate(after) if frame.is_discontinuity]
        assert len(breaks) == 1
        assert after[breaks[0]].dts_s > before[-1].dts_s
        for kind in ("video", "audio"):
            times = [frame.dts for frame in before + after if frame.kind == kind]
            assert all(a < b for a, b in itertools.pairwise(times))
        assert engine.get_stream(key) == stream or engine.get_stream(key).session == stream.session  # type: ignore[union-attr]
        assert pull.status.frames >= 250


async def test_a_push_survives_its_remote(nginx: Nginx, ffmpeg: str, clip: Callable[..., Path]) -> None:
    key = arcly.StreamKey("live", "cam")
    push = arcly.PushTarget(nginx.url("live/out"), key, backoff_s=QUICK)
    async with arcly.Engine(push, arcly.FileSource(clip(), key)):
        await eventually(lambda: push.state is arcly.LinkState.RUNNING)
        seen = []

        async def follow() -> None:
            async for status in push.changes():
                seen.append(status.state)

        following = asyncio.create_task(follow())
        await eventually(lambda: seen)
        await nginx.kill()
        await eventually(lambda: push.retries >= 2)
        await nginx.start()
        await eventually(lambda: push.state is arcly.LinkState.RUNNING)
        played = await digest(ffmpeg, nginx.url("live/out"), "-t", "2")
        # ffmpeg may join right behind a key frame, and begins at the next one.
        assert len(packets(played, 0)) >= 20, "it begins with headers and a key frame again"
        following.cancel()
        assert seen[0] is arcly.LinkState.RUNNING
        assert {arcly.LinkState.WAITING, arcly.LinkState.CONNECTING} & set(seen)
        assert push.state is arcly.LinkState.RUNNING


async def test_what_a_remote_says_when_it_refuses_is_told_and_it_is_not_pressed(
    server: Server, clip: Callable[..., Path]
) -> None:
    """The name is taken there: its words are in `last_error`, and four connections are all that are made."""
    key = arcly.StreamKey("live", "cam")
    session = await server.engine.start_publish(key)
    push = arcly.PushTarget(server.rtmp_url("live/cam"), key, backoff_s=(0.01, 0.02), retries_max=3)
    async with arcly.Engine(push, arcly.FileSource(clip(), key)):
        await eventually(lambda: push.state is arcly.LinkState.FAILED)
        assert push.retries == 3
        assert push.last_error is not None
        assert "NetStream.Publish.BadName" in push.last_error
        assert "live/cam" in push.last_error
    session.end()


async def test_a_name_and_a_password_in_the_url_are_what_the_remote_asks_for(clip: Callable[..., Path]) -> None:
    """Found by reading: arcly says them in `tcUrl`, and passed over them where it is the remote."""
    users = Users([User("studio", "s3cr:t@", frozenset(Action))])
    async with serving(authenticator=users) as server:
        url = server.rtmp_url("live/cam").replace("//", "//studio:s3cr%3At%40@")
        push = arcly.PushTarget(url, "live/cam", backoff_s=QUICK)
        pull = arcly.PullSource(url, "live/copy", backoff_s=QUICK)
        wrong = arcly.PullSource(url.replace("s3cr", "s3kr"), "live/none", backoff_s=(0.01, 0.02), retries_max=1)
        async with arcly.Engine(push, pull, wrong, arcly.FileSource(clip(), arcly.StreamKey("live", "cam"))):
            await eventually(lambda: push.state is arcly.LinkState.RUNNING)
            await eventually(lambda: pull.state is arcly.LinkState.RUNNING)
            await eventually(lambda: wrong.state is arcly.LinkState.FAILED)
            assert wrong.last_error is not None
            assert "may not play" in wrong.last_error


async def test_nginx_closes_on_who_may_not_publish(nginx: Nginx, clip: Callable[..., Path]) -> None:
    key = arcly.StreamKey("live", "cam")
    push = arcly.PushTarget(nginx.url("closed/out"), key, backoff_s=(0.01, 0.02), retries_max=2)
    async with arcly.Engine(push, arcly.FileSource(clip(), key)):
        await eventually(lambda: push.state is arcly.LinkState.FAILED)
        assert push.last_error is not None
        # It closes with our bytes unread, so what arrives is its goodbye or the reset behind it.
        assert push.last_error.startswith(("the remote ", "the connection broke"))


async def test_rtmps_both_ways_with_an_authority_of_our_own(tmp_path: Path, clip: Callable[..., Path]) -> None:
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.cert_pem.bytes())
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=issue(authority, tmp_path))
    key = arcly.StreamKey("live", "cam")
    async with serving(rtmps) as server:
        assert rtmps.address is not None
        url = f"rtmps://localhost:{rtmps.address[1]}/live/cam"
        push = arcly.PushTarget(url, key, ca_file=ca, backoff_s=QUICK)
        stranger = arcly.PullSource(url, "live/other", backoff_s=(0.01, 0.02), retries_max=1)
        pull = arcly.PullSource(url, "live/copy", ca_file=ca, backoff_s=QUICK)
        careless = arcly.PullSource(url, "live/careless", verify=False, backoff_s=QUICK)
        async with arcly.Engine(push, stranger, pull, careless, arcly.FileSource(clip(), key)) as engine:
            await eventually(lambda: server.stream("live/cam"))
            copy = await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "copy")))
            assert len(await take(copy, 60)) == 60
            await eventually(lambda: careless.state is arcly.LinkState.RUNNING)
            await eventually(lambda: stranger.state is arcly.LinkState.FAILED)
            assert stranger.last_error is not None
            assert "certificate" in stranger.last_error


async def test_a_remote_that_cannot_take_a_codec_is_sent_the_rest(
    nginx: Nginx, ffmpeg: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Opus has no form from before Enhanced RTMP: nginx gets the pictures, and one line says so."""
    path = tmp_path / "opus.mp4"
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000"]
    codecs = ["-c:v", "libx264", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "libopus", "-t", "4", path]
    made = await run(ffmpeg, "-v", "error", *inputs, *codecs)
    assert made.returncode == 0, made.stderr
    key = arcly.StreamKey("live", "cam")
    push = arcly.PushTarget(nginx.url("live/out"), key, backoff_s=QUICK)
    async with arcly.Engine(push, arcly.FileSource(path, key)):
        await eventually(lambda: push.state is arcly.LinkState.RUNNING)
        played = await digest(ffmpeg, nginx.url("live/out"), "-t", "2")
        assert len(packets(played, 0)) >= 20
        assert packets(played, 1) == []
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 1
    assert "Opus" in told[0]


async def test_enhanced_rtmp_is_used_where_the_remote_offers_it(server: Server, ffmpeg: str, tmp_path: Path) -> None:
    """Between two arclies Opus needs nobody's permission."""
    path = tmp_path / "opus.mp4"
    made = await run(
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-c:a", "libopus", "-t", "4", path
    )
    assert made.returncode == 0, made.stderr
    key = arcly.StreamKey("live", "cam")
    async with arcly.Engine(
        arcly.PushTarget(server.rtmp_url("live/cam"), key, backoff_s=QUICK), arcly.FileSource(path, key)
    ):
        stream = await eventually(lambda: server.stream("live/cam"))
        frames = await take(stream, 20)
        assert frames[0].codec == "Opus"


async def test_a_registry_of_the_host_and_a_stream_as_target(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    """A pull publishes into a registry written in Python; a push takes a stream itself and ends with it."""
    registry = MemoryRegistry()
    key = arcly.StreamKey("live", "cam")
    async with live(server, ffmpeg, clip()):
        pull = arcly.PullSource(server.rtmp_url("live/cam"), "live/copy", backoff_s=QUICK)
        async with arcly.Engine(pull, registry=registry):
            copy = await eventually(lambda: registry.get_stream(arcly.StreamKey("live", "copy")))
            assert copy.protocol == "rtmp"
        stream = server.engine.get_stream(key)
        assert stream is not None
        push = arcly.PushTarget(server.rtmp_url("live/again"), stream, backoff_s=QUICK)
        await push.start(server.engine)
        again = await eventually(lambda: server.stream("live/again"))
        assert len(await take(again, 30)) == 30
        server.engine.end_stream(stream)
        await eventually(lambda: push.state is arcly.LinkState.STOPPED)
        await push.stop()


async def relay(*arguments: object) -> asyncio.subprocess.Process:
    """Start `arcly relay`."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arcly", "relay", *map(str, arguments), stderr=asyncio.subprocess.PIPE
    )


async def test_the_command_carries_a_file_to_a_server_and_a_copy_to_the_disk(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    path, copy = clip(seconds=2), tmp_path / "copy.ts"
    process = await relay(path, server.rtmp_url("live/cam"), copy)
    stream = await eventually(lambda: server.stream("live/cam"))
    frames = [frame async for frame in stream.subscribe()]
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, said
    assert sum(frame.kind == "video" for frame in frames) == 50
    assert len(packets(await digest(ffmpeg, copy), 0)) == 50
    assert b"goes out to rtmp://127.0.0.1" in said
    assert b"0 skipped, 0 retries" in said


async def test_the_command_pulls_and_ends_in_order_by_a_signal(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.flv"
    async with live(server, ffmpeg, clip()):
        process = await relay(server.rtmp_url("live/cam"), server.rtmp_url("live/out"), copy)
        await eventually(lambda: server.stream("live/out"))
        stream = server.stream("live/out")
        assert stream is not None
        await take(stream, 50)
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, said
        await eventually(lambda: server.stream("live/out") is None)
    assert len(packets(await digest(ffmpeg, copy), 0)) > 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://localhost/live/cam", "x.ts"], "is not spoken here"),
        (["nothing.mp4", "rtmp://localhost/live/cam"], "No such file"),
        (["nothing.mp4", "x.avi"], "no format given"),
    ],
)
async def test_the_command_says_what_is_wrong_with_its_arguments(arguments: list[str], said: str) -> None:
    process = await relay(*arguments)
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert said in stderr.decode()


async def test_the_command_fails_when_nothing_is_left_to_do(clip: Callable[..., Path]) -> None:
    process = await relay(clip(), f"rtmp://127.0.0.1:{free_port()}/live/cam", "--retries", "1")
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert "given up after 1 retries" in stderr.decode()
