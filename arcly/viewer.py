"""Who watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arcly._limits import require_between
from arcly._native import StreamKey
from arcly.errors import MisuseError

RawViewer = tuple[int, StreamKey, str, str, str, int, int, int, int, int, str, int]
"""The fields of a `Viewer`, as native listeners give them."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who watches a stream over a connection of its own, as of when it was asked for. Counters may be a second
    old.
    """

    id: int
    """Its number, by which it can be kicked; never used twice."""

    key: StreamKey
    """What it watches."""

    protocol: str
    """How: `rtmp`, `http-flv`, `http-ts`, `http-mp4`, or `ws-flv`, `ws-ts`, `ws-mp4` over WebSocket."""

    peer: str
    """Its address, `192.0.2.1:51234`."""

    agent: str
    """What it calls itself: for people, never for decisions. May be empty."""

    since_unix_ms: int
    """When it came, in milliseconds of Unix time."""

    bytes: int
    """Bytes that the kernel has taken for it."""

    frames: int
    """Frames of all tracks among them."""

    dropped: int
    """Frames that it was too slow for."""

    lag_frames: int
    """Frames that wait for it: none or a few for one that keeps up. As of the last second."""

    layer: str = ""
    """The rendition that it is sent, `cam~low`, where one is chosen for it (WebRTC); else empty."""

    estimate_bps: int = 0
    """What its path carries, in bits per second, where that is measured to choose a rendition; else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressOptions:
    """How endless streams (RTMP, RTSP, FLV, TS, MP4) leave. Given to `RtmpHandler`, `RtspHandler` or `HttpOrigin`.

    Raises:
        MisuseError: a number is out of range, or `flush` is neither of its two words.
    """

    flush: Literal["picture", "packet"] = "picture"
    """When viewers are written to: with each picture, what sound waits along with it, or with each packet. The latter
    costs twice as much for the sake of some 30 ms of sound."""

    merge_s: float = 0.0
    """Pictures that come within so long leave together, always: fewer writes, later pictures. 0, the default, to 60."""

    merge_max_s: float = 0.1
    """The same when writing each picture takes over a quarter of the time, and only then. Default 100 ms; 0 to 60 s."""

    viewers_max: int = 10_000
    """Viewers at a time, of all streams; 0 to 2^32 - 1."""

    behind_max_s: float = 5.0
    """How far a viewer may be behind before it is moved to the newest key picture; 0.01 to 3600."""

    stall_max_s: float = 20.0
    """How long a viewer may accept nothing before it is let go; 0.01 to 3600."""

    def __post_init__(self) -> None:
        """Check everything."""
        if self.flush not in ("picture", "packet"):
            raise MisuseError(f"flush is {self.flush!r}; it must be 'picture' or 'packet'")
        require_between("merge_s", self.merge_s, 0, 60)
        require_between("merge_max_s", self.merge_max_s, 0, 60)
        require_between("viewers_max", self.viewers_max, 0, (1 << 32) - 1)
        require_between("behind_max_s", self.behind_max_s, 0.01, 3600)
        require_between("stall_max_s", self.stall_max_s, 0.01, 3600)

    def native(self) -> tuple[bool, float, float, int, float, float]:
        """Return the fields as native listeners take them."""
        merge = (self.merge_s, self.merge_max_s)
        return (self.flush == "packet", *merge, self.viewers_max, self.behind_max_s, self.stall_max_s)
