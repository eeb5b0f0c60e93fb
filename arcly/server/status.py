"""What the page and its API say about an engine."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

from arcly import __version__
from arcly._native import Track
from arcly.engine import Engine
from arcly.origin import HttpOrigin
from arcly.protocols.webrtc import WebRtcHandler
from arcly.server.listeners import Listeners
from arcly.stream import StreamHandle


class Listening(Protocol):
    """What has an address while it runs."""

    @property
    def address(self) -> tuple[str, int] | None:
        """IP and port."""


def status(engine: Engine, listeners: Listeners) -> dict[str, Any]:
    """Return the body of `/api/streams`, ready for JSON. There is an HTTP origin among the listeners."""
    assert listeners.http is not None
    http, webrtc = listeners.http, listeners.webrtc
    told = {"rtmp": listeners.rtmp, "rtsp": listeners.rtsp, "srt": listeners.srt, "http": http, "webrtc": webrtc}
    return {
        "version": __version__,
        "listeners": {name: port(listener) for name, listener in told.items()},
        "streams": [stream_status(stream, http, webrtc) for stream in engine.list_streams()],
    }


def port(listener: Listening | None) -> dict[str, int] | None:
    """Return where a listener is, for people who know the host already."""
    address = listener.address if listener else None
    return {"port": address[1]} if address else None


def stream_status(stream: StreamHandle, http: HttpOrigin, webrtc: WebRtcHandler | None = None) -> dict[str, Any]:
    """Return what is known of one stream."""
    stats = stream.stats
    return {
        "app": stream.key.app,
        "stream": stream.key.stream,
        "protocol": stream.protocol,
        "peer": stream.peer,
        "since_ms": stream.started_unix_ms,
        "tracks": [track_status(track) for track in stream.tracks],
        "bitrate_bps": round(stats.bits_per_s),
        "fps": round(stats.frames_per_s, 1),
        "viewers": stats.viewers,
        "whep": f"/{quote(str(stream.key))}/whep" if webrtc and webrtc.address else None,
        "whep_opus": webrtc is not None and webrtc.makes_opus,
        "whep_b_frames": webrtc.b_frames(stream.key) if webrtc else None,
        "hls": http.hls_path(stream.key),
        "dash": http.dash_path(stream.key),
        "flv": http.live_path(stream.key, "flv"),
        "ts": http.live_path(stream.key, "ts"),
        "mp4": http.live_path(stream.key, "mp4"),
    }


def track_status(track: Track) -> dict[str, Any]:
    """Return what is known of one track."""
    common: dict[str, Any] = {"id": track.id, "kind": track.kind, "codec": track.codec, "rfc6381": track.rfc6381}
    if track.kind == "video":
        return common | {
            "width": track.width,
            "height": track.height,
            "fps": track.fps,
            "reorder": track.reorder_frames,
        }
    return common | {"sample_rate_hz": track.sample_rate_hz, "channels": track.channels}
