"""Files that go on to a storage backend."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from conftest import eventually

import arcly
from arcly.recording import upload
from arcly.storage import MemoryStorage, S3Storage
from recording.conftest import ROOMY, record_demo


@pytest.mark.parametrize("move", [False, True])
async def test_every_file_is_stored_whole_and_deleted_with_its_recording(tmp_path: Path, move: bool) -> None:
    storage = MemoryStorage()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0, storage=storage, move=move)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)

        async def stored() -> bool:
            segments = await recorder.index.segments(1)
            return len(segments) == 3 and all(one.stored and bool(one.path) != move for one in segments)

        await eventually(stored)
        segments = await recorder.index.segments(1)
        # A name that was moved away may be taken again within the second: that is another object.
        assert list(await storage.keys()) == sorted(segment.stored or "" for segment in segments)
        for segment in segments:
            assert len(await storage.get(segment.stored or "")) == segment.bytes
        await eventually(lambda: bool(list(tmp_path.rglob("*.mp4"))) != move)
        assert await recorder.delete(1)
        assert await storage.keys() == []
        assert list(tmp_path.rglob("*.mp4")) == []  # noqa: ASYNC240


@pytest.mark.parametrize("error", [OSError, arcly.UnsupportedError, RuntimeError])
async def test_a_storage_that_fails_is_tried_again_and_what_is_left_over_goes_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(upload, "RETRY_S", (0.01, 0.02))

    class Failing(MemoryStorage):
        left = 3

        async def put_file(self, key: str, path: Path) -> None:
            if self.left:
                self.left -= 1
                raise error("the network is down")
            await super().put_file(key, path)

    storage = Failing()
    storage.left = 10**9
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
    assert await storage.keys() == []
    storage.left = 3
    async with arcly.Engine(arcly.Recorder(tmp_path, storage=storage)):

        async def stored() -> bool:
            return len(await storage.keys()) == 1

        await eventually(stored)
    assert storage.left == 0


async def test_a_file_that_cannot_be_stored_keeps_no_other(tmp_path: Path) -> None:
    class Picky(MemoryStorage):
        refused = ""

        async def put_file(self, key: str, path: Path) -> None:
            self.refused = self.refused or key
            if key == self.refused:
                raise OSError("it cannot be read")
            await super().put_file(key, path)

    storage = Picky()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)

        async def others_are_stored() -> bool:
            return [bool(segment.stored) for segment in await recorder.index.segments(1)] == [False, True, True]

        await eventually(others_are_stored)


async def test_three_files_that_can_never_be_stored_keep_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: three were enough to believe that the storage is down, and they came first each time."""
    monkeypatch.setattr(upload, "RETRY_S", (0.01, 0.02))

    class Picky(MemoryStorage):
        async def put_file(self, key: str, path: Path) -> None:
            if key.startswith("live/cam/"):
                raise OSError("it cannot be read")
            await super().put_file(key, path)

    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0, storage=Picky())
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        await record_demo(engine, recorder, arcly.StreamKey("live", "other"))

        async def others_are_stored() -> bool:
            return [bool(segment.stored) for segment in await recorder.index.segments()] == [False] * 3 + [True] * 3

        await eventually(others_are_stored, deadline_s=20)


