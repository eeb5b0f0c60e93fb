"""What is counted of one track while its frames pass by: a few numbers, however long the stream is."""

from __future__ import annotations

from dataclasses import dataclass

from arcly._native import MediaFrame, Track, inspect
from arcly.probe.report import Fault, GopReport, TrackReport

GAP_FRAMES = 1.9
"""A step of so many usual steps is a gap: one frame is missing."""

JUMP_S = 10.0
"""A step of so many seconds is not a gap but another timeline."""

PEAK_WINDOW_S = 1.0
"""The peak bit rate is measured over so long."""


@dataclass
class _Fault:
    count: int
    first_at_s: float
    worst_s: float


class TrackSurvey:
    """One track."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.frames = self.keys = self.bytes = 0
        self.first_pts_s: float | None = None
        self.latest_pts_s: float | None = None
        self.last_dts_s: float | None = None
        self._first_dts_s = 0.0
        self._end_s = 0.0
        self._steps = _Steps()
        self._faults: dict[str, _Fault] = {}
        self._window = _Window()
        self._gops = _Gops()
        self._reordered = False

    def add(self, frame: MediaFrame) -> None:
        """Count a frame."""
        dts_s, pts_s, size = frame.dts_s, frame.pts_s, len(frame)
        self._judge(frame, dts_s, pts_s)
        if self.first_pts_s is None:
            self.first_pts_s, self._first_dts_s = pts_s, dts_s
        self._reordered |= self.latest_pts_s is not None and pts_s < self.latest_pts_s
        self.latest_pts_s = pts_s if self.latest_pts_s is None else max(self.latest_pts_s, pts_s)
        self.last_dts_s = dts_s
        self._end_s = max(self._end_s, dts_s + frame.duration / frame.clock_rate_hz)
        self.frames += 1
        self.keys += frame.is_key
        self.bytes += size
        self._window.add(dts_s, size)
        self._gops.add(dts_s, frame.is_key)

    def _judge(self, frame: MediaFrame, dts_s: float, pts_s: float) -> None:
        """Compare the times with those of the frame before."""
        if frame.is_discontinuity and self.frames:
            self._fault("discontinuity", 0.0)
        if pts_s < dts_s:
            self._fault("pts_before_dts", dts_s - pts_s)
        if self.last_dts_s is None:
            return
        step_s = dts_s - self.last_dts_s
        usual_s = self._steps.usual_s
        if step_s < 0:
            self._fault("dts_backwards", -step_s)
        elif step_s == 0:
            self._fault("dts_repeated", 0.0)
        elif self.track.kind == "data":
            # Cues come when there are some.
            pass
        elif step_s >= JUMP_S:
            self._fault("jump", step_s)
        elif usual_s is not None and step_s > GAP_FRAMES * usual_s:
            self._fault("gap", step_s)
        if 0 < step_s < JUMP_S:
            self._steps.add(step_s)

    def _fault(self, kind: str, seconds: float) -> None:
        fault = self._faults.setdefault(kind, _Fault(0, self.last_dts_s or 0.0, 0.0))
        fault.count += 1
        fault.worst_s = max(fault.worst_s, seconds)

    def report(self) -> TrackReport:
        """Return what was counted."""
        usual_s = self._steps.usual_s
        end_s = max(self._end_s, (self.last_dts_s or 0.0) + (usual_s or 0.0))
        duration_s = max(0.0, end_s - self._first_dts_s) if self.frames else 0.0
        is_video = self.track.kind == "video"
        return TrackReport(
            id=self.track.id,
            language=self.track.language,
            info=inspect(self.track.codec, self.track.config),
            frames=self.frames,
            keys=self.keys,
            bytes=self.bytes,
            first_pts_s=self.first_pts_s,
            duration_s=duration_s,
            frames_per_s=self.frames / duration_s if duration_s else None,
            average_bits_per_s=self.bytes * 8 / duration_s if duration_s else None,
            peak_bits_per_s=self._window.peak_bits_per_s,
            gop=self._gops.report(self._reordered) if is_video else None,
            faults=tuple(
                Fault(kind, fault.count, fault.first_at_s, fault.worst_s) for kind, fault in self._faults.items()
            ),
        )


class _Steps:
    """The usual step between two frames: the average of the ordinary ones."""

    LEARNED_FROM = 8

    def __init__(self) -> None:
        self._sum_s = 0.0
        self._count = 0

    @property
    def usual_s(self) -> float | None:
        return self._sum_s / self._count if self._count >= self.LEARNED_FROM else None

    def add(self, step_s: float) -> None:
        usual_s = self.usual_s
        if usual_s is None or step_s <= GAP_FRAMES * usual_s:
            self._sum_s += step_s
            self._count += 1


class _Window:
    """The most bytes in a window of a second, windows side by side."""

    def __init__(self) -> None:
        self._begin_s: float | None = None
        self._bytes = 0
        self._peak_bytes: int | None = None

    @property
    def peak_bits_per_s(self) -> float | None:
        return None if self._peak_bytes is None else self._peak_bytes * 8 / PEAK_WINDOW_S

    def add(self, dts_s: float, size: int) -> None:
        if self._begin_s is None or not 0 <= dts_s - self._begin_s < 2 * PEAK_WINDOW_S:
            self._begin_s, self._bytes = dts_s, 0
        elif dts_s - self._begin_s >= PEAK_WINDOW_S:
            self._peak_bytes = max(self._peak_bytes or 0, self._bytes)
            self._begin_s, self._bytes = self._begin_s + PEAK_WINDOW_S, 0
        self._bytes += size


class _Gops:
    """From key frame to key frame."""

    def __init__(self) -> None:
        self._begin_s: float | None = None
        self._frames = 0
        self._count = 0
        self._sum_s = 0.0
        self._shortest_s: float | None = None
        self._longest_s: float | None = None
        self._longest_frames = 0

    def add(self, dts_s: float, is_key: bool) -> None:
        if is_key:
            if self._begin_s is not None:
                self._close(dts_s - self._begin_s)
            self._begin_s, self._frames = dts_s, 0
        self._frames += 1

    def _close(self, length_s: float) -> None:
        self._count += 1
        self._sum_s += length_s
        self._shortest_s = length_s if self._shortest_s is None else min(self._shortest_s, length_s)
        self._longest_s = length_s if self._longest_s is None else max(self._longest_s, length_s)
        self._longest_frames = max(self._longest_frames, self._frames)

    def report(self, reordered: bool) -> GopReport:
        average_s = self._sum_s / self._count if self._count else None
        return GopReport(self._count, self._shortest_s, average_s, self._longest_s, self._longest_frames, reordered)
