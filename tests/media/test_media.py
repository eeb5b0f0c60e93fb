"""Demuxers, muxers and configurations as Python sees them."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import run

import arcly
import arcly.sinks.file as file_sink
from arcly.contract import Muxer as MuxerContract
from arcly.drive import drive_to
from arcly.media import CodecInfo, Demuxer, MediaReader, Muxer, config_from_frame, inspect, sniff

Clip = Callable[..., Path]


def frames_of(path: Path) -> list[arcly.MediaFrame]:
    """All frames of a file."""
    reader, frames = MediaReader(path), []
    while found := reader.read():
        frames += found
    assert (reader.broken, reader.problem) == (0, None)
    return frames


def facts(frames: list[arcly.MediaFrame]) -> list[tuple[int, int, int, bytes]]:
    """What must survive a container."""
    return sorted((frame.track, frame.dts, frame.pts, bytes(frame)) for frame in frames)


@pytest.mark.parametrize("format", ["ts", "flv", "mp4"])
def test_a_file_goes_through_every_container_and_comes_back(clip: Clip, format: str) -> None:
    frames = frames_of(clip(seconds=2))
    muxer = Muxer(format)
    assert isinstance(muxer, MuxerContract)
    data = b"".join(muxer.write(frame) for frame in frames) + muxer.finish()
    assert sniff(data[:1024]) == format
    demuxer = Demuxer(format)
    back = [frame for at in range(0, len(data), 4099) for frame in demuxer.feed(data[at : at + 4099])]
    back += demuxer.finish()
    assert [bytes(frame) for frame in back if frame.kind == "video"] == [
        bytes(frame) for frame in frames if frame.kind == "video"
    ]
    assert [str(track) for track in demuxer.tracks] == ["H264 640x360", "AAC 44100 Hz"]
    assert (demuxer.broken, demuxer.problem) == (0, None)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
@pytest.mark.parametrize("piece", [100, 10_000])
def test_any_buffer_is_taken_with_and_without_the_gil(clip: Clip, kind: Callable[[bytes], object], piece: int) -> None:
    muxer = Muxer("ts")
    frames = frames_of(clip(seconds=2))[:40]
    data = b"".join(muxer.write(frame) for frame in frames)
    demuxer = Demuxer("ts")
    found = [frame for at in range(0, len(data), piece) for frame in demuxer.feed(kind(data[at : at + piece]))]
    assert len(found + demuxer.finish()) == len(frames)


def test_the_gil_is_free_while_a_demuxer_works() -> None:
    """Another thread wakes up and runs Python while a large piece is read."""
    null_packet = b"\x47\x1f\xff\x10" + b"\xff" * 184
    piece = null_packet * 600_000
    assert leaves_the_gil(lambda: Demuxer("ts").feed(piece))


@pytest.mark.parametrize("work", ["write", "finish"])
def test_the_gil_is_free_while_a_large_frame_is_written(clip: Clip, work: str) -> None:
    frame = next(frame for frame in frames_of(clip(seconds=1)) if frame.kind == "video")
    picture = b"\x65" + b"\x5a" * (1 << 20)
    data = len(picture).to_bytes(4, "big") + picture
    large = arcly.MediaFrame(data, frame.tracks, track=frame.track, pts=frame.pts, dts=frame.dts, key=True)

    def once() -> None:
        if work == "write":
            Muxer("ts").write(large)
        else:
            muxer = Muxer("mp4")
            muxer.write(large)
            muxer.finish()

    assert leaves_the_gil(lambda: [once() for _ in range(100)])


def leaves_the_gil(work: Callable[[], object]) -> bool:
    """Whether another thread runs Python while `work` does what it does."""
    woken = threading.Event()

    def wake() -> None:
        time.sleep(0.001)
        woken.set()

    thread = threading.Thread(target=wake)
    interval = sys.getswitchinterval()
    # Who holds the GIL keeps it: the other one runs only where it is given up.
    sys.setswitchinterval(30)
    try:
        thread.start()
        work()
        return woken.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()


def test_what_is_no_such_container_is_malformed() -> None:
    with pytest.raises(arcly.MalformedError, match="FLV"):
        Demuxer("flv").feed(b"this is not FLV at all, but long enough to tell")
    demuxer = Demuxer("ts")
    demuxer.feed(b"x" * 10_000)
    with pytest.raises(arcly.MalformedError, match="no packets"):
        demuxer.finish()
    with pytest.raises(arcly.MisuseError, match="mkv"):
        Demuxer("mkv")


def tag(body: bytes) -> bytes:
    """A tag of FLV with sound."""
    return bytes([8]) + len(body).to_bytes(3, "big") + bytes(7) + body + (11 + len(body)).to_bytes(4, "big")


FLV_OF_SOUND = b"FLV\x01\x04\0\0\0\x09\0\0\0\0" + tag(b"\xaf\0\x11\x90")


def test_a_file_of_many_frames_is_taken_at_once() -> None:
    """Found by reading: 65 536 were the most that could wait, though nobody had to wait for those of one call."""
    demuxer = Demuxer("flv")
    assert len(demuxer.feed(FLV_OF_SOUND + tag(b"\xaf\x01\0") * 70_000)) == 70_000
    assert len(demuxer.feed(tag(b"\xaf\x01\0"))) == 1


def test_a_demuxer_from_which_nobody_takes_does_not_grow() -> None:
    """Found by reading: the bytes after the refused ones were taken in all the same."""

    class Sink:
        """Counts."""

        frames = 0

        def set_tracks(self, tracks: object) -> None:
            pass

        def send(self, frame: object) -> None:
            self.frames += 1

    demuxer, sink = Demuxer("flv"), Sink()
    demuxer.feed(FLV_OF_SOUND)
    sound = tag(b"\xaf\x01\0") * 3000
    memory, refused = memoryview(demuxer.get_buffer()), 0
    for _ in range(100):
        memory[: len(sound)] = sound
        try:
            demuxer.buffer_updated(len(sound))
        except arcly.LimitExceededError:
            refused += 1
    demuxer.send_to(sink)
    assert refused > 50
    assert sink.frames < (1 << 16) + 3000


def test_damage_is_counted_and_the_rest_is_read(clip: Clip) -> None:
    muxer = Muxer("ts")
    data = bytearray(b"".join(muxer.write(frame) for frame in frames_of(clip(seconds=2))))
    whole = Demuxer("ts")
    expected = len(whole.feed(bytes(data)) + whole.finish())
    middle = len(data) // 2 // 188 * 188
    del data[middle : middle + 188]  # A lost packet.
    demuxer = Demuxer("ts")
    frames = demuxer.feed(bytes(data)) + demuxer.finish()
    assert expected - 2 <= len(frames) < expected + 1
    assert demuxer.broken >= 1
    assert "continuity" in (demuxer.problem or "")
    assert any(frame.is_discontinuity for frame in frames)


def test_a_transport_stream_of_a_constant_bit_rate(clip: Clip) -> None:
    frames = frames_of(clip(seconds=2))
    rate_bps = 8_000_000
    muxer = Muxer("ts", bitrate_bps=rate_bps)
    data = b"".join(muxer.write(frame) for frame in frames) + muxer.finish()
    assert 1.9 < len(data) * 8 / rate_bps < 2.9
    assert any(data[at + 1 : at + 3] == b"\x1f\xff" for at in range(0, len(data), 188)), "null packets"
    demuxer = Demuxer("ts")
    read = demuxer.feed(data) + demuxer.finish()
    assert len(read) == len(frames)
    assert {bytes(frame) for frame in read} == {bytes(frame) for frame in frames}
    assert muxer.overrun_frames == 0
    too_low = Muxer("ts", bitrate_bps=200_000)
    written = b"".join(too_low.write(frame) for frame in frames) + too_low.finish()
    assert too_low.overrun_frames > 0
    assert len(written) * 8 / 200_000 < 3.5
    for format, rate in (("ts", 100), ("flv", rate_bps), ("mp4", rate_bps)):
        with pytest.raises(arcly.MisuseError):
            Muxer(format, bitrate_bps=rate)


def test_tracks_that_a_container_cannot_carry_are_named() -> None:
    vp9 = arcly.Track(0, "VP9", bytes([0, 10, 0x82, 2, 2, 2, 0, 0]))
    with pytest.raises(arcly.UnsupportedError):
        Muxer("ts").set_tracks([vp9])
    assert Muxer("flv").set_tracks([vp9]) == b""


def test_a_change_of_tracks_is_at_its_place(clip: Clip) -> None:
    """Another resolution in mid-stream: a new init segment in MP4, read back as a new revision."""
    small, large = frames_of(clip(seconds=1, size="320x180")), frames_of(clip(seconds=1))
    for format in ("ts", "flv", "mp4"):
        muxer = Muxer(format)
        data = b"".join(muxer.write(frame) for frame in small)
        offset = 90_000 * 2
        for frame in large:
            ticks = offset * frame.clock_rate_hz // 90_000
            data += muxer.write(
                arcly.MediaFrame(
                    frame,
                    frame.tracks,
                    track=frame.track,
                    pts=frame.pts + ticks,
                    dts=frame.dts + ticks,
                    key=frame.is_key,
                )
            )
        data += muxer.finish()
        demuxer = Demuxer(format)
        video = [frame for frame in demuxer.feed(data) + demuxer.finish() if frame.kind == "video"]
        widths = [next(track.width for track in frame.tracks if track.kind == "video") for frame in video]
        assert widths == [320] * 25 + [640] * 25, format


def test_inspect_tells_the_facts_of_a_configuration(clip: Clip) -> None:
    tracks = frames_of(clip(seconds=1))[0].tracks
    video, audio = (inspect(track.codec, track.config) for track in tracks)
    assert isinstance(video, CodecInfo)
    assert (video.width, video.height, video.frame_rate, video.chroma, video.bit_depth) == (
        640,
        360,
        (25, 1),
        "4:2:0",
        8,
    )
    assert video.rfc6381.startswith("avc1.64")
    assert (audio.sample_rate_hz, audio.channels, audio.samples_per_frame, audio.rfc6381) == (
        44_100,
        1,
        1024,
        "mp4a.40.2",
    )
    assert video.sample_rate_hz is audio.width is None
    with pytest.raises(arcly.MalformedError):
        inspect("H264", b"\1nonsense")
    with pytest.raises(arcly.MisuseError):
        inspect("H999", b"")


def test_a_configuration_is_taken_from_a_frame() -> None:
    header = config_from_frame("MP3", bytes.fromhex("fffb9444") + bytes(380))
    assert inspect("MP3", header).sample_rate_hz == 48_000
    with pytest.raises(arcly.MalformedError):
        config_from_frame("H264", b"\0\0\1\x41\x9a")


async def test_a_file_sink_writes_what_a_stream_carries(clip: Clip, tmp_path: Path) -> None:
    """A stream is recorded into each format; the copies hold the same bits."""
    key = arcly.StreamKey("live", "cam")
    original = frames_of(clip(seconds=2))
    for ending in ("ts", "flv", "mp4"):
        path = tmp_path / f"copy.{ending}"
        async with arcly.Engine() as engine:
            session = await engine.start_publish(key)
            session.set_tracks(original[0].tracks)
            stream = engine.get_stream(key)
            recording = asyncio.create_task(drive_to(stream, arcly.FileSink(path)))
            await asyncio.sleep(0)  # It has its cursor then.
            for frame in original:
                session.send(frame)
            session.end()
            assert await recording == len(original)
        copy = frames_of(path)
        assert len(copy) == len(original)
        assert {frame[3] for frame in facts(copy)} == {frame[3] for frame in facts(original)}


@pytest.mark.parametrize("ending", ["ts", "flv", "mp4"])
async def test_sound_is_in_the_file_while_pictures_are_silent(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Found by reading: with one key frame in front, the sound of half an hour was in memory, and a crash lost it."""
    monkeypatch.setattr(file_sink, "WRITE_AFTER_S", 0.0)
    path = tmp_path / f"copy.{ending}"
    frames = frames_of(clip(seconds=30, size="160x90"))
    sound = [frame for frame in frames if frame.kind == "audio"]
    sink = arcly.FileSink(path)
    await sink.send(next(frame for frame in frames if frame.is_key))
    for frame in sound:
        await sink.send(frame)
    on_disk = [frame for frame in frames_of(path) if frame.kind == "audio"]
    await sink.close()
    assert on_disk[-1].pts_s > sound[-1].pts_s - 6


