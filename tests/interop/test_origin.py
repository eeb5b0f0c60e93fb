"""The HTTP origin as caches, browsers and impatient servers see it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvicorn
import websockets
from conftest import eventually, missing, run
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from test_tls import issue

import arcly

DEMO = Path(arcly.__file__).parent / "server" / "demo.flv"
CAM = arcly.StreamKey("live", "cam")


@dataclass
class Answer:
    """What curl says of an answer."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes


async def curl(url: str, *more: str) -> Answer:
    """One request, by curl."""
    program = shutil.which("curl")
    if program is None:
        missing("curl")
        raise AssertionError
    done = await run(program, "-s", "-S", "-i", "--max-time", "20", *more, url)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    version, status, *_ = first.split()
    return Answer(version, int(status), {k.lower(): v for k, v in (f.split(": ", 1) for f in fields)}, body)


@contextlib.asynccontextmanager
async def origin(bind: str = "127.0.0.1:0", **options: Any) -> AsyncIterator[arcly.HttpOrigin]:
    """An origin with a stream that is packaged."""
    http = arcly.HttpOrigin(bind, **options)
    async with arcly.Engine(http, arcly.FileSource(DEMO, CAM)):
        await eventually(lambda: http.hls_path(CAM))
        yield http


def url_of(address: tuple[str, int] | None, path: str, scheme: str = "http") -> str:
    """Return the URL of a path at a listener."""
    assert address is not None
    return f"{scheme}://127.0.0.1:{address[1]}{path}"


def uris(playlist: bytes) -> list[str]:
    """Return what a playlist names."""
    return [line for line in playlist.decode().splitlines() if line and not line.startswith("#")]


async def media_of(base: str, *more: str) -> tuple[str, str]:
    """Return the URLs of a media playlist and of a segment of MPEG-TS, which is whole."""
    multivariant = await curl(f"{base}/live/cam/ts.m3u8", *more)
    media = f"{base}/live/cam/{uris(multivariant.body)[0]}"
    playlist = await curl(media, *more)
    return media, f"{base}/live/cam/{uris(playlist.body)[0]}"


