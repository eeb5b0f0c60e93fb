"""WebRTC in a real browser: watching by WHEP, publishing by WHIP, by the page and by scripts of our own."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from browser.conftest import Serve, Visit
from browser.watching import Open, Start, choose, look, play, watch

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

MILLISECONDS = re.compile(r"^\d{1,3} ms$")


async def broadcast(visit: Visit, name: str, source: str = "test") -> None:
    """Publish from the page."""
    await visit.part("publish-name").fill(name)
    await visit.part("broadcast-source").select_option(source)
    await visit.part("broadcast-toggle").click()
    await expect(visit.part("broadcast-state")).to_have_text(f"Live as live/{name}")


async def test_a_page_publishes_and_another_watches_by_webrtc_in_milliseconds(serve: Start, visit: Open) -> None:
    server = await serve()
    publisher = await visit(server.url())
    await broadcast(publisher, "cam")
    viewer = await visit(server.url("/live/cam/"))
    await viewer.is_in_state("playing")
    await expect(viewer.part("way-whep").locator("input")).to_be_checked()
    before, after = await watch(viewer, 4)
    assert after.decoded - before.decoded >= 40
    assert before.changed(after) > 0.01, "the picture stands still"
    await expect(viewer.part("stat-latency")).to_have_text(MILLISECONDS)
    await expect(viewer.part("stat-lost")).to_have_text(re.compile(r"^\d+\.\d %$"))
    await expect(viewer.part("stat-resolution")).to_have_text("1280×720")  # noqa: RUF001 - as people write it
    assert server.logged(r"publishing to live/cam, 2 tracks \(H264 \d+x\d+, Opus 48000 Hz\)"), server.log
    await publisher.part("broadcast-toggle").click()
    await viewer.is_in_state("ended")


async def test_what_is_published_by_webrtc_comes_out_by_every_other_way(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url())
    await broadcast(page, "cam")
    await play(page, "live/cam")
    for way in "flv", "ts", "hls", "whep":
        await choose(page, way)
        before, after = await watch(page, 1)
        assert after.decoded > before.decoded, way
        assert sum((await look(page)).luma) > 0, way


async def test_a_stream_with_b_frames_plays_by_webrtc_what_comes_in_order(demo: Serve, visit: Open) -> None:
    page = await visit(demo.url("/live/demo/"))
    await page.is_in_state("playing")
    await expect(page.part("way-flv").locator("input")).to_be_checked()
    await choose(page, "whep")
    before, after = await watch(page, 5)
    assert after.decoded - before.decoded >= 25
    await expect(page.part("way-note")).to_have_text("Without sound: WebRTC does not carry AAC.")
    assert demo.logged(r"live/demo: its pictures are not sent in the order in which they are shown"), demo.log


async def test_a_refusal_of_the_browser_is_put_into_words(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url())
    await page.part("broadcast-source").select_option("camera")
    await page.part("broadcast-toggle").click()
    words = re.compile("not allowed to use it|no camera or microphone")
    await expect(page.part("broadcast-state")).to_have_text(words)
    await expect(page.part("broadcast-toggle")).to_have_text("Go live")
