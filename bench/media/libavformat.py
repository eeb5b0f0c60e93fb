"""libavformat, measured: `libavformat.py mux|demux FORMAT FILE`.

Reads the packets of FILE. For each line on the standard input it muxes them into nothing, or demuxes FILE, once or
more, and prints the CPU time of one packet in nanoseconds.
"""

import sys
import time
from collections.abc import Callable

import av

FORMATS = {"ts": "mpegts", "mp4": "mp4"}

OPTIONS = {"mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}
"""What libavformat needs to know to write a stream and not a file."""

ROUND_NS = 20_000_000
"""A round lasts so long at least."""

QUICKLY = {"probesize": "20000", "analyzeduration": "0"}
"""Opening a file looks into it; so little that it hides nothing of what is measured."""


def main() -> None:
    """Answer each line on standard input by the cost of a round."""
    what, name, path = sys.argv[1:]
    av.logging.set_level(None)
    rounds = {"mux": mux, "demux": demux}[what](FORMATS[name], path)
    for _ in sys.stdin:
        print(per_packet(rounds), flush=True)


def per_packet(once: Callable[[], tuple[int, int]]) -> float:
    """Return the nanoseconds of processor time for a packet, of rounds that are long enough to be measured."""
    ns = packets = 0
    while ns < ROUND_NS:
        some_ns, some_packets = once()
        ns += some_ns
        packets += some_packets
    return ns / packets


def mux(name: str, path: str) -> Callable[[], tuple[int, int]]:
    """Mux the packets of a file into `/dev/null`, which libavformat opens itself: no call back into Python."""
    source = av.open(path)
    packets = [packet for packet in source.demux(video=0) if packet.size]

    def once() -> tuple[int, int]:
        with av.open("/dev/null", "w", format=name, options=OPTIONS.get(name, {})) as sink:
            stream = sink.add_stream_from_template(source.streams.video[0])
            for packet in packets:
                packet.stream = stream
            sink.mux(packets[:1])
            began = time.thread_time_ns()
            sink.mux(packets[1:])
            spent = time.thread_time_ns() - began
        return spent, len(packets) - 1

    return once


def demux(_: str, path: str) -> Callable[[], tuple[int, int]]:
    """Demux the file, which is in the cache of the system."""

    def once() -> tuple[int, int]:
        with av.open(path, options=QUICKLY) as source:
            began = time.thread_time_ns()
            packets = sum(1 for packet in source.demux(video=0) if packet.size)
            spent = time.thread_time_ns() - began
        return spent, packets

    return once


if __name__ == "__main__":
    main()
