"""The options of `arcly serve` for recordings. Imports nothing of what they are for."""

from __future__ import annotations

import argparse
from typing import Any


def add_recording(serve: argparse.ArgumentParser) -> None:
    """Add the options of recordings."""
    recording = serve.add_argument_group(
        "recordings", "of what is published, into files that can be played at any time"
    )
    recording.add_argument("--record", metavar="DIR", help="record below DIR (default: nothing is recorded)")
    recording.add_argument(
        "--record-streams",
        metavar="PATTERN",
        action="append",
        help="which streams: live/*, again and again (default: all; none: only those that the page or API asks for)",
    )
    recording.add_argument(
        "--record-format",
        choices=["fmp4", "mp4", "ts", "flv"],
        default="fmp4",
        help="fmp4 plays while it grows; mp4 is made ordinary when it is complete (default: %(default)s)",
    )
    recording.add_argument(
        "--record-segment",
        metavar="TIME",
        type=duration,
        default=600.0,
        help="a file ends at the first key frame after so long: 90s, 10m, 1h (default: 10m)",
    )
    recording.add_argument(
        "--record-keep",
        metavar="LIMIT",
        type=keep,
        action="append",
        default=[],
        help="delete files after so long (12h, 7d), or the oldest of more than so much (500MB, 2TB); both may be given",
    )
    recording.add_argument(
        "--record-to",
        metavar="URL",
        help="copy complete files there: s3://BUCKET/PREFIX?endpoint=URL&region=NAME, with keys from AWS_ACCESS_KEY_ID"
        " and AWS_SECRET_ACCESS_KEY, or of the machine's role, or another directory",
    )
    recording.add_argument(
        "--record-move", action="store_true", help="keep no copy of them below DIR; they are played from there"
    )
    recording.add_argument(
        "--allow-record",
        action="store_true",
        help="let everybody who can open the page begin, end and delete recordings: it asks for no password",
    )
    recording.add_argument(
        "--record-path",
        metavar="TEMPLATE",
        default="{app}/{stream}/{date}_{time}",
        help="names of files: also {unix_ms} and {number} (default: %(default)s)",
    )


UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
UNITS_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def duration(text: str) -> float:
    """Return the seconds of `90s`, `10m`, `1h` or `7d`."""
    number, unit = text[:-1], UNITS_S.get(text[-1:])
    if unit is None or not number.replace(".", "", 1).isdecimal() or float(number) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 10m, 1h or 7d")
    return float(number) * unit


def keep(text: str) -> tuple[str, float]:
    """Return what a limit of recordings limits, and at what."""
    for name, unit in UNITS_BYTES.items():
        number = text.removesuffix(name)
        if number != text and number.replace(".", "", 1).isdecimal():
            return "keep_bytes", float(number) * unit
    return "keep_s", duration(text)


def recorder_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `arcly.Recorder` is made with, but for its directory."""
    streams = ["*"] if options.record_streams is None else options.record_streams
    limits = {name: int(value) if name == "keep_bytes" else value for name, value in options.record_keep}
    return {
        "record": [pattern for pattern in streams if pattern != "none"],
        "format": options.record_format,
        "segment_s": options.record_segment,
        "template": options.record_path,
        "move": options.record_move,
        **limits,
    }
