"""What every `StorageBackend` does, and what only files can do wrong."""

import asyncio
import os
import stat
import urllib.request
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import arcly
from arcly.contract import RangedStorage, StorageBackend
from arcly.contract.storage import read_range
from arcly.storage import FileStorage, MemoryStorage, S3Storage, check_key, open_storage


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A server that speaks the protocol of S3, with an empty bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_storage(server: str, **options: str) -> S3Storage:
    """A bucket of its own."""
    bucket = f"bucket-{uuid.uuid4()}"
    urllib.request.urlopen(urllib.request.Request(f"{server}/{bucket}", method="PUT")).close()
    return S3Storage(bucket, endpoint=server, access_key_id="test", secret_access_key="test", **options)


@pytest.fixture(params=["files", "memory", "s3", "s3 with a prefix"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    match request.param:
        case "files":
            return FileStorage(tmp_path / "root", fsync=False)
        case "memory":
            return MemoryStorage()
        case "s3":
            return s3_storage(request.getfixturevalue("s3_server"))
        case _:
            return s3_storage(request.getfixturevalue("s3_server"), prefix="all/of it")


class Plain:
    """A backend that knows no ranges."""

    def __init__(self, storage: StorageBackend) -> None:
        self.get = storage.get


async def test_what_is_put_is_found(storage: StorageBackend, tmp_path: Path) -> None:
    assert await storage.keys() == []
    await storage.put("live/cam/1.ts", b"one")
    await storage.put("live/cam/2.ts", memoryview(b"two"))
    (tmp_path / "three").write_bytes(b"three")
    await storage.put_file("live/cam2/3.ts", tmp_path / "three")
    assert await storage.get("live/cam/1.ts") == b"one"
    assert await storage.get("live/cam2/3.ts") == b"three"
    assert isinstance(storage, RangedStorage)
    for get in (storage.get_range, partial(read_range, storage), partial(read_range, Plain(storage))):
        assert await get("live/cam2/3.ts", 0, 3) == b"thr"
        assert await get("live/cam2/3.ts", 1, 100) == b"hree"
        with pytest.raises(arcly.NotFoundError):
            await get("nothing", 0, 1)
    assert await storage.keys() == ["live/cam/1.ts", "live/cam/2.ts", "live/cam2/3.ts"]
    assert await storage.keys("live/cam/") == ["live/cam/1.ts", "live/cam/2.ts"]
    assert await storage.keys("live/cam") == ["live/cam/1.ts", "live/cam/2.ts", "live/cam2/3.ts"]
    assert await storage.keys("live/cam/2") == ["live/cam/2.ts"]
    assert await storage.keys("nothing/") == []


async def test_what_is_put_again_is_replaced_and_what_is_deleted_is_gone(storage: StorageBackend) -> None:
    await storage.put("a/b", b"old")
    await storage.put("a/b", b"new")
    assert await storage.get("a/b") == b"new"
    assert [await storage.exists(key) for key in ("a/b", "a", "b")] == [True, False, False]
    assert [await storage.delete("a/b"), await storage.delete("a/b"), await storage.delete("a")] == [True, False, False]
    assert not await storage.exists("a/b")
    for key in ("a/b", "a", "a/b/c"):
        with pytest.raises(arcly.NotFoundError):
            await storage.get(key)


BAD = [
    "",
    "/etc/passwd",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a\nb",
    "C:x",
    "\ud800",
    "x" * 256,
    "a/" * 600 + "a",
    ".arcly-temporary",
]


@pytest.mark.parametrize("key", BAD)
async def test_no_key_leads_anywhere_else(storage: StorageBackend, tmp_path: Path, key: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"")
    for call in (
        storage.put(key, b""),
        storage.put_file(key, source),
        storage.get(key),
        storage.exists(key),
        storage.delete(key),
    ):
        with pytest.raises(arcly.MalformedError):
            await call
    with pytest.raises(arcly.MalformedError):
        await storage.keys(f"../{key}")


@given(st.text(st.characters(), min_size=1, max_size=40) | st.text("./\\a~ ", min_size=1, max_size=12))
@settings(max_examples=500)
def test_a_key_that_is_allowed_stays_below_every_root(key: str) -> None:
    try:
        check_key(key)
    except arcly.MalformedError:
        return
    root = Path("/srv/media")
    path = Path(os.path.normpath(root.joinpath(*key.split("/"))))
    assert path.is_relative_to(root)
    assert path != root
    assert path.relative_to(root).as_posix() == key


async def test_a_symbolic_link_does_not_lead_out_of_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside)
    storage = FileStorage(root)
    for call in (storage.get("link/secret"), storage.put("link/new", b""), storage.delete("link/secret")):
        with pytest.raises(OSError, match="leads out"):
            await call
    assert [path.name for path in outside.iterdir()] == ["secret"]


async def test_a_reader_never_sees_a_part_and_a_failed_put_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage(tmp_path)
    await storage.put("a", b"old")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        await storage.put("a", b"new and longer")
    assert await storage.get("a") == b"old"
    assert os.listdir(tmp_path) == ["a"]
    monkeypatch.undo()
    sizes = [0, 100_000]

    async def write() -> None:
        for n in range(40):
            await storage.put("b", bytes(sizes[n % 2]))

    await storage.put("b", b"")
    writing = asyncio.create_task(write())
    while not writing.done():
        assert len(await storage.get("b")) in sizes
        assert await storage.keys() == ["a", "b"]
    await writing


async def test_who_may_read_a_file_of_the_host_may_read_an_object(tmp_path: Path) -> None:
    """Found by reading: every object was of mode 0600, which no web server reads, whatever the umask."""
    (source := tmp_path / "source").write_bytes(b"")
    storage, modes = FileStorage(tmp_path), []
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        try:
            await storage.put("a", b"one")
            await storage.put_file("b", source)
        finally:
            os.umask(before)
        modes += [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "b")]
    assert modes == [0o644, 0o644, 0o600, 0o600]


