"""The engine: which streams there are, and everything that brings them in and out while it runs."""

from __future__ import annotations

import asyncio
import logging
import signal
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from arcly._deadline import keep, within
from arcly._journal import Journal
from arcly._loop import Signal
from arcly._native import Engine as NativeEngine
from arcly._native import PublishSession, StreamKey
from arcly._offers import Offers
from arcly._signals import STOP_SIGNALS, heard, wait_any
from arcly.app import AppSpec
from arcly.contract import Credentials, Drainable, InboundProtocol, Registry, StreamAuthenticator
from arcly.errors import ClosedError, MalformedError, MisuseError, UnauthorizedError
from arcly.events import EventReader, StreamEvent, StreamEventKind
from arcly.stream import StreamHandle

log = logging.getLogger("arcly")

DEFAULT_APP = AppSpec()

WORKERS_MAX = 1024
"""More native threads than any machine has use for."""

Authorize = Callable[[StreamKey, Credentials], Awaitable[bool]]


class Engine:
    """A live-media engine inside your own asyncio program.

        async with arcly.Engine(arcly.RtmpHandler(":1935"), arcly.HttpOrigin(":8888")) as engine:
            await asyncio.Event().wait()

    It implements `PublishRegistry`, `PlaybackRegistry`, `EventBus` and `IngestContext`. There is no singleton: any
    number may live in a process. Between two requests for a decision no Python runs: media moves in native threads.

    Args:
        *protocols: what listens while the engine runs, started in this order and stopped in reverse.
        authenticator: asked before every publish and play; without one everybody may.
        auth_deadline_s: seconds that the authenticator may take, default 5; then it has refused.
        registry: where streams live, if not in this engine: an object of yours with the contracts `PublishRegistry`,
            `PlaybackRegistry` and `EventBus`. Every protocol and packager works with it; frames then pass Python.
            `start_publish`, `get_stream`, `list_streams` and `events` are those of the registry, `apps`, `default_app`
            and `max_publishers` hold for no stream of its.
        apps: how the streams of each application behave, by its name.
        default_app: how the streams of all other applications behave; default `AppSpec()`, None refuses them.
        max_publishers: streams published at once, default 10 000.
        workers: native threads, default 0: one per core; up to 1024.
        stop_deadline_s: seconds that each protocol may take to stop, default 10.

    Raises:
        MisuseError: a number is out of range.
        MalformedError: an application has a name that none may have.
    """

    def __init__(
        self,
        *protocols: InboundProtocol,
        authenticator: StreamAuthenticator | None = None,
        auth_deadline_s: float = 5.0,
        registry: Registry | None = None,
        apps: Mapping[str, AppSpec] | None = None,
        default_app: AppSpec | None = DEFAULT_APP,
        max_publishers: int = 10_000,
        workers: int = 0,
        stop_deadline_s: float = 10.0,
    ) -> None:
        if not 0 <= max_publishers < 1 << 32 or not 0 <= workers <= WORKERS_MAX:
            raise MisuseError(f"max_publishers is 0 to 2^32 - 1 and workers 0 to {WORKERS_MAX}")
        self.native = NativeEngine(
            max_publishers=max_publishers,
            default_app=None if default_app is None else default_app.native(),
            workers=workers,
        )
        self._apps: dict[str, AppSpec] = {}
        for name, spec in (apps or {}).items():
            self.put_app(name, spec)
        self._protocols = list(protocols)
        # Its sessions and streams have what the contracts say; the types told below are those of the engine's own.
        self._registry: Any = registry
        self._started: list[InboundProtocol] = []
        self._authenticator = authenticator
        self._auth_deadline_s = auth_deadline_s
        self._stop_deadline_s = stop_deadline_s
        self._journal: Journal | None = None
        self._stopping: asyncio.Task[None] | None = None
        self.offers = Offers()
        self._used = False
        self._draining = False
        self._running = False

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
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    @property
    def protocols(self) -> tuple[InboundProtocol, ...]:
        """What starts with it, in that order."""
        return tuple(self._protocols)

    def attach(self, protocol: InboundProtocol) -> None:
        """Add a protocol to those that start with this engine, behind them.

        Raises:
            MisuseError: it runs already, or has run.
        """
        if self._used:
            raise MisuseError("an engine takes no more protocols once it has been started")
        self._protocols.append(protocol)

    async def serve(
        self,
        until: asyncio.Event | None = None,
        *,
        drain_s: float = 0.0,
        signals: Sequence[signal.Signals] = STOP_SIGNALS,
    ) -> None:
        """Run until a signal comes or `until` is set: all that a program needs which is nothing but a server. See
        `until_signal`.
        """
        async with self:
            await self.until_signal(until, drain_s=drain_s, signals=signals)

    async def until_signal(
        self,
        until: asyncio.Event | None = None,
        *,
        drain_s: float = 0.0,
        signals: Sequence[signal.Signals] = STOP_SIGNALS,
    ) -> None:
        """Wait for a signal or for `until`, then `drain`. A second signal cuts the draining short.

        Args:
            until: set it to end the waiting.
            drain_s: seconds that publishers may go on after the signal, default 0.
            signals: which; default SIGINT and SIGTERM. All engines that wait for one hear it, and so does a handler
                that the host has given to its loop. Only the main thread can hear them; elsewhere there is `until`.
        """
        with heard(signals) as first:
            await wait_any(first, until)
            log.info("stopping")
            with heard(signals) as second:
                if not await self.drain(drain_s, second):
                    left = ", ".join(str(stream.key) for stream in self.list_streams())
                    log.info("ending what is still being published: %s", left)

    async def drain(self, deadline_s: float, cut: asyncio.Event | None = None) -> bool:
        """Refuse new publishers, tell the protocols that are `Drainable`, and wait until the publishers that there are
        have ended by themselves; False when `deadline_s` seconds came first, or `cut` was set.
        """
        self._draining = True
        self.native.drain()
        events = self.events()
        waiting = asyncio.create_task(self._drained(events))
        try:
            async with asyncio.timeout(deadline_s):
                await wait_any(waiting, cut)
        except TimeoutError:
            pass
        finally:
            waiting.cancel()
            # A registry's events may be a generator, which cannot be closed while somebody waits for the next.
            await asyncio.wait({waiting})
            await events.aclose()
        return not self.list_streams()

    async def _drained(self, events: EventStream) -> None:
        for protocol in list(self._started):
            if isinstance(protocol, Drainable):
                await self._drain_one(protocol.name, protocol)
        while self.list_streams():
            await anext(events)

    async def _drain_one(self, name: str, protocol: Drainable) -> None:
        try:
            await within(self._stop_deadline_s, protocol.drain())
        except Exception:
            log.exception("%s could not be drained", name)

    async def stop(self) -> None:
        """Refuse new publishers, end all streams, stop every protocol and the native threads. Idempotent.

        A protocol that takes longer than `stop_deadline_s` is left behind. All goes on to its end where whoever waits
        for it is cancelled.
        """
        self._running = False
        self.native.shutdown()
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.create_task(self._stop())
            keep(self._stopping)
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        while self._started:
            await self._stop_one(self._started.pop())
        try:
            # Off the loop: it waits for native tasks.
            await asyncio.to_thread(self.native.stop)
        finally:
            if self._journal is not None:
                journal, self._journal = self._journal, None
                await journal.close()

    async def _stop_one(self, protocol: InboundProtocol) -> None:
        try:
            await within(self._stop_deadline_s, protocol.stop())
        except TimeoutError as error:
            log.error("%s did not stop: it %s", protocol.name, error)
        except asyncio.CancelledError:
            # The end of the program cancels all tasks, and waits for them. The others shall stop all the same.
            log.error("%s did not stop: it was cancelled", protocol.name)
        except Exception:
            log.exception("%s did not stop in order", protocol.name)

    @property
    def running(self) -> bool:
        """Whether everything listens: from the beginning of `async with` to its end."""
        return self._running

    @property
    def draining(self) -> bool:
        """Whether new publishers are refused because the engine is about to stop."""
        return self._draining

    def put_app(self, name: str, spec: AppSpec) -> None:
        """Name an application, or change how a named one behaves.

        Streams that are being published keep what they have.

        Raises:
            MalformedError: no stream could be in an application of that name.
        """
        StreamKey(name, "any")
        self.native.put_app(name, spec.native())
        self._apps[name] = spec

    @property
    def apps(self) -> Mapping[str, AppSpec]:
        """The applications that are named now, and how the streams of each behave."""
        return dict(self._apps)

    def remove_app(self, name: str) -> bool:
        """Forget an application and end its streams; False when it was not named.

        `default_app` holds for it from then on.
        """
        self._apps.pop(name, None)
        return self.native.remove_app(name)

    def end_stream(self, stream: StreamHandle, reason: str = "ended by the application") -> bool:
        """End a stream and disconnect its publisher; False when it has ended already.

        Never ends a later stream of the same key.

        Raises:
            MisuseError: it lives in the `registry`, which ends its streams itself.
        """
        if not isinstance(stream, StreamHandle):
            raise MisuseError("the stream lives in a registry of the host, which ends it")
        return self.native.end(stream.native, reason)

    async def start_publish(
        self, key: StreamKey, *, protocol: str = "python", peer: str | None = None, agent: str | None = None
    ) -> PublishSession:
        """Take `key` for a publisher of your own; see `PublishSession`. Asks no authenticator.

        Args:
            key: what is published.
            protocol: how it comes, for whoever looks at the stream.
            peer: the publisher's address, if it has one.
            agent: what it calls itself. A `registry` is not told.

        Raises:
            NotFoundError: there is no such application.
            AlreadyPublishingError: somebody publishes there.
            LimitExceededError: `max_publishers` are publishing.
            ClosedError: the engine is shutting down.
        """
        if self._registry is None:
            return self.native.start_publish(key, protocol, peer, agent)
        if self._draining:
            raise ClosedError("the engine is shutting down")
        session: PublishSession = await self._registry.start_publish(key, protocol=protocol, peer=peer)
        return session

    async def open_publish(self, key: StreamKey, credentials: Credentials, *, protocol: str) -> PublishSession:
        """Ask the authenticator, then take `key`. What handlers call.

        Raises:
            UnauthorizedError: the authenticator refused, failed or took longer than `auth_deadline_s`.
            NotFoundError, AlreadyPublishingError, LimitExceededError, ClosedError: as `start_publish`.
        """
        await self.authorize_publish(key, credentials)
        peer, agent = credentials.peer, credentials.agent or None
        return await self.start_publish(key, protocol=protocol, peer=peer, agent=agent)

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> None:
        """Ask the authenticator, if there is one.

        Raises:
            UnauthorizedError: it refused, failed or took longer than `auth_deadline_s`.
            MalformedError: it says that no stream may be called so.
        """
        if self._authenticator is not None and not await self._allowed(
            self._authenticator.authorize_publish, key, credentials
        ):
            raise UnauthorizedError(f"may not publish to {key}")

    async def _allowed(self, authorize: Authorize, key: StreamKey, credentials: Credentials) -> bool:
        """Fail closed: an authenticator that raises or hangs has refused. Of a wrong name it tells the peer."""
        try:
            # Not `asyncio.timeout`: what swallows its cancellation would be waited for, and believed afterwards.
            return await within(self._auth_deadline_s, _asked(authorize, key, credentials))
        except MalformedError:
            raise
        except TimeoutError:
            log.error("the authenticator took longer than %g s: %s is refused", self._auth_deadline_s, key)
        except Exception:
            log.exception("the authenticator failed: %s is refused", key)
        return False

    @property
    def has_authenticator(self) -> bool:
        """Whether there is somebody to ask; otherwise everybody may publish and play."""
        return self._authenticator is not None

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> None:
        """Ask the authenticator, if there is one, whether the peer may play `key`.

        Raises:
            UnauthorizedError: it refused, failed or took longer than `auth_deadline_s`.
            MalformedError: it says that no stream may be called so.
        """
        if self._authenticator is not None and not await self._allowed(
            self._authenticator.authorize_play, key, credentials
        ):
            raise UnauthorizedError(f"may not play {key}")

    def emit(self, kind: StreamEventKind, key: StreamKey, reason: str = "") -> None:
        """Tell all listeners of something that you have done to a stream: `RECORDING_STARTED`, `RECORDING_ENDED`,
        `TRANSCODING_STARTED`, `TRANSCODING_ENDED` or `FAILED`. A `registry` is told if it has an `emit`.

        Raises:
            MisuseError: another kind, of which only the engine tells.
        """
        if self._registry is None:
            self.native.emit(key, kind.value, reason)
        elif (emit := getattr(self._registry, "emit", None)) is not None:
            emit(kind, key, reason)

    def get_stream(self, key: StreamKey) -> StreamHandle | None:
        """Return the stream with that key, or None when nobody publishes it."""
        if self._registry is not None:
            hosted: StreamHandle | None = self._registry.get_stream(key)
            return hosted
        native = self.native.get_stream(key)
        return None if native is None else StreamHandle(native)

    def list_streams(self) -> list[StreamHandle]:
        """Return all streams that are being published, by key."""
        if self._registry is not None:
            return list(self._registry.list_streams())
        return [StreamHandle(native) for native in self.native.list_streams()]

    def events(self) -> EventStream:
        """Return the events from now on."""
        if self._registry is not None:
            hosted: EventStream = self._registry.events()
            return hosted
        return EventStream(self.native)


async def _asked(authorize: Authorize, key: StreamKey, credentials: Credentials) -> bool:
    """Ask in a coroutine of ours: what the host wrote need not be one."""
    return await authorize(key, credentials)


class EventStream:
    """The events of an engine from a moment on, oldest first: `async for event in engine.events()`.

    It never ends by itself; leave it with `aclose()` when you no longer read it. One that is only dropped costs nothing
    more either, from when Python has collected it.
    """

    def __init__(self, native: NativeEngine) -> None:
        self._signal = Signal()
        self._reader = EventReader(native.subscribe_events(self._signal.token))
        # The loop holds the signal, for ever if nobody closes it.
        self._forget = weakref.finalize(self, self._signal.forget)
        self._forget.atexit = False
        self._closed = False

    @property
    def dropped(self) -> int:
        """Events lost: of more than 1024 unread ones of publishers, or of readers, the oldest go."""
        return self._reader.dropped

    def __aiter__(self) -> EventStream:
        """Iterate."""
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        while not self._closed:
            event = self._reader.pop()
            if event is not None:
                return event
            await self._signal.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop listening; a waiting iteration ends. Idempotent."""
        if not self._closed:
            self._closed = True
            self._forget.detach()
            self._signal.close()
