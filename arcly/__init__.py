"""The live-media kernel for Python, and the server built on it.

    async with arcly.Engine(arcly.RtmpHandler(), arcly.HttpOrigin()) as engine:
        async for event in engine.events():
            print(event)

`arcly serve` is the same engine as a command; it needs the extra `arcly[server]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from arcly._native import __version__

if TYPE_CHECKING:
    from arcly import (  # isort: skip
        app as app,
        capi as capi,
        cluster as cluster,
        contract as contract,
        drive as drive,
        engine as engine,
        errors as errors,
        events as events,
        ladder as ladder,
        link as link,
        media as media,
        onvif as onvif,
        origin as origin,
        packagers as packagers,
        probe as probe,
        protocols as protocols,
        recording as recording,
        services as services,
        sinks as sinks,
        sources as sources,
        storage as storage,
        stream as stream,
        subscription as subscription,
        testing as testing,
        thumbnail as thumbnail,
        tls as tls,
        viewer as viewer,
    )
    from arcly._asgi import asgi
    from arcly._native import MediaFrame, PublishSession, StreamKey, Track
    from arcly.app import AppSpec
    from arcly.contract import (
        Credentials,
        EventBus,
        FrameSink,
        InboundProtocol,
        IngestContext,
        MediaSink,
        MediaSource,
        Muxer,
        Packager,
        PlaybackRegistry,
        PublishRegistry,
        StorageBackend,
        StreamAuthenticator,
        Transcoder,
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
    from arcly.link import LinkState, LinkStatus
    from arcly.origin import HttpOrigin
    from arcly.packagers.hls import HlsEncryption, HlsPackager
    from arcly.protocols.rtmp import RtmpHandler
    from arcly.protocols.rtsp import RtspHandler
    from arcly.protocols.srt import SrtConnection, SrtHandler
    from arcly.protocols.webrtc import WebRtcHandler
    from arcly.recording import Recorder
    from arcly.sinks.file import FileSink
    from arcly.sinks.push import PushTarget
    from arcly.sources.file import FileSource
    from arcly.sources.pull import PullSource
    from arcly.stream import StreamHandle
    from arcly.subscription import Subscription
    from arcly.tls import Tls
    from arcly.viewer import EgressOptions, Viewer

__all__ = [
    "AlreadyPublishingError",
    "AppSpec",
    "ClosedError",
    "Credentials",
    "EgressOptions",
    "Engine",
    "EventBus",
    "FileSink",
    "FileSource",
    "FrameSink",
    "HlsEncryption",
    "HlsPackager",
    "HttpOrigin",
    "InboundProtocol",
    "IngestContext",
    "LimitExceededError",
    "LinkState",
    "LinkStatus",
    "ListenError",
    "MalformedError",
    "MediaFrame",
    "MediaSink",
    "MediaSource",
    "MisuseError",
    "Muxer",
    "NotFoundError",
    "Packager",
    "PlaybackRegistry",
    "PublishRegistry",
    "PublishSession",
    "PullSource",
    "PushTarget",
    "Recorder",
    "RtmpHandler",
    "RtspHandler",
    "SrtConnection",
    "SrtHandler",
    "StorageBackend",
    "StreamAuthenticator",
    "StreamError",
    "StreamEvent",
    "StreamEventKind",
    "StreamHandle",
    "StreamKey",
    "Subscription",
    "Tls",
    "Track",
    "Transcoder",
    "UnauthorizedError",
    "UnsupportedError",
    "Viewer",
    "WebRtcHandler",
    "__version__",
    "asgi",
    "get_include",
]


# Names are imported when they are first used: asyncio alone costs more than all of arcly, and who only asks for the
# version or the header should not wait for it.
_MODULES = {
    "arcly._native": "MediaFrame PublishSession StreamKey Track",
    "arcly.app": "AppSpec",
    "arcly._asgi": "asgi",
    "arcly.contract": (
        "Credentials EventBus FrameSink InboundProtocol IngestContext MediaSink MediaSource Muxer Packager "
        "PlaybackRegistry PublishRegistry StorageBackend StreamAuthenticator Transcoder"
    ),
    "arcly.engine": "Engine",
    "arcly.errors": (
        "AlreadyPublishingError ClosedError LimitExceededError ListenError MalformedError MisuseError "
        "NotFoundError StreamError UnauthorizedError UnsupportedError"
    ),
    "arcly.events": "StreamEvent StreamEventKind",
    "arcly.link": "LinkState LinkStatus",
    "arcly.origin": "HttpOrigin",
    "arcly.packagers.hls": "HlsEncryption HlsPackager",
    "arcly.protocols.rtmp": "RtmpHandler",
    "arcly.protocols.rtsp": "RtspHandler",
    "arcly.recording": "Recorder",
    "arcly.protocols.webrtc": "WebRtcHandler",
    "arcly.protocols.srt": "SrtConnection SrtHandler",
    "arcly.sinks.file": "FileSink",
    "arcly.sinks.push": "PushTarget",
    "arcly.sources.file": "FileSource",
    "arcly.sources.pull": "PullSource",
    "arcly.stream": "StreamHandle",
    "arcly.subscription": "Subscription",
    "arcly.tls": "Tls",
    "arcly.viewer": "EgressOptions Viewer",
}
_SUBMODULES = (
    "app capi cluster contract drive engine errors events ladder link media onvif origin packagers probe protocols "
    "recording services sinks sources storage stream subscription testing thumbnail tls viewer"
)
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a public name from its module, or a public module."""
    if name in _SUBMODULES.split():
        return import_module(f"arcly.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'arcly' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, and those of the public modules."""
    return [*__all__, *_SUBMODULES.split()]


def get_include() -> str:
    """Return the directory of `arcly.h`, for extensions that use the C API."""
    from pathlib import Path

    return str(Path(__file__).parent / "include")
