"""Fixtures: `arcly serve` as its user starts it, and pages in a Chromium that forgive nothing."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from conftest import eventually
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, Response, async_playwright, expect

NAME_OF_LOOPBACK = "media.test"
"""Chromium takes it for 127.0.0.1; plain http under such a name is no secure context, as on a local network."""

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    f"--host-resolver-rules=MAP {NAME_OF_LOOPBACK} 127.0.0.1",
]

ARTIFACTS = Path(__file__).parents[1] / "artifacts"

STOP_WITHIN_S = 60

Prepare = Callable[[Page], Awaitable[Any]]

expect.set_options(timeout=60_000)


@dataclass
class Serve:
    """A running `arcly serve`."""

    process: asyncio.subprocess.Process
    log_file: Path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text()

    def logged(self, pattern: str) -> re.Match[str] | None:
        """Look for `pattern` in the log."""
        return re.search(pattern, self.log)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """The URL of `path`, under the port that the log names."""
        found = self.logged(r"open http://127\.0\.0\.1:(\d+)/ in a browser")
        assert found, self.log
        return f"http://{host}:{found[1]}{path}"

    def rtmp_url(self, name: str) -> str:
        """Where `name` (`live/cam`) is published."""
        found = self.logged(r"\[rtmp\] listening on (\S+)")
        assert found, self.log
        return f"rtmp://{found[1]}/{name}"


@asynccontextmanager
async def serving(log_file: Path, *options: str) -> AsyncIterator[Serve]:
    """Run `arcly serve` on free ports; at the end it stops by itself on SIGINT, and has logged no error."""
    free = [option for name in ("rtmp", "http", "webrtc") for option in (f"--{name}", "127.0.0.1:0")]
    free += ["--rtsp", "off", "--srt", "off"]  # what no page speaks
    # The log goes to a file: nobody has to read it for the server to go on.
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "arcly", "serve", *free, *options, stdin=asyncio.subprocess.DEVNULL, stderr=log
        )
    server = Serve(process, log_file)
    try:
        await eventually(
            lambda: process.returncode is not None or server.logged("in a browser"), what="the server runs"
        )
        yield server
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, server.log
    assert not server.logged(r"(?m)^\S+ \S+ (ERR|CRI) |Traceback"), server.log


@pytest_asyncio.fixture(loop_scope="session")
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Serve]]]:
    """Start a server: `await serve("--demo")`."""
    async with AsyncExitStack() as stack:

        async def start(*options: str) -> Serve:
            return await stack.enter_async_context(serving(tmp_path / "serve.log", *options))

        yield start


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serve]:
    """A server with the demo stream, for all tests that only look at it."""
    async with serving(tmp_path_factory.mktemp("demo") / "serve.log", "--demo", "--webrtc", "off") as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One Chromium for all tests of this worker; every page has a context, thus a profile, of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@dataclass
class Visit:
    """An open page, and whatever went wrong in it."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    async def listen(self) -> None:
        """Note every fault from now on."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._on_request)
        self.page.on("requestfailed", self._on_request_failed)
        self.page.on("response", self._on_response)
        await self.page.expose_function("violated", lambda what: self.faults.append(f"CSP: {what}"))
        await self.page.add_init_script(
            "addEventListener('securitypolicyviolation', e => violated(`${e.violatedDirective} ${e.blockedURI}`))"
        )

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text} ({message.location['url']})")

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url.removeprefix("blob:"))
        if url.scheme != "data" and f"{url.scheme}://{url.netloc}" != self.origin:
            self.faults.append(f"another origin: {request.url}")

    def _on_request_failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # that is the page itself, which no longer wants the answer
            self.faults.append(f"no answer: {request.url} {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"status {response.status}: {response.url}")

    def part(self, name: str) -> Locator:
        """The element with that `data-testid`."""
        return self.page.get_by_test_id(name)

    def row(self, key: str) -> Locator:
        """The row of the stream `key` in the list."""
        return self.part("stream-row").filter(has=self.page.get_by_test_id("stream-name").get_by_text(key, exact=True))

    async def is_in_state(self, state: str) -> None:
        """Wait for a state of the player."""
        await expect(self.part("player")).to_have_attribute("data-state", state)

    async def screenshot(self, name: str) -> None:
        """Keep a picture of what can be seen now."""
        ARTIFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=ARTIFACTS / f"{name}.png")


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Callable[..., Awaitable[Visit]]]:
    """Open a page: `await visit(url, color_scheme="light")`. At the end nothing in it has gone wrong."""
    async with AsyncExitStack() as stack:

        async def open_page(url: str, prepare: Prepare | None = None, **options: Any) -> Visit:
            defaults = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"}
            context = await stack.enter_async_context(await browser.new_context(**defaults | options))
            parts = urlsplit(url)
            visit = Visit(await context.new_page(), f"{parts.scheme}://{parts.netloc}")
            visits.append(visit)
            await visit.listen()
            if prepare is not None:
                await prepare(visit.page)
            await visit.page.goto(url)
            return visit

        visits: list[Visit] = []
        yield open_page
        for visit in visits:
            await visit.page.unroute_all(behavior="wait")
            assert not visit.faults, visit.faults
