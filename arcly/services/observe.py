"""Observers: told what happens to streams and, at intervals, how they are. Off the way of the frames.

observers = Observers(LoggingObserver(), MyObserver())
async with arcly.Engine(arcly.RtmpHandler(), observers):
    ...
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arcly._deadline import end, within
from arcly._limits import require_between
from arcly._native import StreamKey, Track
from arcly.contract import IngestContext, StreamHandle
from arcly.errors import MisuseError
from arcly.events import StreamEvent
from arcly.services._follow import EventFollower
from arcly.stream import StreamStats

log = logging.getLogger("arcly")

OBSERVERS_MAX = 64
"""Observers of one `Observers`: each event is queued once for each."""

STREAMS_A_TURN = 64
"""Streams that are read before other tasks have their turn: some 1 ms."""


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How a stream was at one moment. Unlike a `StreamHandle`, holding it holds no media."""

    key: StreamKey
    """Its name."""

    protocol: str
    """How it comes in: `rtmp`."""

    peer: str | None
    """The publisher's address; None inside this process."""

    started_unix_ms: int
    """When it began, in milliseconds of Unix time."""

    state: str
    """`publishing`, `idle` (waiting for its publisher to come back) or `ended`."""

    tracks: tuple[Track, ...]
    """The tracks; empty before the codecs are known."""

    stats: StreamStats
    """Counters and rates."""

    @classmethod
    def of(cls, stream: StreamHandle) -> StreamReport:
        """Return how `stream` is now."""
        return cls(
            key=stream.key,
            protocol=stream.protocol,
            peer=stream.peer,
            started_unix_ms=stream.started_unix_ms,
            # Registries of a host need not know that a stream can wait for its publisher.
            state=getattr(stream, "state", "ended" if stream.closed else "publishing"),
            tracks=tuple(stream.tracks),
            stats=stream.stats,
        )


class Observer:
    """What is told. Derive from it and override what you want to hear.

    Calls come one at a time on the event loop, in the order of what happened. One that raises, or takes longer than
    the deadline of its `Observers`, is the last.
    """

    async def on_event(self, event: StreamEvent) -> None:
        """Something has happened to a stream."""

    async def on_stats(self, streams: Sequence[StreamReport]) -> None:
        """Time for numbers: all streams that are being published, by key."""


class Observers:
    """Tells any number of observers, each in a task of its own, so that none delays another. An `InboundProtocol`.

    An observer that raises or overruns its deadline is logged, counted and detached; streams and the other observers
    do not notice.

    Args:
        *observers: who is told, 1 to 64.
        deadline_s: seconds that one call may take, default 1; 0.001 to 60. A call that blocks the event loop for so
            long is an overrun as well, when it ends.
        stats_interval_s: seconds between two `on_stats`, default 10; 0.1 to 3600, or None for never. Each time all
            streams are read, 64 before other tasks have their turn.
        capacity: calls that may wait for one observer, default 1024; 1 to 65 536. Then the oldest is dropped and
            counted.

    Raises:
        MisuseError: something is out of range.
    """

    name = "observers"

    def __init__(
        self,
        *observers: Observer,
        deadline_s: float = 1.0,
        stats_interval_s: float | None = 10.0,
        capacity: int = 1024,
    ) -> None:
        require_between("the number of observers", len(observers), 1, OBSERVERS_MAX)
        require_between("deadline_s", deadline_s, 0.001, 60)
        require_between("capacity", capacity, 1, 65_536)
        if stats_interval_s is not None:
            require_between("stats_interval_s", stats_interval_s, 0.1, 3600)
        self._seats = [_Seat(observer, deadline_s, capacity) for observer in observers]
        self._deadline_s = deadline_s
        self._stats_interval_s = stats_interval_s
        self._follower: EventFollower | None = None
        self._ticking: asyncio.Task[None] | None = None

    @property
    def detached(self) -> int:
        """Observers that are told no more, because they failed."""
        return sum(seat.detached for seat in self._seats)

    @property
    def dropped(self) -> int:
        """Calls that were never made, because an observer was too slow."""
        return sum(seat.dropped for seat in self._seats)

    async def start(self, context: IngestContext) -> None:
        """Begin to tell what happens from now on.

        Raises:
            MisuseError: it runs already.
        """
        if self._follower is not None:
            raise MisuseError("these observers are started already")
        for seat in self._seats:
            seat.open()
        self._follower = EventFollower(context.events(), self._tell)
        if self._stats_interval_s is not None:
            self._ticking = asyncio.create_task(self._tick(context, self._stats_interval_s))

    async def stop(self) -> None:
        """Tell what is left, for one deadline at most, and no more."""
        if self._follower is None:
            return
        if self._ticking is not None:
            await end(self._ticking)
            self._ticking = None
        await self._follower.close()
        self._follower = None
        await asyncio.gather(*(seat.close(self._deadline_s) for seat in self._seats))

    def _tell(self, event: StreamEvent) -> None:
        for seat in self._seats:
            seat.put(lambda observer: observer.on_event(event))

    async def _tick(self, context: IngestContext, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                self._tell_stats([report async for report in reports(context)])
            except Exception:
                log.exception("streams could not be read for observers")

    def _tell_stats(self, streams: Sequence[StreamReport]) -> None:
        for seat in self._seats:
            seat.put(lambda observer: observer.on_stats(streams))


async def reports(context: IngestContext) -> AsyncIterator[StreamReport]:
    """Yield how every stream is, and give way to other tasks now and then."""
    for number, stream in enumerate(context.list_streams(), 1):
        yield StreamReport.of(stream)
        if number % STREAMS_A_TURN == 0:
            await asyncio.sleep(0)


Call = Callable[[Observer], Coroutine[Any, Any, None]]
"""One call of a hook, still to be made."""


class _Seat:
    """One observer, and the calls that wait for it."""

    def __init__(self, observer: Observer, deadline_s: float, capacity: int) -> None:
        self._observer = observer
        self._deadline_s = deadline_s
        self._calls: deque[Call] = deque(maxlen=capacity)
        self._changed = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.detached = False
        self.dropped = 0

    def open(self) -> None:
        self._closing = False
        self._task = asyncio.create_task(self._serve())

    def put(self, call: Call) -> None:
        if self.detached:
            return
        self.dropped += len(self._calls) == self._calls.maxlen
        self._calls.append(call)
        self._changed.set()

    async def _serve(self) -> None:
        while not self.detached:
            while self._calls and not self.detached:
                await self._make(self._calls.popleft())
            if self._closing:
                return
            await self._changed.wait()
            self._changed.clear()

    async def _make(self, call: Call) -> None:
        try:
            await within(self._deadline_s, call(self._observer))
        except TimeoutError as error:
            self._detach(f"it {error}")
        except Exception:
            self._detach("it failed", exc_info=True)

    def _detach(self, why: str, *, exc_info: bool = False) -> None:
        self.detached = True
        self._calls.clear()
        log.error("%s observes no more: %s", type(self._observer).__name__, why, exc_info=exc_info)

    async def close(self, deadline_s: float) -> None:
        self._closing = True
        self._changed.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=deadline_s)
            self.dropped += len(self._calls)
            self._calls.clear()
            await end(self._task)
            self._task = None


