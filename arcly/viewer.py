"""Who watches."""

from __future__ import annotations

from dataclasses import dataclass

from arcly._native import StreamKey


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who watches a stream over a connection of its own, as of when it was asked for."""

    id: int
    """Its number, by which it can be kicked; never used twice."""

    key: StreamKey
    """What it watches."""

    protocol: str
    """How: `http-flv`, `http-ts`."""

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
