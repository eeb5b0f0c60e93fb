"""Bad connections: each ends alone, soon, with one line that says why, and costs little memory."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import pytest
from conftest import eventually
from load.hls_viewer import Viewer
from rtmp_client import (
    ABORT,
    COMMAND,
    PING_RESPONSE,
    SET_CHUNK_SIZE,
    USER_CONTROL,
    VIDEO,
    Message,
    RtmpClient,
    amf,
    basic_header,
    chunks,
    command,
    media_of,
    ping,
    publish,
)
from siege import BAD, RSS_GROWTH_MAX_KIB, TAGS, besieged, rss_kib

MIB = 1 << 20
GIB = 1 << 30
QUICK = {"handshake_timeout_s": 0.5}
"""For faults that only time can tell."""
IDLE = {"handshake_timeout_s": 0.5, "idle_timeout_s": 0.5}
PATIENT = {"handshake_timeout_s": 2.0, "idle_timeout_s": 2.0}
"""For all others: the timers must not end what something else should end."""


@dataclass(frozen=True)
class Fault:
    """What a peer does wrong, and what the log must say of it."""

    commit: Callable[[RtmpClient], Awaitable[None]]
    reason: str


def sends(*data: bytes | Message) -> Callable[[RtmpClient], Awaitable[None]]:
    """A peer that sends bytes and messages, and then waits."""

    async def commit(client: RtmpClient) -> None:
        for item in data:
            client.write(chunks(item, chunk_bytes=client.chunk_bytes) if isinstance(item, Message) else item)
            await client.writer.drain()

    return commit


def chunk_header(length: int, *, chunk_stream: int = 7, type_id: int = VIDEO) -> bytes:
    """A header of type 0, without a body."""
    return basic_header(0, chunk_stream) + bytes(3) + struct.pack(">I", length)[1:] + bytes([type_id]) + bytes(4)


def control(type_id: int, value: int) -> Message:
    return Message(type_id, struct.pack(">I", value))


async def say_nothing(client: RtmpClient) -> None:
    pass


async def trickle_handshake(client: RtmpClient) -> None:
    """A byte every 50 ms: 3073 of them would take two and a half minutes."""
    client.write(b"\x03")
    while not client.reader.at_eof():
        client.write(b"\0")
        await client.writer.drain()
        await asyncio.sleep(0.05)


async def connect_only(client: RtmpClient) -> None:
    await client.connect()


async def create_stream_only(client: RtmpClient) -> None:
    await client.connect()
    await client.create_stream()


def random_bytes(seed: int, count: int = 20_000) -> bytes:
    return random.Random(seed).randbytes(count)


SILENCE = "sent nothing|asked for nothing"
TIMEOUT = r"(did not finish the handshake|asked for nothing|sent nothing).* for [\d.]+ s"

STRANGERS = {
    "says-nothing": Fault(say_nothing, "did not finish the handshake for 0.5 s"),
    "trickles": Fault(trickle_handshake, "did not finish the handshake for 0.5 s"),
    "half-a-handshake": Fault(sends(b"\x03" + bytes(1000)), "did not finish the handshake for 0.5 s"),
    "handshake-only": Fault(RtmpClient.shake_hands, TIMEOUT),
    "connect-only": Fault(connect_only, TIMEOUT),
    "createStream-only": Fault(create_stream_only, TIMEOUT),
    "http": Fault(sends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP client"),
    "tls": Fault(sends(b"\x16\x03\x01\x02\x00\x01\x00"), "TLS"),
    "rtmpe": Fault(sends(b"\x06" + bytes(1536)), "RTMPE"),
    "random": Fault(sends(b"\xa5" + random_bytes(1)), "not RTMP: first byte 0xa5"),
    "random-after-version": Fault(sends(b"\x03" + random_bytes(2)), "malformed|unexpected|limit exceeded|nothing"),
}
"""Peers that do not get as far as `connect`, or no further."""


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_is_sent_away(name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault = STRANGERS[name]
    async with besieged(caplog, **QUICK) as siege, await siege.dial() as client:
        await end_alone(fault, client)
        await siege.one_warning(client.name, fault.reason)


async def end_alone(fault: Fault, client: RtmpClient) -> None:
    """The server closes the connection, whether the peer has finished or not."""
    committing = asyncio.create_task(fault.commit(client))
    try:
        await asyncio.wait([committing], timeout=5 if fault.commit is not trickle_handshake else 0)
        await client.closed()
    finally:
        committing.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await committing


async def test_silence_is_ended_after_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as client:
        began_s = time.monotonic()
        await client.closed(60)
        assert 9.5 <= time.monotonic() - began_s <= 30
        await siege.one_warning(client.name, "did not finish the handshake for 10 s")


ALL_CHUNK_STREAMS = b"".join(chunks(ping(n), chunk_stream=n) for n in range(8, 65_600))
"""A message on each of the chunk streams there can be (RTMP §5.3.1.1), but for those that our client has used."""


async def more_than_can_be_unfinished(client: RtmpClient) -> None:
    """Three messages of which 15 MiB come and the last byte does not."""
    await client.set_chunk_bytes(15 * MIB)
    for chunk_stream in range(10, 13):
        client.write(chunk_header(15 * MIB + 1, chunk_stream=chunk_stream))
        for _ in range(15 * 16):
            client.write(bytes(MIB // 16))
            await client.writer.drain()


async def one_gigabyte_chunk(client: RtmpClient) -> None:
    """A chunk size of 1 GiB, the longest message, and silence in its middle."""
    await client.set_chunk_bytes(GIB)
    client.write(chunk_header(0xFF_FFFF) + bytes(100))


async def begin_twice(client: RtmpClient) -> None:
    """A chunk of a message, and then another message on the same chunk stream."""
    client.write(chunk_header(client.chunk_bytes + 1) + bytes(client.chunk_bytes) + chunk_header(9))


async def announce_giants(client: RtmpClient) -> None:
    """On each of 60 chunk streams a message of 16 MiB, of which one chunk comes."""
    for chunk_stream in range(4, 64):
        await sends(chunk_header(0xFF_FFFF, chunk_stream=chunk_stream) + bytes(client.chunk_bytes))(client)


async def too_many_streams(client: RtmpClient) -> None:
    await client.send(*[command("createStream", 5, None)] * 20)


def nested(depth: int) -> bytes:
    return (b"\x03" + struct.pack(">H", 1) + b"a") * depth


FAULTS = {
    "random": Fault(sends(b"\xf7" + random_bytes(3)), "malformed chunk header"),
    "random-messages": Fault(
        sends(*[Message(random.Random(n).randrange(1, 32), random_bytes(n, 50)) for n in range(200)]),
        "malformed|unexpected|limit exceeded|unsupported",
    ),
    "65000-chunk-streams": Fault(sends(ALL_CHUNK_STREAMS), "limit exceeded: chunk_streams is 64"),
    "type-3-on-a-fresh-chunk-stream": Fault(sends(b"\xff"), "malformed chunk header"),
    "a-message-within-a-message": Fault(begin_twice, "middle of a message"),
    "truncated-chunk-then-silence": Fault(sends(chunk_header(100) + bytes(50)), SILENCE),
    "chunk-size-0": Fault(sends(control(SET_CHUNK_SIZE, 0)), "malformed Set Chunk Size"),
    "chunk-size-2-GiB": Fault(sends(control(SET_CHUNK_SIZE, 1 << 31)), "malformed Set Chunk Size"),
    "chunk-size-1-GiB-then-silence": Fault(one_gigabyte_chunk, SILENCE + "|message_bytes is 65536"),
    "chunk-size-cut": Fault(sends(Message(SET_CHUNK_SIZE, b"\0\0")), "malformed Set Chunk Size"),
    "string-of-1-GiB": Fault(
        sends(Message(COMMAND, amf("FCPublish", 1, None) + b"\x0c" + struct.pack(">I", GIB))),
        "amf_string_bytes is 16384",
    ),
    "45-MiB-unfinished": Fault(more_than_can_be_unfinished, "message_bytes is 65536|unfinished_bytes is 33554432"),
    "33-objects-deep": Fault(sends(Message(COMMAND, amf("FCPublish", 1) + nested(40))), "amf_depth is 32"),
    "10000-objects-deep": Fault(sends(Message(COMMAND, amf("FCPublish", 1) + nested(10_000))), "amf_depth is 32"),
    "5000-values": Fault(
        sends(Message(COMMAND, amf("FCPublish", 1, None) + b"\x0a" + struct.pack(">I", 5000) + b"\x05" * 5000)),
        "amf_values is 1024",
    ),
    "amf3": Fault(sends(Message(COMMAND, amf("publish", 1) + b"\x11\x0a\x0b\x01")), "AMF3"),
    "no-command-name": Fault(sends(Message(COMMAND, amf(1, 1))), "malformed command name"),
    "connect-again": Fault(sends(command("connect", 9, {"app": "live"})), "connected: the command connect"),
    "publish-on-no-stream": Fault(sends(publish("x", 99)), "createStream did not make: the command publish"),
    "20-streams": Fault(too_many_streams, "limit exceeded: streams is 8"),
    "aggregate-cut": Fault(sends(Message(22, b"\x09\0\0\xff")), "malformed aggregate"),
    "ping-cut": Fault(sends(Message(USER_CONTROL, b"\0\x06\0")), "malformed PingRequest"),
    "abort-cut": Fault(sends(Message(ABORT, b"\0")), "malformed Abort"),
}
"""What any connection can do wrong, whether it publishes or not."""


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_ends_the_connection(name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault = FAULTS[name]
    options = IDLE if fault.reason.startswith(SILENCE) else PATIENT
    async with besieged(caplog, **options) as siege, await siege.dial() as client:
        await client.connect()
        await end_alone(fault, client)
        await siege.one_warning(client.name, fault.reason)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_a_publisher_ends_its_stream_with_the_reason(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault = FAULTS[name]
    async with besieged(caplog, **(IDLE if fault.reason.startswith(SILENCE) else PATIENT)) as siege:
        client, _ = await siege.publisher()
        async with client:
            await end_alone(fault, client)
        reason = await siege.journal.ended(BAD)
        assert re.search(fault.reason, reason), reason
        assert siege.server.stream(BAD) is None
        # One line for the stream, at INFO, and the warning for the peer.
        lines = await eventually(lambda: siege.lines(reason), what="a line about the end")
        assert len(lines) <= 2, lines


@pytest.mark.parametrize("name", ["type-3-on-a-fresh-chunk-stream", "truncated-chunk-then-silence", "reset"])
async def test_a_fault_of_a_publisher_is_a_warning_that_names_the_peer(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who filters the log by level must see that somebody's stream broke, and whose."""
    async with besieged(caplog, **IDLE) as siege:
        client, _ = await siege.publisher()
        async with client:
            if name == "reset":
                client.reset()
            else:
                await end_alone(FAULTS[name], client)
            reason = await siege.journal.ended(BAD)
            await siege.one_warning(client.name, re.escape(reason))


