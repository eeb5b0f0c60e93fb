"""A thousand segments of HLS and DASH come and go, as fast as they can be made: memory stays where it was."""

from __future__ import annotations

import asyncio
import itertools
import re

import pytest
from conformance.playlist import Playlist, parse
from conftest import Server, eventually, serving
from recording.conftest import KEY, demo_frames, later
from siege import rss_kib

import arcly

CLIP_S, CLIP_SEGMENTS = 10.24, 5
"""What the clip lasts; it has a key picture every two seconds."""

CYCLES = 1_000

GROWTH_MAX_KIB = 16 << 10
"""Three hundred megabytes of segments pass by behind the first quarter."""


async def fetch(server: Server, path: str) -> bytes:
    """The body of an answer."""
    reader, writer = await asyncio.open_connection(*server.http.address)
    writer.write(f"GET /live/cam/{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
    writer.close()
    return body if head.startswith(b"HTTP/1.1 200") else b""


async def playlists(server: Server) -> list[str]:
    """The media playlists of pictures, of sound, and of MPEG-TS, each with its session."""
    found = [(await fetch(server, index)).decode() for index in ("index.m3u8", "ts.m3u8")]
    return re.findall(r"\w+\.m3u8\?session=\w+", "".join(found)) if all(found) else []


async def comes(server: Server, name: str, segments: int) -> Playlist:
    """A playlist that has come so far."""

    async def has_come() -> Playlist | None:
        found = parse((await fetch(server, name)).decode())
        return found if found.next_sequence >= segments else None

    return await eventually(has_come, deadline_s=60, what=f"segment {segments} of {name}")


@pytest.mark.timeout(300)
async def test_a_thousand_segments_leave_no_memory_behind() -> None:
    # Some rounds of the clip, so that nobody loses any: what is in the log is no segment.
    spec = arcly.AppSpec(ring_frames=1 << 12, ring_bytes=16 << 20)
    async with serving(default_app=spec) as server:
        session = await server.engine.start_publish(KEY)
        frames, rounds = demo_frames(), itertools.count()

        async def play() -> None:
            for frame in later(frames, CLIP_S * next(rounds)):
                session.send(frame)

        async def begins() -> object:
            await play()
            return server.http.window_s(KEY)

        await eventually(begins, deadline_s=60)
        names = await eventually(lambda: playlists(server), deadline_s=60)
        assert len(names) == 3
        first = {name: parse((await fetch(server, name)).decode()).next_sequence for name in names}
        base_kib = 0
        for cycles in range(0, CYCLES, CLIP_SEGMENTS):
            await play()
            # The newest is fetched, as players do; now and then that of each kind.
            for name in names if cycles % 50 == 0 else names[:1]:
                found = await comes(server, name, first[name] + cycles)
                assert await fetch(server, found.segments[-1].uri), name
            if cycles == CYCLES // 4:
                base_kib = rss_kib()
            if cycles % 50 == 0:
                assert b"<SegmentTimeline>" in await fetch(server, "manifest.mpd")
        growth_kib = rss_kib() - base_kib
        print(f"{CYCLES} segments: {growth_kib} KiB more than after a quarter of them ({base_kib} KiB)")
        session.end()
    assert base_kib
    assert growth_kib < GROWTH_MAX_KIB
