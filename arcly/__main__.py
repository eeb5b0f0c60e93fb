"""The command `arcly`."""

from __future__ import annotations

import argparse
import sys

from arcly import __version__

DESCRIPTION = "The live-media server that is a Python library."

SERVE = """\
Run a server: publish to it over RTMP, watch in a browser over HLS.

Any application and stream name is accepted: rtmp://HOST/live/cam becomes the stream live/cam, and
http://HOST:8888/live/cam/ plays it.
"""

EXAMPLES = """\
examples:
  arcly serve --demo                      a server with a stream to look at; open http://localhost:8888/
  arcly serve --rtmp :1936 --http :80     other ports
  arcly serve --rtmps :1936 --tls-cert fullchain.pem --tls-key privkey.pem
  arcly serve --rtmp 127.0.0.1:1935       publishers from this machine only
  arcly serve --rtmp off --demo           no RTMP at all

publish from ffmpeg:
  ffmpeg -re -i clip.mp4 -c copy -f flv rtmp://localhost/live/cam
publish from OBS (Settings, Stream, Service: Custom):
  Server rtmp://localhost/live   Stream Key cam
watch:
  http://localhost:8888/                           the page, with all streams
  http://localhost:8888/live/cam/index.m3u8        HLS, for any other player
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        from arcly.server.serve import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("arcly"):
            raise
        print(f"arcly serve needs the package {error.name}: pip install 'arcly[server]'", file=sys.stderr)
        return 1
    return run(options)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="arcly", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"arcly {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="run a server",
        description=SERVE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listeners = serve.add_argument_group("listeners", "HOST:PORT, :PORT for all addresses of this machine, or off")
    listeners.add_argument("--rtmp", metavar="ADDR", default=":1935", help="RTMP, for encoders (default: %(default)s)")
    listeners.add_argument("--rtmps", metavar="ADDR", default="off", help="RTMP over TLS (default: off; usual: :1936)")
    listeners.add_argument("--http", metavar="ADDR", default=":8888", help="page and HLS (default: %(default)s)")
    tls = serve.add_argument_group("TLS", "PEM files; when they change, new connections get the new certificate")
    tls.add_argument("--tls-cert", metavar="FILE", help="certificate, with its chain behind it")
    tls.add_argument("--tls-key", metavar="FILE", help="private key")
    serve.add_argument("--demo", action="store_true", help="publish an endless test stream as live/demo")
    serve.add_argument(
        "--drain",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="how long publishers may go on after Ctrl-C or SIGTERM; a second one ends that (default: %(default)g)",
    )
    serve.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="how much is said on standard error (default: %(default)s)",
    )
    return top


if __name__ == "__main__":
    sys.exit(main())
