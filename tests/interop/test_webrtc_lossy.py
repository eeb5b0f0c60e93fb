"""WHEP and WHIP over bad networks: what is lost is asked for again, and what cannot be had any more is begun anew."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamTrack
from conftest import eventually, running
from lossy import Link, Network, lossy
from webrtc_server import WebRtcServer, post_offer, serving

CAMERA = "-v error -re -f lavfi -i testsrc2=size=320x180:rate=25 -c:v libx264 -preset ultrafast -tune zerolatency"
CAMERA += " -pix_fmt yuv420p -b:v 400k -bf 0 -g 25 -f flv"

NETWORKS = {
    "5 % lost": Network(loss=0.05, delay_s=0.02),
    "20 % lost": Network(loss=0.2, delay_s=0.02),
    "10 % lost in bursts": Network(loss=0.1, burst=5, delay_s=0.05),
    "300 ms away": Network(loss=0.02, delay_s=0.3, jitter_s=0.03),
    "out of order": Network(delay_s=0.02, reorder=0.1, late_s=0.03, duplicate=0.05),
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebRtcServer]:
    """A server on free ports."""
    async with serving(tmp_path) as server:
        yield server


async def connect(peer: RTCPeerConnection, url: str, link: Link, network: Network) -> None:
    """Negotiate, with the relay for the server. It is bad once DTLS is up: aiortc repeats nothing of a handshake."""
    await peer.setLocalDescription(await peer.createOffer())
    answer, _ = await post_offer(url, peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(by_way_of(answer, link.port), "answer"))
    await eventually(lambda: peer.connectionState == "connected", what="a connection")
    link.there.network = link.back.network = network


def by_way_of(answer: str, port: int) -> str:
    """The answer with this port for the server's, and without TCP."""
    lines = [line for line in answer.split("\r\n") if not line.startswith("a=candidate:") or " udp " in line]
    return re.sub(r"(a=candidate:\S+ \d+ udp \d+ \S+) \d+", rf"\1 {port}", "\r\n".join(lines))


def media_port(server: WebRtcServer) -> int:
    """Where media go."""
    assert server.webrtc.address is not None
    return server.webrtc.address[1]


@pytest.mark.parametrize("name", NETWORKS)
async def test_a_viewer_sees_on_over_a_bad_network(server: WebRtcServer, ffmpeg: str, name: str) -> None:
    times: list[float] = []

    async def read(track: MediaStreamTrack) -> None:
        while len(times) < 100:
            frame: Any = await track.recv()
            times.append(frame.time)

    async with running(ffmpeg, *CAMERA.split(), server.rtmp_url("live/cam")):
        await eventually(lambda: server.stream("live/cam") is not None, what="the stream")
        async with lossy(media_port(server), Network(), seed=5) as link:
            peer, reading = RTCPeerConnection(), asyncio.Future[asyncio.Task[None]]()
            peer.addTransceiver("video", direction="recvonly")
            peer.on("track", lambda track: reading.set_result(asyncio.create_task(read(track))))
            try:
                await connect(peer, server.url("/live/cam/whep"), link, NETWORKS[name])
                async with asyncio.timeout(60):
                    await (await reading)
            finally:
                await peer.close()
            if NETWORKS[name].loss:
                assert link.back.lost > 0
    assert times == sorted(times)
    # Four seconds of pictures: nothing stood still until a key picture came by itself more than a few times.
    assert times[-1] - times[0] < 12, times


@pytest.mark.parametrize("name", ["5 % lost", "10 % lost in bursts", "out of order"])
async def test_a_publisher_goes_on_over_a_bad_network(server: WebRtcServer, name: str) -> None:
    async with lossy(media_port(server), Network(), seed=6) as link:
        peer = RTCPeerConnection()
        peer.addTrack(VideoStreamTrack())
        try:
            await connect(peer, server.url("/live/cam/whip"), link, NETWORKS[name])
            stream = await eventually(lambda: server.stream("live/cam"), what="the stream")
            await eventually(lambda: stream.stats.video_frames >= 90, what="three seconds of pictures")
        finally:
            await peer.close()
