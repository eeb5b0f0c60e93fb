"""HLS and DASH of every codec that CMAF carries, read by two ffmpegs; renditions; what a gate lets through."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin
from xml.etree import ElementTree

import pytest
from conformance import dash, mpd, multivariant
from conformance.playlist import parse
from conftest import Server, eventually, missing, run

import arcly
from arcly.media import MediaReader

CLIP = Path(__file__).parents[1] / "clips" / "b_frames.flv"

CODECS = {
    "h264+aac": (
        ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25"],
        ["-c:a", "aac"],
        "avc1.",
        "mp4a.40.2",
    ),
    "h265+aac": (
        ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=2"],
        ["-c:a", "aac"],
        "hvc1.",
        "mp4a.40.2",
    ),
    "av1+opus": (
        ["-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-svtav1-params", "lookahead=0"],
        ["-c:a", "libopus"],
        "av01.",
        "opus",
    ),
    "vp9+opus": (
        ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25"],
        ["-c:a", "libopus"],
        "vp09.",
        "opus",
    ),
    "h264+mp3": (
        ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25"],
        ["-c:a", "libmp3lame"],
        "avc1.",
        "mp4a.40.34",
    ),
    "h264+ac3": (["-c:v", "libx264", "-preset", "ultrafast", "-g", "25"], ["-c:a", "ac3"], "avc1.", "ac-3"),
    "h264+flac": (["-c:v", "libx264", "-preset", "ultrafast", "-g", "25"], ["-c:a", "flac"], "avc1.", "flac"),
}


@pytest.fixture(scope="session")
def encoded(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Clips of four seconds, made once."""
    folder = tmp_path_factory.mktemp("encoded")

    def make(case: str, size: str = "320x180") -> Path:
        path = folder / f"{case}-{size}.mp4"
        if not path.exists():
            video, audio, _, _ = CODECS[case]
            inputs = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25"]
            inputs += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
            command = [
                ffmpeg,
                "-v",
                "error",
                *inputs,
                "-t",
                "4",
                *video,
                *audio,
                "-ac",
                "2",
                "-pix_fmt",
                "yuv420p",
                str(path),
            ]
            subprocess.run(command, check=True, timeout=60)
        return path

    return make


def readers(ffmpeg: str) -> list[str]:
    """The newest ffmpeg and that of Debian."""
    old = shutil.which("ffmpeg", path="/usr/bin")
    if old is None:
        missing("ffmpeg (on Debian: apt-get install ffmpeg)")
    assert old is not None
    return [ffmpeg, old]


@pytest.mark.parametrize("case", CODECS)
async def test_two_ffmpegs_read_every_codec_by_hls_and_dash(
    server: Server, ffmpeg: str, encoded: Callable[..., Path], case: str
) -> None:
    source = arcly.FileSource(encoded(case), arcly.StreamKey("live", "cam"))
    await source.start(server.engine)
    await eventually(lambda: server.http.hls_path(arcly.StreamKey("live", "cam")))
    _, _, video, audio = CODECS[case]
    for name in ("index.m3u8", "manifest.mpd"):
        url = server.url(f"/live/cam/{name}")
        for reader in readers(ffmpeg):
            read = await run(
                reader, "-v", "error", "-i", url, "-t", "2.5", "-map", "0", "-f", "framemd5", "-c", "copy", "-"
            )
            assert (read.returncode, read.stderr) == (0, ""), (name, reader)
            lines = [line for line in read.stdout.decode().splitlines() if line[:1] not in "#"]
            assert len([line for line in lines if line.startswith("0,")]) >= 50, (name, reader)
            assert len([line for line in lines if line.startswith("1,")]) >= 50, (name, reader)
    index = (await fetch(server, "index.m3u8")).decode()
    codecs = re.search(r'CODECS="([^"]*)"', index)[1].split(",")
    assert codecs[0].startswith(video)
    assert codecs[1] == audio
    await source.stop()


async def fetch(server: Server, name: str, stream: str = "cam") -> bytes:
    """A file of a stream."""
    reader, writer = await asyncio.open_connection(*server.http.address)
    path = urljoin(f"/live/{stream}/", name)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200"), head
    return body


async def test_a_file_of_one_group_of_pictures_begins_at_0_and_has_its_pictures_in_hls(
    server: Server, clip: Callable[..., Path]
) -> None:
    """Found by reading: where B-frames make the first picture decoded before 0, that and all behind it were refused."""
    key = arcly.StreamKey("live", "cam")
    source = arcly.FileSource(clip(seconds=4, gop=200, b_frames=2), key, loop=False)
    await source.start(server.engine)
    await eventually(lambda: server.stream("live/cam"))
    times = [(frame.is_key, frame.dts) async for frame in server.stream("live/cam").subscribe() if frame.track == 0]
    assert times[0] == (True, 0)
    assert len(times) == 100
    playlist = parse((await fetch(server, "v0.m3u8")).decode())
    assert sum(segment.seconds for segment in playlist.segments) == pytest.approx(4, abs=0.1)


