"""Links of a group (SRT §3.2.1.4): one publisher over several ways, of which any may fail."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import eventually, run
from test_srt import CONCLUSION, connect, kind_of, peer, serving

import arcly
from arcly.media import Demuxer

BROADCAST, BACKUP, BALANCING = 1, 2, 3
GROUP_ID = 0x40001234
FIRST = 1000
CAM = arcly.StreamKey.parse("live/cam")


def member(kind: int, flags: int = 0) -> bytes:
    """The extension of a link."""
    return struct.pack(">HHIBBH", 8, 2, GROUP_ID, kind, flags, 1)


class Link:
    """One connection of the group, as the sender sees it."""

    def __init__(self, sock: socket.socket, destination: int) -> None:
        self.sock, self.destination = sock, destination
        self.kept: dict[int, bytes] = {}

    def send(self, number: int, payload: bytes) -> None:
        """Send packet `number` of the stream; all links count alike."""
        self.kept[number] = payload
        head = struct.pack(">IIII", FIRST + number, 0xE0000000 | (number + 1), number * 2000, self.destination)
        self.sock.send(head + payload)

    def hear(self) -> None:
        """Send again what is asked for. Of packets that a link has not sent it says nothing: libsrt would end it."""
        while True:
            try:
                datagram = self.sock.recv(2000)
            except BlockingIOError:
                return
            kind = struct.unpack(">H", datagram[:2])[0]
            words = struct.unpack(f">{len(datagram) // 4 - 4}I", datagram[16:])
            if kind == 0x8002:
                assert words[0] <= FIRST + max(self.kept, default=-1) + 1
            if kind == 0x8003:
                self.repeat([word & 0x7FFFFFFF for word in words], [bool(word >> 31) for word in words])

    def repeat(self, numbers: list[int], begins_run: list[bool]) -> None:
        """Send again what a loss report names (SRT §3.2.5, appendix A)."""
        assert max(numbers) <= FIRST + max(self.kept, default=-1)
        for at, number in enumerate(numbers):
            last = numbers[at + 1] if begins_run[at] else number
            for lost in range(number - FIRST, last - FIRST + 1):
                if lost in self.kept:
                    self.send(lost, self.kept[lost])

    def bye(self) -> None:
        """End the connection."""
        self.sock.send(struct.pack(">HHIIII", 0x8005, 0, 0, 0, self.destination, 0))


async def link(handler: arcly.SrtHandler, sockets: ExitStack, socket_id: int, kind: int) -> Link:
    """Connect one."""
    sock = sockets.enter_context(peer(handler))
    answer = await connect(sock, "publish:live/cam", socket_id, member(kind))
    assert kind_of(answer) == CONCLUSION
    group = answer[-12:]
    assert group[:4] == struct.pack(">HH", 8, 2)
    assert group[4] & 0x40, "a number of a group"
    assert group[8:] == struct.pack(">BBH", kind, 0, 1)
    return Link(sock, struct.unpack(">I", answer[16 + 24 : 16 + 28])[0])


async def packets_of(ffmpeg: str, path: Path, out: Path) -> list[bytes]:
    """The clip as payloads of SRT."""
    await run(ffmpeg, "-v", "error", "-i", path, "-c", "copy", "-f", "mpegts", out)
    stream = await asyncio.to_thread(out.read_bytes)
    return [stream[at : at + 1316] for at in range(0, len(stream), 1316)]


async def pictures(engine: arcly.Engine, count: int) -> list[bytes]:
    """The next ones of the stream, without a hole."""
    stream = await eventually(lambda: engine.get_stream(CAM))
    found: list[bytes] = []
    async for frame in stream.subscribe():
        assert not frame.is_discontinuity
        if frame.kind == "video":
            found.append(bytes(frame))
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("kind", [BROADCAST, BACKUP])
async def test_links_of_a_group_are_one_publisher_that_outlives_any_of_them(
    kind: int, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    payloads = await packets_of(ffmpeg, clip(seconds=4), tmp_path / "clip.ts")
    chance, half = random.Random(5), len(payloads) // 2
    # The spare link says nothing while the main one does well.
    async with serving(latency_ms=1000, idle_timeout_s=60) as (engine, handler):
        with ExitStack() as sockets:
            main = await link(handler, sockets, 77, kind)
            spare = await link(handler, sockets, 78, kind)
            await eventually(lambda: len(handler.list_connections()) == 2)
            assert {it.role for it in handler.list_connections()} == {"publisher"}
            read = asyncio.create_task(pictures(engine, 70))
            for number, payload in enumerate(payloads):
                ways = [main, spare] if kind == BROADCAST else [main]
                if number >= half:
                    ways = [spare]
                elif kind == BROADCAST and chance.random() < 0.4:
                    ways = [chance.choice(ways)]
                elif kind == BACKUP and number >= half - 10:
                    ways = []  # Lost on a way that has failed.
                if kind == BACKUP and number == half:
                    # The sender has noticed, and sends again what was not acknowledged.
                    for lost in range(half - 10, half):
                        spare.send(lost, payloads[lost])
                for way in ways:
                    way.send(number, payload)
                main.hear()
                spare.hear()
                if number == half:
                    main.bye()
                await asyncio.sleep(0.002)
            async with asyncio.timeout(60):
                while not read.done():
                    spare.hear()
                    await asyncio.sleep(0.01)
            got = await read
            [left] = await eventually(lambda: len(all := handler.list_connections()) == 1 and all)
            assert left.id == spare.destination
            spare.bye()
            await eventually(lambda: engine.get_stream(CAM) is None, what="the last link has ended")
    demuxer = Demuxer("ts")
    whole = [bytes(frame) for frame in demuxer.feed(b"".join(payloads)) if frame.kind == "video"]
    begin = whole.index(got[0])
    assert begin <= 25, "it began on the link that has failed"
    assert got == whole[begin : begin + 70]


async def test_links_that_cannot_be_joined_are_told_so() -> None:
    async with serving() as (_, handler):
        for stream_id, more in [
            ("publish:live/cam", member(BALANCING)),
            ("publish:live/cam", member(BROADCAST, flags=1)),
            ("read:live/cam", member(BROADCAST)),
        ]:
            with peer(handler) as sock:
                assert kind_of(await connect(sock, stream_id, more=more)) == 1015
        with ExitStack() as sockets:
            await link(handler, sockets, 77, BACKUP)
            # Another one of the same name is no link of it.
            other = sockets.enter_context(peer(handler))
            assert kind_of(await connect(other, "publish:live/cam:ann:secret", 79, member(BACKUP))) == 2409


class Doorkeeper:
    """Writes down who asks to publish, and lets in as many as it may."""

    def __init__(self, may: int) -> None:
        self.may = may
        self.asked: list[arcly.Credentials] = []

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        """Decide by their number."""
        assert key == CAM
        self.asked.append(credentials)
        return len(self.asked) <= self.may

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        """Nobody plays here."""
        return False


async def test_the_host_is_asked_about_each_link_and_only_the_one_it_refuses_stays_out() -> None:
    door, handler = Doorkeeper(may=2), arcly.SrtHandler("127.0.0.1:0", decision_deadline_s=60, idle_timeout_s=60)
    async with arcly.Engine(handler, authenticator=door) as engine:
        with ExitStack() as sockets:
            first = await link(handler, sockets, 77, BROADCAST)
            session = (await eventually(lambda: engine.get_stream(CAM))).session
            second = await link(handler, sockets, 78, BROADCAST)
            third = sockets.enter_context(peer(handler))
            assert kind_of(await connect(third, "publish:live/cam", 79, member(BROADCAST))) == 2401
            addresses = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in (first.sock, second.sock, third)]
            assert [it.peer for it in door.asked] == addresses
            here = await eventually(lambda: len(all := handler.list_connections()) == 2 and all)
            assert {it.peer for it in here} == set(addresses[:2])
            still = engine.get_stream(CAM)
            assert still is not None
            assert still.session == session, "it is one publisher still"
