"""Who may play HLS: asked once for each viewer, by token in the query or in the Authorization header."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from conftest import Server, eventually, serving

import arcly
from arcly._gate import PlayGate
from arcly.server.serve import DEMO_CLIP

KEY = arcly.StreamKey("live", "cam")


class Doorman:
    """Lets those in who say the word."""

    def __init__(self) -> None:
        self.asked: list[arcly.Credentials] = []
        self.hangs = False

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked.append(credentials)
        if self.hangs:
            await asyncio.Event().wait()
        return credentials.params.get("token") == "word" or credentials.params.get("pass") == "word"


@pytest.fixture
def doorman() -> Doorman:
    return Doorman()


@pytest.fixture
async def server(doorman: Doorman) -> AsyncIterator[Server]:
    async with serving(authenticator=doorman, auth_deadline_s=0.5) as server:
        source = arcly.FileSource(DEMO_CLIP, KEY)
        await source.start(server.engine)
        await eventually(lambda: server.http.hls_path(KEY))
        yield server
        await source.stop()


async def get(server: Server, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, body and the header WWW-Authenticate of an answer."""

    def fetch() -> tuple[int, str, str]:
        try:
            with urlopen(Request(server.url(path), headers=headers), timeout=30) as answer:
                return answer.status, answer.read().decode("utf-8", "replace"), ""
        except HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers.get("WWW-Authenticate", "")

    return await asyncio.to_thread(fetch)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


async def test_a_viewer_without_the_word_stays_outside(server: Server, doorman: Doorman) -> None:
    assert (await get(server, "/live/cam/index.m3u8"))[::2] == (401, 'Basic realm="arcly", Bearer')
    assert (await get(server, "/live/cam/index.m3u8?token=wrong"))[0] == 403
    assert (await get(server, "/live/cam/index.m3u8", Authorization="Bearer wrong"))[0] == 403
    assert len(doorman.asked) == 3
    # The first playlist gives a session; who comes to what is behind it without is judged there.
    for name in ("media.m3u8", "v0.m3u8", "a1.m3u8"):
        for query, status in (("", 401), ("?session=0000000000000000", 403), ("?session=&token=wrong", 403)):
            assert (await get(server, f"/live/cam/{name}{query}"))[0] == status
    assert len(doorman.asked) == 3 + 9


@pytest.mark.parametrize("path", ["/live/cam/index.m3u8", "/live/cam.flv"])
async def test_who_can_bring_a_better_password_is_asked_for_it(server: Server, path: str) -> None:
    """A query that says something else was taken for credentials, and a mistyped password was never asked for again."""
    asked = (401, 'Basic realm="arcly", Bearer')
    assert (await get(server, f"{path}?t=1"))[::2] == asked
    assert (await get(server, path, Authorization=basic("me:wrong")))[::2] == asked
    assert (await get(server, f"{path}?t=1", Authorization=basic("me:wrong")))[::2] == asked
    for query in "user=me&pass=wrong", "pass=wrong":
        assert (await get(server, f"{path}?{query}"))[::2] == (403, "")


@pytest.mark.parametrize(
    "path", ["/live/cam/index.m3u8", "/live/cam.flv", "/live/nothing.flv", "/live/nothing/v0.m3u8"]
)
async def test_a_script_of_a_page_is_not_asked_for_a_password(server: Server, path: str) -> None:
    """The browser would ask whoever looks at the page."""
    both = 'Basic realm="arcly", Bearer'
    for mode, asked in ("cors", "Bearer"), ("same-origin", "Bearer"), ("no-cors", "Bearer"), ("navigate", both):
        assert (await get(server, path, **{"Sec-Fetch-Mode": mode}))[::2] == (401, asked)


