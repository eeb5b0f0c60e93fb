"""Write the API reference, from signatures and docstrings: `make docs`.

A script of our own instead of a generator of sites: native classes are documented in a stub, which most generators do
not read, and one page of Markdown a module is read anywhere. Nothing is imported, so it needs no build.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

PAGES = {
    "engine": [".", "packagers", "protocols", "sources", "sinks"],
    "contracts": ["contract"],
    "recordings": ["recording"],
    "storage": ["storage"],
    "services": ["services", "services/audit", "services/auth"],
}
"""Pages, and the folders of the package whose modules are on each."""

PRIVATE_BUT_SEEN = {"_native", "_callback"}
"""Modules that nobody imports, and whose classes one meets all the same."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(out: Path) -> None:
    """Write all pages into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    index = ["# Reference\n"]
    for page, folders in PAGES.items():
        parts = [part for source in sources(folders) for part in describe(source)]
        (out / f"{page}.md").write_text(f"# {page.capitalize()}\n\n" + "\n".join(parts))
        index.append(f"- [{page}]({page}.md)")
    (out / "README.md").write_text("\n".join(index) + "\n")


def sources(folders: list[str]) -> Iterator[Path]:
    """Yield the files that say what the public modules of some folders hold: stubs where there are any."""
    for folder in folders:
        files = {
            file.stem: file
            for suffix in ("py", "pyi")
            for file in sorted((ROOT / "arcly" / folder).glob(f"*.{suffix}"))
        }
        yield from (file for name, file in files.items() if not name.startswith("_") or name in PRIVATE_BUT_SEEN)


def describe(source: Path) -> Iterator[str]:
    """Yield the Markdown of a module."""
    tree = ast.parse(source.read_text())
    if text := ast.get_docstring(tree):
        yield f"{text}\n"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield from describe_class(node)
        elif isinstance(node, Function) and is_public(node.name):
            yield from describe_function(node, "##")


def describe_class(node: ast.ClassDef) -> Iterator[str]:
    """Yield the Markdown of a class and its members."""
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    yield f"## class `{node.name}{f'({bases})' if bases else ''}`\n"
    if text := ast.get_docstring(node):
        yield f"{text}\n"
    for member, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(member, Function) and (is_public(member.name) or member.name in ("__init__", "__new__")):
            yield from describe_function(member, "###")
        elif (name := attribute(member)) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield f"### `{name}`\n\n{after.value.value}\n"


def attribute(node: ast.stmt) -> str | None:
    """Return the declaration of an attribute or member that is public."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and is_public(node.target.id):
        return ast.unparse(node)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and is_public(node.targets[0].id):
        return ast.unparse(node)
    return None


def describe_function(node: Function, level: str) -> Iterator[str]:
    """Yield the Markdown of a function; a property is shown as the attribute it looks like."""
    text = ast.get_docstring(node)
    is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list)
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    begin = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    signature = (
        f"{node.name}{result.replace(' ->', ':')}" if is_property else f"{begin}{node.name}({arguments(node)}){result}"
    )
    if text or node.name in ("__init__", "__new__"):
        yield f"{level} `{signature}`\n"
    if text:
        yield f"{text}\n"


def arguments(node: Function) -> str:
    """Return the arguments without `self`."""
    text = ast.unparse(node.args)
    return text.removeprefix("self, ").removeprefix("cls, ").removeprefix("self").removeprefix("cls")


def is_public(name: str) -> bool:
    """Return whether users may use it."""
    return not name.startswith("_")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