def free_port() -> int:
    """Return a port that nobody has, and that the kernel gives to nobody by itself."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@pytest.mark.parametrize("ports", ["two ports", "one port"])
async def test_one_site_speaks_http_1_and_2_with_and_without_tls(tmp_path: Path, ports: str) -> None:
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.cert_pem.bytes())
    trust = ["--cacert", str(ca)]
    bind = "127.0.0.1:0" if ports == "two ports" else f"127.0.0.1:{free_port()}"
    async with origin(bind, https=bind, tls=issue(authority, tmp_path)) as http:
        plain = url_of(http.address, "")
        secure = url_of(http.https_address, "", "https")
        assert (http.address == http.https_address) == (ports == "one port")
        for base, options, version in (
            (plain, ["--http1.1"], "HTTP/1.1"),
            (plain, ["--http2-prior-knowledge"], "HTTP/2"),
            (secure, [*trust, "--http2"], "HTTP/2"),
            (secure, [*trust, "--http1.1"], "HTTP/1.1"),
        ):
            media, segment = await media_of(base, *options)
            for url in (media, segment):
                answer = await curl(url, *options)
                assert (answer.version, answer.status) == (version, 200)
                head = await curl(url, "--head", *options)
                assert (head.status, head.body) == (200, b"")
                assert head.headers["content-length"] == str(len(answer.body)) or url == media
            assert (await curl(f"{base}/live/cam/index.m3u8", "-X", "OPTIONS", *options)).status == 204
            assert (await curl(f"{base}/live/cam/index.m3u8", "-X", "POST", *options)).status == 405


async def test_a_port_for_https_alone_speaks_no_http(tmp_path: Path) -> None:
    async with origin(tls=issue(trustme.CA(), tmp_path)) as http:
        assert http.address is not None
        reader, writer = await asyncio.open_connection(*http.address)
        writer.write(b"GET /live/cam/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert b"HTTP" not in said


async def test_a_cache_can_ask_whether_it_still_has_the_newest_and_for_a_part() -> None:
    async with origin() as http:
        media, segment = await media_of(url_of(http.address, ""))
        whole = await curl(segment)
        assert whole.headers["accept-ranges"] == "bytes"
        again = await curl(segment, "-H", f"If-None-Match: {whole.headers['etag']}")
        assert (again.status, again.body) == (304, b"")
        assert "content-length" not in again.headers
        assert again.headers["cache-control"] == "public, max-age=3600, immutable"
        part = await curl(segment, "-r", "188-563")
        assert (part.status, part.body) == (206, whole.body[188:564])
        assert part.headers["content-range"] == f"bytes 188-563/{len(whole.body)}"
        assert (await curl(segment, "-r", f"{len(whole.body)}-")).status == 416
        tail = await curl(segment, "-r", "-188", "-H", f"If-Range: {whole.headers['etag']}")
        assert tail.body == whole.body[-188:]
        playlist = await curl(media)
        assert playlist.headers["cache-control"] == "public, max-age=1"
        # It changes under our hands once a segment; the tag is that of its content.
        tags = {(await curl(media)).headers["etag"] for _ in range(3)}
        assert len(tags) <= 2
        with_tags = ["-H", "If-None-Match: " + ", ".join(tags)]
        assert (await curl(media, *with_tags)).status in (200, 304)


async def test_playlists_are_compressed_for_who_takes_it() -> None:
    async with origin(packager=arcly.HlsPackager(part_s=0.2)) as http:
        base = url_of(http.address, "/live/cam")
        multivariant = await curl(f"{base}/index.m3u8")
        media = f"{base}/{uris(multivariant.body)[0]}"

        async def is_long() -> bool:
            return len((await curl(media)).body) >= 512

        await eventually(is_long)
        answer = await curl(media, "-H", "Accept-Encoding: gzip")
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert gzip.decompress(answer.body).startswith(b"#EXTM3U")
        plain = await curl(media)
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding"


async def test_a_stream_is_packaged_while_somebody_watches() -> None:
    async with origin(packager=arcly.HlsPackager(idle_s=1)) as http:
        assert http.window_s(CAM) == 0, "nobody has asked"
        url = url_of(http.address, "")
        media, segment = await media_of(url)
        # Of CMAF the first segment may be complete later than of MPEG-TS.
        manifest = await curl(f"{url}/live/cam/manifest.mpd")
        assert (manifest.status, (await curl(segment)).status) == (200, 200)
        assert http.window_s(CAM) > 0
        await eventually(lambda: http.window_s(CAM) == 0, what="nobody asks any more")
        assert (await curl(segment)).status == 404
        # Who has slept meanwhile goes on: its playlist is there again, and of other segments.
        again = await curl(media)
        assert again.status == 200
        assert segment.rsplit("/", 1)[1] not in uris(again.body)
        for wrong in ({"event": True}, {"encryption": arcly.HlsEncryption()}, {"spill": "/tmp"}):
            with pytest.raises(arcly.MisuseError, match="idle_s"):
                arcly.HlsPackager(idle_s=1, **wrong)


async def test_renditions_are_packaged_while_somebody_watches_one_of_them() -> None:
    http = arcly.HttpOrigin("127.0.0.1:0", packager=arcly.HlsPackager(idle_s=1))
    smaller = arcly.StreamKey("live", "cam~360p")
    async with arcly.Engine(http, arcly.FileSource(DEMO, CAM), arcly.FileSource(DEMO, smaller)):
        await eventually(lambda: http.hls_path(CAM) and http.hls_path(smaller))
        multivariant = await curl(url_of(http.address, "/live/cam/index.m3u8"))
        assert b"../cam%7E360p/" in multivariant.body, "who is told of one is told of the other"
        assert http.window_s(smaller) > 0 < http.window_s(CAM)
        media = url_of(http.address, f"/live/cam~360p/{uris(multivariant.body)[-1].rsplit('/', 1)[1]}")

        async def plays_on() -> bool:
            assert (await curl(media)).status == 200
            return http.window_s(CAM) > 6

        await eventually(plays_on, what="the other is kept ready, too")
        await eventually(lambda: http.window_s(CAM) == http.window_s(smaller) == 0, what="nobody asks any more")


async def test_bytes_are_counted_for_each_player_of_hls() -> None:
    async with origin() as http:
        sent = {}
        for agent in ("one", "two"):
            media, segment = await media_of(url_of(http.address, ""), "-A", agent)
            sent[agent] = sum([len((await curl(url, "-A", agent)).body) for url in (media, segment)])
        viewers = http.list_hls_viewers(CAM)
        assert [viewer.agent for viewer in viewers] == ["one", "two"]
        assert all(viewer.bytes >= sent[viewer.agent] > 100_000 for viewer in viewers)
        assert [viewer.protocol for viewer in viewers] == ["hls", "hls"]
        assert http.viewers(CAM) == 2


class Doorman:
    """Lets those in who say the word, and counts how often it is asked."""

    asked = 0

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked += 1
        return credentials.params.get("token") == "word"


async def test_a_viewer_is_judged_once_and_its_playlists_are_its_own() -> None:
    doorman, http = Doorman(), arcly.HttpOrigin("127.0.0.1:0")
    async with arcly.Engine(http, arcly.FileSource(DEMO, CAM), authenticator=doorman):
        await eventually(lambda: http.hls_path(CAM))
        base = url_of(http.address, "/live/cam")
        assert (await curl(f"{base}/ts.m3u8")).status == 401
        assert (await curl(f"{base}/ts.m3u8?token=no")).status == 403
        entry = await curl(f"{base}/ts.m3u8", "-H", "Authorization: Bearer word")
        media = f"{base}/{uris(entry.body)[0]}"
        doorman.asked = 0
        for _ in range(3):
            playlist = await curl(media)
            assert (playlist.status, playlist.headers["cache-control"]) == (200, "private, no-cache")
        assert doorman.asked == 0
        # Who comes to a media playlist with a token is welcome; who has an old session is told where to begin.
        assert (await curl(f"{base}/media.m3u8?token=word")).status == 200
        assert (await curl(f"{base}/media.m3u8")).status == 401
        assert (await curl(f"{base}/media.m3u8?token=no")).status == 403
        stale = await curl(f"{base}/media.m3u8?session=0123456789abcdef")
        assert (stale.status, b"index.m3u8" in stale.body) == (403, True)


@pytest.mark.parametrize("offered", [["http/1.1"], ["h2"]])
@pytest.mark.parametrize("way", ["stall", "kick"])
async def test_an_https_viewer_that_does_not_read_is_let_go(offered: list[str], way: str, tmp_path: Path) -> None:
    """Nobody asks the body of an answer for more while its connection is full: somebody else has to look."""
    authority = trustme.CA()
    egress = arcly.EgressOptions(stall_max_s=1.0 if way == "stall" else 600.0)
    http = arcly.HttpOrigin("127.0.0.1:0", tls=issue(authority, tmp_path), egress=egress)
    source = arcly.FileSource(DEMO, arcly.StreamKey("live", "cam"), real_time=False)
    async with arcly.Engine(http, source):
        assert http.address is not None
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.set_alpn_protocols(offered)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(http.address)
        _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost", limit=4096)
        if offered == ["h2"]:
            # Preface, settings, and HEADERS with :method GET, :scheme https, :authority localhost, :path (RFC 7541).
            path = b"/live/cam.ts"
            block = b"\x82\x87\x41\x09localhost\x04" + bytes([len(path)]) + path
            head = len(block).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x01"
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + head + block)
        else:
            writer.write(b"GET /live/cam.ts HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # It is there, and reads no further.
        viewer = (await eventually(http.list_viewers))[0]
        writer.transport.pause_reading()
        if way == "kick":
            assert http.kick(viewer.id)
        await eventually(lambda: not http.list_viewers())
        writer.transport.abort()


@contextlib.asynccontextmanager
async def uvicorn_of(app: Any) -> AsyncIterator[str]:
    """Serve an application; gives the beginning of its URLs."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def starlette_app(engine: arcly.Engine, media: Any, lifespan: Any) -> Any:
    """An application of the host's with media at /media."""
    hello = Route("/hello", lambda request: PlainTextResponse("mine"))
    return Starlette(routes=[hello, Mount("/media", media)], lifespan=lifespan)


