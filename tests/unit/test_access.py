"""`arcly serve --auth-…` and `--metrics`: who may what, on every way that the flags open."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.request import Request, urlopen

import jwt
import pytest
from conftest import eventually
from starlette.requests import Request as HttpRequest
from test_listeners import FREE, serving

import arcly
from arcly.__main__ import parser
from arcly.contract import StreamAuthenticator
from arcly.protocols import _whip
from arcly.server import admission
from arcly.server.access import authenticator_of, read_users
from arcly.server.addresses import may_see
from arcly.services.auth import Action, AnyOf, HttpAuthenticator, User, Users

USERS = """
# who may what
studio s3cret publish,read
guest  hello   read live/*
"""


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users.txt"
    file.write_text(USERS)
    return file


def of(*flags: str) -> StreamAuthenticator | None:
    return authenticator_of(parser().parse_args(["serve", *flags]))


def test_a_file_of_users_is_read(users: Path) -> None:
    assert read_users(users) == [
        User("studio", "s3cret", frozenset(Action)),
        User("guest", "hello", frozenset({Action.PLAY}), "live/*"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names nobody"),
        ("# nobody\n", "names nobody"),
        ("a b\n", ":1 is not of the form NAME PASSWORD"),
        ("a b read\na b read live/* more\n", ":2 is not of the form"),
        ("a b watch\n", "'watch' is none of publish, read"),
        ("a b read\nalice secret publish,read live\n", ":2: 'live' matches no stream: names are APP/STREAM"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "users.txt"
    file.write_text(text)
    with pytest.raises(arcly.MisuseError, match=re.escape(said)):
        of("--auth-users", str(file))


@pytest.mark.parametrize("flags", [["--open-play"], ["--auth-jwt", "RS256"], ["--auth-jwt", "none=x.pem"]])
def test_flags_that_make_no_sense_are_refused(
    tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.pem").write_text("key")
    with pytest.raises(arcly.MisuseError):
        of(*flags)


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        (b"a" * 32 + b"\n", b"a" * 32),
        (b"a" * 32 + b"\r\n", b"a" * 32),
        (b"a" * 32, b"a" * 32),
        (b"\xff" * 31 + b"\n", b"\xff" * 31 + b"\n"),
    ],
)
async def test_the_line_end_behind_a_secret_is_no_part_of_it(tmp_path: Path, written: bytes, secret: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(written)
    asked = of("--auth-jwt", f"HS256={file}")
    assert asked is not None
    claims = {"exp": 1 << 33, "mediamtx_permissions": [{"action": "read"}]}
    token = jwt.encode(claims, secret, algorithm="HS256")
    assert await asked.authorize_play(arcly.StreamKey("live", "cam"), arcly.Credentials(query=f"token={token}"))


def test_without_flags_nobody_is_asked() -> None:
    assert of() is None


async def test_who_is_asked_over_a_network_has_as_long_beside_users_as_alone(users: Path) -> None:
    both = of("--auth-users", str(users), "--auth-url", "http://127.0.0.1:9/")
    assert isinstance(both, AnyOf)
    assert vars(both)["_member_deadline_s"] > 4, "what HttpAuthenticator takes by default"


async def test_of_several_one_is_enough(users: Path) -> None:
    both = of("--auth-users", str(users), "--auth-url", "http://127.0.0.1:9/")
    assert both is not None
    key = arcly.StreamKey("live", "cam")
    assert await both.authorize_publish(key, arcly.Credentials(query="user=studio&pass=s3cret"))
    assert not await both.authorize_publish(key, arcly.Credentials(query="token=x"))


async def test_a_password_of_the_authoriser_does_not_wait_as_a_wrong_one_of_the_file(
    users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def allow(*_: object) -> bool:
        return True

    async def never(*_: object) -> bool:
        raise AssertionError("the file was asked first")

    monkeypatch.setattr(HttpAuthenticator, "authorize", allow)
    monkeypatch.setattr(Users, "authorize", never)
    both = of("--auth-users", str(users), "--auth-url", "http://127.0.0.1:9/")
    assert both is not None
    key = arcly.StreamKey("live", "cam")
    assert await both.authorize_publish(key, arcly.Credentials(query="user=other&pass=right"))


def ask(url: str, method: str = "GET") -> tuple[int, str]:
    from urllib.error import HTTPError

    try:
        with urlopen(Request(url, method=method), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, ""


async def test_the_page_shows_and_plays_to_whom_may_and_nothing_to_others(users: Path) -> None:
    options = [*FREE, "--http", "127.0.0.1:0", "--demo", "--auth-users", str(users), "--metrics", "127.0.0.1:0"]
    async with serving(*options) as (process, lines):
        await eventually(lambda: any("in a browser" in line for line in lines) or process.returncode, deadline_s=60)
        log = "".join(lines)
        page = re.search(r"open (http://\S+)/ in a browser", log)
        numbers = re.search(r"Prometheus at (\S+), path", log)
        assert page, log
        assert numbers, log

        async def get(path: str) -> tuple[int, str]:
            return await asyncio.to_thread(ask, page[1] + path)

        async def streams(query: str) -> list[str]:
            return [it["stream"] for it in json.loads((await get(f"/api/streams{query}"))[1])["streams"]]

        assert await streams("?user=guest&pass=hello") == ["demo"]
        assert await streams("") == await streams("?user=guest&pass=wrong") == []
        # A wrong password looked like a server without streams.
        for query, refused in (("", False), ("?user=guest&pass=hello", False), ("?user=guest&pass=wrong", True)):
            assert json.loads((await get(f"/api/streams{query}"))[1])["refused"] is refused, query
        for path in ("/live/demo/index.m3u8", "/live/demo/manifest.mpd", "/live/demo/ts.m3u8", "/live/demo.flv"):
            assert (await get(path))[0] == 401, path
            assert (await get(path + "?user=guest&pass=wrong"))[0] == 403, path
        # By no method does the page behind the media tell what there is.
        for method, status in ("OPTIONS", 204), ("POST", 405):
            for path in "/live/demo.flv", "/live/nothing.flv":
                assert (await asyncio.to_thread(ask, page[1] + path, method))[0] == status, (method, path)
        for path in ("/api/viewers?stream=live/demo", "/api/viewers?stream=live/nothing"):
            assert (await get(path))[0] == 404, path
        assert (await get("/api/viewers?user=guest&pass=hello&stream=live/demo"))[0] == 200
        status, playlist = await get("/live/demo/index.m3u8?user=guest&pass=hello")
        assert status == 200
        # What the playlist names plays without the password.
        media = next(line for line in playlist.splitlines() if line and not line.startswith("#"))
        assert (await get(f"/live/demo/{media}"))[0] == 200
        status, text = await asyncio.to_thread(ask, f"http://{numbers[1]}/metrics")
        assert status == 200
        assert 'paths{name="live/demo",state="ready"} 1.0' in text, text[:2000]
    assert not [line for line in lines if "Traceback" in line or " ERR " in line], lines


@pytest.mark.parametrize("flags", [[], ["--open-play", "--auth-users"]])
async def test_where_everybody_may_play_the_page_hides_nothing(users: Path, flags: list[str]) -> None:
    asks = [*flags, str(users)] if flags else []
    async with serving(*FREE, "--http", "127.0.0.1:0", "--demo", *asks) as (process, lines):
        await eventually(lambda: any("in a browser" in line for line in lines) or process.returncode, deadline_s=60)
        page = re.search(r"open (http://\S+)/ in a browser", "".join(lines))
        assert page, lines
        status, text = await asyncio.to_thread(ask, page[1] + "/api/streams")
        body = json.loads(text)
        assert (status, [it["stream"] for it in body["streams"]], "hides" in body) == (200, ["demo"], False)


@pytest.mark.parametrize("given", [["192.0.2.1, 192.0.2.2"], ["192.0.2.1", "192.0.2.2"], ["192.0.2.2"]])
def test_behind_a_socket_the_proxy_says_who_asks_and_not_the_client(given: list[str]) -> None:
    """Found by reading: the address was what the client had written itself, where a proxy puts its own behind that."""
    headers = [(b"x-forwarded-for", address.encode()) for address in given]
    scope = {"type": "http", "client": None, "query_string": b"", "headers": headers}
    assert _whip.credentials_of(scope).peer == "192.0.2.2"
    assert admission.credentials_of(HttpRequest(scope), "page").peer == "192.0.2.2"


@pytest.mark.parametrize(("given", "sees"), [(["127.0.0.1", "192.0.2.2"], False), (["192.0.2.1, 127.0.0.1"], True)])
def test_behind_a_socket_addresses_are_not_shown_to_who_says_that_it_is_local(given: list[str], sees: bool) -> None:
    """Found by reading: what the client had written was believed, in front of what the proxy says."""
    headers = [(b"x-forwarded-for", address.encode()) for address in given]
    assert may_see(HttpRequest({"type": "http", "client": None, "headers": headers}), "local") is sees
