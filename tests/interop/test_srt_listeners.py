"""Programs of libsrt that listen, and that we call: a stream is pulled from one and pushed to another."""

from __future__ import annotations

import itertools
import shlex
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from conftest import eventually, missing, run, running
from srt_server import SECRET, times
from test_srt_relay import free_port

import arcly

Command = list[str | Path]
ENOUGH = 60
"""Pictures: more than two seconds."""


def secured(url: str, key_bytes: int) -> str:
    """The same, encrypted where there is a key."""
    return f"{url}&passphrase={SECRET}&pbkeylen={key_bytes}" if key_bytes else url


def transmit(source: str, sink: str, clip: Path, out: Path) -> list[Command]:
    """Commands that send the clip from one listener, and write what the other gets: srt-live-transmit, fed by UDP."""
    program = shutil.which("srt-live-transmit")
    if program is None:
        missing("srt-live-transmit (on Debian: apt-get install srt-tools)")
    assert program is not None
    feed = f"udp://127.0.0.1:{free_port()}"
    camera = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", clip, "-c", "copy", "-f", "mpegts"]
    write = f"exec {shlex.join([program, '-q', sink, 'file://con'])} > {shlex.quote(str(out))}"
    return [[program, "-q", feed, source], [*camera, f"{feed}?pkt_size=1316"], ["sh", "-c", write]]


def gstreamer(source: str, sink: str, clip: Path, out: Path) -> list[Command]:
    """The same by srtsink and srtsrc."""
    program = shutil.which("gst-launch-1.0")
    if program is None:
        missing("GStreamer (on Debian: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad)")
    assert program is not None
    picture = "videotestsrc is-live=true ! video/x-raw,framerate=25/1 ! x264enc tune=zerolatency key-int-max=25"
    send = f'{picture} ! mpegtsmux alignment=7 ! srtsink uri="{source}" wait-for-connection=false'
    # Its clock would begin with the first packet, and what came before be late.
    write = f'srtsrc uri="{sink}" ! filesink location="{out}" sync=false buffer-mode=unbuffered'
    return [[program, "-q", *shlex.split(pipeline)] for pipeline in (send, write)]


@pytest.mark.parametrize(("program", "key_bytes"), [(transmit, 0), (transmit, 24), (gstreamer, 0), (gstreamer, 32)])
async def test_a_stream_is_pulled_from_a_listener_and_pushed_to_another(
    program: Callable[[str, str, Path, Path], list[Command]],
    key_bytes: int,
    ffmpeg: str,
    clip: Callable[..., Path],
    tmp_path: Path,
) -> None:
    from_url, to_url = (f"srt://127.0.0.1:{free_port()}" for _ in range(2))
    listeners = [secured(f"{url}?mode=listener", key_bytes) for url in (from_url, to_url)]
    # Room for a machine that is busy with something else: both sides have the longer latency.
    ours = [secured(f"{url}?latency_ms=1000", key_bytes).replace(" ", "%20") for url in (from_url, to_url)]
    source = arcly.PullSource(ours[0], "live/cam", backoff_s=(0.1, 0.2))
    target = arcly.PushTarget(ours[1], "live/cam", backoff_s=(0.1, 0.2))
    out = tmp_path / "out.ts"

    async def pictures() -> list[int]:
        read = await run(ffmpeg, "-v", "quiet", "-i", out, "-c", "copy", "-f", "framemd5", "-")
        return found if len(found := times(read)) >= ENOUGH else []

    async with AsyncExitStack() as stack:
        for command in program(listeners[0], listeners[1], clip(), out):
            await stack.enter_async_context(running(*command))
        await stack.enter_async_context(arcly.Engine(source, target))
        await eventually(lambda: source.status.frames >= ENOUGH, what="it is pulled")
        dts = await eventually(pictures, what="it is pushed")
        assert {later - earlier for earlier, later in itertools.pairwise(dts[:ENOUGH])} == {3600}
