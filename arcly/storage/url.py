"""Storage backends by URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from arcly.contract import StorageBackend
from arcly.errors import MisuseError
from arcly.storage.files import FileStorage
from arcly.storage.s3 import S3Storage

S3_OPTIONS = frozenset({"endpoint", "region"})
"""What stands behind `?`."""


def open_storage(url: str) -> StorageBackend:
    """Return the storage that a URL names: `s3://BUCKET/PREFIX[?endpoint=URL&region=NAME]`, `file:///DIRECTORY`, or the
    path of a directory.

    The keys of S3 are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), or
    of the machine's role: none stands in a URL.

    Raises:
        MisuseError: it is none of these, or `arcly[s3]` is not installed.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _s3(url)
    if parts.scheme == "file" and not parts.netloc:
        return FileStorage(Path(unquote(parts.path)))
    if "://" in url or not url:
        raise MisuseError(f"{url!r} is no storage: s3://BUCKET/PREFIX or a directory")
    return FileStorage(Path(url))


def _s3(url: str) -> S3Storage:
    parts = urlsplit(url)
    if not parts.hostname or parts.netloc != parts.hostname:
        raise MisuseError("s3://BUCKET/PREFIX has a bucket, and no keys: they are in the environment")
    options = dict(parse_qsl(parts.query))
    if set(options) - S3_OPTIONS:
        raise MisuseError(f"{sorted(set(options) - S3_OPTIONS)}: s3:// knows {sorted(S3_OPTIONS)}")
    try:
        return S3Storage(parts.hostname, prefix=unquote(parts.path).strip("/"), **options)
    except ImportError:
        raise MisuseError("s3:// needs obstore: pip install arcly[s3]") from None
