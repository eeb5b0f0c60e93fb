"""`arcly probe`: what it counts, and the faults that it finds in broken streams."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import json
import socketserver
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from conftest import eventually, run

import arcly
from arcly.media import MediaReader, Muxer
from arcly.probe import Survey, probe

Clip = Callable[..., Path]


def frames_of(path: Path) -> list[arcly.MediaFrame]:
    """All frames of a file."""
    return MediaReader(path).read(100_000)


def moved(frame: arcly.MediaFrame, *, dts: int = 0, pts: int = 0) -> arcly.MediaFrame:
    """The frame at another time."""
    return arcly.MediaFrame(
        frame, frame.tracks, track=frame.track, pts=frame.pts + pts, dts=frame.dts + dts, key=frame.is_key
    )


def faults(frames: list[arcly.MediaFrame]) -> dict[str, int]:
    """The faults of the video."""
    survey = Survey("test", "ts")
    survey.add(frames)
    report = survey.report(bytes_read=0, broken=0, problem=None)
    return {fault.kind: fault.count for fault in report.tracks[0].faults}


@pytest.mark.parametrize("ending", ["ts", "flv", "mp4"])
def test_a_good_file_has_no_faults_and_right_numbers(clip: Clip, ffmpeg: str, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    asyncio.run(run(ffmpeg, "-v", "error", "-i", clip(seconds=4), "-c", "copy", path))
    report = probe(path)
    assert (report.format, report.broken, report.configurations) == (ending, 0, 1)
    video, audio = report.tracks
    assert (video.frames, video.keys, video.info.codec) == (100, 4, "H264")
    assert video.frames_per_s == pytest.approx(25, rel=0.01)
    assert video.duration_s == pytest.approx(4, abs=0.05)
    gop = video.gop
    assert gop is not None
    assert (gop.count, gop.longest_frames, gop.reordered) == (3, 25, True)
    assert gop.average_s == pytest.approx(1, abs=0.002)
    assert audio.gop is None
    assert video.average_bits_per_s == pytest.approx(video.bytes * 8 / 4, rel=0.02)
    assert not video.faults
    assert not audio.faults


def test_each_fault_is_found_by_name(clip: Clip) -> None:
    good = [frame for frame in frames_of(clip(seconds=4, audio=False, b_frames=0))]
    assert faults(good) == {}
    assert faults(good[:50] + good[51:]) == {"gap": 1}
    assert faults(good[:50] + [moved(frame, dts=90_000 * 60, pts=90_000 * 60) for frame in good[50:]]) == {"jump": 1}
    assert faults(good[:50] + [moved(frame, dts=-9000, pts=-9000) for frame in good[50:]]) == {"dts_backwards": 1}
    assert faults([*good[:50], good[49], *good[50:]]) == {"dts_repeated": 1}
    assert faults([*good[:50], moved(good[50], pts=-900), *good[51:]]) == {"pts_before_dts": 1}


def test_notes_are_for_people(clip: Clip) -> None:
    report = probe(clip(seconds=12, gop=300))
    assert any("nobody can join in between" in note for note in report.notes)
    assert any("B-frames" in note for note in report.notes)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server for the files in `tmp_path`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=tmp_path)  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("format", ["ts", "flv", "mp4"])
def test_a_url_is_probed(clip: Clip, site: str, tmp_path: Path, format: str) -> None:
    muxer = Muxer(format)
    data = b"".join(muxer.write(frame) for frame in frames_of(clip(seconds=2))) + muxer.finish()
    (tmp_path / "clip").write_bytes(data)
    report = probe(f"{site}/clip")
    assert (report.format, report.bytes, [track.info.codec for track in report.tracks]) == (
        format,
        len(data),
        ["H264", "AAC"],
    )
    assert report.tracks[0].frames == 50


@contextlib.contextmanager
def answering(*said: bytes, then_silence: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A web server that says so to each request, and the requests."""
    asked: list[str] = []
    over = threading.Event()

    class Sayer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append("".join(iter(lambda: self.rfile.readline().decode("latin-1"), "\r\n")))
            self.wfile.write(b"".join(said))
            if then_silence:
                over.wait()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sayer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", asked
        finally:
            over.set()
            server.shutdown()
            thread.join()


