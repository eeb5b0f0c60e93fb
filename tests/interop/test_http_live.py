"""Endless streams over HTTP: what real clients and plain requests get of `/<app>/<stream>.flv`, `.ts` and `.mp4`."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from conftest import Server, eventually, run, running, serving
from tokens import Tokens

import arcly

MEDIA_TYPES = {"flv": "video/x-flv", "ts": "video/mp2t", "mp4": "video/mp4"}
FIRST_BYTES = {"flv": b"FLV\x01", "ts": b"\x47\x40\x00", "mp4": b"\x00\x00\x00"}


@asynccontextmanager
async def live(server: Server, ffmpeg: str, source: Path) -> AsyncIterator[None]:
    """A stream `live/cam` that repeats `source` for ever."""
    publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks, what="it is published")
        yield


async def bilingual(ffmpeg: str, source: Path, folder: Path) -> Path:
    """The same clip with its sound twice."""
    path, tracks = folder / "bilingual.ts", ["-map", "0:v", "-map", "0:a", "-map", "0:a"]
    made = await run(ffmpeg, "-v", "error", "-i", source, *tracks, "-c", "copy", path)
    assert made.returncode == 0, made.stderr
    return path


async def ask(server: Server, request: str, *, last: bool = False) -> tuple[str, bytes]:
    """The head of an answer in small letters, and its body: all of it with `last`, else its first 64 KiB."""
    assert server.http.address is not None
    reader, writer = await asyncio.open_connection(*server.http.address)
    try:
        writer.write(request.replace("\n", "\r\n").encode())
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            return head, await (reader.read() if last else reader.readexactly(64 << 10))
    finally:
        writer.close()


def unchunked(body: bytes) -> bytes:
    """The whole chunks of a body without their frames (RFC 9112 §7.1)."""
    found = b""
    while b"\r\n" in body:
        size, rest = body.split(b"\r\n", 1)
        length = int(size, 16)
        if length == 0 or len(rest) < length + 2:
            break
        assert rest[length : length + 2] == b"\r\n"
        found, body = found + rest[:length], rest[length + 2 :]
    return found


@pytest.mark.parametrize("ending", MEDIA_TYPES)
async def test_ffmpeg_plays_a_live_stream_at_once_and_without_a_hole(
    server: Server, ffmpeg: str, clip: Callable[..., Path], ending: str
) -> None:
    async with live(server, ffmpeg, clip()):
        url = server.url(f"/live/cam.{ending}")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "4", "-c", "copy", "-f", "framemd5", "-")
        assert (read.returncode, read.stderr) == (0, "")
        rows = [line.split(",") for line in read.stdout.decode().splitlines() if not line.startswith("#")]
        dts = [int(row[1]) for row in rows if row[0] == "0"]
        steps = {b - a for a, b in itertools.pairwise(dts)}
        assert len(dts) >= 95, "25 pictures a second"
        assert max(steps) - min(steps) <= 90, "a millisecond, the rounding of the wire"
        assert {row[0] for row in rows} == {"0", "1"}


@pytest.mark.parametrize("ending", MEDIA_TYPES)
async def test_the_answer_is_chunked_begins_with_a_key_picture_and_may_be_read_by_any_page(
    server: Server, ffmpeg: str, clip: Callable[..., Path], ending: str
) -> None:
    async with live(server, ffmpeg, clip()):
        request = f"GET /live/cam.{ending} HTTP/1.1\nHost: x\nAccept-Encoding: gzip\nUser-Agent: test\n\n"
        head, body = await ask(server, request)
        assert head.startswith("http/1.1 200 ok\r\n")
        for line in (
            "transfer-encoding: chunked",
            "access-control-allow-origin: *",
            f"content-type: {MEDIA_TYPES[ending]}",
        ):
            assert f"\r\n{line}\r\n" in head
        assert "content-encoding" not in head
        assert "\r\ndate: " in head
        media = unchunked(body)
        assert media.startswith(FIRST_BYTES[ending])
        assert ending != "mp4" or media[4:8] == b"ftyp"


async def test_flv_has_the_first_track_of_a_kind_and_all_for_who_asks(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    """Found by reading: mpegts.js gives up at a tag of a second one."""
    source = arcly.FileSource(await bilingual(ffmpeg, clip(), tmp_path), arcly.StreamKey("live", "cam"))
    await source.start(server.engine)
    await eventually(lambda: (stream := server.stream("live/cam")) and len(stream.tracks) == 3)
    for query, has_second in ("", False), ("?tracks=all", True):
        _, body = await ask(server, f"GET /live/cam.flv{query} HTTP/1.1\nHost: x\n\n")
        assert (b"\x95\x01mp4a\x01" in body) is has_second, query
    await source.stop()


async def test_old_clients_get_it_without_chunks(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()):
        head, body = await ask(server, "GET /live/cam.flv HTTP/1.0\n\n")
        assert "chunked" not in head
        assert body[:4] == b"FLV\x01"


async def test_a_connection_that_has_asked_for_other_things_before_can_watch(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with live(server, ffmpeg, clip()):
        assert server.http.address is not None
        reader, writer = await asyncio.open_connection(*server.http.address)
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert unchunked(await reader.readexactly(64 << 10))[:4] == b"FLV\x01"
        writer.close()


async def test_head_options_and_other_methods(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()):
        close = "Host: x\nConnection: close\n\n"
        head, body = await ask(server, f"HEAD /live/cam.flv HTTP/1.1\n{close}", last=True)
        assert head.startswith("http/1.1 200")
        assert "content-type: video/x-flv" in head
        assert body == b""
        assert "content-length" not in head
        preflight = f"OPTIONS /live/cam.flv HTTP/1.1\nOrigin: http://page\nAccess-Control-Request-Method: GET\n{close}"
        head, _ = await ask(server, preflight, last=True)
        assert head.startswith("http/1.1 204")
        assert "access-control-allow-methods: get, head, options" in head
        head, _ = await ask(server, f"POST /live/cam.flv HTTP/1.1\nContent-Length: 0\n{close}", last=True)
        assert head.startswith("http/1.1 405")
        assert "allow: get, head, options" in head
        head, _ = await ask(server, f"GET /live/other.flv HTTP/1.1\n{close}", last=True)
        assert head.startswith("http/1.1 404")
        assert "access-control-allow-origin: *" in head
        assert server.http.list_viewers() == []


async def test_viewers_are_listed_counted_and_can_be_kicked(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with live(server, ffmpeg, clip()):
        assert server.http.address is not None
        reader, writer = await asyncio.open_connection(*server.http.address)
        writer.write(b"GET /live/cam.ts HTTP/1.1\r\nHost: x\r\nUser-Agent: VLC/3\r\n\r\n")
        await reader.readexactly(64 << 10)
        await eventually(lambda: server.http.list_viewers()[0].bytes >= 64 << 10, what="what it has is counted")
        [viewer] = server.http.list_viewers()
        peer = "{}:{}".format(*writer.get_extra_info("sockname"))
        assert (viewer.protocol, viewer.agent, str(viewer.key), viewer.peer) == ("http-ts", "VLC/3", "live/cam", peer)
        assert viewer.frames > 0
        assert viewer.dropped == 0
        stream = server.stream("live/cam")
        assert stream is not None
        assert stream.stats.viewers == 1
        assert server.http.kick(viewer.id)
        assert not server.http.kick(viewer.id + 1)
        async with asyncio.timeout(60):
            while await reader.read(1 << 16):
                pass
        await eventually(lambda: server.http.list_viewers() == [] and stream.stats.viewers == 0, what="it is gone")
        writer.close()


async def test_the_end_of_the_stream_is_the_end_of_the_answer(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    publish = [ffmpeg, "-v", "error", "-re", "-i", clip(seconds=3.0), "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
        _, body = await ask(server, "GET /live/cam.flv HTTP/1.1\nHost: x\n\n", last=True)
    assert body.endswith(b"\r\n0\r\n\r\n"), "the last chunk says that this was all"


async def test_who_may_play_is_asked_once_for_each_viewer(ffmpeg: str, clip: Callable[..., Path]) -> None:
    tokens = Tokens()
    async with serving(authenticator=tokens) as server, live(server, ffmpeg, clip()):
        for query, status in (("", "401"), ("?token=bad", "403"), ("?token=good", "200")):
            request = f"GET /live/cam.flv{query} HTTP/1.1\nHost: x\nConnection: close\n\n"
            head, _ = await ask(server, request, last=status != "200")
            assert head.startswith(f"http/1.1 {status}"), query
        assert tokens.asked == ["http-flv"] * 3


async def test_encrypted_viewers_get_the_same(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    authority = trustme.CA()
    cert = authority.issue_cert("localhost", "127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    (tmp_path / "key.pem").write_bytes(cert.private_key_pem.bytes())
    tls = arcly.Tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0", tls=tls)
    async with arcly.Engine(rtmp, http) as engine, live(Server(engine, rtmp, http), ffmpeg, clip()):
        assert http.address is not None
        context = ssl.create_default_context()
        authority.configure_trust(context)
        reader, writer = await asyncio.open_connection(*http.address, ssl=context)
        writer.write(b"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200")
        assert "content-type: video/x-flv" in head
        assert unchunked(await reader.readexactly(64 << 10))[:4] == b"FLV\x01"
        [viewer] = http.list_viewers()
        assert viewer.protocol == "http-flv"
        writer.transport.abort()
        await eventually(lambda: http.list_viewers() == [], what="it is gone")


async def test_viewers_stay_while_the_publisher_is_gone_and_comes_back(ffmpeg: str, clip: Callable[..., Path]) -> None:
    app = arcly.AppSpec(reconnect_grace_s=20)
    async with serving(default_app=app) as server:
        publish = [ffmpeg, "-v", "error", "-re", "-i", clip(seconds=3.0), "-c", "copy", "-f", "flv"]
        first = asyncio.create_task(run(*publish, server.rtmp_url("live/cam")))
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
        assert server.http.address is not None
        reader, writer = await asyncio.open_connection(*server.http.address)
        writer.write(b"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        received = asyncio.create_task(reader.read(-1))
        assert (await first).returncode == 0
        before = await eventually(lambda: (seen := server.http.list_viewers()) and seen[0].frames)
        assert (await run(*publish, server.rtmp_url("live/cam"))).returncode == 0

        def has_all() -> bool:
            [viewer] = server.http.list_viewers()
            return viewer.frames >= before + 75

        await eventually(has_all, what="the pictures of the second publish")
        writer.transport.abort()
        assert len(unchunked(await received)) > 60_000
