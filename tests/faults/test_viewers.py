"""Viewers that do not read or vanish, publishers that come and go: the others lose nothing, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from conftest import Server, eventually, serving
from rtmp_client import AUDIO, VIDEO, Message, RtmpClient, command, media_of, repeated
from siege import TAGS, rss_kib

import arcly

PERIOD_MS = max(tag.timestamp_ms for tag in TAGS) + 40
EAGER = arcly.EgressOptions(stall_max_s=4.0)
"""Lets viewers go soon, so that no test waits long; two hundred that read in one process may stall for a second."""

BEHIND_FRAMES = 100
"""So far players of a publisher that does not keep time may be behind: 1.3 s, where 5 s let them skip."""


def media(stream_id: int, pictures: int) -> list[Message]:
    """So many pictures of the demo clip, and the sound that goes with them."""
    found = []
    for tag in repeated(TAGS, PERIOD_MS):
        pictures -= tag.type_id == VIDEO and not tag.is_configuration
        found.append(tag)
        if pictures == 0:
            return media_of(found, stream_id)
    raise AssertionError


async def publisher(server: Server, name: str = "cam") -> tuple[RtmpClient, int]:
    """A connection that publishes `live/cam`."""
    client = await RtmpClient.dial(server.rtmp.address)
    await client.connect()
    stream_id = await client.publish(name)
    await client.set_chunk_bytes(65_536)
    return client, stream_id


async def player(server: Server, name: str = "cam", *, window_bytes: int | None = None) -> RtmpClient:
    """A connection that plays `live/cam` or another, with a small window if that is wanted."""
    assert server.rtmp.address is not None
    sock = socket.socket()
    if window_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    sock.connect(server.rtmp.address)
    client = RtmpClient(*await asyncio.open_connection(sock=sock))
    await client.connect()
    await client.play(name)
    return client


def is_media(tag: Message) -> bool:
    """Whether a viewer counts it as a frame."""
    return tag.type_id in (AUDIO, VIDEO) and not tag.is_configuration


def slowest_frames(server: Server, but: RtmpClient) -> int:
    """How many frames the slowest viewer has taken, leaving `but` aside."""
    host, port = but.writer.get_extra_info("sockname")
    return min(viewer.frames for viewer in server.rtmp.list_viewers() if viewer.peer != f"{host}:{port}")


async def times_ms(client: RtmpClient, last_ms: int) -> list[int]:
    """The times of all pictures up to `last_ms`."""
    seen = []
    while not seen or seen[-1] < last_ms:
        seen.append((await client.picture()).timestamp_ms)
    return seen


@pytest.mark.parametrize("fault", ["zero window", "reset"])
async def test_two_hundred_players_lose_nothing_by_one_that_does_not_read(fault: str) -> None:
    rtmp = arcly.RtmpHandler("127.0.0.1:0", egress=EAGER)
    async with serving(rtmp) as server:
        source, stream_id = await publisher(server)
        tags = media(stream_id, 500)
        first, rest = tags[:40], tags[40:]
        await source.send(*first)
        players = [await player(server) for _ in range(200)]
        bad = await player(server, window_bytes=4096)
        bad.writer.transport.pause_reading()
        before_kib = rss_kib()
        last_ms = [tag.timestamp_ms for tag in tags if tag.type_id == VIDEO][-1]
        reading = [asyncio.create_task(times_ms(client, last_ms)) for client in players]
        sent = sum(map(is_media, first))
        for at in range(0, len(rest), 20):
            await source.send(*rest[at : at + 20])
            sent += sum(map(is_media, rest[at : at + 20]))
            if fault == "reset" and at == 200:
                bad.reset()
            # Not faster than they read: what they lose then would be their own fault.
            wanted_frames = sent - BEHIND_FRAMES
            await eventually(lambda: slowest_frames(server, bad) >= wanted_frames, what="they keep up")  # noqa: B023
        wanted = [tag.timestamp_ms for tag in tags if tag.type_id == VIDEO and not tag.is_configuration]
        for task in reading:
            seen = await asyncio.wait_for(task, 60)
            assert seen == wanted[wanted.index(seen[0]) :], "from a key picture on, without a hole"
        await eventually(lambda: len(server.rtmp.list_viewers()) == 200, what="the bad one is let go")
        assert rss_kib() - before_kib < 64 << 10
        for client in [*players, bad, source]:
            client.writer.transport.abort()
        await eventually(lambda: server.rtmp.list_viewers() == [], what="all are gone")


async def test_rtmp_players_stay_while_the_publisher_is_gone_and_comes_back() -> None:
    """Times go on, and no second header is needed for it."""
    async with serving(default_app=arcly.AppSpec(reconnect_grace_s=20)) as server:
        source, stream_id = await publisher(server)
        await source.send(*media(stream_id, 30))
        viewer = await player(server)
        seen = [(await viewer.picture()).timestamp_ms for _ in range(5)]
        source.reset()
        again, stream_id = await publisher(server)
        await again.send(*media(stream_id, 60))
        async with asyncio.timeout(20):
            seen += [(await viewer.picture()).timestamp_ms for _ in range(70)]
        assert seen == sorted(set(seen)), "times only grow"
        assert [seen.protocol for seen in server.rtmp.list_viewers()] == ["rtmp"]
        for client in (viewer, again):
            client.writer.transport.abort()


def resources() -> tuple[int, int, int]:
    """File descriptors, threads and asyncio's tasks of this process."""
    descriptors, threads = (len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task"))
    return descriptors, threads, len(asyncio.all_tasks())


LANES = 8
"""Publishers that come and go at the same time, each under a name of its own."""


async def cycle(server: Server, number: int) -> None:
    """A publish that ends in one of three ways; one in four with a viewer, who sees the end."""
    name = f"cycle-{number % LANES}"
    source, stream_id = await publisher(server, name)
    await source.send(*media(stream_id, 2))
    viewer = await player(server, name) if number % 4 == 3 else None
    if number % 2:
        await source.send(command("deleteStream", 0, None, stream_id))
        await source.settled()
    if number % 3:
        source.reset()
    else:
        source.writer.close()
    await eventually(lambda: server.stream(f"live/{name}") is None, what="it has ended")
    if viewer:
        await viewer.closed()
        viewer.writer.close()


async def cycles(server: Server, numbers: range) -> None:
    """Those cycles, each name's one after the other."""

    async def lane(first: int) -> None:
        for number in numbers[first::LANES]:
            await cycle(server, number)

    await asyncio.gather(*map(lane, range(LANES)))


@pytest.mark.timeout(0)
async def test_hundreds_of_publishes_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """`make soak` makes it 100 000."""
    count = int(os.environ.get("ARCLY_SOAK_CYCLES", "600"))
    caplog.set_level("ERROR")
    async with serving() as server:
        # Some tasks begin with the first stream, and stay.
        await cycles(server, range(LANES))
        base = resources()
        # What allocators, caches and the origin keep for a minute is there after a quarter.
        await cycles(server, range(LANES, count // 4))
        base_kib = rss_kib()
        await cycles(server, range(count // 4, count))
        growth_kib = rss_kib() - base_kib
        await eventually(lambda: all(now <= then + 2 for now, then in zip(resources(), base, strict=True)), what="base")
        print(f"{count} cycles: {growth_kib} KiB more, {resources()} descriptors, threads and tasks; before {base}")
        assert growth_kib < 48 << 10, f"{growth_kib} KiB in {count} cycles"
        assert server.engine.list_streams() == []
