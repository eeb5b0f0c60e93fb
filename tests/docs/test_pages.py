"""Every block of code in the documentation runs."""

import ast
import asyncio
import inspect
import re
import tempfile
from collections.abc import Awaitable
from dataclasses import fields
from pathlib import Path

import pytest

import arcly
from arcly.recording import RecordingInfo
from arcly.recording.take import RecordingStatus
from arcly.server import status, viewers
from arcly.server.recordings import Recordings
from arcly.server.web import create_app

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


def test_the_page_of_the_http_api_has_every_path_and_field() -> None:
    page = (ROOT / "docs" / "concepts" / "http-api.md").read_text()
    with tempfile.TemporaryDirectory() as directory:
        recordings = Recordings(arcly.Recorder(directory), arcly.Engine())
        app = create_app(dict, viewers.Viewers({}), recordings=recordings)
    paths = {path for route in app.routes if (path := getattr(route, "path", "")).startswith("/api/")}
    assert len(paths) == 6
    for path in paths:
        assert f" {path.replace(':number', '')}" in page, path
    names = {field.name for kind in (RecordingInfo, RecordingStatus) for field in fields(kind)} - {"key"}
    for told in (status.status, status.stream_status, status.track_status, viewers.viewer_status, viewers.srt_status):
        names |= set(re.findall(r'"(\w+)":', inspect.getsource(told)))
    for name in names:
        assert f"`{name}`" in page, name


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
