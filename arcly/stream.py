"""A stream as its readers see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcly._native import StreamHandle as NativeStream
from arcly._native import StreamKey, Track
from arcly.subscription import Subscription

if TYPE_CHECKING:
    import asyncio

    from arcly.contract import MediaSink


@dataclass(frozen=True, slots=True)
class StreamStats:
    """What has passed through a stream, and what passes now."""

    bits_per_s: float
    """Payload bits per second over the last seconds; falls to 0 when the publisher stops sending."""

    frames_per_s: float
    """Video frames per second over the last seconds."""

    video_frames: int
    """Video frames since the start."""

    other_frames: int
    """Frames of other tracks since the start."""

    bytes: int
    """Payload bytes since the start."""

    repaired: int
    """Frames that came with impossible timestamps, which were repaired."""

    missed: int
    """Frames that slow subscribers were made to skip."""

    viewers: int
    """Who watches now: subscriptions, players of every protocol, HLS players that asked lately."""

    joined: int = 0
    """All who have watched since the start."""

    evicted: int = 0
    """Readers that had missed more than they may (`AppSpec.max_lag`)."""


class StreamHandle:
    """A stream that is being published, or was. Holding it holds what the stream keeps for late joiners."""

    __slots__ = ("native",)

    def __init__(self, native: NativeStream) -> None:
        self.native = native

    @property
    def key(self) -> StreamKey:
        """Its name."""
        return self.native.key

    @property
    def session(self) -> int:
        """Which stream of its engine it is, from 1: two streams of one key differ in it."""
        return self.native.session

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks as of the newest frame; empty before the codecs are known."""
        return tuple(self.native.tracks)

    @property
    def protocol(self) -> str:
        """How it comes in: `rtmp`, `file`, `python`."""
        return self.native.protocol

    @property
    def peer(self) -> str | None:
        """The publisher's address; None inside this process."""
        return self.native.peer

    @property
    def agent(self) -> str | None:
        """What the publisher calls itself (`FMLE/3.0 (compatible; …)`): for people, never for decisions."""
        return self.native.agent

    @property
    def started_unix_ms(self) -> int:
        """When the publisher took the key, in milliseconds of Unix time."""
        return self.native.started_unix_ms

    @property
    def stats(self) -> StreamStats:
        """Counters and rates as of now."""
        native = self.native
        return StreamStats(
            bits_per_s=native.bits_per_s,
            frames_per_s=native.frames_per_s,
            video_frames=native.video_frames,
            other_frames=native.other_frames,
            bytes=native.bytes,
            repaired=native.repaired,
            missed=native.missed,
            viewers=native.viewers,
            joined=native.joined,
            evicted=native.evicted,
        )

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        return self.native.closed

    @property
    def state(self) -> str:
        """`"publishing"`, `"idle"` (waiting for its publisher to come back) or `"ended"`."""
        return self.native.state

    def subscribe(
        self, *, tracks: Sequence[int] | None = None, max_lag: int | None = None, protocol: str = "python"
    ) -> Subscription:
        """Return a new reader, for an event loop or for a thread.

        Args:
            tracks: ids of the tracks to read; default all.
            max_lag: frames, of whatever track, that it may miss in all before it is evicted; default what
                `AppSpec.max_lag` says.
            protocol: what its events say of how it reads; default `python`.
        """
        return Subscription(self.native, tracks=tracks, max_lag=max_lag, protocol=protocol)

    async def drive_to(self, sink: MediaSink, shutdown: asyncio.Event | None = None) -> int:
        """Hand every frame to `sink` until the stream ends, the sink has enough or `shutdown` is set. See
        `arcly.drive.drive_to`.
        """
        from arcly.drive import drive_to

        return await drive_to(self, sink, shutdown)

    def request_keyframe(self) -> None:
        """Ask the publisher for a key frame. Whether one comes is up to it: RTMP has no way to ask."""
        self.native.request_keyframe()

    def close(self) -> None:
        """End the stream from this side: readers get what is there and then the end, the publisher is disconnected."""
        self.native.close()

    def __repr__(self) -> str:
        """Name and tracks."""
        return f"<StreamHandle {self.key}: {describe(self.tracks)}>"


def describe(tracks: tuple[Track, ...]) -> str:
    """Return tracks as people write them: `2 tracks (H264 1280x720, AAC 48000 Hz)`."""
    names = ", ".join(map(str, tracks))
    return f"{len(tracks)} track{'' if len(tracks) == 1 else 's'}" + (f" ({names})" if names else "")
