"""Streams of other RTSP servers, and streams to them: ours on both sides, ours beside programs of others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from conftest import eventually, run, running
from test_rtmp_play import frames
from test_rtsp_clients import play, published, rtsp_serving, times
from test_tls import issue

import arcly


class Users:
    """Lets `me` in, with the password that came by whatever way."""

    def __init__(self) -> None:
        self.seen: list[arcly.Credentials] = []

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        """Return whether it is the right one."""
        self.seen.append(credentials)
        return credentials.params.get("user") == "me" and credentials.params.get("pass") == "p@ss"

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        """Return whether it is the right one."""
        return await self.authorize_publish(key, credentials)


@pytest.mark.parametrize("scheme", ["rtsp", "rtspu"])
async def test_a_stream_is_pulled_and_pushed(ffmpeg: str, clip: Callable[..., Path], scheme: str) -> None:
    async with rtsp_serving() as origin, published(origin, ffmpeg, clip(b_frames=2)):
        source = arcly.PullSource(origin.rtsp_url("live/cam").replace("rtsp", scheme), "live/copy")
        async with rtsp_serving() as target, rtsp_serving() as middle:
            push = arcly.PushTarget(target.rtsp_url("live/there").replace("rtsp", scheme), "live/copy")
            async with arcly.Engine(source, push) as engine:
                await eventually(lambda: (stream := target.stream("live/there")) and stream.tracks)
                read = await run(*play(ffmpeg, target.rtsp_url("live/there"), seconds=2))
                assert read.returncode == 0, read.stderr
                pictures = sorted(times(read.stdout, 0, 90_000))[3:-3]
                assert {round(b - a, 3) for a, b in itertools.pairwise(pictures)} == {0.04}
                assert len(times(read.stdout, 1, 44_100)) >= 70
                assert source.status.state is arcly.LinkState.RUNNING
                assert push.status.frames > 100
                stream = engine.get_stream(arcly.StreamKey("live", "copy"))
                assert stream is not None
            await eventually(lambda: target.stream("live/there") is None, what="the goodbye is heard")
            assert middle.stream("live/copy") is None


@pytest.mark.parametrize("users", [None, {"me": "p@ss"}])
async def test_passwords_are_asked_for_and_brought(
    ffmpeg: str, clip: Callable[..., Path], users: dict[str, str] | None
) -> None:
    authenticator = Users()
    handler = arcly.RtspHandler("127.0.0.1:0", udp_port=None, users=users)
    async with rtsp_serving(handler, authenticator=authenticator) as server:
        url = server.rtsp_url("live/cam")
        good, bad = url.replace("://", "://me:p%40ss@"), url.replace("://", "://me:wrong@")
        source = clip(b_frames=0)
        publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "rtsp"]
        for refused in (url, bad):
            read = await run(*publish, refused)
            assert read.returncode != 0
        async with running(*publish, good):
            await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
            for refused in (url, bad, bad.replace("cam", "nothing")):
                read = await run(*play(ffmpeg, refused, seconds=1))
                assert read.returncode != 0
                assert "401" in read.stderr or "403" in read.stderr
            read = await run(*play(ffmpeg, good, seconds=1))
            assert read.returncode == 0, read.stderr
            pull = arcly.PullSource(good, "live/copy")
            wrong = arcly.PullSource(bad, "live/wrong", retries_max=0)
            async with arcly.Engine(pull, wrong) as engine:
                await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "copy")))
                await eventually(lambda: wrong.state is arcly.LinkState.FAILED)
                assert wrong.last_error is not None
                assert "40" in wrong.last_error
    assert all(credentials.protocol == "rtsp" for credentials in authenticator.seen)


async def test_a_camera_is_connected_while_somebody_watches(ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with rtsp_serving() as camera, published(camera, ffmpeg, clip(b_frames=0)):
        source = arcly.PullSource(camera.rtsp_url("live/cam"), "live/gate", on_demand=True, linger_s=0.5)
        rtsp = arcly.RtspHandler("127.0.0.1:0", udp_port=0)
        async with arcly.Engine(rtsp, source) as engine:
            assert engine.get_stream(arcly.StreamKey("live", "gate")) is None
            assert rtsp.address is not None
            read = await run(*play(ffmpeg, f"rtsp://127.0.0.1:{rtsp.address[1]}/live/gate", seconds=1))
            assert read.returncode == 0, read.stderr
            assert len(frames(read.stdout, 0)) >= 20
            await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "gate")) is None, what="nobody watches")


async def test_who_has_no_udp_is_pulled_from_and_pushed_to_by_tcp(
    ffmpeg: str, clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    origin_without, target_without = (arcly.RtspHandler("127.0.0.1:0", udp_port=None) for _ in range(2))
    async with rtsp_serving(origin_without) as origin, rtsp_serving(target_without) as target:
        source = arcly.PullSource(origin.rtsp_url("live/cam").replace("rtsp", "rtspu", 1), "live/copy")
        push = arcly.PushTarget(target.rtsp_url("live/there").replace("rtsp", "rtspu", 1), "live/copy")
        async with published(origin, ffmpeg, clip(b_frames=0)), arcly.Engine(source, push):
            there = await eventually(lambda: (it := target.stream("live/there")) and it.tracks and it)
            await eventually(lambda: there.stats.video_frames > 20)
            assert [viewer.protocol for viewer in origin.rtsp.list_viewers()] == ["rtsp"]
    assert caplog.text.count("trying it by TCP") == 2


async def test_a_stream_that_has_moved_is_pulled_from_where_it_is(ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with rtsp_serving() as origin, published(origin, ffmpeg, clip(b_frames=0)):

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for status in ("200 OK", f"302 Moved\r\nLocation: {origin.rtsp_url('live/cam')}"):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                number = head.split("CSeq: ")[1].split()[0]
                writer.write(f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n\r\n".encode())
            await reader.read()
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as gate:
            port = gate.sockets[0].getsockname()[1]
            pull = arcly.PullSource(f"rtsp://127.0.0.1:{port}/live/elsewhere", "live/copy", backoff_s=(0.1, 0.2))
            async with arcly.Engine(pull) as engine:
                stream = await eventually(
                    lambda: engine.get_stream(arcly.StreamKey("live", "copy")), what="it is found"
                )
                await eventually(lambda: stream.stats.video_frames > 20)


async def test_a_remote_that_comes_back_goes_on(ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with rtsp_serving() as origin:
        pull = arcly.PullSource(origin.rtsp_url("live/cam"), "live/copy", backoff_s=(0.1, 0.2))
        async with arcly.Engine(pull) as engine:
            async with published(origin, ffmpeg, clip(b_frames=0)):
                stream = await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "copy")))
                await eventually(lambda: stream.stats.video_frames > 20)
            await eventually(lambda: pull.state is not arcly.LinkState.RUNNING)
            before = stream.stats.video_frames
            async with published(origin, ffmpeg, clip(b_frames=0)):
                await eventually(lambda: stream.stats.video_frames > before + 20, what="the same stream goes on")
                assert not stream.closed


async def test_tls_both_ways(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = issue(authority, tmp_path)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    handler = arcly.RtspHandler("127.0.0.1:0", tls=tls)
    async with rtsp_serving(handler) as server:
        url = server.rtsp_url("live/cam").replace("rtsp://127.0.0.1", "rtsps://localhost")
        options = ["-v", "error", "-re", "-stream_loop", "-1"]
        publish = [ffmpeg, *options, "-i", clip(b_frames=0), "-c", "copy", "-f", "rtsp"]
        trust = ["-rtsp_transport", "tcp", "-ca_file", str(ca_file)]
        async with running(*publish, *trust, url):
            await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
            command = play(ffmpeg, url, seconds=2)
            read = await run(command[0], "-ca_file", ca_file, *command[1:])
            assert read.returncode == 0, read.stderr
            assert len(frames(read.stdout, 0)) >= 40
            trusting = arcly.PullSource(url, "live/copy", ca_file=ca_file)
            doubting = arcly.PullSource(url, "live/doubt", retries_max=0)
            async with arcly.Engine(trusting, doubting) as engine:
                await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "copy")))
                await eventually(lambda: doubting.state is arcly.LinkState.FAILED)


async def test_the_command_relays(ffmpeg: str, clip: Callable[..., Path], tmp_path: Path) -> None:
    import sys

    async with rtsp_serving() as server, published(server, ffmpeg, clip(b_frames=0)):
        copy = tmp_path / "copy.ts"
        command = [sys.executable, "-m", "arcly", "relay", server.rtsp_url("live/cam")]
        async with running(*command, server.rtsp_url("live/there"), copy) as process:
            await eventually(lambda: (stream := server.stream("live/there")) and stream.stats.video_frames > 50)
            process.terminate()
            async with asyncio.timeout(60):
                assert await process.wait() == 0
        read = await run(ffmpeg, "-v", "error", "-i", copy, "-c", "copy", "-f", "framemd5", "-")
        assert len(frames(read.stdout, 0)) >= 40
