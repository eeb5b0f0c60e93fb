"""How SRT connections are, on the page of their stream."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import running
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
