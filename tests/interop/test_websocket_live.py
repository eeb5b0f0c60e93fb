"""Endless streams over WebSocket: the bytes of HTTP, in messages."""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from conftest import Server, eventually, run, running, serving
from test_http_live import FIRST_BYTES, MEDIA_TYPES, Tokens, ask, live
from websockets.asyncio.client import connect as connect_and_wait
from websockets.exceptions import ConnectionClosedError, InvalidStatus

import arcly

UPGRADE = "Upgrade: websocket\nConnection: keep-alive, Upgrade\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
VERSION = "Sec-WebSocket-Version: 13\n"
CLOSE = "Host: x\nConnection: close\n\n"
# A client that no longer reads cannot see our answer to its Close behind the media: let it not wait for that.
connect = functools.partial(connect_and_wait, close_timeout=0.2)


def ws_url(server: Server, path: str) -> str:
    """The WebSocket URL of `path`."""
    return server.url(path).replace("http", "ws", 1)


@pytest.mark.parametrize("ending", MEDIA_TYPES)
async def test_messages_are_a_stream_that_ffmpeg_reads_without_a_hole(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, ending: str
) -> None:
    async with live(server, ffmpeg, clip()), connect(ws_url(server, f"/live/cam.{ending}")) as viewer:
        media = b""
        async with asyncio.timeout(60):
            while len(media) < 600_000:
                message = await viewer.recv()
                assert isinstance(message, bytes)
                media += message
        assert media.startswith(FIRST_BYTES[ending])
        [listed] = server.http.list_viewers()
        assert (listed.protocol, listed.dropped) == (f"ws-{ending}", 0)
    path = tmp_path / f"read.{ending}"
    path.write_bytes(media)
    read = await run(ffmpeg, "-v", "error", "-i", path, "-c", "copy", "-f", "framemd5", "-")
    assert (read.returncode, read.stderr) == (0, "")
    rows = [line.split(",") for line in read.stdout.decode().splitlines() if not line.startswith("#")]
    dts = [int(row[1]) for row in rows if row[0] == "0"]
    steps = {b - a for a, b in itertools.pairwise(dts)}
    assert max(steps) - min(steps) <= 90, "a millisecond, the rounding of the wire"
    await eventually(lambda: server.http.list_viewers() == [], what="who has said goodbye is gone")


