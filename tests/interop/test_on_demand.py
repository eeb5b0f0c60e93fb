"""Streams that are pulled when somebody wants to see them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from conftest import Server, eventually, run, serving
from tokens import Tokens
from webrtc_offer import offer

import arcly

CAM = arcly.StreamKey("live", "cam")


@asynccontextmanager
async def offering(server: Server, clip: Path, linger_s: float) -> AsyncIterator[arcly.PullSource]:
    """Let `server` offer a stream of another one, without a connection to it."""
    async with AsyncExitStack() as stack:
        rtmp = arcly.RtmpHandler("127.0.0.1:0")
        await stack.enter_async_context(arcly.Engine(rtmp, arcly.FileSource(clip, CAM, loop=True)))
        assert rtmp.address is not None
        upstream = f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam"
        pull = arcly.PullSource(upstream, CAM, on_demand=True, linger_s=linger_s)
        await pull.start(server.engine)
        stack.push_async_callback(pull.stop)
        yield pull


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


# A player of HLS counts from its first playlist on, which waits for a segment, until a while after its last request.
@pytest.mark.parametrize(("way", "linger_s"), [("hls", 10.0), ("flv", 0.5), ("rtmp", 0.5)])
async def test_a_viewer_begins_it_and_the_last_one_ends_it(
    server: Server, clip: Callable[..., Path], ffmpeg: str, way: str, linger_s: float
) -> None:
    async with offering(server, clip(), linger_s) as pull:
        assert pull.state is arcly.LinkState.STOPPED
        assert server.stream("live/cam") is None
        urls = {
            "hls": server.url("/live/cam/index.m3u8"),
            "flv": server.url("/live/cam.flv"),
            "rtmp": server.rtmp_url("live/cam"),
        }
        played = await run(ffmpeg, "-v", "error", "-i", urls[way], "-t", "1", "-f", "null", "-")
        assert played.returncode == 0, played.stderr
        if way != "hls":
            await eventually(lambda: pull.state is arcly.LinkState.STOPPED)
            await eventually(lambda: server.stream("live/cam") is None)


async def test_a_viewer_of_webrtc_begins_it_too(server: Server, clip: Callable[..., Path]) -> None:
    webrtc = arcly.WebRtcHandler("127.0.0.1:0")
    await webrtc.start(server.engine)
    async with offering(server, clip(), linger_s=0.5) as pull:
        session = await webrtc.play(CAM, offer("recvonly"), arcly.Credentials())
        assert "m=video" in session.answer
        assert pull.state is arcly.LinkState.RUNNING
        await webrtc.close(session.id)
        await eventually(lambda: pull.state is arcly.LinkState.STOPPED)
    await webrtc.stop()


async def test_a_remote_that_does_not_answer_costs_a_viewer_its_patience_and_nobody_else_anything(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcly._offers.BEGIN_DEADLINE_S", 0.3)
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    pull = arcly.PullSource(f"rtmp://127.0.0.1:{port}/live/cam", CAM, on_demand=True, linger_s=0.1)
    await pull.start(server.engine)
    try:
        answer = await run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", server.url("/live/cam.flv"))
        assert answer.stdout == b"404"
        await eventually(lambda: pull.state is arcly.LinkState.STOPPED)
        answer = await run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", server.url("/live/other.flv"))
        assert answer.stdout == b"404"
    finally:
        await pull.stop()
        silent.close()


async def test_a_pull_stays_for_a_viewer_who_waits_for_the_remote(server: Server, clip: Callable[..., Path]) -> None:
    """Found by reading: the pull hung up after `linger_s`, and a camera that takes longer to begin was never seen."""
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp) as camera:
        assert rtmp.address is not None
        pull = arcly.PullSource(f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam", CAM, on_demand=True, linger_s=0.1)
        await pull.start(server.engine)
        try:
            url = server.url("/live/cam.flv")
            viewer = asyncio.create_task(run("curl", "-s", "-m", "9", "-o", "/dev/null", "-w", "%{http_code}", url))
            await eventually(lambda: pull.status.retries > 0)
            source = arcly.FileSource(clip(), CAM)
            await source.start(camera)
            assert (await viewer).stdout == b"200"
            await source.stop()
        finally:
            await pull.stop()


async def test_a_pull_stays_for_a_viewer_who_waits_for_the_first_segment(
    server: Server, clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: who waits for a segment was no viewer, so by HLS a camera of long GOPs was never seen."""
    monkeypatch.setattr("arcly._offers.BEGIN_DEADLINE_S", 1.0)
    async with offering(server, clip(gop=200), linger_s=2.0):
        await run("curl", "-s", server.url("/live/cam/index.m3u8"))
        playlist = (await run("curl", "-s", server.url("/live/cam/v0.m3u8"))).stdout
        assert b"#EXTINF" in playlist
        assert b"#EXT-X-ENDLIST" not in playlist


