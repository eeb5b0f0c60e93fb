"""Streams of other nodes: two engines and a registry in plain Python as nodes of one process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import pytest
from conftest import eventually
from failing_registry import FailingRegistry

import arcly
from arcly import cluster
from arcly.cluster import Announcer, InProcessCluster, Mirrors, announce_streams
from arcly.contract import Registry
from arcly.testing import MemoryRegistry

KEY = arcly.StreamKey("live", "cam")
AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))


class Node:
    def __init__(self, all_nodes: InProcessCluster, name: str, registry: Registry) -> None:
        self.registry = registry
        self.relay = all_nodes.relay(name, registry)
        self.mirrors = Mirrors(self.relay, registry)
        self.announcing = asyncio.create_task(announce_streams(self.relay, registry))

    async def close(self) -> None:
        self.announcing.cancel()
        with suppress(asyncio.CancelledError):
            await self.announcing
        await self.mirrors.close()


@asynccontextmanager
async def nodes(home: Registry, edge: Registry) -> AsyncIterator[tuple[Node, Node]]:
    all_nodes = InProcessCluster()
    both = Node(all_nodes, "home", home), Node(all_nodes, "edge", edge)
    try:
        yield both
    finally:
        for node in both:
            await node.close()


@pytest.fixture(params=["engine", "python"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Node, Node]]:
    async with arcly.Engine() as edge, arcly.Engine() as engine:
        home = engine if request.param == "engine" else MemoryRegistry()
        async with nodes(home, edge) as both:
            yield both


async def publish(node: Node) -> arcly.contract.PublishSession:
    session = await node.registry.start_publish(KEY, protocol="test")
    session.set_tracks([AUDIO])
    return session


async def test_a_stream_of_another_node_is_mirrored_while_it_lasts(pair: tuple[Node, Node]) -> None:
    home, edge = pair
    assert await edge.mirrors.get_stream(KEY) is None
    session = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    stream = await edge.mirrors.get_stream(KEY)
    assert stream
    assert stream.protocol == "cluster"
    reader = stream.subscribe()
    for n in range(10):
        session.publish(bytes([n]), track=1, pts=n * 1024)
    session.end()
    frames = [frame async for frame in reader]
    assert [bytes(memoryview(frame)) for frame in frames] == [bytes([n]) for n in range(10)]
    assert tuple(frames[0].tracks) == (AUDIO,)
    await eventually(lambda: edge.registry.get_stream(KEY) is None)
    await eventually(lambda: _is_none(edge.relay.locate(KEY)))


async def _is_none(found: object) -> bool:
    return await found is None  # type: ignore[misc]


async def test_those_who_ask_at_once_share_one_mirror(pair: tuple[Node, Node]) -> None:
    home, edge = pair
    session = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    asking = [asyncio.create_task(edge.mirrors.get_stream(KEY)) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    found = await asyncio.gather(*asking[1:])
    assert {stream.session for stream in found if stream} == {found[0].session if found[0] else None}
    origin = home.registry.get_stream(KEY)
    assert origin
    if isinstance(home.registry, arcly.Engine):
        assert origin.stats.viewers == 1
    # What is here already is not brought again.
    assert await home.mirrors.get_stream(KEY) is not None
    session.end()


async def test_a_mirror_is_no_home(pair: tuple[Node, Node]) -> None:
    home, edge = pair
    session = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    assert await edge.mirrors.get_stream(KEY)
    for _ in range(5):
        await asyncio.sleep(0)
    assert await edge.relay.locate(KEY) == "home"
    session.end()
    await eventually(lambda: _is_none(edge.relay.locate(KEY)))


async def test_a_stream_whose_encoder_went_to_another_node_is_found_there() -> None:
    """Found by reading: the second home was passed over, and the goodbye of the first one left none."""
    all_nodes = InProcessCluster()
    first, second = (all_nodes.relay(name, MemoryRegistry()) for name in ("first", "second"))
    await first.announce(KEY)
    await second.announce(KEY)
    assert await first.locate(KEY) == "second"
    await first.withdraw(KEY)
    assert await first.locate(KEY) == "second"
    await second.withdraw(KEY)
    assert await first.locate(KEY) is None


@pytest.mark.parametrize("second_publisher", ["refuse", "replace"])
async def test_a_stream_that_begins_here_while_it_is_fetched_is_what_viewers_get(
    pair: tuple[Node, Node], second_publisher: Literal["refuse", "replace"]
) -> None:
    """Found by reading: they were told that somebody publishes it already, and the source was read for nobody; where a
    second publisher takes over, the mirror ended the stream.
    """
    home, edge = pair
    assert isinstance(edge.registry, arcly.Engine)
    edge.registry.put_app("live", arcly.AppSpec(second_publisher=second_publisher))
    away = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    here = []

    class Slow:
        """Brings a stream after it was published here."""

        locate = edge.relay.locate

        async def pull(self, key: arcly.StreamKey, node: str) -> arcly.contract.MediaSource:
            source = await edge.relay.pull(key, node)
            here.append(await publish(edge))
            return source

    mirrors = Mirrors(Slow(), edge.registry)  # type: ignore[arg-type]
    stream = await mirrors.get_stream(KEY)
    assert stream
    assert stream.protocol == "test"
    origin = home.registry.get_stream(KEY)
    assert origin
    assert origin.stats.viewers == 0
    for session in (*here, away):
        session.end()


async def test_an_encoder_that_comes_to_a_node_takes_the_place_of_the_mirror_there(pair: tuple[Node, Node]) -> None:
    """Found by reading: it was refused until the node that it had left knew."""
    home, edge = pair
    away = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    mirror = await edge.mirrors.get_stream(KEY)
    here = await publish(edge)
    assert mirror is not None
    assert mirror.closed
    await eventually(lambda: _is_there(edge.relay.locate(KEY), "edge"))
    for session in (here, away):
        session.end()


async def test_an_encoder_that_goes_on_with_a_mirror_that_waits_is_announced(pair: tuple[Node, Node]) -> None:
    """Found by reading: under `reconnect_grace_s` its stream is resumed and not begun, and no other node found it."""
    home, edge = pair
    assert isinstance(edge.registry, arcly.Engine)
    edge.registry.put_app("live", arcly.AppSpec(reconnect_grace_s=600))
    away = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    mirror = await edge.mirrors.get_stream(KEY)
    assert isinstance(mirror, arcly.StreamHandle)
    away.end()
    await eventually(lambda: mirror.state == "idle")
    await eventually(lambda: _is_none(home.relay.locate(KEY)))
    here = await publish(edge)
    assert not mirror.closed
    await eventually(lambda: _is_there(home.relay.locate(KEY), "edge"), deadline_s=10)
    here.end()


@asynccontextmanager
async def waiting(edge: Node, away: arcly.contract.PublishSession) -> AsyncIterator[arcly.StreamHandle]:
    """A mirror that was fed by `away`, which has ended, and waits."""
    assert isinstance(edge.registry, arcly.Engine)
    edge.registry.put_app("live", arcly.AppSpec(reconnect_grace_s=600))
    await eventually(lambda: edge.relay.locate(KEY))
    mirror = await edge.mirrors.get_stream(KEY)
    assert isinstance(mirror, arcly.StreamHandle)
    away.publish(b"before", track=1, pts=0)
    away.end()
    await eventually(lambda: mirror.state == "idle")
    await eventually(lambda: _is_none(edge.relay.locate(KEY)))
    yield mirror


async def test_a_mirror_that_waits_is_fed_again_when_a_viewer_asks(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: under `reconnect_grace_s` an encoder that came again at home was seen by nobody here."""
    monkeypatch.setattr(cluster, "BACKOFF_S", (600.0, 600.0))
    home, edge = pair
    async with waiting(edge, await publish(home)) as mirror:
        assert await edge.mirrors.get_stream(KEY) is None, "nobody is given what has no sender"
        again = await publish(home)
        await eventually(lambda: edge.relay.locate(KEY))
        found = await edge.mirrors.get_stream(KEY)
        assert isinstance(found, arcly.StreamHandle)
        assert (found.session, found.state) == (mirror.session, "publishing")
        reader = aiter(found.subscribe())
        again.publish(b"again", track=1, pts=0)
        while bytes(memoryview(await anext(reader))) != b"again":
            pass
        again.end()


