"""What SRT costs a server: CPU time per gigabit, beside libsrt's own program doing the same job.

Everything is on one machine and the clients cost more than what is measured, so only the CPU time of the servers is
counted, not the time that passes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

BITS_PER_S = 2_500_000
SECRET = "a long passphrase"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
DATAGRAM_BYTES = 7 * 188

SERVER = """
import asyncio, sys
import arcly

async def main(port, passphrase):
    async with arcly.Engine(arcly.SrtHandler(f"127.0.0.1:{port}", passphrase=passphrase or None)) as engine:
        await engine.until_signal()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--publishers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        clip = make_clip(Path(directory))
        rows = measure(clip, options)
    if options.json:
        print('{"rows": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n]}")
    else:
        for row in rows:
            shown = {True: "yes", False: "NO", None: ""}[row["holds"]]
            values = "  ".join(f"{name} {row[name]}" for name in ("arcly", "peer", "ratio", "goal"))
            print(f"{row['name']:<48} {row['unit']:>8}  {values}  {shown}")
    return 0


def measure(clip: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    """All rows."""
    rows = []
    for name, passphrase in [("in the clear", ""), ("AES-128", SECRET)]:
        ours = serve_viewers(clip, options.viewers, options.seconds, passphrase)
        theirs = relay_viewers(clip, options.viewers, options.seconds, passphrase)
        rows.append(row(f"{options.viewers} viewers of 2.5 Mbit/s, {name}", ours, theirs, 0.5))
    ours = take_publishers(clip, options.publishers, options.seconds)
    theirs = relay_publishers(clip, options.publishers, options.seconds)
    rows.append(row(f"{options.publishers} publishers of 2.5 Mbit/s", ours, theirs, 0.6))
    return rows


def row(name: str, ours: float, theirs: float, at_most: float) -> dict[str, object]:
    """One line of the result."""
    ratio = ours / theirs
    values = {"name": name, "unit": "CPU s/Gbit", "arcly": round(ours, 3), "peer": round(theirs, 3), "floor": None}
    return values | {"ratio": round(ratio, 3), "goal": f"<= {at_most}", "holds": ratio <= at_most}


def make_clip(directory: Path) -> Path:
    """A transport stream of 2.5 Mbit/s."""
    path = directory / "clip.ts"
    rate = ["-b:v", "2250k", "-minrate", "2250k", "-maxrate", "2250k", "-bufsize", "500k"]
    source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25", "-f", "lavfi", "-i", "sine"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", *rate, "-c:a", "aac", "-b:a", "96k"]
    command = ["ffmpeg", "-v", "error", *source, *codecs, "-t", "20", "-muxrate", str(BITS_PER_S), str(path)]
    subprocess.run(command, check=True)
    return path


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program beside this one."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def cpu_s(processes: list[subprocess.Popen[bytes]]) -> float:
    """The CPU time that processes have used."""
    stats = [Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split() for process in processes]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS_PER_S


def per_gbit(servers: list[subprocess.Popen[bytes]], seconds: float, connections: int) -> float:
    """CPU seconds of servers per gigabit, of so many connections at the rate of the clip."""
    before, began = cpu_s(servers), time.monotonic()
    time.sleep(seconds)
    used, passed = cpu_s(servers) - before, time.monotonic() - began
    return used / (passed * connections * BITS_PER_S / 1e9)


def free_ports(count: int) -> list[int]:
    """UDP ports that nobody has now."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def query(passphrase: str) -> str:
    """What a URL says of encryption."""
    return f"&passphrase={passphrase}&pbkeylen=16" if passphrase else ""


def publish(clip: Path, url: str) -> list[str]:
    """The command that sends a clip for ever."""
    return ["ffmpeg", "-v", "quiet", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", "-f", "mpegts", url]


def transmit(source: str, target: str) -> list[str]:
    """libsrt's own program."""
    return ["srt-live-transmit", "-q", "-a", "no", source, target]


def serve_viewers(clip: Path, viewers: int, seconds: float, passphrase: str) -> float:
    """One arcly for all viewers."""
    [port] = free_ports(1)
    url = f"srt://127.0.0.1:{port}?streamid="
    with ExitStack() as stack:
        server = stack.enter_context(running(sys.executable, "-c", SERVER, str(port), passphrase))
        time.sleep(2)
        stack.enter_context(running(*publish(clip, f"{url}publish:live/cam&pkt_size=1316{query(passphrase)}")))
        time.sleep(3)
        for _ in range(viewers):
            stack.enter_context(running(*transmit(f"{url}read:live/cam{query(passphrase)}", "file://con")))
        time.sleep(3)
        return per_gbit([server], seconds, viewers)


def relay_viewers(clip: Path, viewers: int, seconds: float, passphrase: str) -> float:
    """A program of libsrt for each viewer."""
    ports, listens = free_ports(viewers), free_ports(viewers)
    with ExitStack() as stack:
        servers = []
        for port, listen in zip(ports, listens, strict=True):
            target = f"srt://127.0.0.1:{listen}?mode=listener{query(passphrase)}"
            servers.append(stack.enter_context(running(*transmit(f"udp://127.0.0.1:{port}", target))))
        time.sleep(2)
        for listen in listens:
            source = f"srt://127.0.0.1:{listen}?mode=caller{query(passphrase)}"
            stack.enter_context(running(*transmit(source, "file://con")))
        stack.enter_context(feeding(clip, ports))
        time.sleep(3)
        return per_gbit(servers, seconds, viewers)


def take_publishers(clip: Path, publishers: int, seconds: float) -> float:
    """One arcly for all publishers, which it demuxes too."""
    [port], ports = free_ports(1), free_ports(publishers)
    with ExitStack() as stack:
        server = stack.enter_context(running(sys.executable, "-c", SERVER, str(port), ""))
        time.sleep(2)
        for number, source in enumerate(ports):
            target = f"srt://127.0.0.1:{port}?streamid=publish:live/{number}"
            stack.enter_context(running(*transmit(f"udp://127.0.0.1:{source}", target)))
        stack.enter_context(feeding(clip, ports))
        time.sleep(3)
        return per_gbit([server], seconds, publishers)


def relay_publishers(clip: Path, publishers: int, seconds: float) -> float:
    """A program of libsrt for each publisher, which writes to nowhere."""
    ports, listens = free_ports(publishers), free_ports(publishers)
    with ExitStack() as stack:
        servers = []
        for listen in listens:
            command = transmit(f"srt://127.0.0.1:{listen}?mode=listener", "file://con")
            servers.append(stack.enter_context(running(*command)))
        time.sleep(2)
        for port, listen in zip(ports, listens, strict=True):
            target = f"srt://127.0.0.1:{listen}?mode=caller"
            stack.enter_context(running(*transmit(f"udp://127.0.0.1:{port}", target)))
        stack.enter_context(feeding(clip, ports))
        time.sleep(3)
        return per_gbit(servers, seconds, publishers)


FEEDER = """
import socket, sys, time
clip, bits_per_s, size, ports = open(sys.argv[1], "rb").read(), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
targets, at, began, sent = [("127.0.0.1", int(port)) for port in ports], 0, time.monotonic(), 0
while True:
    due = int((time.monotonic() - began) * bits_per_s / 8 / size)
    for _ in range(due - sent):
        datagram = clip[at : at + size]
        at = at + size if at + 2 * size <= len(clip) else 0
        for target in targets:
            sock.sendto(datagram, target)
    sent = due
    time.sleep(0.01)
"""


@contextmanager
def feeding(clip: Path, ports: list[int]) -> Iterator[None]:
    """The clip to all these ports at its rate, again and again."""
    arguments = [str(clip), str(BITS_PER_S), str(DATAGRAM_BYTES), *map(str, ports)]
    with running(sys.executable, "-c", FEEDER, *arguments):
        yield


if __name__ == "__main__":
    if shutil.which("srt-live-transmit") is None:
        sys.exit("srt-live-transmit was not found (on Debian: apt-get install srt-tools)")
    sys.exit(main())
