"""The Python border of the installed arcly: calls, the C API, asyncio. `--json` prints one object."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import extension
import many_readers
import pytest
from bench_calls import CALLS
from rows import Row, print_json, print_table

FOLDER = Path(__file__).parent


def main() -> None:
    """Measure everything and print it; the exit code says nothing about goals."""
    # What pytest and compilers say is progress: only the result goes to the standard output.
    with contextlib.redirect_stdout(sys.stderr):
        rows = list(call_rows(run_pytest()))
        print("measuring asyncio ...")
        rows += many_readers.measure(extension.build())
    (print_json if "--json" in sys.argv[1:] else print_table)(rows)


def run_pytest() -> list[dict[str, Any]]:
    """Run `bench_calls.py`; what pytest-benchmark found."""
    with TemporaryDirectory(prefix="arcly-bench-") as name:
        report = Path(name) / "report.json"
        code = pytest.main(["--quiet", str(FOLDER / "bench_calls.py"), f"--benchmark-json={report}"])
        if code != 0:
            sys.exit(f"the benchmarks failed: pytest says {code!r}")
        return json.loads(report.read_text())["benchmarks"]


def call_rows(benchmarks: list[dict[str, Any]]) -> Iterator[Row]:
    """Make rows of the medians: nanoseconds for each call, without the loop around the calls."""

    def per_call_ns(benchmark: dict[str, Any]) -> float:
        return benchmark["stats"]["median"] * 1e9 / CALLS

    infos = [(benchmark["extra_info"], per_call_ns(benchmark)) for benchmark in benchmarks]
    empty_ns = {info["empty"]: ns for info, ns in infos if "empty" in info} | {None: 0.0}
    floor_ns = {info["floor_of"]: ns - empty_ns[info.get("loop")] for info, ns in infos if "floor_of" in info}
    for info, ns in infos:
        if "name" in info:
            name = info["name"]
            yield Row(name, "ns", ns - empty_ns[info.get("loop")], floor_ns.get(name), info.get("goal"))


if __name__ == "__main__":
    main()
