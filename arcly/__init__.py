"""The live-media kernel for Python, and the server built on it.

    async with arcly.Engine(arcly.RtmpHandler(), arcly.HttpOrigin()) as engine:
        async for event in engine.events():
            print(event)

`arcly serve` is the same engine as a command; it needs the extra `arcly[server]`.
"""

from arcly._native import MediaFrame, PublishSession, StreamKey, Track, __version__
from arcly.app import AppSpec
from arcly.contract import (
    Credentials,
    EventBus,
    InboundProtocol,
    IngestContext,
    Packager,
    PlaybackRegistry,
    PublishRegistry,
    StreamAuthenticator,
)
from arcly.engine import Engine
from arcly.errors import (
    AlreadyPublishingError,
    ClosedError,
    LimitExceededError,
    ListenError,
    MalformedError,
    MisuseError,
    NotFoundError,
    StreamError,
    UnauthorizedError,
    UnsupportedError,
)
from arcly.events import StreamEvent, StreamEventKind
from arcly.origin import HttpOrigin
from arcly.packagers.hls import HlsPackager
from arcly.protocols.rtmp import RtmpHandler
from arcly.sources.file import FileSource
from arcly.stream import StreamHandle
from arcly.subscription import Subscription

__all__ = [
    "AlreadyPublishingError",
    "AppSpec",
    "ClosedError",
    "Credentials",
    "Engine",
    "EventBus",
    "FileSource",
    "HlsPackager",
    "HttpOrigin",
    "InboundProtocol",
    "IngestContext",
    "LimitExceededError",
    "ListenError",
    "MalformedError",
    "MediaFrame",
    "MisuseError",
    "NotFoundError",
    "Packager",
    "PlaybackRegistry",
    "PublishRegistry",
    "PublishSession",
    "RtmpHandler",
    "StreamAuthenticator",
    "StreamError",
    "StreamEvent",
    "StreamEventKind",
    "StreamHandle",
    "StreamKey",
    "Subscription",
    "Track",
    "UnauthorizedError",
    "UnsupportedError",
    "__version__",
    "get_include",
]


def get_include() -> str:
    """Return the directory of `arcly.h`, for extensions that use the C API."""
    from pathlib import Path

    return str(Path(__file__).parent / "include")
