"""The page lists recordings and plays them, in Chromium by hls.js."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from playwright.async_api import Route, expect
from recording.conftest import ROOMY, record_demo

import arcly
from browser.watching import Open, Start

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

PROGRESS = """async (video) => {
  const begin = video.currentTime;
  const until = performance.now() + 20000;
  while (performance.now() < until) {
    await new Promise((resume) => setTimeout(resume, 50));
    if (video.currentTime > begin + 1 && video.videoWidth > 0) return video.currentTime - begin;
  }
  return 0;
}"""


async def test_a_recording_is_listed_played_sought_and_deleted(serve: Start, visit: Open, tmp_path: Path) -> None:
    options = ["--record", str(tmp_path / "recordings"), "--record-segment", "2s", "--allow-record"]
    server = await serve("--demo", *options)
    await eventually(lambda: server.log.count("[record] live/demo: ") >= 2, deadline_s=40)
    page = await visit(server.url())
    row = page.part("recording-row")
    await expect(row).to_have_count(1)
    await expect(row.get_by_test_id("recording-format")).to_contain_text("recording")
    await row.get_by_test_id("recording-name").click()
    video = page.part("recording-video")
    await expect(video).to_be_visible()
    assert await video.evaluate(PROGRESS) > 1
    assert await video.evaluate("(video) => video.webkitAudioDecodedByteCount") > 0, "sound has segments of its own"
    await video.evaluate("(video) => { video.currentTime = 6; }")
    assert await video.evaluate(PROGRESS) > 1
    await page.screenshot("recordings")
    await page.part("recording-close").click()
    await expect(video).to_be_hidden()
    picture = await page.page.request.get(server.url("/live/demo/thumbnail.jpg"))
    assert (picture.status, picture.headers["content-type"]) == (200, "image/jpeg")


async def record(directory: Path, format: Any) -> None:
    """Leave a recording behind."""
    recorder = arcly.Recorder(directory, record=["*"], resume_s=0, format=format)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_recordings_of_the_last_run_are_there_and_can_be_deleted(
    serve: Start, visit: Open, tmp_path: Path, format: str
) -> None:
    await record(tmp_path, format)
    server = await serve("--record", str(tmp_path), "--record-streams", "none", "--allow-record")
    page = await visit(server.url())
    await expect(page.part("recording-row")).to_have_count(1)
    await page.part("recording-name").click()
    video = page.part("recording-video")
    assert await video.evaluate(PROGRESS) > 1
    await video.evaluate("(video) => { video.currentTime = 7; }")
    assert await video.evaluate(PROGRESS) > 1
    assert await video.evaluate("(video) => video.currentTime") > 8
    await page.page.evaluate("window.confirm = () => true")
    await page.part("recording-delete").click()
    await expect(page.part("recordings")).to_be_hidden()
    assert not [path for path in (tmp_path / "live").rglob("*") if path.is_file()]


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_a_short_clip_is_sought_in_without_a_player(
    serve: Start, visit: Open, tmp_path: Path, format: str
) -> None:
    """Found by reading: clips of TS and FLV were played from their begin on, and that was all."""
    await record(tmp_path, format)
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    page = await visit(server.url())
    video = await page.page.evaluate_handle(
        """(src) => {
          const video = Object.assign(document.createElement("video"), { src, muted: true, autoplay: true });
          document.body.append(video);
          return video;
        }""",
        server.url("/recordings/id:1/clip.mp4"),
    )
    assert await video.evaluate(PROGRESS) > 1
    await video.evaluate("(video) => { video.currentTime = 7; }")
    assert await video.evaluate(PROGRESS) > 1
    assert await video.evaluate("(video) => video.currentTime") > 8


async def test_of_two_recordings_that_are_clicked_while_the_player_loads_the_second_plays(
    serve: Start, visit: Open, tmp_path: Path
) -> None:
    await record(tmp_path, "fmp4")
    await record(tmp_path, "mp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    clicked = asyncio.Event()

    async def hold(route: Route) -> None:
        await clicked.wait()
        await route.continue_()

    page = await visit(server.url(), prepare=lambda page: page.route("**/hls.min.js", hold))
    await expect(page.part("recording-row")).to_have_count(2)
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    for number in (0, 1, 1):
        await page.part("recording-row").nth(number).get_by_test_id("recording-name").click()
    name = await page.part("recording-row").nth(1).get_by_test_id("recording-name").get_attribute("href")
    clicked.set()
    video = page.part("recording-video")
    assert await video.evaluate(PROGRESS) > 1
    await expect(video).to_be_visible()
    assert [url for url in asked if url.endswith("index.m3u8")] == [server.url(name or "")], "one player, of one"


async def test_a_player_that_cannot_be_loaded_is_told_of_and_loaded_again(
    serve: Start, visit: Open, tmp_path: Path
) -> None:
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    page = await visit(server.url(), prepare=lambda page: page.route("**/hls.min.js", lambda route: route.abort()))
    await page.part("recording-name").click()
    await expect(page.part("recording-title")).to_have_text("live/cam cannot be played: its player could not be loaded")
    assert not [fault for fault in page.faults if "exception" in fault]
    page.faults.clear()  # the browser's own lines about what it did not get
    await page.page.unroute("**/hls.min.js")
    await page.part("recording-name").click()
    assert await page.part("recording-video").evaluate(PROGRESS) > 1
    await expect(page.part("recording-title")).to_have_text("live/cam")


async def test_a_recording_that_the_browser_cannot_decode_is_told_of(serve: Start, visit: Open, tmp_path: Path) -> None:
    """Found by reading: nobody listened to hls.js, and the player stayed empty without a word."""
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")

    async def make_strange(route: Route) -> None:
        response = await route.fetch()
        strange = re.sub('CODECS="[^"]*"', 'CODECS="avc1.42c01f,ac-4"', await response.text())
        await route.fulfill(response=response, body=strange)

    page = await visit(server.url(), prepare=lambda page: page.route("**/index.m3u8*", make_strange))
    await page.part("recording-name").click()
    await expect(page.part("recording-title")).to_have_text(
        "live/cam cannot be played: this browser cannot play what was recorded (manifestIncompatibleCodecsError)"
    )
    await page.page.unroute("**/index.m3u8*")
    await page.part("recording-name").click()
    assert await page.part("recording-video").evaluate(PROGRESS) > 1
    await expect(page.part("recording-title")).to_have_text("live/cam")


async def test_who_may_not_delete_a_recording_is_not_offered_it(serve: Start, visit: Open, tmp_path: Path) -> None:
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    page = await visit(server.url())
    await expect(page.part("recording-row")).to_have_count(1)
    await expect(page.part("recording-download")).to_be_visible()
    await expect(page.part("recording-delete")).to_be_hidden()
    for name in ("recording-video", "broadcast-preview"):
        position = await page.part(name).evaluate("(video) => getComputedStyle(video).position")
        assert position == "static", f"{name} lies where it belongs"


async def test_a_recording_that_slides_off_the_end_of_the_list_is_played_on(
    serve: Start, visit: Open, tmp_path: Path
) -> None:
    """A bug it had: the player closed under whoever watched, as where a recording is deleted."""
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    newer: dict[str, Any] = {}

    async def put_in_front(route: Route) -> None:
        if "before=" in route.request.url:  # one look asks so often, and there is still more
            await route.fulfill(json={"recordings": [], "more": True, "before": 1})
            return
        response = await route.fetch()
        said = await response.json()
        listed = [it | {"id": it["id"] + 1} for it in said["recordings"]] if newer else said["recordings"]
        await route.fulfill(response=response, json=said | {"recordings": listed} | newer)

    page = await visit(server.url(), prepare=lambda page: page.route("**/api/recordings*", put_in_front))
    await page.part("recording-name").click()
    video, rows = page.part("recording-video"), page.part("recording-row")
    assert await video.evaluate(PROGRESS) > 1
    newer["more"] = True
    await expect(rows).to_have_count(2)
    await expect(page.part("recording-count")).to_have_text("1+")
    await expect(video).to_be_visible()
    newer["more"] = False  # and now it is not there any more
    await expect(rows).to_have_count(1)
    await expect(video).to_be_hidden()


@pytest.mark.parametrize("before_it", [0, 1])
async def test_recordings_behind_an_answer_with_few_are_found(
    serve: Start, visit: Open, tmp_path: Path, before_it: int
) -> None:
    """Found by reading: behind an answer with one nobody went on. So they are where whoever asks may not play thousands
    of streams that were recorded since.
    """
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")

    async def pass_over(route: Route) -> None:
        if "before=7" in route.request.url:
            assert f"limit={1000 - before_it}" in route.request.url
            await route.continue_()
            return
        response = await route.fetch()
        said = await response.json()
        newer = [it | {"id": 7} for it in said["recordings"]][:before_it]
        await route.fulfill(response=response, json=said | {"recordings": newer, "more": True, "before": 7})

    page = await visit(server.url(), prepare=lambda page: page.route("**/api/recordings*", pass_over))
    await expect(page.part("recording-row")).to_have_count(before_it + 1)
    await expect(page.part("recording-count")).to_have_text(str(before_it + 1))


async def test_recordings_are_listed_while_the_next_answer_is_waited_for(
    serve: Start, visit: Open, tmp_path: Path
) -> None:
    """Found by reading: they were listed behind the last of ten answers, and one that failed took all of them away."""
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    waiting: list[Route] = []

    async def answer_the_first(route: Route) -> None:
        if "before=" in route.request.url:
            waiting.append(route)
            return
        response = await route.fetch()
        await route.fulfill(response=response, json=await response.json() | {"more": True, "before": 1})

    page = await visit(server.url(), prepare=lambda page: page.route("**/api/recordings*", answer_the_first))
    await expect(page.part("recording-row")).to_have_count(1)
    await expect(page.part("recording-count")).to_have_text("1+")
    await eventually(lambda: waiting)
    await waiting[0].fulfill(json={"recordings": [], "more": False, "before": None})
    await expect(page.part("recording-count")).to_have_text("1")


async def test_one_look_at_recordings_waits_for_the_other(serve: Start, visit: Open, tmp_path: Path) -> None:
    """Found by reading: where answers take long, a look began every 5 s, and the last to end was not the newest."""
    await record(tmp_path, "fmp4")
    server = await serve("--record", str(tmp_path), "--record-streams", "none")
    asked: list[Route] = []
    page = await visit(
        server.url(), prepare=lambda page: page.route("**/api/recordings*", lambda route: asked.append(route))
    )
    await eventually(lambda: asked)
    # The page's own clock: as if nobody had looked for long.
    await page.page.evaluate("() => { const now = performance.now(); performance.now = () => now + 3_600_000; }")
    looks = "() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/streams')).length"
    seen = await page.page.evaluate(looks)
    await page.page.wait_for_function(f"(seen) => ({looks})() > seen + 2", arg=seen)
    assert len(asked) == 1
    await asked[0].continue_()
    await expect(page.part("recording-row")).to_have_count(1)
