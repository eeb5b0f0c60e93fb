"""The command `arcly`."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from importlib import import_module
from typing import Any, TypeAlias

from arcly import __version__
from arcly.server.access_options import add_access
from arcly.server.default import Default
from arcly.server.numbers import not_negative, positive, whole
from arcly.server.record_options import add_recording

DESCRIPTION = "The live-media server that is a Python library."

SERVE = """\
Run a server: publish to it over RTMP, RTSP, SRT and WebRTC (WHIP), watch over WebRTC (WHEP), HLS, DASH, HTTP-FLV,
HTTP-TS, RTMP, RTSP and SRT.

Any application and stream name is accepted: rtmp://HOST/live/cam becomes the stream live/cam, and
http://HOST:8888/live/cam/ plays it. Only the applications api, recordings and static are the page's own.
"""

EXAMPLES = """\
examples:
  arcly serve --demo                      a server with a stream to look at; open http://localhost:8888/
  arcly serve --rtmp :1936 --http :80     other ports
  arcly serve --https :8443 --rtmps :1936 --tls-cert fullchain.pem --tls-key privkey.pem
  arcly serve --rtmp 127.0.0.1:1935       publishers from this machine only
  arcly serve --rtmp off --demo           no RTMP at all
  arcly serve --pull live/feed=udp://239.0.0.1:1234?iface=eth0     a transport stream of a multicast group
  arcly serve --pull live/tv-{program}=udp://:5000                 each program of one that comes to port 5000
  arcly serve --push live/cam=udp://239.0.0.2:1234?bitrate=6000000 and one that goes out, at a constant rate
  arcly serve --pull-on-demand live/gate=rtmp://cam.lan/live/1     a camera, while somebody watches
  arcly serve --auth-users users.txt --https :8443 --rtmps :1936 --tls-cert …   who has a password
  arcly serve --record DIR --record-keep 7d --record-keep 500GB
  arcly serve @arcly.conf                 options from a file, as they stand here; # begins a comment

publish from ffmpeg:
  ffmpeg -re -i clip.mp4 -c copy -f flv rtmp://localhost/live/cam
  ffmpeg -re -i clip.mp4 -c copy -f mpegts 'srt://localhost:8890?streamid=publish:live/cam&pkt_size=1316'
publish from OBS (Settings, Stream, Service: Custom):
  Server rtmp://localhost/live   Stream Key cam
watch:
  http://localhost:8888/                           the page, with all streams
  http://localhost:8888/live/cam/index.m3u8        HLS, for any other player (manifest.mpd: DASH)
  http://localhost:8888/live/cam.flv (.ts, .mp4)   without delay: ffplay, VLC, mpegts.js
  rtmp://localhost/live/cam                        the same over RTMP
  rtsp://localhost:8554/live/cam                   the same over RTSP, TCP or UDP
  srt://localhost:8890?streamid=read:live/cam      the same over SRT
"""


PROBE = """\
Show what is in a media file or stream: tracks, groups of pictures, bit rates, and faults of its timestamps.

The file is read once, whatever its size. The exit status is 0 when there was something to report.
"""

PROBE_EXAMPLES = """\
examples:
  arcly probe clip.mp4
  arcly probe recording.ts --json | jq .tracks[0].gop
  arcly probe http://localhost:8888/live/cam.flv --seconds 10
  arcly probe rtsp://user:secret@cam.lan/stream1              rtmp[s]://, srt://, udp:// and rtp:// too
"""

RELAY = """\
Carry a live stream, or a file in real time, to other servers, to UDP and into files.