async def test_pings_are_answered_and_what_else_a_viewer_says_is_passed_over(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with live(server, ffmpeg, clip()), connect(ws_url(server, "/live/cam.flv")) as viewer:
        await viewer.recv()
        await viewer.send("hello?")
        await viewer.send([b"in ", b"fragments"])
        async with asyncio.timeout(60):
            for number in range(3):
                answered = await viewer.ping(str(number))
                while not answered.done():
                    await viewer.recv()
            await viewer.recv()
        await viewer.close(1000)
        assert viewer.close_code == 1000, "the server says goodbye, too"


async def test_the_end_of_the_stream_is_a_goodbye(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    publish = [ffmpeg, "-v", "error", "-re", "-i", clip(seconds=3.0), "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
        async with connect(ws_url(server, "/live/cam.ts")) as viewer, asyncio.timeout(60):
            messages = [message async for message in viewer]
    assert viewer.close_code == 1000
    assert len(messages) > 25


async def test_a_viewer_that_breaks_the_rules_is_told(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()), connect(ws_url(server, "/live/cam.flv")) as viewer:
        await viewer.recv()
        viewer.transport.write(b"\x81\x05Hello")  # without a mask
        with pytest.raises(ConnectionClosedError):
            _ = [message async for message in viewer]
        assert viewer.close_code == 1002
        await eventually(lambda: server.http.list_viewers() == [], what="it is gone")


async def test_a_viewer_that_vanishes_or_says_too_much_is_let_go(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with live(server, ffmpeg, clip()):
        for how in ("vanishes", "says too much"):
            async with connect(ws_url(server, "/live/cam.flv")) as viewer:
                await viewer.recv()
                if how == "vanishes":
                    viewer.transport.abort()
                else:
                    mask = bytes(4)
                    viewer.transport.write(b"\x82\xff" + struct.pack(">Q", 64 << 20) + mask + bytes(16 << 20))
                await eventually(lambda: server.http.list_viewers() == [], what=how)


async def test_handshakes_that_are_none_are_refused(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()):
        get = "GET /live/cam.flv HTTP/1.1\nHost: x\n"
        for headers, status, said in (
            (UPGRADE + KEY + "Sec-WebSocket-Version: 8\n", "426", "sec-websocket-version: 13"),
            (UPGRADE + KEY, "426", "upgrade: websocket"),
            (UPGRADE + VERSION, "400", "access-control-allow-origin: *"),
            (UPGRADE + VERSION + "Sec-WebSocket-Key: short\n", "400", ""),
        ):
            head, _ = await ask(server, get + headers + "Connection: close\n\n", last=True)
            assert head.startswith(f"http/1.1 {status}"), headers
            assert said in head
        head, _ = await ask(server, get + "Upgrade: websocket\nUser-Agent: no Connection header\n\n")
        assert head.startswith("http/1.1 200"), "only an answer to who asks for an upgrade is one"
        head, _ = await ask(server, "GET /live/other.flv HTTP/1.1\n" + UPGRADE + KEY + VERSION + CLOSE, last=True)
        assert head.startswith("http/1.1 404")
        head, body = await ask(server, get + "Origin: http://any.example\n" + UPGRADE + KEY + VERSION + "\n")
        assert head.startswith("http/1.1 101")
        assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        assert body[0] == 0x82


async def test_who_may_play_is_asked_as_for_http(ffmpeg: str, clip: Callable[..., Path]) -> None:
    tokens = Tokens()
    async with serving(authenticator=tokens) as server, live(server, ffmpeg, clip()):
        for query, status in (("", 401), ("?token=bad", 403)):
            with pytest.raises(InvalidStatus) as refused:
                await connect(ws_url(server, f"/live/cam.flv{query}"))
            assert refused.value.response.status_code == status
        async with connect(ws_url(server, "/live/cam.flv?token=good")) as viewer:
            assert (await viewer.recv())[:3] == b"FLV"
        assert tokens.asked == ["ws-flv"] * 3


def identity(folder: Path) -> tuple[arcly.Tls, ssl.SSLContext]:
    """A server at localhost, and who trusts it."""
    authority = trustme.CA()
    cert = authority.issue_cert("localhost", "127.0.0.1")
    (folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    (folder / "key.pem").write_bytes(cert.private_key_pem.bytes())
    tls = arcly.Tls(folder / "cert.pem", folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return tls, context


async def test_encrypted_viewers_get_the_same(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    tls, context = identity(tmp_path)
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0", tls=tls)
    async with arcly.Engine(rtmp, http) as engine, live(Server(engine, rtmp, http), ffmpeg, clip()):
        assert http.address is not None
        url = f"wss://localhost:{http.address[1]}/live/cam.flv"
        async with connect(url, ssl=context) as viewer, asyncio.timeout(60):
            media = b""
            answered = await viewer.ping()
            while len(media) < 200_000 or not answered.done():
                media += await viewer.recv()
            assert media.startswith(b"FLV")
            [listed] = http.list_viewers()
            assert (listed.protocol, listed.agent[:6]) == ("ws-flv", "Python")
        assert viewer.close_code == 1000
        await eventually(lambda: http.list_viewers() == [], what="it is gone")
        async with connect(url, ssl=context) as viewer:
            await viewer.recv()
            [listed] = http.list_viewers()
            assert http.kick(listed.id)
            async with asyncio.timeout(60):
                _ = [message async for message in viewer]
        assert viewer.close_code == 1000


async def test_an_encrypted_viewer_that_reads_nothing_is_bounded_in_the_kernel_and_let_go_in_time(
    tmp_path: Path,
) -> None:
    """Found by reading: the kernel kept megabytes for it, and it stayed for 20 s whatever `stall_max_s` says."""
    tls, context = identity(tmp_path)
    http = arcly.HttpOrigin("127.0.0.1:0", tls=tls, egress=arcly.EgressOptions(stall_max_s=1.5))
    async with arcly.Engine(http) as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        session.set_tracks([arcly.Track(1, "AAC", bytes([0x11, 0x90]))])
        await eventually(lambda: http.live_path(session.key, "flv"))
        assert http.address is not None
        request = f"GET /live/cam.flv HTTP/1.1\nHost: x\n{UPGRADE}{KEY}{VERSION}\n".replace("\n", "\r\n")
        address = http.address

        def dial() -> ssl.SSLSocket:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(address)
            secured = context.wrap_socket(sock, server_hostname="localhost")
            secured.sendall(request.encode())
            assert secured.recv(12) == b"HTTP/1.1 101"
            return secured

        with await asyncio.to_thread(dial):
            for number in range(400):
                session.publish(bytes(20_000), track=1, pts=number * 1024)
            [viewer] = await eventually(lambda: (seen := http.list_viewers())[0].bytes > 20_000 and seen)
            while seen := http.list_viewers():
                [viewer] = seen
                assert viewer.bytes < 1 << 20, "what the kernel has taken for it"
                assert time.time() * 1000 < viewer.since_unix_ms + 10_000, "it is let go"
                await asyncio.sleep(0.02)