async def test_a_mirror_that_waits_is_fed_again_for_those_who_watch_it(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: they saw nothing more until the grace time was over; it was asked for once."""
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.01, 0.02))
    home, edge = pair
    async with waiting(edge, await publish(home)) as mirror:
        reader = aiter(mirror.subscribe())
        assert bytes(memoryview(await anext(reader))) == b"before"
        for data in (b"once", b"twice"):
            again = await publish(home)
            again.publish(data, track=1, pts=0)
            assert bytes(memoryview(await anext(reader))) == data
            again.end()
            await eventually(lambda: mirror.state == "idle")


async def test_a_mirror_whose_source_fails_is_fed_by_another_one(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by reading: one error of a relay, and viewers saw nothing for as long as the grace time is."""
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.01, 0.02))
    home, edge = pair
    assert isinstance(edge.registry, arcly.Engine)
    edge.registry.put_app("live", arcly.AppSpec(reconnect_grace_s=600))
    failures = [OSError("locate"), ConnectionResetError("pull"), ConnectionResetError("frames")]

    class Breaking:
        """Fails in every way, once each."""

        async def locate(self, key: arcly.StreamKey) -> str | None:
            if len(failures) == 1:
                raise failures.pop()
            return await edge.relay.locate(key)

        async def pull(self, key: arcly.StreamKey, node: str) -> arcly.contract.MediaSource:
            source = await edge.relay.pull(key, node)
            if len(failures) == 2:
                raise failures.pop()
            return source if not failures else self  # type: ignore[return-value]

        async def frames(self) -> AsyncIterator[arcly.contract.MediaFrame]:
            raise failures.pop()
            yield

    away = await publish(home)
    await eventually(lambda: edge.relay.locate(KEY))
    mirrors = Mirrors(Breaking(), edge.registry)  # type: ignore[arg-type]
    mirror = await mirrors.get_stream(KEY)
    assert isinstance(mirror, arcly.StreamHandle)
    reader = aiter(mirror.subscribe())
    await eventually(lambda: not failures and mirror.state == "publishing", deadline_s=10)
    away.publish(b"again", track=1, pts=0)
    assert bytes(memoryview(await anext(reader))) == b"again"
    assert "could not be mirrored again" in caplog.text
    away.end()
    await mirrors.close()


