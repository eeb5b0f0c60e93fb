"""Reading a source once, counting."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from arcly._native import MediaFrame, MediaReader
from arcly.errors import MalformedError
from arcly.probe.report import Report, TrackReport
from arcly.probe.tracks import TrackSurvey

LONG_GOP_S = 10.0
"""A GOP that is longer makes players wait and segments long."""

LOOSE_INTERLEAVE_S = 1.0
"""Players buffer about as much."""


class Survey:
    """Counts frames of all tracks of one source.

    Args:
        source: its name in the report.
        format: its container.
    """

    def __init__(self, source: str, format: str) -> None:
        self._source = source
        self._format = format
        self._tracks: dict[int, TrackSurvey] = {}
        self._configurations = 0
        self._present: object = None
        self._newest_dts_s: float | None = None
        self._interleave_s = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not self._tracks

    def add(self, frames: Iterable[MediaFrame]) -> None:
        """Count them."""
        for frame in frames:
            self._follow(frame)
            if self._newest_dts_s is not None:
                self._interleave_s = max(self._interleave_s, self._newest_dts_s - frame.dts_s)
            self._newest_dts_s = max(self._newest_dts_s or frame.dts_s, frame.dts_s)
            self._tracks[frame.track].add(frame)

    def _follow(self, frame: MediaFrame) -> None:
        known = self._tracks.get(frame.track)
        if known is not None and frame.revision == self._present:
            return
        tracks = frame.tracks
        changed = any(self._tracks[track.id].track != track for track in tracks if track.id in self._tracks)
        self._configurations += changed or not self._tracks
        self._present = frame.revision
        for track in tracks:
            survey = self._tracks.get(track.id)
            if survey is None:
                self._tracks[track.id] = TrackSurvey(track)
            else:
                survey.track = track

    def report(self, *, bytes_read: int, broken: int, problem: str | None, cut: str | None = None) -> Report:
        """Return what was counted; `cut` is why that is not all."""
        tracks = tuple(self._tracks[id].report() for id in sorted(self._tracks))
        starts = {
            kind: min(
                (one.first_pts_s for one in tracks if one.info.kind == kind and one.first_pts_s is not None),
                default=None,
            )
            for kind in ("video", "audio")
        }
        video_s, audio_s = starts["video"], starts["audio"]
        audio_ahead_s = None if video_s is None or audio_s is None else video_s - audio_s
        return Report(
            source=self._source,
            format=self._format,
            bytes=bytes_read,
            tracks=tracks,
            broken=broken,
            problem=problem,
            configurations=max(1, self._configurations),
            audio_ahead_s=audio_ahead_s,
            interleave_s=self._interleave_s,
            notes=(
                *_notes(tracks, self._configurations, self._interleave_s, audio_ahead_s),
                *([] if cut is None else [f"it breaks off: {cut}"]),
            ),
        )


def _notes(
    tracks: tuple[TrackReport, ...], configurations: int, interleave_s: float, audio_ahead_s: float | None
) -> Iterator[str]:
    for track in tracks:
        gop = track.gop
        if gop is not None and gop.count == 0 and track.duration_s > LONG_GOP_S:
            length = f"{track.duration_s:.0f} s"
            yield f"track {track.id} has {track.keys} key frame(s) in {length}: nobody can join in between"
        if gop is not None and gop.longest_s is not None and gop.longest_s > LONG_GOP_S:
            yield f"track {track.id} has a GOP of {gop.longest_s:.1f} s: set the key frame interval to 1 to 2 s"
        if gop is not None and gop.reordered:
            yield f"track {track.id} has B-frames: browsers do not play them over WebRTC"
    if configurations > 1:
        yield f"the tracks change in mid-stream ({configurations} configurations)"
    if interleave_s > LOOSE_INTERLEAVE_S:
        yield f"tracks are interleaved loosely: frames come up to {interleave_s:.1f} s late"
    if audio_ahead_s is not None and abs(audio_ahead_s) > LOOSE_INTERLEAVE_S:
        yield f"sound and pictures begin {abs(audio_ahead_s):.1f} s apart"


def survey_file(path: str | Path, end: float | None) -> Report:
    """Read a file, until `end` of the monotonic clock at most.

    Raises:
        OSError: it cannot be read.
        UnsupportedError, MalformedError: it is nothing that can be read.
    """
    reader = MediaReader(path)
    survey, cut = Survey(str(path), reader.format), None
    try:
        while frames := reader.read(1024):
            survey.add(frames)
            if end is not None and time.monotonic() > end:
                break
    except MalformedError as error:
        if survey.is_empty:
            raise
        cut = str(error).removeprefix(f"{path}: ")
    bytes_read = Path(path).stat().st_size
    return survey.report(bytes_read=bytes_read, broken=reader.broken, problem=reader.problem, cut=cut)
