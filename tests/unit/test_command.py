"""What the command says to a person who got it wrong: one line, with what to do about it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import run

import arcly
from arcly.__main__ import Parser, main, parser
from arcly.server.said import Lines, reason_of
from arcly.server.serve import DEMO_CLIP

ALONE = ("--rtmp", "off", "--rtsp", "off", "--srt", "off", "--webrtc", "off", "--http", "127.0.0.1:0")
"""Options of a server that takes no port which another one may have."""


async def arcly_says(*arguments: str | Path) -> tuple[int, str]:
    """Run the command to its end; return its exit status and what it says on standard error."""
    done = await run(sys.executable, "-m", "arcly", *arguments)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("probe", "http://127.0.0.1:1/cam.flv"), "arcly probe: http://127.0.0.1:1/cam.flv: Connection refused"),
        (("probe", "rtmp://127.0.0.1:1/live/cam"), "arcly probe: rtmp://127.0.0.1:1/live/cam: cannot connect to"),
        (("probe", "/nowhere/cam.mp4"), "arcly probe: /nowhere/cam.mp4: No such file or directory"),
        (("relay", "/nowhere/cam.mp4", "rtmp://127.0.0.1:1/live/cam"), "/nowhere/cam.mp4: No such file or directory"),
        (("cameras", "--target", "camera"), "'camera' is not an address of the form HOST:PORT"),
        (("serve", *ALONE, "--tls-cert", "/nowhere/a.pem", "--tls-key", "b.pem"), "/nowhere/a.pem: No such file"),
        (("serve", *ALONE, "--auth-users", "/nowhere/users"), "/nowhere/users: No such file or directory"),
        (("serve", *ALONE, "--hls-spill", __file__), f"{__file__}: File exists"),
        (("serve", *ALONE, "--record-move"), "--record-move needs --record DIR"),
        (("serve", *ALONE, "--record-streams", "live/*"), "--record-streams needs --record DIR"),
        (("serve", *ALONE, "--record-keep", "7d"), "--record-keep needs --record DIR"),
        (("serve", *ALONE, "--allow-record"), "--allow-record needs --record DIR"),
        (("serve", *ALONE, "--rtsps-srtp-optional"), "--rtsps-srtp-optional needs --rtsps-srtp PORT"),
        (("probe", "http://a..b/cam.flv"), "arcly probe: http://a..b/cam.flv: "),
        (("cameras", "--target", "a..b:3702"), "'a..b' is no name that a host can have"),
        (("serve", *ALONE, "--rtmp", "a..b:1935"), "'a..b' is no name that a host can have"),
        (("serve", *ALONE, "--http", "a..b:8888"), "'a..b' is no name that a host can have"),
        (("serve", *ALONE, "--metrics", "a..b:9998"), "'a..b' is no name that a host can have"),
        (("serve", *ALONE, "--webrtc", "127.0.0.1:0", "--webrtc-host", "not..host"), "'not..host' is no address that"),
        (("serve", *ALONE, "--webrtc", "127.0.0.1:0", "--webrtc-stun", "a..b:3478"), "'a..b' is no name that a host"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line_without_numbers_of_errors(
    arguments: tuple[str, ...], said: str
) -> None:
    status, text = await arcly_says(*arguments)
    lines = [line for line in text.splitlines() if " INF " not in line]
    assert (status, len(lines)) == (1, 1), text
    assert said in lines[0]
    assert "Errno" not in text


@pytest.mark.parametrize("arguments", [("probe", "--json", str(DEMO_CLIP)), ("probe", str(DEMO_CLIP)), ("--version",)])
async def test_who_reads_no_further_ends_the_command_without_a_traceback(arguments: tuple[str, ...]) -> None:
    """`arcly probe --json FILE | head` printed one."""
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "arcly", *arguments)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=writer, stderr=pipe, env=buffered)
    os.close(writer)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, said) == (1, b"")


def test_what_a_remote_says_stays_within_its_line_of_the_log() -> None:
    """Found by reading: why a server of RTMP refuses is said in its words, with whatever letters."""
    said = "the remote refused: \x1b[2J\x9b1A\n2026-01-01 00:00:00 INF all is well"
    line = Lines().format(logging.makeLogRecord({"levelname": "ERROR", "msg": "%s", "args": (said,)}))
    assert line.isprintable(), repr(line)
    assert line.endswith(r" ERR the remote refused: \x1b[2J\x9b1A\n2026-01-01 00:00:00 INF all is well")
    assert reason_of(OSError(said)) == said.encode("unicode_escape").decode()


@pytest.mark.parametrize(
    "names",
    [("clip.flv", "clip.flv"), ("clip.flv", "copy.ts", "link.flv"), ("clip.flv", "copy.ts", "below/../copy.ts")],
)
async def test_a_relay_neither_empties_its_source_nor_writes_a_file_twice(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "below").mkdir()
    clip = tmp_path / "clip.flv"
    clip.write_bytes(DEMO_CLIP.read_bytes())
    (tmp_path / "link.flv").symlink_to(clip)
    status, text = await arcly_says("relay", *(f"{tmp_path}/{name}" for name in names))
    assert (status, len(text.splitlines())) == (1, 1), text
    assert "are the same file" in text
    assert clip.read_bytes() == DEMO_CLIP.read_bytes()
    assert not (tmp_path / "copy.ts").exists()


async def test_a_relay_fails_where_its_source_is_broken(tmp_path: Path) -> None:
    """It was success, and the last copy was emptied."""
    copy, broken, headless = (tmp_path / name for name in ("copy.ts", "broken.flv", "headless.mp4"))
    copy.write_text("the last copy")
    headless.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x10mdat01234567")
    status, text = await arcly_says("relay", headless, copy)
    assert (status, copy.read_text()) == (1, "the last copy")
    assert f"ERR [file] the source was given up: {headless}: malformed MP4 without moov" in text
    broken.write_bytes(DEMO_CLIP.read_bytes()[:200_000] + b"\xff" * 100_000)
    status, text = await arcly_says("relay", broken, copy)
    assert status == 1
    assert f"ERR [file] the source was given up: {broken}: malformed" in text
    assert copy.stat().st_size > 100_000, "what came before it is there"


async def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(arcly.MisuseError, match=r"cert\.pem and .*key\.pem: there is no certificate"):
        arcly.Tls(tmp_path / "cert.pem", tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--drain", "-5"),
        ("--merge-ms", "-1"),
        ("--hls-part", "-1"),
        ("--hls-segment", "nan"),
        ("--hls-window", "inf"),
        ("--hls-idle", "-1"),
        ("--hls-window-mb", "1.5"),
        ("--hls-window-mb", "0"),
        ("--hls-encrypt", "-5"),
        ("--srt-latency-ms", "soon"),
    ],
)
def test_a_number_that_is_none_is_refused_by_the_name_of_its_option(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["serve", f"{option}={value}"])
    said = capsys.readouterr().err.splitlines()
    assert exit.value.code == 2
    assert len(said) == 2, "how it is used, and what is wrong"
    assert f"argument {option}: {value!r} is no" in said[1]


def test_options_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arcly.conf"
    file.write_text(
        """\
