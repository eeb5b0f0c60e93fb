"""The HTTP origin as caches, browsers and impatient servers see it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from conftest import eventually
from test_tls import issue

import arcly

DEMO = Path(arcly.__file__).parent / "server" / "demo.flv"


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