async def test_memory_is_bounded() -> None:
    storage = MemoryStorage(max_bytes=10)
    await storage.put("a", bytes(10))
    with pytest.raises(arcly.LimitExceededError):
        await storage.put("b", b"1")
    await storage.put("a", bytes(9))
    await storage.put("b", b"1")
    await storage.delete("a")
    await storage.put("c", bytes(9))


async def test_a_large_file_goes_to_s3_in_parts(s3_server: str, tmp_path: Path) -> None:
    storage = s3_storage(s3_server)
    data = os.urandom(20 << 20)
    (tmp_path / "large").write_bytes(data)
    await storage.put_file("live/large.mp4", tmp_path / "large")
    assert await storage.get("live/large.mp4") == data


async def test_keys_of_s3_are_what_they_are(s3_server: str) -> None:
    storage = s3_storage(s3_server)
    keys = ["a b/ü#1.mp4", "100%/~x", "a+b/c&d=e", "live/cam~720p/{x}^`.ts"]
    for key in keys:
        await storage.put(key, key.encode())
    assert await storage.keys() == sorted(keys)
    assert [(await storage.get(key)).decode() for key in keys] == keys


async def test_an_s3_server_that_is_not_there_is_an_oserror() -> None:
    from datetime import timedelta

    retry = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    storage = S3Storage(
        "none", endpoint="http://127.0.0.1:9", access_key_id="a", secret_access_key="b", retry_config=retry
    )
    with pytest.raises(OSError, match="error"):
        await storage.put("a", b"")


async def test_a_storage_by_url(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    bucket = f"bucket-{uuid.uuid4()}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{bucket}", method="PUT")).close()  # noqa: ASYNC210
    storage = open_storage(f"s3://{bucket}/all/of%20it/?endpoint={s3_server}&region=eu-west-1")
    await storage.put("live/1.ts", b"one")
    plain = S3Storage(bucket, endpoint=s3_server, access_key_id="a", secret_access_key="b")
    assert await plain.keys() == ["all/of it/live/1.ts"]
    for url in (str(tmp_path / "a"), f"file://{tmp_path}/b"):
        await open_storage(url).put("1.ts", b"one")
    assert (tmp_path / "a/1.ts").read_bytes() == (tmp_path / "b/1.ts").read_bytes() == b"one"


@pytest.mark.parametrize(
    "url", ["", "ftp://a/b", "s3:///prefix", "s3://key:secret@bucket/", "s3://bucket/?acl=public", "file://host/a"]
)
def test_a_url_that_names_no_storage_is_refused(url: str) -> None:
    with pytest.raises(arcly.MisuseError):
        open_storage(url)
