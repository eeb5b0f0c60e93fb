"""What the README tells people to do works."""

import asyncio
import re
from pathlib import Path

import pytest

import arcly
from arcly.server.serve import DEMO_CLIP

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_embedding_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The example runs as it stands, but on free ports, with a publisher of its own, and for three frames."""
    example = next(block for block in blocks("python") if "numpy" in block)
    code = example.replace('":1935"', '"127.0.0.1:0"').replace('":8888"', '"127.0.0.1:0"')
    scope: dict[str, object] = {"__name__": "example"}
    exec(compile(code.replace("asyncio.run(main())", ""), "README.md", "exec"), scope)
    start = arcly.Engine.__aenter__

    async def start_with_a_publisher(engine: arcly.Engine) -> arcly.Engine:
        await start(engine)
        source = arcly.FileSource(DEMO_CLIP, arcly.StreamKey("live", "cam"))
        engine._started.append(source)
        asyncio.get_running_loop().call_later(0.1, lambda: asyncio.ensure_future(source.start(engine)))
        return engine

    monkeypatch.setattr(arcly.Engine, "__aenter__", start_with_a_publisher)

    async def for_a_while() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await scope["main"]()  # type: ignore[operator]

    asyncio.run(for_a_while())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 1
    assert "live/cam" in lines[0]


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"run", "test"} <= named <= targets
