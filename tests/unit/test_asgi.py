"""The media as an ASGI application: what servers and clients hand it that is no address, or no request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conftest import eventually

import arcly
from arcly._asgi import Message, OriginApp


class Client:
    """Asks an application, and keeps what it is sent."""

    def __init__(self, kind: str, **scope: Any) -> None:
        self.sent: list[Message] = []
        self._scope = {
            "type": kind,
            "method": "GET",
            "path": "/live/cam.flv",
            "query_string": b"",
            "headers": [],
        } | scope
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request" if kind == "http" else "websocket.connect"})

    async def ask(self, app: OriginApp) -> None:
        """Ask, and return when the application has."""
        async with asyncio.timeout(60):
            await app(self._scope, self._messages.get, self._send)

    def leave(self) -> None:
        """Be gone."""
        self._messages.put_nowait({"type": f"{self._scope['type']}.disconnect"})

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def answer(self) -> int | str:
        """The status of HTTP, or what the first message of a WebSocket is."""
        status: int | str = self.sent[0].get("status", self.sent[0]["type"])
        return status


KEY = arcly.StreamKey("live", "cam")

KINDS = pytest.mark.parametrize("kind", ["http", "websocket"])


@KINDS
@pytest.mark.parametrize(
    "client", [None, ("testclient", 50000), ("", 0), ("127.0.0.1", 1), ("::1", 1), ("fe80::1%lo", 1)]
)
async def test_who_asks_gets_an_answer_wherever_the_server_says_that_they_are(
    kind: str, client: tuple[str, int] | None
) -> None:
    engine = arcly.Engine()
    app = arcly.asgi(engine)
    async with engine:
        asking = Client(kind, client=client)
        await asking.ask(app)
        assert asking.answer in (404, "websocket.close")


@KINDS
async def test_what_is_no_request_is_refused(kind: str) -> None:
    engine = arcly.Engine()
    app = arcly.asgi(engine)
    async with engine:
        asking = Client(kind, headers=[(b"a b", b"c")])
        await asking.ask(app)
        assert asking.answer in (400, "websocket.close")


class Doorman:
    """Lets nobody play, or does not decide."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs, self.asked = hangs, 0

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        return False


@asynccontextmanager
async def guarded(doorman: Doorman) -> AsyncIterator[OriginApp]:
    """Publish `live/cam`, and let nobody in whom `doorman` does not."""
    origin = arcly.HttpOrigin(None)
    async with arcly.Engine(origin, authenticator=doorman, auth_deadline_s=600) as engine:
        session = await engine.start_publish(KEY)
        session.set_tracks([arcly.Track(0, "AAC", bytes([0x11, 0x90]))])
        await eventually(lambda: origin.live_path(KEY, "flv"))
        yield origin.asgi()


@KINDS
async def test_who_leaves_before_there_is_an_answer_leaves_nothing_behind(kind: str) -> None:
    doorman = Doorman(hangs=True)
    async with guarded(doorman) as app:
        asking = Client(kind)
        answering = asyncio.create_task(asking.ask(app))
        await eventually(lambda: doorman.asked)
        asking.leave()
        await answering
        assert asking.sent == []


UPGRADE = [
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-version", b"8"),
]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, 401),
        ({"method": "HEAD"}, 401),
        ({"headers": UPGRADE}, 401),
        ({"method": "OPTIONS"}, 204),
        ({"method": "POST"}, 405),
    ],
    ids=["GET", "HEAD", "a broken upgrade", "OPTIONS", "POST"],
)
@pytest.mark.parametrize("name", [".flv", ".ts", ".mp4", "/index.m3u8", "/manifest.mpd"])
async def test_who_may_not_play_does_not_learn_what_there_is(name: str, asked: dict[str, Any], answer: int) -> None:
    async with guarded(Doorman()) as app:
        there, missing = (Client("http", path=f"/live/{stream}{name}", **asked) for stream in ("cam", "nothing"))
        await there.ask(app)
        await missing.ask(app)
        assert (there.answer, there.sent) == (answer, missing.sent)


async def test_a_page_may_ask_for_a_stream_that_begins_by_it() -> None:
    """Found by reading: the preflight was answered as if there were nothing, and the browser asked for nothing more."""
    origin = arcly.HttpOrigin(None)
    async with arcly.Engine(origin) as engine:
        pull = arcly.PullSource("rtmp://127.0.0.1:1/live/cam", KEY, on_demand=True)
        await pull.start(engine)
        for name in ".flv", "/index.m3u8":
            asking = Client("http", path=f"/live/cam{name}", method="OPTIONS")
            await asking.ask(origin.asgi())
            assert asking.answer == 204
        assert pull.state is arcly.LinkState.STOPPED
        await pull.stop()