async def test_a_chunk_cut_by_the_end_of_the_connection_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog, **PATIENT) as siege, await siege.dial() as client:
        await client.connect()
        client.write(chunk_header(100) + bytes(50))
        client.writer.write_eof()
        await client.closed()
        await siege.one_warning(client.name, "mid-message")


@pytest.mark.parametrize("publishing", [False, True])
async def test_a_reset_in_the_middle_of_a_message(publishing: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog, **PATIENT) as siege:
        client = (await siege.publisher())[0] if publishing else await siege.dial()
        async with client:
            if not publishing:
                await client.connect()
            await sends(chunk_header(5000) + bytes(90))(client)
            client.reset()
            if publishing:
                assert "reset" in await siege.journal.ended(BAD, deadline_s=10)
            else:
                await siege.one_warning(client.name, "the connection broke: .*reset")


@pytest.mark.parametrize("publishing", [False, True])
async def test_a_peer_that_has_nothing_more_to_say_is_closed(
    publishing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A half-close: nothing can come any more, and a publisher without input is none."""
    async with besieged(caplog) as siege:
        client = (await siege.publisher())[0] if publishing else await siege.dial()
        async with client:
            if not publishing:
                await client.connect()
            client.writer.write_eof()
            await client.closed(10)
            if publishing:
                await siege.journal.ended(BAD, deadline_s=10)
            assert siege.lines(client.name, "WARNING") == [], "an end in order is no fault"


async def test_a_flood_of_pings_is_answered_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    count = 20_000
    async with besieged(caplog, growth_max_kib=16 << 10) as siege:
        client, _ = await siege.publisher()
        async with client:
            flood = asyncio.create_task(client.send(*map(ping, range(count))))
            answers = 0
            while answers < count:
                message = await client.receive()
                if message.type_id == USER_CONTROL and message.body[:2] == struct.pack(">H", PING_RESPONSE):
                    assert int.from_bytes(message.body[2:]) == answers
                    answers += 1
            await flood
            assert siege.server.stream(BAD), "pings are allowed"


async def test_a_peer_that_does_not_read_our_answers_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """Answers fill the kernel's buffers; then the server waits 10 s for the peer, and no byte of memory more."""
    async with besieged(caplog, growth_max_kib=16 << 10) as siege:
        sock = socket.create_connection(siege.server.rtmp.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader, writer = await asyncio.open_connection(sock=sock)
        async with RtmpClient(reader, writer) as client:
            await client.connect()
            # From here on nothing is read.
            writer.transport.pause_reading()
            flood = asyncio.create_task(stop_when_refused(client, chunks(ping(1)) * 1000))
            await siege.one_warning(client.name, "does not read our answers", deadline_s=60)
            flood.cancel()


async def stop_when_refused(client: RtmpClient, data: bytes) -> None:
    """Send the same for ever."""
    with suppress(ConnectionError):
        while True:
            client.write(data)
            await client.writer.drain()


async def test_media_of_nobody_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Media before a publish, before its acceptance or on a stream that is not there: costs nothing, harms nobody."""
    async with besieged(caplog, growth_max_kib=16 << 10) as siege, await siege.dial() as client:
        await client.connect()
        await client.set_chunk_bytes(65_536)
        await client.send(*media_of(TAGS[:50], 0), *media_of(TAGS[:50], 77))
        stream_id = await client.create_stream()
        await client.send(*media_of(TAGS[:50], stream_id), publish("bad", stream_id), *media_of(TAGS[:2], stream_id))
        assert await client.status() == "NetStream.Publish.Start"
        await client.send(*media_of(TAGS[:50], stream_id))
        pictures = sum(tag.type_id == VIDEO and not tag.is_configuration for tag in TAGS[:50])
        await eventually(
            lambda: siege.server.stream(BAD).stats.video_frames == pictures, what="all of the accepted ones"
        )


CROWDS = {
    "silent": Fault(say_nothing, TIMEOUT),
    "handshake-only": Fault(RtmpClient.shake_hands, TIMEOUT),
    "65000-chunk-streams": FAULTS["65000-chunk-streams"],
    "string-of-1-GiB": FAULTS["string-of-1-GiB"],
    "giants-on-60-chunk-streams": Fault(announce_giants, "message_bytes is 65536"),
    "random": FAULTS["random"],
}


@pytest.mark.parametrize("name", CROWDS)
async def test_fifty_at_once_cost_little_memory(name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault = CROWDS[name]
    handshake_timeout_s = 1.0 if fault.reason == TIMEOUT else 5.0
    async with besieged(caplog, handshake_timeout_s=handshake_timeout_s) as siege, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await siege.dial()) for _ in range(50)]
        before_kib = rss_kib()

        async def attack(client: RtmpClient) -> None:
            if fault.commit not in (say_nothing, RtmpClient.shake_hands):
                await client.connect()
            with suppress(ConnectionError):
                await fault.commit(client)

        await asyncio.gather(*map(attack, clients))
        growth_kib = rss_kib() - before_kib
        await asyncio.gather(*[client.closed() for client in clients])
        assert growth_kib < RSS_GROWTH_MAX_KIB, f"{growth_kib} KiB"
        for client in clients:
            await siege.one_warning(client.name, fault.reason)


async def test_a_thousand_that_say_nothing_are_sent_away_and_cost_little(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog, handshake_timeout_s=5.0, growth_max_kib=96 << 10) as siege, AsyncExitStack() as stack:
        before_kib = rss_kib()
        clients = [await stack.enter_async_context(await siege.dial()) for _ in range(1000)]
        await siege.unharmed()
        growth_kib = rss_kib() - before_kib
        await asyncio.gather(*[client.closed(60) for client in clients])
        # A buffer of 32 KiB each, and as much again of asyncio's for the other end.
        assert growth_kib < 96 << 10, f"{growth_kib} KiB"
        await siege.unharmed()


async def test_a_stranger_cannot_make_the_server_hold_megabytes(caplog: pytest.LogCaptureFixture) -> None:
    """Who may not publish yet has no reason to send messages that are larger than a command.

    With 30 MiB for each of 4096 connections, strangers could make the server hold 120 GiB.
    """
    async with besieged(caplog, growth_max_kib=256 << 10) as siege, AsyncExitStack() as stack:
        before_kib = rss_kib()
        for _ in range(4):
            client = await stack.enter_async_context(await siege.dial())
            await client.connect()
            with suppress(ConnectionError):
                await hold_30_mib(client)
        growth_kib = rss_kib() - before_kib
        assert growth_kib < 16 << 10, f"4 strangers made it hold {growth_kib >> 10} MiB"


async def hold_30_mib(client: RtmpClient) -> None:
    """Two messages of which 15 MiB come and the last byte does not."""
    await client.set_chunk_bytes(15 * MIB)
    for chunk_stream in (10, 11):
        client.write(chunk_header(15 * MIB + 1, chunk_stream=chunk_stream))
        for _ in range(15 * 16):
            client.write(bytes(MIB // 16))
            await client.writer.drain()


async def test_more_connections_than_allowed_are_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog, connections_max=3) as siege, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await siege.dial()) for _ in range(3)]
        for client in clients:
            await client.connect()
        async with await siege.dial() as surplus:
            await surplus.closed(10)
            await siege.one_warning(surplus.name, "turned away: all 3 connections are in use")
        clients[0].reset()

        async def let_in() -> bool:
            async with await siege.dial() as client:
                with suppress(ConnectionError, EOFError):
                    await client.connect()
                    return True
            return False

        await eventually(let_in, deadline_s=20, what="a place is free again")


async def test_viewers_see_nothing_of_all_faults_together(caplog: pytest.LogCaptureFixture) -> None:
    everything = list(FAULTS.values()) + list(STRANGERS.values())
    async with besieged(caplog, growth_max_kib=128 << 10, **IDLE) as siege, AsyncExitStack() as stack:
        viewer = Viewer(siege.server.http.address, "live/demo")
        watching = asyncio.create_task(viewer.watch())
        stack.callback(watching.cancel)

        async def attack(fault: Fault) -> None:
            # On a busy machine the server may find a peer silent that had no time to speak.
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                async with await siege.dial() as client:
                    if fault in FAULTS.values():
                        await client.connect()
                    await end_alone(fault, client)

        await eventually(lambda: viewer.segments >= 1, what="a first segment")
        while viewer.segments < 4:
            await asyncio.gather(*map(attack, everything))
        assert not viewer.gaps, viewer.gaps
        assert viewer.worst_late_s < 4
