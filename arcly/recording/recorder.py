"""Which streams are recorded, and when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from arcly._deadline import within
from arcly._native import Outline, StreamKey
from arcly.contract import IngestContext, StorageBackend, StreamHandle
from arcly.errors import MisuseError, NotFoundError
from arcly.events import StreamEvent, StreamEventKind, after_losses
from arcly.recording.directory import lock_directory, remove_file
from arcly.recording.index import RecordedSegment, RecordingIndex, RecordingInfo
from arcly.recording.mend import Left, finish, mend
from arcly.recording.playback import Playback
from arcly.recording.retention import WallClock, expired
from arcly.recording.settings import RecordOptions, RecordSettings
from arcly.recording.take import RecordingStatus, Take
from arcly.recording.upload import Uploader
from arcly.services._follow import EventFollower

log = logging.getLogger("arcly")

OWN = ".arcly"
"""The directory of the index, below that of the files. No name of a template begins with a dot."""

STOP_S = 5.0
"""How long recordings may take to end when the recorder stops; less than an engine gives a protocol."""

SWEEP_S = 60.0
"""So often is looked for what is too old."""

DELETE_S = 30.0
"""How long a storage may take to delete a file; longer, and it is asked for no other before the next sweep."""


class Recorder:
    """Records streams into files below a directory, and keeps an index of them. An `InboundProtocol`.

        recorder = arcly.Recorder("/srv/recordings", record=["live/*"], keep_s=7 * 86_400)
        async with arcly.Engine(arcly.RtmpHandler(), recorder):
            ...

    Files end at key frames, and what is written can be played at any time, also after the process was killed: the next
    start cuts off what is torn and completes the index. A publisher that comes back goes on in the same recording,
    behind a gap, also after a kill. The way of the media is never touched: a disk that is slow or full, or that does
    not answer, costs the recording what it misses, and nobody else. One recorder has a directory at a time.

    Args:
        directory: where the files are; it is made when it is not there.
        record: patterns (`live/*`) of streams that are recorded whenever they are published.
        storage: where every complete file is put, too, under the same path.
        move: delete files here that were stored there. They are listed, played and deleted as before.
        **options: see `RecordSettings`.

    Raises:
        MisuseError: an option is out of its range.
    """

    name = "record"

    def __init__(
        self,
        directory: str | Path,
        *,
        record: Iterable[str] = (),
        storage: StorageBackend | None = None,
        move: bool = False,
        **options: Unpack[RecordOptions],
    ) -> None:
        self.settings = RecordSettings(directory=Path(directory), record=tuple(record), **options)
        self.index = RecordingIndex(self.directory / OWN / "index.db")
        self.playback = Playback(self.directory, self.index, storage, self._growing)
        self._storage = storage
        self._uploader = None if storage is None else Uploader(self.directory, self.index, storage, move=move)
        self._takes: dict[StreamKey, Take] = {}
        self._running: dict[StreamKey, asyncio.Task[None]] = {}
        self._finished_by_hand: dict[StreamKey, int] = {}
        self._left: dict[StreamKey, Left] = {}
        self._context: IngestContext | None = None
        self._follower: EventFollower | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeping = asyncio.Lock()
        self._too_much = asyncio.Event()
        """Set when a file has become whole, and all together may be more than `keep_bytes`."""
        self._finishing = asyncio.Lock()
        self._finisher: asyncio.Task[None] | None = None
        self._leaving = threading.Event()
        """Set when what copies a file is to leave off."""
        self._clock = WallClock()
        self._lock: int | None = None

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self.settings.directory

    def _growing(self, segment: RecordedSegment) -> Outline | None:
        """Return what is where in a file that is being written: see `Take.outline`."""
        for take in list(self._takes.values()):
            if take.id == segment.recording:
                return take.outline(segment.path)
        return None

    async def start(self, context: IngestContext) -> None:
        """Mend what a recorder before this one left behind, then record what the rules say.

        Raises:
            MisuseError: another recorder has the directory.
            OSError: the directory or its index cannot be had.
        """
        self._lock = await asyncio.to_thread(lock_directory, self.directory / OWN)
        await self.index.open()
        mended = await mend(self.directory, self.settings.template, self.index)
        for left in mended.left:
            await self._take_over(left)
        self._context = context
        self.playback.start()
        if self._uploader is not None:
            await self._uploader.start()
        events = context.events()
        for stream in context.list_streams():
            self._consider(stream)
        self._follower = EventFollower(events, self._on_event)
        self._leaving.clear()
        self._finisher = asyncio.create_task(self._finish_fragmented(mended.fragmented))
        always = (after_losses(events, self._catch_up), self._sweep_always(), self._end_left())
        self._tasks = [asyncio.create_task(one) for one in always]

    async def _finish_fragmented(self, segments: Iterable[RecordedSegment]) -> None:
        """Make MP4 files one with tables that were left in fragments, one after the other: nothing waits for that."""
        for segment in segments:
            if self._leaving.is_set():
                return
            try:
                await self._finish_one(segment)
            except Exception as error:  # Of the index. The next start tries again.
                log.warning("[record] %s is not finished: %s", segment.path, error)

    async def _finish_one(self, segment: RecordedSegment) -> None:
        # Nobody deletes it meanwhile: it would come back under its name.
        async with self._finishing:
            if any(one.id == segment.id for one in await self.index.segments(segment.recording)):
                finished = await asyncio.to_thread(finish, self.directory, segment, self._leaving.is_set)
                await self.index.put(finished)
        self._on_segment()

    async def _take_over(self, left: Left) -> None:
        """Keep a recording that is cut for its publisher, if that may still come back; end it otherwise."""
        key = left.recording.key
        if left.recording.format == self.settings.format and self._waits_s(left) > 0 and key not in self._left:
            log.info("[record] %s goes on if it is published again within %.0f s", key, self._waits_s(left))
            self._left[key] = left
        else:
            await self._give_up(left)

    def _waits_s(self, left: Left) -> float:
        """Return how long its publisher may still stay away."""
        age_s = time.time() - left.ended_unix_ms / 1000
        # The clock may have been set, or the server have been off for a year.
        return self.settings.resume_s - max(0.0, age_s) if abs(age_s) <= self.settings.resume_s else 0

    async def _give_up(self, left: Left) -> None:
        await self.index.end(left.recording.id, left.ended_unix_ms, "the recorder died")

    async def _end_left(self) -> None:
        """End recordings that are cut when their publishers have stayed away for too long."""
        while self._left:
            await asyncio.sleep(max(0.0, min(map(self._waits_s, self._left.values()))))
            for key, left in list(self._left.items()):
                if self._waits_s(left) <= 0:
                    self._left.pop(key, None)
                    await self._give_up(left)

    async def stop(self) -> None:
        """End all recordings in order. Idempotent."""
        if self._follower is not None:
            await self._follower.close()
            self._follower = None
        ending = [*self._tasks, *self._entering]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._tasks = []
        self._leaving.set()
        for take in self._takes.values():
            take.stop()
        await self._leave_hanging()
        self.playback.stop()
        if self._uploader is not None:
            await self._uploader.stop()
        self._context = None
        await self.index.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _leave_hanging(self) -> None:
        """Wait for the recordings to end, and for the copy of a file, which the thread that makes it has to leave off
        before another recorder has the directory; leave those behind whose disk does not answer.
        """
        ending = [*self._running.values(), *([self._finisher] if self._finisher else [])]
        if not ending:
            return
        _, hanging = await asyncio.wait(ending, timeout=STOP_S)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    def _on_event(self, event: StreamEvent) -> None:
        """Begin what has to be: without a wait for the disk, behind which later events would be lost."""
        if event.kind is StreamEventKind.PUBLISH_ENDED:
            self._finished_by_hand.pop(event.key, None)
        elif event.kind is StreamEventKind.PUBLISH_STARTED and self._context is not None:
            stream = self._context.get_stream(event.key)
            if stream is not None:
                self._consider(stream)

    def _catch_up(self) -> None:
        """Find the streams that began or ended in events which were lost."""
        live = {stream.key: stream for stream in self._context.list_streams()} if self._context else {}
        for stream in live.values():
            self._consider(stream)
        for key in self._finished_by_hand.keys() - live.keys():
            del self._finished_by_hand[key]

    def _consider(self, stream: StreamHandle) -> None:
        """Record a stream that is published, where a rule says so."""
        take = self._takes.get(stream.key)
        if take is not None:
            take.published()
        elif self.settings.wants(stream.key) and self._finished_by_hand.get(stream.key) != stream.session:
            entering = asyncio.create_task(self._begin(self._reserve(stream), stream))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    async def _begin(self, take: Take, stream: StreamHandle) -> None:
        try:
            await self._enter(take, stream)
        except Exception:
            log.exception("[record] %s is not recorded: the index refuses it", take.key)

    async def record(self, key: StreamKey) -> int:
        """Record a stream from its newest key frame on; return the number of the recording. One that is being recorded
        goes on.

        Raises:
            NotFoundError: it is not published.
            ClosedError: the engine is stopping.
            MisuseError: the recorder does not run.
        """
        if self._context is None:
            raise MisuseError("the recorder does not run")
        take = self._takes.get(key)
        if take is not None:
            await take.entered.wait()
            # One that could not be entered is no more.
            return take.id or await self.record(key)
        stream = self._context.get_stream(key)
        if stream is None:
            raise NotFoundError(f"{key} is not published")
        return await self._enter(self._reserve(stream), stream)

    async def finish(self, key: StreamKey) -> bool:
        """End the recording of a stream, in order; False when there was none. A rule does not begin it again before the
        stream is published anew.
        """
        take = self._takes.get(key)
        if take is not None:
            await take.entered.wait()
        task = self._running.get(key)
        if take is None or task is None:
            return False
        stream = self._context.get_stream(key) if self._context else None
        if stream is not None:
            self._finished_by_hand[key] = stream.session
        take.stop()
        await asyncio.wait([task])
        return True

    def _reserve(self, stream: StreamHandle) -> Take:
        """Reserve the key for a recording, so that nobody begins it twice; `_enter` must follow."""
        assert self._context is not None
        key = stream.key
        take = Take(self._context, self.settings, self.index, key, self._on_segment, self._left.pop(key, None))
        self._takes[key] = take
        self._finished_by_hand.pop(key, None)
        return take

    async def _enter(self, take: Take, stream: StreamHandle) -> int:
        """Enter a recording into the index and run it; return its number."""
        try:
            take.id = take.id or await self.index.begin(take.key, self.settings.format, take.began_unix_ms)
        except BaseException:
            del self._takes[take.key]
            raise
        finally:
            take.entered.set()
        self._running[take.key] = asyncio.create_task(self._run(take, stream))
        return take.id

    async def _run(self, take: Take, stream: StreamHandle) -> None:
        reason = "an error of the recorder"
        try:
            reason = await take.run(stream)
        except asyncio.CancelledError:
            reason = "the disk does not answer, and the recorder was stopped"
            log.error("[record] %s is left as it is: %s", take.key, reason)
        except Exception:
            log.exception("[record] recording %s failed", take.key)
        finally:
            del self._takes[take.key], self._running[take.key]
            self._look_again(take)
            await self.index.end(take.id, time.time_ns() // 1_000_000, reason)
            log.info("[record] %s is not recorded any more: %s", take.key, reason)

    def _look_again(self, ended: Take) -> None:
        """Record a stream that was published while the recording before it came to its end, which took no notice."""
        if self._follower is None or self._context is None:
            return
        stream = self._context.get_stream(ended.key)
        if stream is not None and stream.session != ended.session:
            self._consider(stream)

    def _on_segment(self) -> None:
        if self._uploader is not None:
            self._uploader.wake()
        if self.settings.keep_bytes is not None:
            # Not swept here: a storage that does not answer would hold up the recording.
            self._too_much.set()

    def list_running(self) -> list[RecordingStatus]:
        """Return the recordings that go on, by key."""
        return [take.status for _, take in sorted(self._takes.items(), key=lambda item: str(item[0]))]

    def status(self, key: StreamKey) -> RecordingStatus | None:
        """Return how the recording of a stream is; None when there is none."""
        take = self._takes.get(key)
        return None if take is None else take.status

    async def list(
        self,
        key: StreamKey | None = None,
        *,
        limit: int = 1000,
        before: int | None = None,
        without: Collection[StreamKey] = (),
    ) -> list[RecordingInfo]:
        """Return the newest recordings, of all streams or of one, newest first.

        Args:
            key: of this stream only.
            limit: so many at most.
            before: only those older than the recording of this number, to go on with a list.
            without: none of these streams.
        """
        return await self.index.recordings(key, limit, before=before, without=without)

    async def delete(self, recording: int) -> bool:
        """Delete a recording and its files; False when there is no such.

        Raises:
            MisuseError: it goes on: finish it first.
            OSError: a file cannot be deleted.
        """
        if any(take.id == recording for take in self._takes.values()):
            raise MisuseError(f"recording {recording} goes on: finish it first")
        for left in [left for left in self._left.values() if left.recording.id == recording]:
            del self._left[left.recording.key]
            await self._give_up(left)
        async with self._finishing:
            segments = await self.index.segments(recording)
            await self._remove(segments)
        return bool(segments)

    async def sweep(self) -> int:
        """Delete what is too old or too much, as `keep_s` and `keep_bytes` say; return how many files that were."""
        async with self._sweeping:
            keep_s, keep_bytes = self.settings.keep_s, self.settings.keep_bytes
            segments = await asyncio.to_thread(self._measured, await self.index.segments())
            gone = expired(segments, self._clock.now_s(), keep_s, keep_bytes)
            await self._remove(gone)
        if gone:
            log.info("[record] %d old files were deleted", len(gone))
        return len(gone)

    def _measured(self, segments: Iterable[RecordedSegment]) -> Sequence[RecordedSegment]:
        """Return them with the bytes that growing files have by now: the index hears of those at their end."""
        return [
            segment if segment.is_whole else replace(segment, bytes=self._bytes_of(segment)) for segment in segments
        ]

    def _bytes_of(self, segment: RecordedSegment) -> int:
        try:
            return (self.directory / segment.path).stat().st_size
        except OSError:
            return segment.bytes

    async def _sweep_always(self) -> None:
        while True:
            self._too_much.clear()
            if self.settings.keep_s is not None or self.settings.keep_bytes is not None:
                await self._try_sweep()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._too_much.wait()

    async def _try_sweep(self) -> None:
        """Delete what is too old or too much, but for what cannot be deleted now."""
        try:
            await self.sweep()
        except Exception as error:  # Of a disk, the index, or a storage of the host. The next one tries again.
            log.warning("[record] old files cannot be deleted: %s", error)

    async def _remove(self, segments: Iterable[RecordedSegment]) -> None:
        """Delete files first and then what the index says of them: what it does not know is never found again. One that
        cannot be deleted keeps no other; why, is raised at the end.
        """
        failures: list[Exception] = []
        # Those here first: a storage that does not answer fills no disk.
        gone = [one for one in segments if await _tried(self._remove_here(one), failures)]
        deleted: list[int] = []
        for segment in gone:
            if await _tried(self._remove_stored(segment), failures):
                deleted.append(segment.id)
            elif isinstance(failures[-1], TimeoutError):
                break
        await self.index.forget(deleted)
        if failures:
            raise failures[0]

    async def _remove_here(self, segment: RecordedSegment) -> None:
        if segment.path:
            await asyncio.to_thread(remove_file, self.directory, segment.path)

    async def _remove_stored(self, segment: RecordedSegment) -> None:
        if self._storage is None:
            return
        key = segment.stored or await self.index.sending(segment.id)
        if key is not None:
            await within(DELETE_S, self._storage.delete(key))


async def _tried(work: Coroutine[Any, Any, object], failures: list[Exception]) -> bool:
    """Do it; False when it failed, and why is the last of `failures` then."""
    try:
        await work
    except Exception as error:
        failures.append(error)
        return False
    return True
