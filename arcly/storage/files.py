"""Objects as files below one directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from arcly.errors import NotFoundError
from arcly.storage.key import TEMPORARY, check_key, check_prefix

if TYPE_CHECKING:
    from typing_extensions import Buffer


class FileStorage:
    """A `StorageBackend` of files: the key `live/cam/1.ts` is the file of that path below `root`.

    A file appears under its name when it is whole and on the disk: it is written under another name, synced, and
    renamed. Readers see the old file or the new one, also after a power cut. No key leads out of `root`; a symbolic
    link that somebody has put below it is not followed out of it either. Files are written and read in threads.

    Args:
        root: the directory; it is made when something is put there.
        fsync: wait for the disk, default True. Without it a power cut may cost what was put in the last seconds.
    """

    def __init__(self, root: str | Path, *, fsync: bool = True) -> None:
        self._root = Path(root).resolve()
        self._fsync = fsync

    async def put(self, key: str, data: Buffer) -> None:
        """Keep `data` under `key`.

        Raises:
            MalformedError: the key is not allowed.
            OSError: the file cannot be written.
        """

        def write(file: BinaryIO) -> None:
            file.write(data)

        await asyncio.to_thread(self._put, self._path(key), write)

    async def put_file(self, key: str, path: Path) -> None:
        """Keep a copy of the file at `path`. Raises as `put`."""

        def write(file: BinaryIO) -> None:
            with open(path, "rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)

        await asyncio.to_thread(self._put, self._path(key), write)

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`.

        Raises:
            NotFoundError: nothing is.
            OSError: the file cannot be read.
        """
        return await self._read(key, lambda file: file.read())

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """Return a part of what is kept under `key`. Raises as `get`."""

        def read(file: BinaryIO) -> bytes:
            file.seek(offset)
            return file.read(size)

        return await self._read(key, read)

    async def _read(self, key: str, read: Callable[[BinaryIO], bytes]) -> bytes:
        path = self._path(key)

        def open_and_read() -> bytes:
            self._check_inside(path)
            with open(path, "rb") as file:
                return read(file)

        try:
            return await asyncio.to_thread(open_and_read)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFoundError(f"nothing is kept under {key}") from None

    async def exists(self, key: str) -> bool:
        """Return whether something is kept under `key`."""
        return await asyncio.to_thread(self._path(key).is_file)

    async def delete(self, key: str) -> bool:
        """Forget what is kept under `key`, and directories that are empty then; False when nothing was."""
        return await asyncio.to_thread(self._delete, self._path(key))

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, sorted. Only the directory that it names is walked."""
        check_prefix(prefix)
        return await asyncio.to_thread(self._keys, prefix)

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*check_key(key).split("/"))

    def _check_inside(self, path: Path) -> None:
        """Raise when a symbolic link leads out of the root."""
        if not path.resolve().is_relative_to(self._root):
            raise OSError(f"{path} leads out of {self._root}")

    def _put(self, path: Path, write: Callable[[BinaryIO], None]) -> None:
        self._check_inside(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not `tempfile`, whose files nobody else may read: these are as any other file that is written here.
        temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                if self._fsync:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if self._fsync:
            _sync_directory(path.parent)

    def _delete(self, path: Path) -> bool:
        self._check_inside(path.parent)
        try:
            path.unlink()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            if path.is_file():
                raise
            return False
        for parent in path.parents:
            if parent == self._root:
                break
            try:
                parent.rmdir()
            except OSError:
                break  # It is not empty.
        return True

    def _keys(self, prefix: str) -> list[str]:
        names = prefix.split("/")[:-1]
        top = self._root.joinpath(*names)
        keys = [
            Path(folder, name).relative_to(self._root).as_posix()
            for folder, _, files in os.walk(top)
            for name in files
            if not name.startswith(TEMPORARY)
        ]
        return sorted(key for key in keys if key.startswith(prefix))


def _sync_directory(path: Path) -> None:
    """Put the new name of a file on the disk, where a directory can be opened for that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
