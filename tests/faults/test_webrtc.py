"""WebRTC and peers that mean ill: offers without end, handshakes that stop, floods, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from conftest import eventually
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.routing import Mount
from webrtc_offer import offer

import arcly
from arcly.contract import Credentials

KEY = arcly.StreamKey("live", "cam")


class Site:
    """An engine with WebRTC and one stream to watch."""

    def __init__(self, **options: Any) -> None:
        self.webrtc = arcly.WebRtcHandler("127.0.0.1:0", **options)
        self.engine = arcly.Engine(self.webrtc)

    async def __aenter__(self) -> Site:
        await self.engine.__aenter__()
        self.session = await self.engine.start_publish(KEY)
        self.session.set_tracks([arcly.Track(1, "Opus", opus_head())])
        self.session.publish(b"\xfc\xff\xfe", track=1, pts=0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.engine.__aexit__(*error)

    async def watch(self, peer: str = "192.0.2.1") -> Any:
        """Have the offer of a viewer answered."""
        return await self.webrtc.play(KEY, offer("recvonly"), Credentials(peer=peer))

    async def ask(
        self, method: str, path: str, body: str = "", *, app: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Ask the signalling, as a browser would; `app`: behind another application."""
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body.encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        await (app or self.webrtc.asgi())(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], told, sent[1]["body"].decode()


def opus_head() -> bytes:
    """Stereo."""
    return b"OpusHead" + bytes([1, 2]) + struct.pack("<HIHB", 312, 48_000, 0, 0)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """With deadlines that a test can wait for."""
    async with Site(connect_timeout_s=1.0, silence_timeout_s=1.0) as site:
        yield site


async def test_a_thousand_offers_that_nobody_follows_up_are_bounded_and_forgotten(site: Site) -> None:
    opened = 0
    for number in range(1200):
        with contextlib.suppress(arcly.LimitExceededError):
            await site.watch(f"192.0.2.{number % 200}")
            opened += 1
        assert site.webrtc.sessions <= 1000
    assert opened >= 1000
    await eventually(lambda: site.webrtc.sessions == 0, what="all are forgotten")
    await site.watch()


async def test_one_address_cannot_take_all_the_room_before_it_has_shown_to_be_there() -> None:
    async with Site() as site:
        for _ in range(64):
            await site.watch("192.0.2.7")
        with pytest.raises(arcly.LimitExceededError, match="too many sessions of this address"):
            await site.watch("192.0.2.7")
        await site.watch("192.0.2.8")


async def test_sessions_that_come_and_go_leave_nothing_behind(site: Site) -> None:
    async def come_and_go(rounds: int) -> None:
        for number in range(rounds):
            session = await site.watch(f"192.0.2.{number % 50}")
            await site.webrtc.close(session.id)

    await come_and_go(300)  # what is kept for good is there
    before = resident_kib(), len(os.listdir("/proc/self/fd"))
    await come_and_go(1500)
    assert site.webrtc.sessions == 0
    assert site.engine.get_stream(KEY).stats.viewers == 0
    assert resident_kib() - before[0] < 8 * 1024
    assert len(os.listdir("/proc/self/fd")) == before[1]


async def test_a_publisher_that_never_connects_gives_its_name_back(site: Site) -> None:
    other = arcly.StreamKey("live", "other")
    await site.webrtc.publish(other, offer("sendonly"), Credentials(peer="192.0.2.1"))
    with pytest.raises(arcly.AlreadyPublishingError):
        await site.webrtc.publish(other, offer("sendonly"), Credentials(peer="192.0.2.1"))
    await eventually(lambda: site.engine.get_stream(other) is None, what="the name is free")


async def test_a_stream_that_is_ended_here_ends_its_session() -> None:
    webrtc = arcly.WebRtcHandler("127.0.0.1:0", connect_timeout_s=3600)
    async with arcly.Engine(webrtc) as engine:
        await webrtc.publish(KEY, offer("sendonly"), Credentials(peer="192.0.2.1"))
        stream = engine.get_stream(KEY)
        assert stream
        assert engine.end_stream(stream, "kicked")
        await eventually(lambda: webrtc.sessions == 0)


async def test_who_may_not_play_does_not_learn_what_there_is() -> None:
    site = Site()
    site.engine = arcly.Engine(site.webrtc, authenticator=Doorkeeper())
    async with site:
        for authorization, expected in ({}, 401), ({"authorization": "Bearer shut"}, 403):
            for name in ("cam", "nothing"):
                status, _, _ = await site.ask(
                    "POST", f"/live/{name}/whep", offer("recvonly"), content_type="application/sdp", **authorization
                )
                assert status == expected


