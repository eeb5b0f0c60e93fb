"""Records in files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from arcly._limits import require_between
from arcly.services.audit.record import AuditRecord


class FileAuditSink:
    """Appends records to a file, one JSON object a line, and rotates it; of the old ones `audit.jsonl.1` is the newest.

    Lines are ASCII; whatever is in a name or reason, JSON escapes it. Each batch is one write, in a thread. A line
    that a crash cut short stays as it is, and the next one begins on a line of its own. Files are made readable for
    their owner only.

    Args:
        path: the file; its directory must exist.
        max_bytes: the file is rotated before a batch that would make it longer, default 16 MiB; 4096 to 2^40. A
            single larger batch makes a longer file.
        backups: old files that are kept, default 5; 0 to 1000. With 0 the file is begun anew.
        fsync: whether each batch is on the disk before the next is taken, default False: a power cut may cost the
            last seconds. True costs a wait for the disk per batch.

    Raises:
        MisuseError: a number is out of range.
    """

    def __init__(self, path: str | Path, max_bytes: int = 16 << 20, backups: int = 5, *, fsync: bool = False) -> None:
        require_between("max_bytes", max_bytes, 4096, 1 << 40)
        require_between("backups", backups, 0, 1000)
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._backups = backups
        self._fsync = fsync
        self._file: BinaryIO | None = None
        # A write that overran its deadline still runs in its thread when the next one comes, which then fails: threads
        # must not pile up behind a disk that hangs.
        self._lock = threading.Lock()

    async def write(self, records: Sequence[AuditRecord]) -> None:
        """Append them.

        Raises:
            OSError: the file cannot be written.
        """
        lines = "".join(json.dumps(record.as_dict()) + "\n" for record in records)
        await asyncio.to_thread(self._append, lines.encode("ascii"))

    async def close(self) -> None:
        """Put it on the disk and close it.

        Raises:
            OSError: that failed.
        """
        await asyncio.to_thread(self._close)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise BlockingIOError("the write before has not returned")
        try:
            yield
        finally:
            self._lock.release()

    def _append(self, data: bytes) -> None:
        with self._alone():
            file = self._file or self._open()
            if file.tell() and file.tell() + len(data) > self._max_bytes:
                file = self._rotate()
            try:
                self._write(file, data)
            except OSError:
                # Opened anew next time, which sees whether a line was cut short.
                self._file = None
                file.close()
                raise

    def _write(self, file: BinaryIO, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        if self._fsync:
            os.fsync(file.fileno())

    def _open(self) -> BinaryIO:
        self._file = open(self._path, "a+b", buffering=0, opener=_private)  # noqa: SIM115
        end = self._file.seek(0, os.SEEK_END)
        if end:
            self._file.seek(end - 1)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
        return self._file

    def _rotate(self) -> BinaryIO:
        if self._file is not None:
            self._file.close()
            self._file = None
        for number in range(self._backups, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                os.replace(older, self._numbered(number))
        if self._backups == 0:
            self._path.unlink(missing_ok=True)
        return self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _close(self) -> None:
        with self._alone():
            if self._file is not None:
                os.fsync(self._file.fileno())
                self._file.close()
                self._file = None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
