"""The way of a record from what happened to the sink."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from arcly._deadline import abandon
from arcly._limits import require_between, require_name
from arcly._native import StreamKey
from arcly.contract import AuditSink, IngestContext
from arcly.errors import MisuseError
from arcly.events import StreamEvent
from arcly.services._follow import EventFollower
from arcly.services.audit.record import REASON_CHARS_MAX, AuditAction, AuditRecord, now_ms

log = logging.getLogger("arcly")

PEERS_MAX = 100_000
"""Streams whose publisher is remembered until they end; an end that was lost with other events forgets none."""

NOT_RECORDED = frozenset(
    ("tracks_changed", "subscriber_lagged", "gop_truncated", "transcoding_started", "transcoding_ended", "failed")
)
"""Events that are nobody's action; the second comes as often as a reader is slow."""

NEW_PEER = frozenset((AuditAction.PUBLISH_STARTED, AuditAction.PUBLISH_RESUMED))
"""After these another peer may publish."""


class AuditPipeline:
    """Collects records and hands them to a sink in batches, from a task of its own. An `InboundProtocol`.

    Neither streams nor handlers ever wait for the sink. When it is too slow, the newest records are dropped and
    counted, and a record `records_dropped` stands where they would be. When it raises or overruns its deadline, the
    same is done for the batch (of which some may be there nevertheless), and the next batch is tried with the next
    record: a disk may have room again.

    Args:
        sink: where records go.
        capacity: records that may wait, default 1024; 1 to 1 048 576. Each costs some 500 bytes while it waits.
        sink_deadline_s: seconds for one `write`, default 10; 0.001 to 600.

    Raises:
        MisuseError: a number is out of range.
    """

    name = "audit"

    def __init__(self, sink: AuditSink, capacity: int = 1024, *, sink_deadline_s: float = 10.0) -> None:
        require_between("capacity", capacity, 1, 1 << 20)
        require_between("sink_deadline_s", sink_deadline_s, 0.001, 600)
        self._sink = sink
        self._capacity = capacity
        self._sink_deadline_s = sink_deadline_s
        self._waiting: deque[AuditRecord] = deque()
        # What was lost: by the sink, before all that waits; for want of room, after all that waits.
        self._lost_before = 0
        self._lost_behind = 0
        self._dropped = 0
        self._failing = False
        self._closing = False
        self._changed = asyncio.Event()
        self._context: IngestContext | None = None
        self._peers: dict[StreamKey, str | None] = {}
        self._follower: EventFollower | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """Records that were lost, for want of room or because the sink failed."""
        return self._dropped

    def record(
        self, action: str, key: StreamKey | None = None, *, peer: str | None = None, reason: str | None = None
    ) -> None:
        """Record an action of now. Never blocks. Call it on the event loop.

        Args:
            action: 1 to 64 of `a-z 0-9 _ . -`, a letter first.
            key: on which stream.
            peer: who.
            reason: why; cut off after 512 characters.

        Raises:
            MisuseError: `action` is no such name.
        """
        require_name("an action", action)
        if action == AuditAction.RECORDS_DROPPED:
            raise MisuseError(f"{action!r} is recorded by the pipeline alone")
        self._put(AuditRecord(action, now_ms(), key, peer, reason and reason[:REASON_CHARS_MAX]))

    def _put(self, record: AuditRecord) -> None:
        if len(self._waiting) < self._capacity:
            self._waiting.append(record)
        else:
            self._lost_behind += 1
            self._dropped += 1
        self._changed.set()

    async def start(self, context: IngestContext) -> None:
        """Record what happens to streams from now on.

        Raises:
            MisuseError: it runs already.
        """
        if self._writing is not None:
            raise MisuseError("this pipeline is started already")
        self._closing = False
        self._context = context
        self._follower = EventFollower(context.events(), self._note)
        self._writing = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Write what is left, close the sink, and record no more of the engine."""
        if self._writing is None:
            return
        if self._follower is not None:
            await self._follower.close()
            self._follower = None
        self._closing = True
        self._changed.set()
        # A batch under way, and the rest.
        done, _ = await asyncio.wait({self._writing}, timeout=2 * self._sink_deadline_s)
        if not done:
            log.error("the audit sink does not return; what waits for it is lost")
            abandon(self._writing)
        self._writing = None
        self._context = None
        try:
            async with asyncio.timeout(self._sink_deadline_s):
                await self._sink.close()
        except Exception:
            log.exception("the audit sink could not be closed")

    def _note(self, event: StreamEvent) -> None:
        action = event.kind.value
        if action in NOT_RECORDED:
            return
        if action in NEW_PEER:
            self._peers[event.key] = self._peer_of(event)
            if len(self._peers) > PEERS_MAX:
                del self._peers[next(iter(self._peers))]
        # Of other actions the publisher is not the author.
        peer = self._peers.get(event.key) if action.startswith("publish_") else None
        if action == AuditAction.PUBLISH_ENDED:
            self._peers.pop(event.key, None)
        reason = event.reason and event.reason[:REASON_CHARS_MAX]
        self._put(AuditRecord(action, event.at_unix_ms, event.key, peer, reason))

    def _peer_of(self, event: StreamEvent) -> str | None:
        """Return who publishes; None when that publisher is gone already, whoever may have come after."""
        stream = None if self._context is None else self._context.get_stream(event.key)
        return stream.peer if stream is not None and stream.started_unix_ms <= event.at_unix_ms else None

    async def _write(self) -> None:
        while True:
            while (batch := self._take()) and await self._written(batch):
                pass
            if self._closing:
                self._lost_before += len(self._waiting)
                self._dropped += len(self._waiting)
                self._waiting.clear()
                return
            await self._changed.wait()
            self._changed.clear()

    def _take(self) -> list[AuditRecord]:
        """Return all that waits, with a record wherever some are missing."""
        batch = [*_gap(self._lost_before), *self._waiting, *_gap(self._lost_behind)]
        self._waiting.clear()
        return batch

    async def _written(self, batch: list[AuditRecord]) -> bool:
        told, self._lost_before, self._lost_behind = self._lost_before + self._lost_behind, 0, 0
        try:
            async with asyncio.timeout(self._sink_deadline_s):
                await self._sink.write(batch)
        except Exception as error:
            lost = sum(record.action != AuditAction.RECORDS_DROPPED for record in batch)
            self._lost_before = told + lost
            self._dropped += lost
            self._note_failure(str(error) or type(error).__name__)
            return False
        if self._failing:
            log.warning("the audit sink works again")
        self._failing = False
        return True

    def _note_failure(self, why: str) -> None:
        """Write the first failure to the log, and not the thousand that follow."""
        if not self._failing:
            log.error("the audit sink failed, records are lost: %s", why)
        self._failing = True


def _gap(lost: int) -> list[AuditRecord]:
    return [AuditRecord(AuditAction.RECORDS_DROPPED, now_ms(), reason=f"{lost} records are missing")] if lost else []
