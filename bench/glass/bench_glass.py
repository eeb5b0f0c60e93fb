"""Glass to glass: how old a picture is when a browser shows it. `make bench-glass`; `--help` for its options.

A clock is drawn into each picture in front of the encoder, and read back by the page that plays it (barcode.js).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Route, async_playwright

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "python"))

from rows import Row, print_json, print_table  # noqa: E402

HLS_JS = HERE.parents[1] / "arcly/server/page/vendor/hls.min.js"
SCRIPTS = (HERE / "barcode.js", HLS_JS, HERE / "players.js")

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]

DEADLINE_S = 60


@dataclass
class Session:
    """A server, and a browser in front of it."""

    http: str
    rtmp: str
    browser: Browser
    stack: AsyncExitStack

    async def page(self) -> Page:
        """Open an empty page of the server's origin, with our scripts in it."""
        context = await self.stack.enter_async_context(await self.browser.new_context())
        page = await context.new_page()

        async def empty(route: Route) -> None:
            await route.fulfill(content_type="text/html", body="<!doctype html><title>glass</title><body></body>")

        await page.route("**/glass.html", empty)
        await page.goto(f"{self.http}/glass.html")
        for script in SCRIPTS:
            await page.add_script_tag(path=script)
        return page


Begin = Callable[[Session], Awaitable[Any]]


async def publish_rtmp(session: Session) -> None:
    """A program that encodes and sends."""
    command = (sys.executable, HERE / "publisher.py", f"{session.rtmp}/live/glass")
    await session.stack.enter_async_context(running(*command))


async def publish_whip(session: Session) -> None:
    """A page that does."""
    page = await session.page()
    await page.evaluate("url => publishWhip(url)", f"{session.http}/live/glass/whip")


@dataclass(frozen=True)
class Way:
    """How a picture goes from one glass to the other."""

    name: str
    publish: Begin
    player: str
    """The function of players.js, and what it is given behind the stream's path."""
    file: str
    goal_ms: float
    settles_s: float
    """Until a player stands where it wants to: one of HLS begins at a key picture, and wins back what that costs."""


WAYS = {
    "rtmp-hls": Way("RTMP to LL-HLS", publish_rtmp, "watchHls", "index.m3u8", 1200, 15),
    "rtmp-whep": Way("RTMP to WHEP", publish_rtmp, "watchWhep", "whep", 105, 4),
    "whip-whep": Way("WHIP to WHEP", publish_whip, "watchWhep", "whep", 30, 4),
    "whip-hls": Way("WHIP to LL-HLS", publish_whip, "watchHls", "index.m3u8", 1200, 15),
}


def main() -> None:
    """Measure each way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ways", default="rtmp-hls,rtmp-whep,whip-whep", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--seconds", type=float, default=20, help="how long each is watched (default: %(default)g)")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.ways.split(","), options.seconds))
    (print_json if options.json else print_table)(rows)


async def measure(names: list[str], seconds: float) -> list[Row]:
    """Measure the ways of these names, one after the other, each with a server of its own."""
    rows: list[Row] = []
    async with async_playwright() as playwright:
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if chromium is None:
            sys.exit("Chromium was not found (on Debian: apt-get install chromium)")
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        for name in names:
            way = WAYS[name]
            ages_ms, unread = await watch(browser, way, seconds)
            share = unread / (len(ages_ms) + unread)
            print(f"{way.name}: {len(ages_ms)} pictures, {share:.1%} unread", file=sys.stderr)
            rows.append(Row(f"{way.name}, glass to glass, p50", "ms", median(ages_ms), at_most=way.goal_ms))
            rows.append(Row(f"{way.name}, glass to glass, p95", "ms", quantiles(ages_ms, n=20)[18]))
        await browser.close()
    return rows


async def watch(browser: Browser, way: Way, seconds: float) -> tuple[list[float], int]:
    """Return the ages of the pictures shown, and how many could not be read."""
    async with AsyncExitStack() as stack:
        http, rtmp = await stack.enter_async_context(serving())
        session = Session(http, rtmp, browser, stack)
        await way.publish(session)
        await until_live(session)
        page = await session.page()
        await page.evaluate(f"url => {way.player}(url)", f"{http}/live/glass/{way.file}")
        await page.wait_for_function("() => seen.agesMs.length > 0", timeout=DEADLINE_S * 1000)
        await asyncio.sleep(way.settles_s)
        await page.evaluate("() => { seen.agesMs.length = 0; seen.unread = 0 }")
        await asyncio.sleep(seconds)
        seen = await page.evaluate("() => seen")
    if len(seen["agesMs"]) < 2:
        sys.exit(f"{way.name}: no picture was shown, {seen['unread']} without a clock")
    return seen["agesMs"], seen["unread"]


async def until_live(session: Session) -> None:
    """Wait until the stream is listed."""
    page = await session.page()
    await page.wait_for_function(
        "async () => (await (await fetch('/api/streams')).json()).streams.length > 0", timeout=DEADLINE_S * 1000
    )
    await page.close()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, str]]:
    """Run `arcly serve` on free ports; gives where its HTTP and its RTMP are."""
    ports = [option for name in ("rtmp", "http", "webrtc") for option in (f"--{name}", "127.0.0.1:0")]
    command = (sys.executable, "-P", "-m", "arcly", "serve", *ports, "--rtsp", "off", "--srt", "off")
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        async with running(*command, stderr=Path(log.name)) as process:
            async with asyncio.timeout(DEADLINE_S):
                while not (http := re.search(r"open (http://127\.0\.0\.1:\d+)/ in a browser", said := read(log.name))):
                    if process.returncode is not None:
                        sys.exit(said)
                    await asyncio.sleep(0.05)
            rtmp = re.search(r"\[rtmp\] listening on (\S+)", said)
            assert rtmp is not None, said
            yield http[1], f"rtmp://{urlsplit(f'//{rtmp[1]}').netloc}"


def read(path: str) -> str:
    """Return what is in a file now."""
    return Path(path).read_text()


@asynccontextmanager
async def running(*command: str | Path, stderr: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program, and end it."""
    with (stderr or Path("/dev/null")).open("wb") as log:
        process = await asyncio.create_subprocess_exec(*map(str, command), stderr=log, stdout=log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


if __name__ == "__main__":
    main()
