"""An HLS player without a screen: follows a live playlist, and notes every gap that a viewer would have seen."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urljoin

Address = tuple[str, int]

TS_PACKET_BYTES = 188
CLOCK_HZ = 90_000
TIMESTAMP_RANGE = 1 << 33
"""Times of a transport stream have 33 bits (H.222.0 §2.4.3.7)."""


class Http:
    """One HTTP/1.1 connection that is kept."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, deadline_s: float = 20) -> tuple[int, bytes]:
        """Fetch `path`: the status and the body."""
        async with asyncio.timeout(deadline_s):
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            length = next(int(text.split(":")[1]) for text in fields if text.startswith("content-length:"))
            return int(status.split()[1]), await reader.readexactly(length)

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            with suppress(ConnectionError):
                await self._streams[1].wait_closed()
            self._streams = None


async def fetch(address: Address, path: str, deadline_s: float = 20) -> tuple[int, str]:
    """Fetch one file of text over a connection of its own."""
    http = Http(address)
    try:
        status, body = await http.get(path, deadline_s)
        return status, body.decode()
    finally:
        await http.close()


@dataclass(frozen=True)
class Entry:
    """A segment in a playlist."""

    sequence: int
    uri: str
    seconds: float
    discontinuity: bool


@dataclass
class Playlist:
    """A media playlist (RFC 8216 §4.3.3)."""

    target_s: int = 0
    ended: bool = False
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Playlist:
        """Read the tags that matter here."""
        found, sequence, seconds, discontinuity = cls(), 0, 0.0, False
        for line in text.splitlines():
            tag, _, value = line.partition(":")
            match tag:
                case "#EXT-X-TARGETDURATION":
                    found.target_s = int(value)
                case "#EXT-X-MEDIA-SEQUENCE":
                    sequence = int(value)
                case "#EXT-X-DISCONTINUITY":
                    discontinuity = True
                case "#EXTINF":
                    seconds = float(value.split(",")[0])
                case "#EXT-X-ENDLIST":
                    found.ended = True
                case _ if line and not line.startswith("#"):
                    found.entries.append(Entry(sequence, line, seconds, discontinuity))
                    sequence, discontinuity = sequence + 1, False
        return found


def video_times(segment: bytes) -> list[int]:
    """The decoding times of all pictures in a transport stream, in order (H.222.0 §2.4.3).

    Raises:
        ValueError: it is no transport stream.
    """
    count, rest = divmod(len(segment), TS_PACKET_BYTES)
    if rest or not count or segment[::TS_PACKET_BYTES] != b"\x47" * count:
        raise ValueError("no transport stream: a sync byte is missing")
    times = []
    for number, flags in enumerate(segment[1::TS_PACKET_BYTES]):
        if flags & 0x40:  # payload_unit_start_indicator
            packet = segment[number * TS_PACKET_BYTES : (number + 1) * TS_PACKET_BYTES]
            begin = 4 + (packet[4] + 1 if packet[3] & 0x20 else 0)  # behind the adaptation field
            if packet[begin : begin + 3] == b"\0\0\1" and packet[begin + 3] & 0xF0 == 0xE0:
                times.append(_decoding_time(packet[begin:]))
    return times


def _decoding_time(pes: bytes) -> int:
    at = 14 if pes[7] & 0x40 else 9  # DTS, or the PTS where they are the same
    a, b, c, d, e = pes[at : at + 5]
    return (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1


@dataclass
class Viewer:
    """Watches one stream from its newest segments on."""

    address: Address
    name: str
    frame_s: float = 0.04
    segments: int = 0
    frames: int = 0
    bytes: int = 0
    worst_late_s: float = 0.0
    """How far the worst segment was behind the time at which the stream's own clock would have had it."""
    gaps: list[str] = field(default_factory=list)
    ended: bool = False
    _sequence: int | None = None
    _last_dts: int | None = None
    _target_s: int = 0
    _due_s: float = 0.0
    """When the stream's own clock had the newest segment ready."""

    async def watch(self) -> None:
        """Play until the stream ends or the task is cancelled."""
        http = Http(self.address)
        try:
            await self._watch(http)
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            self.gaps.append(f"playback broke: {error!r}")
        finally:
            await http.close()

    async def _watch(self, http: Http) -> None:
        path = await self._media_path(http)
        while not self.ended:
            asked_s = time.monotonic()
            status, body = await http.get(path)
            if status != 200:
                self.gaps.append(f"the playlist is gone: {status}")
                return
            playlist = Playlist.parse(body.decode())
            fresh = [entry for entry in playlist.entries if self._sequence is None or entry.sequence > self._sequence]
            for entry in fresh:
                await self._play(http, urljoin(path, entry.uri), entry, playlist)
            self.ended = playlist.ended
            # A target duration after the last time, half of one when nothing was new (RFC 8216 §6.3.4).
            wait_s = playlist.target_s * (1 if fresh else 0.5)
            await asyncio.sleep(max(0.0, asked_s + wait_s - time.monotonic()))

    async def _media_path(self, http: Http) -> str:
        """Where the only variant of the stream is; waits for a stream that is not there yet."""
        path = f"/{self.name}/ts.m3u8"
        while True:
            status, body = await http.get(path)
            if status == 200:
                return urljoin(path, body.decode().split()[-1])
            await asyncio.sleep(0.2)

    async def _play(self, http: Http, path: str, entry: Entry, playlist: Playlist) -> None:
        joined = self._sequence is not None
        if joined and entry.sequence != self._sequence + 1:
            self.gaps.append(f"segments {self._sequence + 1} to {entry.sequence - 1} are missing")
        if joined and entry.discontinuity:
            self.gaps.append(f"segment {entry.sequence} is a discontinuity")
        self._sequence = entry.sequence
        status, segment = await http.get(path)
        if status != 200:
            self.gaps.append(f"segment {entry.sequence}: {status}")
            return
        self.segments += 1
        self.bytes += len(segment)
        self._check_times(entry.sequence, video_times(segment))
        self._check_lateness(entry, playlist)

    def _check_times(self, sequence: int, times: list[int]) -> None:
        before = [] if self._last_dts is None else [self._last_dts]
        for last, now in pairwise(before + times):
            frames = (now - last) % TIMESTAMP_RANGE / CLOCK_HZ / self.frame_s
            if not 0 < frames <= 1.5:
                self.gaps.append(f"segment {sequence}: {frames:.2f} frame durations between two pictures")
        self.frames += len(times)
        self._last_dts = times[-1] if times else self._last_dts

    def _check_lateness(self, entry: Entry, playlist: Playlist) -> None:
        now_s = time.monotonic()
        self._target_s = playlist.target_s
        if self._due_s:
            self._due_s += entry.seconds
            self._note_lateness(now_s - self._due_s, f"segment {entry.sequence}")
            # One that came earlier than it should: the ones before had been late, and are no measure.
            self._due_s = min(self._due_s, now_s)
        elif entry.sequence == playlist.entries[-1].sequence:
            self._due_s = now_s

    def _note_lateness(self, late_s: float, what: str) -> None:
        self.worst_late_s = max(self.worst_late_s, late_s)
        if late_s > 3 * self._target_s:
            self.gaps.append(f"{what} came {late_s:.1f} s late")

    def check_end(self) -> None:
        """Say at the end of a live stream that it is the end: what should have come by now is late, too."""
        if self._due_s:
            self._note_lateness(time.monotonic() - self._due_s - self._target_s, "the segment that is due")
