"""Fixtures: a running engine on free ports, real ffmpeg, clips made by it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import arcly

REQUIRED = os.environ.get("ARCLY_REQUIRE_CLIENTS") == "1"
"""Set in CI: a real client that is missing is a failure there, not a skip."""


def missing(what: str) -> None:
    """Skip, or fail where real clients are required."""
    if REQUIRED:
        pytest.fail(f"{what} is required here (ARCLY_REQUIRE_CLIENTS=1) and was not found")
    pytest.skip(f"{what} was not found")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The path of ffmpeg: PyPI's static one, which `make test` installs."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
        if found is None:
            missing("ffmpeg (pip install imageio-ffmpeg)")
        assert found is not None
        return found


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing("Chromium (on Debian: apt-get install chromium)")
    assert found is not None
    return found


@dataclass
class Process:
    """A finished program."""

    returncode: int
    stdout: bytes
    stderr: str


async def run(*command: str | Path, deadline_s: float = 120) -> Process:
    """Run a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(deadline_s):
            stdout, stderr = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Process(process.returncode, stdout, stderr.decode(errors="replace"))


@asynccontextmanager
async def running(
    *command: str | Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program beside the test; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, env=env
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def eventually(look: Callable[[], Any], *, deadline_s: float = 60, what: str = "") -> Any:
    """Look again and again until there is something to see; returns it."""
    end = time.monotonic() + deadline_s
    while True:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or look}")
        await asyncio.sleep(0.02)


@dataclass
class Server:
    """A running engine with RTMP in and HLS out."""

    engine: arcly.Engine
    rtmp: arcly.RtmpHandler
    http: arcly.HttpOrigin

    def rtmp_url(self, name: str) -> str:
        """Where `name` (`live/cam`) is published."""
        assert self.rtmp.address is not None
        return f"rtmp://127.0.0.1:{self.rtmp.address[1]}/{name}"

    def url(self, path: str) -> str:
        """The HTTP URL of `path` (`/live/cam/index.m3u8`)."""
        assert self.http.address is not None
        return f"http://127.0.0.1:{self.http.address[1]}{path}"

    def stream(self, name: str) -> arcly.StreamHandle | None:
        """The stream `name`, if it is being published."""
        return self.engine.get_stream(arcly.StreamKey.parse(name))


@asynccontextmanager
async def serving(
    rtmp: arcly.RtmpHandler | None = None, packager: arcly.HlsPackager | None = None, **options: object
) -> AsyncIterator[Server]:
    """Run a server on free ports of the loopback interface."""
    rtmp = rtmp or arcly.RtmpHandler("127.0.0.1:0")
    http = arcly.HttpOrigin("127.0.0.1:0", packager=packager)
    async with arcly.Engine(rtmp, http, **options) as engine:  # type: ignore[arg-type]
        yield Server(engine, rtmp, http)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on free ports."""
    async with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test did, arcly has logged no error: errors are faults of ours, those of peers are warnings."""
    caplog.set_level(logging.INFO)
    yield
    records = caplog.get_records("setup") + caplog.get_records("call") + caplog.get_records("teardown")
    errors = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
    assert not errors, errors


@dataclass(frozen=True)
class ClipSpec:
    """What a test clip holds."""

    video: bool = True
    audio: bool = True
    seconds: float = 10.0
    fps: str = "25"
    b_frames: int = 2
    gop: int = 25
    sample_rate_hz: int = 44_100
    size: str = "640x360"

    def command(self, ffmpeg: str, path: Path) -> list[str]:
        """The command that makes it."""
        inputs, codecs = [], []
        if self.video:
            inputs += ["-f", "lavfi", "-i", f"testsrc2=size={self.size}:rate={self.fps}"]
            codecs += ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", str(self.b_frames)]
            codecs += ["-g", str(self.gop), "-keyint_min", str(self.gop), "-sc_threshold", "0"]
        if self.audio:
            inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={self.sample_rate_hz}"]
            codecs += ["-c:a", "aac", "-b:a", "96k"]
        return [ffmpeg, "-v", "error", "-y", *inputs, *codecs, "-t", str(self.seconds), str(path)]


@pytest.fixture(scope="session")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make clips: `clip(video=False)` returns the path of an MP4 file; equal ones are made once."""
    import subprocess

    made: dict[ClipSpec, Path] = {}
    directory = tmp_path_factory.mktemp("clips")

    def make(**options: object) -> Path:
        spec = ClipSpec(**options)  # type: ignore[arg-type]
        if spec not in made:
            path = directory / f"{len(made)}.mp4"
            subprocess.run(spec.command(ffmpeg, path), check=True, timeout=60)
            made[spec] = path
        return made[spec]

    return make
