"""Every pair of codecs through every container, FFmpeg as the judge: the same bits, times within a tick."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import arcly
from arcly.media import Demuxer, Muxer, config_from_frame
from containers.conftest import AUDIO, VIDEO, Clip
from containers.packets import Elementary, Packet, read

TICK = {"ts": Fraction(1, 90_000), "flv": Fraction(1, 1000), "mp4": Fraction(1, 90_000)}
"""What a container's clock can tell apart. Sound is on the grid of its samples besides, 1/44 100 s at the coarsest."""

SAMPLE = Fraction(1, 44_100)

FORMATS = {"ts": "mpegts", "flv": "flv", "mp4": "mp4"}
"""libavformat's names."""

CELLS = [(video, audio, container) for video in VIDEO for audio in AUDIO for container in FORMATS]

NOT_CARRIED = {("vp9", "ts")}
"""MPEG-TS has no registered form for VP9: nobody reads it."""

OURS_ALONE = {("av1", "ts")}
"""FFmpeg 9 writes AV1 into MPEG-TS as private data without a name, and reads it as data. arcly follows AOM's binding,
and only arcly is there to judge it."""


def carried(video: str, container: str) -> bool:
    """Whether the container has a form for the pictures."""
    return (video, container) not in NOT_CARRIED


@pytest.mark.parametrize(("video", "audio", "container"), CELLS)
def test_what_arcly_muxes_ffmpeg_reads(clip: Clip, tmp_path: Path, video: str, audio: str, container: str) -> None:
    """Packets of an MP4 file by PyAV → arcly's muxer → PyAV."""
    elementary, sent = read(clip(video, audio))
    tracks = [track(index, one, sent) for index, one in enumerate(elementary)]
    if not carried(video, container):
        with pytest.raises(arcly.UnsupportedError):
            Muxer(container).set_tracks(tracks)
        return
    path = tmp_path / f"clip.{container}"
    path.write_bytes(mux(container, tracks, sent))
    alone = (video, container) in OURS_ALONE
    received = demux(container, path.read_bytes()) if alone else read(path, FORMATS[container])[1]
    compare(sent, received, TICK[container])


# FFmpeg writes something into the cells that are left out, which it does not read itself.
FOREIGN_CELLS = [cell for cell in CELLS if carried(cell[0], cell[2]) and (cell[0], cell[2]) not in OURS_ALONE]


@pytest.mark.parametrize(("video", "audio", "container"), FOREIGN_CELLS)
def test_what_ffmpeg_muxes_arcly_reads(
    clip: Clip, ffmpeg: str, tmp_path: Path, video: str, audio: str, container: str
) -> None:
    """FFmpeg's muxer → arcly's demuxer, in pieces of a prime number of bytes; PyAV reads the same file."""
    path = tmp_path / f"clip.{container}"
    remux(ffmpeg, clip(video, audio), path)
    compare(read(path, FORMATS[container])[1], demux(container, path.read_bytes()), TICK[container])


def remux(ffmpeg: str, source: Path, path: Path) -> None:
    """Copy into another container by FFmpeg."""
    import subprocess

    flags = ["-movflags", "frag_keyframe+empty_moov+delay_moov+default_base_moof"] if path.suffix == ".mp4" else []
    subprocess.run([ffmpeg, "-v", "error", "-i", source, "-c", "copy", *flags, path], check=True, timeout=60)


def track(index: int, elementary: Elementary, packets: list[Packet]) -> arcly.Track:
    """arcly's track for what PyAV says."""
    first = next(packet for packet in packets if packet.kind == elementary.kind)
    return arcly.Track(index, elementary.codec, record(elementary, first))


def record(elementary: Elementary, first: Packet) -> bytes:
    """The configuration record, for codecs for which FFmpeg keeps none."""
    return elementary.extradata or config_from_frame(elementary.codec, first.data)


def mux(container: str, tracks: list[arcly.Track], packets: list[Packet]) -> bytes:
    """All packets through arcly's muxer."""
    ids = {track.kind: track for track in tracks}
    muxer = Muxer(container)
    out = bytearray(muxer.set_tracks(tracks))
    for packet in sorted(packets, key=lambda packet: packet.dts):
        one = ids[packet.kind]
        pts, dts = (round(time * one.clock_rate_hz) for time in (packet.pts, packet.dts))
        frame = arcly.MediaFrame(packet.data, tracks, track=one.id, pts=pts, dts=dts, key=packet.key)
        out += muxer.write(frame)
    return bytes(out + muxer.finish())


def demux(container: str, data: bytes) -> list[Packet]:
    """All frames that arcly's demuxer finds."""
    demuxer = Demuxer(container)
    frames = [frame for at in range(0, len(data), 9973) for frame in demuxer.feed(data[at : at + 9973])]
    frames += demuxer.finish()
    return [
        Packet(
            frame.kind,
            Fraction(frame.pts, frame.clock_rate_hz),
            Fraction(frame.dts, frame.clock_rate_hz),
            bytes(frame),
            frame.is_key,
        )
        for frame in frames
    ]


def compare(sent: list[Packet], received: list[Packet], tick: Fraction) -> None:
    """The same packets of each track, at the same times but for one offset that is the same for all."""
    offset = None
    for kind in ("video", "audio"):
        ours = [packet for packet in received if packet.kind == kind]
        theirs = [packet for packet in sent if packet.kind == kind]
        assert theirs
        assert len(ours) == len(theirs), kind
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert one.data == other.data, f"{kind} {index}"
            if kind == "video":
                assert one.key == other.key, f"{kind} {index}"
            offset = one.dts - other.dts if offset is None else offset
            allowed = max(tick, SAMPLE) if kind == "audio" else tick
            for ours_s, theirs_s in ((one.dts, other.dts), (one.pts, other.pts)):
                assert abs(ours_s - theirs_s - offset) <= allowed, f"{kind} {index}: {ours_s} {theirs_s} {offset}"
