"""What somebody sees who opens the page: a list, a picture that moves, how to publish; on a desk and on a phone."""

from __future__ import annotations

import re
import shlex
import signal
from urllib.parse import unquote

import pytest
from conftest import eventually, run, running
from playwright.async_api import Page, Route, expect

from browser.conftest import NAME_OF_LOOPBACK, Serve, Visit
from browser.watching import (
    PHONE,
    TIMES,
    Open,
    Start,
    choose,
    fits,
    in_both_schemes,
    play,
    publish,
    settled,
    watch,
    watch_without_a_stall,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

DEMO_LOOP_S = 10.24
"""Length of the built-in clip, which begins anew for ever."""

STRANGE = "live/a'b&c=d;`${x}`&lt;|猫"
"""A name that the server lets through, with what means something to HTML, URLs and shells."""

NOTE_TEXTS = """button => {
  button.texts = [];
  const note = () => button.texts.push(button.textContent.trim());
  new MutationObserver(note).observe(button, { childList: true, subtree: true });
}"""


async def tab_to(visit: Visit, part: str, *, presses: int = 12) -> None:
    """Press Tab until the focus is on `part`."""
    for _ in range(presses):
        await visit.page.keyboard.press("Tab")
        if await visit.page.evaluate("document.activeElement.dataset.testid ?? ''") == part:
            return
    raise AssertionError(f"{presses} times Tab do not lead to {part}")


async def test_the_demo_is_listed_by_itself_and_a_click_plays_it(serve: Start, visit: Open) -> None:
    server = await serve("--demo", "--webrtc", "off")
    page = await visit(server.url())
    row = page.row("live/demo")
    await expect(row.get_by_test_id("stream-format")).to_have_text(f"H.264 1280{TIMES}720 · AAC 48 kHz stereo")
    await expect(row.get_by_test_id("stream-bitrate")).to_have_text(re.compile(r"^[1-9][0-9.]* [kM]b/s$"))
    await expect(row.get_by_test_id("stream-fps")).to_have_text(re.compile(r"^2[456](\.\d)? fps$"))
    await expect(row.get_by_test_id("stream-viewers")).to_have_text("0")
    await expect(row.get_by_test_id("stream-uptime")).to_have_text(re.compile(r"^0:\d\d$"))
    await page.screenshot("page-list")

    await play(page, "live/demo")
    before, after = await watch_without_a_stall(page, 4)
    assert after.decoded - before.decoded >= 25
    assert sum(after.luma) / len(after.luma) > 10, "the picture is black"
    assert before.changed(after) > 0.01, "the picture stands still"
    await expect(row.get_by_test_id("stream-viewers")).to_have_text("1")
    await expect(page.part("stat-resolution")).to_have_text(f"1280{TIMES}720")
    await expect(page.part("stat-latency")).to_have_text(re.compile(r"^\d+\.\d s$"))
    assert page.page.url == server.url("/live/demo/")
    await page.screenshot("page-playing")


async def test_sound_comes_with_a_click(demo: Serve, visit: Open) -> None:
    page = await visit(demo.url("/live/demo/"))
    await page.is_in_state("playing")
    video = page.part("video")
    assert await video.evaluate("video => video.muted"), "nobody is shouted at"
    await page.part("unmute").click()
    await expect(page.part("unmute")).to_be_hidden()
    assert not await video.evaluate("video => video.muted")
    heard = await video.evaluate("video => video.webkitAudioDecodedByteCount")
    await watch(page, 1)
    assert await video.evaluate("video => video.webkitAudioDecodedByteCount") > heard


@pytest.mark.parametrize("way", ["flv", "ts", "hls"])
async def test_playback_crosses_the_seam_of_the_demo_loop_without_a_stall(demo: Serve, visit: Open, way: str) -> None:
    page = await visit(demo.url())
    await settled(page, "live/demo")
    await play(page, "live/demo")
    for _ in range(3):
        # Anew: a player that a busy machine has made late leaves something out, a gap in the stream comes each time.
        await choose(page, "hls" if way != "hls" else "flv")
        await choose(page, way)
        before, after = await watch_without_a_stall(page, 1.1 * DEMO_LOOP_S)
        if after.ranges == 1:
            break
    assert after.ranges == 1, "no gap at the seam"
    assert after.dropped - before.dropped <= (after.decoded - before.decoded) / 2


async def test_a_published_stream_appears_plays_by_keyboard_and_says_when_it_ends_and_returns(
    serve: Start, visit: Open, ffmpeg: str
) -> None:
    server = await serve()
    page = await visit(server.url())
    await expect(page.part("empty-state")).to_be_visible()
    command = publish(ffmpeg, server.rtmp_url("live/cam"))
    async with running(*command) as publisher:
        await expect(page.row("live/cam")).to_be_visible()
        await tab_to(page, "stream-name")
        await page.page.keyboard.press("Enter")
        await page.is_in_state("playing")
        before, after = await watch(page, 1)
        assert before.changed(after) > 0.01
        publisher.send_signal(signal.SIGKILL)
        await page.is_in_state("ended")
    await expect(page.part("player-veil")).to_contain_text("The stream has ended")
    await expect(page.part("empty-state")).to_be_visible()
    await page.screenshot("page-ended")
    async with running(*command):
        await page.is_in_state("playing")
        await watch(page, 1)
        await page.page.keyboard.press("Escape")
        await expect(page.part("player")).to_be_hidden()
        assert page.page.url == server.url()
        await expect(page.part("stream-name")).to_be_focused()


async def test_the_empty_page_leads_to_a_command_that_publishes(serve: Start, visit: Open, ffmpeg: str) -> None:
    server = await serve()
    page = await visit(server.url())
    await page.part("empty-publish").click()
    await expect(page.part("publish-name")).to_be_focused()
    await expect(page.part("publish-panel")).to_be_in_viewport()
    await page.page.keyboard.type("front")
    await expect(page.part("obs-server")).to_have_text(server.rtmp_url("live"))
    await expect(page.part("obs-key")).to_have_text("front")
    await expect(page.part("ffmpeg-file")).to_contain_text(server.rtmp_url("live/front"))
    await page.screenshot("page-publish")
    program, *arguments = shlex.split(await page.part("ffmpeg-test").inner_text())
    assert program == "ffmpeg"
    async with running(ffmpeg, "-v", "error", *arguments):
        format_ = page.row("live/front").get_by_test_id("stream-format")
        await expect(format_).to_have_text(f"H.264 1280{TIMES}720 · AAC 44.1 kHz mono")


@pytest.mark.parametrize("host", ["127.0.0.1", NAME_OF_LOOPBACK])
async def test_copy_buttons_copy_with_and_without_a_secure_context(demo: Serve, visit: Open, host: str) -> None:
    page = await visit(demo.url("/live/demo/", host))
    assert await page.page.evaluate("isSecureContext") == (host == "127.0.0.1")
    rtmp = demo.rtmp_url("live").replace("127.0.0.1", host)
    hls = demo.url("/live/demo/index.m3u8", host)
    for name, text in {"copy-obs-server": rtmp, "copy-stream": hls, "copy-ffplay": f"ffplay {hls}"}.items():
        button, field = page.part(name), page.part("publish-name")
        await button.evaluate(NOTE_TEXTS)  # it says so for a moment only
        await button.click()
        await page.page.wait_for_function("button => button.texts[0] === 'Copied'", arg=await button.element_handle())
        await field.fill("")
        await field.press("Control+V")
        await expect(field).to_have_value(text)


async def test_a_strange_name_is_text_and_plays_and_harms_no_shell(serve: Start, visit: Open, ffmpeg: str) -> None:
    server = await serve()
    page = await visit(server.url())
    async with running(*publish(ffmpeg, server.rtmp_url(STRANGE))):
        await expect(page.part("stream-name")).to_have_text(STRANGE)
        await play(page, STRANGE)
        await expect(page.part("player-title")).to_have_text(STRANGE)
        await page.screenshot("page-strange-name")
        command = await page.part("url-ffplay").inner_text()
        await page.page.reload()
        await page.is_in_state("playing")
        await watch(page, 1)
    shell = await run("sh", "-c", f"set -- {command}\nprintf '%s\\n' \"$@\"")
    program, url = shell.stdout.decode().split()
    assert program == "ffplay"
    assert unquote(url) == server.url(f"/{STRANGE}/index.m3u8")


async def test_names_that_could_be_markup_are_refused_and_the_server_goes_on(
    demo: Serve, visit: Open, ffmpeg: str
) -> None:
    page = await visit(demo.url())
    for name in ["<b>bold", 'a"onclick=x', "a%2f..%2fb"]:
        refused = await run(*publish(ffmpeg, demo.rtmp_url(f"live/{name}")))
        assert refused.returncode != 0
        why = rf"was refused as publisher: the stream name has one of the characters .*live/{re.escape(name)}"
        await eventually(lambda why=why: demo.logged(why), what=why)
    await expect(page.part("stream-count")).to_have_text("1")
    await play(page, "live/demo")


@pytest.mark.parametrize("name", ["<img src=/x onerror=alert(1)>", "a-long-name-" * 21])
async def test_a_name_is_text_and_fits_whatever_the_server_lets_through(demo: Serve, visit: Open, name: str) -> None:
    async def rename(route: Route) -> None:
        response = await route.fetch()
        status = await response.json()
        for stream in status["streams"]:
            stream["stream"] = name
        await route.fulfill(response=response, json=status)

    async def know(route: Route) -> None:
        await route.continue_(url=demo.url("/api/viewers?stream=live/demo"))

    async def let_through(page: Page) -> None:
        await page.route("**/api/streams", rename)
        await page.route("**/api/viewers*", know)

    page = await visit(demo.url(), prepare=let_through, **PHONE)
    await expect(page.part("stream-name")).to_have_text(f"live/{name}")
    await fits(page)
    await page.part("stream-name").click()
    await expect(page.part("player-title")).to_have_text(f"live/{name}")
    await page.is_in_state("playing")
    await fits(page)
    assert await page.page.locator("main img").count() == 0


async def test_all_of_it_fits_a_phone(demo: Serve, visit: Open) -> None:
    page = await visit(demo.url(), **PHONE)
    await expect(page.row("live/demo")).to_be_visible()
    await in_both_schemes(page, "phone-list")
    await page.row("live/demo").tap()
    await page.is_in_state("playing")
    await watch(page, 1)
    await in_both_schemes(page, "phone-playing")
    await page.part("publish-panel").evaluate("panel => panel.scrollIntoView({ behavior: 'instant' })")
    await in_both_schemes(page, "phone-publish")


@pytest.mark.parametrize("device", ["page", "phone"])
async def test_the_empty_page_fits_and_follows_the_colour_scheme(serve: Start, visit: Open, device: str) -> None:
    server = await serve()
    page = await visit(server.url(), **(PHONE if device == "phone" else {}))
    await expect(page.part("empty-state")).to_be_visible()
    await in_both_schemes(page, f"{device}-empty")


async def test_the_page_says_that_the_server_is_silent_and_goes_on_when_it_is_back(serve: Start, visit: Open) -> None:
    server = await serve("--demo", "--webrtc", "off")
    page = await visit(server.url("/live/demo/"), color_scheme="light")
    await page.is_in_state("playing")
    await page.screenshot("page-playing-light")
    connection = page.part("connection-state")
    await expect(connection).to_have_text("Connected")
    server.process.send_signal(signal.SIGSTOP)
    try:
        await expect(connection).to_have_text("Server unreachable, retrying")
        await page.screenshot("page-unreachable-light")
    finally:
        server.process.send_signal(signal.SIGCONT)
    await expect(connection).to_have_text("Connected")
    await watch(page, 2)
    await page.is_in_state("playing")
