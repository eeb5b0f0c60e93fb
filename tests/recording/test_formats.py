"""Every kind of recording is played alike, wherever its files are."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import m3u8
import pytest
from conftest import eventually

import arcly
from arcly._native import Outline, Remuxed
from arcly.contract import StorageBackend
from arcly.media import MediaReader
from arcly.recording.playback import Playback
from arcly.storage import FileStorage, MemoryStorage
from recording.conftest import CLIP, KEY, demo_frames, later, payloads, record_demo
from recording.test_playback import BASE, Served, frames_of, publish, serving_recordings

TOLERANCE_S = {"mp4": 1e-9, "ts": 1.5 / 90_000, "flv": 0.0015}
"""How exact times are in a container."""


async def recorded(served: Served, frames: list[arcly.MediaFrame]) -> None:
    await publish(served, frames)
    await served.recorder.finish(KEY)


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_a_player_gets_every_frame_at_its_time(tmp_path: Path, format: Any) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, format=format, segment_s=5) as served:
        await recorded(served, frames)
        assert len(await served.recorder.index.segments(1)) == 2
        found: list[arcly.MediaFrame] = []
        for track, kind in enumerate(("video", "audio")):
            of_track = await frames_of(served, BASE, track)
            published = [frame for frame in frames if frame.kind == kind]
            assert len(of_track) == len(published)
            offset_s = seconds(published[0].pts, published[0]) - seconds(of_track[0].pts, of_track[0])
            for one, other in zip(of_track, published, strict=True):
                for name in ("pts", "dts"):
                    apart_s = seconds(getattr(one, name), one) + offset_s - seconds(getattr(other, name), other)
                    assert abs(apart_s) <= TOLERANCE_S[format] * 1.5, (name, apart_s)
            assert [one.is_key for one in of_track] == [one.is_key for one in published]
            found += of_track
        assert payloads(found) == payloads(frames)


def seconds(ticks: int, frame: arcly.MediaFrame) -> float:
    return ticks / frame.clock_rate_hz


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_segments_begin_with_key_frames(tmp_path: Path, format: Any) -> None:
    async with serving_recordings(tmp_path, format=format) as served:
        await recorded(served, demo_frames())
        _, _, body = await served.get(f"{BASE}/0.m3u8")
        playlist = m3u8.loads(body.decode())
        assert len(playlist.segments) == 3
        for segment in playlist.segments:
            _, _, init = await served.get(f"{BASE}/{segment.init_section.uri}")
            _, _, media = await served.get(f"{BASE}/{segment.uri}")
            (tmp_path / "one.mp4").write_bytes(init + media)
            first = MediaReader(tmp_path / "one.mp4").read()[0]
            assert first.is_key


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_sound_alone_is_played(tmp_path: Path, format: Any) -> None:
    frames = demo_frames()
    tracks = [track for track in frames[0].tracks if track.kind == "audio"]
    sound = [
        arcly.MediaFrame(f, tracks, track=f.track, pts=f.pts, dts=f.dts, duration=f.duration, key=True)
        for f in frames
        if f.kind == "audio"
    ]
    async with serving_recordings(tmp_path, format=format) as served:
        await recorded(served, sound)
        _, _, index = await served.get(f"{BASE}/index.m3u8")
        (variant,) = m3u8.loads(index.decode()).playlists
        found = await frames_of(served, BASE, int(variant.uri.removesuffix(".m3u8")))
        assert payloads(found) == payloads(sound)


@pytest.mark.parametrize("format", ["fmp4", "mp4", "ts", "flv"])
@pytest.mark.parametrize("segment_s", [10, 600])
async def test_where_pictures_cease_the_sound_is_played_in_segments(
    tmp_path: Path, format: Any, segment_s: float
) -> None:
    """Found by a reader: a camera was taken away, and the sound from there on was one file, and one segment."""
    sound = [frame for turn in range(5) for frame in later(demo_frames(), 10 * turn) if frame.kind == "audio"]
    pictures = [frame for frame in demo_frames() if frame.kind == "video" and seconds(frame.dts, frame) < 5]
    frames = sorted([*pictures, *sound], key=lambda frame: seconds(frame.dts, frame))
    async with serving_recordings(tmp_path, format=format, segment_s=segment_s) as served:
        await recorded(served, frames)
        assert len(await served.recorder.index.segments(1)) == (5 if segment_s == 10 else 1)
        for track, published in enumerate((pictures, sound)):
            _, _, body = await served.get(f"{BASE}/{track}.m3u8")
            assert all(segment.duration <= 11 for segment in m3u8.loads(body.decode()).segments), body
            assert len(await frames_of(served, BASE, track)) == len(published)


@pytest.mark.parametrize("format", ["fmp4", "mp4"])
async def test_sound_of_which_only_its_frames_say_what_it_is_is_played(
    tmp_path: Path, ffmpeg: str, format: Any
) -> None:
    source = tmp_path / "mp3.flv"
    command = [ffmpeg, "-v", "error", "-i", CLIP, "-c:v", "copy", "-c:a", "libmp3lame", source]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)
    frames = MediaReader(source).read(10_000)
    # A recording begins with a key frame.
    frames = frames[next(index for index, frame in enumerate(frames) if frame.is_key) :]
    async with serving_recordings(tmp_path / "recordings", format=format, segment_s=5) as served:
        await recorded(served, frames)
        assert len(await served.recorder.index.segments(1)) == 2
        found = payloads([*await frames_of(served, BASE, 0), *await frames_of(served, BASE, 1)])
        _, _, clip = await served.get(f"{BASE}/clip.mp4")
    assert found == payloads(frames)
    (tmp_path / "clip.mp4").write_bytes(clip)
    assert payloads(MediaReader(tmp_path / "clip.mp4").read(10_000)) == payloads(frames)


@pytest.mark.parametrize("format", ["mp4", "ts", "flv"])
async def test_a_clip_has_what_was_published(tmp_path: Path, format: Any, ffprobe: Any) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path / "recordings", format=format, segment_s=5) as served:
        await recorded(served, frames)
        status, headers, part = await served.get("/recordings/id:1/clip.mp4?start=5&duration=3")
        assert (status, headers["content-type"]) == (200, "video/mp4")
        _, _, whole = await served.get("/recordings/id:1/clip.mp4")
        status, headers, nothing = await served.get("/recordings/id:1/clip.mp4", "HEAD")
        assert (status, int(headers["content-length"]), nothing) == (200, len(whole), b"")
        for begin, end in [
            (0, 9),
            (len(whole) - 100_000, len(whole) - 1),
            (100, 300_000),
            (len(whole) - 1, len(whole) - 1),
        ]:
            status, headers, body = await served.get("/recordings/id:1/clip.mp4", range=f"bytes={begin}-{end}")
            assert (status, headers["content-range"]) == (206, f"bytes {begin}-{end}/{len(whole)}")
            assert body == whole[begin : end + 1], "pieces are the same in whatever order they are made"
        assert (await served.get("/recordings/id:1/clip.mp4", range=f"bytes={len(whole)}-"))[0] == 416
        status, headers, _ = await served.get("/recordings/id:1/index.m3u8", "OPTIONS")
        assert (status, headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        assert "CMCD-Session" in headers["access-control-allow-headers"], "players may say how they fare"
    path = tmp_path / "clip.mp4"
    path.write_bytes(part)
    clip, video = MediaReader(path).read(10_000), payloads(frames)["video"]
    found = payloads(clip)["video"]
    first = video.index(found[0])
    assert next(frame for frame in clip if frame.kind == "video").is_key
    assert found == video[first : first + len(found)]
    assert 3 <= ffprobe(path).duration_s <= 5.3
    path.write_bytes(whole)
    assert payloads(MediaReader(path).read(10_000)) == payloads(frames)
    ffprobe(path)


@pytest.mark.parametrize("format", ["ts", "flv"])
async def test_a_recording_that_goes_on_is_gone_on_with(tmp_path: Path, format: Any) -> None:
    frames = demo_frames()
    async with serving_recordings(tmp_path, format=format) as served:
        session = await served.engine.start_publish(KEY)
        await eventually(lambda: (status := served.recorder.status(KEY)) and status.state == "recording")
        counts = []
        for passes in range(3):
            for frame in later(frames, 12 * passes):
                session.send(frame)
            expected = (passes + 1) * len(frames) * 9 // 10
            await eventually(lambda e=expected: (status := served.recorder.status(KEY)) and status.frames > e)
            _, _, playlist = await served.get(f"{BASE}/0.m3u8")
            assert b"ENDLIST" not in playlist
            counts.append(playlist.count(b"#EXTINF"))
        assert counts == sorted(set(counts)), counts
        session.end()
        await served.recorder.finish(KEY)
        found = payloads([*await frames_of(served, BASE, 0), *await frames_of(served, BASE, 1)])
        assert found == payloads(frames * 3)


@pytest.mark.parametrize("format", ["ts", "flv"])
def test_an_outline_that_is_gone_on_with_is_that_of_the_whole_file(tmp_path: Path, format: str) -> None:
    async def once() -> Path:
        recorder = arcly.Recorder(tmp_path / "recordings", record=["*"], format=format, resume_s=0)
        async with arcly.Engine(recorder, default_app=arcly.AppSpec(ring_frames=1 << 16)) as engine:
            await record_demo(engine, recorder)
            (segment,) = await recorder.index.segments(1)
            return tmp_path / "recordings" / segment.path

    content = asyncio.run(once()).read_bytes()
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    whole.write_bytes(content)
    outline = None
    for size in (1000, 188 * 1000, 200_001, len(content) // 2, len(content)):
        grown.write_bytes(content[:size])
        outline = Outline(grown, outline, grows=True)
    place = (0, 0, 0, 0, False, 0)
    one, other = (
        arcly._native.Vod([(path, found, *place)], True) for path, found in ((whole, Outline(whole)), (grown, outline))
    )
    for track in (0, 1):
        playlist = one.media_playlist(track)
        assert playlist == other.media_playlist(track)
        assert playlist
        for uri in (segment.uri for segment in m3u8.loads(playlist).segments):
            begin = int(uri.split("-")[1].removesuffix(".m4s"))
            assert one.segment(track, begin) == other.segment(track, begin)


class Whole(MemoryStorage):
    """A backend that knows no ranges."""

    get_range = None  # type: ignore[assignment]


@pytest.mark.parametrize("format", ["fmp4", "mp4", "ts", "flv"])
@pytest.mark.parametrize("backend", ["memory", "files", "without ranges"])
async def test_files_that_were_moved_to_a_storage_are_played(tmp_path: Path, format: Any, backend: str) -> None:
    frames = demo_frames()
    storages: dict[str, StorageBackend] = {
        "memory": MemoryStorage(),
        "files": FileStorage(tmp_path / "storage", fsync=False),
        "without ranges": Whole(),
    }
    options: dict[str, Any] = {"format": format, "storage": storages[backend], "move": True, "segment_s": 5}
    async with serving_recordings(tmp_path / "here", **options) as served:
        await recorded(served, frames)

        async def moved() -> bool:
            return all(not segment.path for segment in await served.recorder.index.segments(1))

        await eventually(moved)
        await eventually(lambda: not [path for path in (tmp_path / "here/live").rglob("*") if path.is_file()])
        found = payloads([*await frames_of(served, BASE, 0), *await frames_of(served, BASE, 1)])
        assert found == payloads(frames)
        status, _, clip = await served.get(f"{BASE}/clip.mp4")
        assert status == 200
        (tmp_path / "clip.mp4").write_bytes(clip)
        assert payloads(MediaReader(tmp_path / "clip.mp4").read(10_000)) == payloads(frames)
        segments = await served.recorder.index.segments(1)
        for segment in segments:
            status, _, body = await served.get(f"{BASE}/files/{segment.number}")
            assert (status, len(body)) == (200, segment.bytes)


async def test_the_first_look_at_fragments_that_were_moved_takes_few_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a reader: each `moof` was asked for by itself, 3600 for an hour, and again after a restart."""

    class Counting(MemoryStorage):
        reads = 0

        async def get_range(self, key: str, offset: int, size: int) -> bytes:
            self.reads += 1
            return await super().get_range(key, offset, size)

    # Of such pictures many fragments lie in one range of the usual size.
    monkeypatch.setattr("arcly.recording.stored.AHEAD_BYTES", 1024)
    frames, storage = demo_frames(), Counting()
    async with serving_recordings(tmp_path, storage=storage, move=True, fragment_s=0.1) as served:
        await recorded(served, frames)

        async def moved() -> bool:
            return all(not segment.path for segment in await served.recorder.index.segments(1))

        await eventually(moved)
        assert (await served.get(f"{BASE}/index.m3u8"))[0] == 200
        assert storage.reads <= 2
        assert payloads(await frames_of(served, BASE, 0))["video"] == payloads(frames)["video"]


