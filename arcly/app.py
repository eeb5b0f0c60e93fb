"""Applications: how the streams under one name behave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NativeSpec = tuple[int, int, int | None, int | None, int | None, bool, float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """How the streams of an application behave. Given to `Engine` or `Engine.put_app`."""

    ring_frames: int = 1024
    """Frames that each stream keeps for late joiners and slow readers: 13 s of 30 pictures and 47 sounds a second."""

    ring_bytes: int = 32 << 20
    """Payload bytes that each stream keeps at most, 32 MiB: 10 s at 25 Mbit/s."""

    gop_frames: int | None = None
    """Frames, sounds among them, up to which the present GOP is kept whole for joiners, whatever `ring_frames` says;
    None, the default, for `ring_frames`. A GOP that outgrows it makes joiners wait for the next key frame, and is told
    by `GOP_TRUNCATED`."""

    gop_bytes: int | None = None
    """The same in payload bytes; None, the default, for `ring_bytes`."""

    max_lag: int | None = None
    """Frames that a reader may miss in all before it is evicted; None, the default, for any number."""

    second_publisher: Literal["refuse", "replace"] = "refuse"
    """What happens to a publisher whose key is taken: it is refused, or it takes over and the stream before it ends."""

    reconnect_grace_s: float = 0.0
    """Seconds that a stream outlives its publisher. Readers stay; a publisher that comes back goes on in the same
    stream, behind a
    discontinuity, with continued timestamps. Default 0: a stream ends with its publisher."""

    idle_timeout_s: float | None = None
    """Seconds without a frame after which a publisher is disconnected; None, the default, for never."""

    def native(self) -> NativeSpec:
        """Return the fields as the native engine takes them."""
        replace = self.second_publisher == "replace"
        ring, gop = (self.ring_frames, self.ring_bytes), (self.gop_frames, self.gop_bytes)
        return (*ring, *gop, self.max_lag, replace, self.reconnect_grace_s, self.idle_timeout_s)
