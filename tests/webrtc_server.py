"""A running engine with WebRTC, its signalling behind the origin."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import arcly
from arcly.server.serve import answering


async def post_offer(url: str, offer: str) -> tuple[str, str]:
    """Send an offer; return the answer and where the session is."""

    def send() -> tuple[str, str]:
        request = urllib.request.Request(url, offer.encode(), {"content-type": "application/sdp"}, method="POST")
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 201
            return response.read().decode(), response.headers["location"]

    return await asyncio.to_thread(send)


@dataclass
class WebRtcServer:
    """RTMP, HTTP and WebRTC on free ports."""

    engine: arcly.Engine
    rtmp: arcly.RtmpHandler
    http: arcly.HttpOrigin
    webrtc: arcly.WebRtcHandler

    def url(self, path: str) -> str:
        """The HTTP URL of `path` (`/live/cam/whip`)."""
        assert self.http.address is not None
        return f"http://127.0.0.1:{self.http.address[1]}{path}"

    def rtmp_url(self, name: str) -> str:
        """Where `name` (`live/cam`) is published."""
        assert self.rtmp.address is not None
        return f"rtmp://127.0.0.1:{self.rtmp.address[1]}/{name}"

    def stream(self, name: str) -> arcly.StreamHandle | None:
        """The stream `name`, if it is being published."""
        return self.engine.get_stream(arcly.StreamKey.parse(name))


@asynccontextmanager
async def serving(
    directory: Path, webrtc: arcly.WebRtcHandler | None = None, **options: object
) -> AsyncIterator[WebRtcServer]:
    """Run it on free ports of the loopback interface."""
    webrtc = webrtc or arcly.WebRtcHandler("127.0.0.1:0")
    socket = directory / "app.sock"
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0", app_socket=socket)
    engine = arcly.Engine(rtmp, http, webrtc, **options)  # type: ignore[arg-type]
    async with answering(webrtc.asgi(), socket), engine:
        yield WebRtcServer(engine, rtmp, http, webrtc)