async def test_a_storage_that_does_not_answer_is_said_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(MemoryStorage):
        async def get_range(self, key: str, offset: int, size: int) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr("arcly.recording.stored.READ_S", 0.1)
    async with serving_recordings(tmp_path, storage=Hanging(), move=True) as served:
        await recorded(served, demo_frames()[:300])

        async def moved() -> bool:
            return all(not segment.path for segment in await served.recorder.index.segments(1))

        await eventually(moved)
        assert (await served.get(f"{BASE}/index.m3u8"))[0] == 503
        monkeypatch.setattr("arcly.recording.stored.READ_S", 3600.0)
        waiting = asyncio.create_task(served.get(f"{BASE}/index.m3u8"))
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait([waiting])  # Stopped, although it was being read.
    waiting.exception()


class Made:
    """A clip whose pieces are counted, and made when the gate is open."""

    def __init__(self, remuxed: Any, counts: Counter[tuple[int, int]], gate: threading.Event) -> None:
        self._remuxed, self._counts, self._gate = remuxed, counts, gate
        self.pieces = remuxed.pieces

    def piece(self, index: int) -> bytes:
        """Make a piece."""
        self._counts[self.pieces, index] += 1
        assert self._gate.wait(60)
        return bytes(self._remuxed.piece(index))