async def test_a_new_file_does_not_wait_with_one_that_can_never_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: behind each try of the bad one, in time for five minutes, nobody heard of new ones."""
    monkeypatch.setattr(upload, "RETRY_S", (3600, 3600))

    class Picky(MemoryStorage):
        refused = 0

        async def put_file(self, key: str, path: Path) -> None:
            if key.startswith("live/cam/"):
                self.refused += 1
                raise OSError("it cannot be read")
            await super().put_file(key, path)

    storage = Picky()
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        await eventually(lambda: storage.refused)
        for other in ("one", "two"):
            await record_demo(engine, recorder, arcly.StreamKey("live", other))

        async def others_are_stored() -> bool:
            return len(await storage.keys()) == 2

        await eventually(others_are_stored, deadline_s=20)
        assert storage.refused == 1, "not with each new one"


async def test_a_storage_that_is_down_is_not_tried_with_each_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by reading: it was, with up to three at a time, and each time all that waits was read and a line logged."""
    monkeypatch.setattr(upload, "RETRY_S", (3600, 3600))

    class Down(MemoryStorage):
        tried = 0

        async def put_file(self, key: str, path: Path) -> None:
            self.tried += 1
            raise OSError("the network is down")

    storage = Down()
    recorder = arcly.Recorder(tmp_path, record=["*"], segment_s=3, resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        await eventually(lambda: storage.tried == upload.ERRORS_MAX)
        for other in ("one", "two"):
            await record_demo(engine, recorder, arcly.StreamKey("live", other))

        async def all_are_there() -> bool:
            return len(await recorder.index.unstored()) == 9

        await eventually(all_are_there)
        assert storage.tried == upload.ERRORS_MAX
    said = [record.message for record in caplog.records if "not stored" in record.message]
    assert 1 <= len(said) <= upload.ERRORS_MAX


async def test_a_path_that_is_no_key_is_stored_under_a_shorter_one(tmp_path: Path) -> None:
    """Found by reading: applications of eight long names have paths of 1800 bytes, which no storage takes."""
    storage, long = MemoryStorage(), "long" * 60
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        for other in ("one", "two"):
            await record_demo(engine, recorder, arcly.StreamKey("/".join(["live", *[long] * 6, other]), long))

        async def stored() -> bool:
            return len(await storage.keys()) == 2

        await eventually(stored, deadline_s=20)
        for segment in await recorder.index.segments():
            assert segment.stored is not None
            assert segment.stored.startswith("live/~")
            assert len(await storage.get(segment.stored)) == segment.bytes


class Mute(MemoryStorage):
    """Stores a file, and the answer is lost."""

    answers = False

    async def put_file(self, key: str, path: Path) -> None:
        await super().put_file(key, path)
        if not self.answers:
            self.answers = True
            raise OSError("the connection was lost")


async def test_a_file_whose_storing_nobody_heard_of_is_stored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "RETRY_S", (0.01, 0.02))
    storage = Mute()
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)

        async def stored() -> str | None:
            (segment,) = await recorder.index.segments()
            return segment.stored

        key = await eventually(stored)
        (segment,) = await recorder.index.segments()
        assert key == segment.path
        assert await storage.keys() == [key]


async def test_a_file_whose_storing_nobody_heard_of_is_deleted_with_its_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "RETRY_S", (3600, 3600))
    storage = Mute()
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage)
    async with arcly.Engine(recorder, default_app=ROOMY) as engine:
        await record_demo(engine, recorder)
        await eventually(lambda: storage.answers)
        assert await recorder.delete(1)
        assert await storage.keys() == []


@pytest.mark.parametrize("same_process", [True, False])
async def test_a_file_that_was_moved_and_could_not_be_deleted_here_is_deleted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_process: bool
) -> None:
    """Found by a reader: nobody knew of it any more, or it was entered once more as another file of its recording."""
    monkeypatch.setattr(upload, "RETRY_S", (0.01, 0.02) if same_process else (3600, 3600))
    unlink, refused = Path.unlink, []

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".mp4" and (not refused or not same_process):
            refused.append(path)
            raise OSError(13, "Permission denied")
        unlink(path, missing_ok)

    storage = MemoryStorage()
    recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage, move=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        async with arcly.Engine(recorder, default_app=ROOMY) as engine:
            await record_demo(engine, recorder)
            await eventually(lambda: refused)
            if same_process:
                await eventually(lambda: not list(tmp_path.rglob("*.mp4")))
    assert bool(list(tmp_path.rglob("*.mp4"))) != same_process  # noqa: ASYNC240
    recorder = arcly.Recorder(tmp_path, storage=storage, move=True)
    async with arcly.Engine(recorder):
        (segment,) = await recorder.index.segments()
        assert (segment.path, [segment.stored]) == ("", await storage.keys())
        assert list(tmp_path.rglob("*.mp4")) == []  # noqa: ASYNC240


async def test_files_go_to_s3(tmp_path: Path) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/recordings", method="PUT")).close()  # noqa: ASYNC210
        storage = S3Storage("recordings", endpoint=url, access_key_id="a", secret_access_key="b")
        recorder = arcly.Recorder(tmp_path, record=["*"], resume_s=0, storage=storage)
        async with arcly.Engine(recorder, default_app=ROOMY) as engine:
            await record_demo(engine, recorder)

            async def there() -> bool:
                return len(await storage.keys()) == 1

            await eventually(there)
            (segment,) = await recorder.index.segments(1)
            assert await storage.get(segment.path) == (tmp_path / segment.path).read_bytes()
    finally:
        server.stop()
