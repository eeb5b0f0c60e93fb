"""Finished files on their way to a storage backend."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from arcly._deadline import end
from arcly._native import pack_outline
from arcly.contract import StorageBackend
from arcly.recording.index import RecordedSegment, RecordingIndex
from arcly.storage.key import KEY_BYTES_MAX

log = logging.getLogger("arcly")

RETRY_S = (1.0, 300.0)
"""The first and the longest wait behind a file that could not be stored."""

ERRORS_MAX = 3
"""So many files that could not be stored are enough to believe that the storage is down."""

PATH_BYTES_MAX = KEY_BYTES_MAX - 16
"""Of a path that is a key as it is, with a number behind it where that is taken."""


class Uploader:
    """Puts every complete file into a storage backend, the oldest first, again and again until it is there. What was
    not stored when the process ended is stored by the next one.

    Args:
        directory: where the files are.
        index: what there is.
        storage: where they go, under the same path.
        move: delete what was stored from the directory.
    """

    def __init__(self, directory: Path, index: RecordingIndex, storage: StorageBackend, *, move: bool) -> None:
        self._directory = directory
        self._index = index
        self._storage = storage
        self._move = move
        # Those that could not be stored, the one that was tried last at the end.
        self._failed: list[int] = []
        # Since those were tried, with new files too: these come one by one.
        self._errors = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with what is there. Before anything is recorded: a name whose file is gone may be taken again."""
        await self._delete_moved()
        self._news.set()
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Say that there is another file."""
        self._news.set()

    async def stop(self) -> None:
        """Let go; a file that is on its way is sent again later. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    async def _run(self) -> None:
        next_s, longest_s = RETRY_S
        due_s: float | None = None
        clock = asyncio.get_running_loop().time
        while True:
            await self._wait(due_s)
            is_due = due_s is None or clock() >= due_s
            try:
                await self._store_all(again=is_due)
                if is_due:
                    next_s, due_s = RETRY_S[0], None
            except Exception as error:  # Whatever a storage of the host raises.
                if due_s is None or is_due:
                    due_s, next_s = clock() + next_s, min(2 * next_s, longest_s)
                log.warning(
                    "[record] not stored, or not moved, again within %.3g s: %s", max(due_s - clock(), 0), error
                )

    async def _wait(self, due_s: float | None) -> None:
        """Wait until it is time to try again, or for another file where the storage is not believed to be down."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                if due_s is not None and self._errors >= ERRORS_MAX:
                    await asyncio.Future()
                await self._news.wait()
        self._news.clear()

    async def _store_all(self, *, again: bool) -> None:
        """Store what is not yet stored; `again`: also what could not be. A file that cannot be keeps no other; a
        storage that takes none is let be.

        Raises:
            Exception: the first of those with which it did not work.
        """
        first: Exception | None = None
        if again:
            self._errors = 0
        for segment in self._in_turn(await self._index.unstored(), again=again):
            if self._errors >= ERRORS_MAX:
                break
            try:
                await self._store(segment)
            except Exception as error:
                self._failed = [*(failed for failed in self._failed if failed != segment.id), segment.id]
                self._errors += 1
                first = first or error
        if again:
            first = await self._delete_moved() or first
        if first is not None:
            raise first

    def _in_turn(self, segments: Sequence[RecordedSegment], *, again: bool) -> list[RecordedSegment]:
        """Return those that never failed, and behind them the others: some that can never be stored keep no other."""
        there = {segment.id: segment for segment in segments}
        self._failed = [failed for failed in self._failed if failed in there]
        failed = set(self._failed)
        new = [segment for segment in segments if segment.id not in failed]
        return new + [there[it] for it in self._failed] if again else new

    async def _store(self, segment: RecordedSegment) -> None:
        path = self._directory / segment.path
        if not await asyncio.to_thread(path.is_file):
            return  # Somebody has deleted it, and the index will hear of it.
        key = await self._index.sending(segment.id)
        if key is None:
            key = await self._free_key(segment.path)
            # Noted first: when the answer is lost, or the process ends, it would be an object of nobody.
            await self._index.send(segment.id, key)
        await self._storage.put_file(key, path)
        if self._move:
            await self._keep_outline(segment)
        if not await self._index.store(segment.id, key, moves=self._move):
            await self._storage.delete(key)  # It was deleted while it was sent.
        elif self._move:
            await self._delete_here(segment)
        log.info("[record] %s is stored", key)

    async def _keep_outline(self, segment: RecordedSegment) -> None:
        """Keep what is where in a file that moves: from the storage its parts are read one after the other for it."""
        if await self._index.outlines([segment.id]):
            return
        # One that cannot be read here cannot be played there.
        with contextlib.suppress(OSError):
            packed = await asyncio.to_thread(pack_outline, self._directory / segment.path)
            if packed is not None:
                await self._index.keep_outline(segment.id, packed)

    async def _delete_here(self, segment: RecordedSegment) -> OSError | None:
        """Delete a file that was moved; return why that cannot be done now. Noted afterwards: what the index does not
        know is never found again.
        """
        try:
            await asyncio.to_thread((self._directory / segment.path).unlink, missing_ok=True)
        except OSError as error:
            return error
        await self._index.moved(segment.id)
        return None

    async def _delete_moved(self) -> OSError | None:
        """Delete the files that were moved and are still here; return why one of them cannot be."""
        failures = [await self._delete_here(segment) for segment in await self._index.moving()]
        return next((error for error in failures if error is not None), None)

    async def _free_key(self, path: str) -> str:
        """Return a key for a file: another one may be stored under its path, when that was moved away within the same
        second, or the clock was set back.
        """
        key, count = fitting(path), 0
        stem, dot, ending = key.rpartition(".")
        while await self._storage.exists(key):
            count += 1
            key = f"{stem}~{count}{dot}{ending}"
        return key


def fitting(path: str) -> str:
    """Return the key of a file: its path. Where that is longer than a key may be (applications have up to eight names),
    its first and its last name, and between them what stands for the others.
    """
    if len(path.encode()) <= PATH_BYTES_MAX:
        return path
    first, _, rest = path.partition("/")
    others, _, last = rest.rpartition("/")
    return f"{first}/~{hashlib.sha256(others.encode()).hexdigest()[:32]}/{last}"
