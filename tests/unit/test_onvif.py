"""ONVIF against a camera of plain sockets that looks at passwords, is behind a NAT and has a clock of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import run

from arcly.errors import MisuseError
from arcly.onvif import Found, OnvifCamera, discover
from arcly.onvif.soap import SoapError, parse, security

AHEAD = timedelta(hours=5)
"""How wrong the camera's clock is."""

SOAP = '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>{}</s:Body></s:Envelope>'
PROFILES = """<t:GetProfilesResponse xmlns:t="x"><t:Profiles token="main"><t:Name>Main &amp; more</t:Name>
<t:VideoEncoderConfiguration><t:Encoding>H264</t:Encoding><t:Resolution><t:Width>1920</t:Width><t:Height>1080</t:Height>
</t:Resolution></t:VideoEncoderConfiguration></t:Profiles>
<t:Profiles token="&lt;sub&gt;"><t:Name>Sub</t:Name></t:Profiles></t:GetProfilesResponse>"""


class Camera(BaseHTTPRequestHandler):
    """Answers questions of those who know the password."""

    def do_POST(self) -> None:
        tree = parse(self.rfile.read(int(self.headers["Content-Length"])))
        if tree.first("GetSystemDateAndTime"):
            now = datetime.now(UTC) + AHEAD
            fields = zip(("Year", "Month", "Day", "Hour", "Minute", "Second"), now.timetuple(), strict=False)
            self.answer(
                "<UTCDateTime>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields) + "</UTCDateTime>"
            )
        elif not is_known(tree):
            self.answer("<s:Fault><s:Reason><s:Text>Sender not authorized</s:Text></s:Reason></s:Fault>", 400)
        elif tree.first("GetCapabilities"):
            self.answer(f"<Media><XAddr>http://10.9.8.7:{self.server.server_address[1]}/onvif/media</XAddr></Media>")
        elif tree.first("GetProfiles"):
            self.answer(PROFILES)
        elif tree.first("GetStreamUri"):
            token = tree.text("ProfileToken")
            self.answer(
                f"<MediaUri><Uri>rtsp://10.9.8.7:554/{'main' if token == 'main' else 'sub'}?a=b</Uri></MediaUri>"
            )
        else:
            self.answer("<MediaUri><Uri>javascript:alert(1)</Uri></MediaUri>")

    def answer(self, body: str, status: int = 200) -> None:
        """Send an answer."""
        text = SOAP.format(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def is_known(tree: object) -> bool:
    """Whether user, password and time are right."""
    nonce, created = base64.b64decode(tree.text("Nonce")), tree.text("Created")  # type: ignore[attr-defined]
    digest = base64.b64encode(hashlib.sha1(nonce + created.encode() + b"secret").digest()).decode()
    if tree.text("Username") != "me" or tree.text("Password") != digest:  # type: ignore[attr-defined]
        return False
    age = datetime.now(UTC) + AHEAD - datetime.fromisoformat(created.replace("Z", "+00:00"))
    return abs(age) < timedelta(seconds=10)


@contextmanager
def camera() -> Iterator[str]:
    """A running camera; the URL of its device service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/onvif/device_service"
    finally:
        server.shutdown()
        server.server_close()


class Responder(asyncio.DatagramProtocol):
    """Answers the question who is a camera."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go out."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        assert "NetworkVideoTransmitter" in parse(data).text("Types")
        for answer in self.answers:
            self.transport.sendto(answer.encode(), addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def responding(*answers: str, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, int]]:
    """A responder; where it is asked."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Responder(list(answers)), local_addr=(host, 0)
    )
    try:
        yield transport.get_extra_info("sockname")[:2]
    finally:
        transport.close()


def match(urls: str, id: str = "urn:uuid:1", name: str = "Front%20door") -> str:
    """An answer."""
    scopes = f"onvif://www.onvif.org/name/{name} onvif://www.onvif.org/hardware/X-1000 onvif://www.onvif.org/type/ptz"
    inner = f"<Address>{id}</Address><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{urls}</d:XAddrs>"
    return SOAP.format(f'<d:ProbeMatches xmlns:d="d"><d:ProbeMatch>{inner}</d:ProbeMatch></d:ProbeMatches>')


async def test_cameras_are_found_and_each_is_listed_once() -> None:
    mine, other = (
        match("http://10.0.0.1/a http://127.0.0.1:80/b https://127.0.0.1/c"),
        match("http://10.0.0.1/a", "urn:uuid:2"),
    )
    broken = ["nonsense", "<a/>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', match("ftp://127.0.0.1/", "urn:uuid:3")]
    async with responding(mine, mine, other, *broken) as target:
        found = await discover(timeout_s=0.4, target=target)
    urls = ("http://127.0.0.1:80/b", "https://127.0.0.1/c")
    assert found == [Found("urn:uuid:1", "127.0.0.1", urls, "Front door", "X-1000")], "only what is where it answered"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_cameras_are_found_by_ipv6() -> None:
    async with responding(match("http://[::1]:80/b"), host="::1") as target:
        found = await discover(timeout_s=0.4, target=target, ipv6=True)
    assert [camera.addresses for camera in found] == [("http://[::1]:80/b",)]


async def test_an_interface_that_is_not_there_is_named() -> None:
    for ipv6 in (False, True):
        with pytest.raises(MisuseError, match="nic9"):
            await discover(interface="nic9", ipv6=ipv6)


async def test_a_camera_says_where_its_streams_are() -> None:
    with camera() as url:
        asked = OnvifCamera(url, "me", "secret")
        main, sub = await asked.profiles()
        assert (main.token, main.name, main.encoding, main.width, main.height) == (
            "main",
            "Main & more",
            "H264",
            1920,
            1080,
        )
        assert await asked.stream_uri(main) == "rtsp://127.0.0.1:554/main?a=b", "at the address where we reach it"
        assert await asked.stream_uri(sub, with_password=True) == "rtsp://me:secret@127.0.0.1:554/sub?a=b"
        with pytest.raises(SoapError, match="no URL"):
            await asked.snapshot_uri(main)


async def test_who_is_not_known_is_told_so() -> None:
    with camera() as url:
        for user, password in [("me", "wrong"), ("you", "secret"), ("", "")]:
            with pytest.raises(SoapError, match="not authorized"):
                await OnvifCamera(url, user, password).profiles()
    with pytest.raises(SoapError):
        await OnvifCamera(url, "me", "secret", deadline_s=1).profiles()


def test_the_digest_of_the_profile() -> None:
    """The example of the ONVIF application programmer's guide, §6.1.1.3."""
    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    header = security("user", "userpassword", datetime(2010, 9, 16, 7, 50, 45, tzinfo=UTC), nonce)
    created = "2010-09-16T07:50:45.000Z"
    digest = hashlib.sha1(nonce + created.encode() + b"userpassword").digest()
    assert base64.b64encode(digest).decode() in header
    assert "userpassword" not in header


async def test_the_command_lists_cameras() -> None:
    with camera() as url:
        async with responding(match(url)) as (host, port):
            command = [sys.executable, "-m", "arcly", "cameras", "--target", f"{host}:{port}", "--seconds", "0.4"]
            listed = await run("env", "ARCLY_CAMERA_PASSWORD=secret", *command, "--user", "me", "--json")
            assert listed.returncode == 0, listed.stderr
            [row] = json.loads(listed.stdout)
            assert row["profiles"][0] == {
                "name": "Main & more",
                "encoding": "H264",
                "size": "1920x1080",
                "stream": "rtsp://127.0.0.1:554/main?a=b",
                "snapshot": "",
            }
            shown = await run(*command)
            assert b"not authorized" in b" ".join(shown.stdout.split())


async def test_a_device_whose_address_is_none_hides_no_camera() -> None:
    """Found by reading: it was an error of ours, and nothing was listed."""
    wrong = ["http://127.0.0.1:99999/x", "http://a@127.0.0.1/", "http://127.0.0.1/\u00e9", "http://127.0.0.1/#x"]
    with camera() as url:
        async with responding(*(match(it, f"urn:uuid:{it}") for it in wrong), match(url)) as (host, port):
            command = [sys.executable, "-m", "arcly", "cameras", "--target", f"{host}:{port}", "--seconds", "0.4"]
            listed = await run("env", "ARCLY_CAMERA_PASSWORD=secret", *command, "--user", "me", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["address"]: row for row in json.loads(listed.stdout)}
    assert set(rows) == {url, *wrong}
    assert len(rows[url]["profiles"]) == 2
    assert all(rows[it]["error"] for it in wrong)


async def test_a_media_service_that_is_nowhere_is_the_fault_of_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: it was misuse."""
    answer = Camera.answer
    monkeypatch.setattr(Camera, "answer", lambda self, body: answer(self, body.replace("/onvif/media", "/#media")))
    with camera() as url, pytest.raises(SoapError, match="no URL of its media service"):
        await OnvifCamera(url, "me", "secret").profiles()


async def test_a_clock_at_the_end_of_time_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: the time of the second question was later than any time can be."""
    asked = OnvifCamera("http://127.0.0.1/", "me", "secret")
    end = ("9999", "12", "31", "23", "59", "59")
    fields = zip(("Year", "Month", "Day", "Hour", "Minute", "Second"), end, strict=True)
    said = "<UTCDateTime>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields) + "</UTCDateTime>"

    async def exchange(*_: object) -> object:
        return parse(said.encode())

    monkeypatch.setattr(asked, "_exchange", exchange)
    assert await asked._measure_clock() == timedelta()


async def test_what_a_device_calls_itself_does_not_steer_the_terminal() -> None:
    """Found by reading: a name in a scope is quoted, and may have any letter in it."""
    async with responding(match("http://127.0.0.1:1/a\u009b2J", name="door%1B%5B2J%0Dx")) as (host, port):
        command = [sys.executable, "-m", "arcly", "cameras", "--target", f"{host}:{port}", "--seconds", "0.4"]
        shown = (await run("env", "COLUMNS=200", *command)).stdout.decode()
    assert r"door\x1b[2J\rx X-1000 http://127.0.0.1:1/a\x9b2J" in shown
    assert all(letter.isprintable() or letter == "\n" for letter in shown), repr(shown)


async def test_a_scope_that_is_no_url_is_passed_over() -> None:
    """Found by reading: it was an error of ours, and the camera was not listed."""
    async with responding(match("http://127.0.0.1:80/b", name="door onvif://[onvif.org/x")) as target:
        found = await discover(timeout_s=0.4, target=target)
    assert [camera.name for camera in found] == ["door"]
