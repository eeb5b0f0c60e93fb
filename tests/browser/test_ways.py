"""The ways in which a stream comes to the page: FLV and TS a second behind, HLS where these do not come through."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually, running
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Route, async_playwright, expect

from browser.conftest import Serve, Visit
from browser.watching import (
    NOTE_STATES,
    PHONE,
    Look,
    Open,
    Start,
    Veil,
    choose,
    in_both_schemes,
    look,
    play,
    publish,
    watch,
)

WATCH_S = float(os.environ.get("ARCLY_WATCH_S", "7"))
"""How long HLS and DASH are watched without a stall; `ARCLY_WATCH_S=60` for a minute."""

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BELOW_3_S = re.compile(r"^[0-2]\.\d s$")
"""What a viewer over FLV or TS is behind: the demo has a key picture every two seconds."""

BELOW_4_S = re.compile(r"^[0-3]\.\d s$")
"""What one over DASH is, who hears of a segment when it next fetches the manifest."""


async def watch_with_no_stall_counted(visit: Visit, way: str, media_s: float) -> tuple[Look, Look]:
    """Watch so much by `way`, in one of a few attempts: a busy machine may be late."""
    stalls = visit.part("stat-stalls")
    for _ in range(4):
        await choose(visit, "hls" if way != "hls" else "flv")  # a way that is chosen anew counts anew
        await choose(visit, way)
        before, after = await watch(visit, media_s)
        await expect(stalls).to_have_text(re.compile(r"^\d+$"))
        if await stalls.inner_text() == "0":
            return before, after
    raise AssertionError("it stalls each time")


async def test_encrypted_segments_play_over_changes_of_keys(serve: Start, visit: Open) -> None:
    server = await serve("--demo", "--hls-encrypt", "2")
    page = await visit(server.url("/live/demo/"))
    await choose(page, "hls")
    before, after = await watch(page, 6)
    assert after.decoded - before.decoded >= 25
    assert before.changed(after) > 0.01, "the picture stands still"
    assert sum(after.luma) / len(after.luma) > 10, "the picture is black"


async def relabelled(page: Page, change: Callable[[dict[str, Any]], None]) -> None:
    """Let the page see other streams than there are."""

    async def rewrite(route: Route) -> None:
        response = await route.fetch()
        status = await response.json()
        for stream in status["streams"]:
            change(stream)
        await route.fulfill(response=response, json=status)

    await page.route("**/api/streams", rewrite)


@pytest.mark.parametrize("way", ["flv", "ts"])
async def test_it_plays_without_delay_and_without_a_stall(demo: Serve, visit: Open, way: str) -> None:
    page = await visit(demo.url("/live/demo/"))
    await page.is_in_state("playing")
    await expect(page.part("way-flv").locator("input")).to_be_checked()
    before, after = await watch_with_no_stall_counted(page, way, 5)
    assert after.decoded - before.decoded >= 25
    assert sum(after.luma) / len(after.luma) > 10, "the picture is black"
    assert before.changed(after) > 0.01, "the picture stands still"
    assert after.ranges == 1
    await expect(page.part("stat-latency")).to_have_text(BELOW_3_S)
    assert await page.part("way-note").is_hidden()


@pytest.mark.parametrize("way", ["hls", "dash"])
async def test_segments_play_with_low_latency_and_without_a_stall(demo: Serve, visit: Open, way: str) -> None:
    page = await visit(demo.url("/live/demo/"))
    await page.is_in_state("playing")
    before, after = await watch_with_no_stall_counted(page, way, WATCH_S)
    assert after.decoded - before.decoded >= (WATCH_S - 1) * 8
    assert sum(after.luma) / len(after.luma) > 10, "the picture is black"
    await expect(page.part("stat-latency")).to_have_text(BELOW_3_S if way == "hls" else BELOW_4_S)
    print(way, "is behind by", await page.part("stat-latency").inner_text())
    if WATCH_S < 10:  # the demo repeats itself then, and its playlists hold six of its longest segments
        assert before.changed(after) > 0.01, "the picture stands still"
        await expect(page.part("rewind")).to_be_hidden()


@pytest.mark.parametrize("way", ["hls", "dash"])
async def test_what_is_kept_can_be_gone_back_to_and_live_is_a_press_away(serve: Start, visit: Open, way: str) -> None:
    served = await serve("--hls-window", "120", "--demo", "--webrtc", "off")
    page = await visit(served.url("/live/demo/"))
    await page.is_in_state("playing")
    await choose(page, way)
    await expect(page.part("rewind")).to_be_visible(timeout=60_000)  # there are 20 s to go back
    await page.part("rewind").evaluate("it => { it.value = -15; it.dispatchEvent(new Event('change')); }")
    await expect(page.part("stat-latency")).to_have_text(re.compile(r"^1[2-7]\.\d s$"))
    await expect(page.part("go-live")).to_have_attribute("data-live", "false")
    await watch(page, 3)
    await expect(page.part("stat-latency")).to_have_text(re.compile(r"^1[2-7]\.\d s$"))
    await page.part("go-live").click()
    await expect(page.part("stat-latency")).to_have_text(BELOW_4_S, timeout=20_000)
    await watch(page, 1)


PAUSES = "-v error -re -f lavfi -i testsrc2=size=320x180:rate=25,select='lt(mod(t\\,2)\\,1.3)'"
PAUSES += " -re -f lavfi -i sine=frequency=440:sample_rate=48000 -fps_mode passthrough -c:v libx264 -preset ultrafast"
PAUSES += " -tune zerolatency -pix_fmt yuv420p -force_key_frames expr:gte(t,n_forced*1) -c:a aac -f flv"


async def test_a_camera_whose_pictures_pause_plays_by_hls_without_a_stall(
    serve: Start, visit: Open, ffmpeg: str
) -> None:
    # A bug it had: what was left of a picture that outlasts a part was announced as parts with GAP=YES. hls.js then
    # leaves the whole segment out, and where its worker was late besides, it never loaded anything again.
    server = await serve()
    async with running(ffmpeg, *PAUSES.split(), server.rtmp_url("live/cam")):
        page = await visit(server.url("/live/cam/"))
        await page.is_in_state("playing")
        before, after = await watch_with_no_stall_counted(page, "hls", 6)
        assert after.decoded - before.decoded >= 25
        assert after.ranges == 1


async def test_only_the_player_that_is_needed_is_loaded(demo: Serve, visit: Open) -> None:
    page = await visit(demo.url())
    await expect(page.row("live/demo")).to_be_visible()
    loaded = "performance.getEntriesByType('resource').map(it => it.name).filter(it => it.includes('vendor'))"
    assert await page.page.evaluate(loaded) == []
    await play(page, "live/demo")
    assert await page.page.evaluate(loaded) == [demo.url("/static/vendor/mpegts.min.js")]
    await choose(page, "hls")
    assert demo.url("/static/vendor/hls.min.js") in await page.page.evaluate(loaded)


@pytest.mark.parametrize("status", [404, 403, 503])
async def test_where_flv_is_refused_the_next_way_is_taken_and_said(demo: Serve, visit: Open, status: int) -> None:
    async def refuse(page: Page) -> None:
        await page.route("**/*.flv", lambda route: route.fulfill(status=status))
        await page.route("**/demo.ts", lambda route: route.fulfill(status=status))

    page = await visit(demo.url("/live/demo/"), prepare=refuse)
    await page.is_in_state("playing")
    await expect(page.part("way-hls").locator("input")).to_be_checked()
    await expect(page.part("way-note")).to_contain_text(f"FLV did not play (status {status}).")
    await watch(page, 1)
    for fault in [fault for fault in page.faults if str(status) in fault]:
        page.faults.remove(fault)  # the browser's own lines about what it was refused


async def test_where_an_answer_never_comes_hls_is_taken(demo: Serve, visit: Open) -> None:
    over = asyncio.Event()

    async def hold(route: Route) -> None:
        # As a proxy does that passes on an answer when it has the whole of it.
        await over.wait()
        with suppress(PlaywrightError):  # The page has given up on it long ago.
            await route.abort()

    async def swallow(page: Page) -> None:
        await page.route("**/demo.flv", hold)
        await page.route("**/demo.ts", lambda route: route.fulfill(status=200, body=b""))

    page = await visit(demo.url("/live/demo/"), prepare=swallow)
    await expect(page.part("way-note")).to_contain_text("FLV did not play (nothing came).")
    await expect(page.part("way-hls").locator("input")).to_be_checked()
    await page.is_in_state("playing")
    await watch(page, 1)
    over.set()
    await page.page.unroute_all(behavior="wait")


async def test_a_codec_that_flv_does_not_bring_here_comes_by_hls(demo: Serve, visit: Open) -> None:
    def change(stream: dict[str, Any]) -> None:
        stream["tracks"][0]["codec"] = "VP9"

    page = await visit(demo.url("/live/demo/"), prepare=lambda page: relabelled(page, change))
    await page.is_in_state("playing")
    await expect(page.part("way-hls").locator("input")).to_be_checked()
    await expect(page.part("way-flv").locator("input")).to_be_disabled()
    await expect(page.part("way-note")).to_have_text("No player for VP9 in FLV.")


@pytest.mark.parametrize(
    ("kind", "codec", "words"),
    [
        ("audio", "G711A", "Without sound: HLS carries no G711A."),
        ("video", "VP8", "Without pictures: HLS carries no VP8."),
    ],
)
async def test_what_hls_leaves_out_keeps_nobody_from_the_rest(
    demo: Serve, visit: Open, kind: str, codec: str, words: str
) -> None:
    """A bug it had: the page said that this browser cannot decode G711A, of which HLS has nothing."""

    def change(stream: dict[str, Any]) -> None:
        for track in stream["tracks"]:
            if track["kind"] == kind:
                track |= {"codec": codec, "rfc6381": ""}

    page = await visit(demo.url("/live/demo/"), prepare=lambda page: relabelled(page, change))
    await page.is_in_state("playing")
    await expect(page.part("way-hls").locator("input")).to_be_checked()
    await expect(page.part("way-note")).to_have_text(words)


async def test_a_stream_of_which_hls_has_nothing_is_said_not_to_play(demo: Serve, visit: Open) -> None:
    def change(stream: dict[str, Any]) -> None:
        stream["tracks"] = [track | {"codec": "MP2"} for track in stream["tracks"] if track["kind"] == "audio"]

    page = await visit(demo.url("/live/demo/"), prepare=lambda page: relabelled(page, change))
    await page.is_in_state("failed")
    await expect(page.part("player-veil")).to_contain_text("HLS carries no MP2. VLC and ffplay can.")


AC3 = "-v error -re -f lavfi -i testsrc2=size=320x180:rate=25 -re -f lavfi -i sine=sample_rate=48000"
AC3 += " -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 -c:a ac3 -f mpegts"


async def test_pictures_that_come_behind_sound_that_hls_leaves_out_play(demo: Serve, visit: Open) -> None:
    has_pictures = False

    def change(stream: dict[str, Any]) -> None:
        video, audio = sorted(stream["tracks"], key=lambda track: track["kind"], reverse=True)
        stream["tracks"] = [*([video] if has_pictures else []), audio | {"codec": "G711A", "rfc6381": ""}]

    page = await visit(demo.url("/live/demo/"), prepare=lambda page: relabelled(page, change))
    await page.is_in_state("failed")
    has_pictures = True
    await page.is_in_state("playing")


async def test_pictures_with_sound_that_the_browser_cannot_decode_play_by_webrtc(
    serve: Start, visit: Open, ffmpeg: str
) -> None:
    """A bug it had: TS and HLS were preferred, as they lack nothing, and of HLS no more was heard."""

    def change(stream: dict[str, Any]) -> None:
        stream["whep_opus"] = False  # as where PyAV is not installed

    server = await serve("--srt", "127.0.0.1:0")
    found = server.logged(r"\[srt\] listening on (\S+)")
    assert found, server.log
    async with running(ffmpeg, *AC3.split(), f"srt://{found[1]}?streamid=publish:live/cam"):
        page = await visit(server.url("/live/cam/"), prepare=lambda page: relabelled(page, change))
        await page.is_in_state("playing")
        await expect(page.part("way-whep").locator("input")).to_be_checked()
        await expect(page.part("way-note")).to_have_text("Without sound: WebRTC does not carry AC-3.")
        for way in ("ts", "hls", "dash"):
            title = page.part(f"way-{way}").locator("label")
            await expect(title).to_have_attribute("title", "This browser cannot decode AC-3 (ac-3).")
        await watch(page, 1)


async def test_a_stream_with_two_sounds_plays_by_flv(serve: Start, visit: Open, ffmpeg: str) -> None:
    """FLV had both as multitrack, at which mpegts.js gives up: the page did without FLV there."""
    kinds: list[str] = []

    def note(stream: dict[str, Any]) -> None:
        kinds[:] = [track["kind"] for track in stream["tracks"]]

    server = await serve("--srt", "127.0.0.1:0", "--webrtc", "off")
    found = server.logged(r"\[srt\] listening on (\S+)")
    assert found, server.log
    bilingual = AC3.replace("-c:a ac3", "-c:a aac -map 0 -map 1 -map 1")
    async with running(ffmpeg, *bilingual.split(), f"srt://{found[1]}?streamid=publish:live/cam"):
        page = await visit(server.url("/live/cam/"), prepare=lambda page: relabelled(page, note))
        await page.is_in_state("playing")
        await expect(page.part("way-flv").locator("input")).to_be_checked()
        await watch(page, 2)
        assert sorted(kinds) == ["audio", "audio", "video"]


async def test_of_two_sounds_the_one_that_the_browser_can_decode_is_heard(
    serve: Start, visit: Open, ffmpeg: str
) -> None:
    """Found by reading: one that it cannot was a reason against HLS and DASH, whose players take the other."""
    server = await serve("--srt", "127.0.0.1:0", "--webrtc", "off")
    found = server.logged(r"\[srt\] listening on (\S+)")
    assert found, server.log
    both = AC3.replace("-c:a ac3", "-map 0 -map 1 -map 1 -c:a:0 ac3 -c:a:1 aac")
    async with running(ffmpeg, *both.split(), f"srt://{found[1]}?streamid=publish:live/cam"):
        page = await visit(server.url("/live/cam/"))
        await page.is_in_state("playing")
        await expect(page.part("way-hls").locator("input")).to_be_checked()
        for way in ("hls", "dash"):
            await choose(page, way)
            await watch(page, 2)
            heard = await page.part("video").evaluate("(video) => video.webkitAudioDecodedByteCount")
            assert heard > 0, way


async def test_hls_of_which_nothing_can_be_decoded_is_given_up(serve: Start, visit: Open, ffmpeg: str) -> None:
    """A bug it had: hls.js was told to recover, did not, and the page was loading for ever."""

    def change(stream: dict[str, Any]) -> None:
        # What a browser says of a codec is not always what its player finds.
        stream["tracks"] = [
            track | {"rfc6381": "avc1.42c01e"} for track in stream["tracks"] if track["kind"] == "video"
        ]
        stream |= {"flv": None, "ts": None, "dash": None}

    server = await serve("--srt", "127.0.0.1:0", "--webrtc", "off")
    found = server.logged(r"\[srt\] listening on (\S+)")
    assert found, server.log
    async with running(ffmpeg, *AC3.split(), f"srt://{found[1]}?streamid=publish:live/cam"):
        page = await visit(server.url("/live/cam/"), prepare=lambda page: relabelled(page, change))
        await page.is_in_state("failed")
        words = "This browser cannot play what the publisher sends (manifestIncompatibleCodecsError)."
        await expect(page.part("player-veil")).to_contain_text(words)


async def test_an_outage_takes_no_way_from_a_viewer(serve: Start, visit: Open) -> None:
    """A bug it had: behind some seconds FLV and TS were refused for as long as the publisher stayed."""
    server = await serve("--demo", "--webrtc", "off", "--allow-kick")
    page = await visit(server.url("/live/demo/"))
    await page.is_in_state("playing")
    await expect(page.part("way-flv").locator("input")).to_be_checked()
    await page.part("player").evaluate(NOTE_STATES)
    await page.page.context.set_offline(True)
    await end_viewers(server)
    # As long as it takes to try again twice.
    tries = "player => player.states.filter(it => it === 'reconnecting').length"

    async def has_tried_twice() -> bool:
        return bool(await page.part("player").evaluate(tries) >= 2)

    await eventually(has_tried_twice, what="two attempts", deadline_s=30)
    await page.page.context.set_offline(False)
    await page.is_in_state("playing")
    await expect(page.part("way-flv").locator("input")).to_be_checked()
    assert await page.part("way-note").is_hidden()
    await watch(page, 1)
    forgive(page, "ERR_INTERNET_DISCONNECTED", "ERR_INCOMPLETE_CHUNKED_ENCODING")


async def test_a_way_that_does_not_come_through_any_more_is_given_up(serve: Start, visit: Open) -> None:
    server = await serve("--demo", "--webrtc", "off", "--allow-kick")
    page = await visit(server.url("/live/demo/"))
    await page.is_in_state("playing")
    await page.page.route("**/*.flv", lambda route: route.fulfill(status=503))
    await end_viewers(server)
    await expect(page.part("way-note")).to_contain_text("FLV did not play (status 503).")
    await page.is_in_state("playing")
    await expect(page.part("way-ts").locator("input")).to_be_checked()
    forgive(page, "503", "ERR_INCOMPLETE_CHUNKED_ENCODING")


def forgive(visit: Visit, *words: str) -> None:
    """Take away the browser's own lines about what was done to it."""
    visit.faults[:] = [fault for fault in visit.faults if not any(word in fault for word in words)]


