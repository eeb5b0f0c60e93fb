"""What a host writes with the types of arcly is right for mypy, as strict as it can be."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HOST = """
import arcly
from arcly import contract
from arcly.drive import MuxSink, drive_to
from arcly.media import Muxer
from arcly.testing import MemoryRegistry


async def write(data: bytes) -> None: ...


async def copy(engine: arcly.Engine, registry: MemoryRegistry, key: arcly.StreamKey) -> None:
    for stream in (engine.get_stream(key), registry.get_stream(key)):
        if stream is not None:
            await drive_to(stream, arcly.FileSink("copy.mp4"))
            await drive_to(stream, MuxSink(Muxer("ts"), write))


sink: contract.MediaSink = arcly.FileSink("copy.ts")
muxer: contract.Muxer = Muxer("ts")
"""


def test_what_is_shipped_fulfils_its_contracts_for_mypy() -> None:
    """Found by reading: `FileSink` and `Muxer` took native frames only, and so were no `MediaSink` and no `Muxer`."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "-c", HOST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