def fastapi_app(engine: arcly.Engine, media: Any, lifespan: Any) -> Any:
    """The same with FastAPI."""
    try:
        from fastapi import FastAPI
    except ImportError:
        missing("FastAPI (pip install fastapi)")
        raise
    app = FastAPI(lifespan=lifespan)
    app.mount("/media", media)
    app.get("/hello")(lambda: PlainTextResponse("mine"))
    return app


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
async def test_media_is_mounted_in_an_application_of_the_hosts(make: Any, ffmpeg: str) -> None:
    engine = arcly.Engine(arcly.FileSource(DEMO, CAM))
    media = arcly.asgi(engine)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with engine:
            yield

    async with uvicorn_of(make(engine, media, lifespan)) as base:
        assert b"mine" in (await curl(f"{base}/hello")).body
        assert (await curl(f"{base}/media/nothing")).status == 404
        for path, index in (("index.m3u8", "CMAF"), ("ts.m3u8", "MPEG-TS"), ("manifest.mpd", "DASH")):
            played = await run(
                ffmpeg, "-v", "error", "-i", f"{base}/media/live/cam/{path}", "-t", "2", "-f", "null", "-"
            )
            assert (played.returncode, played.stderr) == (0, ""), index
        _, segment = await media_of(f"{base}/media")
        whole = await curl(segment)
        part = await curl(segment, "-r", "0-187")
        assert (part.status, part.body) == (206, whole.body[:188])
        assert (await curl(segment, "--head")).headers["content-length"] == str(len(whole.body))
        for ending in ("flv", "ts", "mp4"):
            url = f"{base}/media/live/cam.{ending}"
            played = await run(ffmpeg, "-v", "error", "-i", url, "-t", "1", "-f", "null", "-")
            assert played.returncode == 0, played.stderr
        async with websockets.connect(f"{base.replace('http', 'ws')}/media/live/cam.flv", close_timeout=0.2) as socket:
            assert (await socket.recv())[:3] == b"FLV"
    assert (await call(media))["status"] == 503


async def call(app: Any) -> dict[str, Any]:
    """The first message of an application to a request."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/live/cam.ts", "headers": [], "client": None}
    await app(scope, receive, send)
    return sent[0]


async def test_a_viewer_that_leaves_an_application_of_the_hosts_is_let_go() -> None:
    http = arcly.HttpOrigin(None)
    async with arcly.Engine(http, arcly.FileSource(DEMO, CAM)):
        await eventually(lambda: http.hls_path(CAM))
        async with uvicorn_of(http.asgi()) as base:
            _, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
            writer.write(b"GET /live/cam.ts HTTP/1.1\r\nHost: localhost\r\n\r\n")
            viewer = (await eventually(http.list_viewers))[0]
            assert (viewer.protocol, viewer.peer.partition(":")[0]) == ("http-ts", "127.0.0.1")
            writer.transport.abort()
            await eventually(lambda: not http.list_viewers())


def test_an_engine_that_runs_takes_nothing_more() -> None:
    async def main() -> None:
        engine = arcly.Engine()
        async with engine:
            with pytest.raises(arcly.MisuseError):
                arcly.asgi(engine)

    asyncio.run(main())