async def end_viewers(server: Serve) -> None:
    """End the connections of all who watch the demo."""
    async with async_playwright() as playwright:
        api = await playwright.request.new_context(extra_http_headers={"x-arcly-kick": "1"})
        for viewer in (await (await api.get(server.url("/api/viewers?stream=live/demo"))).json())["viewers"]:
            await api.post(server.url(f"/api/viewers/{viewer['id']}/kick"))


async def test_what_ended_while_the_list_left_its_stream_out_plays_again(demo: Serve, visit: Open) -> None:
    veil = Veil()
    page = await visit(demo.url("/live/demo/"), prepare=veil.hang)
    await page.is_in_state("playing")
    await veil.pull(down=True)
    await page.part("video").dispatch_event("ended")
    await page.is_in_state("ended")
    await veil.pull(down=False)
    await page.is_in_state("playing")
    await watch(page, 1)


async def test_a_codec_that_the_browser_cannot_decode_is_named(demo: Serve, visit: Open) -> None:
    def change(stream: dict[str, Any]) -> None:
        stream["tracks"][0] |= {"codec": "H265", "rfc6381": "hvc1.31.FFFFFFFF.L999.FF"}

    page = await visit(demo.url("/live/demo/"), prepare=lambda page: relabelled(page, change))
    await page.is_in_state("failed")
    words = "This browser cannot decode H.265 (hvc1.31.FFFFFFFF.L999.FF). VLC and ffplay can."
    await expect(page.part("player-veil")).to_contain_text(words)


