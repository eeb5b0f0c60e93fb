"""OBS Studio without a screen: a profile of ours, a display that nobody sees, OpenGL by the processor."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import running

PICTURE = (320, 180)
PICTURES_PER_S = 10
RED = 0xFF0000FF
"""What OBS shows: alpha, blue, green, red."""

GLOBAL = """\
[General]
FirstRun=true
LastVersion=4294967295
EnableAutoUpdates=false
[Basic]
Profile=test
ProfileDir=test
SceneCollection=test
SceneCollectionFile=test
"""

PROFILE = f"""\
[General]
Name=test
[Output]
Mode=Simple
[SimpleOutput]
VBitrate=300
ABitrate=96
StreamEncoder=x264
Preset=ultrafast
UseAdvanced=true
[Video]
BaseCX={PICTURE[0]}
BaseCY={PICTURE[1]}
OutputCX={PICTURE[0]}
OutputCY={PICTURE[1]}
FPSType=0
FPSCommon={PICTURES_PER_S}
[Audio]
SampleRate=48000
"""


def scenes() -> dict[str, object]:
    """One scene, all red."""
    colour = {"color": RED, "width": PICTURE[0], "height": PICTURE[1]}
    item = {"name": "red", "id": 1, "visible": True}
    return {
        "name": "test",
        "current_scene": "scene",
        "current_program_scene": "scene",
        "scene_order": [{"name": "scene"}],
        "sources": [
            {"id": "color_source", "versioned_id": "color_source_v3", "name": "red", "settings": colour},
            {"id": "scene", "name": "scene", "settings": {"id_counter": 1, "items": [item]}},
        ],
    }


def configure(home: Path, server: str, key: str) -> None:
    """Write what OBS finds at its start: as if somebody had set a custom server and its stream key."""
    service = {"type": "rtmp_custom", "settings": {"server": server, "key": key, "use_auth": False}}
    for name, text in {
        "global.ini": GLOBAL,
        "basic/profiles/test/basic.ini": PROFILE,
        "basic/profiles/test/service.json": json.dumps(service),
        "basic/scenes/test.json": json.dumps(scenes()),
    }.items():
        path = home / ".config/obs-studio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@asynccontextmanager
async def display() -> AsyncIterator[str]:
    """A display in memory, and its name."""
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        "Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp", pass_fds=[write],
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as names:
            name = await asyncio.to_thread(names.readline)
        assert name, "Xvfb has no display"
        yield f":{name.strip()}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def streaming(home: Path, server: str, key: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """OBS, which streams to `server` from its start."""
    if shutil.which("obs") is None or shutil.which("Xvfb") is None:
        pytest.skip("OBS was not found (make obs)")
    configure(home, server, key)
    async with display() as name:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "DISPLAY": name,
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        async with running("obs", "--multi", "--startstreaming", env=env) as process:
            yield process
