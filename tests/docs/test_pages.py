"""Every block of code in the documentation runs."""

import ast
import asyncio
import re
from collections.abc import Awaitable
from pathlib import Path

import pytest

import arcly

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path) -> None:
    """One after the other, as in one module; they may await."""
    scope: dict[str, object] = {"__name__": page.stem}

    async def run() -> None:
        for block in blocks(page):
            code = compile(block, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            waiting = eval(code, scope)
            if isinstance(waiting, Awaitable):
                await waiting

    asyncio.run(asyncio.wait_for(run(), 30))


def test_there_is_a_page_for_each_concept() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "concepts").glob("*.md")} - {"README"}
    index = (ROOT / "docs" / "concepts" / "README.md").read_text()
    assert len(pages) >= 7
    assert set(re.findall(r"\((\S+)\.md\)", index)) == pages


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_reference_has_every_public_name(tmp_path: Path) -> None:
    scope: dict[str, object] = {"__name__": "reference", "__file__": str(ROOT / "docs" / "reference.py")}
    exec((ROOT / "docs" / "reference.py").read_text(), scope)
    scope["main"](tmp_path)  # type: ignore[operator]
    text = "\n".join(page.read_text() for page in tmp_path.glob("*.md"))
    for name in arcly.__all__:
        if isinstance(getattr(arcly, name), type):
            assert re.search(rf"class `{name}[(`]", text), name
    assert "### `async drain(deadline_s: float" in text
    assert "PUBLISH_STARTED = 'publish_started'" in text
