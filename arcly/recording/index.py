"""What was recorded: a small database beside the files.

It is written by one thread, away from the event loop, in SQLite's write-ahead mode: what it was told is there after the
process was killed, and other programs may read it meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from arcly._native import StreamKey

T = TypeVar("T")

TABLES = """
CREATE TABLE recording (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL, stream TEXT NOT NULL, format TEXT NOT NULL,
    began_ms INTEGER NOT NULL, ended_ms INTEGER, reason TEXT
);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recording INTEGER NOT NULL REFERENCES recording (id) ON DELETE CASCADE,
    number INTEGER NOT NULL, path TEXT NOT NULL, is_whole INTEGER NOT NULL,
    began_ms INTEGER NOT NULL, position_us INTEGER NOT NULL, duration_us INTEGER NOT NULL,
    base_ticks INTEGER NOT NULL, base_hz INTEGER NOT NULL,
    follows INTEGER NOT NULL, gap_us INTEGER NOT NULL,
    bytes INTEGER NOT NULL, frames INTEGER NOT NULL, stored TEXT
);
CREATE INDEX segment_recording ON segment (recording, number);
CREATE INDEX segment_age ON segment (began_ms);
"""

OUTLINES = """
CREATE TABLE outline (
    segment INTEGER PRIMARY KEY REFERENCES segment (id) ON DELETE CASCADE,
    packed BLOB NOT NULL
);
"""
"""Since version 2: what is where in files that do not say it themselves, or far away."""

SENDING = """
CREATE TABLE sending (
    segment INTEGER PRIMARY KEY REFERENCES segment (id) ON DELETE CASCADE,
    key TEXT NOT NULL
);
"""
"""Since version 3: keys under which a storage backend may have files, though it has not said so yet; and those of files
that are moved there, until they are gone here.
"""

VERSIONS = (TABLES, OUTLINES, SENDING)
"""What each version has added. A database of a newer one is not touched."""

SEGMENT = (
    "id, recording, number, path, is_whole, began_ms, position_us, duration_us, base_ticks, base_hz, follows, gap_us, "
    "bytes, frames, stored"
)

RECORDING = """
SELECT r.id, r.app, r.stream, r.format, r.began_ms, r.ended_ms, r.reason, count(s.id), coalesce(sum(s.bytes), 0),
       coalesce(sum(s.frames), 0), coalesce(sum(s.duration_us), 0), coalesce(sum(s.gap_us > 0), 0),
       coalesce(sum(s.gap_us), 0)