async def test_a_mirror_that_has_ended_is_looked_for_no_more(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.01, 0.02))
    home, edge = pair
    async with waiting(edge, await publish(home)) as mirror:
        mirror.close()
        await eventually(lambda: edge.registry.get_stream(KEY) is None)
        again = await publish(home)
        await eventually(lambda: edge.relay.locate(KEY))
        await eventually(lambda: not edge.mirrors._pumping)
        assert edge.registry.get_stream(KEY) is None
        again.end()


async def test_an_encoder_that_goes_on_with_a_mirror_that_waits_keeps_it(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.01, 0.02))
    home, edge = pair
    async with waiting(edge, await publish(home)) as mirror:
        here = await publish(edge)
        again = await publish(home)
        await eventually(lambda: not edge.mirrors._pumping)
        assert here.active
        here.end()
        await eventually(lambda: mirror.state == "idle")
        assert mirror.protocol == "test"
        assert await edge.mirrors.get_stream(KEY), "it waits for its encoder"
        again.end()


async def test_a_mirror_is_handed_on_to_nobody(pair: tuple[Node, Node]) -> None:
    """Found by reading: nodes that mirror each other's mirrors, or a node its own, send a stream that has ended in
    circles, however many they are.
    """
    home, edge = pair
    async with waiting(edge, await publish(home)):
        # What an encoder that was here for a moment leaves behind until the others have heard of its end.
        await edge.relay.announce(KEY)
        for node in (home, edge):
            assert await node.mirrors.get_stream(KEY) is None


async def _is_there(found: Awaitable[str | None], node: str) -> bool:
    return await found == node


class Telling:
    """A relay, held up or failing where others are told."""

    def __init__(self, relay: arcly.contract.ClusterRelay) -> None:
        self.relay = relay
        self.goes = asyncio.Event()
        self.goes.set()
        self.failures = 0
        self.calls = 0
        self.locate, self.pull = relay.locate, relay.pull

    async def announce(self, key: arcly.StreamKey) -> None:
        await self._through()
        await self.relay.announce(key)

    async def withdraw(self, key: arcly.StreamKey) -> None:
        await self._through()
        await self.relay.withdraw(key)

    async def _through(self) -> None:
        self.calls += 1
        await self.goes.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError


@asynccontextmanager
async def telling(home: Node) -> AsyncIterator[Telling]:
    """The relay of `home`, which is told of its streams by it alone."""
    home.announcing.cancel()
    await asyncio.wait({home.announcing})
    relay = Telling(home.relay)
    home.announcing = asyncio.create_task(announce_streams(relay, home.registry))
    await asyncio.sleep(0)
    yield relay
    assert not home.announcing.done()


