"""Rules of the architecture that a review would forget."""

import subprocess
import sys
import tomllib
from pathlib import Path

import arcly

ROOT = Path(__file__).parents[2]

ALLOWED = {
    "codec": set(),
    "bus": {"codec"},
    "wire": {"codec"},
    "pack": {"bus", "codec"},
    "engine": {"bus", "codec"},
    "io": {"bus", "codec", "pack", "wire"},
    "fuzz": {"bus", "codec", "pack", "wire"},
    "sim": set(),
}
"""Which crate may know which: docs/architecture.md."""

RUNTIMES = {"tokio", "tokio-util", "mio", "hyper", "hyper-util", "pyo3", "rustix", "socket2"}
"""What has no place outside `io` and the bindings."""


def dependencies(manifest: Path) -> set[str]:
    return set(tomllib.loads(manifest.read_text()).get("dependencies", {}))


def test_crates_know_only_what_they_may() -> None:
    crates = {path.parent.name: dependencies(path) for path in ROOT.glob("native/*/Cargo.toml")}
    assert set(crates) == set(ALLOWED)
    for name, found in crates.items():
        ours = {other.removeprefix("arcly-") for other in found if other.startswith("arcly-")}
        assert ours <= ALLOWED[name], f"{name} may not depend on {ours - ALLOWED[name]}"
        assert name == "io" or not found & RUNTIMES, f"{name} has a runtime: {found & RUNTIMES}"


def test_unsafe_is_where_it_may_be() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("native", "src")
        for path in (ROOT / folder).rglob("*.rs")
        if any("unsafe " in line and not line.lstrip().startswith("//") for line in path.read_text().splitlines())
    }
    capi = {f"src/capi/{name}.rs" for name in ("batch", "frame", "mod", "object", "stream")}
    seams = {f"native/io/src/{name}.rs" for name in ("egress/socket", "udp/system/linux", "watched")}
    assert found == capi | seams | {"native/bus/src/chunk.rs", "src/buffer.rs", "src/frame.rs", "src/media/demuxer.rs"}


def test_importing_arcly_imports_no_server_dependency() -> None:
    code = "import sys, arcly; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"starlette", "uvicorn", "anyio", "click", "h11", "numpy", "argparse"}


def test_every_public_name_can_be_imported_and_nothing_else() -> None:
    code = "import arcly; print(*[getattr(arcly, n) for n in arcly.__all__])"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", "from arcly import *; Engine, HttpOrigin"], check=True)
    assert not hasattr(arcly, "nonsense")


def test_every_public_module_is_an_attribute_of_arcly() -> None:
    """`import arcly; arcly.media` was an AttributeError, unless something else had imported it."""
    package = Path(arcly.__file__).parent
    private = {"arcly", "server", "include"}
    files = {path.name.partition(".")[0] for path in package.iterdir() if not path.name.startswith(("_", "."))}
    assert set(dir(arcly)) - set(arcly.__all__) == files - private - {"py"}
    for name in sorted(files - private - {"py"}):
        code = f"import arcly; assert arcly.{name}.__name__ == 'arcly.{name}'"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_the_first_to_be_imported() -> None:
    """A circle of imports shows only where it is entered; native modules stay, they load once in a process."""
    code = """
import sys
import arcly

def is_python(name):
    return name.partition(".")[0] == "arcly" and (getattr(sys.modules[name], "__file__", "") or "").endswith(".py")

names = arcly.__all__
for name in names:
    for loaded in [name for name in sys.modules if is_python(name)]:
        del sys.modules[loaded]
    import arcly
    getattr(arcly, name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_is_typed_and_ships_its_headers() -> None:
    package = Path(arcly.__file__).parent
    assert (package / "py.typed").exists()
    assert (Path(arcly.get_include()) / "arcly.h").exists()
    assert (package / "capi.pxd").exists()


def test_every_error_has_a_stable_code_and_a_meaning() -> None:
    from arcly.errors import catalogue

    codes = catalogue()
    assert set(codes) == {
        "already_publishing",
        "closed",
        "limit_exceeded",
        "listen",
        "malformed",
        "misuse",
        "not_found",
        "stream_error",
        "unauthorized",
        "unsupported",
    }
    for code, cls in codes.items():
        assert issubclass(cls, arcly.StreamError)
        assert cls.code == code
        assert cls.__doc__
        assert getattr(arcly, cls.__name__) is cls


def test_every_public_name_is_documented() -> None:
    for name in arcly.__all__:
        if not name.startswith("__"):
            thing = getattr(arcly, name)
            # Native classes are documented in the stub, which editors and the reference read.
            native = getattr(thing, "__module__", "").startswith("arcly") and not hasattr(thing, "__dict__")
            stub = (ROOT / "arcly" / "_native.pyi").read_text()
            assert thing.__doc__ or native or f"class {name}" in stub, name
