"""Streams of other nodes, mirrored here when somebody asks for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Iterator

from arcly._native import StreamKey
from arcly.contract import ClusterRelay, MediaFrame, MediaSource, PublishSession, Registry, StreamHandle
from arcly.drive import Stoppable, pump_into
from arcly.errors import AlreadyPublishingError, NotFoundError, StreamError
from arcly.events import StreamEventKind

log = logging.getLogger("arcly")

BEGUN = (StreamEventKind.PUBLISH_STARTED, StreamEventKind.PUBLISH_RESUMED)
"""A mirror that waits for its node (`AppSpec.reconnect_grace_s`) is gone on with by an encoder that comes here."""


BACKOFF_S = (0.5, 8.0)
"""Seconds before another node is tried again, and before it is at most; each wait is twice the one before. A mirror
that was fed for longer than the longest begins anew."""


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


async def announce_streams(relay: ClusterRelay, registry: Registry) -> None:
    """Tell the others of every stream that is published here and not a mirror, until it is cancelled."""
    events = registry.events()
    try:
        for stream in registry.list_streams():
            if stream.protocol != "cluster":
                await relay.announce(stream.key)
        async for event in events:
            found = registry.get_stream(event.key)
            if found is None:
                await relay.withdraw(event.key)
            elif event.kind in BEGUN and found.protocol != "cluster":
                await relay.announce(event.key)
    finally:
        await events.aclose()
