"""The engine: which streams there are, and everything that brings them in and out while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from types import TracebackType

from arcly._journal import Journal
from arcly._loop import Signal
from arcly._native import Engine as NativeEngine
from arcly._native import PublishSession, StreamKey
from arcly.contract import Credentials, InboundProtocol, StreamAuthenticator
from arcly.errors import MisuseError, UnauthorizedError
from arcly.events import EventReader, StreamEvent
from arcly.stream import StreamHandle

log = logging.getLogger("arcly")


class Engine:
    """A live-media engine inside your own asyncio program.

        async with arcly.Engine(arcly.RtmpHandler(":1935"), arcly.HttpOrigin(":8888")) as engine:
            await asyncio.Event().wait()

    It implements `PublishRegistry`, `PlaybackRegistry`, `EventBus` and `IngestContext`. There is no singleton: any
    number may live in a process. Between two requests for a decision no Python runs: media moves in native threads.

    Args:
        *protocols: what listens while the engine runs, started in this order and stopped in reverse.
        authenticator: asked before every publish; without one everybody may.
        auth_deadline_s: seconds that the authenticator may take, default 5; then it has refused.
        max_publishers: streams published at once, default 10 000.
        ring_frames: frames that each stream keeps for late joiners and slow readers, default 1024 (13 s of 30
            pictures and 47 sounds a second). Costs that many payloads of memory per stream.
        ring_bytes: payload bytes that each stream keeps at most, default 32 MiB (10 s at 25 Mbit/s).
        workers: native threads, default 0: one per core.
    """

    def __init__(
        self,
        *protocols: InboundProtocol,
        authenticator: StreamAuthenticator | None = None,
        auth_deadline_s: float = 5.0,
        max_publishers: int = 10_000,
        ring_frames: int = 1024,
        ring_bytes: int = 32 << 20,
        workers: int = 0,
    ) -> None:
        self.native = NativeEngine(
            max_publishers=max_publishers, ring_frames=ring_frames, ring_bytes=ring_bytes, workers=workers
        )
        self._protocols = protocols
        self._started: list[InboundProtocol] = []
        self._authenticator = authenticator
        self._auth_deadline_s = auth_deadline_s
        self._journal: Journal | None = None
        self._used = False

    async def __aenter__(self) -> Engine:
        """Start the native threads, then every protocol."""
        if self._used:
            raise MisuseError("an engine runs once: make a new one")
        self._used = True
        self.native.start()
        self._journal = Journal(self.native)
        try:
            for protocol in self._protocols:
                # Before, so that one which fails half-way is stopped too.
                self._started.append(protocol)
                await protocol.start(self)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def stop(self) -> None:
        """Refuse new publishers, end all streams, stop every protocol and the native threads. Idempotent."""
        self.native.shutdown()
        while self._started:
            protocol = self._started.pop()
            try:
                await protocol.stop()
            except Exception:
                log.exception("%s did not stop in order", protocol.name)
        # Off the loop: it waits for native tasks.
        await asyncio.to_thread(self.native.stop)
        if self._journal is not None:
            await self._journal.close()
            self._journal = None

    async def start_publish(
        self, key: StreamKey, *, protocol: str = "python", peer: str | None = None
    ) -> PublishSession:
        """Take `key` for a publisher of your own; see `PublishSession`. Asks no authenticator.

        Raises:
            AlreadyPublishingError: somebody publishes there.
            LimitExceededError: `max_publishers` are publishing.
            ClosedError: the engine is shutting down.
        """
        return self.native.start_publish(key, protocol, peer)

    async def open_publish(self, key: StreamKey, credentials: Credentials, *, protocol: str) -> PublishSession:
        """Ask the authenticator, then take `key`. What handlers call.

        Raises:
            UnauthorizedError: the authenticator refused, failed or took longer than `auth_deadline_s`.
            AlreadyPublishingError, LimitExceededError, ClosedError: as `start_publish`.
        """
        if self._authenticator is not None and not await self._allowed(self._authenticator, key, credentials):
            raise UnauthorizedError(f"may not publish to {key}")
        return await self.start_publish(key, protocol=protocol, peer=credentials.peer)

    async def _allowed(self, authenticator: StreamAuthenticator, key: StreamKey, credentials: Credentials) -> bool:
        """Fail closed: an authenticator that raises or hangs has refused."""
        try:
            async with asyncio.timeout(self._auth_deadline_s):
                return await authenticator.authorize_publish(key, credentials)
        except TimeoutError:
            log.error("the authenticator took longer than %g s: %s is refused", self._auth_deadline_s, key)
        except Exception:
            log.exception("the authenticator failed: %s is refused", key)
        return False

    def get_stream(self, key: StreamKey) -> StreamHandle | None:
        """Return the stream with that key, or None when nobody publishes it."""
        native = self.native.get_stream(key)
        return None if native is None else StreamHandle(native)

    def list_streams(self) -> list[StreamHandle]:
        """Return all streams that are being published, by key."""
        return [StreamHandle(native) for native in self.native.list_streams()]

    def events(self) -> AsyncIterator[StreamEvent]:
        """Return the events from now on; the iteration ends only when you leave it.

        A listener that leaves more than 1024 unread loses the oldest.
        """
        signal = Signal()
        return _iterate(EventReader(self.native.subscribe_events(signal.token)), signal)


async def _iterate(events: EventReader, signal: Signal) -> AsyncIterator[StreamEvent]:
    try:
        while True:
            while (event := events.pop()) is not None:
                yield event
            await signal.wait()
    finally:
        signal.close()
