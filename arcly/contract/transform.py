"""Streams made of streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from arcly._native import StreamKey
from arcly.contract.frames import MediaFrame, MediaSource


@dataclass(frozen=True, slots=True)
class Rendition:
    """One rung of an ABR ladder."""

    name: str
    """What is appended to the stream's name, behind `~`: `720p` makes `live/cam~720p`."""

    height: int
    """Pixels of the picture; its width follows from the source."""

    bits_per_s: int
    """Target of video and audio together."""

    codec: str = "H264"
    """Of the video, as in `Track`."""


@runtime_checkable
class Transcoder(Protocol):
    """Makes renditions out of a stream; arcly brings none. `arcly.ladder.drive_ladder` publishes them."""

    @property
    def renditions(self) -> Sequence[Rendition]:
        """What it makes."""

    async def transcode(self, frame: MediaFrame) -> Iterable[tuple[Rendition, MediaFrame]]:
        """Take a frame; return those that are ready, each with its rendition. They keep the times of their sources."""

    async def flush(self) -> Iterable[tuple[Rendition, MediaFrame]]:
        """Return what is left. Called at the end of the stream, not when `transcode` has raised."""


@runtime_checkable
class ClusterRelay(Protocol):
    """Finds streams on other nodes and brings them here. `arcly.cluster` mirrors by it, and has one in process.

    `announce` and `withdraw` are called for 16 streams at a time, and for each of them one behind the other; what
    raises or takes longer than 10 s is called again.
    """

    async def announce(self, key: StreamKey) -> None:
        """Tell the others that `key` is published here."""

    async def withdraw(self, key: StreamKey) -> None:
        """Tell the others that it no longer is. Idempotent."""

    async def locate(self, key: StreamKey) -> str | None:
        """Return the name of a node where `key` is published; None when there is none."""

    async def pull(self, key: StreamKey, node: str) -> MediaSource:
        """Return the frames of `key` from `node`, beginning at a key frame.

        Raises:
            NotFoundError: it is not published there any more. A mirror there (protocol `cluster`) is not published:
                it would go in circles between nodes that mirror each other's mirrors.
        """
