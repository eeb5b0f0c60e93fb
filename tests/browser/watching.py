"""What tests of the page do: start to watch, watch for a while, look at the picture, at the page in both schemes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from conftest import eventually
from playwright.async_api import Page, Route, expect

from browser.conftest import Serve, Visit

TIMES = "\N{MULTIPLICATION SIGN}"

Start = Callable[..., Awaitable[Serve]]
Open = Callable[..., Awaitable[Visit]]

LUMA_STEP = 16
"""A pixel that differs by more is another picture, not another rounding."""

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}

LOOK = """video => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 36 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, 64, 36);
  const rgba = context.getImageData(0, 0, 64, 36).data;
  const luma = Array.from({ length: 64 * 36 }, (_, i) => (rgba[4 * i] + 2 * rgba[4 * i + 1] + rgba[4 * i + 2]) / 4);
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return {
    luma,
    wall_s: performance.now() / 1000,
    media_s: video.currentTime,
    decoded: totalVideoFrames,
    dropped: droppedVideoFrames,
    ranges: video.buffered.length,
  };
}"""

NOTE_STATES = """player => {
  player.states = [player.dataset.state];
  const note = () => player.states.push(player.dataset.state);
  new MutationObserver(note).observe(player, { attributeFilter: ["data-state"] });
}"""


@dataclass(frozen=True)
class Look:
    """The `<video>` at one moment."""

    luma: list[float]
    wall_s: float
    media_s: float
    decoded: int
    dropped: int
    ranges: int

    def changed(self, later: Look) -> float:
        """The share of the pixels that are others in `later`."""
        pairs = zip(self.luma, later.luma, strict=True)
        return sum(abs(a - b) > LUMA_STEP for a, b in pairs) / len(self.luma)


async def look(visit: Visit) -> Look:
    return Look(**await visit.part("video").evaluate(LOOK))


async def watch(visit: Visit, media_s: float) -> tuple[Look, Look]:
    """Watch so much of the stream; returns the `<video>` before and after."""
    before = await look(visit)
    await visit.page.wait_for_function(
        "end => document.querySelector('video').currentTime >= end",
        arg=before.media_s + media_s,
        timeout=60_000 + 2_000 * media_s,
    )
    return before, await look(visit)


async def watch_without_a_stall(visit: Visit, media_s: float) -> tuple[Look, Look]:
    """Watch so much of the stream in real time, in one of a few attempts.

    A busy machine may be late; what is wrong with the stream comes back in every attempt.
    """
    attempts = []
    for _ in range(4):
        await visit.is_in_state("playing")
        await visit.part("player").evaluate(NOTE_STATES)
        before, after = await watch(visit, media_s)
        speed = (after.media_s - before.media_s) / (after.wall_s - before.wall_s)
        states = await visit.part("player").evaluate("player => player.states")
        # That it never waited is what counts; how fast a busy machine decodes is not the
        # stream's doing, and a player that is late plays 10 % faster.
        if 0.5 <= speed <= 1.2 and states == ["playing"]:
            return before, after
        attempts.append(f"{speed:.2f} of real time, {states}")
    raise AssertionError(attempts)


async def settled(visit: Visit, key: str) -> None:
    """Wait until the playlist holds the three segments of 2 s that a player likes to have ahead.

    With one it plays as well, but whoever measures time then measures how busy this machine is.
    """
    uptime = visit.row(key).get_by_test_id("stream-uptime")
    await expect(uptime).to_have_text(re.compile(r"^(0:(0[7-9]|[1-5]\d)|[1-9].*)$"))


async def play(visit: Visit, key: str) -> None:
    """Click a stream of the list."""
    await visit.row(key).click()
    await visit.is_in_state("playing")


async def choose(visit: Visit, way: str) -> None:
    """Press the button of a way: `flv`, `ts` or `hls`."""
    await visit.part(f"way-{way}").locator("label").click()
    await expect(visit.part(f"way-{way}").locator("input")).to_be_checked()
    await visit.is_in_state("playing")


async def fits(visit: Visit) -> None:
    """Nothing sticks out at the right."""
    assert visit.page.viewport_size is not None
    # Not `innerWidth`: on a phone that grows with what sticks out.
    assert await visit.page.evaluate("document.documentElement.scrollWidth") <= visit.page.viewport_size["width"]


async def in_both_schemes(visit: Visit, name: str) -> None:
    """In the dark and in the light: nothing sticks out, the background is as asked for; two screenshots."""
    for scheme in "light", "dark":
        await visit.page.emulate_media(color_scheme=scheme)
        await fits(visit)
        background = await visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", background))) / 3
        assert (brightness > 192) if scheme == "light" else (brightness < 64), background
        await visit.screenshot(f"{name}-{scheme}")


@dataclass
class Veil:
    """What the page is told of streams: all there are, or, while it is `down`, none."""

    down: bool = False
    answers: int = 0
    """Given since it went down, or up."""

    async def hang(self, page: Page) -> None:
        await page.route("**/api/streams", self._answer)

    async def pull(self, *, down: bool) -> None:
        """Down or up, until the page has been told so three times."""
        self.down, self.answers = down, 0
        await eventually(lambda: self.answers >= 3, deadline_s=30)

    async def _answer(self, route: Route) -> None:
        down = self.down
        response = await route.fetch()
        status = await response.json()
        await route.fulfill(response=response, json=status | {"streams": []} if down else status)
        self.answers += down is self.down


B_FRAMES = Path(__file__).parents[1] / "clips" / "b_frames.flv"
"""Pictures in another order than that in which they are shown: not for WebRTC."""


def publish(ffmpeg: str, url: str) -> list[str]:
    """The command that publishes a clip with B-frames again and again."""
    clip = ["-re", "-stream_loop", "-1", "-i", str(B_FRAMES), "-c", "copy"]
    return [ffmpeg, "-v", "error", *clip, "-f", "flv", url]
