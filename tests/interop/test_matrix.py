"""Every way in, to every way out: a server as users run it, FFmpeg at both ends, aiortc for WHEP. Prints its cells."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import eventually, run, running
from test_webrtc_clients import watch

SECONDS = 2
FPS = 25
LISTENING = re.compile(r"\[(\w+)\] listening on \S+:(\d+)")

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p"]

WAYS_IN = {
    "rtmp": ["-c", "copy", "-f", "flv", "rtmp://127.0.0.1:{rtmp}/live/x"],
    "rtsp-tcp": ["-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://127.0.0.1:{rtsp}/live/x"],
    "rtsp-udp": ["-c", "copy", "-f", "rtsp", "-rtsp_transport", "udp", "rtsp://127.0.0.1:{rtsp}/live/x"],
    "srt": ["-c", "copy", "-f", "mpegts", "srt://127.0.0.1:{srt}?streamid=publish:live/x&pkt_size=1316"],
    "udp-ts": ["-c", "copy", "-f", "mpegts", "udp://127.0.0.1:{udp}?pkt_size=1316"],
    # Without B-frames, which WebRTC has not, and with the sound that browsers send.
    "whip": [*X264, "-c:a", "libopus", "-ac", "2", "-f", "whip", "http://127.0.0.1:{http}/live/x/whip"],
}

WAYS_OUT = {
    "rtmp": ["rtmp://127.0.0.1:{rtmp}/live/x"],
    "rtsp-tcp": ["-rtsp_transport", "tcp", "rtsp://127.0.0.1:{rtsp}/live/x"],
    "rtsp-udp": ["-rtsp_transport", "udp", "rtsp://127.0.0.1:{rtsp}/live/x"],
    "srt": ["srt://127.0.0.1:{srt}?streamid=read:live/x"],
    "flv": ["http://127.0.0.1:{http}/live/x.flv"],
    "ts": ["http://127.0.0.1:{http}/live/x.ts"],
    "mp4": ["http://127.0.0.1:{http}/live/x.mp4"],
    "hls": ["http://127.0.0.1:{http}/live/x/index.m3u8"],
    "hls-ts": ["http://127.0.0.1:{http}/live/x/ts.m3u8"],
    "dash": ["http://127.0.0.1:{http}/live/x/manifest.mpd"],
    "recording": ["{recording}"],
}


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run `arcly serve` on free ports, which are returned by name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        udp = free.getsockname()[1]
    flags = [f"--{name}=127.0.0.1:0" for name in ("rtmp", "rtsp", "srt", "http", "webrtc")]
    flags += ["--rtsp-udp=0", "--pull", f"live/x=udp://127.0.0.1:{udp}", "--record", str(folder / "recordings")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arcly", "serve", *flags, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    names = {"udp": str(udp), "folder": str(folder / "recordings")}
    lines = []
    try:
        async with asyncio.timeout(60):
            async for line in process.stderr:
                lines.append(line.decode())
                if found := LISTENING.search(lines[-1]):
                    names[found[1]] = found[2]
                if "open http" in lines[-1]:
                    break
        reading = asyncio.create_task(read(process.stderr, lines))
        yield names
        process.terminate()
        assert await process.wait() == 0
        await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        print("".join(lines))
    errors = [line for line in lines if " ERR " in line or "Traceback" in line]
    assert not errors, errors


async def read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    """Keep what is said."""
    async for line in stream:
        lines.append(line.decode())


async def play(ffmpeg: str, arguments: list[str], names: dict[str, str]) -> str:
    """Play for two seconds; returns what is wrong, or nothing."""
    source = [argument.format(**names) for argument in arguments]
    source.insert(-1, "-i")
    command = [
        ffmpeg,
        "-v",
        "error",
        *source,
        "-t",
        str(SECONDS),
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-c",
        "copy",
        "-f",
        "framecrc",
        "-",
    ]
    try:
        played = await run(*command)
    except TimeoutError:
        return "it did not end"
    lines = played.stdout.decode().splitlines()
    kinds = dict(re.findall(r"#media_type (\d+): (\w+)", "\n".join(lines)))
    counts = Counter(kinds[line.split(",")[0]] for line in lines if line and line[0].isdigit())
    if counts["video"] < SECONDS * FPS * 0.8 or counts["audio"] < SECONDS * 30:
        return f"{counts['video']} pictures, {counts['audio']} of sound: {played.stderr[:300]}"
    return ""


async def watch_by_webrtc(names: dict[str, str]) -> str:
    """Watch until a second of pictures and sound was decoded; returns what is wrong, or nothing."""
    try:
        await watch(f"http://127.0.0.1:{names['http']}/live/x/whep", FPS)
    except (TimeoutError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


async def newest_recording(folder: str) -> str:
    """Return a file that is being recorded and has something to read."""

    def look() -> str | None:
        files = [path for path in Path(folder).rglob("*.mp4") if path.stat().st_size > 200_000]
        return str(files[-1]) if files else None

    return str(await eventually(look, what="a recording"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way_in", WAYS_IN)
async def test_what_comes_in_any_way_goes_out_every_way(
    ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], way_in: str
) -> None:
    async with serve(tmp_path) as names:
        publish = [argument.format(**names) for argument in WAYS_IN[way_in]]
        source = ["-re", "-stream_loop", "-1", "-i", str(clip())]
        async with running(ffmpeg, "-v", "error", *source, *publish):
            names["recording"] = await newest_recording(names["folder"])
            some = asyncio.Semaphore(4)

            async def cell(way_out: str) -> str:
                async with some:
                    return await play(ffmpeg, WAYS_OUT[way_out], names)

            faults = dict(zip(WAYS_OUT, await asyncio.gather(*map(cell, WAYS_OUT)), strict=True))
            faults["whep"] = await watch_by_webrtc(names)
    with capsys.disabled():
        cells = "  ".join(f"{way_out} {'-' if fault else 'ok'}" for way_out, fault in faults.items())
        print(f"\n{way_in:>9} -> {cells}")
    assert not any(faults.values()), {way_out: fault for way_out, fault in faults.items() if fault}
