#!/usr/bin/env python3
"""Many publishers with one viewer each: does every viewer play without a gap?

    python tests/load/many_publishers.py --publishers 50 --seconds 60

Starts `arcly serve`, publishes over real RTMP sockets in real time (five of the publishers are ffmpeg), and follows
each stream over HLS like a player. The exit status is 0 only if no viewer saw a gap and the server logged no error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from load.hls_viewer import Address, Viewer
from rtmp_client import VIDEO, Message, RtmpClient, chunks, flv_tags, repeated

from arcly.server.serve import DEMO_CLIP

TAGS = flv_tags(DEMO_CLIP)
PERIOD_MS = 10_240
"""After which the demo clip begins again without a seam."""

FFMPEG_PUBLISHERS = 5
CHUNK_BYTES = 65_536
PROGRESS_S = 5.0
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 10.0


@dataclass
class Server:
    """`arcly serve` in a process of its own."""

    process: asyncio.subprocess.Process
    addresses: dict[str, Address] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """Lines of its log at WARNING or above."""

    @classmethod
    async def start(cls) -> Server:
        """Start it on free ports and wait until it listens."""
        command = [
            sys.executable,
            "-m",
            "arcly",
            "serve",
            "--rtmp",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--webrtc",
            "127.0.0.1:0",
        ]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        server = cls(process)
        async with asyncio.timeout(START_DEADLINE_S):
            while len(server.addresses) < 2:
                server._note(await process.stderr.readline())
        return server

    def _note(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if not line:
            raise RuntimeError("the server did not start")
        if found := re.search(r"\[(rtmp|http)\] listening on (\S+):(\d+)", text):
            self.addresses[found[1]] = (found[2], int(found[3]))
        if re.search(r" (WAR|ERR|CRI) |Traceback|panicked", text):
            self.complaints.append(text)

    async def read_log(self) -> None:
        """Read its log to the end."""
        while line := await self.process.stderr.readline():
            self._note(line)

    def cpu_s(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self, which: str = "VmRSS") -> float:
        """Memory now, or at its highest (`VmHWM`)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(which)).split()[1]) / 1024

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), STOP_DEADLINE_S)
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()


def moments() -> Iterator[tuple[float, list[Message]]]:
    """What is due at which second: a picture each, with the sound in front of it."""
    waiting: list[Message] = []
    for tag in repeated(TAGS, PERIOD_MS):
        waiting.append(tag)
        if tag.type_id == VIDEO and not tag.is_configuration:
            yield tag.timestamp_ms / 1000, waiting
            waiting = []


@dataclass
class Publisher:
    """Publishes the demo clip again and again, in real time."""

    address: Address
    name: str
    worst_late_s: float = 0.0
    """How late we ourselves were: when this is large, the machine is too small for the test."""
    faults: list[str] = field(default_factory=list)

    async def publish(self) -> None:
        """Publish until cancelled."""
        try:
            async with await RtmpClient.dial(self.address) as client:
                await self._publish(client)
        except (AssertionError, OSError, EOFError) as error:
            self.faults.append(f"publishing broke: {error!r}")

    async def _publish(self, client: RtmpClient) -> None:
        app, _, stream = self.name.rpartition("/")
        await client.connect(app)
        stream_id = await client.publish(stream)
        await client.set_chunk_bytes(CHUNK_BYTES)
        began_s = time.monotonic()
        for due_s, messages in moments():
            await asyncio.sleep(max(0.0, began_s + due_s - time.monotonic()))
            self.worst_late_s = max(self.worst_late_s, time.monotonic() - began_s - due_s)
            client.write(b"".join(wire(message, stream_id) for message in messages))
            await client.writer.drain()


def wire(message: Message, stream_id: int) -> bytes:
    """The message in chunks."""
    timed = Message(message.type_id, message.body, message.timestamp_ms, stream_id)
    return chunks(timed, chunk_bytes=CHUNK_BYTES, chunk_stream=6)


def write_long_clip(path: Path, seconds: float) -> None:
    """The repeated demo clip as one FLV file (FLV §E.2, §E.3): `ffmpeg -stream_loop` adds 64 ms at each seam of it."""
    with path.open("wb") as file:
        file.write(b"FLV\x01\x05" + (9).to_bytes(4) + bytes(4))
        for due_s, tags in moments():
            for tag in tags:
                low, high = (tag.timestamp_ms & 0xFF_FFFF).to_bytes(3), tag.timestamp_ms >> 24
                head = bytes([tag.type_id]) + len(tag.body).to_bytes(3) + low + bytes([high]) + bytes(3)
                file.write(head + tag.body + (len(head) + len(tag.body)).to_bytes(4))
            if due_s > seconds:
                return


