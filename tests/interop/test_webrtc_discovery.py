"""An address that a STUN server has told: it is offered, and a peer that knows no other connects by it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from conftest import eventually
from lossy import Network, lossy
from webrtc_server import post_offer, serving

import arcly
from arcly.protocols import _reach

COOKIE = 0x2112A442


class StunServer(asyncio.DatagramProtocol):
    """Answers binding requests (RFC 8489) as if they had come from `seen`."""

    def __init__(self) -> None:
        self.seen = ("203.0.113.7", 40_001)
        self.asked: list[tuple[str, int]] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, datagram: bytes, peer: tuple[str, int]) -> None:
        kind, length, cookie = struct.unpack_from(">HHI", datagram)
        assert (kind, length, cookie) == (1, 0, COOKIE)
        assert self.transport is not None
        self.asked.append(peer)
        ip, port = self.seen
        masked = int.from_bytes(bytes(map(int, ip.split(".")))) ^ COOKIE
        attribute = struct.pack(">HHBBHI", 0x0020, 8, 0, 1, port ^ COOKIE >> 16, masked)
        head = struct.pack(">HHI", 0x0101, len(attribute), COOKIE) + datagram[8:20]
        # What was not asked for, then the answer.
        self.transport.sendto(head[:8] + bytes(12) + attribute, peer)
        self.transport.sendto(head + attribute, peer)


@asynccontextmanager
async def stun_server() -> AsyncIterator[tuple[StunServer, str]]:
    """Run one on a free port; the second is how it is named."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        StunServer, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


def candidates(answer: str) -> list[str]:
    """Transport, address, port and kind of what an answer offers, in its first section."""
    section = answer.split("m=")[1]
    words = [line.split() for line in section.split("\r\n") if line.startswith("a=candidate:")]
    return [f"{it[2]} {it[4]} {it[5]} {it[7]}" for it in words]


async def test_an_answer_offers_what_the_stun_server_saw(tmp_path: Path) -> None:
    async with stun_server() as (stun, name):
        webrtc = arcly.WebRtcHandler("127.0.0.1:0", stun_servers=[name])
        async with serving(tmp_path, webrtc) as server:
            await eventually(lambda: webrtc.discovered, what="an address")
            assert webrtc.discovered == [stun.seen]
            assert set(stun.asked) == {webrtc.address}, "it is asked from the port itself"
            peer = RTCPeerConnection()
            peer.addTrack(VideoStreamTrack())
            await peer.setLocalDescription(await peer.createOffer())
            answer, _ = await post_offer(server.url("/live/cam/whip"), peer.localDescription.sdp)
            await peer.close()
    assert "udp 203.0.113.7 40001 host" in candidates(answer)


async def test_a_peer_connects_by_the_address_that_was_discovered(tmp_path: Path) -> None:
    async with stun_server() as (stun, name):
        webrtc = arcly.WebRtcHandler("127.0.0.1:0", stun_servers=[name], tcp=False)
        async with serving(tmp_path, webrtc) as server:
            await eventually(lambda: webrtc.discovered, what="an address")
            assert webrtc.address is not None
            # A relay stands for the NAT: what was discovered is its port.
            async with lossy(webrtc.address[1], Network()) as nat:
                peer = RTCPeerConnection()
                peer.addTrack(VideoStreamTrack())
                await peer.setLocalDescription(await peer.createOffer())
                answer, _ = await post_offer(server.url("/live/cam/whip"), peer.localDescription.sdp)
                lines = [
                    line for line in answer.split("\r\n") if not line.startswith("a=candidate:") or stun.seen[0] in line
                ]
                told = "\r\n".join(lines).replace(f"{stun.seen[0]} {stun.seen[1]}", f"127.0.0.1 {nat.port}")
                try:
                    await peer.setRemoteDescription(RTCSessionDescription(told, "answer"))
                    stream = await eventually(lambda: server.stream("live/cam"), what="the stream")
                    await eventually(lambda: stream.stats.video_frames >= 10, what="pictures")
                finally:
                    await peer.close()


async def test_who_has_no_address_of_the_family_of_the_port_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    servers = [("::1", 3478), ("127.0.0.1", 3479)]
    assert await _reach.reachable(servers, "127.0.0.1:8189") == ["127.0.0.1:3479"]
    assert "the STUN server ::1 is left out" in caplog.text
    assert await _reach.reachable(servers, "[::]:8189") == ["[::1]:3478", "127.0.0.1:3479"]


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("stun:stun.example.org", ("stun.example.org", 3478)),
        ("stun.example.org:19302", ("stun.example.org", 19302)),
        ("stun:[2001:db8::1]:3479", ("2001:db8::1", 3479)),
        ("[2001:db8::1]", ("2001:db8::1", 3478)),
    ],
)
def test_how_a_stun_server_is_named(text: str, server: tuple[str, int]) -> None:
    assert _reach.stun_server(text) == server


@pytest.mark.parametrize("text", ["", "stun:", "turn:example.org:1", "example.org:port"])
def test_what_names_no_stun_server(text: str) -> None:
    with pytest.raises(arcly.MisuseError):
        arcly.WebRtcHandler(stun_servers=[text])
