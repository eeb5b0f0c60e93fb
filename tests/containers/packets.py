"""Packets as FFmpeg sees them (through PyAV), in the form of arcly's bus, so that both can be compared."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

CODECS = {
    "h264": "H264",
    "hevc": "H265",
    "vvc": "H266",
    "av1": "AV1",
    "vp9": "VP9",
    "vp8": "VP8",
    "aac": "AAC",
    "opus": "Opus",
    "mp3": "MP3",
    "mp2": "MP2",
    "ac3": "AC3",
    "eac3": "EAC3",
    "flac": "FLAC",
}
"""arcly's names of FFmpeg's codecs."""

# Access unit delimiters and parameter sets: containers write them anew, arcly keeps the latter in the track.
FRAMING = {"h264": {7, 8, 9}, "hevc": {32, 33, 34, 35}, "vvc": {12, 13, 14, 15, 16, 20}}
"""Types of NAL units, by codec."""

AV1_FRAMING = {2}
"""The temporal delimiter."""


@dataclass(frozen=True)
class Packet:
    """One access unit of one track."""

    kind: str
    pts: Fraction
    dts: Fraction
    data: bytes
    key: bool


@dataclass(frozen=True)
class Elementary:
    """What a container says of one track."""

    kind: str
    codec: str
    extradata: bytes
    sample_rate_hz: int | None
    channels: int | None


def read(source: Path | bytes, form: str | None = None) -> tuple[list[Elementary], list[Packet]]:
    """Return the tracks and all packets of a file, in its order, in canonical form."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    with av.open(opened, format=form) as container:
        tracks = [_track(stream) for stream in container.streams if stream.type in ("video", "audio")]
        packets = [
            _packet(packet)
            for packet in container.demux()
            if packet.size and packet.pts is not None and packet.stream.type in ("video", "audio")
        ]
    return tracks, packets


def _track(stream: av.stream.Stream) -> Elementary:
    context = stream.codec_context
    is_audio = stream.type == "audio"
    return Elementary(
        stream.type,
        CODECS[context.name.removeprefix("lib").removesuffix("-dav1d").replace("dav1d", "av1").removesuffix("float")],
        bytes(context.extradata or b""),
        context.sample_rate if is_audio else None,
        context.channels if is_audio else None,
    )


def _packet(packet: av.Packet) -> Packet:
    base = packet.time_base
    assert base is not None
    assert packet.pts is not None
    dts = packet.pts if packet.dts is None else packet.dts
    codec = packet.stream.codec_context.codec.canonical_name
    extradata = bytes(packet.stream.codec_context.extradata or b"")
    data = canonical(codec, extradata, bytes(packet))
    is_key = packet.is_keyframe and packet.stream.type == "video"
    return Packet(packet.stream.type, packet.pts * base, dts * base, data, is_key)


def canonical(codec: str, extradata: bytes, data: bytes) -> bytes:
    """Return one packet of libavformat in the form of arcly's bus."""
    if codec in FRAMING:
        # A record begins with its version, that of H.266 with ones; a start code with zeros.
        units = lengths(data) if extradata[:1] not in (b"", b"\0") else start_codes(data)
        kept = (unit for unit in units if unit and _nal_type(codec, unit) not in FRAMING[codec])
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in kept)
    if codec == "av1":
        return b"".join(obu for kind, obu in obus(data) if kind not in AV1_FRAMING)
    if codec == "aac" and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[9 if data[1] & 1 == 0 else 7 :]
    return data


def _nal_type(codec: str, unit: bytes) -> int:
    if codec == "h264":
        return unit[0] & 31
    return unit[0] >> 1 & 63 if codec == "hevc" else unit[1] >> 3


def lengths(data: bytes) -> Iterator[bytes]:
    """The NAL units behind 4-byte lengths."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def start_codes(data: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream."""
    for unit in data.split(b"\0\0\1")[1:]:
        yield unit.rstrip(b"\0")


def obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The open bitstream units, each with its type; all have sizes here."""
    at = 0
    while at < len(data):
        head = data[at]
        begin, at = at, at + (2 if head & 4 else 1)
        size, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        at += size
        yield head >> 3 & 15, data[begin:at]