A lost connection is tried again: after half a second, then after longer and longer waits up to half a minute. A target
that is slow or gone holds up nobody else. What a target cannot take (a codec of Enhanced RTMP) is left out and said.
USER:PASSWORD@ in a URL logs in: with RTSP as the server asks, with RTMP also where that is authmod=adobe (Wowza).
Ctrl-C or SIGTERM ends it in order. The exit status is 0, or 1 when the source or a target had to be given up.
"""

RELAY_EXAMPLES = """\
examples:
  arcly relay rtmp://origin/live/cam rtmp://edge/live/cam            from one server to another
  arcly relay rtmp://origin/live/cam rtmps://a/live2/KEY copy.ts     to a platform, and a copy on the disk
  arcly relay clip.mp4 rtmp://localhost/live/cam --loop              a file, again and again
  arcly relay rtmps://cam.lan/live/1 rtmp://localhost/live/cam --ca-file our-ca.pem
  arcly relay rtmp://origin/live/cam rtmp://edge/live/cam --retries 5
  arcly relay rtsp://user:secret@cam.lan/stream1 rtmp://localhost/live/gate        a camera; rtspu:// for UDP
  arcly relay "srt://origin:8890?streamid=read:live/cam&latency=500000" rtmp://localhost/live/cam   over a bad network
  arcly relay udp://239.0.0.1:1234?iface=eth0 rtmp://localhost/live/tv             MPEG-TS from a multicast group
  arcly relay rtmp://origin/live/cam "rtp://239.0.0.2:5004?ttl=8&bitrate=6000000"  and into one, at a constant rate
"""

CAMERAS = """\
List the ONVIF cameras of the local network: what they are, and where their streams and pictures are.

Cameras show their streams to those they know: give a name by --user, and the password in the variable
ARCLY_CAMERA_PASSWORD of the environment. The exit status is 0 when a camera was found.
"""

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    try:
        try:
            return run_command(arguments)
        finally:
            print(end="", flush=True)  # Here it can still be answered for; `--help` leaves by an exception.
    except BrokenPipeError:
        # Who reads has seen enough, as `head` does. At its end Python would write again what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def run_command(arguments: list[str] | None) -> int:
    """Run the command; returns the exit status."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    try:
        run = import_module(f"arcly.server.{options.command}").run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("arcly"):
            raise
        print(f"arcly {options.command} needs the package {error.name}: pip install 'arcly[server]'", file=sys.stderr)
        return 1
    status: int = run(options)
    return status


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line says; ends the process where it says nothing that is known."""
    top = parser()
    files = ", ".join(word[1:] for word in arguments if word.startswith("@"))
    try:
        options, unknown = top.parse_known_args(arguments)
    except UnicodeDecodeError as error:
        top.error(f"{files}: not {error.encoding.upper()} at byte {error.start}")
    if unknown:
        named = " ".join(filter(None, map(option_in, unknown)))
        where = f" in {files}" if files and not set(unknown) & set(arguments) else ""
        top.error(f"unrecognized arguments{where}: {named or 'words without an option'}")
    return options


def option_in(word: str) -> str:
    """Return the option that a word names, or nothing: what else is there is not repeated, it may be a password."""
    found = re.match(r"--[a-z][a-z-]*(?==|$)", word)
    return found[0] if found else ""


class Words(shlex.shlex):
    """The words of a line, as a shell reads them: a `#` begins a comment only where a word could begin."""

    state: str | None
    """What it reads: a space between words."""

    def __init__(self, line: str) -> None:
        super().__init__(line, posix=True)
        self.whitespace_split = True

    @property
    def commenters(self) -> str:
        """What begins a comment, here."""
        return "#" if self.state == " " else ""

    @commenters.setter
    def commenters(self, _: str) -> None:
        """Pass over what the base class would have."""


class Parser(argparse.ArgumentParser):
    """A parser whose files of options (`@FILE`) are written as a shell reads a line: with quotes and comments.

    Options are written out: an error about an abbreviation that fits several repeats what was given for it, too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """Return the words of a line."""
        where = option_in(next(iter(arg_line.split()), "")) or "a line without an option"
        # From Python 3.12 on files are read as arguments are: bytes that are no UTF-8 become surrogates.
        if any("\ud800" <= letter <= "\udfff" for letter in arg_line):
            self.error(f"{where}: not UTF-8")
        try:
            return list(Words(arg_line))
        except ValueError as error:
            self.error(f"{where}: {error}")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = Parser(prog="arcly", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"arcly {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")
    add_serve(commands)
    add_probe(commands)
    add_relay(commands)
    add_cameras(commands)
    return top


