"""Objects in Amazon S3, or in anything that speaks its protocol. Needs `arcly[s3]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcly.errors import NotFoundError
from arcly.storage.key import check_key, check_prefix

if TYPE_CHECKING:
    from typing_extensions import Buffer

PART_BYTES = 8 << 20
"""Bytes of a part of a large object: it is sent in parts, a few at a time, and appears when all of them are there."""

PARTS_AT_ONCE = 4
"""Parts of one object that are held and sent at a time."""


class S3Storage:
    """A `StorageBackend` of a bucket: the key `live/cam/1.mp4` is the object of that name, behind `prefix`.

    What goes wrong on the way is tried again, with growing waits, for some minutes; then it is an `OSError`.

    Args:
        bucket: its name.
        prefix: what all keys stand behind, such as `recordings`; default nothing.
        endpoint: URL of a server that is not Amazon's: `http://localhost:9000`.
        region: of the bucket; default what the environment says (`AWS_REGION`), else `us-east-1`.
        access_key_id, secret_access_key: credentials; default what the environment or the machine's role says.
        **options: more of `obstore.store.S3Store`.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        **options: Any,
    ) -> None:
        import obstore
        from obstore.store import S3Store

        given = {
            "endpoint": endpoint,
            "region": region,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
        }
        options |= {name: value for name, value in given.items() if value is not None}
        if endpoint is not None and endpoint.startswith("http://"):
            options["client_options"] = {"allow_http": True, **options.get("client_options", {})}
        self._s3 = obstore
        self._store = S3Store(bucket, prefix=check_key(prefix) if prefix else None, **options)

    async def put(self, key: str, data: Buffer) -> None:
        """Keep `data` under `key`.

        Raises:
            MalformedError: the key is not allowed.
            OSError: the server refused, or cannot be reached. Here and below.
        """
        await self._put(check_key(key), bytes(data))

    async def put_file(self, key: str, path: Path) -> None:
        """Keep a copy of the file at `path`; a large one is sent in parts. Raises as `put`."""
        await self._put(check_key(key), Path(path))

    async def _put(self, key: str, data: bytes | Path) -> None:
        with errors():
            await self._s3.put_async(self._store, key, data, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`.

        Raises:
            NotFoundError: nothing is.
        """
        with errors(check_key(key)):
            found = await self._s3.get_async(self._store, key)
            return bytes(await found.bytes_async())

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """Return a part of what is kept under `key`. Raises as `get`."""
        with errors(check_key(key)):
            found = await self._s3.get_async(self._store, key, options={"range": (offset, offset + size)})
            return bytes(await found.bytes_async())

    async def exists(self, key: str) -> bool:
        """Return whether something is kept under `key`."""
        try:
            with errors(check_key(key)):
                await self._s3.head_async(self._store, key)
        except NotFoundError:
            return False
        return True

    async def delete(self, key: str) -> bool:
        """Forget what is kept under `key`; False when nothing was."""
        if not await self.exists(key):
            return False
        with errors():
            await self._s3.delete_async(self._store, key)
        return True

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, sorted."""
        check_prefix(prefix)
        # The server is asked for whole names, the rest is looked at here.
        folder = prefix.rpartition("/")[0]
        found: list[str] = []
        with errors():
            async for page in self._s3.list(self._store, prefix=folder or None, chunk_size=1000):
                found += [entry["path"] for entry in page]
        return sorted(key for key in found if key.startswith(prefix))


class errors:
    """What goes wrong with a server, as `StorageBackend` has it."""

    def __init__(self, key: str = "") -> None:
        self._key = key

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Translate."""
        from obstore.exceptions import BaseError

        if isinstance(error, FileNotFoundError):
            raise NotFoundError(f"nothing is kept under {self._key}") from None
        if isinstance(error, BaseError):
            raise OSError(str(error).partition("\n")[0]) from error
