"""Frames, and what they come from and go to."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import Any, Protocol, runtime_checkable

from arcly._native import Track


class MediaFrame(Protocol):
    """One access unit: any object with a buffer of bytes and these attributes. `arcly.MediaFrame` documents them."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Export the bytes (before Python 3.12 only native classes, `bytes` and what derives from it can)."""

    @property
    def track(self) -> int:
        """`Track.id`."""

    @property
    def tracks(self) -> Sequence[Track]:
        """The tracks of the stream at this frame."""

    @property
    def pts(self) -> int:
        """Presentation time in ticks of the track's clock."""

    @property
    def dts(self) -> int:
        """Decoding time in ticks of the track's clock."""

    @property
    def duration(self) -> int:
        """Ticks; 0 when unknown."""

    @property
    def is_key(self) -> bool:
        """Whether the video can be decoded from here on."""

    @property
    def is_discontinuity(self) -> bool:
        """Whether this does not continue the frame before."""


@runtime_checkable
class FrameSink(Protocol):
    """What frames are published into."""

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Replace the tracks, exactly between the frame before and the frame after this call."""

    def publish(
        self,
        data: Any,
        *,
        track: int,
        pts: int,
        dts: int | None = None,
        duration: int = 0,
        key: bool = False,
        discontinuity: bool = False,
    ) -> None:
        """Publish one access unit; `data` is any buffer of bytes and only good during the call.

        Raises:
            ClosedError: the stream has ended.
        """

    def send(self, frame: MediaFrame) -> None:
        """Publish a frame of another stream: its times, its flags, and its tracks where they have changed.

        Raises:
            ClosedError: the stream has ended.
        """


@runtime_checkable
class MediaSource(Protocol):
    """Something that frames come from: a camera, a file, a generator. `arcly.drive.pump_source` publishes it."""

    def frames(self) -> AsyncIterable[MediaFrame]:
        """Return the frames, in their order and their time. The stream ends with them."""


@runtime_checkable
class MediaSink(Protocol):
    """Something that frames go to: a recorder, a decoder, another server. `arcly.drive.drive_to` feeds it."""

    async def send(self, frame: MediaFrame) -> bool | None:
        """Take one frame; return False to get no more. While it waits, the stream goes on: a sink that is slower than
        its stream skips frames and is told by `is_discontinuity`.
        """

    async def close(self) -> None:
        """Finish. Called once, also when `send` has raised."""


@runtime_checkable
class Muxer(Protocol):
    """Makes the bytes of a container format out of frames. `arcly.drive.MuxSink` drives it."""

    def set_tracks(self, tracks: Sequence[Track]) -> bytes:
        """Begin, or go over to other tracks; return the bytes for that.

        Raises:
            UnsupportedError: the format cannot carry these tracks.
        """

    def write(self, frame: MediaFrame) -> bytes:
        """Return the bytes for a frame; perhaps none yet."""

    def finish(self) -> bytes:
        """Return what is left."""
