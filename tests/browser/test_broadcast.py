"""Publishing from the page, and what it says when the browser, the network or the server refuses."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from lossy import Network, lossy
from playwright.async_api import Page, Route, expect

from browser import rtc
from browser.conftest import Visit
from browser.watching import Open, Start, look, play, watch

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

REFUSE = """name => {
  const refuse = () => Promise.reject(new DOMException("", name));
  Object.assign(navigator.mediaDevices, { getUserMedia: refuse, getDisplayMedia: refuse });
}"""

REFUSALS = {
    "NotAllowedError": "This browser was not allowed to use it. Allow it in the address bar, then try again.",
    "NotFoundError": "There is no camera or microphone here.",
    "NotReadableError": "Another program is using it.",
    "OverconstrainedError": "The camera cannot do what was asked for.",
    "SecurityError": "This browser allows it only on pages that come over HTTPS, or from localhost.",
    "AbortError": "It stopped working.",
}

# No screen is there to be shared in a headless browser: a canvas stands for it.
SHARE_A_CANVAS = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const context = canvas.getContext("2d");
  let count = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${20 * count++} 80% 50%)`;
    context.fillRect(0, 0, 640, 360);
  }, 40);
  navigator.mediaDevices.getDisplayMedia = async () => (globalThis.shared = canvas.captureStream(25));
}"""


async def go_live(visit: Visit, source: str, name: str = "cam") -> None:
    """Press the button."""
    await visit.part("publish-name").fill(name)
    await visit.part("broadcast-source").select_option(source)
    await visit.part("broadcast-toggle").click()


def forgive(visit: Visit, status: int) -> None:
    """Take away the browser's own lines about a status."""
    visit.faults[:] = [fault for fault in visit.faults if str(status) not in fault]


async def test_each_refusal_of_the_browser_is_put_into_words(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url())
    for name, words in REFUSALS.items():
        for source in "camera", "screen":
            await page.page.evaluate(REFUSE, name)
            await go_live(page, source)
            await expect(page.part("broadcast-state")).to_have_text(words)
            await expect(page.part("broadcast-state")).to_have_attribute("data-fault", "true")
            await expect(page.part("broadcast-toggle")).to_have_text("Go live")


async def test_a_name_is_asked_for(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url())
    await go_live(page, "test", "")
    await expect(page.part("broadcast-state")).to_have_text("Give the stream a name first.")


async def test_a_page_over_plain_http_says_that_cameras_want_https(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url(host="media.test"))
    await go_live(page, "camera")
    await expect(page.part("broadcast-state")).to_have_text(REFUSALS["SecurityError"])


async def test_the_camera_is_published(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url(), permissions=["camera", "microphone"])
    await go_live(page, "camera")
    await expect(page.part("broadcast-state")).to_have_text("Live as live/cam")
    viewer = await visit(server.url("/live/cam/"))
    await viewer.is_in_state("playing")
    before, after = await watch(viewer, 3)
    assert after.decoded > before.decoded
    assert server.logged(r"2 tracks \(H264 \d+x\d+, Opus 48000 Hz\)"), server.log


async def test_the_screen_is_published_until_the_person_ends_it(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url())
    await page.page.evaluate(SHARE_A_CANVAS)
    await go_live(page, "screen")
    await expect(page.part("broadcast-state")).to_have_text("Live as live/cam")
    await play(page, "live/cam")
    assert sum((await look(page)).luma) > 0
    # As the bar "… is sharing your screen" does.
    await page.page.evaluate("shared.getVideoTracks().forEach(track => track.dispatchEvent(new Event('ended')))")
    await expect(page.part("broadcast-state")).to_have_text("It was ended in the browser.")
    await expect(page.part("broadcast-toggle")).to_have_text("Go live")


async def test_a_broadcast_goes_on_behind_some_seconds_of_nothing(serve: Start, visit: Open) -> None:
    """A bug it had: the camera was stopped, and the publish ended, at the first moment that nothing came through."""
    server = await serve()
    found = server.logged(r"\[webrtc\] media on \S+:(\d+)")
    assert found, server.log
    async with lossy(int(found[1]), Network(), seed=10) as link:
        page = await visit(server.url(), lambda page: rtc.come_through(page, link.port))
        await go_live(page, "test")
        await expect(page.part("broadcast-state")).to_have_text("Live as live/cam")
        link.there.network = link.back.network = Network(loss=1)
        await expect(page.part("broadcast-state")).to_have_text("Nothing comes through, waiting for the network")
        link.there.network = link.back.network = Network()
        await expect(page.part("broadcast-state")).to_have_text("Live as live/cam")
        viewer = await visit(server.url("/live/cam/"))
        await viewer.is_in_state("playing")
        await watch(viewer, 1)
        assert len(re.findall(r"is publishing to live/cam", server.log)) == 1, server.log
        # For good: it is not waited for for ever.
        link.there.network = link.back.network = Network(loss=1)
        await expect(page.part("broadcast-state")).to_have_text(
            re.compile("^(The server cannot be reached any more|No way for UDP or TCP to the server)\\.$")
        )
        await expect(page.part("broadcast-toggle")).to_have_text("Go live")


async def test_a_broadcast_that_the_server_ends_is_over_at_once(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url())
    async with page.page.expect_response("**/whip") as answered:
        await go_live(page, "test")
    session = await (await answered.value).header_value("location")
    await expect(page.part("broadcast-state")).to_have_text("Live as live/cam")
    assert (await page.page.request.delete(server.url(urlsplit(session or "").path))).status == 200
    await expect(page.part("broadcast-state")).to_have_text("The server has ended it.")
    forgive(page, 404)  # of the session, which the page ends too


async def test_a_name_that_is_taken_is_said_to_be(serve: Start, visit: Open) -> None:
    server = await serve()
    first, second = await visit(server.url()), await visit(server.url())
    await go_live(first, "test")
    await expect(first.part("broadcast-state")).to_have_text("Live as live/cam")
    await go_live(second, "test")
    await expect(second.part("broadcast-state")).to_have_text(re.compile("live/cam.*(already|being) publish"))
    await expect(second.part("broadcast-toggle")).to_have_text("Go live")
    forgive(second, 409)


async def leading_nowhere(page: Page) -> None:
    """Let answers name a port on which nobody listens, as a firewall would have it."""

    async def answer(route: Route) -> None:
        response = await route.fetch()
        lines = (await response.text()).split("\r\n")
        sdp = [re.sub(r"^(a=candidate:.*127\.0\.0\.1) \d+", r"\1 9", line) for line in lines]
        await route.fulfill(response=response, body="\r\n".join(sdp))

    await page.route(re.compile(r"/(whip|whep)$"), answer)


async def test_a_publisher_with_no_way_to_the_server_is_told_so(serve: Start, visit: Open) -> None:
    server = await serve()
    page = await visit(server.url(), leading_nowhere)
    await go_live(page, "test")
    await expect(page.part("broadcast-state")).to_have_text("No way for UDP or TCP to the server.")


async def test_a_viewer_with_no_way_to_the_server_watches_otherwise(serve: Start, visit: Open) -> None:
    server = await serve()
    await go_live(await visit(server.url()), "test")
    page = await visit(server.url(), leading_nowhere)
    await page.row("live/cam").click()
    await expect(page.part("way-note")).to_have_text(
        re.compile(r"^WebRTC did not play \((nothing came|no way .*)\)\.$")
    )
    await page.is_in_state("playing")
    await expect(page.part("way-whep").locator("input")).not_to_be_checked()