def count_pieces(monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> Counter[tuple[int, int]]:
    """Return how often each piece of a clip of so many pieces will have been made."""
    counts: Counter[tuple[int, int]] = Counter()
    run = Playback.run

    async def counted(playback: Playback, work: Any, *arguments: Any) -> Any:
        made = await run(playback, work, *arguments)
        return Made(made, counts, gate) if isinstance(made, Remuxed) else made

    monkeypatch.setattr(Playback, "run", counted)
    return counts


async def test_who_asks_for_a_range_of_a_clip_holds_nobody_up_and_all_wait_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: each request made all of the clip in one of two threads; behind two nothing was played."""
    gate = threading.Event()
    counts = count_pieces(monkeypatch, gate)
    async with serving_recordings(tmp_path, format="ts", segment_s=5) as served:
        await recorded(served, demo_frames())
        clips = [f"{BASE}/clip.mp4", f"{BASE}/clip.mp4", f"{BASE}/clip.mp4?start=5"]
        ranges = [asyncio.create_task(served.get(path, range="bytes=100-199")) for path in clips]
        try:
            await eventually(lambda: counts)
            _, _, playlist = await served.get(f"{BASE}/0.m3u8")
            segment = m3u8.loads(playlist.decode()).segments[0].uri
            assert (await served.get(f"{BASE}/{segment}"))[0] == 200
            assert not any(task.done() for task in ranges)
        finally:
            gate.set()
        answers = await asyncio.gather(*ranges)
        assert [status for status, _, _ in answers] == [206, 206, 206]
        assert answers[0][2] == answers[1][2]
        # The range is in the first two.
        assert {count for (_, index), count in counts.items() if index > 1} == {1}, counts
        made = counts.total()
        assert (await served.get(clips[0], range="bytes=100-199"))[2] == answers[0][2]
        assert counts.total() <= made + 2, "how long they are is known"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-1,5-6", "lines=1-2"])
async def test_a_long_clip_from_its_first_byte_on_begins_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Found by reading: players ask so first, and hours of a recording were made before they had anything."""
    monkeypatch.setattr("arcly.server.recordings.MEASURED_PIECES_MAX", 0)
    gate = threading.Event()
    gate.set()
    counts = count_pieces(monkeypatch, gate)
    async with serving_recordings(tmp_path, format="flv") as served:
        await recorded(served, demo_frames()[:300])
        _, _, whole = await served.get(f"{BASE}/clip.mp4")
        status, headers, body = await served.get(f"{BASE}/clip.mp4", range=asked)
        assert (status, "accept-ranges" in headers, body) == (200, False, whole)
        assert set(counts.values()) == {2}
        assert (await served.get(f"{BASE}/clip.mp4", range="bytes=100-199"))[0] == 206
        status, headers, body = await served.get(f"{BASE}/clip.mp4", range="bytes=0-")
        assert (status, headers["accept-ranges"], body) == (206, "bytes", whole), "how long it is is known now"


async def test_a_short_clip_can_be_sought_in_by_who_asks_for_all_of_it_first(tmp_path: Path) -> None:
    """Found by reading: Chromium seeks where `bytes=0-` was answered as a range, and no more."""
    async with serving_recordings(tmp_path, format="ts") as served:
        await recorded(served, demo_frames())
        _, _, whole = await served.get(f"{BASE}/clip.mp4")
        status, headers, body = await served.get(f"{BASE}/clip.mp4", range="bytes=0-")
        assert (status, headers["content-range"]) == (206, f"bytes 0-{len(whole) - 1}/{len(whole)}")
        assert body == whole


@pytest.mark.parametrize("format", ["ts", "flv"])
async def test_ffmpeg_reads_a_long_clip_by_one_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffprobe: Any, format: str
) -> None:
    """A bug it had: told of ranges, it left the answer for one, for which all of the clip was made first."""
    monkeypatch.setattr("arcly.server.recordings.MEASURED_PIECES_MAX", 0)
    gate = threading.Event()
    gate.set()
    counts = count_pieces(monkeypatch, gate)
    async with serving_recordings(tmp_path, format=format, segment_s=5) as served:
        await recorded(served, demo_frames())
        probed = await asyncio.to_thread(ffprobe, f"{served.url}{BASE}/clip.mp4")
        assert probed.packets == len(demo_frames())
    assert set(counts.values()) == {1}


