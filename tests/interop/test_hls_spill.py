"""A window longer than its memory: segments on a disk or in a storage are served like others, and one that fails or
hangs costs the far end of the window and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conformance.playlist import Playlist, parse
from conformance.rules import faults
from conftest import Server, eventually, serving
from interop.test_hls_codecs import fetch

import arcly
from arcly.storage import FileStorage, MemoryStorage

KEY = arcly.StreamKey("live", "cam")
AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))

FRAMES_A_SECOND = 47
FRAME_BYTES = 500
WINDOW_S = 40
MEMORY_S = 12
"""Six target durations of two seconds: less is never in memory."""
AT_MOST_S = 2 * MEMORY_S + 10

pytestmark = pytest.mark.timeout(180)


class Stream:
    """Sound that is published as fast as it is packaged: its seconds are those of the media."""

    def __init__(self, server: Server, session: arcly.PublishSession, root: Path) -> None:
        self.server, self.session, self.root = server, session, root
        self.frames = 0

    async def go_on(self, seconds: int, stored: bool = True) -> None:
        """Publish so much more; wait for the disk with each second, if it is to keep up."""
        for _ in range(seconds):
            for number in range(self.frames, self.frames + FRAMES_A_SECOND):
                payload = number.to_bytes(4, "big") * (FRAME_BYTES // 4)
                self.session.publish(payload, track=1, pts=number * 1024, duration=1024)
            self.frames += FRAMES_A_SECOND
            made = self.frames // FRAMES_A_SECOND - 3
            if made > 1:
                await eventually(lambda made=made: self.has(made), deadline_s=60, what=f"segment {made}")
            if stored and made > MEMORY_S + 3:
                await eventually(lambda made=made: self.on_disk(made - MEMORY_S - 3), deadline_s=60, what="the disk")

    async def has(self, number: int) -> bool:
        """Whether a segment is listed, or was."""
        return (await self.playlist()).next_sequence > number

    async def playlist(self) -> Playlist:
        """The media playlist now."""
        return parse((await fetch(self.server, "a1.m3u8")).decode())

    def files(self) -> list[Path]:
        """What is on the disk."""
        return [path for path in self.root.rglob("*.m4s") if path.is_file()]

    def on_disk(self, number: int) -> bool:
        """Whether a segment is there, whole."""
        found = [path for path in self.files() if path.name.endswith(f"-a1-{number}.m4s")]
        return bool(found) and found[0].stat().st_size > FRAME_BYTES * FRAMES_A_SECOND // 2

    def directory(self) -> Path:
        """The directory of this stream."""
        return self.files()[0].parent


@asynccontextmanager
async def streaming(root: Path) -> AsyncIterator[Stream]:
    """A stream of which twelve seconds are in memory and forty can be seen."""
    packager = arcly.HlsPackager(window_s=WINDOW_S, spill=root, memory_s=0, ts=False)
    async with serving(packager=packager) as server:
        session = await server.engine.start_publish(KEY)
        session.set_tracks([AUDIO])
        stream = Stream(server, session, root)
        await eventually(lambda: server.http.hls_path(KEY))
        await stream.go_on(3)
        yield stream
        session.end()


async def check(stream: Stream) -> None:
    """Every listed segment can be fetched, and has the frames that it should have."""
    playlist = await stream.playlist()
    assert faults(playlist) == []
    numbers = []
    for segment in playlist.segments:
        data = await fetch(stream.server, segment.uri)
        numbers += [int.from_bytes(found[:4], "big") for found in frames_of(data)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "frames are missing"


def frames_of(segment: bytes) -> list[bytes]:
    """The frames of a segment: four bytes that are repeated."""
    return re.findall(rb"(?s)(\x00.{3})\1{%d}" % (FRAME_BYTES // 4 - 1), segment)


async def test_segments_on_the_disk_are_served_like_others(tmp_path: Path) -> None:
    left = tmp_path / "arcly-hls-0-0" / "x"
    left.mkdir(parents=True)
    async with streaming(tmp_path) as stream:
        assert not left.exists(), "what an earlier server has left"
        await stream.go_on(WINDOW_S + 10)
        playlist = await stream.playlist()
        assert WINDOW_S <= playlist.seconds < WINDOW_S + 4
        assert len(stream.files()) >= len(playlist.segments) - MEMORY_S - 4
        await check(stream)
        assert b"timeShiftBufferDepth" in await fetch(stream.server, "manifest.mpd")
        before = len(stream.files())
        await stream.go_on(20)
        assert len(stream.files()) <= before + 4, "files of what has left the window are removed"
        assert stream.server.http.spill_failures(KEY) == 0
    del stream
    gc.collect()  # the origin, which shows an ended stream for a minute
    await eventually(lambda: not files(tmp_path, ".m4s"), deadline_s=60, what="the directory is empty")


async def test_a_disk_that_fails_shortens_the_window_and_is_tried_again(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        events = stream.server.engine.events()
        await stream.go_on(30)
        directory = stream.directory()
        while not directory.is_file():
            # It may be made again in between.
            shutil.rmtree(directory, ignore_errors=True)
            with contextlib.suppress(IsADirectoryError):
                directory.write_text("no directory")
        await stream.go_on(AT_MOST_S + 10, stored=False)
        playlist = await stream.playlist()
        assert MEMORY_S <= playlist.seconds <= AT_MOST_S + 3
        await check(stream)
        assert stream.server.http.spill_failures(KEY) > 0
        async with asyncio.timeout(60):
            failed = await anext(event async for event in events if event.kind is arcly.StreamEventKind.FAILED)
        assert "cannot be moved to the disk" in failed.reason
        directory.unlink()
        await stream.go_on(WINDOW_S, stored=False)
        await stream.go_on(10)
        assert (await stream.playlist()).seconds >= WINDOW_S
        await check(stream)


async def test_a_disk_that_hangs_does_not_touch_the_live_end(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        await stream.go_on(25)
        next_number = 1 + max(int(re.search(r"-a1-(\d+)\.m4s", path.name)[1]) for path in stream.files())
        name = re.sub(r"-\d+\.m4s$", f"-{next_number + 3}.m4s", stream.files()[0].name)
        fifo = stream.directory() / name
        os.mkfifo(fifo)  # who opens it for writing waits for a reader
        await stream.go_on(AT_MOST_S + 10, stored=False)
        playlist = await stream.playlist()
        assert MEMORY_S <= playlist.seconds <= AT_MOST_S + 3
        await check(stream)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        await stream.go_on(WINDOW_S, stored=False)
        os.close(reader)
        await check(stream)


class Storage(MemoryStorage):
    """Can be told to fail or to hang."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.failure: Exception | None = None

    async def put(self, key: str, data: bytes) -> None:
        """Keep it, if it is to."""
        await self.may_go_on.wait()
        if self.failure is not None:
            raise self.failure
        await super().put(key, data)


