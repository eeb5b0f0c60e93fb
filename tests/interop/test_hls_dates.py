"""Dates of renditions: the same media has the same date in all of them (RFC 8216bis §6.2.4)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from conformance.playlist import parse
from conftest import Server, eventually
from interop.test_hls_codecs import fetch

import arcly

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))
RATE_HZ = 48_000


async def zeros(server: Server, *begins_ms: tuple[str, int]) -> list[datetime]:
    """When the time 0 of each stream was, as its playlist says. They come in one moment, whenever they begin."""
    sessions = []
    for stream, begin_ms in begins_ms:
        key = arcly.StreamKey("live", stream)
        session = await server.engine.start_publish(key)
        session.set_tracks([AUDIO])
        await eventually(lambda key=key: server.http.hls_path(key))
        sessions.append((session, begin_ms * RATE_HZ // 1000))
    for number in range(200):
        for session, begin in sessions:
            session.publish(bytes(200), track=1, pts=begin + number * 1024, duration=1024)
    found = []
    for stream, begin_ms in begins_ms:
        date = parse((await fetch(server, "a1.m3u8", stream)).decode()).segments[0].date
        assert date
        found.append(date - timedelta(milliseconds=begin_ms))
    return found


@pytest.mark.parametrize("late_ms", [150, -150])
async def test_renditions_of_one_clock_have_the_same_dates(server: Server, late_ms: int) -> None:
    """Found by reading: each was dated by its own arrival."""
    first, other = await zeros(server, ("cam~720p", 20_000), ("cam~1080p", 20_000 - late_ms))
    assert abs(other - first) <= timedelta(milliseconds=2)


@pytest.mark.parametrize(("stream", "begin_ms"), [("cam~1080p", 10_000), ("door", 19_600)])
async def test_what_has_another_clock_keeps_its_dates(server: Server, stream: str, begin_ms: int) -> None:
    first, other = await zeros(server, ("cam~720p", 20_000), (stream, begin_ms))
    assert abs(other - first) > timedelta(milliseconds=100)