def flv_of(path: Path) -> bytes:
    muxer = Muxer("flv")
    return b"".join(muxer.write(frame) for frame in frames_of(path))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_what_was_surveyed_is_reported_where_the_server_closes_inside_a_chunk(clip: Clip) -> None:
    """It ended in a traceback."""
    data = flv_of(clip(seconds=2))
    with answering(CHUNKED, chunk(data[:-5000]), b"ffff\r\n", data[-5000:]) as (at, _):
        report = probe(f"http://{at}/live.flv")
    assert report.tracks[0].frames > 10
    assert report.notes[-1] == "it breaks off: the connection was closed before the end"
    with (
        answering(CHUNKED, b"ffff\r\n", data[:100]) as (at, _),
        pytest.raises(ConnectionError, match="before the end"),
    ):
        probe(f"http://{at}/live.flv")
    # Where the length is known, the end of the connection alone tells.
    sized = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    for sent, notes in (data[:-5000], ["it breaks off: the connection was closed before the end"]), (data, []):
        with answering(sized, sent) as (at, _):
            report = probe(f"http://{at}/live.flv")
        assert [note for note in report.notes if "breaks off" in note] == notes


def test_what_was_surveyed_is_reported_where_nothing_more_comes(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcly.probe.web.SILENCE_S", 0.3)
    with answering(CHUNKED, chunk(flv_of(clip(seconds=2))), then_silence=True) as (at, _):
        report = probe(f"http://{at}/live.flv", seconds=600)
    assert report.tracks[0].frames > 10
    assert report.notes[-1] == "it breaks off: nothing came for 0.3 s"


def test_what_was_surveyed_is_reported_where_the_file_is_broken(clip: Clip, site: str, tmp_path: Path) -> None:
    """It was lost, with all frames in front of the broken tag that were read together with it."""
    data, path = flv_of(clip(seconds=4)), tmp_path / "bad.flv"
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 100_000)
    for source in (path, f"{site}/bad.flv"):
        report = probe(source)
        assert 40 < report.tracks[0].frames < 60
        assert report.notes[-1].startswith("it breaks off: malformed")
    path.write_bytes(data[:9] + b"\xff" * 100_000)
    for source in (path, f"{site}/bad.flv"):
        with pytest.raises(arcly.MalformedError) as caught:
            probe(source)
        assert str(caught.value).startswith(f"{source}: malformed")


async def test_what_an_mp4_that_was_cut_lacks_is_said(clip: Clip, ffmpeg: str, tmp_path: Path) -> None:
    """It was `left out: 705 (None)`."""
    whole, path = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    await run(ffmpeg, "-v", "error", "-i", clip(seconds=2), "-c", "copy", "-movflags", "+faststart", whole)
    path.write_bytes(whole.read_bytes()[:-50_000])
    report = probe(path)
    assert report.broken > 0
    assert report.problem == f"{report.broken} samples lie outside of the file, or their configuration is not known"


async def test_a_track_of_a_transport_stream_that_cannot_be_read_is_left_out(ffmpeg: str, tmp_path: Path) -> None:
    """It was not there: one track, no faults, nothing left out."""
    path = tmp_path / "mp2.ts"
    made = ["-f", "lavfi", "-i", "testsrc=d=1", "-f", "lavfi", "-i", "sine=d=1", "-c:v", "mpeg2video", "-c:a", "mp2"]
    await run(ffmpeg, "-v", "error", *made, path)
    report = probe(path)
    assert [track.info.codec for track in report.tracks] == ["MP2"]
    assert report.broken == 1
    assert report.problem == "unsupported MPEG-2 video (stream type 0x02) at PID 0x100"