async def test_an_offer_that_cannot_be_answered_takes_no_name(site: Site) -> None:
    other = arcly.StreamKey("live", "other")
    for bad in ("", "v=0", "hello", offer("sendonly").replace("H264", "X").replace("opus", "y")):
        with pytest.raises(arcly.StreamError):
            await site.webrtc.publish(other, bad, Credentials(peer="192.0.2.1"))
        assert site.engine.get_stream(other) is None
    assert site.webrtc.sessions == 0


async def test_a_flood_of_checks_and_garbage_reaches_no_session_and_holds_up_nobody(site: Site) -> None:
    session = await site.watch()
    assert site.webrtc.address is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.connect(site.webrtc.address)
        for number in range(20_000):
            kind = number % 4
            if kind == 0:
                datagram = check(f"none{number}:Rliy", "x" * 22)
            elif kind == 1:
                datagram = check(f"{session.ice}:Rliy", "w" * 22)  # whoever has seen the name, but not the password
            else:
                datagram = os.urandom(number % 1400 + 1)
            flood.send(datagram)
        flood.settimeout(0.2)
        with pytest.raises(TimeoutError):
            flood.recv(2000)
    assert (await asyncio.wait_for(site.watch("192.0.2.9"), 5)).id


async def test_a_handshake_that_stops_half_way_is_given_up(site: Site) -> None:
    session = await site.watch()
    password = line(session.answer, "a=ice-pwd:")
    assert site.webrtc.address is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(site.webrtc.address)
        peer.settimeout(5)
        peer.send(check(f"{session.ice}:Rliy", password))
        answer = peer.recv(2000)
        assert answer[:2] == b"\x01\x01", "the check is answered"
        # The beginning of a ClientHello, and no more.
        peer.send(bytes.fromhex("16feff000000000000000000360100002a000000000000002afefd"))
        await eventually(lambda: site.webrtc.sessions == 0, what="it is given up")


async def test_garbage_under_the_address_of_a_peer_ends_nothing(site: Site) -> None:
    session = await site.watch()
    password = line(session.answer, "a=ice-pwd:")
    assert site.webrtc.address is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(site.webrtc.address)
        peer.settimeout(5)
        peer.send(check(f"{session.ice}:Rliy", password))
        peer.recv(2000)
        for first in (20, 21, 22, 23, 25, 63, 128, 191):
            for length in (13, 14, 40, 1400):
                peer.send(bytes([first]) + os.urandom(length - 1))
                # A record that is well-formed outside: version, epoch, sequence and length fit.
                peer.send(
                    bytes([first]) + bytes.fromhex("fefd0000000000000001") + struct.pack(">H", length) + bytes(length)
                )
        peer.send(check(f"{session.ice}:Rliy", password))
        assert peer.recv(2000)[:2] == b"\x01\x01", "it still answers"
    assert site.webrtc.sessions == 1


async def test_refusals_are_said_in_words_and_by_status(site: Site) -> None:
    sdp = {"content_type": "application/sdp"}
    asked = [
        ("POST", "/live/cam/whep", "v=0", sdp, 400, "no media section"),
        ("POST", "/live/none/whep", offer("recvonly"), sdp, 404, "nobody publishes"),
        ("POST", "/live/cam/whip", offer("sendonly"), sdp, 409, "live/cam"),
        ("POST", "/live/cam/whep", offer("recvonly"), {"content_type": "text/plain"}, 415, "must be application/sdp"),
        ("POST", "/live/cam/whep", offer("recvonly").replace("opus", "speex"), sdp, 422, "the stream has Opus"),
        ("POST", "/live/cam/whep", "v" * 70_000, sdp, 413, "more than 65536 bytes"),
        ("GET", "/live/cam/whep", "", {}, 405, "a POST of an SDP offer"),
        ("POST", "/cam/whep", "", sdp, 404, "not found"),
        (
            "PATCH",
            "/live/cam/whep/none",
            "",
            {"content_type": "application/trickle-ice-sdpfrag"},
            404,
            "no such session",
        ),
        ("DELETE", "/live/cam/whep/none", "", {}, 200, ""),
        ("OPTIONS", "/live/cam/whep", "", {}, 204, ""),
    ]
    for method, path, body, headers, status, words in asked:
        told = await site.ask(method, path, body, **headers)
        assert (told[0], words in told[2]) == (status, True), (method, path, told)
        assert told[1]["access-control-allow-origin"] == "*"