async def test_a_clip_that_nobody_waits_for_is_not_measured_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: it was made to its end behind an answer that the origin gave up, for each who came again."""
    ended: list[OSError] = []
    counts: Counter[int] = Counter()
    measure = Playback.measure

    class Endless:
        pieces = 1 << 19

        def piece(self, index: int) -> bytes:
            counts[index] += 1
            return b"x"

    async def measured(playback: Playback, vod: Any, part: Any, _: Any, has_left: Any) -> Any:
        try:
            return await measure(playback, vod, part, Endless(), has_left)  # type: ignore[arg-type]
        except OSError as error:
            ended.append(error)
            raise

    monkeypatch.setattr(Playback, "measure", measured)
    async with serving_recordings(tmp_path, format="ts") as served:
        await recorded(served, demo_frames()[:300])
        for turn in (1, 2):
            counts.clear()
            _, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
            writer.write(f"GET {BASE}/clip.mp4 HTTP/1.1\r\nHost: test\r\nRange: bytes=100-199\r\n\r\n".encode())
            await eventually(lambda: counts)
            assert (min(counts) > 0) == (turn == 2), "it is gone on with"
            writer.close()
            await eventually(lambda: len(ended) == turn)  # noqa: B023
            assert isinstance(ended[-1], ConnectionAbortedError)