FROM recording r LEFT JOIN segment s ON s.recording = r.id
"""

NOT_OF = "(r.app, r.stream) NOT IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))"
"""One value however many streams they are: SQLite takes only so many."""


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """One file of a recording."""

    id: int
    """Its number in the index."""

    recording: int
    """That of its recording."""

    number: int
    """The how-manieth of its recording it is, from 0."""

    path: str
    """Below the directory of the recorder, with `/`; empty when it was moved to the storage backend."""

    is_whole: bool
    """Whether it is complete; else it is being written."""

    began_unix_ms: int
    """When it began by the wall clock."""

    position_us: int
    """Where in the recording it begins."""

    duration_us: int
    """How long it is."""

    base_ticks: int
    """Time of the stream that is 0 in the file, in ticks of `base_hz`."""

    base_hz: int
    """See `base_ticks`; 0 when nobody knows it."""

    follows: bool
    """Whether it goes on where the file before it ends."""

    gap_us: int
    """What is missing in front of it."""

    bytes: int
    """Its size."""

    frames: int
    """What is in it."""

    stored: str | None
    """The key under which the storage backend has it; None when it does not."""


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """A recording, as the index knows it. The file that is being written is not counted before it is complete."""

    id: int
    """Its number in the index, and in URLs."""

    key: StreamKey
    """What was recorded."""

    format: str
    """As `RecordSettings.format`."""

    began_unix_ms: int
    """When it began by the wall clock."""

    ended_unix_ms: int | None
    """When it ended; None while it goes on."""

    reason: str | None
    """Why it ended."""

    segments: int
    """Files."""

    bytes: int
    """Their size."""

    frames: int
    """What is in them."""

    duration_s: float
    """How long they are together."""

    gaps: int
    """How often something is missing between them."""

    gap_s: float
    """How much is."""


class RecordingIndex:
    """The index of one directory. All methods wait for its thread.

    Args:
        path: the database; it is made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="arcly-index")
        self._database: sqlite3.Connection | None = None
        self._closed = False

    async def open(self) -> None:
        """Open it.

        Raises:
            OSError, sqlite3.Error: it cannot be had.
        """
        await self._do(self._open)

    async def close(self) -> None:
        """Close it. Idempotent."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise OSError("the index is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # In this mode statements commit by themselves, and BEGIN is ours.
        database = sqlite3.connect(self._path, isolation_level=None)
        try:
            # A kill costs nothing with NORMAL, a power cut the last moments: the files are found again.
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "busy_timeout = 5000"):
                database.execute(f"PRAGMA {pragma}")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > len(VERSIONS):
                raise OSError(f"{self._path} was written by a newer arcly")
            if version < len(VERSIONS):
                tables = "".join(VERSIONS[version:])
                database.executescript(f"BEGIN; {tables} PRAGMA user_version = {len(VERSIONS)}; COMMIT;")
        except BaseException:
            database.close()
            raise
        self._database = database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._database is None:
            raise OSError("the index is closed")
        return self._database

    async def begin(self, key: StreamKey, format: str, began_ms: int) -> int:
        """Enter a recording; return its number."""

        def insert() -> int:
            sql = "INSERT INTO recording (app, stream, format, began_ms) VALUES (?, ?, ?, ?)"
            return self._db.execute(sql, (key.app, key.stream, format, began_ms)).lastrowid or 0

        return await self._do(insert)

    async def end(self, recording: int, ended_ms: int, reason: str) -> None:
        """Note that a recording is over. One without a file is forgotten."""

        def update() -> None:
            self._db.execute(
                "UPDATE recording SET ended_ms = ?, reason = ? WHERE id = ?", (ended_ms, reason, recording)
            )
            self._forget_empty()

        await self._do(update)

    def _forget_empty(self) -> None:
        empty = "ended_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM segment WHERE recording = recording.id)"
        self._db.execute(f"DELETE FROM recording WHERE {empty}")

    async def put(self, segment: RecordedSegment) -> int:
        """Enter a file, or what is known of it now; return its number. `segment.id` 0 stands for a new one."""

        def write() -> int:
            names = SEGMENT.split(", ")[1:]
            values = [getattr(segment, "began_unix_ms" if name == "began_ms" else name) for name in names]
            if segment.id:
                changes = ", ".join(f"{name} = ?" for name in names)
                self._db.execute(f"UPDATE segment SET {changes} WHERE id = ?", [*values, segment.id])
                return segment.id
            marks = ", ".join("?" * len(names))
            return self._db.execute(f"INSERT INTO segment ({', '.join(names)}) VALUES ({marks})", values).lastrowid or 0

        return await self._do(write)

    async def keep_outline(self, segment: int, packed: bytes) -> None:
        """Keep what is where in a file: see `Outline.packed`. One that was deleted meanwhile needs none."""

        def write() -> None:
            sql = "INSERT OR REPLACE INTO outline SELECT id, ? FROM segment WHERE id = ?"
            self._db.execute(sql, (packed, segment))

        await self._do(write)

    async def outlines(self, segments: Sequence[int]) -> dict[int, bytes]:
        """Return what is kept of these files."""

        def select() -> dict[int, bytes]:
            found: dict[int, bytes] = {}
            for segment in segments:
                row = self._db.execute("SELECT packed FROM outline WHERE segment = ?", (segment,)).fetchone()
                if row is not None:
                    found[segment] = row[0]
            return found

        return await self._do(select)

    async def forget(self, segments: Sequence[int]) -> None:
        """Forget files, and recordings that have none left."""

        def delete() -> None:
            self._db.executemany("DELETE FROM segment WHERE id = ?", [(segment,) for segment in segments])
            self._forget_empty()

        await self._do(delete)

    async def recordings(
        self,
        key: StreamKey | None = None,
        limit: int = 1000,
        *,
        before: int | None = None,
        without: Collection[StreamKey] = (),
    ) -> list[RecordingInfo]:
        """Return the newest recordings, of all streams or of one, newest first; `before`: those that are older than
        this one, `without`: those of other streams.
        """
        clauses: list[str] = []
        values: list[object] = []
        if key is not None:
            clauses.append("r.app = ? AND r.stream = ?")
            values += [key.app, key.stream]
        if before is not None:
            clauses.append("r.id < ?")
            values.append(before)
        if without:
            clauses.append(NOT_OF)
            values.append(json.dumps([[key.app, key.stream] for key in without]))
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        return await self._recordings(f"{where} GROUP BY r.id ORDER BY r.id DESC LIMIT ?", (*values, limit))

    async def recording(self, recording: int) -> RecordingInfo | None:
        """Return one of them."""
        found = await self._recordings("WHERE r.id = ? GROUP BY r.id", (recording,))
        return found[0] if found else None

    async def unfinished(self) -> list[RecordingInfo]:
        """Return those that have not ended."""
        return await self._recordings("WHERE r.ended_ms IS NULL GROUP BY r.id ORDER BY r.id", ())

    async def _recordings(self, clauses: str, values: tuple[object, ...]) -> list[RecordingInfo]:
        def select() -> list[RecordingInfo]:
            return [_recording(row) for row in self._db.execute(RECORDING + clauses, values)]

        return await self._do(select)

    async def unstored(self) -> list[RecordedSegment]:
        """Return the complete files that no storage backend has, in their order."""

        def select() -> list[RecordedSegment]:
            sql = f"SELECT {SEGMENT} FROM segment WHERE is_whole AND stored IS NULL ORDER BY recording, number"
            return [_segment(row) for row in self._db.execute(sql)]

        return await self._do(select)

    async def send(self, segment: int, key: str) -> None:
        """Note under which key a file is going to be stored. One that was deleted meanwhile is not."""

        def write() -> None:
            sql = "INSERT OR REPLACE INTO sending SELECT id, ? FROM segment WHERE id = ?"
            self._db.execute(sql, (key, segment))

        await self._do(write)

    async def sending(self, segment: int) -> str | None:
        """Return the key under which a file may be stored already: it was sent, and nobody heard what came of it."""

        def select() -> str | None:
            row = self._db.execute("SELECT key FROM sending WHERE segment = ?", (segment,)).fetchone()
            return None if row is None else str(row[0])

        return await self._do(select)

    async def store(self, segment: int, key: str, *, moves: bool) -> bool:
        """Note that a storage backend has a file, and whether it is going to be deleted here: see `moved`; False when
        it was deleted meanwhile.
        """

        def update() -> bool:
            is_there = self._db.execute("UPDATE segment SET stored = ? WHERE id = ?", (key, segment)).rowcount > 0
            if not moves:
                self._db.execute("DELETE FROM sending WHERE segment = ?", (segment,))
            return is_there

        return await self._do(update)

    async def moving(self) -> list[RecordedSegment]:
        """Return the files that a storage backend has and that are to be deleted here."""

        def select() -> list[RecordedSegment]:
            where = "stored IS NOT NULL AND path != '' AND id IN (SELECT segment FROM sending)"
            return [_segment(row) for row in self._db.execute(f"SELECT {SEGMENT} FROM segment WHERE {where}")]

        return await self._do(select)

    async def moved(self, segment: int) -> None:
        """Note that the directory has a file no longer."""

        def update() -> None:
            self._db.execute("UPDATE segment SET path = '' WHERE id = ?", (segment,))
            self._db.execute("DELETE FROM sending WHERE segment = ?", (segment,))

        await self._do(update)

    async def segments(self, recording: int | None = None, *, torn: bool = False) -> list[RecordedSegment]:
        """Return the files of a recording, or of all, in their order; `torn`: only those that are not whole."""
        clauses = ["recording = ?"] if recording is not None else []
        clauses += ["NOT is_whole"] if torn else []
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        values = (recording,) if recording is not None else ()

        def select() -> list[RecordedSegment]:
            sql = f"SELECT {SEGMENT} FROM segment {where} ORDER BY recording, number"
            return [_segment(row) for row in self._db.execute(sql, values)]

        return await self._do(select)


def _recording(row: tuple[object, ...]) -> RecordingInfo:
    number, app, stream, format, began_ms, ended_ms, reason, segments, size, frames, duration_us, gaps, gap_us = row
    lengths = (segments, size, frames, duration_us / 1e6, gaps, gap_us / 1e6)  # type: ignore[operator]
    return RecordingInfo(number, StreamKey(app, stream), format, began_ms, ended_ms, reason, *lengths)  # type: ignore[arg-type]


def _segment(row: tuple[object, ...]) -> RecordedSegment:
    values = list(row)
    values[4], values[10] = bool(values[4]), bool(values[10])
    return RecordedSegment(*values)  # type: ignore[arg-type]
