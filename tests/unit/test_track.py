import copy
import dataclasses
import pickle

import pytest

import arcly
from arcly.media import Demuxer

AVCC = bytes.fromhex(
    "0164001fffe1001a6764001facd940500 5bb011000000300100000030320f18319600100 0668ebe3cb22c0".replace(" ", "")
)


def test_an_audio_track_says_what_its_config_says() -> None:
    track = arcly.Track(1, "aac", bytes([0x11, 0x90]))
    assert (track.id, track.kind, track.codec, track.rfc6381) == (1, "audio", "AAC", "mp4a.40.2")
    assert (track.sample_rate_hz, track.channels, track.clock_rate_hz) == (48_000, 2, 48_000)
    assert (track.width, track.height, track.fps) == (None, None, None)
    assert (track.config, str(track)) == (b"\x11\x90", "AAC 48000 Hz")
    assert track == arcly.Track(1, "AAC", bytes([0x11, 0x90]))


def test_a_video_track_says_what_its_config_says() -> None:
    track = arcly.Track(0, "H264", AVCC)
    assert (track.kind, track.codec, track.rfc6381) == ("video", "H264", "avc1.64001f")
    assert (track.width, track.height, track.clock_rate_hz) == (1280, 720, 90_000)
    assert track.fps == 25.0
    assert str(track) == "H264 1280x720"


def test_bad_configs_are_refused_by_the_right_error() -> None:
    with pytest.raises(arcly.MalformedError):
        arcly.Track(0, "H264", AVCC[:9])
    with pytest.raises(arcly.MisuseError, match="known are"):
        arcly.Track(0, "H263", b"")


VPCC = bytes([0, 10, 0x82, 2, 2, 2, 0, 0])

TRACKS = (
    arcly.Track(0, "H264", AVCC, dolby_vision=bytes.fromhex("010010690000000000000000000000000000000000000000")),
    arcly.Track(1, "AAC", bytes([0x11, 0x90]), language="deu"),
    arcly.Track(2, "VP9", VPCC, size=(1920, 1080)),
    arcly.Track(3, "VP8", VPCC),
    arcly.Track(4, "KLV", b""),
)


def test_what_has_tracks_can_be_copied_pickled_and_hashed() -> None:
    """Found by reading: `asdict(event)` in an observer raised at the first stream, and the observer was detached."""
    event = arcly.StreamEvent(arcly.StreamEventKind.TRACKS_CHANGED, arcly.StreamKey("live", "cam"), 0, None, TRACKS)
    assert dataclasses.asdict(event)["tracks"] == TRACKS
    for other in (copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert other == event
        assert hash(other) == hash(event)
        assert (other.tracks[2].width, other.tracks[2].height) == (1920, 1080)
    assert len({*TRACKS, *copy.deepcopy(TRACKS)}) == len(TRACKS)


def test_a_copy_has_also_what_no_argument_says() -> None:
    """Found by a reader: a copy was made of the record, which says no half rates of E-AC-3: 22 050 Hz was 24 000."""
    frame = b"\x91ec-3" + bytes.fromhex("0b77003fd4803fe0").ljust(128, b"\0")
    tag = b"\x08" + len(frame).to_bytes(3, "big") + bytes(7) + frame + (11 + len(frame)).to_bytes(4, "big")
    demuxer = Demuxer("flv")
    demuxer.feed(b"FLV\1\4\0\0\0\x09\0\0\0\0" + tag)
    demuxer.finish()
    (track,) = demuxer.tracks
    assert track.sample_rate_hz == 22_050
    for other in (copy.copy(track), copy.deepcopy(track)):
        assert (other, other.sample_rate_hz) == (track, 22_050)


@pytest.mark.parametrize(("codec", "config", "size"), [("VP8", VPCC, (0, 1)), ("AAC", bytes([0x11, 0x90]), (1, 1))])
def test_a_size_that_no_picture_has_is_refused(codec: str, config: bytes, size: tuple[int, int]) -> None:
    with pytest.raises(arcly.MisuseError, match="size"):
        arcly.Track(0, codec, config, size=size)
