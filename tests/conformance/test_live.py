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
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Server, eventually, running, serving

import arcly
from conformance import mpd, schema
from conformance.playlist import Playlist, parse
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
        found += faults(playlist) + faults_between(newest, playlist)
        if not has(playlist, sequence, part):
            found.append(f"{name}: answered without part {part} of segment {sequence}")
        newest, fetched = playlist, fetched + 1
    assert fetched >= seconds * 3, f"{fetched} playlists in {seconds} s"
    return found


def has(playlist: Playlist, sequence: int, part: int) -> bool:
    """Whether a playlist has a part, or the segment of which there is no such part."""
    return playlist.next_sequence > sequence or len(playlist.rest.parts) > part


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
        while not has(parse((await fetch(live, f"/live/cam/{name}"))[1]), sequence, part):
            before = time.monotonic()
            await asyncio.sleep(0.005)
        text, answered = await waiting
        assert has(parse(text), sequence, part)
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
        report = parse((await fetch(live, f"/live/cam/{name}"))[1]).reports[0]
        assert report["URI"] == other.partition("?")[0]
        reported = parse((await fetch(live, f"/live/cam/{other}"))[1])
        assert abs(int(report["LAST-MSN"]) - reported.next_sequence) <= 1


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
    assert mpd.faults(ElementTree.fromstring(text)) == []
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
    published = ""
    await names(live)
    for _ in range(int(WALK_S)):
        status, text = await fetch(live, "/live/cam/manifest.mpd")
        assert status == 200
        root = ElementTree.fromstring(text)
        assert mpd.faults(root) == []
        assert schema.faults(text) == []
        assert root.get("type") == "dynamic"
        assert root.get("publishTime") >= published
        published = root.get("publishTime")
        assert seconds(root.get("timeShiftBufferDepth")) > 0
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