@pytest.mark.parametrize("ending", ["mp4", "ts", "flv"])
async def test_both_sizes_of_a_stream_are_decoded_from_what_a_file_sink_wrote(
    clip: Clip, ffmpeg: str, tmp_path: Path, ending: str
) -> None:
    """Found by reading: MP4 went on behind a second `moov` in the same file, which ffmpeg and arcly pass over."""
    sizes = ("320x180", "640x360")
    taken = tmp_path / "copy-2.mp4"
    taken.write_text("of somebody else")
    sink = arcly.FileSink(tmp_path / f"copy.{ending}")
    for size in sizes:
        frames = frames_of(clip(seconds=2, size=size))
        for frame in frames:
            await sink.send(frame)
    await sink.close()
    await sink.close()
    assert taken.read_text() == "of somebody else"
    if ending != "mp4":
        assert sink.paths == [sink.path]
        return
    assert [path.name for path in sink.paths] == ["copy.mp4", "copy-3.mp4"]
    for path, size in zip(sink.paths, sizes, strict=True):
        decoded = await run(
            ffmpeg, "-v", "error", "-i", path, "-map", "v", "-fps_mode", "passthrough", "-f", "framemd5", "-"
        )
        assert (decoded.returncode, decoded.stderr) == (0, "")
        lines = decoded.stdout.decode().splitlines()
        assert f"#dimensions 0: {size}" in lines
        assert sum(not line.startswith("#") for line in lines) == 50
        assert len(frames_of(path)) == len(frames_of(clip(seconds=2, size=size)))


