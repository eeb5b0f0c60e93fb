"""Pictures that a publisher announces and does not send (a phone whose camera is off): everybody hears its sound."""

import asyncio
from contextlib import suppress
from pathlib import Path

from conftest import eventually, run
from rtmp_client import AUDIO, RtmpClient, flv_tags, media_of, repeated

import arcly
from arcly.server.serve import DEMO_CLIP

TAGS = flv_tags(DEMO_CLIP)
HEADERS = [tag for tag in TAGS if tag.is_configuration]
SOUND = [tag for tag in TAGS if tag.type_id == AUDIO and not tag.is_configuration]
FRAME_S = 1024 / 48_000


async def send_sound(client: RtmpClient, stream_id: int) -> None:
    """Send sound alone for ever, half as fast again as it is played."""
    period_ms = SOUND[-1].timestamp_ms + 21
    for tag in repeated(SOUND, period_ms):
        await client.send(*media_of([tag], stream_id))
        await asyncio.sleep(FRAME_S / 1.5)


async def sounds(ffmpeg: str, url: str) -> int:
    """How many frames of sound come in a second of media."""
    # FFmpeg else looks for the pictures of FLV for 90 seconds.
    source = ["-analyzeduration", "1000000", "-i", url]
    read = await run(ffmpeg, "-v", "error", *source, "-map", "a", "-c", "copy", "-t", "1", "-f", "framecrc", "-")
    assert read.returncode == 0, (url, read.stderr)
    return sum(not line.startswith(b"#") for line in read.stdout.splitlines())


async def test_sound_is_heard_alone_by_every_protocol_where_announced_pictures_do_not_come(
    ffmpeg: str, tmp_path: Path
) -> None:
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")
    rtsp, srt = arcly.RtspHandler("127.0.0.1:0", udp_port=0), arcly.SrtHandler("127.0.0.1:0")
    recorder = arcly.Recorder(tmp_path, record=["live/*"])
    async with arcly.Engine(rtmp, http, rtsp, srt, recorder) as engine, await RtmpClient.dial(rtmp.address) as client:
        await client.connect("live")
        stream_id = await client.publish("dark")
        await client.set_chunk_bytes(65_536)
        await client.send(*media_of(HEADERS, stream_id))
        sending = asyncio.create_task(send_sound(client, stream_id))
        stream = await eventually(lambda: engine.get_stream(arcly.StreamKey("live", "dark")))
        await eventually(lambda: stream.stats.other_frames > 100)
        assert {track.kind for track in stream.tracks} == {"video", "audio"}
        async with asyncio.timeout(30), stream.subscribe() as subscription:
            assert (await anext(aiter(subscription))).kind == "audio"
        web = f"http://127.0.0.1:{http.address[1]}/live/dark"
        urls = [
            *(f"{web}.flv", f"{web}.ts", f"{web}.mp4", f"{web}/index.m3u8", f"{web}/media.m3u8", f"{web}/manifest.mpd"),
            f"rtmp://127.0.0.1:{rtmp.address[1]}/live/dark",
            f"rtsp://127.0.0.1:{rtsp.address[1]}/live/dark",
            f"srt://127.0.0.1:{srt.address[1]}?streamid=read:live/dark",
        ]
        heard = dict(zip(urls, await asyncio.gather(*(sounds(ffmpeg, url) for url in urls)), strict=True))
        recorded = await eventually(lambda: list(tmp_path.rglob("*.mp4")))
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    assert min(heard.values()) > 40, heard
    assert await sounds(ffmpeg, str(recorded[0])) > 40
