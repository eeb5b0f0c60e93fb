"""One recording, from its first to its last file: over every return of its publisher, and every refusal of the disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from arcly._bridge import native_stream
from arcly._deadline import end
from arcly._loop import Signal, woken
from arcly._native import Outline, Recording, StreamKey
from arcly._native import StreamHandle as NativeStream
from arcly.contract import IngestContext, StreamHandle
from arcly.events import StreamEventKind
from arcly.recording.index import RecordedSegment, RecordingIndex
from arcly.recording.mend import Left
from arcly.recording.settings import RecordSettings

log = logging.getLogger("arcly")

TakeState: TypeAlias = Literal["recording", "waiting", "paused", "ended"]

DISK = frozenset({"disk_full", "disk_stalled", "failed"})
"""Ends of a native recording behind which it is tried again."""


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """A recording that goes on."""

    id: int
    """Its number in the index, and in URLs."""

    key: StreamKey
    """What is recorded."""

    state: TakeState
    """`recording`, `waiting` (for its publisher), `paused` (the disk has refused), `ended`."""

    began_unix_ms: int
    """When it began."""

    segments: int
    """Files, with the one that is being written."""

    bytes: int
    """Written so far."""

    frames: int
    """Written so far."""

    duration_s: float
    """Written so far, without what is missing."""

    gaps: int
    """How often something is missing."""

    gap_s: float
    """How much is."""

    missed: int
    """Frames that the stream dropped before they were written: the disk is too slow."""

    refused: int
    """Frames that no file could take."""

    refusals: int
    """How often the disk has refused, or not answered, and was tried again."""

    last_error: str | None
    """What went wrong last."""


BACK_US = 1_000_000
"""A file that begins by more than so much before the end of what there is was cut where the stream's time went back."""


class SegmentNote(NamedTuple):
    """What a native recording says of a file."""

    number: int
    path: str
    began_ms: int
    base_ticks: int
    base_hz: int
    follows: bool
    gap_us: int
    bytes: int
    frames: int
    duration_us: int

    @property
    def base_us(self) -> int:
        """Time of the stream that is 0 in the file."""
        return self.base_ticks * 1_000_000 // self.base_hz


@dataclass(slots=True)
class Run:
    """What is recorded of one stream without the disk refusing it."""

    gap_us: int
    """What was missed in front of it."""

    base_us: int | None = None
    """Time of the stream at which it begins."""

    position_us: int = 0
    """Where in the recording that is."""


@dataclass(slots=True)
class Totals:
    """What the runs of a recording have come to."""

    frames: int = 0
    bytes: int = 0
    duration_us: int = 0
    gaps: int = 0
    gap_us: int = 0
    missed: int = 0
    refused: int = 0
    last_error: str | None = None

    def plus(self, run: tuple[int, int, int, int, int, int, int, str | None]) -> Totals:
        """Return these and what a native recording says of itself."""
        frames, size, duration_us, gaps, gap_us, missed, refused, last_error = run
        return Totals(
            self.frames + frames,
            self.bytes + size,
            self.duration_us + duration_us,
            self.gaps + gaps,
            self.gap_us + gap_us,
            self.missed + missed,
            self.refused + refused,
            last_error or self.last_error,
        )