async def test_a_session_takes_candidates_and_says_when_another_ice_session_is_meant(site: Site) -> None:
    status, headers, answer = await site.ask(
        "POST", "/live/cam/whep", offer("recvonly"), content_type="application/sdp"
    )
    assert status == 201, answer
    location, etag = headers["location"], headers["etag"]
    fragment = {"content_type": "application/trickle-ice-sdpfrag"}
    candidate = "a=candidate:1 1 udp 2113937151 192.0.2.9 5000 typ host\r\n"
    assert (await site.ask("PATCH", location, candidate, if_match=etag, **fragment))[0] == 204
    assert (await site.ask("PATCH", location, candidate, if_match='"other"', **fragment))[0] == 412
    many = "".join(f"a=candidate:1 1 udp 1 192.0.2.9 {port} typ host\r\n" for port in range(1000, 1040))
    # Beyond 32 they are passed over.
    assert (await site.ask("PATCH", location, many, **fragment))[0] == 204
    renewed = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
    status, headers, body = await site.ask("PATCH", location, renewed, if_match='"*"', **fragment)
    assert (status, headers["etag"] != etag, "a=ice-pwd:" in body) == (200, True, True)
    assert (await site.ask("DELETE", location))[0] == 200
    assert (await site.ask("PATCH", location, candidate, **fragment))[0] == 404


class Doorkeeper:
    """Lets in who brings the word."""

    def __init__(self) -> None:
        self.asked: list[Credentials] = []

    async def authorize_publish(self, key: arcly.StreamKey, credentials: Credentials) -> bool:
        self.asked.append(credentials)
        return credentials.params.get("token") == "open"

    authorize_play = authorize_publish


async def test_credentials_are_asked_for_before_a_word_of_the_offer_is_read() -> None:
    site = Site()
    doorkeeper = Doorkeeper()
    site.engine = arcly.Engine(site.webrtc, authenticator=doorkeeper)
    async with site:
        nonsense = {"content_type": "application/sdp"}
        status, headers, _ = await site.ask("POST", "/live/a/whip", "no SDP", **nonsense)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="arcly", Bearer')
        status, _, _ = await site.ask("POST", "/live/a/whip", "no SDP", authorization="Bearer shut", **nonsense)
        assert status == 403
        for way in "whip", "whep":
            status, _, text = await site.ask("POST", f"/live/cam/{way}", "", authorization="Bearer open", **nonsense)
            assert status in (400, 409), text
    assert all(credentials.protocol == "webrtc" for credentials in doorkeeper.asked)


def check(user: str, password: str, padding: int | None = None) -> bytes:
    """A binding request as ICE sends it (RFC 8445 §7.2.2, RFC 8489 §14), `padding` bytes of nothing in it."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)

    body = attribute(0x0006, user.encode()) + attribute(0x0024, struct.pack(">I", 1853824767))
    body += attribute(0x802A, os.urandom(8)) + attribute(0x0025, b"")
    if padding is not None:
        body += attribute(0x80FF, bytes(padding))
    head = struct.pack(">HHI", 1, len(body) + 24, 0x2112A442) + os.urandom(12)
    body += attribute(0x0008, hmac.new(password.encode(), head + body, hashlib.sha1).digest())
    head = head[:2] + struct.pack(">H", len(body) + 8) + head[4:]
    return head + body + attribute(0x8028, struct.pack(">I", zlib.crc32(head + body) ^ 0x5354554E))


def line(text: str, beginning: str) -> str:
    """The value of the first line with that beginning."""
    return next(line.removeprefix(beginning).strip() for line in text.splitlines() if line.startswith(beginning))


def resident_kib() -> int:
    """Memory of this process."""
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS:")).split()[1])


async def test_signalling_is_mounted_below_a_path_of_the_host(site: Site) -> None:
    app = Starlette(routes=[Mount("/media", site.webrtc.asgi())])
    sdp = {"content_type": "application/sdp"}
    status, headers, answer = await site.ask("POST", "/media/live/cam/whep", offer("recvonly"), app=app, **sdp)
    assert (status, headers["location"].startswith("/media/live/cam/whep/")) == (201, True), answer
    assert (await site.ask("DELETE", headers["location"], app=app))[0] == 200
    assert site.webrtc.sessions == 0


async def test_signalling_is_in_the_media_of_an_engine_behind_the_hosts_own_authorisation() -> None:
    site = Site()
    app = FastAPI()

    @app.middleware("http")
    async def only_members(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.headers.get("authorization") != "Bearer member":
            return Response("members only", 403)
        return await go_on(request)

    app.mount("/media", arcly.asgi(site.engine))
    sdp = {"content_type": "application/sdp"}
    async with site:
        refused = await site.ask("POST", "/media/live/cam/whep", offer("recvonly"), app=app, **sdp)
        assert (refused[0], refused[2]) == (403, "members only")
        member = sdp | {"authorization": "Bearer member"}
        status, headers, answer = await site.ask("POST", "/media/live/cam/whep", offer("recvonly"), app=app, **member)
        assert (status, headers["location"].startswith("/media/live/cam/whep/")) == (201, True), answer
        assert (await site.ask("DELETE", headers["location"], app=app, **member))[0] == 200
        other = await site.ask("POST", "/media/live/other/whip", offer("sendonly"), app=app, **member)
        assert other[0] == 201, other
