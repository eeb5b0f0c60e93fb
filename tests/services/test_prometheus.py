import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import eventually
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from virtual_time import Bus

import arcly
from arcly.services.prometheus import PrometheusObserver
from arcly.testing import MemoryRegistry

AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(
    registry: CollectorRegistry, generate: Callable[..., bytes] = generate_latest, read: Any = parse
) -> Samples:
    found = [sample for family in read(generate(registry).decode()) for sample in family.samples]
    named = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}
    assert len(named) == len(found), "a sample twice"
    return named


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


async def publish(engine: arcly.Engine, name: str, frames: int = 0) -> arcly.PublishSession:
    session = await engine.start_publish(arcly.StreamKey.parse(name))
    if frames:
        session.set_tracks([AUDIO])
    for n in range(frames):
        session.publish(bytes(100), track=1, pts=n * 1024)
    return session


@pytest.mark.parametrize(("generate", "read"), [(generate_latest, parse), (generate_openmetrics, parse_openmetrics)])
async def test_a_scrape_says_how_every_stream_is(generate: Any, read: Any) -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry, http_viewers=lambda key: 1)
    assert isinstance(observer, arcly.InboundProtocol)
    async with arcly.Engine(observer) as engine:
        ready = await publish(engine, "live/cam", 10)
        waiting = await publish(engine, "live/eu/new")
        # A player of HLS counts among them: the observer is told of one.
        subscriptions = [engine.get_stream(ready.key).subscribe() for _ in range(2)]
        ended = await publish(engine, "live/gone")
        ended.end()

        def counted() -> bool:
            return samples(registry).get(("arcly_events_total", labels(kind="publish_ended"))) == 1

        await eventually(counted)
        seen = samples(registry, generate, read)
        cam, new = labels(app="live", stream="cam"), labels(app="live/eu", stream="new")
        path, new_path = labels(name="live/cam", state="ready"), labels(name="live/eu/new", state="notReady")
        for name, at, value in [
            ("paths", path, 1),
            ("paths", new_path, 1),
            ("paths_readers", labels(name="live/cam", state="ready", readerType="subscription"), 1),
            ("paths_readers", labels(name="live/cam", state="ready", readerType="hlsSession"), 1),
            ("paths_inbound_bytes", path, 1000),
            ("paths_inbound_bytes", new_path, 0),
            ("paths_inbound_frames_in_error", path, 0),
            ("arcly_stream_state", labels(app="live", stream="cam", state="publishing"), 1),
            ("arcly_stream_bytes_total", cam, 1000),
            ("arcly_stream_bytes_total", new, 0),
            ("arcly_stream_frames_total", labels(app="live", stream="cam", kind="video"), 0),
            ("arcly_stream_frames_total", labels(app="live", stream="cam", kind="other"), 10),
            ("arcly_stream_subscribers", labels(app="live", stream="cam", kind="subscription"), 1),
            ("arcly_stream_missed_frames_total", cam, 0),
            ("arcly_stream_joins_total", cam, 2),
            ("arcly_stream_evictions_total", cam, 0),
            ("arcly_stream_repaired_frames_total", cam, 0),
            ("arcly_stream_started_seconds", cam, engine.get_stream(ready.key).started_unix_ms / 1000),
            ("arcly_app_publishers", labels(app="live"), 1),
            ("arcly_app_publishers", labels(app="live/eu"), 1),
            ("arcly_events_total", labels(kind="publish_started"), 3),
            ("arcly_events_total", labels(kind="publish_ended"), 1),
            ("arcly_publishers", (), 2),
            ("arcly_streams_without_samples", (), 0),
        ]:
            assert seen[name, at] == value, name
        assert ("arcly_stream_bits_per_second", cam) in seen
        assert ("arcly_stream_frames_per_second", cam) in seen
        assert not any("gone" in str(key) for key in seen)
        for subscription in subscriptions:
            subscription.close()
        ready.end()
        waiting.end()
    assert samples(registry) == {}


