"""SRT under hostile peers: datagrams of every kind, floods of handshakes, and a publisher that vanishes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import resource
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import srt_server
from conftest import eventually, running
from srt_server import SECRET, is_whole, live, play

import arcly

INDUCTION, CONCLUSION = 1, 0xFFFFFFFF


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[tuple[arcly.Engine, arcly.SrtHandler]]:
    """Run an engine with nothing but SRT on a free port."""
    handler = arcly.SrtHandler("127.0.0.1:0", **options)  # type: ignore[arg-type]
    async with arcly.Engine(handler) as engine:
        yield engine, handler


@contextmanager
def peer(handler: arcly.SrtHandler) -> Iterator[socket.socket]:
    """A socket that sends to the port."""
    assert handler.address is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", handler.address[1]))
        sock.settimeout(5)
        yield sock


def handshake(kind: int, cookie: int = 0, socket_id: int = 77, extensions: bytes = b"") -> bytes:
    """A handshake packet of ours, which shares no code with the server's."""
    version, field = (4, 2) if kind == INDUCTION else (5, 7)
    head = struct.pack(">HHIII", 0x8000, 0, 0, 0, 0)
    body = struct.pack(">IHHIIIIII", version, 0, field, 1000, 1500, 8192, kind, socket_id, cookie)
    return head + body + bytes(16) + extensions


