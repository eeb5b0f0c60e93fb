import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from failing_registry import FailingRegistry
from virtual_time import Bus, in_virtual_time

import arcly
from arcly.services.audit import AuditAction, Audited, AuditPipeline, AuditRecord, AuditSink, FileAuditSink
from arcly.services.auth import Action, Authenticator
from arcly.testing import MemoryRegistry

KEY = arcly.StreamKey("live", "cam")
PEER = arcly.Credentials(peer="192.0.2.1:5")


class Memory:
    """A sink that holds its writer up, or fails, when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[AuditRecord]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing = False
        self.closed = 0

    async def write(self, records: Sequence[AuditRecord]) -> None:
        await self.open.wait()
        if self.failing:
            raise OSError("no space")
        self.batches.append(list(records))

    async def close(self) -> None:
        self.closed += 1

    @property
    def records(self) -> list[AuditRecord]:
        return [record for batch in self.batches for record in batch]

    @property
    def reasons(self) -> list[str | None]:
        return [record.reason for record in self.records]


@pytest.fixture
def quiet() -> Iterator[None]:
    """For faults of a sink that the test wants."""
    logging.getLogger("arcly").disabled = True
    yield
    logging.getLogger("arcly").disabled = False


class Says(Authenticator):
    def __init__(self, answer: bool | None) -> None:
        self.answer = answer

    async def authorize(self, action: Action, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        if self.answer is None:
            await asyncio.Event().wait()
        return bool(self.answer)


async def test_each_action_is_recorded_once_with_who_and_why() -> None:
    sink = Memory()
    pipeline = AuditPipeline(sink)
    assert isinstance(sink, AuditSink)
    assert isinstance(pipeline, arcly.InboundProtocol)
    async with arcly.Engine(pipeline, authenticator=Audited(Says(True), pipeline)) as engine:
        session = await engine.open_publish(KEY, PEER, protocol="test")
        session.set_tracks([arcly.Track(1, "AAC", bytes([0x11, 0x90]))])
        session.publish(b"x", track=1, pts=0)
        await eventually(lambda: sink.records)
        session.end("done")
        _other = await engine.start_publish(arcly.StreamKey("live", "other"))
        await eventually(lambda: len(sink.records) == 3)
    seen = [(record.action, str(record.key), record.peer) for record in sink.records]
    assert seen == [
        ("publish_started", "live/cam", "192.0.2.1:5"),
        ("publish_ended", "live/cam", "192.0.2.1:5"),
        ("publish_started", "live/other", None),
        ("publish_ended", "live/other", None),
    ]
    assert sink.records[1].reason == "done"
    assert sink.records[3].reason
    times = [record.at_unix_ms for record in sink.records]
    assert times == sorted(times)
    assert (sink.closed, pipeline.dropped) == (1, 0)
    await pipeline.stop()
    assert sink.closed == 1


async def test_refusals_are_recorded_with_their_cause(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Says):
        async def authorize(self, *_: Any) -> bool:
            raise ValueError("secret")

    for authenticator, reason in [
        (Says(False), "not allowed"),
        (Says(None), "not decided in time"),
        (Broken(True), "the authenticator failed: ValueError"),
    ]:
        sink = Memory()
        pipeline = AuditPipeline(sink)
        audited = Audited(authenticator, pipeline)
        assert isinstance(audited, arcly.StreamAuthenticator)
        async with arcly.Engine(pipeline, authenticator=audited, auth_deadline_s=0.05) as engine:
            with pytest.raises(arcly.UnauthorizedError):
                await engine.open_publish(KEY, PEER, protocol="test")
        assert [(r.action, r.key, r.peer, r.reason) for r in sink.records] == [
            ("publish_refused", KEY, "192.0.2.1:5", reason)
        ]
    caplog.clear()


async def test_playing_is_recorded_when_it_is_refused() -> None:
    sink = Memory()
    pipeline = AuditPipeline(sink)
    await pipeline.start(Bus())  # type: ignore[arg-type]
    assert not await Audited(Says(False), pipeline).authorize_play(KEY, PEER)
    assert await Audited(Says(True), pipeline).authorize_play(KEY, PEER)
    await pipeline.stop()
    assert [record.action for record in sink.records] == ["play_refused"]


@in_virtual_time
async def test_a_full_queue_drops_the_newest_counts_them_and_says_so_in_place() -> None:
    sink, bus = Memory(), Bus()
    pipeline = AuditPipeline(sink, capacity=3)
    await pipeline.start(bus)  # type: ignore[arg-type]
    sink.open.clear()
    pipeline.record("first")
    await asyncio.sleep(1)
    for n in range(10):
        pipeline.record("kicked", KEY, reason=str(n))
    assert pipeline.dropped == 7
    sink.open.set()
    await asyncio.sleep(1)
    pipeline.record("kicked", reason="after")
    await pipeline.stop()
    assert sink.reasons == [None, "0", "1", "2", "7 records are missing", "after"]
    assert sink.records[4].action == AuditAction.RECORDS_DROPPED


@in_virtual_time
async def test_a_sink_that_fails_loses_its_batch_and_is_tried_again(quiet: None) -> None:
    sink, bus = Memory(), Bus()
    pipeline = AuditPipeline(sink, capacity=4)
    await pipeline.start(bus)  # type: ignore[arg-type]
    sink.failing = True
    for n in range(6):
        pipeline.record("kicked", reason=str(n))
    await asyncio.sleep(1)
    pipeline.record("kicked", reason="6")
    await asyncio.sleep(1)
    assert pipeline.dropped == 7
    sink.failing = False
    pipeline.record("kicked", reason="7")
    await asyncio.sleep(1)
    assert sink.reasons == ["7 records are missing", "7"]
    await pipeline.stop()
    assert pipeline.dropped == 7


@in_virtual_time
async def test_a_sink_that_hangs_overruns_its_deadline_and_holds_nobody_up(quiet: None) -> None:
    loop = asyncio.get_running_loop()
    sink, bus = Memory(), Bus()
    pipeline = AuditPipeline(sink, sink_deadline_s=5)
    await pipeline.start(bus)  # type: ignore[arg-type]
    sink.open.clear()
    pipeline.record("kicked", reason="0")
    await asyncio.sleep(6)
    assert pipeline.dropped == 1
    sink.open.set()
    pipeline.record("kicked", reason="1")
    await asyncio.sleep(0.1)
    assert sink.reasons == ["1 records are missing", "1"]
    sink.open.clear()
    pipeline.record("kicked", reason="2")
    began_s = loop.time()
    await pipeline.stop()
    assert loop.time() - began_s <= 10
    assert (pipeline.dropped, sink.closed) == (2, 1)


@in_virtual_time
async def test_a_sink_that_never_returns_does_not_keep_the_engine_from_stopping(quiet: None) -> None:
    class Deaf(Memory):
        async def write(self, records: Sequence[AuditRecord]) -> None:
            while not self.open.is_set():
                try:
                    await self.open.wait()
                except asyncio.CancelledError:
                    continue

    sink, bus = Deaf(), Bus()
    sink.open.clear()
    pipeline = AuditPipeline(sink, sink_deadline_s=5)
    await pipeline.start(bus)  # type: ignore[arg-type]
    pipeline.record("kicked")
    await pipeline.stop()
    assert asyncio.get_running_loop().time() == pytest.approx(10)
    sink.open.set()
    await asyncio.sleep(1)


async def test_the_publisher_that_came_after_is_not_taken_for_the_one_before() -> None:
    class Stream:
        key, peer, started_unix_ms = KEY, "198.51.100.9:9", 2000

    bus, sink = Bus(), Memory()
    bus.streams = [Stream()]
    pipeline = AuditPipeline(sink)
    await pipeline.start(bus)  # type: ignore[arg-type]
    kinds = arcly.StreamEventKind
    bus.emit(arcly.StreamEvent(kinds.PUBLISH_STARTED, KEY, 1000))
    bus.emit(arcly.StreamEvent(kinds.PUBLISH_ENDED, KEY, 1500, "gone"))
    bus.emit(arcly.StreamEvent(kinds.PUBLISH_STARTED, KEY, 2000))
    await pipeline.stop()
    assert [(r.action, r.peer) for r in sink.records] == [
        ("publish_started", None),
        ("publish_ended", None),
        ("publish_started", "198.51.100.9:9"),
    ]


async def test_other_events_are_recorded_when_they_are_somebodys_action() -> None:
    bus, sink = Bus(), Memory()
    pipeline = AuditPipeline(sink)
    await pipeline.start(bus)  # type: ignore[arg-type]
    for kind in arcly.StreamEventKind:
        bus.emit(arcly.StreamEvent(kind, KEY, 1))
    await pipeline.stop()
    actions = [record.action for record in sink.records]
    assert set(actions) == set(AuditAction) - {"publish_refused", "play_refused", "records_dropped"}
    assert len(actions) == len(set(actions))


async def test_a_registry_that_fails_once_costs_one_record(caplog: pytest.LogCaptureFixture) -> None:
    sink, streams = Memory(), FailingRegistry()
    async with arcly.Engine(AuditPipeline(sink), registry=streams):
        first = await streams.start_publish(KEY)
        await eventually(lambda: "could not be handled" in caplog.text)
        streams.fails = False
        second = await streams.start_publish(arcly.StreamKey("live", "other"))
        first.end()
        second.end()
    assert [r.action for r in sink.records] == ["publish_started", "publish_ended", "publish_ended"]
    caplog.clear()


async def test_a_foreign_registry_is_audited_too() -> None:
    sink, streams = Memory(), MemoryRegistry()
    async with arcly.Engine(AuditPipeline(sink), registry=streams):
        session = await streams.start_publish(KEY, protocol="test", peer="192.0.2.1:5")
        await eventually(lambda: sink.records)
        session.end("done")
    assert [(r.action, r.peer) for r in sink.records] == [
        ("publish_started", "192.0.2.1:5"),
        ("publish_ended", "192.0.2.1:5"),
    ]


@pytest.mark.parametrize("action", ["", "Kicked", "a b", "a\n", "records_dropped", "x" * 65])
def test_actions_of_the_host_are_checked(action: str) -> None:
    with pytest.raises(arcly.MisuseError):
        AuditPipeline(Memory()).record(action)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AuditPipeline(Memory(), 0),
        lambda: AuditPipeline(Memory(), sink_deadline_s=0),
        lambda: FileAuditSink("x", max_bytes=100),
        lambda: FileAuditSink("x", backups=-1),
    ],
)
def test_numbers_out_of_range_are_misuse(make: Any) -> None:
    with pytest.raises(arcly.MisuseError):
        make()


def record(reason: str, action: str = "kicked") -> AuditRecord:
    return AuditRecord(action, 1_767_225_600_123, KEY, "192.0.2.1:5", reason)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_a_file_has_one_object_a_line_and_belongs_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileAuditSink(path)
    nasty = 'line\nbreak \r "quote" \x1b[31m \u2028 \ud800 ü \x00'
    await sink.write([record(nasty), AuditRecord("alone", 0)])
    await sink.close()
    await sink.close()
    assert path.read_bytes().isascii()
    assert path.read_bytes().count(b"\n") == 2
    assert lines(path) == [
        {
            "at": "2026-01-01T00:00:00.123Z",
            "at_unix_ms": 1_767_225_600_123,
            "action": "kicked",
            "app": "live",
            "stream": "cam",
            "peer": "192.0.2.1:5",
            "reason": nasty,
        },
        {
            "at": "1970-01-01T00:00:00.000Z",
            "at_unix_ms": 0,
            "action": "alone",
            "app": None,
            "stream": None,
            "peer": None,
            "reason": None,
        },
    ]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("backups", [0, 1, 3])
async def test_a_file_rotates_and_no_record_is_split_or_out_of_order(tmp_path: Path, backups: int) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileAuditSink(path, max_bytes=4096, backups=backups)
    for n in range(200):
        await sink.write([record(f"{n:0100}")])
    await sink.close()
    names = ["audit.jsonl", *(f"audit.jsonl.{n}" for n in range(1, backups + 1))]
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    kept = [int(line["reason"]) for name in reversed(names) for line in lines(tmp_path / name)]
    assert kept == list(range(200 - len(kept), 200))
    assert all(0 < (tmp_path / name).stat().st_size <= 4096 for name in names)


async def test_a_batch_is_never_split_between_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileAuditSink(path, max_bytes=4096, backups=2)
    await sink.write([record("small")])
    await sink.write([record(str(n)) for n in range(100)])
    await sink.close()
    assert [line["reason"] for line in lines(path)] == [str(n) for n in range(100)]
    assert [line["reason"] for line in lines(tmp_path / "audit.jsonl.1")] == ["small"]


async def test_a_file_is_continued_and_a_line_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"action": "whole"}\n{"action": "cut sho')
    sink = FileAuditSink(path)
    await sink.write([record("next")])
    await sink.close()
    await sink.write([record("reopened")])
    await sink.close()
    first, cut, *rest = path.read_bytes().splitlines()
    assert (json.loads(first)["action"], cut) == ("whole", b'{"action": "cut sho')
    assert [json.loads(line)["reason"] for line in rest] == ["next", "reopened"]


async def test_a_failed_write_is_told_and_the_next_one_opens_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle of a line."""
    path = tmp_path / "audit.jsonl"
    sink = FileAuditSink(path)
    await sink.write([record("0")])
    whole = FileAuditSink._write

    def half(self: FileAuditSink, file: Any, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError("no space left")

    monkeypatch.setattr(FileAuditSink, "_write", half)
    with pytest.raises(OSError, match="no space"):
        await sink.write([record("1")])
    monkeypatch.setattr(FileAuditSink, "_write", whole)
    await sink.write([record("2")])
    await sink.close()
    first, cut, third = path.read_bytes().splitlines()
    assert (json.loads(first)["reason"], json.loads(third)["reason"]) == ("0", "2")
    assert cut.startswith(b'{"at"')
    with pytest.raises(OSError, match=r"missing|No such"):
        await FileAuditSink(tmp_path / "missing" / "audit.jsonl").write([record("x")])


async def test_writes_do_not_pile_up_behind_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, entered = threading.Event(), threading.Event()
    whole = FileAuditSink._write

    def hang(self: FileAuditSink, file: Any, data: bytes) -> None:
        entered.set()
        free.wait(30)
        whole(self, file, data)

    monkeypatch.setattr(FileAuditSink, "_write", hang)
    sink = FileAuditSink(tmp_path / "audit.jsonl")
    first = asyncio.create_task(sink.write([record("0")]))
    await eventually(entered.is_set)
    with pytest.raises(BlockingIOError):
        await sink.write([record("1")])
    free.set()
    await first
    await sink.write([record("2")])
    await sink.close()
    assert [line["reason"] for line in lines(tmp_path / "audit.jsonl")] == ["0", "2"]


async def test_a_pipeline_writes_what_an_engine_did_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with arcly.Engine(AuditPipeline(FileAuditSink(path, fsync=True))) as engine:
        for n in range(100):
            session = await engine.start_publish(arcly.StreamKey("live", str(n)))
            if n % 2:
                session.end()
    seen = lines(path)
    for action in ("publish_started", "publish_ended"):
        assert sorted(int(line["stream"]) for line in seen if line["action"] == action) == list(range(100))