@pytest.mark.parametrize("name", ["index.m3u8", "manifest.mpd", ".flv", ".ts", ".mp4"])
async def test_who_may_not_play_does_not_learn_what_there_is(server: Server, name: str) -> None:
    for query in ("", "?token=wrong"):
        there, missing = [
            await get(server, f"/live/{stream}{'' if name[0] == '.' else '/'}{name}{query}")
            for stream in ("cam", "nothing")
        ]
        assert there == missing
        assert there[0] == (403 if query else 401)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token=word", {}),
        ("", {"Authorization": "Bearer word"}),
        ("", {"Authorization": basic("me:word")}),
    ],
)
async def test_a_viewer_with_the_word_is_asked_once(
    server: Server, doorman: Doorman, query: str, headers: dict[str, str]
) -> None:
    for index, begins, ends in ("index.m3u8", "v0.m3u8", ".m4s"), ("ts.m3u8", "media.m3u8", ".ts"):
        status, multivariant, _ = await get(server, f"/live/cam/{index}{query}", **headers)
        assert status == 200
        media = next(line for line in multivariant.splitlines() if line.startswith(begins))
        status, playlist, _ = await get(server, f"/live/cam/{media}")
        assert status == 200
        segment = next(line for line in playlist.splitlines() if line.endswith(ends))
        assert (await get(server, f"/live/cam/{segment}"))[0] == 200
        assert (await get(server, f"/live/cam/{media}"))[0] == 200
        asked = doorman.asked.pop()
        assert not doorman.asked
        assert (asked.protocol, asked.query) == ("hls", query[1:])
        assert re.fullmatch(r"127\.0\.0\.1:\d+", asked.peer or "")


async def test_an_authenticator_that_hangs_has_refused(
    server: Server, doorman: Doorman, caplog: pytest.LogCaptureFixture
) -> None:
    doorman.hangs = True
    assert (await get(server, "/live/cam/index.m3u8?token=word"))[0] == 403
    assert "took longer" in caplog.text
    caplog.clear()


async def test_without_an_authenticator_everybody_may_play() -> None:
    async with serving() as server:
        source = arcly.FileSource(DEMO_CLIP, KEY)
        await source.start(server.engine)
        await eventually(lambda: server.http.hls_path(KEY))
        assert (await get(server, "/live/cam/media.m3u8"))[0] == 200
        await source.stop()


def test_broken_authorization_headers_say_nothing() -> None:
    for header in (
        "",
        "Bearer",
        "Bearer  ",
        "Basic",
        "Basic !!",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Digest x",
    ):
        assert not arcly.Credentials(authorization=header).params
    assert arcly.Credentials(authorization="bearer a", query="token=b").params == {"token": "b"}


async def test_a_stream_that_cannot_be_begun_is_refused_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Such as by a registry of the host that fails: the player waited for nothing, and the fault was lost."""

    class Request:
        peer, agent, query, protocol, authorization = "192.0.2.1:5", "", "", "test", ""
        key, needs_stream = KEY, True

        def __init__(self) -> None:
            self.refusals: list[str] = []

        def refuse(self, why: str) -> bool:
            self.refusals.append(why)
            return True

    async def begin() -> None:
        raise OSError("the database is away")

    async with arcly.Engine() as engine:
        engine.offers.add(KEY, begin)
        gate, request = PlayGate(engine), Request()
        gate.decide(request)  # type: ignore[arg-type]
        await eventually(lambda: request.refusals)
        assert request.refusals == ["failed"]
    assert "deciding on a play failed" in caplog.text
    assert "the database is away" in caplog.text
    caplog.clear()


def rss_kib() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


async def test_streams_that_were_played_and_have_ended_hold_no_memory() -> None:
    """A gate that remembers a stream keeps what it has kept for late joiners: 4 MiB of each here."""

    class Request:
        peer, agent, query, protocol, authorization, needs_stream = "192.0.2.1:5", "", "", "test", "", True

        def __init__(self, key: arcly.StreamKey, accepted: asyncio.Event) -> None:
            self.key = key
            self.accept = lambda stream: accepted.set()

    async with arcly.Engine() as engine:
        gate = PlayGate(engine)
        before_kib = rss_kib()
        for number in range(40):
            session = await engine.start_publish(arcly.StreamKey("live", str(number)))
            session.set_tracks([arcly.Track(1, "AAC", bytes([0x11, 0x90]))])
            session.publish(bytes(4 << 20), track=1, pts=0)
            accepted = asyncio.Event()
            gate.decide(Request(session.key, accepted))  # type: ignore[arg-type]
            await asyncio.wait_for(accepted.wait(), 60)
            session.end()
        assert rss_kib() - before_kib < 80_000