async def test_a_viewer_that_has_paused_comes_back_to_what_is_live(demo: Serve, visit: Open) -> None:
    page = await visit(demo.url("/live/demo/"))
    await page.is_in_state("playing")
    await page.part("play-toggle").click()
    await page.is_in_state("paused")
    paused = await look(page)
    await page.page.wait_for_timeout(4000)  # as long as a viewer pauses; nothing else tells that time has passed
    await page.part("play-toggle").click()
    await page.is_in_state("playing")
    assert (await look(page)).media_s - paused.media_s > 2, "it jumps to what is live"
    await watch(page, 1)
    await expect(page.part("stat-latency")).to_have_text(BELOW_3_S)


async def test_sound_without_a_picture_plays(serve: Start, visit: Open, ffmpeg: str) -> None:
    server = await serve()
    tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac", "-f", "flv"]
    async with running(ffmpeg, "-v", "error", *tone, server.rtmp_url("live/radio")):
        page = await visit(server.url("/live/radio/"))
        await page.is_in_state("playing")
        await expect(page.part("way-flv").locator("input")).to_be_checked()
        begin = (await look(page)).media_s
        await page.page.wait_for_function("it => document.querySelector('video').currentTime > it", arg=begin + 2)
        await expect(page.part("stat-fps")).to_have_text("\N{EN DASH}")


