"""Applications: how the streams under one name behave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arcly.errors import MisuseError

RANGES: dict[str, tuple[float, float]] = {
    "ring_frames": (1, 1 << 24),
    "ring_bytes": (1, 1 << 40),
    "gop_frames": (1, 1 << 24),
    "gop_bytes": (1, 1 << 40),
    "max_lag": (0, 1 << 53),
    "reconnect_grace_s": (0, 1e9),
    "idle_timeout_s": (0.001, 1e9),
}
"""The least and the most of each number in an `AppSpec`."""

NativeSpec = tuple[int, int, int | None, int | None, int | None, bool, float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """How the streams of an application behave. Given to `Engine` or `Engine.put_app`.

    Raises:
        MisuseError: a number is out of range, or `second_publisher` is neither of its two words.
    """

    ring_frames: int = 1024
    """Frames that each stream keeps for late joiners and slow readers: 13 s of 30 pictures and 47 sounds a second; 1 to
    16 777 216."""

    ring_bytes: int = 32 << 20
    """Payload bytes that each stream keeps at most, 32 MiB: 10 s at 25 Mbit/s; 1 to 2^40."""

    gop_frames: int | None = None
    """Frames, sounds among them, up to which the present GOP is kept whole for joiners, whatever `ring_frames` says;
    None, the default, for `ring_frames`. A GOP that outgrows it makes joiners wait for the next key frame, and is told
    by `GOP_TRUNCATED`. Range as `ring_frames`."""

    gop_bytes: int | None = None
    """The same in payload bytes; None, the default, for `ring_bytes`. Range as there."""

    max_lag: int | None = None
    """Frames, of whatever track, that a reader may miss in all before it is evicted, 0 to 2^53; None, the default, for
    any number. See `Subscription.missed`."""

    second_publisher: Literal["refuse", "replace"] = "refuse"
    """What happens to a publisher whose key is taken: it is refused, or it takes over and the stream before it ends. A
    mirror of another node (protocol `cluster`) is always ended by somebody who publishes here."""

    reconnect_grace_s: float = 0.0
    """Seconds that a stream outlives its publisher, 0 to 10^9. Readers stay; a publisher that comes back goes on in the
    same stream, behind a discontinuity, with continued timestamps. Default 0: a stream ends with its publisher."""

    idle_timeout_s: float | None = None
    """Seconds without a frame after which a publisher is disconnected, 0.001 to 10^9; None, the default, for never."""

    def __post_init__(self) -> None:
        """Check everything."""
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise MisuseError(f"{name} is {value!r}; it must be between {least:g} and {most:g}")
        if self.second_publisher not in ("refuse", "replace"):
            raise MisuseError(f"second_publisher is {self.second_publisher!r}; it must be 'refuse' or 'replace'")

    def native(self) -> NativeSpec:
        """Return the fields as the native engine takes them."""
        replace = self.second_publisher == "replace"
        ring, gop = (self.ring_frames, self.ring_bytes), (self.gop_frames, self.gop_bytes)
        return (*ring, *gop, self.max_lag, replace, self.reconnect_grace_s, self.idle_timeout_s)
