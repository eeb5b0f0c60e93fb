"""What a probe has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from arcly._native import CodecInfo


@dataclass(frozen=True)
class GopReport:
    """The groups of pictures of a video track: from one key frame to the next."""

    count: int
    """Complete ones."""
    shortest_s: float | None
    """Seconds from key frame to key frame; None without a complete one, as the next two."""
    average_s: float | None
    longest_s: float | None
    longest_frames: int
    """Frames in the one that has most; 0 without a complete one."""
    reordered: bool
    """Whether frames are shown in another order than they are decoded: B-frames."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault of timestamps, and where it was first seen."""

    kind: str
    """`dts_backwards`, `dts_repeated`, `pts_before_dts`, `gap`, `jump` or `discontinuity`."""
    count: int
    """How often."""
    first_at_s: float
    """The decoding time before the first of them, in seconds."""
    worst_s: float
    """The largest step, gap or jump of that kind in seconds."""


@dataclass(frozen=True)
class TrackReport:
    """One elementary stream."""

    id: int
    """`Track.id`."""
    language: str | None
    """ISO 639-2/T, where the container says it."""
    info: CodecInfo
    """The facts of its configuration."""
    frames: int
    """Frames that were read."""
    keys: int
    """Those among them that can be decoded without others."""
    bytes: int
    """Payload bytes."""
    first_pts_s: float | None
    """When its first frame is shown; None without one."""
    duration_s: float
    """From the first to the end of the last frame, gaps included."""
    frames_per_s: float | None
    """Measured."""
    average_bits_per_s: float | None
    """Payload over `duration_s`; None where that is 0."""
    peak_bits_per_s: float | None
    """The most in a second; None where it is shorter."""
    gop: GopReport | None
    """Of video; None of other kinds."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with its times, by kind; empty when nothing is."""


@dataclass(frozen=True)
class Report:
    """All that a probe has found."""

    source: str
    """What was read, without what is secret in it."""
    format: str
    """`ts`, `flv` or `mp4`; of a live stream its protocol, as in its URL."""
    bytes: int
    """That were read."""
    tracks: tuple[TrackReport, ...]
    """By id."""
    broken: int
    """Parts that could not be used."""
    problem: str | None
    """Why the last of them could not; None when all could."""
    configurations: int = 1
    """How many sets of tracks there were: more than one means that they change in mid-stream."""
    audio_ahead_s: float | None = None
    """How much the first audio frame is shown before the first picture; negative: after it."""
    interleave_s: float = 0.0
    """The most by which a frame comes later in the file than one of another track with a later decoding time."""
    notes: tuple[str, ...] = field(default=())
    """What a person should know, in sentences."""

    def json(self) -> dict[str, Any]:
        """Return all of it as what JSON can say."""
        made = {name: value for name, value in vars(self).items() if name != "tracks"}
        return {**made, "notes": list(self.notes), "tracks": [track_json(track) for track in self.tracks]}


INFO_FIELDS = [name for name in CodecInfo.__dict__ if not name.startswith("_")]


def track_json(track: TrackReport) -> dict[str, Any]:
    """Return a track as what JSON can say, the facts of its configuration beside its own."""
    own = {name: value for name, value in vars(track).items() if name not in ("info", "gop", "faults")}
    facts = {name: getattr(track.info, name) for name in INFO_FIELDS}
    return {
        **own,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()},
        "gop": None if track.gop is None else asdict(track.gop),
        "faults": [asdict(fault) for fault in track.faults],
    }
