"""A small RTMP publisher that says what it is told to say, right or wrong."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any

SET_CHUNK_SIZE, ABORT, USER_CONTROL, AUDIO, VIDEO, SCRIPT, COMMAND = 1, 2, 4, 8, 9, 18, 20
"""Message type ids (RTMP §5.4, §7.1)."""

PING_REQUEST, PING_RESPONSE = 6, 7
"""User control events (RTMP §7.1.7)."""

HANDSHAKE_PART_BYTES = 1536
"""Length of C1, C2, S1 and S2 (RTMP §5.2.3)."""

EXTENDED = 0xFF_FFFF
"""In the 24-bit timestamp field: the value follows in 32 bits (RTMP §5.3.1.3)."""


@dataclass(frozen=True)
class Message:
    """An RTMP message; with type 8, 9 or 18 also a tag of FLV."""

    type_id: int
    body: bytes
    timestamp_ms: int = 0
    stream_id: int = 0

    @property
    def is_key_frame(self) -> bool:
        """Whether it holds an AVC picture that claims to be a key frame (FLV §E.4.3)."""
        return self.type_id == VIDEO and self.body[:2] == b"\x17\x01"

    @property
    def is_configuration(self) -> bool:
        """Whether it is a sequence header of AVC or AAC."""
        return self.type_id in (AUDIO, VIDEO) and self.body[1:2] == b"\x00"


def chunks(message: Message, *, chunk_bytes: int = 128, chunk_stream: int = 3) -> bytes:
    """Cut a message into chunks: a header of type 0, then of type 3 (RTMP §5.3.1)."""
    timestamp_ms = message.timestamp_ms & 0xFFFF_FFFF
    extension = struct.pack(">I", timestamp_ms) if timestamp_ms >= EXTENDED else b""
    field = struct.pack(">I", min(timestamp_ms, EXTENDED))[1:]
    head = field + struct.pack(">I", len(message.body))[1:] + bytes([message.type_id])
    out = [basic_header(0, chunk_stream), head, struct.pack("<I", message.stream_id), extension]
    for start in range(0, len(message.body), chunk_bytes):
        if start:
            out += [basic_header(3, chunk_stream), extension]
        out.append(message.body[start : start + chunk_bytes])
    return b"".join(out)


def basic_header(kind: int, chunk_stream: int) -> bytes:
    """The chunk stream id in 6, 8 or 16 bits (RTMP §5.3.1.1)."""
    if chunk_stream < 64:
        return bytes([kind << 6 | chunk_stream])
    if chunk_stream < 320:
        return bytes([kind << 6, chunk_stream - 64])
    return bytes([kind << 6 | 1]) + struct.pack("<H", chunk_stream - 64)


def amf(*values: Any) -> bytes:
    """AMF0 (§2): numbers, booleans, text or bytes as strings, dictionaries as objects, None."""
    return b"".join(map(_amf, values))


def _amf(value: Any) -> bytes:
    match value:
        case None:
            return b"\x05"
        case bool():
            return bytes([1, value])
        case int() | float():
            return struct.pack(">Bd", 0, value)
        case str() | bytes():
            return b"\x02" + _text(value)
        case dict():
            return b"\x03" + b"".join(_text(k) + _amf(v) for k, v in value.items()) + b"\0\0\x09"
    raise TypeError(value)


def _text(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


def amf_values(data: bytes) -> list[Any]:
    """Read what a server answers with."""
    values, at = [], 0
    while at < len(data):
        value, at = _read_amf(data, at)
        values.append(value)
    return values


def _read_amf(data: bytes, at: int) -> tuple[Any, int]:
    marker, at = data[at], at + 1
    if marker in (5, 6):
        return None, at
    if marker == 0:
        return struct.unpack_from(">d", data, at)[0], at + 8
    if marker == 1:
        return bool(data[at]), at + 1
    if marker == 2:
        return _read_text(data, at)
    if marker == 10:
        count, at = struct.unpack_from(">I", data, at)[0], at + 4
        values = []
        for _ in range(count):
            value, at = _read_amf(data, at)
            values.append(value)
        return values, at
    assert marker == 3, f"AMF0 marker {marker}"
    members = {}
    while data[at : at + 3] != b"\0\0\x09":
        name, at = _read_text(data, at)
        members[name], at = _read_amf(data, at)
    return members, at + 3


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + struct.unpack_from(">H", data, at)[0]
    return data[at + 2 : end].decode(), end


def command(name: str, transaction: int, *arguments: Any, stream_id: int = 0) -> Message:
    """A command message (RTMP §7.1.1)."""
    return Message(COMMAND, amf(name, transaction, *arguments), stream_id=stream_id)


def ping(timestamp: int) -> Message:
    """A PingRequest (RTMP §7.1.7)."""
    return Message(USER_CONTROL, struct.pack(">HI", PING_REQUEST, timestamp))


class RtmpClient:
    """One connection. What it sends goes out as soon as the socket takes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.chunk_bytes = 128
        self.statuses: list[dict[str, Any]] = []
        """The information objects of every onStatus so far."""
        self._their_chunk_bytes = 128
        self._transaction = 0
        self._unfinished: dict[int, tuple[bytes, bytearray]] = {}

    @classmethod
    async def dial(cls, address: tuple[str, int], **options: Any) -> RtmpClient:
        """Connect over TCP and say nothing."""
        return cls(*await asyncio.open_connection(*address, **options))

    @property
    def name(self) -> str:
        """This end as the server sees it: `127.0.0.1:51234`."""
        host, port = self.writer.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def send(self, *messages: Message, chunk_stream: int = 3) -> None:
        """Send messages, as fast as the server takes them."""
        for message in messages:
            self.write(chunks(message, chunk_bytes=self.chunk_bytes, chunk_stream=chunk_stream))
            await self.writer.drain()

    async def set_chunk_bytes(self, count: int) -> None:
        """Announce a chunk size, and use it."""
        await self.send(Message(SET_CHUNK_SIZE, struct.pack(">I", count)), chunk_stream=2)
        self.chunk_bytes = count

    async def shake_hands(self) -> None:
        """The simple handshake (RTMP §5.2)."""
        self.write(b"\x03" + bytes(HANDSHAKE_PART_BYTES))
        answer = await self.reader.readexactly(1 + 2 * HANDSHAKE_PART_BYTES)
        assert answer[0] == 3
        self.write(answer[1 : 1 + HANDSHAKE_PART_BYTES])

    async def connect(self, app: str = "live", **more: Any) -> None:
        """Handshake, and `connect` to an application, with what more is to be said there."""
        await self.shake_hands()
        await self.call("connect", {"app": app, "flashVer": "FMLE/3.0 (test)", "tcUrl": f"rtmp://test/{app}", **more})

    async def call(self, name: str, *arguments: Any) -> list[Any]:
        """Send a command and wait for its `_result`; returns what stands behind the transaction number."""
        self._transaction += 1
        await self.send(command(name, self._transaction, *arguments))
        while True:
            message = await self.receive()
            if message.type_id == COMMAND:
                kind, transaction, *values = amf_values(message.body)
                if (kind, transaction) == ("_result", self._transaction):
                    return values

    async def create_stream(self) -> int:
        """Make a message stream; returns its id."""
        return int((await self.call("createStream", None))[-1])

    async def publish(self, name: str | bytes, stream_id: int | None = None) -> int:
        """Publish on a message stream, by default a new one; fails when the server refuses. Returns the stream's id."""
        stream_id = stream_id or await self.create_stream()
        await self.send(publish(name, stream_id))
        assert await self.status() == "NetStream.Publish.Start", self.statuses[-1]
        return stream_id

    async def settled(self) -> None:
        """Wait until the server has handled all that was sent: it answers a ping in its turn."""
        await self.send(ping(0))
        while (message := await self.receive()).type_id != USER_CONTROL or message.body[:2] != b"\0\7":
            pass

    async def status(self) -> str:
        """Wait for the next onStatus; returns its code."""
        known = len(self.statuses)
        while len(self.statuses) == known:
            await self.receive()
        return str(self.statuses[known]["code"])

    async def receive(self) -> Message:
        """Wait for the next whole message. Reads what a server writes: headers of type 0 and 3, times below 2^24."""
        while True:
            first = (await self.reader.readexactly(1))[0]
            kind, chunk_stream = first >> 6, first & 0x3F
            assert kind in (0, 3), f"chunk header of type {kind}"
            if kind == 0:
                self._unfinished[chunk_stream] = (await self.reader.readexactly(11), bytearray())
            head, body = self._unfinished[chunk_stream]
            length = int.from_bytes(head[3:6])
            body += await self.reader.readexactly(min(self._their_chunk_bytes, length - len(body)))
            if len(body) == length:
                time_ms, stream_id = int.from_bytes(head[:3]), int.from_bytes(head[7:], "little")
                return self._note(Message(head[6], bytes(body), time_ms, stream_id))

    async def picture(self) -> Message:
        """Wait for the next picture."""
        while True:
            message = await self.receive()
            if message.type_id == VIDEO and not message.is_configuration:
                return message

    async def play(self, name: str, stream_id: int | None = None) -> int:
        """Play on a message stream, by default a new one; fails when the server refuses. Returns the stream's id."""
        stream_id = stream_id or await self.create_stream()
        await self.send(command("play", 0, None, name, stream_id=stream_id))
        assert await self.status() == "NetStream.Play.Reset", self.statuses[-1]
        assert await self.status() == "NetStream.Play.Start", self.statuses[-1]
        return stream_id

    def _note(self, message: Message) -> Message:
        if message.type_id == SET_CHUNK_SIZE:
            self._their_chunk_bytes = int.from_bytes(message.body)
        if message.type_id == COMMAND and (values := amf_values(message.body))[0] == "onStatus":
            self.statuses.append(values[-1])
        return message

    async def closed(self, deadline_s: float = 60) -> None:
        """Wait for the server to end the connection, in whatever way."""
        async with asyncio.timeout(deadline_s):
            with suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass

    def reset(self) -> None:
        """Vanish by RST, without a word."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def __aenter__(self) -> RtmpClient:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def publish(name: str | bytes, stream_id: int) -> Message:
    """The command `publish` (RTMP §7.2.2.6)."""
    return command("publish", 0, None, name, "live", stream_id=stream_id)


def flv_tags(path: Path) -> list[Message]:
    """All tags of an FLV file (FLV §E.3)."""
    data, tags = path.read_bytes(), []
    at = int.from_bytes(data[5:9]) + 4
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        timestamp_ms = int.from_bytes(data[at + 7 : at + 8] + data[at + 4 : at + 7])
        tags.append(Message(data[at], data[at + 11 : at + 11 + length], timestamp_ms))
        at += 11 + length + 4
    return tags


def media_of(tags: list[Message], stream_id: int, *, start_ms: int = 0) -> list[Message]:
    """The tags as messages of a stream, their times moved."""
    return [replace(tag, stream_id=stream_id, timestamp_ms=tag.timestamp_ms + start_ms) for tag in tags]


def repeated(tags: list[Message], period_ms: int) -> Iterator[Message]:
    """The tags again and again, every `period_ms`: times go on, and what is only said once is said once."""
    frames = [tag for tag in tags if tag.type_id in (AUDIO, VIDEO) and not tag.is_configuration]
    yield from (tag for tag in tags if tag.type_id == SCRIPT or tag.is_configuration)
    start_ms = 0
    while True:
        yield from (replace(tag, timestamp_ms=tag.timestamp_ms + start_ms) for tag in frames)
        start_ms += period_ms
