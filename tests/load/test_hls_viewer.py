"""The witness of the load test must see a gap when there is one."""

from __future__ import annotations

import pytest
from load.hls_viewer import TS_PACKET_BYTES, Entry, Playlist, Viewer, video_times

PLAYLIST = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXTINF:2.000000,
a-7.ts
#EXT-X-DISCONTINUITY
#EXTINF:1.500000,
a-8.ts
#EXT-X-ENDLIST
"""


def segment(*times: int) -> bytes:
    """A transport stream with nothing but the headers of pictures."""
    return b"".join(packet(dts) for dts in times)


def packet(dts: int) -> bytes:
    stamp = bytes([dts >> 29 & 0xE | 1, dts >> 22 & 0xFF, dts >> 14 & 0xFE | 1, dts >> 7 & 0xFF, dts << 1 & 0xFE | 1])
    pes = b"\0\0\1\xe0\0\0\x80\xc0\x0a" + bytes(5) + stamp
    stuffing = TS_PACKET_BYTES - 4 - len(pes)
    return b"\x47\x41\0\x30" + bytes([stuffing - 1]) + bytes(stuffing - 1) + pes


class Files:
    """What a server would give."""

    def __init__(self, **files: bytes) -> None:
        self.files = files

    async def get(self, path: str) -> tuple[int, bytes]:
        return (200, self.files[path]) if path in self.files else (404, b"")


async def watched(*entries: tuple[int, bool, bytes | None]) -> Viewer:
    """A viewer behind segments of that number, with or without discontinuity, and with that content."""
    viewer = Viewer(("127.0.0.1", 0), "live/cam")
    for sequence, discontinuity, data in entries:
        files = Files() if data is None else Files(x=data)
        entry = Entry(sequence, "x", 2.0, discontinuity)
        await viewer._play(files, "x", entry, Playlist(2, False, [entry]))  # type: ignore[arg-type]
    return viewer


def test_a_playlist_is_read() -> None:
    entries = [Entry(7, "a-7.ts", 2.0, False), Entry(8, "a-8.ts", 1.5, True)]
    assert Playlist.parse(PLAYLIST) == Playlist(2, True, entries)


@pytest.mark.parametrize("dts", [0, 3600, (1 << 33) - 1, 0x1_5555_5555])
def test_decoding_times_are_read(dts: int) -> None:
    assert video_times(segment(dts, 5)) == [dts, 5]


def test_what_is_no_transport_stream_is_refused() -> None:
    for data in (b"", bytes(188), segment(0)[:-1]):
        with pytest.raises(ValueError, match="sync byte"):
            video_times(data)


async def test_a_stream_without_a_gap_has_none() -> None:
    end = (1 << 33) - 3600
    viewer = await watched((1, False, segment(end - 3600, end)), (2, False, segment(0, 3600)))
    assert (viewer.gaps, viewer.segments, viewer.frames) == ([], 2, 4)


GAPS = {
    "missing": ((1, False, segment(0)), (3, False, segment(3600)), "segments 2 to 2 are missing"),
    "discontinuity": ((1, False, segment(0)), (2, True, segment(3600)), "segment 2 is a discontinuity"),
    "gone": ((1, False, segment(0)), (2, False, None), "segment 2: 404"),
    "between-segments": ((1, False, segment(0)), (2, False, segment(7200)), "segment 2: 2.00 frame durations"),
    "within-a-segment": ((1, False, segment(0)), (2, False, segment(3600, 18000)), "segment 2: 4.00 frame"),
    "backwards": ((1, False, segment(3600)), (2, False, segment(0)), "segment 2: "),
    "twice": ((1, False, segment(0)), (2, False, segment(0)), "segment 2: 0.00"),
}


@pytest.mark.parametrize("name", GAPS)
async def test_every_gap_is_seen(name: str) -> None:
    *entries, complaint = GAPS[name]
    (gap,) = (await watched(*entries)).gaps
    assert gap.startswith(complaint)


async def test_a_segment_that_comes_late_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("load.hls_viewer.time.monotonic", lambda: now_s)
    viewer = await watched((1, False, segment(0)))
    viewer.check_end()
    assert viewer.gaps == []
    now_s += 2 + 3 * 2 + 0.1
    viewer.check_end()
    assert len(viewer.gaps) == 1
    viewer._check_lateness(Entry(2, "x", 2.0, False), Playlist(2))
    assert (len(viewer.gaps), round(viewer.worst_late_s, 1)) == (2, 6.1)
