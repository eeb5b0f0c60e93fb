"""The example of an extension that uses the C API, built as somebody else's package is."""

import asyncio
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import arcly

EXAMPLE = Path(__file__).parents[2] / "examples" / "frame_meter"
TRACKS = [arcly.Track(1, "AAC", bytes([0x11, 0x90])), arcly.Track(2, "AAC", bytes([0x12, 0x10]))]


def build(folder: Path, include: str) -> Path:
    """Build the example in `folder` against the header in `include`; return the module's path."""
    shutil.copytree(EXAMPLE, folder)
    script = (folder / "setup.py").read_text().replace("arcly.get_include()", repr(include))
    (folder / "setup.py").write_text(script)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("frame_meter.*.so"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("frame_meter", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load(build(tmp_path_factory.mktemp("meter") / "frame_meter", arcly.get_include()))


async def test_it_counts_what_is_published_while_the_loop_goes_on(meter: ModuleType) -> None:
    async with arcly.Engine(default_app=arcly.AppSpec(ring_frames=4096)) as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        session.set_tracks(TRACKS)
        events = engine.events()
        measuring = asyncio.create_task(asyncio.to_thread(meter.measure, engine, "live", "cam"))
        joined = await anext(events)
        assert (joined.kind, joined.reason) == (arcly.StreamEventKind.SUBSCRIBER_JOINED, "meter")
        for n in range(1000):
            session.publish(bytes(100), track=1, pts=n * 1024)
            session.publish(bytes(n % 7), track=2, pts=n * 1024)
            if n % 100 == 0:
                # It waits in its thread meanwhile: with the GIL held this would not come back.
                await asyncio.sleep(0)
        session.end()
        counts = await asyncio.wait_for(measuring, 30)
        assert counts == {(1, "AAC"): (1000, 100_000), (2, "AAC"): (1000, sum(n % 7 for n in range(1000)))}
        await events.aclose()


async def test_it_says_what_is_wrong(meter: ModuleType) -> None:
    async with arcly.Engine() as engine:
        with pytest.raises(LookupError):
            meter.measure(engine, "live", "nobody")
        with pytest.raises(LookupError):
            meter.measure(engine, "live", "../etc")
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(meter.measure, engine, "live", "cam", timeout_s=0.01)
        with pytest.raises(TypeError, match="Engine is needed"):
            meter.measure(session, "live", "cam")


@pytest.mark.parametrize("newer", ["version", "size"])
def test_an_extension_that_was_built_for_a_newer_arcly_is_refused(tmp_path: Path, newer: str) -> None:
    header = (Path(arcly.get_include()) / "arcly.h").read_text()
    if newer == "version":
        header = re.sub(r"(#define ARCLY_C_API_VERSION) \d+", r"\1 999", header)
    else:
        header = header.replace("} arcly_c_api;", "    void (*from_the_future)(void);\n} arcly_c_api;")
    include = tmp_path / "include"
    include.mkdir()
    (include / "arcly.h").write_text(header)
    module = build(tmp_path / "frame_meter", str(include))
    with pytest.raises(ImportError, match="older than the header"):
        load(module)
