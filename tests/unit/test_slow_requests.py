"""Requests whose bodies do not come."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

import arcly
from arcly.protocols._whip import WhipApp
from arcly.server.application import answering
from arcly.server.viewers import Viewers
from arcly.server.web import create_app

OFFER = b"POST /live/cam/whep HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 2\r\n\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class NoSessions:
    """Opens none."""

    ice_servers: tuple[str, ...] = ()

    async def play(self, key: arcly.StreamKey, offer: str, credentials: arcly.Credentials) -> None:
        """Refuse."""
        raise arcly.NotFoundError("no such stream")


class Client:
    """Connections to an origin that send and do not read."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._open: list[asyncio.StreamWriter] = []

    async def send(self, request: bytes, source: str = "127.0.0.1") -> asyncio.StreamReader:
        """Send a request, from an address of this machine."""
        reader, writer = await asyncio.open_connection(*self._address, local_addr=(source, 0))
        writer.write(request)
        self._open.append(writer)
        return reader

    async def status(self, request: bytes, source: str = "127.0.0.1") -> int:
        """Send one and return what is answered."""
        return int((await (await self.send(request, source)).readline()).split()[1])

    def close(self) -> None:
        """Close all of them."""
        for writer in self._open:
            writer.close()


async def test_who_sends_bodies_slowly_keeps_the_application_from_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: 256 unfinished POSTs took all places of the page, of WebRTC and of the liveness probe."""
    monkeypatch.setattr("arcly.protocols._whip.BODY_DEADLINE_S", 60.0)
    coming, refused = [], []
    page = create_app(dict, Viewers({}), signalling=WhipApp(NoSessions()))  # type: ignore[arg-type]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        coming.append(scope["path"])
        await page(scope, receive, send)

    async def post(client: Client) -> None:
        refused.append(await client.status(OFFER))

    async with AsyncExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "app.sock"
        http = arcly.HttpOrigin("127.0.0.1:0", app_socket=path)
        await stack.enter_async_context(answering(app, path))
        await stack.enter_async_context(arcly.Engine(http))
        assert http.address is not None
        client = Client(http.address)
        stack.callback(client.close)
        posts = [asyncio.create_task(post(client)) for _ in range(256)]
        await eventually(lambda: len(coming) + len(refused) >= 256)
        assert await client.status(PROBE) == 200
        assert await client.status(OFFER + b"v=", source="127.0.0.2") == 404
        assert set(refused) == {503}
        for task in posts:
            task.cancel()


async def test_an_offer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: it had its place for 30 s, before anybody had asked who sends it."""
    monkeypatch.setattr("arcly.protocols._whip.BODY_DEADLINE_S", 0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/live/cam/whip",
        "headers": [(b"content-type", b"application/sdp")],
    }
    async with asyncio.timeout(20):
        await WhipApp(NoSessions())(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