async def test_streams_that_began_or_ended_in_events_that_were_lost_are_told_of(pair: tuple[Node, Node]) -> None:
    """Found by reading: while a relay told the others of one stream, a thousand events were kept, and those before them
    were never told.
    """
    home, edge = pair
    keys = [arcly.StreamKey("live", f"cam{n}") for n in range(1100)]
    nodes = home.relay._cluster.homes
    async with telling(home) as relay:
        relay.goes.clear()
        sessions = [await home.registry.start_publish(key, protocol="test") for key in keys]
        await eventually(lambda: relay.calls)
        relay.goes.set()
        await eventually(lambda: len(nodes) == len(keys), deadline_s=20)
        relay.goes.clear()
        for session in sessions:
            session.end()
        relay.goes.set()
        await eventually(lambda: not nodes, deadline_s=20)
    assert await edge.relay.locate(keys[0]) is None


async def test_a_relay_that_fails_is_told_again(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by reading: its first error was the end of it, and no later stream of that node was found."""
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.01, 0.02))
    home, edge = pair
    async with telling(home) as relay:
        relay.failures = 2
        session = await publish(home)
        await eventually(lambda: edge.relay.locate(KEY), deadline_s=10)
        relay.failures = 2
        session.end()
        await eventually(lambda: _is_none(edge.relay.locate(KEY)), deadline_s=10)
    assert "could not be told of live/cam: ConnectionResetError()" in caplog.text


async def test_a_relay_that_never_hears_of_an_end_is_told_so_often(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.0, 0.0))
    home, _ = pair
    announcer = Announcer(relay := Telling(home.relay), home.registry)
    session = await publish(home)
    announcer.look_at_all()
    await eventually(lambda: not announcer._telling)
    relay.failures = 1000
    session.end()
    announcer.look_at_all()
    await eventually(lambda: not announcer._telling)
    assert relay.calls == 1 + cluster.WITHDRAWALS_MAX
    assert not announcer._told


async def test_streams_that_come_and_go_while_a_relay_is_slow_are_not_kept(pair: tuple[Node, Node]) -> None:
    home, edge = pair
    announcer = Announcer(relay := Telling(home.relay), home.registry)
    relay.goes.clear()
    events = home.registry.events()
    for n in range(100):
        session = await home.registry.start_publish(arcly.StreamKey("live", f"cam{n}"), protocol="test")
        announcer.on_event(await anext(events))
        await asyncio.sleep(0)
        session.end()
        announcer.on_event(await anext(events))
    assert len(announcer._telling) == cluster.CALLS_AT_ONCE
    session = await publish(home)
    announcer.on_event(await anext(events))
    relay.goes.set()
    await eventually(lambda: _is_there(edge.relay.locate(KEY), "home"))
    await eventually(lambda: not announcer._telling)
    assert announcer._told.keys() == {KEY}
    session.end()
    await events.aclose()


async def test_an_encoder_that_leaves_before_it_was_announced_leaves_no_home_behind(pair: tuple[Node, Node]) -> None:
    """Found by reading: when its end was heard of there was a mirror already, and the node stayed a home of it."""
    home, edge = pair
    async with telling(edge) as relay:
        relay.goes.clear()
        here = await publish(edge)
        await eventually(lambda: relay.calls)
        away = await publish(home)
        await eventually(lambda: _is_there(edge.relay.locate(KEY), "home"))
        here.end()
        assert await edge.mirrors.get_stream(KEY)
        relay.goes.set()
        await eventually(lambda: edge.relay._cluster.homes[KEY] == ["home"] and relay.calls > 1)
        away.end()


async def test_a_registry_that_fails_for_a_while_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "BACKOFF_S", (0.01, 0.02))
    registry = FailingRegistry()
    relay = InProcessCluster().relay("home", registry)
    announcing = asyncio.create_task(announce_streams(relay, registry))
    await asyncio.sleep(0)
    session = await registry.start_publish(KEY)
    for _ in range(5):
        await asyncio.sleep(0)
    registry.fails = False
    await eventually(lambda: relay.locate(KEY))
    session.end()
    await eventually(lambda: _is_none(relay.locate(KEY)))
    announcing.cancel()
    await asyncio.wait({announcing})


async def test_a_node_that_has_lost_the_stream_is_no_error(pair: tuple[Node, Node]) -> None:
    home, edge = pair
    await home.relay.announce(KEY)
    assert await edge.mirrors.get_stream(KEY) is None
    await home.relay.withdraw(KEY)
    await home.relay.withdraw(KEY)
