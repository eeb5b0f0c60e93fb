"""OBS Studio itself streams to a custom server, by RTMP and by SRT, and what it shows is played.

`make obs` installs it. What WHIP of OBS (30 and later) sends is in `test_webrtc_obs.py`: Debian's is older.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import eventually, run
from obs import PICTURE, streaming

import arcly

SECRET = "a long passphrase"

WAYS = {
    "rtmp": ("rtmp://127.0.0.1:{rtmp}/live", "obs"),
    "srt": ("srt://127.0.0.1:{srt}?streamid=publish:live/obs", ""),
    "srt_access_control": ("srt://127.0.0.1:{srt}?streamid=#!::m=publish,r=live/obs", ""),
    "srt_encrypted": (f"srt://127.0.0.1:{{secret}}?streamid=publish:live/obs&passphrase={SECRET}&pbkeylen=32", ""),
}


@pytest.mark.parametrize("way", WAYS)
async def test_obs_streams_and_what_it_shows_is_played(tmp_path: Path, ffmpeg: str, way: str) -> None:
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    srt = arcly.SrtHandler("127.0.0.1:0")
    secret = arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET)
    async with arcly.Engine(rtmp, srt, secret) as engine:
        ports = {name: it.address[1] for name, it in [("rtmp", rtmp), ("srt", srt), ("secret", secret)] if it.address}
        server, key = WAYS[way]
        async with streaming(tmp_path, server.format(**ports), key) as obs:

            def tracks() -> list[arcly.Track]:
                assert obs.returncode is None, "OBS has ended"
                stream = engine.get_stream(arcly.StreamKey.parse("live/obs"))
                return list(stream.tracks) if stream else []

            found = await eventually(lambda: len(it := tracks()) == 2 and it, what="OBS publishes sound and pictures")
            assert {track.codec for track in found} == {"H264", "AAC"}
            pictures = ["-frames:v", "15", "-f", "rawvideo", "-pix_fmt", "rgb24"]
            url = f"rtmp://127.0.0.1:{ports['rtmp']}/live/obs"
            played = await run(ffmpeg, "-v", "error", "-i", url, "-an", *pictures, "-")
    assert (played.returncode, played.stderr) == (0, "")
    size = PICTURE[0] * PICTURE[1] * 3
    assert len(played.stdout) == 15 * size
    last = played.stdout[-size:]
    red, green, blue = (sum(last[channel::3]) / (size // 3) for channel in range(3))
    assert red > 200 > 60 > max(green, blue), (red, green, blue)
