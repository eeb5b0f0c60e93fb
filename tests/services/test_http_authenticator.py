import asyncio
import json
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import eventually
from http_server import HttpServer, closed, http_server, says

import arcly
from arcly.services.auth import Action, HttpAuthenticator
from arcly.services.auth.external import ip_of, question

KEY = arcly.StreamKey("live", "cam")
OBS = arcly.Credentials(peer="192.0.2.1:51234", agent="FMLE/3.0", query="user=a&pass=b%20c&token=d&x=%C3%A9&user=last")


def status(code: int, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} Whatever", *fields, "Content-Length: 0", "", ""]).encode()


async def ask(server: HttpServer, action: Action = Action.PUBLISH, **options: object) -> bool:
    authenticator = HttpAuthenticator(server.url + "/auth?from=arcly", **options)  # type: ignore[arg-type]
    return await authenticator.authorize(action, KEY, OBS)


@pytest.mark.parametrize("code", [200, 201, 204, 209])
async def test_20x_allows(code: int) -> None:
    async with http_server(says(status(code))) as server:
        assert await ask(server)


@pytest.mark.parametrize("code", [210, 226, 301, 302, 307, 308, 400, 401, 403, 404, 500, 503, 999])
async def test_any_other_status_refuses_and_a_redirect_is_not_followed(code: int) -> None:
    async with http_server(says(status(200))) as target:
        async with http_server(says(status(code, f"Location: {target.url}/"))) as server:
            assert not await ask(server)
            assert len(server.requests) == 1
        assert target.requests == []


async def test_the_question_is_that_of_mediamtx() -> None:
    async with http_server(says(status(204))) as server:
        assert await ask(server, headers={"X-Secret": "s3"})
        assert await ask(server, Action.PLAY)
        (head, body), (_, play) = server.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /auth?from=arcly HTTP/1.1"
    assert {"Content-Type: application/json", "X-Secret: s3", "Connection: close"} <= set(lines)
    assert json.loads(body) == {
        "user": "last",
        "password": "b c",
        "token": "d",
        "ip": "192.0.2.1",
        "action": "publish",
        "path": "live/cam",
        "protocol": "",
        "id": None,
        "query": OBS.query,
        "userAgent": "FMLE/3.0",
    }
    assert json.loads(play)["action"] == "read"


async def test_the_protocol_is_told_when_the_handler_says_it() -> None:
    assert question(Action.PUBLISH, KEY, arcly.Credentials(protocol="rtmp"))["protocol"] == "rtmp"
    assert question(Action.PUBLISH, KEY, arcly.Credentials())["ip"] == ""


async def test_playing_need_not_be_asked_for() -> None:
    async with http_server(says(status(401))) as server:
        assert await ask(server, Action.PLAY, gate_play=False)
        assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 100,
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    ],
)
async def test_what_is_no_answer_refuses(answer: bytes) -> None:
    async with http_server(says(answer)) as server:
        assert not await ask(server)


async def test_a_server_that_is_not_there_refuses() -> None:
    async with http_server(says(b"")) as server:
        pass
    assert not await ask(server)


async def hang(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Keep every single read short of its timeout."""
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


async def flood(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize("answer", [hang, drip, flood])
async def test_the_deadline_holds_and_the_connection_is_cut(answer: object) -> None:
    loop = asyncio.get_running_loop()
    async with http_server(answer) as server:  # type: ignore[arg-type]
        began_s = loop.time()
        assert not await ask(server, deadline_s=0.2)
        # The flood is ended by its length.
        assert answer is flood or loop.time() - began_s > 0.15
        assert loop.time() - began_s < 30
        # A server that only waits is not told; one that writes is.
        if answer is not hang:
            await eventually(lambda: not server.tasks, what="the connection to be cut")


async def test_a_huge_body_is_not_read() -> None:
    async def endless(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()

    async with http_server(endless) as server:
        assert await ask(server)
        await eventually(lambda: not server.tasks, what="the connection to be closed")


async def test_questions_wait_for_a_thread_inside_their_deadline() -> None:
    async with http_server(hang) as server:
        authenticator = HttpAuthenticator(server.url, deadline_s=2, concurrency=2)
        asked = [asyncio.create_task(authenticator.authorize_publish(KEY, OBS)) for _ in range(20)]
        await eventually(lambda: len(server.requests) >= 2)
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("arcly-http")]
        assert len(threads) == 2
        assert await asyncio.wait_for(asyncio.gather(*asked), 60) == [False] * 20


async def test_a_question_that_is_given_up_frees_its_thread() -> None:
    calls = 0

    async def first_hangs(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        writer.write(status(200))

    async with http_server(first_hangs) as server:
        authenticator = HttpAuthenticator(server.url, deadline_s=30, concurrency=1)
        first = asyncio.create_task(authenticator.authorize_publish(KEY, OBS))
        await eventually(lambda: calls == 1)
        first.cancel()
        assert await asyncio.wait_for(authenticator.authorize_publish(KEY, OBS), 60)


async def test_a_peer_that_says_too_much_is_refused_unasked() -> None:
    async with http_server(says(status(200))) as server:
        talker = arcly.Credentials(query="user=" + "x" * 9000)
        assert not await HttpAuthenticator(server.url).authorize_publish(KEY, talker)
        assert server.requests == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


async def test_tls_is_checked(certificate: Path) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    http = HttpServer(says(status(200)))
    listener = await asyncio.start_server(http.serve, "127.0.0.1", 0, ssl=served)
    try:
        port = listener.sockets[0].getsockname()[1]
        url = f"https://localhost:{port}/"
        assert await HttpAuthenticator(url, tls=trusting).authorize_publish(KEY, OBS)
        assert not await HttpAuthenticator(url).authorize_publish(KEY, OBS)
        other_name = f"https://127.0.0.1:{port}/"
        assert not await HttpAuthenticator(other_name, tls=trusting).authorize_publish(KEY, OBS)
    finally:
        await closed(listener, http)


@pytest.mark.parametrize(
    ("peer", "ip"),
    [
        (None, ""),
        ("192.0.2.1:51234", "192.0.2.1"),
        ("[2001:db8::1]:5", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:5", "192.0.2.1"),
        ("unix", ""),
        ("", ""),
    ],
)
def test_the_ip_of_a_peer(peer: str | None, ip: str) -> None:
    assert ip_of(peer) == ip


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http://host:99999/",
        "http://host:x/",
        "http://user:pass@host/",
        "http://host/#x",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://[::1",
        "http://höst/",
    ],
)
def test_what_is_no_url_is_misuse_and_no_password_is_repeated(url: str) -> None:
    with pytest.raises(arcly.MisuseError) as refused:
        HttpAuthenticator(url)
    assert "pass@" not in str(refused.value)


@pytest.mark.parametrize("options", [{"deadline_s": 0}, {"deadline_s": 61}, {"concurrency": 0}, {"concurrency": 257}])
def test_numbers_out_of_range_are_misuse(options: dict[str, float]) -> None:
    with pytest.raises(arcly.MisuseError):
        HttpAuthenticator("http://host/", **options)  # type: ignore[arg-type]