async def test_renditions_are_variants_of_one_playlist_and_one_set_of_dash(
    server: Server, ffmpeg: str, encoded: Callable[..., Path]
) -> None:
    sources = []
    for stream, size in ("cam", "640x360"), ("cam~180p", "320x180"):
        source = arcly.FileSource(encoded("h264+aac", size), arcly.StreamKey("live", stream))
        await source.start(server.engine)
        sources.append(source)
    await eventually(lambda: server.http.hls_path(arcly.StreamKey("live", "cam~180p")))
    await fetch(server, "index.m3u8", "cam~180p")
    index = (await fetch(server, "index.m3u8")).decode()
    assert multivariant.faults(multivariant.parse(index)) == []
    variants = re.findall(r"#EXT-X-STREAM-INF:(.*)\n(.*)\n", index)
    assert [re.search(r"RESOLUTION=(\w+)", attributes)[1] for attributes, _ in variants] == ["640x360", "320x180"]
    assert [uri.partition("?")[0] for _, uri in variants] == ["v0.m3u8", "../cam%7E180p/v0.m3u8"]
    for attributes, uri in variants:
        assert 'AUDIO="aac"' in attributes
        assert b"#EXT-X-PART-INF" in await fetch(server, uri)
    assert index.count("#EXT-X-MEDIA:TYPE=AUDIO") == 1
    # Each tells how far all others of the multivariant playlist are (RFC 8216bis §4.4.5.4).
    for stream, others in (
        ("cam", {"a1.m3u8", "../cam%7E180p/v0.m3u8"}),
        ("cam~180p", {"../cam/v0.m3u8", "../cam/a1.m3u8"}),
    ):
        playlist = parse((await fetch(server, "v0.m3u8", stream)).decode())
        reports = {report["URI"]: report for report in playlist.reports}
        assert others <= set(reports), stream
        for uri in others:
            other = parse((await fetch(server, uri, stream)).decode())
            assert abs(int(reports[uri]["LAST-MSN"]) - other.next_sequence) <= 1
    assert server.http.viewers(arcly.StreamKey("live", "cam")) == 1
    root = ElementTree.fromstring(await fetch(server, "manifest.mpd"))
    assert mpd.faults(root) + dash.faults(root) == []
    names = {"": "urn:mpeg:dash:schema:mpd:2011"}
    video, audio = root.findall("Period/AdaptationSet", names)
    heights = [it.get("height") for it in video.findall("Representation", names)]
    assert (heights, len(audio.findall("Representation", names))) == (["360", "180"], 1)
    for name in ("index.m3u8", "manifest.mpd"):
        url = server.url(f"/live/cam/{name}")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "2", "-map", "0:v", "-f", "null", "-")
        assert (read.returncode, read.stderr) == (0, ""), name
    for source in sources:
        await source.stop()


async def test_dolby_vision_and_languages_of_a_publisher_in_python_are_said() -> None:
    frames = []
    reader = MediaReader(CLIP)
    while read := reader.read():
        frames += read
    video, audio = frames[0].tracks
    # Profile 9, which is H.264, compatible with SDR.
    record = bytes([1, 0, 0x12, 0x2D, 0x20]) + bytes(19)
    pictures = arcly.Track(video.id, "H264", video.config, dolby_vision=record)
    sound = arcly.Track(audio.id, "AAC", audio.config, language="deu")
    assert (pictures.dolby_vision, sound.language) == (record, "deu")
    with pytest.raises(arcly.MisuseError):
        arcly.Track(0, "AAC", audio.config, language="German")
    http = arcly.HttpOrigin("127.0.0.1:0")
    roomy = arcly.AppSpec(ring_frames=1 << 14, ring_bytes=1 << 28)
    async with arcly.Engine(http, default_app=roomy) as engine:
        key = arcly.StreamKey("live", "dv")
        session = await engine.start_publish(key)
        # It begins with the newest key frame.
        await eventually(lambda: http.hls_path(key))
        for frame in frames:
            again = arcly.MediaFrame(
                frame,
                [pictures, sound],
                track=frame.track,
                pts=frame.pts,
                dts=frame.dts,
                duration=frame.duration,
                key=frame.is_key,
            )
            session.send(again)
        assert http.address
        url = f"http://127.0.0.1:{http.address[1]}/live/dv"

        def fetch(name: str) -> str:
            with urllib.request.urlopen(f"{url}/{name}", timeout=60) as answer:
                return str(answer.read(), "utf-8")

        playlist = await asyncio.to_thread(fetch, "index.m3u8")
        assert multivariant.faults(multivariant.parse(playlist)) == []
        assert 'SUPPLEMENTAL-CODECS="dva1.09.05/db2g"' in playlist
        assert 'LANGUAGE="deu"' in playlist
        manifest = await asyncio.to_thread(fetch, "manifest.mpd")
        assert 'scte214:supplementalCodecs="dva1.09.05" scte214:supplementalProfiles="db2g"' in manifest
        assert 'lang="deu"' in manifest
        session.end()
