"""Build the wheel and the sdist, install each into a fresh venv, and check what a stranger would get.

    make package-test

Takes minutes: everything is compiled twice with all optimisations.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHEEL_BYTES_MAX = 15_000_000
IMPORT_MS_MAX = 100

IN_THE_WHEEL = [
    "arcly/_native.",
    "arcly/_native.pyi",
    "arcly/capi.",
    "arcly/__init__.pxd",
    "arcly/capi.pxd",
    "arcly/include/arcly.h",
    "arcly/py.typed",
    "arcly/server/demo.flv",
    "arcly/server/page/index.html",
    "arcly/server/page/vendor/hls.min.js",
    "arcly/server/page/vendor/mpegts.min.js",
    "arcly/server/page/vendor/dash.mediaplayer.min.js",
    "arcly/server/page/vendor/dash.js.LICENSE.txt",
    "arcly/server/page/vendor/mpegts.js.LICENSE.txt",
    "arcly/server/page/vendor/Apache-2.0.txt",
]

USE = """
import asyncio, arcly, arcly.capi
async def main():
    async with arcly.Engine(arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0")) as engine:
        session = await engine.start_publish(arcly.StreamKey("live", "x"))
        session.set_tracks([arcly.Track(0, "AAC", bytes([0x11, 0x90]))])
        subscription = engine.get_stream(session.key).subscribe()
        arcly.capi.publish(session, b"abc", track=0, pts=0)
        assert bytes(await anext(subscription)) == b"abc"
        subscription.close()
asyncio.run(main())
print("used from", arcly.__file__)
"""


def run(*command: str | Path, **options: object) -> str:
    """Run a command outside the source tree; its standard output."""
    print("+", *command, flush=True)
    result = subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, cwd="/", **options
    )
    return result.stdout


def fresh_python(directory: Path) -> Path:
    """The interpreter of a new venv."""
    venv.create(directory, with_pip=True)
    return directory / "bin" / "python"


def import_ms(python: Path) -> float:
    """Processor time, the least of ten: other work on the machine must not count."""
    code = "import time; t = time.process_time(); import arcly; print((time.process_time() - t) * 1000)"
    return min(float(run(python, "-c", code)) for _ in range(10))


def check_wheel(wheel: Path) -> None:
    """Size and content."""
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in IN_THE_WHEEL:
        assert any(name.startswith(wanted) for name in names), f"{wanted} is not in the wheel"
    native = [name for name in names if name.endswith(".so")]
    assert len(native) == 2, f"two native modules, not {native}"
    size = wheel.stat().st_size
    print(f"wheel: {size / 1e6:.2f} MB (at most {WHEEL_BYTES_MAX / 1e6:.0f})")
    assert size < WHEEL_BYTES_MAX


def check_installed(python: Path) -> None:
    """It works, alone and as a server."""
    print(run(python, "-c", USE).strip())
    took_ms = import_ms(python)
    print(f"import arcly: {took_ms:.0f} ms of processor time (at most {IMPORT_MS_MAX})")
    assert took_ms < IMPORT_MS_MAX


def check_server_extra(python: Path, package: Path) -> None:
    """Without the extra `arcly serve` says what to install; with it, it serves."""
    arcly = python.with_name("arcly")
    alone = subprocess.run([arcly, "serve"], capture_output=True, text=True, cwd="/", check=False)
    assert alone.returncode == 1, alone
    assert "pip install 'arcly[server]'" in alone.stderr, alone.stderr
    run(python, "-m", "pip", "install", "--quiet", f"{package}[server]")
    server = subprocess.Popen(
        [arcly, "serve", "--demo", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--webrtc", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert server.stderr is not None
    deadline = time.monotonic() + 30
    for line in server.stderr:
        print("|", line.strip())
        if "live/demo" in line:
            break
        assert time.monotonic() < deadline
    server.terminate()
    assert server.wait(10) == 0


def main() -> int:
    """Check everything; the exit status."""
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    with tempfile.TemporaryDirectory(prefix="arcly-package-") as name:
        directory = Path(name)
        # Files of an sdist have old dates: with a target folder of another day cargo would take them for unchanged.
        os.environ["CARGO_TARGET_DIR"] = str(directory / "target")
        builder = fresh_python(directory / "builder")
        run(builder, "-m", "pip", "install", "--quiet", "--upgrade", "pip", "build")
        run(builder, "-m", "build", "--outdir", directory / "dist", ROOT)
        wheel, sdist = next((directory / "dist").glob("*.whl")), next((directory / "dist").glob("*.tar.gz"))
        check_wheel(wheel)
        for package in (wheel, sdist):
            print(f"--- {package.name} into a fresh venv")
            python = fresh_python(directory / package.suffix.strip("."))
            run(python, "-m", "pip", "install", "--quiet", package)
            check_installed(python)
            if package is wheel:
                check_server_extra(python, package)
    print("the package is good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
