"""Pictures of streams: right ones, few, and never at the cost of anything else."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from pathlib import Path

import av
import pytest
from conftest import run

import arcly
from arcly.thumbnail import Thumbnails, service
from recording.conftest import KEY, ROOMY, demo_frames


async def publishing(engine: arcly.Engine, frames: list[arcly.MediaFrame]) -> arcly.PublishSession:
    session = await engine.start_publish(KEY)
    for frame in frames:
        session.send(frame)
    return session


def decoded(jpeg: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(jpeg)) as file:
        return next(file.decode(video=0))


async def test_the_newest_key_frame_is_what_is_shown(tmp_path: Path, ffmpeg: str) -> None:
    frames = demo_frames()
    async with arcly.Engine(default_app=ROOMY) as engine:
        thumbnails = Thumbnails(engine.get_stream, width=320)
        try:
            session = await publishing(engine, frames)
            jpeg = await thumbnails.jpeg(KEY)
            picture = decoded(jpeg)
            assert (picture.width, picture.height) == (320, 180)
            newest = max(frame.pts for frame in frames if frame.kind == "video" and frame.is_key) / 90_000
            demo = Path(arcly.__file__).parent / "server" / "demo.flv"
            shown = tmp_path / "shown.jpg"
            command = [ffmpeg, "-v", "error", "-ss", str(newest - 0.1), "-i", demo, "-vf", "scale=320:180"]
            done = await run(*command, "-frames:v", "1", "-y", shown)
            assert done.returncode == 0, done.stderr
            expected = decoded(shown.read_bytes()).to_ndarray(format="gray")
            difference = abs(picture.to_ndarray(format="gray").astype(int) - expected.astype(int)).mean()
            assert difference < 12, difference
            session.end()
        finally:
            await thumbnails.close()


async def test_a_picture_is_made_once_for_all_who_ask_and_again_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    async with arcly.Engine(default_app=ROOMY) as engine:
        thumbnails = Thumbnails(engine.get_stream, interval_s=60)

        async def decode(frame: arcly.MediaFrame) -> bytes:
            made.append(frame.pts)
            await asyncio.sleep(0)
            return b"jpeg"

        monkeypatch.setattr(thumbnails, "_decode", decode)
        session = await publishing(engine, demo_frames())
        assert await asyncio.gather(*(thumbnails.jpeg(KEY) for _ in range(50))) == [b"jpeg"] * 50
        assert len(made) == 1
        thumbnails._pictures[KEY].made_s -= 61
        await thumbnails.jpeg(KEY)
        assert len(made) == 2
        session.end()
        with pytest.raises(arcly.NotFoundError):
            await thumbnails.jpeg(KEY)
        again = await publishing(engine, demo_frames())
        await thumbnails.jpeg(KEY)
        assert len(made) == 3, "another stream under the same key has another picture"
        again.end()


async def test_a_decoder_that_hangs_or_falls_is_replaced() -> None:
    async with arcly.Engine(default_app=ROOMY) as engine:
        thumbnails = Thumbnails(engine.get_stream, interval_s=0, deadline_s=60)
        try:
            session = await publishing(engine, demo_frames())
            await thumbnails.jpeg(KEY)
            assert thumbnails._process
            thumbnails._deadline_s = 0.5
            os.kill(thumbnails._process.pid, signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                await thumbnails.jpeg(KEY)
            thumbnails._deadline_s = 60
            await thumbnails.jpeg(KEY)
            os.kill(thumbnails._process.pid, signal.SIGKILL)
            await thumbnails._process.wait()
            assert (await thumbnails.jpeg(KEY))[:2] == b"\xff\xd8"
            session.end()
        finally:
            await thumbnails.close()


async def test_what_cannot_be_decoded_is_said() -> None:
    frames = demo_frames()
    video = next(frame for frame in frames if frame.kind == "video")
    async with arcly.Engine(default_app=ROOMY) as engine:
        thumbnails = Thumbnails(engine.get_stream, deadline_s=60)
        try:
            session = await engine.start_publish(KEY)
            session.send(arcly.MediaFrame(b"\0\0\0\4\x65abc", video.tracks, track=video.track, pts=0, key=True))
            with pytest.raises(arcly.UnsupportedError, match="not decoded"):
                await thumbnails.jpeg(KEY)
            session.end()
            sound = [frame for frame in frames if frame.kind == "audio"]
            tracks = [track for track in sound[0].tracks if track.kind == "audio"]
            session = await engine.start_publish(KEY)
            session.send(arcly.MediaFrame(sound[0], tracks, track=sound[0].track, pts=0))
            with pytest.raises(arcly.UnsupportedError, match="no pictures"):
                await thumbnails.jpeg(KEY)
            session.end()
        finally:
            await thumbnails.close()


async def test_without_pyav_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "find_spec", lambda name: None)
    async with arcly.Engine(default_app=ROOMY) as engine:
        session = await publishing(engine, demo_frames())
        with pytest.raises(arcly.UnsupportedError, match=r"arcly\[av\]"):
            await Thumbnails(engine.get_stream).jpeg(KEY)
        session.end()


async def test_no_part_of_arcly_imports_pyav() -> None:
    code = "import sys, arcly.thumbnail, arcly.server.web, arcly.recording; print('av' in sys.modules)"
    done = await run(sys.executable, "-c", code)
    assert done.stdout == b"False\n", done.stderr
