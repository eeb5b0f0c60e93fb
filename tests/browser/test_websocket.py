"""mpegts.js in a real browser, over WebSocket: for pages of others, since ours takes HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from browser.conftest import Serve
from browser.watching import Open

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

PLAY = """([type, path]) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const player = mpegts.createPlayer({ type, isLive: true, url: `ws://${location.host}${path}` });
  const seen = { error: null };
  player.on(mpegts.Events.ERROR, (...what) => { seen.error = what.slice(0, 2).join(": "); });
  player.attachMediaElement(video);
  player.load();
  player.play();
  globalThis.byWebSocket = { video, player, seen };
}"""

LOOK = """() => {
  const { video, player, seen } = byWebSocket;
  const { totalVideoFrames } = video.getVideoPlaybackQuality();
  return { ...seen, at_s: video.currentTime, decoded: totalVideoFrames, sound: video.webkitAudioDecodedByteCount,
           loader: player.statisticsInfo.loaderType };
}"""

LEAVE = "() => { byWebSocket.player.destroy(); byWebSocket.video.remove(); }"


@pytest.mark.parametrize(("kind", "path"), [("flv", "/live/demo.flv"), ("mpegts", "/live/demo.ts")])
async def test_mpegts_js_plays_over_websocket(demo: Serve, visit: Open, kind: str, path: str) -> None:
    page = await visit(demo.url("/live/demo/"))
    await page.is_in_state("playing")  # Then mpegts.js has been loaded.
    await page.page.evaluate(PLAY, [kind, path])
    look: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while not (look and look["decoded"] >= 50 and look["sound"] > 0):
            await asyncio.sleep(0.1)
            look = await page.page.evaluate(LOOK)
            assert look["error"] is None, look
    assert look["loader"] == "websocket-loader", look
    assert look["at_s"] > 0, look
    await page.page.evaluate(LEAVE)
