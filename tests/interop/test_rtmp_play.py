"""RTMP players: what ffmpeg gets when it plays, and what a viewer is told."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from conftest import Server, eventually, run, running, serving
from rtmp_client import AUDIO, VIDEO, RtmpClient, command
from test_http_live import Tokens, bilingual, live
from test_tls import issue

import arcly


def frames(output: bytes, stream: int) -> list[list[str]]:
    """The rows of one stream in ffmpeg's framemd5."""
    rows = [line.split(",") for line in output.decode().splitlines() if not line.startswith("#")]
    return [row for row in rows if row[0] == str(stream)]


async def test_ffmpeg_plays_at_once_and_without_a_hole(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()):
        url = server.rtmp_url("live/cam")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "4", "-c", "copy", "-f", "framemd5", "-")
        assert (read.returncode, read.stderr) == (0, "")
        dts = [int(row[1]) for row in frames(read.stdout, 0)]
        steps = {b - a for a, b in itertools.pairwise(dts)}
        assert len(dts) >= 95, "25 pictures a second"
        assert max(steps) - min(steps) <= 90, "a millisecond, the rounding of the wire"
        assert len(frames(read.stdout, 1)) >= 150


async def test_a_player_is_listed_while_it_plays_and_can_be_kicked(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    async with live(server, ffmpeg, clip()):
        play = [ffmpeg, "-v", "error", "-i", server.rtmp_url("live/cam"), "-c", "copy", "-f", "null", "-"]
        async with running(*play) as player:
            await eventually(lambda: (viewers := server.rtmp.list_viewers()) and viewers[0].frames > 20)
            [viewer] = server.rtmp.list_viewers()
            assert (viewer.protocol, str(viewer.key), viewer.dropped) == ("rtmp", "live/cam", 0)
            assert server.rtmp.kick(viewer.id)
            await eventually(lambda: server.rtmp.list_viewers() == [], what="it is gone")
            await eventually(lambda: player.returncode is not None, what="and has noticed")


async def test_the_end_of_the_stream_ends_the_play_with_every_frame(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    publish = [ffmpeg, "-v", "error", "-re", "-i", clip(seconds=4.0), "-c", "copy", "-f", "flv"]
    async with running(*publish, server.rtmp_url("live/cam")):
        await eventually(lambda: (stream := server.stream("live/cam")) and stream.tracks)
        url = server.rtmp_url("live/cam")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-c", "copy", "-f", "framemd5", "-")
    assert read.returncode == 0, read.stderr
    pictures = len(frames(read.stdout, 0))
    assert pictures % 25 == 0, "from a key picture to the last one of the stream"
    assert pictures >= 50


@pytest.mark.parametrize("query", ["", "?token=bad"])
async def test_who_may_not_play_is_told(ffmpeg: str, clip: Callable[..., Path], query: str) -> None:
    async with serving(authenticator=Tokens()) as server, live(server, ffmpeg, clip()):
        url = server.rtmp_url(f"live/cam{query}")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-f", "null", "-")
        assert read.returncode != 0
        assert server.rtmp.list_viewers() == []
        good = server.rtmp_url("live/cam?token=good")
        read = await run(ffmpeg, "-v", "error", "-i", good, "-t", "1", "-c", "copy", "-f", "null", "-")
        assert read.returncode == 0, read.stderr


async def test_who_may_not_play_does_not_learn_what_there_is() -> None:
    async with serving(authenticator=Tokens()) as server:
        session = await server.engine.start_publish(arcly.StreamKey("live", "cam"))
        assert server.rtmp.address
        for query in ("", "?token=bad"):
            told = []
            for name in ("cam", "nothing"):
                async with await RtmpClient.dial(server.rtmp.address) as client:
                    await client.connect()
                    stream_id = await client.create_stream()
                    await client.send(command("play", 0, None, f"{name}{query}", stream_id=stream_id))
                    await client.status()
                    told.append({key: str(value).replace(name, "") for key, value in client.statuses[-1].items()})
            assert told[0] == told[1]
            assert told[0]["level"] == "error"
        session.end()


async def test_a_missing_stream_is_refused(server: Server, ffmpeg: str) -> None:
    read = await run(ffmpeg, "-v", "error", "-i", server.rtmp_url("live/nothing"), "-f", "null", "-")
    assert read.returncode != 0


async def test_a_player_may_use_any_message_stream(server: Server, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with live(server, ffmpeg, clip()), await RtmpClient.dial(server.rtmp.address) as client:
        await client.connect()
        ids = [await client.create_stream() for _ in range(3)]
        assert await client.play("cam", ids[2]) == ids[2] != 1
        first = await client.picture()
        assert first.is_key_frame
        for picture in [first, *[await client.picture() for _ in range(50)]]:
            assert picture.stream_id == ids[2]


@pytest.mark.parametrize("is_told", [False, True], ids=["by no word", "by a bit of capsEx"])
async def test_a_player_that_says_that_it_reads_multitrack_is_sent_all_tracks(
    server: Server, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, is_told: bool
) -> None:
    """Found by reading: everybody was sent multitrack, at which players from before Enhanced RTMP v2 give up."""
    source = arcly.FileSource(await bilingual(ffmpeg, clip(), tmp_path), arcly.StreamKey("live", "cam"))
    await source.start(server.engine)
    await eventually(lambda: (stream := server.stream("live/cam")) and len(stream.tracks) == 3)
    async with await RtmpClient.dial(server.rtmp.address) as client:
        await client.connect(**({"capsEx": 2} if is_told else {}))
        await client.play("cam")
        messages = [await client.receive() for _ in range(100)]
    await source.stop()
    firsts = {message.body[0] for message in messages if message.type_id == AUDIO}
    assert firsts == ({0xAF, 0x95} if is_told else {0xAF})


async def test_a_connection_plays_several_streams_at_a_time(
    server: Server, ffmpeg: str, clip: Callable[..., Path]
) -> None:
    """The first one loses nothing when the second begins, and goes on when that is left."""
    async with live(server, ffmpeg, clip()), await RtmpClient.dial(server.rtmp.address) as client:
        await client.connect()
        # Both before anything is played: this client passes over pictures while it waits for an answer.
        second = await client.create_stream()
        first = await client.play("cam")
        pictures = [await client.picture() for _ in range(30)]
        await client.send(command("play", 0, None, "cam", stream_id=second))
        while sum(picture.stream_id == second for picture in pictures) < 50:
            pictures.append(await client.picture())
        times_ms = [picture.timestamp_ms for picture in pictures if picture.stream_id == first]
        assert max(after - before for before, after in itertools.pairwise(times_ms)) < 80, (
            "none of 25 a second is missing"
        )
        assert times_ms == sorted(set(times_ms)), "none twice"
        assert next(picture for picture in pictures if picture.stream_id == second).is_key_frame
        assert len(server.rtmp.list_viewers()) == 2
        await client.send(command("deleteStream", 0, None, second))
        await eventually(lambda: len(server.rtmp.list_viewers()) == 1, what="one viewer")
        # However many of the second were on their way: two seconds of pictures of the first alone.
        async with asyncio.timeout(60):
            alone = 0
            while alone < 50:
                alone = alone + 1 if (await client.picture()).stream_id == first else 0


@pytest.mark.parametrize("how", ["closeStream", "deleteStream", "play"])
async def test_a_player_that_leaves_a_stream_may_play_another_at_once(
    server: Server, ffmpeg: str, clip: Callable[..., Path], how: str
) -> None:
    """What it asks for while the pump still has it is done as soon as the pump has let it go."""
    async with live(server, ffmpeg, clip()), await RtmpClient.dial(server.rtmp.address) as client:
        await client.connect()
        stream_id = await client.play("cam")
        assert (await client.picture()).is_key_frame
        for _ in range(3):
            match how:
                case "closeStream":
                    await client.send(command("closeStream", 0, None, stream_id=stream_id))
                    assert await client.status() == "NetStream.Play.Stop"
                    await client.play("cam", stream_id)
                case "deleteStream":
                    await client.send(command("deleteStream", 0, None, stream_id))
                    stream_id = await client.play("cam")
                case "play":
                    await client.play("cam", stream_id)
            assert (await client.picture()).is_key_frame
            assert len(server.rtmp.list_viewers()) == 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["rtmp", "rtmps"])
async def test_a_paused_player_gets_nothing_and_goes_on_with_a_key_picture(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, encrypted: bool
) -> None:
    authority = trustme.CA()
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=issue(authority, tmp_path)) if encrypted else None
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = {"ssl": context} if encrypted else {}
    plain = arcly.RtmpHandler("127.0.0.1:0")
    http = arcly.HttpOrigin("127.0.0.1:0")
    parts = [plain, http] if rtmps is None else [plain, http, rtmps]
    async with arcly.Engine(*parts) as engine, live(server := Server(engine, plain, http), ffmpeg, clip()):
        address = (rtmps or plain).address
        assert address is not None
        async with await RtmpClient.dial(address, **options) as client:
            await client.connect()
            stream_id = await client.play("cam")
            assert (await client.picture()).is_key_frame
            await client.send(command("pause", 0, None, True, 0, stream_id=stream_id))
            assert await client.status() == "NetStream.Pause.Notify"
            await client.settled()
            stream = server.stream("live/cam")
            assert stream is not None
            pictures = stream.stats.video_frames
            await eventually(lambda: stream.stats.video_frames >= pictures + 30, what="pictures that it does not want")
            await client.send(command("pause", 0, None, False, 0, stream_id=stream_id))
            while not client.statuses or client.statuses[-1]["code"] != "NetStream.Unpause.Notify":
                assert (await client.receive()).type_id not in (AUDIO, VIDEO), "it is paused"
            async with asyncio.timeout(60):
                assert (await client.picture()).is_key_frame
                await client.picture()


@pytest.mark.parametrize("how", ["stalls", "is kicked"])
async def test_an_encrypted_player_that_reads_nothing_is_bounded_in_the_kernel_and_goes_in_time(
    tmp_path: Path, how: str
) -> None:
    """Found by reading: the kernel kept megabytes for it, and it had ten seconds for a packet, whatever was wanted."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    egress = arcly.EgressOptions(stall_max_s=1.5 if how == "stalls" else 600.0)
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=issue(authority, tmp_path), egress=egress)
    async with arcly.Engine(rtmps) as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        session.set_tracks([arcly.Track(1, "AAC", bytes([0x11, 0x90]))])
        assert rtmps.address is not None
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(rtmps.address)
        async with await RtmpClient.dial((), sock=sock, ssl=context, server_hostname="localhost") as client:
            await client.connect()
            await client.play("cam")
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for number in range(400):
                session.publish(bytes(20_000), track=1, pts=number * 1024)
            [viewer] = await eventually(lambda: (seen := rtmps.list_viewers())[0].bytes > 20_000 and seen)
            if how == "is kicked":
                taken = [0]

                def is_stuck() -> bool:
                    taken.append(rtmps.list_viewers()[0].bytes)
                    return taken[-10:] == taken[-1:] * 10

                await eventually(is_stuck, what="it takes nothing")
                assert rtmps.kick(viewer.id)
            while seen := rtmps.list_viewers():
                [viewer] = seen
                assert viewer.bytes < 1 << 20, "what the kernel has taken for it"
                assert time.time() * 1000 < viewer.since_unix_ms + 8_000, "it is let go"
                await asyncio.sleep(0.02)
