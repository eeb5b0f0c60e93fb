"""What an accepted publisher may send, and what comes of it on the bus and in HLS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import eventually, run
from load.hls_viewer import fetch
from rtmp_client import AUDIO, VIDEO, Message, flv_tags, media_of
from siege import BAD, FRAME_TICKS, TAGS, Siege, besieged, rss_kib

import arcly

KINDS = arcly.StreamEventKind
HOUR_MS = 3_600_000
PART_MS = 4_000
"""Two GOPs of the demo clip."""

HEADERS = [tag for tag in TAGS if tag.is_configuration]
MEDIA = [tag for tag in TAGS if tag.type_id in (AUDIO, VIDEO) and not tag.is_configuration]
PART = [tag for tag in MEDIA if tag.timestamp_ms < PART_MS]
PICTURES = [tag for tag in MEDIA if tag.type_id == VIDEO]


class Reader:
    """The frames of a stream that were read."""

    def __init__(self) -> None:
        self.frames: list[arcly.MediaFrame] = []

    def breaks(self) -> int:
        """How often time breaks."""
        return sum(frame.is_discontinuity for frame in self.frames)

    def picture_steps(self) -> list[int]:
        """Between decoding times of pictures."""
        return [b - a for a, b in pairwise(frame.dts for frame in self.frames if frame.kind == "video")]


async def published(siege: Siege, tags: list[Message], pictures: int) -> Reader:
    """Publish tags, as fast as they are read; what came out, which must be so many pictures."""
    client, stream_id = await siege.publisher(tags=HEADERS + tags[:10])
    reader = Reader()
    async with client, siege.server.stream(BAD).subscribe() as subscription:
        for start in range(10, len(tags), 50):
            await client.send(*media_of(tags[start : start + 50], stream_id))
            await client.settled()
            while frames := subscription.drain():
                reader.frames += frames
        assert subscription.missed == 0
    await siege.journal.ended(BAD)
    assert sum(frame.kind == "video" for frame in reader.frames) == pictures
    return reader


def count_pictures(tags: list[Message]) -> int:
    return sum(tag.type_id == VIDEO and tag.body[1] == 1 for tag in tags)


async def playlist(siege: Siege) -> str:
    return (await fetch(siege.server.http.address, f"/{BAD}/media.m3u8"))[1]


def duration_s(text: str) -> float:
    """Of all segments of a playlist."""
    return sum(float(line[8:].rstrip(",")) for line in text.splitlines() if line.startswith("#EXTINF:"))


@dataclass(frozen=True)
class Jump:
    """Where the clip begins, and where it goes on after `PART_MS`."""

    start_ms: int
    then_ms: int
    breaks: int


JUMPS = {
    "back-an-hour": Jump(2 * HOUR_MS, HOUR_MS, 1),
    "forward-an-hour": Jump(0, HOUR_MS, 1),
    "back-to-zero": Jump(30_000, 0, 1),
    "to-the-end-of-32-bits": Jump(0, (1 << 32) - 60_000, 1),
    "wrap-at-32-bits": Jump((1 << 32) - PART_MS, 1 << 32, 0),
    "wrap-of-the-24-bit-field": Jump(0xFF_FFFF - 2_000, 0xFF_FFFF - 2_000 + PART_MS, 0),
    "past-2^31": Jump((1 << 31) - PART_MS, 1 << 31, 0),
}


@pytest.mark.parametrize("name", JUMPS)
async def test_timestamps_that_jump(name: str, caplog: pytest.LogCaptureFixture) -> None:
    jump = JUMPS[name]
    async with besieged(caplog) as siege:
        tags = [*media_of(PART, 0, start_ms=jump.start_ms), *media_of(PART, 0, start_ms=jump.then_ms)]
        reader = await published(siege, tags, 2 * count_pictures(PART))
        assert reader.breaks() == jump.breaks
        irregular = [step for step in reader.picture_steps() if step != FRAME_TICKS]
        assert len(irregular) == jump.breaks, irregular

        async def packaged() -> str | None:
            # The packager reads on its own: on a busy machine it is behind the other reader.
            text = await playlist(siege)
            return text if duration_s(text) > 2 * PART_MS / 1000 - 0.1 else None

        text = await eventually(packaged, what="all of it in the playlist")
        assert text.count("#EXT-X-DISCONTINUITY\n") == jump.breaks, text
        assert duration_s(text) == pytest.approx(2 * PART_MS / 1000, abs=0.1)


BROKEN = {
    "nal-length-past-the-end": b"\x27\x01\0\0\0" + b"\x7f\xff\xff\xff" + b"x" * 50,
    "nal-of-no-bytes": b"\x27\x01\0\0\0" + bytes(4),
    "cut-header": b"\x27\x01\0",
    "packet-type": b"\x27\x09\0\0\0abc",
    "configuration-cut": b"\x17\0\0\0\0\x01\x64",
    "configuration-garbage": b"\x17\0\0\0\0" + b"\xff" * 60,
    "enhanced-cut": b"\x91av",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_picture_is_left_out_and_the_stream_goes_on(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        tags: list[Message] = []
        for number, tag in enumerate(PART):
            tags.append(tag)
            if 10 < number < 60 and number % 5 == 0:
                tags.append(Message(VIDEO, BROKEN[name], tag.timestamp_ms + 1))
        reader = await published(siege, tags, count_pictures(PART))
        assert reader.breaks() == 0
        assert set(reader.picture_steps()) == {FRAME_TICKS}
        peer = siege.lines(BAD)[0].split()[1]
        warnings = siege.lines(peer, "WARNING")
        assert len(warnings) <= 1, "the same problem is told once"
        assert len(siege.journal.of(BAD, KINDS.TRACKS_CHANGED)) == 1


async def test_a_flow_of_broken_pictures_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        client, stream_id = await siege.publisher()
        async with client:
            broken = Message(VIDEO, BROKEN["nal-length-past-the-end"], 1000, stream_id)
            await client.send(*[broken] * 101)
            assert "too many broken messages" in await siege.journal.ended(BAD)
            assert await client.status() == "NetStream.Unpublish.Success"
            assert "broken" in client.statuses[-1]["description"]
            await client.closed()


async def test_rare_broken_pictures_do_not_add_up_to_an_end(caplog: pytest.LogCaptureFixture) -> None:
    """One in forty, over and over: a stream that runs for weeks on a bad line is no attack."""
    async with besieged(caplog) as siege:
        client, stream_id = await siege.publisher()
        broken = BROKEN["nal-length-past-the-end"]
        small = sorted(PICTURES, key=lambda tag: len(tag.body))[:40]
        async with client:
            with suppress(ConnectionError, EOFError):
                for turn in range(120):
                    start_ms = 1000 + turn * 1600
                    frames = [replace(tag, timestamp_ms=start_ms + 40 * n) for n, tag in enumerate(small)]
                    await client.send(*media_of([*frames, Message(VIDEO, broken, start_ms + 1599)], stream_id))
                await client.settled()
            assert siege.journal.ends(BAD) == []
            assert siege.server.stream(BAD).stats.video_frames > 120 * 40


UNSUPPORTED = {
    "sorenson-h263": Message(VIDEO, b"\x12" + bytes(30)),
    "vp6": Message(VIDEO, b"\x14" + bytes(30)),
    "fourcc-of-nobody": Message(VIDEO, b"\x90zzzz" + bytes(30)),
    "fourcc-of-control-characters": Message(VIDEO, b"\x90\x1b[2J" + bytes(30)),
    "nellymoser": Message(AUDIO, b"\x6e" + bytes(30)),
    "speex": Message(AUDIO, b"\xb6" + bytes(30)),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_a_codec_that_is_not_supported_is_told_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as client:
        await client.connect()
        stream_id = await client.publish("bad")
        await client.send(*media_of([UNSUPPORTED[name]] * 500, stream_id))
        line = await siege.one_warning(client.name, "unsupported .*track is left out")
        assert len(line) < 200
        assert siege.server.stream(BAD), "the other track may still come"


async def test_a_new_configuration_in_mid_stream(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "small.flv"
    source = clip(size="320x240", seconds=4.0, audio=False)
    assert (await run(ffmpeg, "-v", "error", "-i", source, "-c", "copy", path)).returncode == 0
    small = [tag for tag in flv_tags(path) if tag.type_id == VIDEO]
    async with besieged(caplog) as siege:
        tags = [*PART, *media_of(small, 0, start_ms=PART_MS)]
        reader = await published(siege, tags, count_pictures(tags))
        assert reader.breaks() == 0, "time goes on"
        changes = [event for _, event in siege.journal.of(BAD, KINDS.TRACKS_CHANGED)]
        sizes = [(t.width, t.height) for event in changes for t in event.tracks if t.kind == "video"]
        assert sizes == [(1280, 720), (320, 240)]
        text = await playlist(siege)
        assert text.count("#EXT-X-DISCONTINUITY\n") == 1, text


async def test_a_repeated_configuration_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        tags = [item for tag in PART for item in ([*HEADERS, tag] if tag.is_key_frame else [tag])]
        reader = await published(siege, tags, count_pictures(PART))
        assert reader.breaks() == 0
        assert set(reader.picture_steps()) == {FRAME_TICKS}
        assert len(siege.journal.of(BAD, KINDS.TRACKS_CHANGED)) == 1


async def test_a_picture_larger_than_all_that_may_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The longest message there can be is a picture like another; many of them push each other out.

    What stays is what may: the log's 32 MiB, what HLS keeps of both its forms together, and the picture on its way,
    here and in the client, which shares this process. The allocator holds as much again at most, in holes between them.
    """
    window_bytes_max = 192 << 20
    kept_kib = (window_bytes_max + (32 << 20) + (128 << 20)) >> 10
    packager = arcly.HlsPackager(window_bytes_max=window_bytes_max)
    async with besieged(caplog, packager=packager, growth_max_kib=2 * kept_kib) as siege:
        client, stream_id = await siege.publisher()
        size = (1 << 24) - 1 - 5 - 4
        giant = b"\x17\x01\0\0\0" + size.to_bytes(4) + b"\x65" + bytes(size - 1)
        before_kib = rss_kib()
        async with client:
            await client.set_chunk_bytes(1 << 20)
            stream = siege.server.stream(BAD)
            # In either form they are more than twice what may stay.
            for number in range(100):
                await client.send(Message(VIDEO, giant, 1000 + 40 * number, stream_id))
                assert rss_kib() - before_kib < 2 * kept_kib, f"after {number} pictures"
            pictures = stream.stats.video_frames
            await client.send(*media_of(PICTURES[:20], stream_id, start_ms=8000))
            await eventually(lambda: stream.stats.video_frames >= pictures + 20, what="ordinary pictures after it")
