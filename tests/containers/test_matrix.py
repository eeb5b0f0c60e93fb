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

NOT_CARRIED = {("vp9", "ts"), ("vp8", "ts"), ("mp2", "flv")}
"""MPEG-TS has no registered form for VP9 and VP8, FLV none for MP2: nobody reads them."""

OURS_ALONE = {("av1", "ts"), ("vp8", "flv")}
"""FFmpeg 9 writes AV1 into MPEG-TS as private data without a name, and reads it as data; VP8 in FLV it does not know.
arcly follows AOM's binding and Enhanced RTMP, and only arcly is there to judge it."""

NOT_WRITTEN = {("vp8", "mp4")}
"""What FFmpeg reads and does not write."""


def carried(video: str, audio: str, container: str) -> bool:
    """Whether the container has a form for both."""
    return NOT_CARRIED.isdisjoint({(video, container), (audio, container)})


@pytest.mark.parametrize(("video", "audio", "container"), CELLS)
def test_what_arcly_muxes_ffmpeg_reads(clip: Clip, tmp_path: Path, video: str, audio: str, container: str) -> None:
    """Packets of an MP4 file by PyAV → arcly's muxer → PyAV, and arcly's demuxer."""
    elementary, sent = read(clip(video, audio))
    tracks = [track(index, one, sent) for index, one in enumerate(elementary)]
    if not carried(video, audio, container):
        with pytest.raises(arcly.UnsupportedError):
            Muxer(container).set_tracks(tracks)
        return
    path = tmp_path / f"clip.{container}"
    path.write_bytes(mux(container, tracks, sent))
    codecs, again = demux(container, path.read_bytes())
    assert codecs == names(video, audio)
    compare(sent, again, TICK[container])
    if (video, container) not in OURS_ALONE:
        compare(sent, read(path, FORMATS[container])[1], TICK[container])


# FFmpeg writes something into the cells that are left out, which it does not read itself.
FOREIGN_CELLS = [
    (video, audio, container)
    for video, audio, container in CELLS
    if carried(video, audio, container) and (video, container) not in OURS_ALONE | NOT_WRITTEN
]


@pytest.mark.parametrize(("video", "audio", "container"), FOREIGN_CELLS)
def test_what_ffmpeg_muxes_arcly_reads(
    clip: Clip, ffmpeg: str, tmp_path: Path, video: str, audio: str, container: str
) -> None:
    """FFmpeg's muxer → arcly's demuxer, in pieces of a prime number of bytes; PyAV reads the same file."""
    path = tmp_path / f"clip.{container}"
    remux(ffmpeg, clip(video, audio), path)
    codecs, received = demux(container, path.read_bytes())
    assert codecs == names(video, audio)
    compare(read(path, FORMATS[container])[1], received, TICK[container])


def names(video: str, audio: str) -> set[str]:
    """arcly's names of the codecs of a cell, in capitals."""
    return {video.split("-")[0].upper(), audio.upper()}


def remux(ffmpeg: str, source: Path, path: Path) -> None:
    """Copy into another container by FFmpeg."""
    import subprocess

    flags = ["-movflags", "frag_keyframe+empty_moov+delay_moov+default_base_moof"] if path.suffix == ".mp4" else []
    subprocess.run([ffmpeg, "-v", "error", "-i", source, "-c", "copy", *flags, path], check=True, timeout=60)


def track(index: int, elementary: Elementary, packets: list[Packet]) -> arcly.Track:
    """arcly's track for what PyAV says."""
    first = next(packet for packet in packets if packet.kind == elementary.kind)
    # MP4 has one object type for all layers of MPEG audio, which FFmpeg calls MP3; the header says the layer.
    is_layer_2 = elementary.codec == "MP3" and first.data[1] >> 1 & 3 == 2
    codec = "MP2" if is_layer_2 else elementary.codec
    return arcly.Track(index, codec, elementary.extradata or config_from_frame(codec, first.data))


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


def demux(container: str, data: bytes) -> tuple[set[str], list[Packet]]:
    """The codecs, in capitals, and all frames that arcly's demuxer finds."""
    demuxer = Demuxer(container)
    frames = [frame for at in range(0, len(data), 9973) for frame in demuxer.feed(data[at : at + 9973])]
    frames += demuxer.finish()
    packets = [
        Packet(
            frame.kind,
            Fraction(frame.pts, frame.clock_rate_hz),
            Fraction(frame.dts, frame.clock_rate_hz),
            bytes(frame),
            frame.is_key,
        )
        for frame in frames
    ]
    return {frame.codec.upper() for frame in frames}, packets


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