def test_a_password_in_a_url_is_sent_and_not_said(clip: Clip) -> None:
    """It was taken for a part of the host, and printed."""
    with answering(CHUNKED, chunk(flv_of(clip(seconds=2))), b"0\r\n\r\n") as (at, asked):
        report = probe(f"http://studio:s3cret%40@{at}/live.flv?token=abc#here")
    assert "GET /live.flv?token=abc HTTP/1.1\r\n" in asked[0]
    assert f"\r\nHost: {at}\r\n" in asked[0]
    assert f"Authorization: Basic {base64.b64encode(b'studio:s3cret@').decode()}\r\n" in asked[0]
    assert report.source == f"http://{at}/live.flv"
    assert not [note for note in report.notes if "breaks off" in note]
    for answer, said in (b"HTTP/1.1 404 Gone fishing\r\n\r\n", "404 Gone fishing"), (b"junk\r\n", "junk"):
        with answering(answer) as (at, _), pytest.raises(ConnectionError) as caught:
            probe(f"http://studio:s3cret@{at}/live.flv")
        assert str(caught.value).strip() == f"http://{at}/live.flv: {said}"
    with pytest.raises(ConnectionError, match=r"^http://127\.0\.0\.1:1/x\.flv: Connection refused$"):
        probe("http://studio:s3cret@127.0.0.1:1/x.flv")


@pytest.mark.parametrize(
    "url", ["http://", "http:///x.flv", "http://h:port/x", "http://h/a b", "http://user@/x", "http://[::1/x"]
)
def test_what_is_no_url_is_said_in_a_line(url: str) -> None:
    with pytest.raises((arcly.MisuseError, ConnectionError)) as caught:
        probe(f"{url}?token=abc")
    assert "abc" not in str(caught.value)


@pytest.fixture
async def urls(clip: Clip) -> AsyncIterator[dict[str, str]]:
    """A server with one stream, and where it is to be had, by protocol."""
    rtmp, srt, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.SrtHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")
    rtsp = arcly.RtspHandler("127.0.0.1:0", udp_port=0)
    key = arcly.StreamKey.parse("live/cam")
    async with arcly.Engine(rtmp, rtsp, srt, http, arcly.FileSource(clip(seconds=4), key)) as engine:
        await eventually(lambda: (stream := engine.get_stream(key)) and stream.tracks)
        ports = {"rtmp": rtmp.address, "rtsp": rtsp.address, "http": http.address, "srt": srt.address}
        paths = {"rtmp": "/live/cam", "rtsp": "/live/cam", "http": "/live/cam.flv", "srt": "?streamid=read:live/cam"}
        yield {scheme: f"{scheme}://127.0.0.1:{at[1]}{paths[scheme]}" for scheme, at in ports.items() if at}


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp", "srt", "http"])
async def test_a_live_stream_is_probed_for_some_seconds(urls: dict[str, str], scheme: str) -> None:
    report = await asyncio.to_thread(probe, urls[scheme], seconds=1.5)
    video, audio = report.tracks
    assert (report.format, video.info.codec, audio.info.codec) == ("flv" if scheme == "http" else scheme, "H264", "AAC")
    assert video.frames >= 10
    assert video.frames_per_s == pytest.approx(25, rel=0.1)
    assert (report.bytes > 1000, report.broken) == (True, 0)


async def test_why_a_live_stream_cannot_be_probed_is_said(urls: dict[str, str]) -> None:
    with pytest.raises(ConnectionError, match="live/nobody"):
        await asyncio.to_thread(probe, urls["rtsp"].replace("cam", "nobody"))
    with pytest.raises(arcly.MisuseError, match="is not spoken here"):
        await asyncio.to_thread(probe, "gopher://host/live/cam")


async def test_the_command_prints_tables_and_json(clip: Clip, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "arcly", "probe", clip(seconds=2))
    tables = await run(*command)
    assert tables.returncode == 0, tables.stderr
    assert "…" not in tables.stdout.decode(), "on 80 columns the codecs were cut off"
    for word in ("H264", "640x360", "groups of pictures", "timestamps: no faults"):
        assert word in tables.stdout.decode()
    made = await run(*command, "--json")
    report = json.loads(made.stdout)
    assert [track["codec"] for track in report["tracks"]] == ["H264", "AAC"]
    assert report["tracks"][0]["gop"]["longest_frames"] == 25
    nothing = await run(sys.executable, "-m", "arcly", "probe", tmp_path / "missing.mp4")
    assert nothing.returncode == 1
    assert "missing.mp4" in nothing.stderr
    text = tmp_path / "text.ts"
    text.write_text("no media here")
    assert "neither MPEG-TS, FLV nor MP4" in (await run(sys.executable, "-m", "arcly", "probe", text)).stderr
