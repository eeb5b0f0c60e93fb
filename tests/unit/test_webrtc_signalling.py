"""What signalling of WebRTC says beside the answer, and how long it waits for a stream."""

from __future__ import annotations

from typing import Any

import pytest
from webrtc_offer import offer

import arcly
from arcly.contract import Credentials

WHO = Credentials(peer="192.0.2.1")
OPUS_HEAD = b"OpusHead" + bytes.fromhex("0102380180bb0000000000")
AVCC = bytes.fromhex("0142c00cffe100166742c00cda0507ec0440000003004000000783c50aa801000468ce0fc8")


async def ask(webrtc: arcly.WebRtcHandler, method: str) -> list[str]:
    """Ask the signalling for `live/cam`; return the links of its answer."""
    sent: list[Any] = []
    headers = [(b"content-type", b"application/sdp")]
    scope = {"type": "http", "method": method, "path": "/live/cam/whep", "headers": headers, "client": ("127.0.0.1", 1)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": offer("recvonly").encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    await webrtc.asgi()(scope, receive, send)
    assert sent[0]["status"] in (201, 204), sent
    return [value.decode() for name, value in sent[0]["headers"] if name == b"link"]


async def test_turn_servers_are_told_with_user_and_credential_to_those_who_may() -> None:
    """Found by reading: they were told without, and browsers refuse such a server."""
    turn = ("turn:turn.example.org?transport=udp", 'us"er', "pass\\word; x")
    webrtc = arcly.WebRtcHandler("127.0.0.1:0", ice_servers=["stun:stun.example.org", turn])
    stun = '<stun:stun.example.org>; rel="ice-server"'
    async with arcly.Engine(webrtc) as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        session.set_tracks([arcly.Track(1, "Opus", OPUS_HEAD)])
        assert await ask(webrtc, "POST") == [
            stun,
            '<turn:turn.example.org?transport=udp>; rel="ice-server"; username="us\\"er"; '
            'credential="pass\\\\word; x"; credential-type="password"',
        ]
        assert await ask(webrtc, "OPTIONS") == [stun], "who asks this has not said who they are"


@pytest.mark.parametrize(
    "server",
    [
        "turn:turn.example.org",
        "stun.example.org:3478",
        "stun:a>; rel=x",
        ("turn:turn.example.org", "user", "line\r\nx-evil: 1"),
        ("turn:turn.example.org", "jörg", "secret"),
    ],
)
def test_a_server_that_no_browser_takes_is_misuse_when_it_is_given(server: Any) -> None:
    with pytest.raises(arcly.MisuseError):
        arcly.WebRtcHandler(ice_servers=[server])


async def test_a_stream_whose_first_rendition_has_not_begun_is_watched_by_another() -> None:
    """Found by reading: of simulcast whose best encoding did not begin a viewer was told that there is nothing."""
    webrtc = arcly.WebRtcHandler("127.0.0.1:0")
    async with arcly.Engine(webrtc) as engine:
        cam = await engine.start_publish(arcly.StreamKey("live", "cam"))
        low = await engine.start_publish(arcly.StreamKey("live", "cam~low"))
        low.set_tracks([arcly.Track(0, "H264", AVCC)])
        session = await webrtc.play(arcly.StreamKey("live", "cam"), offer("recvonly"), WHO)
        assert "H264/90000" in session.answer
        cam.end()
