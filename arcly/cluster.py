"""Streams of other nodes, mirrored here when somebody asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterable, Iterator

from arcly._deadline import within
from arcly._native import StreamKey
from arcly.contract import ClusterRelay, MediaFrame, MediaSource, PublishSession, Registry, StreamHandle
from arcly.drive import Stoppable, pump_into
from arcly.errors import AlreadyPublishingError, NotFoundError, StreamError
from arcly.events import StreamEvent, StreamEventKind, after_losses

log = logging.getLogger("arcly")

BEGUN = (StreamEventKind.PUBLISH_STARTED, StreamEventKind.PUBLISH_RESUMED)
"""A mirror that waits for its node (`AppSpec.reconnect_grace_s`) is gone on with by an encoder that comes here."""


BACKOFF_S = (0.5, 8.0)
"""Seconds before another node is tried again, and before it is at most; each wait is twice the one before. A mirror
that was fed for longer than the longest begins anew."""

CALLS_AT_ONCE = 16
"""Streams that the other nodes are told of at a time."""

CALL_DEADLINE_S = 10.0
"""Seconds after which a relay that does not answer has not told them."""

WITHDRAWALS_MAX = 20
"""Times that an end is told before it is let be, some two minutes: whoever asks for the stream then finds none."""


def backoff() -> Iterator[float]:
    """Return what to wait before each try after the first one."""
    wait_s, most_s = BACKOFF_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, most_s)


class InProcessCluster:
    """Nodes of one process: who publishes what. Give each node `relay(name, registry)`."""

    def __init__(self) -> None:
        self.registries: dict[str, Registry] = {}
        self.homes: dict[StreamKey, list[str]] = {}
        """Where each stream is published, the newest last: an encoder changes nodes before its old one knows."""

    def relay(self, node: str, registry: Registry) -> InProcessRelay:
        """Return the `ClusterRelay` of a node that is called `node` and has its streams in `registry`."""
        self.registries[node] = registry
        return InProcessRelay(self, node)


class InProcessRelay:
    """A `ClusterRelay` between the nodes of an `InProcessCluster`. It shows what one over a network must do."""

    def __init__(self, cluster: InProcessCluster, node: str) -> None:
        self._cluster = cluster
        self._node = node

    async def announce(self, key: StreamKey) -> None:
        """Tell the others that `key` is published here."""
        await self.withdraw(key)
        self._cluster.homes.setdefault(key, []).append(self._node)

    async def withdraw(self, key: StreamKey) -> None:
        """Tell the others that it no longer is. What another node has announced stays."""
        others = [node for node in self._cluster.homes.pop(key, []) if node != self._node]
        if others:
            self._cluster.homes[key] = others

    async def locate(self, key: StreamKey) -> str | None:
        """Return the name of the node where `key` was published last."""
        homes = self._cluster.homes.get(key)
        return homes[-1] if homes else None

    async def pull(self, key: StreamKey, node: str) -> StreamSource:
        """Return the frames of `key` from `node`. A mirror is handed on to nobody: nodes that mirror each other's
        mirrors, or a node its own, would send a stream that has ended in circles.
        """
        registry = self._cluster.registries.get(node)
        stream = registry.get_stream(key) if registry is not None else None
        if stream is None or stream.protocol == "cluster":
            raise NotFoundError(f"{key} is not published on {node}")
        return StreamSource(stream)


class StreamSource:
    """A `MediaSource` of the frames of a stream."""

    def __init__(self, stream: StreamHandle) -> None:
        self._frames = stream.subscribe()

    def frames(self) -> AsyncIterable[MediaFrame]:
        """Return the frames."""
        return self._frames


class Mirrors:
    """The streams of other nodes that are published here as long as they are published there. Under
    `AppSpec.reconnect_grace_s` a mirror waits for its stream, which is looked for again and again meanwhile.

    Args:
        relay: finds and brings them.
        registry: where they are published here.
    """

    def __init__(self, relay: ClusterRelay, registry: Registry) -> None:
        self._relay = relay
        self._registry = registry
        self._opening: dict[StreamKey, asyncio.Task[StreamHandle | None]] = {}
        self._pumping: dict[StreamKey, asyncio.Task[None]] = {}

    async def get_stream(self, key: StreamKey) -> StreamHandle | None:
        """Return the stream `key`, from here or mirrored from the node that has it; None when no node has it, also
        where a mirror waits for it. Callers who come at once share one mirror.
        """
        stream = self._registry.get_stream(key)
        if stream is None or waits_for_its_node(stream):
            return await self._bring(key, backoff())
        return stream

    async def _bring(self, key: StreamKey, waits_s: Iterator[float]) -> StreamHandle | None:
        opening = self._opening.get(key)
        if opening is None:
            opening = self._opening[key] = asyncio.create_task(self._open(key, waits_s))
            opening.add_done_callback(lambda _: self._opening.pop(key, None))
        # One who is cancelled does not cancel the others.
        return await asyncio.shield(opening)

    async def _open(self, key: StreamKey, waits_s: Iterator[float]) -> StreamHandle | None:
        node = await self._relay.locate(key)
        if node is None:
            return None
        try:
            source = await self._relay.pull(key, node)
        except NotFoundError:
            return None
        # A second publisher may take over, and who has begun here meanwhile is the first.
        if (stream := self._registry.get_stream(key)) is not None and not waits_for_its_node(stream):
            await let_go(source)
            return stream
        try:
            session = await self._registry.start_publish(key, protocol="cluster")
        except BaseException as error:
            await let_go(source)
            if not isinstance(error, AlreadyPublishingError):
                raise
            # Somebody publishes it on this node now.
            return self._registry.get_stream(key)
        self._begin(session, node, source, waits_s)
        return self._registry.get_stream(key)

    def _begin(self, session: PublishSession, node: str, source: MediaSource, waits_s: Iterator[float]) -> None:
        key = session.key
        before = self._pumping.get(key)
        if before is not None:
            before.cancel()  # It looks for the stream that is found now, or reads for a mirror that is no more.
        pump = self._pumping[key] = asyncio.create_task(self._pump(session, node, source, waits_s))
        pump.add_done_callback(lambda _: self._forget(key, pump))

    def _forget(self, key: StreamKey, pump: asyncio.Task[None]) -> None:
        if self._pumping.get(key) is pump:
            del self._pumping[key]

    async def _pump(self, session: PublishSession, node: str, source: MediaSource, waits_s: Iterator[float]) -> None:
        since_s = time.monotonic()
        try:
            await pump_into(session, source)
        except StreamError as error:
            log.warning("the mirror of %s from %s has ended: %s", session.key, node, error)
        except Exception:
            log.warning("the mirror of %s from %s has failed", session.key, node, exc_info=True)
        is_new = time.monotonic() - since_s > max(BACKOFF_S)
        await self._look_again(session.key, backoff() if is_new else waits_s)

    async def _look_again(self, key: StreamKey, waits_s: Iterator[float]) -> None:
        """Bring the stream to those who watch a mirror that waits. The pump that feeds it then ends this one."""
        while self._is_waiting(key):
            await asyncio.sleep(next(waits_s))
            if self._is_waiting(key):
                try:
                    await self._bring(key, waits_s)
                except Exception as error:
                    log.warning("%s could not be mirrored again: %s", key, error)

    def _is_waiting(self, key: StreamKey) -> bool:
        stream = self._registry.get_stream(key)
        return stream is not None and waits_for_its_node(stream)

    async def close(self) -> None:
        """End all mirrors."""
        for task in [*self._opening.values(), *self._pumping.values()]:
            task.cancel()
        await asyncio.gather(*self._opening.values(), *self._pumping.values(), return_exceptions=True)


def waits_for_its_node(stream: StreamHandle) -> bool:
    """Return whether it is a mirror that nobody feeds, for whoever comes (`AppSpec.reconnect_grace_s`)."""
    # A registry of a host need not say so.
    return stream.protocol == "cluster" and getattr(stream, "state", None) == "idle"


async def let_go(source: MediaSource) -> None:
    """Close a source that nobody will read."""
    async with Stoppable(source.frames(), None):
        pass


Publish = tuple[int, str, str | None]
"""Which publish of a key it is: the stream, and who goes on with it."""


class Announcer:
    """Tells the other nodes of the streams that are published here and not mirrors. What a relay does not take is told
    again, for as long as it is true; an end, 20 times.
    """

    def __init__(self, relay: ClusterRelay, registry: Registry) -> None:
        self._relay = relay
        self._registry = registry
        self._told: dict[StreamKey, Publish | None] = {}
        """What the others know; None where they may know something, and have to be told."""
        self._telling: dict[StreamKey, asyncio.Task[None]] = {}
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)

    def on_event(self, event: StreamEvent) -> None:
        """Tell of a stream that has begun, is gone on with or has ended."""
        if event.kind in BEGUN and event.key in self._told:
            self._told[event.key] = None  # Again: meanwhile it may have been on another node.
        if event.kind in BEGUN or event.kind is StreamEventKind.PUBLISH_ENDED:
            self._look(event.key)

    def look_at_all(self) -> None:
        """Tell whatever the others do not know."""
        here = [stream.key for stream in self._registry.list_streams()]
        for key in dict.fromkeys([*here, *self._told, *self._telling]):
            self._look(key)

    def _look(self, key: StreamKey) -> None:
        try:
            is_due = self._is_due(key)
        except Exception:
            is_due = True  # By a registry of the host that fails, which is asked again.
        if is_due:
            if key not in self._telling:
                self._telling[key] = asyncio.create_task(self._tell(key))
        elif key not in self._told and (telling := self._telling.pop(key, None)) is not None:
            telling.cancel()  # It came and went before its turn: what waits is bounded by what is live.

    def _is_due(self, key: StreamKey) -> bool:
        publish = self._published(key)
        return key in self._told if publish is None else self._told.get(key) != publish

    def _published(self, key: StreamKey) -> Publish | None:
        stream = self._registry.get_stream(key)
        if stream is None or stream.protocol == "cluster":
            return None
        return stream.session, stream.protocol, stream.peer

    async def _tell(self, key: StreamKey) -> None:
        ends, level = 0, logging.WARNING
        try:
            for wait_s in backoff():
                try:
                    while self._is_due(key):
                        async with self._calls:
                            publish = self._published(key)
                            ends = ends + 1 if publish is None else 0
                            await self._say(key, publish)
                    return
                except Exception as error:
                    log.log(level, "the other nodes could not be told of %s: %r", key, error)
                if ends == WITHDRAWALS_MAX:
                    self._told.pop(key, None)
                    return
                # They may have heard it all the same.
                self._told[key], level = None, logging.DEBUG
                await asyncio.sleep(wait_s)
        finally:
            if self._telling.get(key) is asyncio.current_task():
                del self._telling[key]

    async def _say(self, key: StreamKey, publish: Publish | None) -> None:
        if publish is None:
            await within(CALL_DEADLINE_S, self._relay.withdraw(key))
            self._told.pop(key, None)
        else:
            self._told[key] = publish
            await within(CALL_DEADLINE_S, self._relay.announce(key))

    async def close(self) -> None:
        """Tell nothing more."""
        telling = list(self._telling.values())
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)


async def announce_streams(relay: ClusterRelay, registry: Registry) -> None:
    """Tell the others of every stream that is published here and not a mirror, until it is cancelled. What the relay
    raises is logged, and it is told again.
    """
    async with contextlib.aclosing(registry.events()) as events:
        announcer = Announcer(relay, registry)
        catching_up = asyncio.create_task(after_losses(events, announcer.look_at_all))
        try:
            announcer.look_at_all()
            async for event in events:
                announcer.on_event(event)
        finally:
            catching_up.cancel()
            await announcer.close()
