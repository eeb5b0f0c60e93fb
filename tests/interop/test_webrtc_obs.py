"""OBS Studio publishes by WHIP: its offers, replayed.

OBS has no command line to publish by, so what it sends is written here from its documentation and that of
libdatachannel, which makes its offers: ICE and DTLS lines stand once in front of all sections, a section has the
payload types that OBS encodes and no other, no candidate is in it, and simulcast (OBS 32) names its encodings by
numbers. User agent and Bearer token are sent as OBS does.
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from webrtc_server import WebRtcServer, serving

AGENT = "Mozilla/5.0 (OBS-Studio/{version}; Linux x86_64; en-US)"

SESSION = """v=0
o=rtc 4158491451 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 C9:24:7F:27:25:76:95:6A:2E:D0:03:9E:14:C3:46:D7:B4:B5:A6:97:9D:2A:64:9D:1B:05:8D:33:E0:64:67:20
"""

TRANSPORT = """a=setup:actpass
a=ice-ufrag:Qk3D
a=ice-pwd:rD3ZGlSpJRaFPbjtjjLbYc
"""

AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:2170463284 cname:OBSoYfRwVtqGdFlQ
a=ssrc:2170463284 msid:obs-stream obs-audio
a=msid:obs-stream obs-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
"""

VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF {pt}
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
{sources}a=rtcp-mux
a=rtpmap:{pt} {format}/90000
a=rtcp-fb:{pt} nack
a=rtcp-fb:{pt} nack pli
a=rtcp-fb:{pt} goog-remb
{parameters}"""

SOURCE = """a=ssrc:2170463285 cname:OBSoYfRwVtqGdFlQ
a=ssrc:2170463285 msid:obs-stream obs-video
a=msid:obs-stream obs-video
"""

ENCODINGS = """a=msid:obs-stream obs-video
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=rid:0 send
a=rid:1 send
a=rid:2 send
a=simulcast:send 0;1;2
"""

H264 = "a=fmtp:{pt} profile-level-id={profile};packetization-mode=1;level-asymmetry-allowed=1\n"
H265 = "a=fmtp:{pt} profile-id=1;tier-flag=0;level-id=93;tx-mode=SRST\n"


def offer(name: str, parameters: str = "", pt: int = 96, sources: str = SOURCE, level: str = "session") -> str:
    """What OBS offers; libdatachannel has had its ICE lines at the session and, before 0.18, in each section."""
    video = VIDEO.format(pt=pt, format=name, sources=sources, parameters=parameters)
    if level == "session":
        sections = SESSION + TRANSPORT + AUDIO + video
    else:
        sections = SESSION + AUDIO + TRANSPORT + video + TRANSPORT
    return sections.replace("\n", "\r\n")


OFFERS = {
    "30, x264": ("30.2.3", offer("H264", H264.format(pt=96, profile="42e01f"))),
    "30, NVENC high profile": ("30.2.3", offer("H264", H264.format(pt=96, profile="640c1f"))),
    "30, lines in sections": ("30.0.0", offer("H264", H264.format(pt=96, profile="42e01f"), level="section")),
    "31, AV1": ("31.0.1", offer("AV1")),
    "31, HEVC": ("31.0.1", offer("H265", H265.format(pt=96))),
    "32, simulcast": ("32.0.0", offer("H264", H264.format(pt=96, profile="42e01f"), sources=ENCODINGS)),
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebRtcServer]:
    """A server on free ports."""
    async with serving(tmp_path) as server:
        yield server


async def ask(url: str, method: str, version: str, body: str | None = None) -> tuple[int, str, dict[str, str]]:
    """Send a request as OBS does; return status, body and headers."""
    headers = {"user-agent": AGENT.format(version=version), "authorization": "Bearer a-stream-key"}
    if body is not None:
        headers["content-type"] = "application/sdp"

    def send() -> tuple[int, str, dict[str, str]]:
        request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode(), {k.lower(): v for k, v in response.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), {}

    return await asyncio.to_thread(send)


def sections(sdp: str) -> list[list[str]]:
    """The lines of the session and of each section."""
    parts: list[list[str]] = [[]]
    for line in sdp.split("\r\n"):
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    return parts


@pytest.mark.parametrize("version", OFFERS)
async def test_an_offer_of_obs_is_answered_so_that_it_can_connect(server: WebRtcServer, version: str) -> None:
    number, text = OFFERS[version]
    status, answer, headers = await ask(server.url("/live/obs/whip"), "POST", number, text)
    assert status == 201, answer
    session, *media = sections(answer)
    asked = sections(text)[1:]
    # RFC 8829 §5.3.1: as many sections, in the same order, of the same kind.
    assert [section[0].split()[0] for section in media] == [section[0].split()[0] for section in asked]
    for section, its in zip(media, asked, strict=True):
        assert section[0].split()[1] != "0", section
        assert section[0].split()[3:] == its[0].split()[3:], "OBS sends the payload type it offered"
        assert next(line for line in section if line.startswith("a=mid:")) in its
        assert "a=recvonly" in section
        assert "a=rtcp-mux" in section
        # OBS takes the part of the client in DTLS, and checks in ICE, only when it is told so.
        for needed in "a=setup:passive", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:sha-256 ":
            assert any(line.startswith(needed) for line in section + session), needed
    assert "a=ice-lite" in session
    assert "a=group:BUNDLE 0 1" in session
    assert any(" udp " in line for line in media[0] if line.startswith("a=candidate:")), answer
    location = headers["location"]
    status, _, _ = await ask(server.url(location) if location.startswith("/") else location, "DELETE", number)
    assert status == 200
    assert server.webrtc.sessions == 0


async def test_simulcast_of_obs_is_taken_whole(server: WebRtcServer) -> None:
    number, text = OFFERS["32, simulcast"]
    _, answer, _ = await ask(server.url("/live/obs/whip"), "POST", number, text)
    video = sections(answer)[2]
    assert "a=simulcast:recv 0;1;2" in video, answer
    assert [line for line in video if line.startswith("a=rid:")] == [f"a=rid:{rid} recv" for rid in range(3)]


async def test_obs_is_told_what_an_offer_lacks(server: WebRtcServer) -> None:
    text = OFFERS["30, x264"][1].replace("H264", "H263-1998")
    text = text.replace("opus/48000/2", "MP4A-LATM/48000/2")
    status, reason, _ = await ask(server.url("/live/obs/whip"), "POST", "30.2.3", text)
    assert status in (406, 415, 422), reason
    assert "H264" in reason, reason
    assert server.webrtc.sessions == 0
