"""RTSPS whose media is encrypted for each player (SRTP): FFmpeg reads `a=crypto`, GStreamer and our client MIKEY."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trustme
from conftest import eventually, run, running
from test_http_live import live
from test_rtmp_play import frames
from test_rtsp_clients import RtspServer, play, player, rtsp_serving, times
from test_rtsp_gstreamer import gst, shows, sink
from test_tls import issue

import arcly

__all__ = ["gst", "player", "sink"]


def sealing(folder: Path, **options: object) -> AbstractAsyncContextManager[RtspServer]:
    """A server that encrypts, for `localhost`; its authority is in `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    options = {"srtp": True, "udp_port": 0, **options}
    return rtsp_serving(arcly.RtspHandler("127.0.0.1:0", tls=issue(authority, folder), **options))  # type: ignore[arg-type]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RtspServer]:
    """A server that encrypts in any case."""
    async with sealing(tmp_path) as server:
        yield server


@pytest.fixture
async def lenient(tmp_path: Path) -> AsyncIterator[RtspServer]:
    """A server that encrypts for those who ask for it."""
    async with sealing(tmp_path, srtp="optional") as server:
        yield server


def url(server: RtspServer, scheme: str = "rtsps") -> str:
    """Where `live/cam` is."""
    return server.rtsp_url("live/cam").replace("rtsp://127.0.0.1", f"{scheme}://localhost")


def play_trusting(program: str, server: RtspServer, folder: Path, seconds: float = 3) -> list[str]:
    """The command that plays, and lists what came."""
    [name, *options] = play(program, url(server), seconds=seconds)
    # FFmpeg 5 knows no such option here, and believes everybody.
    trust = [] if name.startswith(("/usr/bin/", "/usr/local/bin/")) else ["-ca_file", str(folder / "ca.pem")]
    return [name, *trust, *options]


async def test_ffmpeg_plays_by_its_keys(
    server: RtspServer, player: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    async with live(server, player, clip(b_frames=0)):
        read = await run(*play_trusting(player, server, tmp_path))
        assert read.returncode == 0, read.stderr
        assert len(times(read.stdout, 0, 90_000)) >= 70
        assert len(times(read.stdout, 1, 44_100)) >= 115


@pytest.mark.parametrize("scheme", ["rtspsu", "rtspst"])
async def test_gstreamer_plays_by_mikey(
    server: RtspServer, gst: str, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, scheme: str
) -> None:
    source = f"rtspsrc location={url(server, scheme)} tls-validation-flags=0 latency=200"
    async with live(server, ffmpeg, clip(b_frames=0)):
        await shows([gst, "-q"], source, ffmpeg, tmp_path / "out.h264")


@pytest.mark.parametrize("suite", ["AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"])
async def test_gstreamer_plays_by_other_suites(
    gst: str, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, suite: str
) -> None:
    async with sealing(tmp_path, srtp_suite=suite) as server, live(server, ffmpeg, clip(b_frames=0)):
        source = f"rtspsrc location={url(server, 'rtspsu')} tls-validation-flags=0 latency=200"
        await shows([gst, "-q"], source, ffmpeg, tmp_path / "out.h264")


async def test_who_does_not_ask_for_srtp_plays_over_the_connection(
    lenient: RtspServer, player: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    async with live(lenient, player, clip(b_frames=0)):
        read = await run(*play_trusting(player, lenient, tmp_path))
        assert read.returncode == 0, read.stderr
        assert len(times(read.stdout, 0, 90_000)) >= 70
        assert len(times(read.stdout, 1, 44_100)) >= 115


async def test_who_asks_for_srtp_has_it_by_udp_beside_others(
    lenient: RtspServer, gst: str, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = f"rtspsrc location={url(lenient, 'rtspsu')} tls-validation-flags=0 latency=200"
    async with live(lenient, ffmpeg, clip(b_frames=0)):
        await shows([gst, "-q"], source, ffmpeg, tmp_path / "out.h264")


@pytest.mark.parametrize("scheme", ["rtsps", "rtspsu"])
async def test_a_stream_is_pulled_encrypted(
    server: RtspServer, ffmpeg: str, clip: Callable[..., Path], tmp_path: Path, scheme: str
) -> None:
    source = arcly.PullSource(url(server, scheme), "live/copy", ca_file=tmp_path / "ca.pem")
    async with live(server, ffmpeg, clip(b_frames=2)), arcly.Engine(source) as engine:
        await eventually(
            lambda: (it := engine.get_stream(arcly.StreamKey("live", "copy"))) and it.stats.video_frames > 60
        )
        [viewer] = server.rtsp.list_viewers()
        assert viewer.protocol == ("rtsp-udp" if scheme == "rtspsu" else "rtsp")
        stream = engine.get_stream(arcly.StreamKey("live", "copy"))
        assert stream is not None
        assert [track.codec for track in stream.tracks] == ["H264", "AAC"]
        await eventually(lambda: stream.stats.other_frames > 60, what="and its sound")


@pytest.mark.parametrize("scheme", ["rtsps", "rtspsu"])
async def test_a_stream_is_pushed_encrypted(
    server: RtspServer,
    ffmpeg: str,
    clip: Callable[..., Path],
    tmp_path: Path,
    scheme: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    push = arcly.PushTarget(
        url(server, scheme).replace("live/cam", "live/there"), "live/copy", ca_file=tmp_path / "ca.pem"
    )
    source = arcly.PullSource(url(server), "live/copy", ca_file=tmp_path / "ca.pem")
    async with live(server, ffmpeg, clip(b_frames=0)), arcly.Engine(source, push):
        there = await eventually(lambda: (it := server.stream("live/there")) and it.tracks and it)
        await eventually(lambda: there.stats.video_frames > 60)
        await eventually(lambda: there.stats.other_frames > 60, what="and its sound")
    assert "trying it by" not in caplog.text, "it goes as it was asked for"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_gstreamer_publishes_encrypted(
    server: RtspServer, gst: str, sink: str, ffmpeg: str, tmp_path: Path, protocol: str
) -> None:
    scheme = "rtspsu" if protocol == "udp" else "rtspst"
    target = [sink, f"location={url(server, scheme)}", "profiles=savp", "tls-validation-flags=0", "name=s"]
    pictures = "video/x-raw,width=320,height=240,framerate=25/1"
    video = f"videotestsrc is-live=true ! {pictures} ! x264enc tune=zerolatency key-int-max=25 ! s."
    async with running(gst, "-q", *target, *video.split()):
        stream = await eventually(lambda: (found := server.stream("live/cam")) and found.tracks and found)
        await eventually(lambda: stream.stats.video_frames > 50)
        read = await run(*play_trusting(ffmpeg, server, tmp_path, seconds=2))
        assert len(frames(read.stdout, 0)) >= 40


def test_srtp_needs_tls() -> None:
    with pytest.raises(arcly.MisuseError):
        arcly.RtspHandler(srtp=True)


async def test_a_suite_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(arcly.MisuseError, match="F8_128"):
        async with sealing(tmp_path, srtp_suite="F8_128_HMAC_SHA1_80"):
            pass
