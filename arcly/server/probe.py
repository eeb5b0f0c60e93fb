"""`arcly probe`: a report as tables, or as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from rich.console import Console
from rich.table import Table

from arcly.errors import StreamError
from arcly.probe import Report, TrackReport, probe
from arcly.server.said import reason_of, shown

FAULTS = {
    "dts_backwards": "decoding time goes back",
    "dts_repeated": "decoding time repeats",
    "pts_before_dts": "shown before it is decoded",
    "gap": "frames are missing",
    "jump": "time jumps",
    "discontinuity": "the stream breaks",
}
"""What the kinds of faults are called for people."""


def run(options: argparse.Namespace) -> int:
    """Probe, print, and return the exit status: 0, or 1 when there is nothing to report."""
    # What a link says of its end is what the error says.
    logging.getLogger("arcly").setLevel(logging.CRITICAL)
    try:
        report = probe(options.source, seconds=options.seconds)
    except (StreamError, OSError) as error:
        print(f"arcly probe: {reason_of(error)}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(report.json(), indent=2))
    else:
        show(report, Console())
    return 0


def show(report: Report, console: Console) -> None:
    """Print tables."""
    console.print(f"{report.source}: {report.format}, {size(report.bytes)}", highlight=False, markup=False)
    console.print(tracks_table(report))
    if any(track.gop for track in report.tracks):
        console.print(gop_table(report))
    if any(track.faults for track in report.tracks):
        console.print(faults_table(report))
    else:
        console.print("timestamps: no faults")
    if report.broken:
        why = "" if report.problem is None else f" ({report.problem})"
        console.print(shown(f"left out: {report.broken}{why}"), style="yellow", markup=False)
    for note in report.notes:
        console.print(shown(f"note: {note}"), style="yellow", markup=False)


def tracks_table(report: Report) -> Table:
    """Return the tracks."""
    table = Table(title="tracks", title_justify="left")
    for name in ("track", "codec", "what", "frames", "length", "average", "peak 1 s"):
        # On a narrow terminal words are broken, not cut off: a pipe has 80 columns.
        table.add_column(name, justify="left" if name in ("codec", "what") else "right", overflow="fold")
    for track in report.tracks:
        codec = f"{track.info.codec} ({track.info.rfc6381})" if track.info.rfc6381 else track.info.codec
        table.add_row(
            str(track.id),
            codec,
            describe(track),
            str(track.frames),
            f"{track.duration_s:.3f} s",
            rate(track.average_bits_per_s),
            rate(track.peak_bits_per_s),
        )
    return table


def describe(track: TrackReport) -> str:
    """Return the facts of a track in a few words."""
    info, words = track.info, []
    if info.width is not None:
        words.append(f"{info.width}x{info.height}")
        words.append("? fps" if track.frames_per_s is None else f"{track.frames_per_s:.3f} fps")
        words.append(f"{info.chroma} {info.bit_depth} bit")
        transfer = {16: "PQ", 18: "HLG"}.get((info.colour or (2, 2, 2, False))[1])
        words += [transfer] if transfer else []
    if info.sample_rate_hz is not None:
        words += [f"{info.sample_rate_hz} Hz", f"{info.channels} ch"]
    words += [track.language] if track.language else []
    return ", ".join(words)


def gop_table(report: Report) -> Table:
    """Return the structure of the pictures."""
    table = Table(title="groups of pictures", title_justify="left")
    for name in ("track", "key frames", "shortest", "average", "longest", "B-frames"):
        table.add_column(name, justify="right")
    for track in report.tracks:
        gop = track.gop
        if gop is not None:
            lengths = [f"{s:.3f} s" if s is not None else "-" for s in (gop.shortest_s, gop.average_s, gop.longest_s)]
            table.add_row(str(track.id), str(track.keys), *lengths, "yes" if gop.reordered else "no")
    return table


def faults_table(report: Report) -> Table:
    """Return what is wrong with the times."""
    table = Table(title="faults of timestamps", title_justify="left", style="red")
    for name in ("track", "fault", "how often", "first at", "worst"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for track in report.tracks:
        for fault in track.faults:
            worst = f"{fault.worst_s:.3f} s" if fault.worst_s else "-"
            table.add_row(str(track.id), FAULTS[fault.kind], str(fault.count), f"{fault.first_at_s:.3f} s", worst)
    return table


def rate(bits_per_s: float | None) -> str:
    """Return a bit rate for people."""
    if bits_per_s is None:
        return "-"
    return f"{bits_per_s / 1e6:.2f} Mbit/s" if bits_per_s >= 1e6 else f"{bits_per_s / 1e3:.0f} kbit/s"


def size(bytes_read: int) -> str:
    """Return a number of bytes for people."""
    return f"{bytes_read / 1e6:.1f} MB" if bytes_read >= 1e6 else f"{bytes_read / 1e3:.1f} kB"