async def test_a_file_behind_a_change_of_sound_begins_with_a_key_frame(clip: Clip, tmp_path: Path) -> None:
    """The pictures in front of it need some of the file before."""
    first, second = (frames_of(clip(seconds=2, size="160x90", sample_rate_hz=rate_hz)) for rate_hz in (44_100, 48_000))
    sink = arcly.FileSink(tmp_path / "copy.mp4")
    for frame in first[:30] + second[30:]:
        await sink.send(frame)
    await sink.close()
    copy = [frames_of(path) for path in sink.paths]
    assert [str(frames[0].tracks[1]) for frames in copy] == ["AAC 44100 Hz", "AAC 48000 Hz"]
    assert [next(frame for frame in frames if frame.kind == "video").is_key for frames in copy] == [True, True]


async def test_a_write_that_is_cut_off_is_not_overtaken_by_the_end(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk was slow to open the file, the end opened it once more, and truncated what was written."""
    frames, path = frames_of(clip()), tmp_path / "copy.flv"
    begun, goes_on = threading.Event(), threading.Event()
    opened = Path.open

    def slow(self: Path, mode: str) -> object:
        is_first = not begun.is_set()
        begun.set()
        if is_first:
            assert goes_on.wait(20)
        return opened(self, mode)

    monkeypatch.setattr(Path, "open", slow)
    sink = arcly.FileSink(path)
    first = asyncio.create_task(sink.send(frames[0]))
    assert await asyncio.to_thread(begun.wait, 20)
    first.cancel()
    await asyncio.wait([first])
    end = asyncio.create_task(sink.close())
    done, _ = await asyncio.wait([end], timeout=0.1)
    assert not done, "it waits for the write"
    goes_on.set()
    await end
    monkeypatch.undo()
    assert [bytes(frame) for frame in frames_of(path)] == [bytes(frames[0])]


@pytest.mark.parametrize("ending", ["mp4", "ts", "flv"])
async def test_a_file_sink_that_gets_no_frame_leaves_the_file_that_is_there(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"copy.{ending}"
    path.write_text("the last copy")
    sink = arcly.FileSink(path)
    await sink.close()
    assert (path.read_text(), sink.paths) == ("the last copy", [])


def test_a_file_sink_needs_a_format() -> None:
    with pytest.raises(arcly.MisuseError, match=r"copy\.mkv"):
        arcly.FileSink("copy.mkv")


async def test_ffmpeg_decodes_what_a_file_sink_wrote(clip: Clip, ffmpeg: str, tmp_path: Path) -> None:
    """A foreign decoder finds nothing to complain of."""
    for ending in ("ts", "flv", "mp4"):
        sink = arcly.FileSink(tmp_path / f"copy.{ending}")
        for frame in frames_of(clip(seconds=2)):
            await sink.send(frame)
        await sink.close()
        decoded = await run(ffmpeg, "-v", "error", "-i", sink.path, "-f", "null", "-")
        assert (decoded.returncode, decoded.stderr) == (0, ""), ending
