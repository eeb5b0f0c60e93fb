"""The contracts between the parts of arcly, and what a host may implement itself, all of it in Python.

Handlers and packagers depend on these, never on `Engine`. Any object with the right methods will do.

- `frames`: `MediaFrame`, `FrameSink`, `MediaSource`, `MediaSink`, `Muxer`
- `streams`: `PublishSession`, `StreamHandle`, `PublishRegistry`, `PlaybackRegistry`, `EventBus`, all as `Registry`
- `protocols`: `IngestContext`, `InboundProtocol`, `Drainable`, `Packager`
- `access`: `Credentials`, `StreamAuthenticator`
- `services`: `Observer`, `AuditSink`, `HealthCheck`
- `storage`: `StorageBackend`, `RangedStorage`
- `transform`: `Rendition`, `Transcoder`, `ClusterRelay`
"""

from arcly.contract.access import Credentials, StreamAuthenticator
from arcly.contract.frames import FrameSink, MediaFrame, MediaSink, MediaSource, Muxer
from arcly.contract.protocols import Drainable, InboundProtocol, IngestContext, Packager
from arcly.contract.services import AuditSink, HealthCheck, Observer
from arcly.contract.storage import RangedStorage, StorageBackend
from arcly.contract.streams import (
    EventBus,
    EventStream,
    PlaybackRegistry,
    PublishRegistry,
    PublishSession,
    Registry,
    StreamHandle,
)
from arcly.contract.transform import ClusterRelay, Rendition, Transcoder

__all__ = [
    "AuditSink",
    "ClusterRelay",
    "Credentials",
    "Drainable",
    "EventBus",
    "EventStream",
    "FrameSink",
    "HealthCheck",
    "InboundProtocol",
    "IngestContext",
    "MediaFrame",
    "MediaSink",
    "MediaSource",
    "Muxer",
    "Observer",
    "Packager",
    "PlaybackRegistry",
    "PublishRegistry",
    "PublishSession",
    "RangedStorage",
    "Registry",
    "Rendition",
    "StorageBackend",
    "StreamAuthenticator",
    "StreamHandle",
    "Transcoder",
]
