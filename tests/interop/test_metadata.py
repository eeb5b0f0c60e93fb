"""What a stream says of its publisher and of itself is filled in by every protocol."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from conftest import eventually, running

import arcly

AGENTS = {"rtmp": "FMLE/3.0 (compatible; Lavf", "rtsp": "Lavf", "srt": "SRT 1."}
"""How FFmpeg introduces itself; over SRT its library does."""


async def test_every_protocol_tells_who_publishes_what(ffmpeg: str, clip: Callable[..., Path]) -> None:
    rtmp, rtsp = arcly.RtmpHandler("127.0.0.1:0"), arcly.RtspHandler("127.0.0.1:0", udp_port=0)
    srt = arcly.SrtHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp, rtsp, srt) as engine, AsyncExitStack() as publishers:
        assert rtmp.address
        assert rtsp.address
        assert srt.address
        sinks = {
            "rtmp": ["flv", f"rtmp://127.0.0.1:{rtmp.address[1]}/live/rtmp"],
            "rtsp": ["rtsp", f"rtsp://127.0.0.1:{rtsp.address[1]}/live/rtsp"],
            "srt": ["mpegts", f"srt://127.0.0.1:{srt.address[1]}?streamid=publish:live/srt&pkt_size=1316"],
        }
        for sink in sinks.values():
            publish = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip(), "-c", "copy", "-f", *sink]
            await publishers.enter_async_context(running(*publish))
        seen = set()
        for way, agent in AGENTS.items():
            stream = await eventually(lambda way=way: engine.get_stream(arcly.StreamKey("live", way)), what=way)
            await eventually(lambda stream=stream: len(stream.tracks) == 2 and stream.stats.bytes, what=way)
            assert stream.protocol == way
            assert stream.peer.startswith("127.0.0.1:"), way
            assert (stream.agent or "").startswith(agent), way
            assert stream.started_unix_ms > 0
            seen.add(tuple((track.rfc6381, track.width, track.height, track.sample_rate_hz) for track in stream.tracks))
        assert len(seen) == 1, f"the same clip is the same by all: {seen}"
