"""One line in the log for each publish and each end."""

from __future__ import annotations

import asyncio
import logging
import time

from arcly._deadline import end
from arcly._loop import Signal
from arcly._native import Engine as NativeEngine
from arcly._native import StreamKey
from arcly.events import EventReader, StreamEvent, StreamEventKind
from arcly.stream import describe

log = logging.getLogger("arcly")


class Journal:
    """Writes what happens to the streams of an engine, until it is closed."""

    def __init__(self, native: NativeEngine) -> None:
        self._native = native
        self._signal = Signal()
        self._events = EventReader(native.subscribe_events(self._signal.token))
        self._started_s: dict[StreamKey, float] = {}
        self._announced: set[StreamKey] = set()
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while True:
            self.flush()
            await self._signal.wait()

    def flush(self) -> None:
        """Write what has happened by now."""
        while (event := self._events.pop()) is not None:
            self._note(event)

    def _note(self, event: StreamEvent) -> None:
        match event.kind:
            case StreamEventKind.PUBLISH_STARTED:
                self._started_s[event.key] = time.monotonic()
            case StreamEventKind.TRACKS_CHANGED:
                again = event.key in self._announced
                self._announced.add(event.key)
                verb = "has changed" if again else "is publishing to"
                log.info("%s %s %s, %s", self._who(event.key), verb, event.key, describe(event.tracks))
            case StreamEventKind.PUBLISH_INTERRUPTED:
                log.info("%s waits for its publisher: %s", event.key, event.reason)
            case StreamEventKind.PUBLISH_RESUMED:
                log.info("%s has come back to %s", self._who(event.key), event.key)
            case StreamEventKind.SUBSCRIBER_EVICTED:
                log.warning("a reader of %s was evicted: it has missed %s", event.key, event.reason)
            case StreamEventKind.GOP_TRUNCATED:
                log.warning("a GOP of %s is larger than what the stream may keep: new viewers wait", event.key)
            case StreamEventKind.PUBLISH_ENDED:
                self._announced.discard(event.key)
                lasted_s = time.monotonic() - self._started_s.pop(event.key, time.monotonic())
                log.info("%s ended after %.1f s: %s", event.key, lasted_s, event.reason)

    def _who(self, key: StreamKey) -> str:
        stream = self._native.get_stream(key)
        return f"[{stream.protocol}] {stream.peer or 'this process'}" if stream else "a publisher"

    async def close(self) -> None:
        """Write the rest, and no more."""
        await end(self._task)
        self.flush()
        self._signal.close()