async def sound(session: arcly.PublishSession, seconds: range) -> None:
    """Publish these seconds of sound."""
    for number in range(seconds.start * FRAMES_A_SECOND, seconds.stop * FRAMES_A_SECOND):
        payload = number.to_bytes(4, "big") * (FRAME_BYTES // 4)
        session.publish(payload, track=1, pts=number * 1024, duration=1024)
        if number % FRAMES_A_SECOND == 0:
            await asyncio.sleep(0.01)  # the packager keeps up, and the storage


async def ts_playlist(server: Server) -> list[str]:
    """The segments of MPEG-TS that are listed."""
    text = (await fetch(server, "media.m3u8")).decode()
    return [line for line in text.splitlines() if line.endswith(".ts")]


def files(folder: Path, ending: str) -> list[str]:
    """Names below a folder, of which some vanish meanwhile: that is what `Path.rglob` fails at."""
    return [name for _, _, names in os.walk(folder) for name in names if name.endswith(ending)]


@pytest.mark.parametrize("kind", ["directory", "files", "memory"])
async def test_mpegts_goes_to_a_directory_or_a_storage_too(tmp_path: Path, kind: str) -> None:
    storage = MemoryStorage() if kind == "memory" else FileStorage(tmp_path, fsync=False)
    await storage.put("arcly-hls-0-0/x/y.ts", b"what an earlier server has left")
    await storage.put("other/thing", b"somebody else's")
    spill = tmp_path if kind == "directory" else storage

    async def stored() -> list[str]:
        return [key for key in await storage.keys() if key.endswith(".ts")]

    packager = arcly.HlsPackager(window_s=WINDOW_S, spill=spill, memory_s=0, cmaf=False)
    async with serving(packager=packager) as server:
        session = await server.engine.start_publish(KEY)
        session.set_tracks([AUDIO])
        await eventually(lambda at=server: at.http.hls_path(KEY))
        end = 0
        async with asyncio.timeout(90):
            while len(await ts_playlist(server) if end > 6 else ()) < WINDOW_S // 2 or len(await stored()) < 12:
                await sound(session, range(end, end + 4))
                end += 4
        for name in await ts_playlist(server):
            assert (await fetch(server, name)).startswith(b"G"), name
        assert server.http.spill_failures(KEY) == 0
        assert "arcly-hls-0-0/x/y.ts" not in await storage.keys()
        session.end()
    del server, packager, session
    gc.collect()  # the origin, which shows an ended stream for a minute
    if kind == "directory":
        await eventually(lambda: not files(tmp_path, ".ts"), deadline_s=60, what="the directory is empty")
    assert "other/thing" in await storage.keys()


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_a_storage_that_does_not_work_does_not_touch_the_live_end(fault: str) -> None:
    storage = Storage()
    if fault == "fails":
        storage.failure = OSError("the bucket is gone")
    else:
        storage.may_go_on.clear()
    packager = arcly.HlsPackager(window_s=WINDOW_S, spill=storage, memory_s=0, ts=False)
    async with serving(packager=packager) as server:
        session = await server.engine.start_publish(KEY)
        session.set_tracks([AUDIO])
        stream = Stream(server, session, Path("/nowhere"))
        await eventually(lambda: server.http.hls_path(KEY))
        await stream.go_on(AT_MOST_S + 15, stored=False)
        assert MEMORY_S <= (await stream.playlist()).seconds <= AT_MOST_S + 3
        await check(stream)
        assert await storage.keys() == []
        storage.failure = None
        storage.may_go_on.set()
        async with asyncio.timeout(90):
            while (await stream.playlist()).seconds < WINDOW_S:
                await stream.go_on(1, stored=False)
        await check(stream)
        assert len(await storage.keys("arcly-hls-")) >= WINDOW_S - AT_MOST_S - 3
        session.end()
