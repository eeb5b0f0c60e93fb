"""RTCP that is well encrypted and badly made, from a publisher who may: the stream goes on."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from conftest import eventually
from webrtc_server import post_offer, serving

SENDER_REPORT, RECEIVER_REPORT, SDES, BYE, APP, FEEDBACK, PAYLOAD_FEEDBACK, XR = range(200, 208)


def receiver_report(source: int) -> bytes:
    """An empty one, which begins a compound packet (RFC 3550 §6.1)."""
    return struct.pack(">BBHI", 0x80, RECEIVER_REPORT, 1, source)


def past_faults(kind: int, source: int) -> list[bytes]:
    """Packets of one kind whose lengths are odd: of the datagram, of its header, of the items in it."""
    chance, packets = random.Random(kind), []
    for size in range(4, 60):
        for count in 0, 1, 2, 31:
            body = struct.pack(">I", source)[: size - 4] + chance.randbytes(max(0, size - 8))
            for words in {size // 4 - 1, size // 4, max(0, size // 4 - 2), 0, 0xFFFF}:
                packet = struct.pack(">BBH", 0x80 | count, kind, words) + body
                packets += [packet, receiver_report(source) + packet]
    # Items and blocks that end behind their packet, or claim nothing.
    for length in 0, 1, 2, 3, 5, 255:
        item = struct.pack(">IBB", source, 1, length) + b"x" * min(length, 6)
        item += bytes(-len(item) % 4)
        packets.append(struct.pack(">BBH", 0x81, kind, len(item) // 4) + item)
        block = struct.pack(">IBBH", source, 4, 0, length) + bytes(8)
        packets.append(struct.pack(">BBH", 0x80, kind, len(block) // 4) + block)
    return [packet for packet in packets if len(packet) >= 8]


@pytest.mark.parametrize("kind", [SDES, XR], ids=["SDES", "XR"])
async def test_past_fault_rtcp_of_odd_lengths_ends_nothing(tmp_path: Path, kind: int) -> None:
    async with serving(tmp_path) as server:
        peer = RTCPeerConnection()
        sender = peer.addTrack(VideoStreamTrack())
        try:
            await peer.setLocalDescription(await peer.createOffer())
            answer, _ = await post_offer(server.url("/live/cam/whip"), peer.localDescription.sdp)
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            stream = await eventually(lambda: server.stream("live/cam"), what="the stream")
            await eventually(lambda: stream.stats.video_frames >= 5, what="pictures")
            # The keys of the peer, and what it would never say.
            for packet in past_faults(kind, sender._ssrc):
                await sender.transport._send_rtp(packet)
            frames = stream.stats.video_frames
            await eventually(lambda: stream.stats.video_frames >= frames + 10, what="more pictures")
            assert server.webrtc.sessions == 1
        finally:
            await peer.close()