@dataclass
class FfmpegPublisher:
    """ffmpeg, which publishes a file in real time."""

    clip: Path
    url: str
    name: str
    worst_late_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    async def publish(self) -> None:
        """Run ffmpeg until cancelled."""
        from imageio_ffmpeg import get_ffmpeg_exe

        command = [get_ffmpeg_exe(), "-v", "error", "-re", "-i", str(self.clip)]
        process = await asyncio.create_subprocess_exec(
            *command, "-c", "copy", "-f", "flv", self.url, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            self.faults.append(f"ffmpeg ended with status {await process.wait()}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@dataclass
class Load:
    """The run."""

    server: Server
    publishers: list[Publisher | FfmpegPublisher]
    viewers: list[Viewer]
    seconds: float
    quiet: bool = False
    rss_mib: list[float] = field(default_factory=list)
    cpu_percent: float = 0.0
    own_cpu_percent: float = 0.0

    async def run(self) -> None:
        """Publish and watch for the given time."""
        tasks = [asyncio.create_task(publisher.publish()) for publisher in self.publishers]
        tasks += [asyncio.create_task(viewer.watch()) for viewer in self.viewers]
        began_s, cpu_s, own_cpu_s = time.monotonic(), self.server.cpu_s(), time.process_time()
        while (elapsed_s := time.monotonic() - began_s) < self.seconds:
            await asyncio.sleep(min(PROGRESS_S, self.seconds - elapsed_s))
            self.rss_mib.append(self.server.rss_mib())
            elapsed_s = time.monotonic() - began_s
            self.cpu_percent = 100 * (self.server.cpu_s() - cpu_s) / elapsed_s
            self.own_cpu_percent = 100 * (time.process_time() - own_cpu_s) / elapsed_s
            self._say(f"{elapsed_s:5.0f} s  {self._progress()}")
        for viewer in self.viewers:
            viewer.check_end()
        for task in reversed(tasks):
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)

    def _progress(self) -> str:
        segments, gaps = sum(viewer.segments for viewer in self.viewers), len(self.problems())
        return f"{segments} segments, {gaps} gaps, server {self.cpu_percent:.0f} % CPU, {self.rss_mib[-1]:.0f} MiB"

    def problems(self) -> list[str]:
        """Everything that should not have been."""
        found = [f"{viewer.name}: {gap}" for viewer in self.viewers for gap in viewer.gaps]
        found += [f"{viewer.name}: nothing was played" for viewer in self.viewers if not viewer.segments]
        found += [f"{viewer.name}: the stream ended" for viewer in self.viewers if viewer.ended]
        found += [f"{publisher.name}: {fault}" for publisher in self.publishers for fault in publisher.faults]
        return found

    def report(self) -> dict[str, object]:
        """The numbers."""
        return {
            "publishers": len(self.publishers),
            "of_them_ffmpeg": sum(isinstance(publisher, FfmpegPublisher) for publisher in self.publishers),
            "seconds": self.seconds,
            "segments": sum(viewer.segments for viewer in self.viewers),
            "frames": sum(viewer.frames for viewer in self.viewers),
            "frames_least": min(viewer.frames for viewer in self.viewers),
            "megabytes_watched": round(sum(viewer.bytes for viewer in self.viewers) / 1e6, 1),
            "gaps": len(self.problems()),
            "worst_segment_late_s": round(max(viewer.worst_late_s for viewer in self.viewers), 2),
            "worst_publisher_late_s": round(max(publisher.worst_late_s for publisher in self.publishers), 2),
            "server_cpu_percent": round(self.cpu_percent, 1),
            "generator_cpu_percent": round(self.own_cpu_percent, 1),
            "server_rss_mib": round(self.rss_mib[-1], 1),
            "server_rss_highest_mib": round(self.server.rss_mib("VmHWM"), 1),
            "server_complaints": len(self.server.complaints),
        }


async def run(options: argparse.Namespace, clip: Path) -> int:
    """Run; the exit status."""
    write_long_clip(clip, options.seconds + START_DEADLINE_S)
    server = await Server.start()
    log = asyncio.create_task(server.read_log())
    try:
        names = [f"load/{number}" for number in range(options.publishers)]
        address = server.addresses["rtmp"]
        publishers: list[Publisher | FfmpegPublisher] = [
            FfmpegPublisher(clip, f"rtmp://{address[0]}:{address[1]}/{name}", name)
            if number < options.ffmpeg
            else Publisher(address, name)
            for number, name in enumerate(names)
        ]
        viewers = [Viewer(server.addresses["http"], name) for name in names]
        load = Load(server, publishers, viewers, options.seconds, quiet=options.json)
        await load.run()
        # What follows is the end of everything, and no complaint.
        complaints, problems, report = list(server.complaints), load.problems(), load.report()
    finally:
        status = await server.stop()
        await log
    show(report, [*problems, *complaints], as_json=options.json)
    if status:
        print(f"the server ended with status {status}", file=sys.stderr)
    return int(bool(problems or complaints or status))


def show(report: dict[str, object], problems: list[str], *, as_json: bool) -> None:
    """Print the numbers, and on standard error the first of what went wrong."""
    if as_json:
        print(json.dumps(report))
    else:
        print()
        for name, value in report.items():
            print(f"{name.replace('_', ' '):24}{value:>10}")
    for problem in problems[:20]:
        print(problem, file=sys.stderr)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--publishers", type=int, default=50, help="streams at once (default: %(default)s)")
    parser.add_argument(
        "--ffmpeg", type=int, default=FFMPEG_PUBLISHERS, help="how many of them are ffmpeg (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of progress and table")
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(run(parser.parse_args(), Path(directory) / "clip.flv"))


if __name__ == "__main__":
    sys.exit(main())
