"""How streams are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

from arcly._native import StreamKey, recording_path
from arcly._pattern import is_match, require_pattern
from arcly.errors import MisuseError

RecordFormat: TypeAlias = Literal["fmp4", "mp4", "ts", "flv"]

FORMATS: tuple[RecordFormat, ...] = ("fmp4", "mp4", "ts", "flv")

DEFAULT_TEMPLATE = "{app}/{stream}/{date}_{time}"


class RecordOptions(TypedDict, total=False):
    """The keyword arguments of `Recorder`: the fields of `RecordSettings`."""

    format: RecordFormat
    template: str
    segment_s: float
    segment_bytes: int
    fragment_s: float
    resume_s: float
    retry_s: float
    stall_s: float
    keep_s: float | None
    keep_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """How streams are recorded. `Recorder` takes the same as keyword arguments."""

    directory: Path
    """Below it are all files, and in `.arcly` the index."""

    record: tuple[str, ...] = ()
    """Patterns (`live/*`) of streams that are recorded whenever they are published. `*` stands for `/`, too."""

    format: RecordFormat = "fmp4"
    """`fmp4`: plays while it grows. `mp4`: the same, made into an ordinary file when it is complete. `ts`, `flv`."""

    template: str = DEFAULT_TEMPLATE
    """What files are called: `{app}`, `{stream}`, `{date}`, `{time}` (UTC), `{unix_ms}`, `{number}`."""

    segment_s: float = 600.0
    """A file ends at the first key frame after so long."""

    segment_bytes: int = (4 << 30) - (64 << 20)
    """Or when it has so many bytes."""

    fragment_s: float = 1.0
    """What is written at a time, and the most that a crash costs."""

    resume_s: float = 30.0
    """A publisher that comes back within so long goes on in the same recording, behind a gap."""

    retry_s: float = 30.0
    """So long after the disk has refused it is tried again, in the same recording."""

    stall_s: float = 20.0
    """How long one write may take before the disk has refused."""

    keep_s: float | None = None
    """Files are deleted so long after their end; None for never."""

    keep_bytes: int | None = None
    """The oldest files are deleted when all of them have more; None for never."""

    def __post_init__(self) -> None:
        """Check."""
        if self.format not in FORMATS:
            raise MisuseError(f"{self.format!r} is no format of recordings: {', '.join(FORMATS)} are")
        for pattern in self.record:
            require_pattern(pattern)
        recording_path(self.template, StreamKey("a", "b"), 0, 0)
        for name in ("segment_s", "segment_bytes", "fragment_s", "stall_s", "retry_s"):
            if not getattr(self, name) > 0:
                raise MisuseError(f"{name} is more than 0")
        for name in ("resume_s", "keep_s", "keep_bytes"):
            if (getattr(self, name) or 0) < 0:
                raise MisuseError(f"{name} is not negative")

    def wants(self, key: StreamKey) -> bool:
        """Return whether a rule says that the stream is recorded."""
        return any(is_match(key, pattern) for pattern in self.record)

    def native(self) -> tuple[str, str, str, float, int, float, float]:
        """Return what the native recorder needs."""
        length = (self.segment_s, self.segment_bytes, self.fragment_s, self.stall_s)
        return (str(self.directory), self.template, self.format, *length)