class Take:
    """A recording that goes on.

    Args:
        context: where the stream is.
        settings: how it is recorded.
        index: where its files are entered.
        key: what is recorded.
        on_segment: called when a file is complete.
        left: a recording that a recorder has left behind which died: this one goes on with it, behind a gap.
    """

    def __init__(
        self,
        context: IngestContext,
        settings: RecordSettings,
        index: RecordingIndex,
        key: StreamKey,
        on_segment: Callable[[], object],
        left: Left | None = None,
    ) -> None:
        self.id = 0
        self.entered = asyncio.Event()
        """Set when `id` is the number in the index, or there is none to come."""
        self.key = key
        self.began_unix_ms = time.time_ns() // 1_000_000
        self.state: TakeState = "waiting"
        self.session: object = None
        """Of the publisher that was recorded last."""
        self._context = context
        self._settings = settings
        self._index = index
        self._on_segment = on_segment
        self._native: Recording | None = None
        self._newest = Run(0)
        self._refusals = 0
        self._totals = Totals()
        self._number = 0
        self._writing: dict[int, RecordedSegment] = {}
        self._stopping = asyncio.Event()
        self._published = asyncio.Event()
        self._end_position_us = 0
        self._ended_s: float | None = None
        if left is not None:
            self._go_on_with(left)

    def _go_on_with(self, left: Left) -> None:
        recording = left.recording
        self.id, self.began_unix_ms = recording.id, recording.began_unix_ms
        self._number, self._end_position_us = left.number, left.end_position_us
        # Nobody but the wall clock knows how long there was no recorder.
        missing_s = max(0.0, (time.time_ns() // 1_000_000 - left.ended_unix_ms) / 1000)
        self._ended_s = time.monotonic() - missing_s
        lengths = (round(recording.duration_s * 1e6), recording.gaps, round(recording.gap_s * 1e6), 0, 0, None)
        self._totals = self._totals.plus((recording.frames, recording.bytes, *lengths))

    @property
    def status(self) -> RecordingStatus:
        """How it is now."""
        totals = self._counted()
        return RecordingStatus(
            id=self.id,
            key=self.key,
            state=self.state,
            began_unix_ms=self.began_unix_ms,
            segments=self._number,
            bytes=totals.bytes,
            frames=totals.frames,
            duration_s=totals.duration_us / 1e6,
            gaps=totals.gaps,
            gap_s=totals.gap_us / 1e6,
            missed=totals.missed,
            refused=totals.refused,
            refusals=self._refusals,
            last_error=totals.last_error,
        )

    def outline(self, path: str) -> Outline | None:
        """Return what is where in the file that is being written, if it has that path: see `Recording.outline`.
        Takes as long as one part of it: not for the loop.
        """
        native = self._native
        return native.outline(path) if native is not None and self.state == "recording" else None

    def stop(self) -> None:
        """Ask it to end. What the stream has at this moment is still written."""
        self._stopping.set()

    def published(self) -> None:
        """Say that its stream is published again."""
        self._published.set()

    async def run(self, stream: StreamHandle) -> str:
        """Record until it is told to stop, or the stream has ended and does not come back; return why it ended."""
        current: StreamHandle | None = stream
        while current is not None:
            code, text = await self._run(current)
            if code in DISK and not self._stopping.is_set():
                self._refusals += 1
                current = await self._pause(text)
            elif code == "stream_ended" and not self._stopping.is_set():
                current = await self._wait_for_publisher()
            else:
                break
        self.state = "ended"
        return text

    async def _run(self, stream: StreamHandle) -> tuple[str, str]:
        """Record one stream until it ends, or the disk refuses; return why as a code and in words."""
        readable, lease = native_stream(stream)
        with lease:
            return await self._record(stream, readable)

    async def _record(self, stream: StreamHandle, readable: NativeStream) -> tuple[str, str]:
        run, news = Run(self._open_gap()), Signal()
        self.session = stream.session
        native = Recording(self._context.native, readable, news.token, self._settings.native(), self._number)
        self._totals, self._native, self._newest = self._counted(), native, run
        self.state = "recording"
        self._emit(StreamEventKind.RECORDING_STARTED, f"recording {self.id}")
        stopping = asyncio.create_task(self._pass_on_stop(native))
        try:
            code, text = await self._follow(native, news, run)
        finally:
            await end(stopping)
            self._ended_s = time.monotonic()
            news.close()
        self._emit(StreamEventKind.RECORDING_ENDED, f"recording {self.id}: {text}")
        return code, text

    async def _follow(self, native: Recording, news: Signal, run: Run) -> tuple[str, str]:
        """Enter its files into the index until it ends; return why it did."""
        while (why := await self._enter(native, run)) is None:
            await news.wait()
        return why

    async def _enter(self, native: Recording, run: Run) -> tuple[str, str] | None:
        """Enter what it has told of its files into the index; return why it has ended, once it says so."""
        while (note := native.poll()) is not None:
            kind, info, code, text, outline = note
            if code is not None:
                return code, text or code
            if info is not None and kind == "began":
                await self._begin(SegmentNote(*info), run)
            elif info is not None and kind == "closed":
                self._close(SegmentNote(*info))
            elif info is not None:
                await self._finish(SegmentNote(*info), outline)
        return None

    async def _pass_on_stop(self, native: Recording) -> None:
        await self._stopping.wait()
        await woken(native.stop)

    async def _pause(self, why: str) -> StreamHandle | None:
        """Wait until the disk may be tried again; return the stream, if it is still there."""
        self.state = "paused"
        log.warning("[record] %s is not recorded for %g s: %s", self.key, self._settings.retry_s, why)
        await self._wait(self._stopping, self._settings.retry_s)
        # A write that hangs holds a thread: another one would hang behind it.
        while self._native is not None and self._native.is_hanging and not self._stopping.is_set():
            await self._wait(self._stopping, self._settings.retry_s)
        if self._native is not None:
            # What a write has come to that hung, and its file: the next one begins behind that.
            await self._enter(self._native, self._newest)
        if self._stopping.is_set():
            return None
        return self._stream() or await self._wait_for_publisher()

    async def _wait_for_publisher(self) -> StreamHandle | None:
        """Return the stream when it is published again within `resume_s`."""
        self.state = "waiting"
        end_s = time.monotonic() + self._settings.resume_s
        while (stream := self._stream()) is None:
            self._published.clear()
            left_s = end_s - time.monotonic()
            if left_s <= 0 or self._stopping.is_set():
                return None
            await self._wait(self._published, left_s)
        return None if self._stopping.is_set() else stream

    def _stream(self) -> StreamHandle | None:
        stream = self._context.get_stream(self.key)
        return None if stream is None or stream.closed else stream

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event or for the order to stop, at most for so long."""
        waiting = [asyncio.ensure_future(one.wait()) for one in {event, self._stopping}]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _counted(self) -> Totals:
        """Return the totals with those of the newest run."""
        return self._totals if self._native is None else self._totals.plus(self._native.status())

    def _open_gap(self) -> int:
        """Count what was missed since the last run, by a clock that nobody sets."""
        if self._ended_s is None:
            return 0
        gap_us = round((time.monotonic() - self._ended_s) * 1e6)
        self._totals = self._totals.plus((0, 0, 0, 1, gap_us, 0, 0, None))
        return gap_us

    async def _begin(self, note: SegmentNote, run: Run) -> None:
        gap_us = note.gap_us
        if run.base_us is None:
            gap_us += run.gap_us
            run.base_us, run.position_us = note.base_us, self._end_position_us + gap_us
        position_us = run.position_us + note.base_us - run.base_us
        if position_us < self._end_position_us - BACK_US:
            # The time of the stream has gone back; that of a recording does not.
            run.base_us, run.position_us = note.base_us, self._end_position_us
            position_us = run.position_us
        segment = RecordedSegment(
            id=0,
            recording=self.id,
            number=note.number,
            path=note.path,
            is_whole=False,
            began_unix_ms=note.began_ms,
            position_us=position_us,
            duration_us=0,
            base_ticks=note.base_ticks,
            base_hz=note.base_hz,
            follows=note.follows,
            gap_us=gap_us,
            bytes=0,
            frames=0,
            stored=None,
        )
        self._number = note.number + 1
        self._end_position_us = max(self._end_position_us, position_us)
        self._writing[note.number] = replace(segment, id=await self._index.put(segment))

    def _close(self, note: SegmentNote) -> None:
        """Note how far the recording has come: the next file may begin before this one is finished."""
        begun = self._writing.get(note.number)
        if begun is not None:
            self._end_position_us = max(self._end_position_us, begun.position_us + note.duration_us)

    async def _finish(self, note: SegmentNote, outline: bytes | None) -> None:
        begun = self._writing.pop(note.number, None)
        if begun is None:
            return  # Its beginning was lost among too many unread notes: the index finds the file later.
        segment = replace(begun, is_whole=True, bytes=note.bytes, frames=note.frames, duration_us=note.duration_us)
        await self._index.put(segment)
        if outline is not None:
            await self._index.keep_outline(segment.id, outline)
        self._end_position_us = max(self._end_position_us, segment.position_us + segment.duration_us)
        size_mb, lasts_s = segment.bytes / 1e6, segment.duration_us / 1e6
        log.info("[record] %s: %s, %.1f s, %.1f MB", self.key, segment.path, lasts_s, size_mb)
        self._on_segment()

    def _emit(self, kind: StreamEventKind, reason: str) -> None:
        emit = getattr(self._context, "emit", None)
        if emit is not None:
            emit(kind, self.key, reason)
