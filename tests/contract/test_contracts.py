"""What arcly ships fulfils its own contracts, and each contract has something in plain Python that does."""

import asyncio
from urllib.request import urlopen

from conftest import eventually

import arcly
from arcly import contract
from arcly.cluster import InProcessCluster, StreamSource
from arcly.drive import MuxSink
from arcly.ladder import Rungs
from arcly.server.serve import DEMO_CLIP
from arcly.services.audit import FileAuditSink
from arcly.services.health import CapacityCheck, CheckResult
from arcly.services.observe import LoggingObserver
from arcly.storage import FileStorage, MemoryStorage
from arcly.testing import MemoryRegistry

KEY = arcly.StreamKey("live", "cam")


class Chosen:
    """A `Packager` in plain Python: another one, but for some streams only."""

    def __init__(self) -> None:
        self._hls = arcly.HlsPackager()
        self.packaged: list[arcly.StreamKey] = []

    def package(self, context: contract.IngestContext, stream: contract.StreamHandle) -> object:
        self.packaged.append(stream.key)
        return self._hls.package(context, stream)

    async def stop(self) -> None:
        await self._hls.stop()


async def healthy() -> CheckResult:
    return CheckResult()


async def test_what_is_shipped_fulfils_the_contracts() -> None:
    engine, registry = arcly.Engine(), MemoryRegistry()
    session = await registry.start_publish(KEY)
    native = await engine.start_publish(KEY)
    stream = engine.get_stream(KEY)
    assert stream
    pairs = [
        (contract.PublishRegistry, engine, registry),
        (contract.PlaybackRegistry, engine, registry),
        (contract.EventBus, engine, registry),
        (contract.Registry, engine, registry),
        (contract.IngestContext, engine),
        (contract.PublishSession, native, session),
        (contract.FrameSink, native, session),
        (contract.StreamHandle, stream, session.handle),
        (contract.MediaSource, StreamSource(stream)),
        (contract.MediaSink, MuxSink(None, healthy), Rungs(None)),  # type: ignore[arg-type]
        (contract.InboundProtocol, arcly.RtmpHandler(), arcly.HttpOrigin(), arcly.FileSource("clip.flv", KEY)),
        (contract.InboundProtocol, arcly.PullSource("rtmp://a/b/c", KEY), arcly.PushTarget("rtmp://a/b/c", KEY)),
        (contract.Drainable, arcly.RtmpHandler()),
        (contract.Packager, arcly.HlsPackager(), Chosen()),
        (contract.Observer, LoggingObserver()),
        (contract.AuditSink, FileAuditSink("audit.jsonl")),
        (contract.HealthCheck, healthy, CapacityCheck),
        (contract.StorageBackend, FileStorage("media"), MemoryStorage()),
        (contract.ClusterRelay, InProcessCluster().relay("a", engine)),
    ]
    for protocol, *things in pairs:
        for thing in things:
            assert isinstance(thing, protocol), f"{thing} is no {protocol.__name__}"
    session.end()
    native.end()


async def test_a_packager_in_python_serves_viewers() -> None:
    packager = Chosen()
    origin = arcly.HttpOrigin("127.0.0.1:0", packager=packager)  # type: ignore[arg-type]
    async with arcly.Engine(origin, arcly.FileSource(DEMO_CLIP, KEY)):
        path = await eventually(lambda: origin.hls_path(KEY))
        assert origin.address
        url = f"http://127.0.0.1:{origin.address[1]}{path}"
        with await asyncio.to_thread(urlopen, url, None, 30) as answer:
            assert answer.read().startswith(b"#EXTM3U")
        assert packager.packaged == [KEY]
