"""What players get of a recording is what was published."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import m3u8
import pytest
from conftest import eventually

import arcly
from arcly._native import Outline, Vod
from arcly.contract import StreamAuthenticator
from arcly.media import Demuxer
from arcly.server.recordings import OpenFile, Recordings
from arcly.server.serve import answering
from arcly.server.viewers import Viewers
from arcly.server.web import create_app
from recording.conftest import KEY, ROOMY, demo_frames, later, payloads

BASE = "/recordings/id:1"


@dataclass
class Served:
    """A recorder behind an origin."""

    engine: arcly.Engine
    recorder: arcly.Recorder
    url: str

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        found = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        if found.get("transfer-encoding") == "chunked":
            body = unchunk(body)
        return int(status.split()[1]), found, body


def unchunk(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


@asynccontextmanager
async def serving_recordings(
    directory: Path,
    *,
    may_change: bool = True,
    authenticator: StreamAuthenticator | None = None,
    **options: Any,
) -> AsyncIterator[Served]:
    recorder = arcly.Recorder(directory, record=["*"], **options)
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "app.sock"
        http = arcly.HttpOrigin("127.0.0.1:0", app_socket=socket)
        engine = arcly.Engine(recorder, http, default_app=ROOMY, authenticator=authenticator)
        app = create_app(dict, Viewers({}), recordings=Recordings(recorder, engine, may_change=may_change))
        async with answering(app, socket), engine:
            assert http.address
            yield Served(engine, recorder, f"http://127.0.0.1:{http.address[1]}")


async def publish(served: Served, frames: list[arcly.MediaFrame]) -> None:
    """Publish frames and wait until they are on the disk."""
    session = await served.engine.start_publish(KEY)
    before = served.recorder.status(KEY)
    await eventually(lambda: (status := served.recorder.status(KEY)) and status.state == "recording")
    for frame in frames:
        session.send(frame)
    session.end()
    expected = (before.frames if before else 0) + len(frames)
    await eventually(lambda: (status := served.recorder.status(KEY)) and status.frames == expected)
    await eventually(lambda: (status := served.recorder.status(KEY)) and status.state == "waiting")


async def frames_of(served: Served, base: str, track: int) -> list[arcly.MediaFrame]:
    """All frames of a track, as a player of HLS reads them."""
    status, _, body = await served.get(f"{base}/{track}.m3u8")
    assert status == 200
    playlist = m3u8.loads(body.decode())
    frames: list[arcly.MediaFrame] = []
    for segment in (segment for segment in playlist.segments if not segment.gap_tag):
        demuxer = Demuxer("mp4")
        _, _, init = await served.get(f"{base}/{segment.init_section.uri}")
        status, headers, media = await served.get(f"{base}/{segment.uri}")
        assert (status, headers["content-type"]) == (200, "video/mp4")
        found = [*demuxer.feed(init + media), *demuxer.finish()]
        lasts_s = sum(frame.duration / frame.clock_rate_hz for frame in found)
        assert segment.duration == pytest.approx(lasts_s, abs=0.1)
        assert segment.duration <= playlist.target_duration + 0.5
        frames += found
    return frames


async def test_hls_has_every_frame_of_a_recording_in_many_files_with_a_gap(tmp_path: Path) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, segment_s=3) as served:
        await publish(served, frames)
        await publish(served, frames[:400])
        await served.recorder.finish(KEY)
        _, headers, index = await served.get("/recordings/id:1/index.m3u8")
        assert headers["content-type"] == "application/vnd.apple.mpegurl"
        (variant,) = m3u8.loads(index.decode()).playlists
        assert variant.uri == "0.m3u8"
        assert variant.stream_info.resolution == (1280, 720)
        assert variant.media[0].uri == "1.m3u8"
        found = payloads([*await frames_of(served, BASE, 0), *await frames_of(served, BASE, 1)])
        assert found == payloads([*frames, *frames[:400]])
        _, _, playlist = await served.get("/recordings/id:1/0.m3u8")
        assert playlist.count(b"#EXT-X-DISCONTINUITY\n") == 1
        assert playlist.count(b"#EXT-X-MAP") == 2
        assert playlist.endswith(b"#EXT-X-ENDLIST\n")


@pytest.mark.parametrize("format", ["fmp4", "mp4"])
async def test_times_of_segments_go_on_over_the_ends_of_files(tmp_path: Path, format: str) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, format=format, segment_s=3) as served:
        await publish(served, frames)
        await served.recorder.finish(KEY)
        for track, kind in enumerate(("video", "audio")):
            found = await frames_of(served, BASE, track)
            published = [frame for frame in frames if frame.kind == kind]
            offset = published[0].pts - found[0].pts
            assert [(f.pts + offset, f.dts + offset) for f in found] == [(f.pts, f.dts) for f in published]


async def test_a_recording_that_goes_on_is_played_up_to_now(tmp_path: Path) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, segment_s=3, resume_s=3600) as served:
        await publish(served, frames)
        _, _, before = await served.get("/recordings/id:1/0.m3u8")
        assert b"#EXT-X-PLAYLIST-TYPE:EVENT" in before
        assert b"ENDLIST" not in before
        await publish(served, frames)
        _, _, after = await served.get("/recordings/id:1/0.m3u8")
        assert after.startswith(before)
        assert len(after) > len(before)


async def test_a_file_that_is_finished_changes_nothing_that_players_have_seen(tmp_path: Path) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, format="mp4") as served:
        session = await served.engine.start_publish(KEY)
        await eventually(lambda: (status := served.recorder.status(KEY)) and status.state == "recording")
        for frame in frames:
            session.send(frame)
        await eventually(lambda: (status := served.recorder.status(KEY)) and status.frames > len(frames) - 100)
        before = [await served.get(f"{BASE}/{track}.m3u8") for track in (0, 1)]
        session.end()
        await served.recorder.finish(KEY)
        for track, (_, _, playlist) in enumerate(before):
            assert playlist.count(b"#EXTINF") >= 2
            _, _, after = await served.get(f"{BASE}/{track}.m3u8")
            assert named(after)[: len(named(playlist))] == named(playlist)


def named(playlist: bytes) -> list[bytes]:
    """The segments of a playlist: how long they are, and their names."""
    return [line for line in playlist.splitlines() if line.startswith(b"#EXTINF") or not line.startswith(b"#")]


@pytest.mark.parametrize("name", ["index.m3u8", "manifest.mpd"])
async def test_ffmpeg_plays_every_packet(tmp_path: Path, name: str) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, segment_s=3) as served:
        await publish(served, frames)
        await served.recorder.finish(KEY)
        for kind, published in payloads(frames).items():
            # One track at a time: with both, FFmpeg 5.1 does not give out all that it reads of DASH.
            fields = ["-select_streams", kind[0], "-count_packets", "-show_entries", "stream=nb_read_packets"]
            command = ["ffprobe", "-v", "error", *fields, "-of", "json", f"{served.url}{BASE}/{name}"]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
            assert (done.returncode, done.stderr) == (0, b"")
            (stream,) = json.loads(done.stdout)["streams"]
            assert int(stream["nb_read_packets"]) == len(published)


async def test_a_clip_begins_at_a_key_frame_and_has_what_was_published(tmp_path: Path, ffprobe: Any) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path / "recordings", segment_s=3) as served:
        await publish(served, frames)
        await served.recorder.finish(KEY)
        status, headers, body = await served.get("/recordings/id:1/clip.mp4?start=5&duration=3")
        assert (status, headers["content-type"]) == (200, "video/mp4")
        assert int(headers["content-length"]) == len(body)
        part = await served.get("/recordings/id:1/clip.mp4?start=5&duration=3", range="bytes=100-299")
        assert (part[0], part[1]["content-range"], part[2]) == (206, f"bytes 100-299/{len(body)}", body[100:300])
        _, _, whole = await served.get("/recordings/id:1/clip.mp4")
    video = payloads(frames)["video"]
    path = tmp_path / "clip.mp4"
    path.write_bytes(body)
    clip = arcly.media.MediaReader(path).read(10_000)
    found = payloads(clip)["video"]
    first = video.index(found[0])
    assert next(frame for frame in clip if frame.kind == "video").is_key
    assert found == video[first : first + len(found)]
    assert 3 <= ffprobe(path).duration_s <= 5.2
    path.write_bytes(whole)
    assert payloads(arcly.media.MediaReader(path).read(10_000)) == payloads(frames)
    assert ffprobe(path).packets == len(frames)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=10-", (206, 10, None)),
        ("bytes=-5", (206, -5, None)),
        ("bytes=0-99999999999", (206, 0, None)),
        ("bytes=5-2", (200, 0, None)),
        ("bytes=", (200, 0, None)),
        ("bytes=-", (200, 0, None)),
        ("bytes=0-1,5-6", (200, 0, None)),
        ("lines=0-1", (200, 0, None)),
        ("bytes=999999999-", (416, 0, 0)),
        ("bytes=-0", (416, 0, 0)),
    ],
)
async def test_ranges_of_a_file(tmp_path: Path, asked: str, expected: tuple[int, int, int | None]) -> None:
    async with serving_recordings(tmp_path) as served:
        await publish(served, demo_frames()[:200])
        await served.recorder.finish(KEY)
        (segment,) = await served.recorder.index.segments(1)
        content = await asyncio.to_thread((tmp_path / segment.path).read_bytes)
        status, headers, body = await served.get("/recordings/id:1/files/0", range=asked)
        assert (status, body) == (expected[0], content[slice(*expected[1:])])
        assert headers["accept-ranges"] == "bytes"
        head = await served.get("/recordings/id:1/files/0", "HEAD", range=asked)
        assert (head[0], head[2]) == (status, b"")
        assert head[1].get("content-length", "0") == headers.get("content-length", "0")
        same = await served.get("/recordings/id:1/files/0", if_none_match=headers["etag"])
        assert (same[0], same[2]) == (304, b"")
        other = await served.get("/recordings/id:1/files/0", range="bytes=0-1", if_range='"other"')
        assert (other[0], other[2]) == (200, content)


async def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path) as served:
        await publish(served, demo_frames()[:200])
        await served.recorder.finish(KEY)
        there = ["7.m3u8", "0-17.m4s", "7-0.m4s", "init-3-0.mp4", "files/1", "../x", "%2e%2e/x"]
        for path in ["id:2/index.m3u8", "id:x/index.m3u8", "1/index.m3u8", *(f"id:1/{name}" for name in there)]:
            assert (await served.get(f"/recordings/{path}"))[0] == 404, path
        for query in ("start=x", "duration=-1", "start=nan", "start=inf"):
            assert (await served.get(f"/recordings/id:1/clip.mp4?{query}"))[0] == 400, query


async def test_recordings_are_begun_ended_and_deleted_over_http_only_by_the_page_itself(tmp_path: Path) -> None:
    ours = {"x_arcly_record": "1"}
    async with serving_recordings(tmp_path) as served:
        await publish(served, demo_frames()[:200])
        assert (await served.get("/api/recordings/finish?stream=live/cam", "POST"))[0] == 403
        cross = {**ours, "sec_fetch_site": "cross-site"}
        assert (await served.get("/api/recordings/finish?stream=live/cam", "POST", **cross))[0] == 403
        assert (await served.get("/api/recordings/1", "DELETE", **ours))[0] == 409
        assert (await served.get("/api/recordings/finish?stream=live/cam", "POST", **ours))[0] == 204
        assert (await served.get("/api/recordings/finish?stream=live/cam", "POST", **ours))[0] == 404
        status, _, body = await served.get("/api/recordings?stream=live/cam", "POST", **ours)
        assert (status, json.loads(body)) == (404, {"error": "live/cam is not published"})
        for query in ("", "?app=live&stream=cam", "?stream=live"):
            status, _, body = await served.get(f"/api/recordings{query}", "POST", **ours)
            assert (status, json.loads(body)["error"][:27]) == (400, "stream=APP/STREAM is needed"), query
        session = await served.engine.start_publish(arcly.StreamKey("live", "other"))
        status, _, body = await served.get("/api/recordings?stream=live/other", "POST", **ours)
        assert (status, json.loads(body)) == (201, {"id": 2})
        session.end()
        _, _, body = await served.get("/api/recordings?stream=live/cam")
        (said,) = json.loads(body)["recordings"]
        assert (said["id"], said["state"], said["frames"]) == (1, "ended", 200)
        assert (await served.get("/api/recordings/1", "DELETE", **ours))[0] == 204
        assert (await served.get("/api/recordings/1", "DELETE", **ours))[0] == 404
        assert not list(tmp_path.rglob("*.mp4"))  # noqa: ASYNC240


async def test_nothing_is_changed_without_leave(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path, may_change=False) as served:
        await publish(served, demo_frames()[:200])
        status, _, _ = await served.get("/api/recordings/finish?stream=live/cam", "POST", x_arcly_record="1")
        assert status == 403
        assert re.search(rb'"may_change":false', (await served.get("/api/recordings"))[2])


async def test_playlists_have_tags_and_are_compressed_for_who_takes_it(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path) as served:
        await publish(served, demo_frames())
        await served.recorder.finish(KEY)
        for name in ("0.m3u8", "manifest.mpd"):
            status, headers, plain = await served.get(f"{BASE}/{name}")
            assert (status, headers["cache-control"], headers["vary"]) == (200, "no-cache", "accept-encoding")
            assert headers["access-control-allow-origin"] == "*"
            status, _, nothing = await served.get(f"{BASE}/{name}", If_None_Match=headers["etag"])
            assert (status, nothing) == (304, b"")
        # The playlist of 10 s is not worth it.
        _, small, packed = await served.get(f"{BASE}/manifest.mpd", Accept_Encoding="gzip")
        assert small["content-encoding"] == "gzip"
        assert small["etag"] != headers["etag"]
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain)


class Counting:
    """A file that counts what is read of it."""

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        self.size = len(self._bytes)
        self.read_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        found = self._bytes[offset : offset + size]
        self.read_bytes += len(found)
        return found


@pytest.mark.parametrize("format", ["ts", "flv"])
async def test_the_first_play_of_a_recorded_stream_reads_one_part_of_it(tmp_path: Path, format: str) -> None:
    frames = [frame for turn in range(5) for frame in later(demo_frames(), 10 * turn)]
    async with serving_recordings(tmp_path, format=format, resume_s=0) as served:
        session = await served.engine.start_publish(KEY)
        await eventually(lambda: (status := served.recorder.status(KEY)) and status.state == "recording")
        for frame in frames:
            session.send(frame)
        # While it is being written: nothing of the file is read.
        await eventually(lambda: (status := served.recorder.status(KEY)) and status.frames > len(frames) // 2)
        (growing,) = await eventually(lambda: served.recorder.index.segments(1))
        await eventually(lambda: (outline := served.recorder._growing(growing)) and outline.fragments > 5)
        session.end()
        await eventually(lambda: served.recorder.status(KEY) is None)
        (segment,) = await served.recorder.index.segments(1)
        packed = (await served.recorder.index.outlines([segment.id]))[segment.id]
        whole = Outline(tmp_path / segment.path)
        # What was noted while it was written is what is found when it is read.
        assert packed == whole.packed
        file = Counting(tmp_path / segment.path)
        kept = Outline(file, packed=packed)
        assert 0 < file.read_bytes < file.size // 10
        assert kept.fragments == whole.fragments
        place = (0, 0, segment.base_ticks, segment.base_hz, False, segment.began_unix_ms)
        playlists = [
            (vod.multivariant_playlist(), vod.media_playlist(0), vod.media_playlist(1), vod.manifest())
            for vod in (Vod([(tmp_path / segment.path, outline, *place)], True) for outline in (kept, whole))
        ]
        assert playlists[0] == playlists[1]
        # One that is of another file is passed over.
        cut = tmp_path / "cut"
        cut.write_bytes((tmp_path / segment.path).read_bytes()[: segment.bytes // 2])
        other = Counting(cut)
        assert Outline(other, packed=packed).fragments < whole.fragments
        assert other.read_bytes >= other.size


async def test_what_was_read_for_a_first_play_is_kept_for_the_next(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path, format="ts") as served:
        await publish(served, demo_frames()[:300])
        await served.recorder.finish(KEY)
    # As an arcly before this one has left it.
    database = sqlite3.connect(tmp_path / ".arcly" / "index.db")
    database.executescript("DROP TABLE outline; DROP TABLE sending; PRAGMA user_version = 1;")
    database.close()
    async with serving_recordings(tmp_path, format="ts") as served:
        (segment,) = await served.recorder.index.segments(1)
        assert await served.recorder.index.outlines([segment.id]) == {}
        status, _, _ = await served.get(f"{BASE}/index.m3u8")
        assert status == 200
        assert await served.recorder.index.outlines([segment.id]) != {}
        assert await served.recorder.delete(1)
        assert await served.recorder.index.outlines([segment.id]) == {}


def test_a_file_is_read_to_its_end_though_it_is_deleted_or_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"what was there")
    file = OpenFile(path)
    (tmp_path / "b.mp4").write_bytes(b"something else, and longer")
    (tmp_path / "b.mp4").replace(path)
    assert (file.stamp[0], file.read(0, 4)) == (14, b"what")
    path.unlink()
    assert file.read(5, 100) == b"was there"
