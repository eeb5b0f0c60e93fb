"""A registry in plain Python under every shipped protocol and packager: each publishes, plays, is recorded."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import eventually, run, running
from failing_registry import FailingRegistry

import arcly
from arcly import _bridge, contract
from arcly.server.serve import DEMO_CLIP
from arcly.services.health import CapacityCheck
from arcly.stream import StreamHandle
from arcly.testing import MemoryRegistry

KEY = arcly.StreamKey("live", "cam")


async def test_rtmp_publishes_into_it_and_hls_is_made_of_it(ffmpeg: str, clip: Callable[..., Path]) -> None:
    registry = MemoryRegistry()
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")
    async with arcly.Engine(rtmp, http, registry=registry) as engine:
        url = f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam"
        publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", "flv", url]
        async with running(*publish) as publisher:
            stream = await eventually(lambda: registry.get_stream(KEY))
            await eventually(lambda: len(stream.tracks) == 2)
            assert (stream.protocol, engine.list_streams()) == ("rtmp", [stream])
            playlist = f"http://127.0.0.1:{http.address[1]}/live/cam/index.m3u8"
            read = await run(ffmpeg, "-v", "error", "-i", playlist, "-t", "3", "-f", "null", "-")
            assert (read.returncode, read.stderr) == (0, "")
            second = await run(*publish[:1], *publish[1:])
            assert second.returncode != 0, "the key is taken"
            assert registry.get_stream(KEY) is stream
            publisher.kill()
            await eventually(lambda: registry.get_stream(KEY) is None)
        assert stream.closed


class Everything:
    """What listens for publishers and players, all on free ports."""

    def __init__(self) -> None:
        self.rtmp, self.rtsp = arcly.RtmpHandler("127.0.0.1:0"), arcly.RtspHandler("127.0.0.1:0", udp_port=0)
        self.srt, self.http = arcly.SrtHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")

    def at(self, handler: arcly.RtmpHandler | arcly.RtspHandler | arcly.SrtHandler | arcly.HttpOrigin) -> str:
        assert handler.address is not None
        return f"127.0.0.1:{handler.address[1]}"

    def publish(self, way: str) -> list[str]:
        return {
            "rtmp": ["-f", "flv", f"rtmp://{self.at(self.rtmp)}/live/cam"],
            "rtsp": ["-rtsp_transport", "tcp", "-f", "rtsp", f"rtsp://{self.at(self.rtsp)}/live/cam"],
            "srt": ["-f", "mpegts", f"srt://{self.at(self.srt)}?streamid=publish:live/cam&pkt_size=1316"],
        }[way]

    def urls(self) -> dict[str, str]:
        http = f"http://{self.at(self.http)}/live/cam"
        return {
            "rtmp": f"rtmp://{self.at(self.rtmp)}/live/cam",
            "rtsp": f"rtsp://{self.at(self.rtsp)}/live/cam",
            "srt": f"srt://{self.at(self.srt)}?streamid=read:live/cam",
            "hls": f"{http}/index.m3u8",
            "dash": f"{http}/manifest.mpd",
            "flv": f"{http}.flv",
            "ts": f"{http}.ts",
            "mp4": f"{http}.mp4",
        }


async def play(ffmpeg: str, url: str) -> bool:
    """Whether there are pictures and sound at `url`."""
    read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "1", "-map", "v", "-map", "a", "-f", "framecrc", "-")
    counts = read.stdout.count(b"\n0,"), read.stdout.count(b"\n1,")
    return read.returncode == 0 and min(counts) > 10


def recorded_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*.mp4"))


@pytest.mark.parametrize("way", ["rtmp", "rtsp", "srt"])
async def test_each_protocol_publishes_into_it_and_each_plays_from_it(
    ffmpeg: str, clip: Callable[..., Path], way: str, tmp_path: Path
) -> None:
    registry, parts, recorder = MemoryRegistry(), Everything(), arcly.Recorder(tmp_path, record=["live/*"])
    async with arcly.Engine(parts.rtmp, parts.rtsp, parts.srt, parts.http, recorder, registry=registry):
        publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy"]
        async with running(*publish, *parts.publish(way)):
            await eventually(lambda: (stream := registry.get_stream(KEY)) and len(stream.tracks) == 2)
            urls = parts.urls() if way == "rtmp" else {way: parts.urls()[way]}
            played = await asyncio.gather(*(play(ffmpeg, url) for url in urls.values()))
        assert dict(zip(urls, played, strict=True)) == dict.fromkeys(urls, True)
        await eventually(lambda: registry.get_stream(KEY) is None)
    assert recorded_bytes(tmp_path) > 10_000


async def test_a_stream_that_its_registry_ends_disconnects_its_publisher(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    registry = MemoryRegistry()
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp, registry=registry):
        url = f"rtmp://127.0.0.1:{rtmp.address[1]}/live/cam"
        async with running(ffmpeg, "-v", "error", "-re", "-i", clip(), "-c", "copy", "-f", "flv", url) as publisher:
            stream = await eventually(lambda: registry.get_stream(KEY))
            await eventually(lambda: stream.tracks)
            registry.remove(stream, "kicked")
            assert await asyncio.wait_for(publisher.wait(), 10) != 0


async def test_a_file_plays_into_it() -> None:
    registry = MemoryRegistry()
    async with arcly.Engine(arcly.FileSource(DEMO_CLIP, KEY), registry=registry):
        frames = []
        async for frame in registry.get_stream(KEY).subscribe():
            frames.append(frame)
            if len(frames) == 50:
                break
        assert frames[0].is_key
        assert {track.codec for track in frames[0].tracks} == {"H264", "AAC"}
    await eventually(lambda: registry.get_stream(KEY) is None)


class Door:
    name = "door"

    async def start(self, context: arcly.IngestContext) -> None:
        self.context = context

    async def stop(self) -> None:
        pass


async def test_draining_waits_for_its_streams_and_lets_no_new_ones_in() -> None:
    door, credentials = Door(), arcly.Credentials()
    async with arcly.Engine(door, registry=MemoryRegistry()) as engine:
        session = await door.context.open_publish(KEY, credentials, protocol="test")
        assert not await engine.drain(0.01)
        draining = asyncio.create_task(engine.drain(3600))
        await asyncio.sleep(0)
        with pytest.raises(arcly.ClosedError):
            await door.context.open_publish(arcly.StreamKey("live", "other"), credentials, protocol="test")
        session.end()
        assert await asyncio.wait_for(draining, 60)


async def test_the_engine_shows_what_it_holds_and_publishes_into_it() -> None:
    registry = MemoryRegistry()
    async with arcly.Engine(registry=registry) as engine:
        events = engine.events()
        # Its events begin with the call, also where they are a generator.
        session = await engine.start_publish(KEY, protocol="test", peer="192.0.2.1:5")
        stream = engine.get_stream(KEY)
        assert stream is not None
        assert stream is registry.get_stream(KEY)
        assert (stream.protocol, stream.peer) == ("test", "192.0.2.1:5")
        assert engine.list_streams() == registry.list_streams() == [stream]
        assert (await CapacityCheck(engine, 1)()).detail == "1 of 1 streams"
        engine.emit(arcly.StreamEventKind.FAILED, KEY, "on purpose")
        with pytest.raises(arcly.MisuseError, match="registry"):
            engine.end_stream(stream)
        session.end("done")
        seen = [await asyncio.wait_for(anext(events), 60) for _ in range(3)]
        assert [event.kind.value for event in seen] == ["publish_started", "failed", "publish_ended"]
        assert (engine.get_stream(KEY), engine.list_streams()) == (None, [])
        await events.aclose()


async def test_a_registry_that_fails_once_costs_http_one_stream(caplog: pytest.LogCaptureFixture) -> None:
    registry, http = FailingRegistry(), arcly.HttpOrigin("127.0.0.1:0")
    async with arcly.Engine(http, registry=registry):
        first = await registry.start_publish(KEY)
        await eventually(lambda: "could not be handled" in caplog.text)
        registry.fails = False
        other = arcly.StreamKey("live", "other")
        second = await registry.start_publish(other)
        second.set_tracks([arcly.Track(0, "AAC", bytes([0x11, 0x90]))])
        await eventually(lambda: http.live_path(other, "ts"), what="the stream behind it is served")
        first.end()
        second.end()
    assert http.address is None, "it has stopped in order"
    caplog.clear()


async def published_forever(registry: MemoryRegistry) -> contract.PublishSession:
    session = await registry.start_publish(KEY)
    session.set_tracks([arcly.Track(0, "AAC", bytes.fromhex("1190"))])
    for n in range(10):
        session.publish(b"\x21\x10", track=0, pts=1024 * n)
    return session


async def test_what_an_engine_read_of_a_registry_that_lives_on_is_read_no_more() -> None:
    """Found by reading: each engine left tasks behind that copied all frames of a stream as long as it was there."""
    registry = MemoryRegistry()
    session = await published_forever(registry)
    for _ in range(2):
        http = arcly.HttpOrigin("127.0.0.1:0")
        async with arcly.Engine(http, registry=registry):
            await eventually(lambda: len(_bridge._carrying) == 1)
            url = f"http://127.0.0.1:{http.address[1]}/live/cam.flv"
            with await asyncio.to_thread(urlopen, url) as response:
                assert response.status == 200
                assert len(_bridge._carrying) == 1, "one task for HLS and all players of it"
        await eventually(lambda: not _bridge._carrying)
        assert not _bridge._carriers
    assert session.active
    session.end()


async def test_a_push_that_is_stopped_reads_no_more() -> None:
    registry = MemoryRegistry()
    session = await published_forever(registry)
    push, door = arcly.PushTarget("rtmp://127.0.0.1:9/live/cam", session.handle), Door()
    async with arcly.Engine(door, registry=registry):
        for _ in range(3):
            await push.start(door.context)
            await eventually(lambda: len(_bridge._carrying) == 1)
            await push.stop()
            await eventually(lambda: not _bridge._carrying)


async def test_of_a_stream_that_cannot_be_packaged_no_frames_are_carried(caplog: pytest.LogCaptureFixture) -> None:
    """Found by reading: they were copied for nobody until the stream ended."""

    def no_keys(key: arcly.StreamKey, number: int) -> bytes:
        raise OSError("the key server is away")

    registry, packager = MemoryRegistry(), arcly.HlsPackager(encryption=arcly.HlsEncryption(keys=no_keys))
    session = await published_forever(registry)
    async with arcly.Engine(arcly.HttpOrigin("127.0.0.1:0", packager=packager), registry=registry):
        await eventually(lambda: "is not packaged" in caplog.text)
        await eventually(lambda: not _bridge._carrying)
        assert session.active
    session.end()
    caplog.clear()


async def test_what_a_stream_had_when_it_ended_is_carried_though_nobody_waits_for_it() -> None:
    registry = MemoryRegistry()
    session = await published_forever(registry)
    native, lease = _bridge.native_stream(session.handle)
    same, second = _bridge.native_stream(session.handle)
    assert native is same
    second.close()
    second.close()
    session.end()
    lease.close()
    await eventually(lambda: lease.is_over and native.closed)
    assert len([frame async for frame in StreamHandle(native).subscribe()]) == 10
