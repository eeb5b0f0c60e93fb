"""A server under attack, and the witnesses who see whether anybody else feels it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from conftest import Server, eventually, serving
from load.hls_viewer import fetch
from rtmp_client import Message, RtmpClient, flv_tags, media_of

import arcly
from arcly.server.serve import DEMO_CLIP

HEALTHY = arcly.StreamKey("live", "demo")
BAD = "live/bad"

TAGS = flv_tags(DEMO_CLIP)
FRAME_TICKS = 3600
"""One picture of 25 a second on the 90 kHz clock."""

STALL_MAX_S = 3.0
"""Longest wait for a frame of the healthy stream, beside what this process itself stalls on a busy machine."""

RSS_GROWTH_MAX_KIB = 32 << 10
"""What any attack may add to the memory of the whole process, the attackers included."""


def rss_kib() -> int:
    """Memory of this process, in which both the server and the attackers live."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


async def cancelled(*tasks: asyncio.Task[None]) -> None:
    """End tasks."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Watch:
    """Reads a stream all the time. Every picture must follow the one before by one frame duration."""

    def __init__(self, stream: arcly.StreamHandle) -> None:
        self.pictures = 0
        self.faults: list[str] = []
        self._lag_s = 0.0
        self._subscription = stream.subscribe()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._measure_lag())]

    async def _measure_lag(self) -> None:
        """How late this process itself is: what a whole machine does late is no fault of the server."""
        while True:
            asleep_s = time.monotonic()
            await asyncio.sleep(0.02)
            self._lag_s = max(self._lag_s, time.monotonic() - asleep_s)

    async def _read(self) -> None:
        last_dts, last_s = None, time.monotonic()
        async for frame in self._subscription:
            if frame.is_discontinuity:
                self.faults.append(f"a discontinuity after {self.pictures} pictures")
            if frame.kind != "video":
                continue
            if last_dts is not None and frame.dts - last_dts != FRAME_TICKS:
                self.faults.append(f"a step of {frame.dts - last_dts} ticks after {self.pictures} pictures")
            if time.monotonic() - last_s > STALL_MAX_S + 3 * self._lag_s:
                self.faults.append(f"no picture for {time.monotonic() - last_s:.1f} s")
            self.pictures += 1
            last_dts, last_s = frame.dts, time.monotonic()
        self.faults.append("the stream ended")

    async def goes_on(self, pictures: int = 8) -> None:
        """Some more pictures come, and nothing was ever wrong with any."""
        goal = self.pictures + pictures
        await eventually(lambda: self.pictures >= goal or self.faults, what="the healthy stream goes on")
        assert not self.faults, self.faults

    async def close(self) -> None:
        """Stop reading."""
        await cancelled(*self._tasks)
        self._subscription.close()


class Journal:
    """All events of an engine, with the time at which they were read."""

    def __init__(self, engine: arcly.Engine) -> None:
        self.seen: list[tuple[float, arcly.StreamEvent]] = []
        self._events = engine.events()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self._events:
            self.seen.append((time.monotonic(), event))

    def of(self, name: str, kind: arcly.StreamEventKind) -> list[tuple[float, arcly.StreamEvent]]:
        """The events of that kind on the stream `name`."""
        key = arcly.StreamKey.parse(name)
        return [(at, event) for at, event in self.seen if (event.key, event.kind) == (key, kind)]

    def ends(self, name: str) -> list[str]:
        """The reasons with which publishes of `name` have ended so far."""
        return [event.reason or "" for _, event in self.of(name, arcly.StreamEventKind.PUBLISH_ENDED)]

    async def ended(self, name: str, times: int = 1, deadline_s: float = 60) -> str:
        """Wait until `name` has ended so often; returns the last reason."""
        await eventually(lambda: len(self.ends(name)) >= times, deadline_s=deadline_s, what=f"{name} ends")
        assert len(self.ends(name)) == times
        return self.ends(name)[-1]

    async def close(self) -> None:
        """Stop reading."""
        await cancelled(self._task)
        await self._events.aclose()  # type: ignore[attr-defined]


class Siege:
    """The server, a healthy stream on it, and who watches both."""

    def __init__(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        self.server = server
        self.engine = server.engine
        self.watch = Watch(self.engine.get_stream(HEALTHY))
        self.journal = Journal(server.engine)
        self._caplog = caplog
        self._warned: list[str] = []

    async def dial(self, **options: object) -> RtmpClient:
        """A new connection to the RTMP port."""
        return await RtmpClient.dial(self.server.rtmp.address, **options)

    async def publisher(self, name: str = BAD, tags: Iterable[Message] = TAGS[:20]) -> tuple[RtmpClient, int]:
        """A connection that publishes, and has sent `tags`."""
        client = await self.dial()
        await client.connect(name.rpartition("/")[0])
        stream_id = await client.publish(name.rpartition("/")[2])
        await client.set_chunk_bytes(65_536)
        await client.send(*media_of(list(tags), stream_id))
        await eventually(lambda: self.server.stream(name).stats.video_frames, what="frames of the publisher")
        return client, stream_id

    def lines(self, about: str, level: str = "") -> list[str]:
        """What the log says about a peer or a stream, at one level or at all."""
        records = [record for record in self._caplog.records if level in ("", record.levelname)]
        pattern = re.compile(rf"(?<!\S){re.escape(about)}(?!\w)")
        return [record.getMessage() for record in records if pattern.search(record.getMessage())]

    async def one_warning(self, peer: str, reason: str, deadline_s: float = 60) -> str:
        """Exactly one line names the peer and the reason, and a terminal can print it."""
        await eventually(lambda: self.lines(peer, "WARNING"), deadline_s=deadline_s, what=f"a warning about {peer}")
        lines = self.lines(peer, "WARNING")
        assert len(lines) == 1, lines
        assert re.search(reason, lines[0]), lines
        assert lines[0].isprintable(), lines
        print(lines[0])
        self._warned.append(peer)
        return lines[0]

    def nothing_was_said_twice(self) -> None:
        """Who was warned about once was not warned about again since."""
        for peer in self._warned:
            lines = self.lines(peer, "WARNING")
            assert len(lines) == 1, lines

    async def unharmed(self) -> None:
        """The healthy stream goes on, new publishers are let in, and HTTP is answered."""
        status, _ = await fetch(self.server.http.address, "/nothing/here", deadline_s=30)
        assert status == 404
        await self.watch.goes_on()


@asynccontextmanager
async def besieged(
    caplog: pytest.LogCaptureFixture,
    *,
    authenticator: arcly.StreamAuthenticator | None = None,
    growth_max_kib: int = RSS_GROWTH_MAX_KIB,
    packager: arcly.HlsPackager | None = None,
    **options: float,
) -> AsyncIterator[Siege]:
    """A server whose healthy stream is checked before and after, and whose memory must not grow much."""
    rtmp = arcly.RtmpHandler("127.0.0.1:0", **options)  # type: ignore[arg-type]
    async with serving(rtmp, packager, authenticator=authenticator) as server:
        source = arcly.FileSource(DEMO_CLIP, HEALTHY)
        await source.start(server.engine)
        siege = Siege(server, caplog)
        try:
            await siege.unharmed()
            before_kib = rss_kib()
            yield siege
            await siege.unharmed()
            siege.nothing_was_said_twice()
            growth_kib = rss_kib() - before_kib
            assert growth_kib < growth_max_kib, f"memory grew by {growth_kib} KiB"
        finally:
            await siege.watch.close()
            await siege.journal.close()
            await source.stop()