# Where it listens.
--rtmp 127.0.0.1:1936   # for the encoder
--http=:80

--pull "live/gate=rtsp://user:it's secret@cam.lan/1" --demo
"""
    )
    options = parser().parse_args(["serve", "--http", ":8080", f"@{file}", "--rtmp", "off"])
    assert (options.rtmp, options.http, options.demo) == ("off", ":80", True), "what comes later holds"
    assert options.pull == ["live/gate=rtsp://user:it's secret@cam.lan/1"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--srt-passphrase long-enough-pass#word # a comment", ["--srt-passphrase", "long-enough-pass#word"]),
        ("--pull live/cam=rtsp://admin:p#ss1@cam.lan/1", ["--pull", "live/cam=rtsp://admin:p#ss1@cam.lan/1"]),
        ('"#x" y\\#z', ["#x", "y#z"]),
        ("# nothing", []),
        ("a\t#b", ["a"]),
    ],
)
def test_a_comment_begins_where_a_word_could(line: str, words: list[str]) -> None:
    assert parser().convert_arg_line_to_args(line) == words


@pytest.mark.parametrize(("text", "said"), [("--pull 'live/a", "No closing quotation"), ("--nothing", "--nothing")])
def test_a_file_of_options_that_is_wrong_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "arcly.conf"
    file.write_text(text)
    with pytest.raises(SystemExit):
        parser().parse_args(["serve", f"@{file}"])
    assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser().parse_args(["serve", f"@{tmp_path}/missing.conf"])
    assert "missing.conf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pull", "rtsp://user:secret@cam.lan/1"), "--pull needs KEY=URL"),
        (("--pull-on-demand", "rtsp://user:secret@cam.lan/1?a=b"), "--pull-on-demand needs KEY=URL"),
        (("--push", "rtmp://user:se=secret@cam.lan/a/b"), "--push needs KEY=URL"),
        (("--auth-jwt", "secret"), "--auth-jwt needs ALGORITHMS=KEYS"),
        (("--auth-url", "user:secret@auth.lan/"), "not a URL of the form"),
        (("--auth-url", "http://user:secret@auth.lan/#x"), "not a URL of the form"),
        (("--srt-pasphrase", "secret-and-long"), "unrecognized arguments: --srt-pasphrase"),
        (("--srt-pasphrase=secret-and-long",), "unrecognized arguments: --srt-pasphrase"),
        (("--srt-pasphrase", "-secret-and-long"), "unrecognized arguments: --srt-pasphrase\n"),
        (("--srt-pasphrase", "--Secret=and-long-secret"), "unrecognized arguments: --srt-pasphrase\n"),
        (("--pul=live/cam=rtsp://user:secret@cam.lan/1",), "unrecognized arguments: --pul\n"),
        (("--rtmp", "127.0.0.1:0", "--drain", "5", "--rtmp-reconnect", "rtmp://me:secret@host"), "rtmp://HOST[:PORT]"),
        (("rtsp://user:secret@cam.lan/1",), "unrecognized arguments: words without an option"),
        (("@it's",), "--srt-passphrase: No closing quotation"),
        (("@abbreviated",), "abbreviated: --pul\n"),
    ],
)
async def test_a_password_in_an_option_that_is_wrong_is_not_repeated(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Found by reading: URLs of cameras, and lines of files of options, stood in the log with all that was in them."""
    (tmp_path / "it's").write_text("--srt-passphrase it's-secret")
    (tmp_path / "abbreviated").write_text("--pul=live/cam=rtsp://user:secret@cam.lan/1")
    words = (f"@{tmp_path}/{word[1:]}" if word.startswith("@") else word for word in arguments)
    status, text = await arcly_says("serve", *ALONE, *words)
    assert status in (1, 2)
    assert said in text
    assert "secret" not in text.lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("@",), "--http: '127.0.0.1:80x' is not an address"),
        (("--rtmp", ":99999"), "--rtmp: ':99999' is no HOST:PORT: the port is too large, 65535 is the last"),
        (("--srt", "8443"), "--srt: '8443' is not an address"),
        (("--push", "x=rtmp://h/a/b"), "--push needs APP/STREAM in front of =URL: the app name is empty"),
        (("--pull", "live/x=foo://u:secret@h/a"), "--pull: foo:// is not spoken here"),
        (("--pull-on-demand", "live/x=rtmp://u:secret@h"), "--pull-on-demand: the URL has no application"),
        (("--auth-jwt", f"ES256={__file__}"), f"--auth-jwt with {__file__}: not a key for ES256"),
        (("--auth-url", "user:secret@auth.lan/"), "--auth-url: not a URL of the form"),
        (("--rtsp", "127.0.0.1:0", "--rtsp-udp", "70000"), "--rtsp-udp: '70000' is no port for RTP"),
        (("--rtsp", "127.0.0.1:0", "--rtsp-multicast", "all"), "--rtsp-multicast: 'all' is no network"),
        (("--hls-part", "100"), "--hls-…: part_s is 100"),
        (("--metrics", "x"), "--metrics: 'x' is not an address"),
        (("--rtmp", "no.host.invalid:1935"), "[rtmp] 'no.host.invalid' is no address of this machine: "),
        (("--record", "TMP", "--record-streams", "live"), "--record-…: 'live' matches no stream: names are APP/STREAM"),
    ],
)
async def test_what_is_wrong_names_its_option(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """A stranger had to guess to which of twenty lines of a file `the app name is empty` belonged."""
    file = tmp_path / "arcly.conf"
    file.write_text("--http 127.0.0.1:80x")
    given = {"@": f"@{file}", "TMP": str(tmp_path / "recordings")}
    status, text = await arcly_says("serve", *ALONE, *(given.get(word, word) for word in arguments))
    lines = [line for line in text.splitlines() if " INF " not in line]
    assert (status, len(lines)) == (1, 1), text
    assert f" ERR {said}" in lines[0]
    assert "secret" not in text
    assert "Errno" not in text


@pytest.mark.parametrize(
    ("line", "said"), [("rtmp = :1935", "words without an option"), ("--srt-pasphrase secret", "--srt-pasphrase")]
)
async def test_words_of_a_file_that_belong_to_no_option_name_the_file(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "arcly.conf"
    file.write_text(line)
    status, text = await arcly_says("serve", f"@{file}")
    assert status == 2
    assert f"unrecognized arguments in {file}: {said}" in text
    assert "secret" not in text


async def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """It was a traceback that named no file."""
    latin = tmp_path / "latin-1"
    latin.write_bytes("--demo # é".encode("latin-1"))
    status, text = await arcly_says("serve", *ALONE, "--auth-users", latin)
    assert (status, len(text.splitlines())) == (1, 1), text
    assert f"{latin}: not UTF-8 at byte 9" in text
    status, text = await arcly_says("serve", "--drain", "x", f"@{latin}")
    assert (status, "Traceback" in text, "not UTF-8" in text) == (2, False, True), text


def test_a_line_of_options_that_is_not_utf_8_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Found by reading: from Python 3.12 on no error came of it, and what was read was taken for the option."""
    with pytest.raises(SystemExit):
        Parser(prog="arcly").convert_arg_line_to_args("--demo caf\udce9")
    assert "not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (arcly.HlsPackager, {"part_s": -1}),
        (arcly.HlsPackager, {"segment_s": float("nan")}),
        (arcly.HlsPackager, {"window_s": float("inf")}),
        (arcly.HlsPackager, {"window_bytes_max": 0}),
        (arcly.HlsPackager, {"memory_s": -1}),
        (arcly.HlsPackager, {"playlist_segments": 0}),
        (arcly.HlsPackager, {"ts_segment_s": -1}),
        (arcly.HlsPackager, {"cmaf": False, "ts": False}),
        (arcly.HlsEncryption, {"rotate_segments": -1}),
        (arcly.HlsEncryption, {"iv": "none"}),
        (arcly.EgressOptions, {"flush": "frame"}),
        (arcly.EgressOptions, {"merge_s": -1}),
        (arcly.EgressOptions, {"viewers_max": -1}),
        (arcly.EgressOptions, {"stall_max_s": float("nan")}),
        (arcly.RtspHandler, {"multicast": "everybody"}),
        (arcly.RtspHandler, {"multicast": "192.0.2.0/24"}),
        (arcly.RtspHandler, {"multicast_port": 70_000}),
        (arcly.RtspHandler, {"udp_port": -5}),
        (arcly.RtspHandler, {"connections_max": -1}),
        (arcly.RtmpHandler, {"connections_max": -1}),
        (arcly.SrtHandler, {"connections_max": -1}),
        (arcly.HttpOrigin, {"connections_max": -1}),
        (arcly.WebRtcHandler, {"sessions_max": -1}),
        (arcly.WebRtcHandler, {"playout_delay_s": (5, 1)}),
        (arcly.WebRtcHandler, {"stun_servers": ["stun.example"] * 5}),
        (partial(arcly.PullSource, "rtmp://127.0.0.1/live/cam", "live/cam"), {"retries_max": -1}),
        (partial(arcly.PushTarget, "rtmp://127.0.0.1/live/cam", "live/cam"), {"retries_max": -1}),
    ],
)
def test_an_option_that_is_out_of_range_is_misuse_when_it_is_given(kind: Any, wrong: dict[str, Any]) -> None:
    """Not for each stream, later."""
    with pytest.raises(arcly.MisuseError):
        kind(**wrong)
