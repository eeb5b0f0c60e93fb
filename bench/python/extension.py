"""Builds `nogil.pyx` against the installed arcly, as somebody else's package would be built."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import arcly

SOURCE = Path(__file__).with_name("nogil.pyx")

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

extension = Extension("nogil", ["nogil.pyx"], include_dirs=[{include!r}], extra_compile_args=["-O3"])
setup(name="nogil", ext_modules=cythonize([extension], quiet=True))
"""


def build() -> ModuleType:
    """Return the extension, built in a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="arcly-bench-") as name:
        folder = Path(name)
        shutil.copy(SOURCE, folder)
        (folder / "setup.py").write_text(SETUP.format(include=arcly.get_include()))
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return load(next(folder.glob("nogil.*.so")))


def load(path: Path) -> ModuleType:
    """Import the extension module at `path`."""
    spec = importlib.util.spec_from_file_location("nogil", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