async def test_viewers_are_listed_while_they_watch(serve: Start, visit: Open, ffmpeg: str) -> None:
    server = await serve()
    async with running(*publish(ffmpeg, server.rtmp_url("live/cam"))):
        page = await visit(server.url("/live/cam/"))
        await page.is_in_state("playing")
        rows = page.part("viewer-rows").get_by_test_id("viewer-row")
        await expect(rows).to_have_count(1)
        await expect(rows.get_by_test_id("viewer-protocol")).to_have_text("FLV")
        await expect(rows.get_by_test_id("viewer-peer")).to_have_text(re.compile(r"^127\.0\.0\.1:\d+$"))
        await expect(rows.get_by_test_id("viewer-bitrate")).to_have_text(re.compile(r"^[1-9][0-9.]* [kM]b/s$"))
        await expect(rows.get_by_test_id("viewer-lag")).to_have_text(re.compile(r"^\d+ frames?$"))
        await expect(page.part("viewer-kick")).to_be_hidden()
        async with running(ffmpeg, "-v", "error", "-i", server.rtmp_url("live/cam"), "-f", "null", "-"):
            await expect(rows).to_have_count(2)
            await expect(rows.nth(1).get_by_test_id("viewer-protocol")).to_have_text("RTMP")
            await in_both_schemes(page, "page-viewers")
        await expect(rows).to_have_count(1)
        await choose(page, "hls")
        await expect(rows).to_have_count(0)
        await expect(page.part("viewer-note")).to_have_text("1 over HLS, which holds no connection.")
        peer = r"127\.0\.0\.1:\d+"
        assert server.logged(rf"\[http\] {peer} plays live/cam as FLV")
        assert server.logged(rf"\[http\] {peer} left live/cam after \d+\.\d s: \d+\.\d [kM]B, 0 skipped")
        assert server.logged(rf"\[rtmp\] {peer} left live/cam after ")