def add_serve(commands: Commands) -> None:
    """Add `arcly serve`."""
    serve = commands.add_parser(
        "serve",
        help="run a server",
        # All of its options would be twenty lines in front of each error.
        usage="%(prog)s [OPTION ...] [@FILE]",
        fromfile_prefix_chars="@",
        description=SERVE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listeners = serve.add_argument_group(
        "listeners",
        "HOST:PORT, :PORT for all addresses of this machine, or off; a default that is taken is left out",
    )
    listeners.add_argument(
        "--rtmp", metavar="ADDR", default=Default(":1935"), help="RTMP, for encoders (default: %(default)s)"
    )
    listeners.add_argument("--rtmps", metavar="ADDR", default="off", help="RTMP over TLS (default: off; usual: :1936)")
    listeners.add_argument(
        "--rtsp", metavar="ADDR", default=Default(":8554"), help="RTSP, for cameras and players (default: %(default)s)"
    )
    listeners.add_argument("--rtsps", metavar="ADDR", default="off", help="RTSP over TLS (default: off; usual: :8322)")
    listeners.add_argument(
        "--rtsp-udp",
        metavar="PORT",
        default=Default("8000"),
        help="RTSP's media by UDP: RTP on this port, RTCP on the next, or off (default: %(default)s)",
    )
    listeners.add_argument(
        "--rtsps-srtp",
        metavar="PORT",
        default="off",
        help="encrypt the media of RTSPS by SRTP (players that do not know it are refused), and send it by UDP, "
        "too: RTP on this port, RTCP on the next (default: off; usual: 8004)",
    )
    listeners.add_argument(
        "--rtsps-srtp-optional",
        action="store_true",
        help="with --rtsps-srtp: players that do not know SRTP play over the connection",
    )
    listeners.add_argument(
        "--rtsp-multicast",
        metavar="NETWORK[:PORT]",
        default="224.1.0.0/16:8002",
        help="groups of RTSP, one for each stream that is played by multicast, or off (default: %(default)s)",
    )
    listeners.add_argument(
        "--srt", metavar="ADDR", default=Default(":8890"), help="SRT, both ways (default: %(default)s)"
    )
    listeners.add_argument(
        "--http", metavar="ADDR", default=Default(":8888"), help="page and HLS (default: %(default)s)"
    )
    listeners.add_argument(
        "--https",
        metavar="ADDR",
        default="off",
        help="the same over TLS (default: off; usual: :8443); the port of --http: both there",
    )
    listeners.add_argument(
        "--webrtc", metavar="ADDR", default=Default(":8189"), help="media of WebRTC, UDP and TCP (default: %(default)s)"
    )
    listeners.add_argument(
        "--webrtc-host",
        metavar="HOST",
        action="append",
        help="where peers of WebRTC reach this machine, if it is behind a NAT; may be given several times",
    )
    listeners.add_argument(
        "--webrtc-stun",
        metavar="HOST:PORT",
        action="append",
        help="STUN server that is asked for that address instead; may be given several times",
    )
    listeners.add_argument(
        "--webrtc-b-frames",
        choices=["drop", "pass", "transcode"],
        default="drop",
        help="what WebRTC does with B-frames, which browsers do not take: transcode needs arcly[av] and costs an "
        "encoder for each stream that is watched (default: %(default)s)",
    )
    tls = serve.add_argument_group("TLS", "PEM files; when they change, new connections get the new certificate")
    tls.add_argument("--tls-cert", metavar="FILE", help="certificate, with its chain behind it")
    tls.add_argument("--tls-key", metavar="FILE", help="private key")
    add_access(serve)
    sources = serve.add_argument_group(
        "other servers",
        "as KEY=URL, with rtmp[s]://HOST/APP/STREAM, rtsp[s]://HOST/PATH, srt://HOST:PORT?streamid=NAME, or udp:// and "
        "rtp://HOST:PORT for MPEG-TS",
    )
    sources.add_argument(
        "--pull", metavar="KEY=URL", action="append", default=[], help="publish it here; may be repeated"
    )
    sources.add_argument(
        "--pull-on-demand",
        metavar="KEY=URL",
        action="append",
        default=[],
        help="the same, but only while somebody watches; may be repeated",
    )
    sources.add_argument(
        "--push", metavar="KEY=URL", action="append", default=[], help="send a stream of ours there; may be repeated"
    )
    srt = serve.add_argument_group("SRT")
    srt.add_argument(
        "--srt-latency-ms",
        metavar="MS",
        type=not_negative,
        default=120.0,
        help="how long lost packets may be asked for again; peers may want more (default: %(default)g)",
    )
    srt.add_argument(
        "--srt-passphrase",
        metavar="TEXT",
        help="encrypt: publishers and viewers must know it, 10 to 79 bytes (default: in the clear)",
    )
    viewers = serve.add_argument_group("viewers", "of RTMP, RTSP, and of FLV, TS and MP4 over HTTP")
    viewers.add_argument(
        "--flush",
        choices=["picture", "packet"],
        default="picture",
        help="write with each picture and the sound before it, or each packet at twice the cost (default: %(default)s)",
    )
    viewers.add_argument(
        "--merge-ms",
        metavar="MS",
        type=not_negative,
        default=0.0,
        help="pictures of so long leave together: cheaper and later (default: %(default)g)",
    )
    viewers.add_argument(
        "--show-addresses",
        metavar="TO",
        choices=["nobody", "local", "everybody"],
        default="local",
        help="who sees the addresses of viewers and publishers on the page and in its API: nobody, whoever opens it on "
        "this machine (local), or everybody; behind a proxy on this machine everybody is local (default: %(default)s)",
    )
    viewers.add_argument(
        "--allow-kick",
        action="store_true",
        help="let everybody who can open the page disconnect viewers: it asks for no password (default: nobody)",
    )
    add_recording(serve)
    hls = serve.add_argument_group("HLS and DASH")
    hls.add_argument(
        "--hls-part",
        metavar="SECONDS",
        type=not_negative,
        default=0.2,
        help="parts of segments; players with low latency stay three behind; 0: none (default: %(default)g)",
    )
    hls.add_argument(
        "--hls-segment",
        metavar="SECONDS",
        type=not_negative,
        default=1.0,
        help="a segment ends at the first key frame from here on (default: %(default)g)",
    )
    hls.add_argument(
        "--hls-window",
        metavar="SECONDS",
        type=not_negative,
        default=15.0,
        help="how far viewers can go back, kept in memory but for --hls-spill (default: %(default)g)",
    )
    hls.add_argument(
        "--hls-window-mb",
        metavar="MB",
        type=positive,
        default=1024,
        help="memory of a stream for that, MPEG-TS included (default: %(default)d)",
    )
    hls.add_argument(
        "--hls-ts", choices=["on", "off"], default="on", help="MPEG-TS too, at ts.m3u8 (default: %(default)s)"
    )
    hls.add_argument(
        "--hls-idle",
        metavar="SECONDS",
        type=not_negative,
        help="package a stream only while somebody watches it by HLS or DASH, and so long after: the first viewer "
        "waits for a segment, and a stream that nobody watches takes a sixth of the memory (default: always)",
    )
    hls.add_argument(
        "--hls-spill",
        metavar="DIR|s3://BUCKET",
        help="keep the older part of the window there, this server's alone (default: none)",
    )
    hls.add_argument(
        "--hls-memory",
        metavar="SECONDS",
        type=not_negative,
        default=60.0,
        help="with --hls-spill: so much of the window stays in memory (default: %(default)g)",
    )
    hls.add_argument(
        "--hls-encrypt",
        metavar="N",
        nargs="?",
        type=whole,
        const=60,
        help="AES-128 of segments, a new key after N of them, by default 60; no DASH then (default: in the clear)",
    )
    serve.add_argument("--demo", action="store_true", help="publish an endless test stream as live/demo")
    serve.add_argument(
        "--drain",
        metavar="SECONDS",
        type=not_negative,
        default=0.0,
        help="how long publishers may go on after Ctrl-C or SIGTERM; a second one ends that (default: %(default)g)",
    )
    serve.add_argument(
        "--rtmp-reconnect",
        metavar="URL",
        help="where publishers and players of Enhanced RTMP are asked to go on meanwhile: rtmp://HOST[:PORT], or same:"
        " where they are, as behind a balancer that sends them to another server then",
    )
    serve.add_argument(
        "--metrics",
        metavar="ADDR",
        default="off",
        help="numbers for Prometheus, at /metrics; needs arcly[prometheus] (default: off; usual: 127.0.0.1:9998)",
    )
    serve.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="how much is said on standard error (default: %(default)s)",
    )


