"""Where else a stream can be watched, and how its SRT connections are, on its page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run, running
from playwright.async_api import expect

from browser.watching import Open, Start

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]


async def test_publisher_and_viewer_are_shown_while_they_are_there(
    serve: Start, visit: Open, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    server = await serve("--srt", "127.0.0.1:0")
    found = server.logged(r"\[srt\] listening on (\S+)")
    assert found, server.log
    url = f"srt://{found[1]}?streamid="
    source = ["-re", "-stream_loop", "-1", "-i", clip(b_frames=0), "-c", "copy", "-f", "mpegts"]
    async with running(ffmpeg, "-v", "error", *source, f"{url}publish:live/cam&pkt_size=1316"):
        page = await visit(server.url("/live/cam/"))
        await page.is_in_state("playing")
        rows = page.part("link-rows").get_by_test_id("link-row")
        await expect(rows).to_have_count(1)
        await expect(rows.get_by_test_id("link-role")).to_have_text("Publisher")
        await expect(rows.get_by_test_id("link-peer")).to_have_text(re.compile(r"^127\.0\.0\.1:\d+$"))
        await expect(rows.get_by_test_id("link-bitrate")).to_have_text(re.compile(r"^[1-9][0-9.]* [kM]b/s$"))
        await expect(rows.get_by_test_id("link-rtt")).to_have_text(re.compile(r"^\d+ ms$"))
        async with running(ffmpeg, "-v", "error", "-i", f"{url}read:live/cam", "-f", "null", "-"):
            await expect(rows).to_have_count(2)
            await expect(rows.nth(1).get_by_test_id("link-role")).to_have_text("Viewer")
            await expect(rows.nth(1).get_by_test_id("link-lost")).to_have_text(re.compile(r"^[\d,]+$"))
        await expect(rows).to_have_count(1)


async def test_who_would_rather_watch_elsewhere_finds_each_address_and_what_it_is_worth(
    serve: Start, visit: Open, ffmpeg: str
) -> None:
    server = await serve("--demo", "--srt", "127.0.0.1:0", "--rtsp", "127.0.0.1:0", "--rtsp-udp", "off")
    page = await visit(server.url("/live/demo/"))
    await page.is_in_state("playing")
    for way in ("hls", "flv", "rtmp", "rtsp", "srt"):
        await expect(page.part(f"url-{way}")).to_be_visible()
        url = await page.part(f"url-{way}").inner_text()
        played = await run(ffmpeg, "-v", "error", "-i", url, "-frames:v", "5", "-f", "null", "-")
        assert played.returncode == 0, (url, played.stderr)


async def test_what_does_not_listen_is_not_told(serve: Start, visit: Open) -> None:
    page = await visit((await serve("--demo", "--rtmp", "off")).url("/live/demo/"))
    await page.is_in_state("playing")
    await expect(page.part("url-hls")).to_be_visible()
    for way in ("rtmp", "rtsp", "srt"):
        await expect(page.part(f"link-{way}")).to_be_hidden()
