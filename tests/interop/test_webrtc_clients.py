"""WHIP and WHEP with clients that are no browsers: FFmpeg, aiortc; and what comes in by RTMP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from browser.watching import publish
from conftest import eventually, run, running
from webrtc_server import WebRtcServer, post_offer, serving

import arcly
from arcly.protocols.webrtc import BFrames
from arcly.testing import MemoryRegistry

TEST_PICTURE = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]
TEST_SOUND = ["-f", "lavfi", "-i", "sine=sample_rate=48000"]
H264 = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-pix_fmt",
    "yuv420p",
    "-bf",
    "0",
    "-g",
    "25",
]
OPUS = ["-c:a", "libopus", "-ac", "2"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebRtcServer]:
    """A server on free ports."""
    async with serving(tmp_path) as server:
        yield server


async def negotiate(peer: RTCPeerConnection, url: str) -> str:
    """Offer what the peer sends or wants, and take the answer."""
    await peer.setLocalDescription(await peer.createOffer())
    answer, location = await post_offer(url, peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return location


async def watch(url: str, frames: int, deadline_s: float = 30) -> dict[str, list[Any]]:
    """Watch by aiortc until so many frames of each kind were decoded."""
    peer, came = RTCPeerConnection(), {"video": [], "audio": []}  # type: ignore[var-annotated]
    peer.addTransceiver("video", direction="recvonly")
    peer.addTransceiver("audio", direction="recvonly")

    async def read(track: MediaStreamTrack) -> None:
        while len(came[track.kind]) < frames:
            came[track.kind].append(await track.recv())

    reading: list[asyncio.Task[None]] = []
    peer.on("track", lambda track: reading.append(asyncio.create_task(read(track))))
    try:
        await negotiate(peer, url)
        async with asyncio.timeout(deadline_s):
            await asyncio.gather(*reading)
    finally:
        await peer.close()
    return came


def codecs_of(stream: object) -> list[str]:
    """The codecs of a stream, pictures first."""
    return [track.codec for track in stream.tracks]  # type: ignore[attr-defined]


async def test_ffmpeg_publishes_by_whip_and_rtmp_plays_it(server: WebRtcServer, ffmpeg: str, tmp_path: Path) -> None:
    whip = [ffmpeg, "-v", "error", *TEST_PICTURE, *TEST_SOUND, *H264, *OPUS, "-f", "whip", server.url("/live/cam/whip")]
    async with running(*whip) as publisher:
        stream = await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2 and it, what="it")
        assert codecs_of(stream) == ["H264", "Opus"]
        assert (stream.protocol, (stream.agent or "")[:4]) == ("webrtc", "Lavf")
        assert stream.peer.startswith("127.0.0.1")
        assert (stream.tracks[0].width, stream.tracks[0].height) == (320, 180)
        played = await run(ffmpeg, "-v", "error", "-i", server.rtmp_url("live/cam"), "-t", "3", "-f", "null", "-")
        assert (played.returncode, played.stderr) == (0, "")
        publisher.terminate()
        await publisher.wait()
    await eventually(lambda: server.stream("live/cam") is None, what="it ends with its publisher")


async def test_whip_publishes_into_a_registry_in_plain_python_and_whep_plays_from_it(
    ffmpeg: str, tmp_path: Path
) -> None:
    registry, key = MemoryRegistry(), arcly.StreamKey("live", "cam")
    async with serving(tmp_path, registry=registry) as server:
        url = server.url("/live/cam/whip")
        async with running(ffmpeg, "-v", "error", *TEST_PICTURE, *TEST_SOUND, *H264, *OPUS, "-f", "whip", url):
            stream = await eventually(lambda: (it := registry.get_stream(key)) and len(it.tracks) == 2 and it)
            assert server.engine.list_streams() == [stream]
            assert (stream.protocol, codecs_of(stream)) == ("webrtc", ["H264", "Opus"])
            assert stream.peer.startswith("127.0.0.1")
            came = await watch(server.url("/live/cam/whep"), 10)
        assert {frame.width for frame in came["video"]} == {320}
        await eventually(lambda: registry.get_stream(key) is None, what="it ends with its publisher")


async def test_aiortc_publishes_and_aiortc_watches(server: WebRtcServer) -> None:
    publisher = RTCPeerConnection()
    publisher.addTrack(VideoStreamTrack())
    publisher.addTrack(AudioStreamTrack())
    try:
        await negotiate(publisher, server.url("/live/cam/whip"))
        await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2, what="two tracks")
        came = await watch(server.url("/live/cam/whep"), 30)
        assert {frame.width for frame in came["video"]} == {640}
        assert {frame.sample_rate for frame in came["audio"]} == {48_000}
    finally:
        await publisher.close()
    await eventually(lambda: server.stream("live/cam") is None, what="it ends with its publisher")


def only(peer: RTCPeerConnection, kind: str, name: str) -> None:
    """Offer one codec of a kind, and what repeats it."""
    wanted = {f"{kind}/{name}".lower(), f"{kind}/rtx"}
    capabilities = RTCRtpSender.getCapabilities(kind).codecs
    transceiver = next(it for it in peer.getTransceivers() if it.kind == kind)
    transceiver.setCodecPreferences([codec for codec in capabilities if codec.mimeType.lower() in wanted])


@pytest.mark.parametrize(
    ("picture", "sound", "rate_hz"),
    [("H264", "PCMU", 8000), ("VP8", "PCMA", 8000), ("H264", "opus", 48_000)],
)
async def test_each_codec_of_aiortc_goes_in_and_comes_out(
    server: WebRtcServer, picture: str, sound: str, rate_hz: int
) -> None:
    publisher = RTCPeerConnection()
    publisher.addTrack(VideoStreamTrack())
    publisher.addTrack(AudioStreamTrack())
    only(publisher, "video", picture)
    only(publisher, "audio", sound)
    try:
        await negotiate(publisher, server.url("/live/cam/whip"))
        stream = await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2 and it, what="it")
        names = {"PCMU": "G711U", "PCMA": "G711A", "opus": "Opus"}
        assert codecs_of(stream) == [picture, names[sound]]
        assert stream.tracks[1].sample_rate_hz == rate_hz
        came = await watch(server.url("/live/cam/whep"), 20, deadline_s=60)
        assert {frame.width for frame in came["video"]} == {640}
        assert {frame.sample_rate for frame in came["audio"]} <= {8000, 48_000}
    finally:
        await publisher.close()


async def test_what_comes_by_rtmp_is_watched_by_aiortc(server: WebRtcServer, ffmpeg: str) -> None:
    flv = [*H264, *OPUS, "-f", "flv", server.rtmp_url("live/cam")]
    async with running(ffmpeg, "-v", "error", *TEST_PICTURE, *TEST_SOUND, *flv):
        await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2, what="two tracks")
        came = await watch(server.url("/live/cam/whep"), 40)
        assert {(frame.width, frame.height) for frame in came["video"]} == {(320, 180)}
        viewers = server.webrtc.list_viewers()
    assert [viewer.protocol for viewer in viewers] in ([], ["webrtc"])


async def test_aac_by_rtmp_is_heard_as_opus(server: WebRtcServer, ffmpeg: str) -> None:
    flv = [*H264, "-c:a", "aac", "-f", "flv", server.rtmp_url("live/cam")]
    async with running(ffmpeg, "-v", "error", *TEST_PICTURE, *TEST_SOUND, *flv):
        await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2, what="two tracks")
        came = await watch(server.url("/live/cam/whep"), 60)
    loudest = [int(abs(frame.to_ndarray()).max()) for frame in came["audio"][20:]]
    assert min(loudest) > 1000, loudest  # a sine never pauses, and so does its copy not
    times = [frame.pts for frame in came["audio"]]
    assert {after - before for before, after in itertools.pairwise(times)} == {960}


async def test_b_frames_are_made_into_pictures_in_order_where_the_stream_says_so(tmp_path: Path, ffmpeg: str) -> None:
    def policy(key: arcly.StreamKey) -> BFrames:
        return "transcode" if key.stream == "whole" else "drop"

    async with serving(tmp_path, arcly.WebRtcHandler("127.0.0.1:0", b_frames=policy)) as server:
        gaps: dict[str, set[float]] = {}
        for name in "live/whole", "live/thin":
            async with running(*publish(ffmpeg, server.rtmp_url(name))):
                await eventually(lambda: (it := server.stream(name)) and len(it.tracks) == 2, what="two tracks")  # noqa: B023
                came = await watch(server.url(f"/{name}/whep"), 50, deadline_s=90)
            # Behind what was there already, which is played faster.
            times = [frame.time for frame in came["video"][-25:]]
            gaps[name] = {round(after - before, 2) for before, after in itertools.pairwise(times)}
            assert len(came["audio"]) == 50
        assert gaps["live/whole"] == {0.04}
        assert max(gaps["live/thin"]) >= 0.08, "of a stream with B-frames some pictures are left out"


async def test_sound_and_picture_of_a_publisher_are_on_one_clock(server: WebRtcServer, ffmpeg: str) -> None:
    # A flash and a beep on each second: what FFmpeg finds of them is apart by as much as arcly has moved them.
    flash = "color=black:size=320x180:rate=25,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.12)'"
    beep = "aevalsrc='if(lt(mod(t,1),0.12),sin(2*PI*880*t),0)':s=48000"
    source = ["-re", "-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep]
    whip = [ffmpeg, "-v", "error", *source, *H264, *OPUS, "-f", "whip", server.url("/live/cam/whip")]
    async with running(*whip):
        await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2, what="two tracks")
        # Past its first seconds: then the sender has told its clocks.
        await eventually(lambda: server.stream("live/cam").stats.video_frames >= 75, what="three seconds of pictures")
        flashes, beeps = await edges(ffmpeg, server.url("/live/cam.ts"))
    apart = [min(flash - beep for beep in beeps if abs(flash - beep) < 0.5) for flash in flashes[1:4]]
    assert all(abs(seconds) <= 0.04 for seconds in apart), (flashes, beeps)


async def edges(ffmpeg: str, url: str) -> tuple[list[float], list[float]]:
    """The times at which pictures become white and sound begins."""
    filters = "[0:v]blackdetect=d=0.05:pix_th=0.5[v];[0:a]silencedetect=n=-30dB:d=0.3[a]"
    command = [ffmpeg, "-copyts", "-t", "6", "-i", url, "-filter_complex", filters, "-map", "[v]", "-map", "[a]"]
    found = await run(*command, "-f", "null", "-")
    words = found.stderr.replace("\r", "\n")
    flashes = [float(line.split("black_end:")[1].split()[0]) for line in words.splitlines() if "black_end:" in line]
    beeps = [float(line.split("silence_end:")[1].split()[0]) for line in words.splitlines() if "silence_end:" in line]
    assert len(flashes) >= 4, words
    assert len(beeps) >= 4, words
    return flashes, beeps


async def test_messages_of_a_publisher_are_a_track_and_reach_its_viewers(server: WebRtcServer) -> None:
    publisher, viewer, told = RTCPeerConnection(), RTCPeerConnection(), asyncio.Queue[str | bytes]()
    publisher.addTrack(VideoStreamTrack())
    said = publisher.createDataChannel("score")
    viewer.addTransceiver("video", direction="recvonly")
    heard = viewer.createDataChannel("score")
    heard.on("message", told.put_nowait)
    try:
        await negotiate(publisher, server.url("/live/cam/whip"))
        stream = await eventually(lambda: (it := server.stream("live/cam")) and len(it.tracks) == 2 and it, what="it")
        assert [(track.kind, track.codec) for track in stream.tracks] == [("video", "VP8"), ("data", "Message")]
        await negotiate(viewer, server.url("/live/cam/whep"))
        await eventually(lambda: said.readyState == heard.readyState == "open", what="both channels")
        async with stream.subscribe(tracks=[2]) as frames:
            for message in ("1:0 für uns", b"\xff\x00"):
                said.send(message)
                frame = await asyncio.wait_for(anext(aiter(frames)), 60)
                assert bytes(frame) == (message.encode() if isinstance(message, str) else message)
                assert await asyncio.wait_for(told.get(), 60) == message
    finally:
        await publisher.close()
        await viewer.close()