def add_probe(commands: Commands) -> None:
    """Add `arcly probe`."""
    probe = commands.add_parser(
        "probe",
        help="show what is in a media file or stream",
        description=PROBE,
        epilog=PROBE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    probe.add_argument("source", metavar="FILE|URL", help="MPEG-TS, FLV or MP4, or a live stream")
    probe.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    probe.add_argument(
        "--seconds",
        type=not_negative,
        metavar="N",
        help="stop after so long (default: at the end; rtmp:// and the like: 10)",
    )


def add_relay(commands: Commands) -> None:
    """Add `arcly relay`."""
    relay = commands.add_parser(
        "relay",
        help="carry a stream to other servers and files",
        description=RELAY,
        epilog=RELAY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    remotes = "rtmp[s]://, rtsp[s]://, srt://, udp://, rtp://"
    relay.add_argument("source", metavar="SRC", help=f"{remotes}, or a file: MPEG-TS, FLV or MP4")
    relay.add_argument("targets", metavar="DST", nargs="+", help=f"{remotes}, or a file: .ts, .flv or .mp4")
    relay.add_argument("--loop", action="store_true", help="begin a file again at its end, its times going on")
    relay.add_argument(
        "--retries", type=whole, metavar="N", help="give a connection up after N retries in a row (default: never)"
    )
    tls = relay.add_argument_group("rtmps://")
    tls.add_argument("--ca-file", metavar="FILE", help="PEM file with authorities to trust besides the system's")
    tls.add_argument(
        "--insecure",
        action="store_true",
        help="take any certificate, as a self-signed one: anybody on the way can listen",
    )
    relay.add_argument(
        "--enhanced",
        choices=["auto", "always", "never"],
        default="auto",
        help="send codecs that need Enhanced RTMP: if the target says that it takes them (default: %(default)s)",
    )
    relay.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="how much is said on standard error (default: %(default)s)",
    )


def add_cameras(commands: Commands) -> None:
    """Add `arcly cameras`."""
    cameras = commands.add_parser(
        "cameras",
        help="list the cameras of the local network",
        description=CAMERAS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cameras.add_argument("--user", metavar="NAME", help="who asks; the password is in ARCLY_CAMERA_PASSWORD")
    cameras.add_argument("--interface", metavar="NIC", help="ask by this network interface: its name or IPv4 address")
    cameras.add_argument("--ipv6", action="store_true", help="ask by IPv6")
    cameras.add_argument("--target", metavar="HOST:PORT", help="ask there, and not the group of all cameras")
    cameras.add_argument(
        "--seconds",
        metavar="N",
        type=not_negative,
        default=3.0,
        help="how long answers are waited for (default: %(default)g)",
    )
    cameras.add_argument("--json", action="store_true", help="JSON instead of a table")


if __name__ == "__main__":
    sys.exit(main())