class LoggingObserver(Observer):
    """Writes one log record per event, with its fields for machines in `extra`, as the dictionary `record.arcly`.

    With a `JsonLines` formatter each becomes one line of JSON:

        {"at": "2026-01-01T00:00:00.000Z", "level": "info", "message": "publish_ended live/cam",
         "event": "publish_ended", "app": "live", "stream": "cam", "at_unix_ms": 1767225600000, "reason": "…"}

    Args:
        logger: default the logger `arcly.events`. Its handlers run on the event loop: a slow disk or a full pipe
            holds the loop up, unless there is a `logging.handlers.QueueHandler` before.
        level: of each record, default `logging.INFO`.
        stats_streams_max: streams of which `on_stats` writes a record each, default 0: none; up to 1000.

    Raises:
        MisuseError: `stats_streams_max` is out of range.
    """

    def __init__(
        self, logger: logging.Logger | None = None, *, level: int = logging.INFO, stats_streams_max: int = 0
    ) -> None:
        require_between("stats_streams_max", stats_streams_max, 0, 1000)
        self._log = logger or logging.getLogger("arcly.events")
        self._level = level
        self._stats_streams_max = stats_streams_max

    async def on_event(self, event: StreamEvent) -> None:
        """Write it."""
        fields: dict[str, Any] = {"event": event.kind.value, **_names(event.key), "at_unix_ms": event.at_unix_ms}
        if event.reason is not None:
            fields["reason"] = event.reason
        if event.tracks:
            fields["tracks"] = [str(track) for track in event.tracks]
        self._write(f"{event.kind.value} {event.key}", fields)

    async def on_stats(self, streams: Sequence[StreamReport]) -> None:
        """Write a record for each of the first streams."""
        for report in streams[: self._stats_streams_max]:
            fields = {"event": "stats", **_names(report.key), "protocol": report.protocol, "peer": report.peer}
            self._write(f"stats {report.key}", fields | asdict(report.stats))

    def _write(self, message: str, fields: dict[str, Any]) -> None:
        self._log.log(self._level, "%s", message, extra={"arcly": fields})


def _names(key: StreamKey) -> dict[str, str]:
    return {"app": key.app, "stream": key.stream}


class JsonLines(logging.Formatter):
    """Formats every record as one line of JSON: `at`, `level`, `logger`, `message`, then the fields of `record.arcly`.

    ASCII only: no name and no message can break the line or colour a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "at": utc(round(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "arcly", None)
        if isinstance(fields, Mapping):
            line |= {name: value for name, value in fields.items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def utc(unix_ms: int) -> str:
    """Return a time as RFC 3339 has it: `2026-01-01T00:00:00.000Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_ms // 1000)) + f".{unix_ms % 1000:03d}Z"