async def test_a_pull_that_has_failed_is_begun_anew_by_the_next_viewer(clip: Callable[..., Path]) -> None:
    """Found by reading: it stayed as it was for as long as anybody asked."""
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    pull = arcly.PullSource(url, CAM, on_demand=True, linger_s=60, retries_max=0)
    async with arcly.Engine(pull) as engine:
        first = asyncio.create_task(engine.offers.summon(engine, CAM))
        await eventually(lambda: pull.state is arcly.LinkState.FAILED)
        async with arcly.Engine(arcly.RtmpHandler(f"127.0.0.1:{port}"), arcly.FileSource(clip(), CAM, loop=True)):
            assert await engine.offers.summon(engine, CAM) is not None
            assert await first is not None


async def test_a_stream_that_begins_here_ends_the_pull(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: its viewers were taken for those of the pull, which called the remote for as long as they
    stayed.
    """
    monkeypatch.setattr("arcly._offers.BEGIN_DEADLINE_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/cam"
        pull = arcly.PullSource(url, CAM, on_demand=True, linger_s=0.1)
        async with arcly.Engine(pull) as engine:
            viewer = asyncio.create_task(engine.offers.summon(engine, CAM))
            await eventually(lambda: pull.state is arcly.LinkState.CONNECTING)
            session = await engine.start_publish(CAM)
            stream = await viewer
            assert stream is not None
            async with stream.subscribe():
                await eventually(lambda: pull.state is arcly.LinkState.STOPPED, deadline_s=10)
            assert session.active


async def test_a_stream_that_has_ended_does_not_go_in_circles_between_nodes_that_pull_from_each_other(
    clip: Callable[..., Path],
) -> None:
    """Found by reading: each was given what the other one had kept, again and again, as fast as the network is."""
    ports = free_port(), free_port()

    def pull(port: int) -> arcly.PullSource:
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        return arcly.PullSource(url, CAM, on_demand=True, grace_s=3.0, backoff_s=(0.05, 0.1))

    pulls = pull(ports[1]), pull(ports[0])
    async with (
        arcly.Engine(arcly.RtmpHandler(f"127.0.0.1:{ports[0]}"), pulls[0]) as home,
        arcly.Engine(arcly.RtmpHandler(f"127.0.0.1:{ports[1]}"), pulls[1]) as edge,
    ):
        source = arcly.FileSource(clip(), CAM, loop=True)
        await source.start(home)
        stream = await edge.offers.summon(edge, CAM)
        assert stream is not None
        async with stream.subscribe():
            await source.stop()
            await eventually(lambda: pulls[0].status.retries > 0, deadline_s=20, what="home asks the edge")
            await eventually(lambda: stream.closed, deadline_s=20, what="its grace time is over")
        assert pulls[0].status.frames == 0


@asynccontextmanager
async def door(port: int) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """Let connections through to `port` of this machine, but the second, which hears nothing. Yields where they come
    in, and those that came.
    """
    came: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        if len(came) == 2:
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            await asyncio.gather(carry(reader, back), carry(there, writer))

    async with await asyncio.start_server(come, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], came


async def test_a_viewer_who_waits_for_a_pull_that_fails_begins_it_anew(clip: Callable[..., Path]) -> None:
    """Found by reading: nobody connected any more, and the viewer waited for that until turned away."""
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp, arcly.FileSource(clip(), CAM, loop=True)):
        assert rtmp.address is not None
        async with door(rtmp.address[1]) as (port, came):
            url = f"rtmp://127.0.0.1:{port}/live/cam"
            pull = arcly.PullSource(url, CAM, on_demand=True, retries_max=1, backoff_s=(0.05, 0.1))
            async with arcly.Engine(pull) as engine:
                first = await engine.offers.summon(engine, CAM)
                assert first is not None
                async with first.subscribe():
                    came[0].close()
                    await eventually(lambda: len(came) == 2)
                    second = asyncio.create_task(engine.offers.summon(engine, CAM))
                    await eventually(lambda: pull.state is arcly.LinkState.CONNECTING)
                    came[1].close()
                    stream = await second
                    assert stream is not None
                    assert stream.session != first.session


@pytest.mark.parametrize("whose", ["its own", "somebody else's"])
async def test_a_stream_that_waits_for_its_publisher_has_a_pull_resume_it(
    clip: Callable[..., Path], whose: str
) -> None:
    """Found by reading: viewers were given what was left of it, and nobody called the remote."""
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp, arcly.FileSource(clip(), CAM, loop=True)):
        assert rtmp.address is not None
        pull = arcly.PullSource(f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam", CAM, on_demand=True, linger_s=0.1)
        async with arcly.Engine(pull, default_app=arcly.AppSpec(reconnect_grace_s=600)) as engine:
            if whose == "its own":
                stream = await engine.offers.summon(engine, CAM)
                assert stream is not None
                async with stream.subscribe() as reader:
                    await anext(reader)
            else:
                (await engine.start_publish(CAM)).end()
            left = engine.get_stream(CAM)
            assert left is not None
            await eventually(lambda: left.state == "idle")
            stream = await engine.offers.summon(engine, CAM)
            assert stream is not None
            assert (stream.session, stream.state, pull.state) == (left.session, "publishing", arcly.LinkState.RUNNING)
            async with stream.subscribe() as reader:
                await anext(reader)
                assert pull.state is arcly.LinkState.RUNNING


async def test_who_resumes_the_stream_of_a_pull_whose_remote_is_away_ends_the_pull(clip: Callable[..., Path]) -> None:
    """Found by reading: it is the same stream, so the pull took it for its own, and new viewers were turned away from
    it after 8 s.
    """
    port = free_port()
    pull = arcly.PullSource(f"rtmp://127.0.0.1:{port}/live/cam", CAM, on_demand=True, grace_s=0.1, linger_s=60)
    async with arcly.Engine(pull, default_app=arcly.AppSpec(reconnect_grace_s=600)) as engine:
        async with arcly.Engine(arcly.RtmpHandler(f"127.0.0.1:{port}"), arcly.FileSource(clip(), CAM, loop=True)):
            left = await engine.offers.summon(engine, CAM)
            assert left is not None
            viewer = left.subscribe()
        async with viewer:
            await eventually(lambda: left.state == "idle", deadline_s=20)
            assert pull.state in (arcly.LinkState.WAITING, arcly.LinkState.CONNECTING)
            encoder = await engine.start_publish(CAM)
            assert (left.state, left.stats.viewers) == ("publishing", 1)
            stream = await engine.offers.summon(engine, CAM)
            assert stream is not None
            assert stream.session == left.session
            await eventually(lambda: pull.state is arcly.LinkState.STOPPED)
            assert encoder.active


async def test_a_pull_that_has_failed_is_begun_anew_where_its_stream_waits_for_it(clip: Callable[..., Path]) -> None:
    """Found by reading: each viewer was turned away after 8 s until the stream had waited long enough."""
    port = free_port()
    pull = arcly.PullSource(f"rtmp://127.0.0.1:{port}/live/cam", CAM, on_demand=True, linger_s=60, retries_max=0)

    def remote() -> arcly.Engine:
        return arcly.Engine(arcly.RtmpHandler(f"127.0.0.1:{port}"), arcly.FileSource(clip(), CAM, loop=True))

    async with arcly.Engine(pull, default_app=arcly.AppSpec(reconnect_grace_s=600)) as engine:
        async with remote():
            left = await engine.offers.summon(engine, CAM)
            assert left is not None
        await eventually(lambda: pull.state is arcly.LinkState.FAILED)
        await eventually(lambda: left.state == "idle")
        async with remote():
            stream = await engine.offers.summon(engine, CAM)
            assert stream is not None
            assert (stream.session, stream.state) == (left.session, "publishing")


async def test_two_sources_cannot_offer_one_key(server: Server) -> None:
    first, second = (arcly.PullSource("rtmp://127.0.0.1:1/a/b", CAM, on_demand=True) for _ in range(2))
    await first.start(server.engine)
    with pytest.raises(arcly.MisuseError):
        await second.start(server.engine)
    await second.stop()
    await first.stop()


async def test_who_may_not_play_begins_nothing(clip: Callable[..., Path]) -> None:
    class Nobody:
        async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
            return True

        async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
            return False

    async with serving(authenticator=Nobody()) as server:
        pull = arcly.PullSource("rtmp://127.0.0.1:1/live/cam", CAM, on_demand=True)
        await pull.start(server.engine)
        answer = await run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", server.url("/live/cam/index.m3u8"))
        assert answer.stdout == b"401"
        assert pull.state is arcly.LinkState.STOPPED
        await pull.stop()


@pytest.mark.parametrize(("way", "protocol"), [(".flv", "http-flv"), ("/index.m3u8", "hls"), ("/v0.m3u8", "hls")])
async def test_who_begins_it_is_asked_once(clip: Callable[..., Path], way: str, protocol: str) -> None:
    """Found by reading: twice, first by the name of another protocol. A token that is good for once was refused."""

    tokens = Tokens()
    async with serving(authenticator=tokens) as server, offering(server, clip(), linger_s=10):
        url = server.url(f"/live/cam{way}?token=once")
        # FLV has no end; a playlist waits for its first segment.
        patience_s = "3" if way == ".flv" else "20"
        answer = await run("curl", "-s", "-m", patience_s, "-o", "/dev/null", "-w", "%{http_code}", url)
        assert answer.stdout == b"200"
        assert tokens.asked == [protocol]
