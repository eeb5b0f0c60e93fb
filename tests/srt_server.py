"""A running engine with SRT, and FFmpeg publishing to it and playing from it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from conftest import Process, eventually, run, running

import arcly

SECRET = "a long passphrase"


def url(port: int, stream_id: str, **parameters: object) -> str:
    """What a caller dials, or a listener listens at, on this machine."""
    pairs = {"streamid": stream_id, **parameters}
    return f"srt://127.0.0.1:{port}?" + "&".join(f"{key}={value}" for key, value in pairs.items())


@dataclass
class Srt:
    """An engine with nothing but SRT."""

    engine: arcly.Engine
    handler: arcly.SrtHandler
    port: int

    def url(self, stream_id: str, **parameters: object) -> str:
        """What a caller dials."""
        return url(self.port, stream_id, **parameters)

    def at(self, port: int) -> Srt:
        """The same, dialled at another port."""
        return replace(self, port=port)

    def stream(self, name: str) -> arcly.StreamHandle | None:
        """The stream `name`, if it is being published."""
        return self.engine.get_stream(arcly.StreamKey.parse(name))


@asynccontextmanager
async def serving(handler: arcly.SrtHandler | None = None, **options: object) -> AsyncIterator[Srt]:
    """Run it on a free port."""
    handler = handler or arcly.SrtHandler("127.0.0.1:0")
    async with arcly.Engine(handler, **options) as engine:  # type: ignore[arg-type]
        assert handler.address is not None
        yield Srt(engine, handler, handler.address[1])


@asynccontextmanager
async def live(
    srt: Srt, ffmpeg: str, source: Path, stream_id: str = "publish:live/cam", **parameters: object
) -> AsyncIterator[None]:
    """A stream `live/cam` that repeats `source` for ever."""
    publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "mpegts"]
    async with running(*publish, srt.url(stream_id, pkt_size=1316, **parameters)):
        await eventually(lambda: (stream := srt.stream("live/cam")) and stream.tracks, what="it is published")
        yield


async def play(ffmpeg: str, url: str, seconds: float = 3) -> Process:
    """The pictures and sounds that a player gets, as framemd5."""
    return await run(ffmpeg, "-v", "error", "-i", url, "-t", str(seconds), "-c", "copy", "-f", "framemd5", "-")


def times(read: Process, stream: int = 0) -> list[int]:
    """Decoding times of one stream, in its clock."""
    rows = [line.split(",") for line in read.stdout.decode().splitlines() if not line.startswith("#")]
    return [int(row[1]) for row in rows if row[0] == str(stream)]


def is_whole(read: Process, seconds: float = 3) -> bool:
    """Whether 25 pictures a second came, without a hole."""
    dts = times(read)
    return len(dts) >= 25 * seconds - 5 and {b - a for a, b in itertools.pairwise(dts)} == {3600}