def wants(stream_id: str) -> bytes:
    """HSREQ and a stream id."""
    text = stream_id.encode()
    text += bytes(-len(text) % 4)
    words = b"".join(text[at : at + 4][::-1] for at in range(0, len(text), 4))
    hsreq = struct.pack(">HHIII", 1, 3, 0x010501, 0x3F, 0)
    return hsreq + struct.pack(">HH", 5, len(words) // 4) + words


def keys() -> bytes:
    """Key material that is well formed, and wrapped with a passphrase that nobody knows (SRT §3.2.2)."""
    head = struct.pack(">BHBIBBBBHBB", 0x12, 0x2029, 1, 0, 2, 0, 2, 0, 0, 4, 4)
    return struct.pack(">HH", 3, 14) + head + random.randbytes(16 + 24)


def cookie_of(answer: bytes) -> int:
    """The cookie of an induction response."""
    return int(struct.unpack(">I", answer[16 + 28 : 16 + 32])[0])


def kind_of(answer: bytes) -> int:
    """The type of a handshake."""
    return int(struct.unpack(">I", answer[16 + 20 : 16 + 24])[0])


async def connect(sock: socket.socket, stream_id: str, socket_id: int = 77, more: bytes = b"") -> bytes:
    """Both steps of a handshake; returns the last answer."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    await loop.sock_sendall(sock, handshake(INDUCTION, socket_id=socket_id))
    answer = await asyncio.wait_for(loop.sock_recv(sock, 2000), 30)
    await loop.sock_sendall(sock, handshake(CONCLUSION, cookie_of(answer), socket_id, wants(stream_id) + more))
    return await asyncio.wait_for(loop.sock_recv(sock, 2000), 30)


async def test_datagrams_of_every_kind_harm_nobody(ffmpeg: str, clip: Callable[..., Path]) -> None:
    chance = random.Random(7)
    async with serving() as (engine, handler):
        assert handler.address is not None
        url = f"srt://127.0.0.1:{handler.address[1]}?streamid=publish:live/cam&pkt_size=1316"
        publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts", url]
        async with running(*publish):
            await eventually(lambda: handler.list_connections())
            [connection] = handler.list_connections()
            with peer(handler) as sock:
                for number in range(20_000):
                    datagram = chance.randbytes(chance.randrange(1, 200))
                    if number % 2 and len(datagram) > 16:
                        # To the connection that there is, as if from its peer. No data: what lies just ahead of
                        # its own would be its right too, and libsrt takes the report of what is missing for an attack.
                        control, to = bytes([datagram[0] | 0x80]), struct.pack(">I", connection.id)
                        datagram = control + datagram[1:12] + to + datagram[16:]
                    # An end from a forged packet is the peer's right: its socket is a secret of 30 bits.
                    if datagram[:2] not in (b"\x80\x05", b"\x80\x08"):
                        sock.send(datagram)
                    if number % 500 == 0:
                        await asyncio.sleep(0)
            before = handler.list_connections()[0].stats["delivered_packets"]
            await eventually(lambda: handler.list_connections()[0].stats["delivered_packets"] > before + 100)
            assert engine.get_stream(arcly.StreamKey.parse("live/cam")) is not None


async def test_a_handshake_without_its_cookie_keeps_and_answers_nothing() -> None:
    async with serving() as (_, handler):
        with peer(handler) as sock:
            for cookie in (0, 1, 0xFFFFFFFF):
                sock.send(handshake(CONCLUSION, cookie, extensions=wants("read:live/cam")))
            sock.send(handshake(INDUCTION))
            answer = sock.recv(2000)
            assert (kind_of(answer), len(answer)) == (INDUCTION, 64), "the first answer is that of the honest one"
        assert handler.list_connections() == []


async def test_reasons_are_told() -> None:
    async with serving() as (_, handler):
        for stream_id, reason in [("read:live/cam", 2404), ("cam", 2400), ("#!::r=a/b,m=bidirectional", 2405)]:
            with peer(handler) as sock:
                assert kind_of(await connect(sock, stream_id)) == reason


async def test_more_connections_than_allowed_are_refused_with_the_reason() -> None:
    async with serving(connections_max=2) as (_, handler):
        with peer(handler) as sock:
            answers = [kind_of(await connect(sock, f"publish:live/{number}", number)) for number in (1, 2)]
            assert answers == [CONCLUSION] * 2
            await eventually(lambda: len(handler.list_connections()) == 2)
        with peer(handler) as surplus:
            assert kind_of(await connect(surplus, "publish:live/3", 3)) == 1003, "SRT_REJ_RESOURCE"
        assert len(handler.list_connections()) == 2


async def test_those_who_wait_for_a_decision_do_not_become_more_than_allowed() -> None:
    class Slow:
        asked = 0

        async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
            self.asked += 1
            await decided.wait()
            return True

        authorize_play = authorize_publish

    slow, decided = Slow(), asyncio.Event()
    handler = arcly.SrtHandler("127.0.0.1:0", connections_max=1, decision_deadline_s=60, idle_timeout_s=60)
    async with arcly.Engine(handler, authenticator=slow, auth_deadline_s=60), asyncio.TaskGroup() as tasks:
        with peer(handler) as first, peer(handler) as second:
            answers = [
                tasks.create_task(connect(sock, f"publish:live/{number}", number))
                for number, sock in enumerate((first, second), 1)
            ]
            await eventually(lambda: slow.asked == 2)
            decided.set()
            assert sorted([kind_of(await answer) for answer in answers]) == [1003, CONCLUSION]
            await eventually(lambda: len(handler.list_connections()) == 1)


class Nobody:
    """Lets nobody play."""

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return False


async def test_who_may_not_play_does_not_learn_what_there_is() -> None:
    handler = arcly.SrtHandler("127.0.0.1:0")
    async with arcly.Engine(handler, authenticator=Nobody()) as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        answers = set()
        for name in ("cam", "nothing"):
            with peer(handler) as sock:
                answers.add(kind_of(await connect(sock, f"read:live/{name}")))
        assert len(answers) == 1
        assert min(answers) > 1000, "a reason to refuse"
        session.end()


async def test_a_stream_that_is_ended_here_sends_its_publisher_away() -> None:
    async with serving(idle_timeout_s=3600) as (engine, handler):
        with peer(handler) as sock:
            assert kind_of(await connect(sock, "publish:live/cam")) == CONCLUSION
            stream = await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "cam")))
            assert engine.end_stream(stream, "kicked")
            await eventually(lambda: handler.list_connections() == [])


async def test_a_publisher_that_vanishes_is_ended_by_its_silence(ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with serving(idle_timeout_s=1.0) as (engine, handler):
        assert handler.address is not None
        url = f"srt://127.0.0.1:{handler.address[1]}?streamid=publish:live/cam&pkt_size=1316"
        publish = [ffmpeg, "-v", "quiet", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "mpegts", url]
        async with running(*publish) as process:
            key = arcly.StreamKey.parse("live/cam")
            await eventually(lambda: engine.get_stream(key))
            process.send_signal(signal.SIGSTOP)
            await eventually(lambda: engine.get_stream(key) is None, what="it is gone without a word")
            process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("count", [int(os.environ.get("ARCLY_SRT_CONNECTIONS", "5000"))])
async def test_connections_that_come_and_go_leave_no_memory(count: int, caplog: pytest.LogCaptureFixture) -> None:
    # A kilobyte of kept log for each would be all that is measured.
    caplog.set_level(logging.WARNING, "arcly")
    async with serving(connections_max=2 * AT_ONCE, idle_timeout_s=2.0) as (_, handler):
        await churn(handler, range(1, 1001))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await churn(handler, range(1001, 1001 + count))
        await eventually(lambda: handler.list_connections() == [])
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 8_000, f"{grown_kib} KiB more after {count} connections"


AT_ONCE = 50


async def churn(handler: arcly.SrtHandler, numbers: range) -> None:
    """Publishers that connect, send a packet and say goodbye, some at a time; their one address has one cookie."""
    with peer(handler) as sock:
        sock.setblocking(False)
        for first in numbers[::AT_ONCE]:
            sock.send(handshake(INDUCTION))
            cookie = cookie_of(await next_handshake(sock))
            for number in range(first, first + AT_ONCE):
                sock.send(handshake(CONCLUSION, cookie, number, wants(f"publish:live/{number}")))
            for _ in range(AT_ONCE):
                answer = await next_handshake(sock)
                assert kind_of(answer) == CONCLUSION
                destination = struct.unpack(">I", answer[16 + 24 : 16 + 28])[0]
                sock.send(struct.pack(">IIII", 1000, 0xE0000001, 0, destination) + bytes(188))
                sock.send(struct.pack(">HHIII", 0x8005, 0, 0, 0, destination))


async def next_handshake(sock: socket.socket) -> bytes:
    """The next answer to a caller, behind what comes on connections."""
    async with asyncio.timeout(30):
        while True:
            datagram = await asyncio.get_running_loop().sock_recv(sock, 2000)
            if datagram.startswith(b"\x80\0"):
                return datagram


async def test_a_flood_of_callers_whose_keys_have_to_be_derived_delays_nobody(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    secret = {"passphrase": SECRET}
    async with (
        srt_server.serving(arcly.SrtHandler("127.0.0.1:0", **secret, latency_ms=500)) as srt,
        live(srt, ffmpeg, clip(), **secret),
        asyncio.TaskGroup() as tasks,
    ):
        playing = tasks.create_task(play(ffmpeg, srt.url("read:live/cam", **secret), 2))
        refused: list[int] = []

        async def flood(first: int) -> None:
            with peer(srt.handler) as sock:
                for number in itertools.count(first):
                    refused.append(kind_of(await connect(sock, "publish:live/other", number, keys())))
                    if playing.done():
                        return

        floods = [tasks.create_task(flood(1 + 10_000 * number)) for number in range(8)]
        await asyncio.gather(playing, *floods)
        assert len(refused) > 20
        # The passphrase is wrong, or somebody publishes that name just now, or the machine is too slow for all.
        assert set(refused) <= {1005, 1010, 2409}
        assert 1010 in refused
        assert is_whole(playing.result(), 2), playing.result().stderr
        [publisher] = [it for it in srt.handler.list_connections() if it.role == "publisher"]
        assert publisher.stats["receive_dropped_packets"] == 0


@pytest.mark.parametrize("more", [keys(), b""], ids=["another passphrase", "none"])
async def test_who_does_not_know_the_passphrase_does_nothing_to_the_stream(more: bytes) -> None:
    """Found by reading: the stream was taken before the passphrase was looked at. A stranger replaced its publisher,
    began a stream for a moment, and prolonged the wait for a publisher that was gone, with each try anew.
    """
    app = arcly.AppSpec(second_publisher="replace", reconnect_grace_s=2.0)
    handler, key = arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET), arcly.StreamKey("live", "cam")
    async with arcly.Engine(handler, default_app=app) as engine:
        numbers, events = itertools.count(1), engine.events()

        async def is_over() -> bool:
            """Try once more, and look."""
            with peer(handler) as sock:
                assert kind_of(await connect(sock, "publish:live/cam", next(numbers), more)) == (1010 if more else 1011)
            return engine.get_stream(key) is None

        assert await is_over()
        session = await engine.start_publish(key)
        await is_over()
        assert session.active, "nobody has replaced it"
        session.end("gone")
        await eventually(is_over, deadline_s=15, what="the grace time is over")
        happened = [(await anext(events)).kind for _ in range(3)]
        assert happened == ["publish_started", "publish_interrupted", "publish_ended"]
        await events.aclose()


async def test_a_repeated_conclusion_is_answered_alike() -> None:
    async with serving() as (_, handler):
        with peer(handler) as sock:
            loop = asyncio.get_running_loop()
            first = await connect(sock, "publish:live/cam")
            assert kind_of(first) == CONCLUSION
            cookie = cookie_of(first)
            await loop.sock_sendall(sock, handshake(CONCLUSION, cookie, extensions=wants("publish:live/cam")))
            again = await asyncio.wait_for(loop.sock_recv(sock, 2000), 5)
            while kind_of(again) != CONCLUSION or again[:4] != first[:4]:
                again = await asyncio.wait_for(loop.sock_recv(sock, 2000), 5)
            assert again[12:] == first[12:], "all but the time"
            await eventually(lambda: len(handler.list_connections()) == 1)


async def test_a_peer_whose_port_changes_is_still_the_same() -> None:
    async with serving() as (_, handler):
        with peer(handler) as before, peer(handler) as after:
            answer = await connect(before, "publish:live/cam")
            destination = struct.unpack(">I", answer[16 + 24 : 16 + 28])[0]
            [connection] = await eventually(handler.list_connections)
            keep_alive = struct.pack(">HHIIII", 0x8001, 0, 0, 0, destination, 0)
            after.send(keep_alive)
            port = after.getsockname()[1]
            await eventually(lambda: handler.list_connections()[0].peer == f"127.0.0.1:{port}", what="NAT rebinding")
            assert handler.list_connections()[0].id == connection.id
