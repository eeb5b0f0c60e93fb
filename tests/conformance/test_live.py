"""Live playlists of this server, walked as a player with low latency walks them, against every rule.

`ARCLY_CONFORMANCE_S=300` walks for five minutes; without it a walk lasts some seconds.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Server, eventually, running, serving

import arcly
from conformance import dash, mpd, multivariant, schema
from conformance.answers import faults_of_answer, faults_of_delta, faults_of_reports
from conformance.playlist import parse
from conformance.rules import faults, faults_between

WALK_S = float(os.environ.get("ARCLY_CONFORMANCE_S", "12"))

pytestmark = pytest.mark.timeout(WALK_S + 120)


async def fetch(server: Server, path: str) -> tuple[int, str]:
    """One request: status and body."""
    reader, writer = await asyncio.open_connection(*server.http.address)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode("latin-1")


@pytest.fixture
async def live(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> AsyncIterator[Server]:
    """A server to which ffmpeg publishes `live/cam` over RTMP, with a key frame a second."""
    source = clip(fps="30", gop=30, seconds=8)
    publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: server.stream("live/cam"))
        yield server


async def names(server: Server) -> list[str]:
    """The media playlists of the stream, with the session of this viewer."""
    status, text = await fetch(server, "/live/cam/index.m3u8")
    assert status == 200, text
    return re.findall(r"^(v\d+\.m3u8[^\n]*)", text, re.MULTILINE) + re.findall(r'URI="(a\d+\.m3u8[^"]*)"', text)


async def walk(server: Server, name: str, seconds: float) -> list[str]:
    """Follow one media playlist by blocking reloads; what was wrong with it."""
    found: list[str] = []
    status, text = await fetch(server, f"/live/cam/{name}")
    assert status == 200
    newest = parse(text)
    found += faults(newest)
    until, fetched = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        sequence, part = newest.next_sequence, len(newest.rest.parts)
        status, text = await fetch(server, f"/live/cam/{name}&_HLS_msn={sequence}&_HLS_part={part}")
        assert status == 200, text
        playlist = parse(text)
        found += faults(playlist) + faults_between(newest, playlist) + faults_of_answer((sequence, part), playlist)
        newest, fetched = playlist, fetched + 1
    assert fetched >= seconds * 3, f"{fetched} playlists in {seconds} s"
    return found


async def test_every_playlist_keeps_every_rule(live: Server) -> None:
    walks = [walk(live, name, WALK_S) for name in await names(live)]
    assert len(walks) == 2
    for found in await asyncio.gather(*walks):
        assert found == []


async def lasts(server: Server, name: str, least_s: float) -> bool:
    """Whether there is so much of a track."""
    return parse((await fetch(server, f"/live/cam/{name}"))[1]).seconds >= least_s


async def timed(live: Server, path: str) -> tuple[str, float]:
    """Fetch, and return when that was done too."""
    return (await fetch(live, path))[1], time.monotonic()


async def test_a_playlist_is_answered_when_its_part_ends_not_before_and_not_a_poll_later(live: Server) -> None:
    name = (await names(live))[0]
    late = []
    for _ in range(15):
        newest = parse((await fetch(live, f"/live/cam/{name}"))[1])
        sequence, part = newest.next_sequence, len(newest.rest.parts)
        waiting = asyncio.create_task(timed(live, f"/live/cam/{name}&_HLS_msn={sequence}&_HLS_part={part}"))
        # What a player sees that asks again and again.
        before = time.monotonic()
        while faults_of_answer((sequence, part), parse((await fetch(live, f"/live/cam/{name}"))[1])):
            before = time.monotonic()
            await asyncio.sleep(0.005)
        text, answered = await waiting
        assert faults_of_answer((sequence, part), parse(text)) == []
        # `before`: the newest moment at which it was not there.
        assert answered >= before - 0.05, "it was answered before the part was there"
        late.append(answered - before)
    late.sort()
    assert late[len(late) // 2] < 0.1, f"answers come late: {late}"


async def test_requests_that_no_playlist_has_led_to_are_refused_at_once(live: Server) -> None:
    name = (await names(live))[0]
    newest = parse((await fetch(live, f"/live/cam/{name}"))[1])
    sequence = newest.next_sequence
    for query in (f"_HLS_msn={sequence + 5}", f"_HLS_msn={sequence}&_HLS_part=99", "_HLS_part=1", "_HLS_msn=x"):
        assert (await fetch(live, f"/live/cam/{name}&{query}"))[0] == 400, query
    status, text = await fetch(live, f"/live/cam/{name}&_HLS_msn={max(sequence - 1, 0)}&_HLS_part=0")
    assert (status, parse(text).next_sequence >= sequence) == (200, True)


async def test_the_part_that_is_hinted_at_comes_when_it_is_made(live: Server) -> None:
    name = (await names(live))[0]
    for _ in range(8):
        playlist = parse((await fetch(live, f"/live/cam/{name}"))[1])
        (hint,) = playlist.hints
        status, body = await fetch(live, f"/live/cam/{hint['URI']}")
        assert (status, body[4:8]) == (200, "styp")
    number = int(re.search(r"p(\d+)\.m4s", hint["URI"])[1])
    assert (await fetch(live, f"/live/cam/{hint['URI'].replace(f'p{number}.', f'p{number + 50}.')}"))[0] == 404


async def test_reports_of_renditions_are_where_their_playlists_are(live: Server) -> None:
    video, audio = await names(live)
    for name, other in ((video, audio), (audio, video)):
        for _ in range(5):
            known, before = [parse((await fetch(live, f"/live/cam/{it}"))[1]) for it in (name, other)]
            # Reports are as new as the playlist that has them, which is made with its newest part.
            reload = f"{name}&_HLS_msn={known.next_sequence}&_HLS_part={len(known.rest.parts)}"
            playlist, after = [parse((await fetch(live, f"/live/cam/{it}"))[1]) for it in (reload, other)]
            assert faults_of_reports(playlist, {other.partition("?")[0]: (before, after)}) == []


async def test_an_update_gives_what_the_whole_playlist_does(live: Server) -> None:
    name = (await names(live))[0]
    # Six target durations behind the end there is something to skip.
    await eventually(lambda: lasts(live, name, 9), what="nine seconds", deadline_s=60)
    while True:
        texts = [(await fetch(live, f"/live/cam/{name}{skip}"))[1] for skip in ("", "&_HLS_skip=YES", "")]
        full, delta, again = map(parse, texts)
        if full == again:
            break  # else another part has come in between
    assert delta.skipped > 0
    assert faults_of_delta(full, delta) == []


async def test_the_multivariant_playlist_keeps_every_rule_and_its_rates_are_those_of_the_segments(live: Server) -> None:
    video, audio = await names(live)
    await eventually(lambda: lasts(live, video, 6), what="six seconds", deadline_s=60)
    found = multivariant.parse((await fetch(live, "/live/cam/index.m3u8"))[1])
    assert multivariant.faults(found) == []
    tracks = []
    for name in (video, audio):
        playlist = parse((await fetch(live, f"/live/cam/{name}"))[1])
        sizes = {it.uri: len((await fetch(live, f"/live/cam/{it.uri}"))[1]) for it in playlist.segments}
        tracks.append((playlist, sizes))
    (variant,) = found.variants
    assert multivariant.faults_of_rates(variant, tracks) == []


@pytest.mark.parametrize(("left_out", "name"), [("-an", "v0.m3u8"), ("-vn", "a1.m3u8")])
async def test_a_stream_of_one_track_keeps_every_rule_to_its_end_and_behind_it(
    server: Server, ffmpeg: str, clip: Callable[..., Path], left_out: str, name: str
) -> None:
    source = clip(fps="30", gop=30, seconds=8)
    publish = [ffmpeg, "-v", "error", "-re", "-i", source, "-c", "copy", left_out, "-f", "flv"]
    found: list[str] = []
    manifests = []
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: server.stream("live/cam"))
        index = multivariant.parse((await fetch(server, "/live/cam/index.m3u8"))[1])
        assert multivariant.faults(index) == []
        uri = index.variants[0][""]
        assert uri.startswith(name)
        newest = parse((await fetch(server, f"/live/cam/{uri}"))[1])
        while not newest.ended:  # the clip has eight seconds
            asked = (newest.next_sequence, len(newest.rest.parts))
            status, text = await fetch(server, f"/live/cam/{uri}&_HLS_msn={asked[0]}&_HLS_part={asked[1]}")
            assert status == 200, text
            playlist = parse(text)
            found += faults(playlist) + faults_between(newest, playlist) + faults_of_answer(asked, playlist)
            newest = playlist
            manifests.append((await fetch(server, "/live/cam/manifest.mpd"))[1])
    assert found == []
    roots = [ElementTree.fromstring(text) for text in manifests]
    assert [fault for root in roots for fault in mpd.faults(root) + dash.faults(root)] == []
    assert [fault for older, newer in pairwise(roots) for fault in dash.faults_between(older, newer)] == []
    assert (roots[0].get("type"), roots[-1].get("type")) == ("dynamic", "static")


async def walk_over_mpegts(live: Server, name: str) -> list[str]:
    """Follow the playlist of MPEG-TS until four more segments have come; what was wrong with it."""
    found, newest = [], parse((await fetch(live, f"/live/cam/{name}"))[1])
    end = newest.next_sequence + 4
    while newest.next_sequence < end:
        playlist = parse((await fetch(live, f"/live/cam/{name}"))[1])
        found += faults(playlist) + faults_between(newest, playlist)
        newest = playlist
        await asyncio.sleep(0.2)
    return found


async def test_playlists_of_mpegts_keep_every_rule_too(live: Server) -> None:
    index = multivariant.parse((await fetch(live, "/live/cam/ts.m3u8"))[1])
    assert multivariant.faults(index) == []
    assert await walk_over_mpegts(live, index.variants[0][""]) == []


async def test_a_publisher_that_comes_back_is_a_discontinuity_and_a_period(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    def publish(size: str) -> list[str | Path]:
        source = clip(fps="30", gop=30, seconds=8, size=size)
        return [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv"]

    async with serving(default_app=arcly.AppSpec(reconnect_grace_s=20)) as server:
        async with running(*publish("640x360"), server.rtmp_url("live/cam")):
            await eventually(lambda: server.stream("live/cam"))
            video, audio = await names(server)
            walks = [asyncio.create_task(walk_over_a_break(server, name)) for name in (video, audio)]
            await eventually(lambda: lasts(server, video, 5), what="five seconds of the first publisher")
        async with running(*publish("320x180"), server.rtmp_url("live/cam")):
            assert await asyncio.gather(*walks) == [[], []]
            text = (await fetch(server, "/live/cam/manifest.mpd"))[1]
    assert mpd.faults(ElementTree.fromstring(text)) + dash.faults(ElementTree.fromstring(text)) == []
    periods = ElementTree.fromstring(text).findall(f"{MPD}Period")
    assert [period.get("id") for period in periods] == ["0", "1"]
    assert seconds(periods[1].get("start")) >= 4.5
    heights = [next(period.iter(f"{MPD}Representation")).get("height") for period in periods]
    assert heights == ["360", "180"]


async def walk_over_a_break(server: Server, name: str) -> list[str]:
    """Follow a media playlist until there are segments behind a discontinuity; what was wrong with it."""
    found: list[str] = []
    newest = parse((await fetch(server, f"/live/cam/{name}"))[1])
    while not any(segment.discontinuities for segment in newest.segments):
        query = f"_HLS_msn={newest.next_sequence}&_HLS_part={len(newest.rest.parts)}"
        status, text = await fetch(server, f"/live/cam/{name}&{query}")
        if status == 503:
            continue  # three target durations without a publisher
        playlist = parse(text)
        found += faults(playlist) + faults_between(newest, playlist)
        newest = playlist
    maps = {segment.map for segment in newest.segments}
    if len(maps) != (2 if name.startswith("v") else 1):
        found.append(f"{name}: {maps}")
    return found


MPD = "{urn:mpeg:dash:schema:mpd:2011}"


def seconds(text: str) -> float:
    """Read an `xs:duration` of seconds."""
    return float(re.fullmatch(r"PT([\d.]+)S", text)[1])


async def test_manifests_of_dash_go_on_without_a_gap(live: Server) -> None:
    before: dict[str, dict[int, tuple[int, int]]] = {}
    older = None
    await names(live)
    for _ in range(int(WALK_S)):
        status, text = await fetch(live, "/live/cam/manifest.mpd")
        assert status == 200
        root = ElementTree.fromstring(text)
        assert mpd.faults(root) + dash.faults(root) == []
        assert older is None or dash.faults_between(older, root) == []
        older = root
        assert schema.faults(text) == []
        assert root.get("type") == "dynamic"
        assert root.get("timeShiftBufferDepth")
        assert root.find(f"{MPD}UTCTiming").get("value") == "time.txt"
        assert root.find(f"{MPD}Location").text.startswith("manifest.mpd?session=")
        (period,) = root.findall(f"{MPD}Period")
        sets = period.findall(f"{MPD}AdaptationSet")
        assert [it.get("contentType") for it in sets] == ["video", "audio"]
        for representation in period.iter(f"{MPD}Representation"):
            timeline = read_timeline(representation)
            known = before.setdefault(representation.get("id"), {})
            for number, (start, duration) in timeline.items():
                if number in known:
                    assert known[number][0] == start, "a segment has moved"
                if number + 1 in timeline:
                    assert timeline[number + 1][0] == start + duration, "there is a gap"
                    known[number] = (start, duration)
        await asyncio.sleep(1)
    assert all(len(known) >= WALK_S - 3 for known in before.values())


def read_timeline(representation: ElementTree.Element) -> dict[int, tuple[int, int]]:
    """Starts and durations of segments by number."""
    template = representation.find(f"{MPD}SegmentTemplate")
    number, at, found = int(template.get("startNumber")), 0, {}
    for entry in template.find(f"{MPD}SegmentTimeline"):
        at = int(entry.get("t", at))
        for _ in range(int(entry.get("r", 0)) + 1):
            found[number] = (at, int(entry.get("d")))
            number, at = number + 1, at + int(entry.get("d"))
    return found


async def test_a_segment_in_the_making_is_sent_as_it_grows(live: Server) -> None:
    name = (await names(live))[0]
    newest = parse((await fetch(live, f"/live/cam/{name}"))[1])
    uri = re.sub(r"-\d+\.m4s$", f"-{newest.next_sequence}.m4s", newest.segments[-1].uri)
    reader, writer = await asyncio.open_connection(*live.http.address)
    writer.write(f"GET /live/cam/{uri} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b"transfer-encoding: chunked" in head
    pieces: list[tuple[float, int]] = []
    body = b""
    while True:
        length = int(await asyncio.wait_for(reader.readline(), 10), 16)
        piece = await reader.readexactly(length + 2)
        if length == 0:
            break
        pieces.append((time.monotonic(), length))
        body += piece[:-2]
    writer.close()
    assert len(pieces) >= 2, "it came at once"
    assert pieces[-1][0] - pieces[0][0] > 0.15, "it was held back"
    status, whole = await fetch(live, f"/live/cam/{uri}")
    assert (status, whole.encode("latin-1")) == (200, body)