async def test_a_viewer_is_disconnected_from_the_page_where_that_is_allowed(
    serve: Start, visit: Open, ffmpeg: str
) -> None:
    server = await serve("--demo", "--allow-kick", "--webrtc", "off")
    page = await visit(server.url("/live/demo/"))
    await page.is_in_state("playing")
    play_rtmp = [ffmpeg, "-v", "error", "-i", server.rtmp_url("live/demo"), "-f", "null", "-"]
    async with running(*play_rtmp) as player:
        row = page.part("viewer-row").filter(has_text="RTMP")
        await row.get_by_test_id("viewer-kick").click()
        await expect(row).to_have_count(0)
        await player.wait()
    await expect(page.part("viewer-row")).to_have_count(1)
    await page.is_in_state("playing")


async def test_ways_and_viewers_fit_a_phone(demo: Serve, visit: Open) -> None:
    page = await visit(demo.url("/live/demo/"), **PHONE)
    await page.is_in_state("playing")
    await expect(page.part("viewer-row")).not_to_have_count(0)
    await page.part("viewers").evaluate("it => it.scrollIntoView({ block: 'end', behavior: 'instant' })")
    await in_both_schemes(page, "phone-viewers")


async def test_the_page_brings_the_password_in_its_address_to_every_way(
    serve: Start, visit: Open, tmp_path: Path
) -> None:
    users = tmp_path / "users.txt"
    users.write_text("guest hello read")
    server = await serve("--demo", "--auth-users", str(users))
    stranger = await visit(server.url("/live/demo/"))
    await stranger.is_in_state("offline")
    await expect(stranger.part("hides-note")).to_be_visible()
    page = await visit(server.url("/live/demo/?user=guest&pass=hello"))
    for way in ("whep", "flv", "ts", "hls", "dash"):
        await choose(page, way)
        before, after = await watch(page, 2)
        assert after.decoded > before.decoded, way
    url = server.url("/live/demo/index.m3u8?user=guest&pass=hello")
    await expect(page.part("url-ffplay")).to_have_text(f"ffplay '{url}'")