async def test_labels_are_bounded_and_the_oldest_stream_keeps_its_samples() -> None:
    registry = CollectorRegistry()
    async with arcly.Engine(PrometheusObserver(registry, streams_max=2)) as engine:
        sessions = [await publish(engine, "live/z")]
        started = engine.get_stream(sessions[0].key).started_unix_ms
        # So that the second is younger by the clock.
        await eventually(lambda: time.time() * 1000 > started + 2)
        sessions += [await publish(engine, f"app{n}/a") for n in range(50)]
        seen = samples(registry)
        assert seen["arcly_streams_without_samples", ()] == 49
        assert seen["arcly_publishers", ()] == 51
        assert sum(name == "paths" for name, _ in seen) == 2
        assert sum(name == "arcly_app_publishers" for name, _ in seen) == 2
        assert ("paths", labels(name="live/z", state="notReady")) in seen
        count = len(seen)
        sessions += [await publish(engine, f"app{n}/b") for n in range(50)]
        assert len(samples(registry)) == count
        for session in sessions:
            session.end()


async def test_a_scrape_may_come_from_any_thread_at_any_time() -> None:
    registry = CollectorRegistry()
    failures: list[BaseException] = []
    stop = threading.Event()

    def scrape() -> None:
        try:
            while not stop.is_set():
                samples(registry)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    async with arcly.Engine(PrometheusObserver(registry)) as engine:
        for n in range(50):
            sessions = [await publish(engine, f"live/{n}-{k}", 3) for k in range(5)]
            await asyncio.sleep(0)
            for session in sessions:
                session.end()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_one_engine_per_registry_and_many_engines_in_a_process() -> None:
    a, b = CollectorRegistry(), CollectorRegistry()
    async with arcly.Engine(PrometheusObserver(a)) as first, arcly.Engine(PrometheusObserver(b)):
        session = await publish(first, "live/cam")
        assert (samples(a)["arcly_publishers", ()], samples(b)["arcly_publishers", ()]) == (1, 0)
        with pytest.raises(arcly.MisuseError, match="one engine per registry"):
            async with arcly.Engine(PrometheusObserver(a)):
                pass
        # The one that could not start has taken nothing away.
        assert samples(a)["arcly_publishers", ()] == 1
        session.end()
    observer = PrometheusObserver(a)
    await observer.start(Bus())  # type: ignore[arg-type]
    with pytest.raises(arcly.MisuseError, match="already"):
        await observer.start(Bus())  # type: ignore[arg-type]
    await observer.stop()
    await observer.stop()


async def test_streams_of_a_foreign_registry_are_shown_too() -> None:
    registry, streams = CollectorRegistry(), MemoryRegistry()
    async with arcly.Engine(PrometheusObserver(registry), registry=streams):
        session = await streams.start_publish(arcly.StreamKey("live", "cam"), protocol="test")
        session.set_tracks([AUDIO])
        session.publish(bytes(10), track=1, pts=0)
        seen = samples(registry)
        assert seen["paths_inbound_bytes", labels(name="live/cam", state="ready")] == 10
        assert seen["arcly_stream_state", labels(app="live", stream="cam", state="publishing")] == 1
        session.end()


async def test_a_stream_that_waits_for_its_publisher_is_not_ready() -> None:
    registry = CollectorRegistry()
    spec = arcly.AppSpec(reconnect_grace_s=30)
    async with arcly.Engine(PrometheusObserver(registry), default_app=spec) as engine:
        session = await publish(engine, "live/cam", 3)
        session.end()
        seen = samples(registry)
        assert seen["paths", labels(name="live/cam", state="notReady")] == 1
        assert seen["arcly_stream_state", labels(app="live", stream="cam", state="idle")] == 1


@pytest.mark.parametrize("streams_max", [-1, 100_001])
def test_the_bound_is_bounded(streams_max: int) -> None:
    with pytest.raises(arcly.MisuseError):
        PrometheusObserver(CollectorRegistry(), streams_max=streams_max)
