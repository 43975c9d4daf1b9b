"""DESIGN 2: three rings whose imports point inward; deciding is pure; sizes that read well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gateway"
FILES = sorted(PACKAGE.rglob("*.py"))
PURE = ("gateway.access", "gateway.grants")
"""The ring that decides."""
SERVE = ("gateway.serve", "gateway.cli", "gateway.runtime")
ALSO_PURE = {
    "gateway.config.schema",  # declarations
    "gateway.directory.escape",  # text forms of names, RFC 4514
    "gateway.identity",
}
NO_IO = {"aiohttp", "asyncio", "os", "pathlib", "socket", "sqlite3", "ssl", "subprocess", "threading", "time"}


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file: Path) -> Iterator[str]:
    package = module_of(file) if file.name == "__init__.py" else module_of(file).rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            yield ".".join(filter(None, (start, node.module)))


def inside(module: str, rings: tuple[str, ...]) -> bool:
    return any(module == ring or module.startswith(ring + ".") for ring in rings)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_inward(file: Path) -> None:
    module = module_of(file)
    for imported in imports_of(file):
        if inside(module, PURE):
            assert imported.split(".")[0] not in NO_IO, f"{module} decides and must not do I/O: {imported}"
            if imported.startswith("gateway."):
                assert inside(imported, PURE) or imported in ALSO_PURE, f"{module} imports outward: {imported}"
        elif not inside(module, SERVE) and module != "gateway.__main__":
            assert not inside(imported, SERVE) or _typing_only(file, imported), f"{module} imports outward: {imported}"
            assert imported.split(".")[0] != "aiohttp", f"{module} must not know HTTP"


def test_hocon_knows_nothing_of_the_gateway() -> None:
    for file in (PACKAGE / "hocon").glob("*.py"):
        assert all(inside(name, ("gateway.hocon",)) for name in imports_of(file) if name.startswith("gateway"))


def _typing_only(file: Path, imported: str) -> bool:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return any(isinstance(line, ast.ImportFrom) and line.module == imported for line in node.body)
    return False


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_sizes(file: Path) -> None:
    text = file.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= 500, "which two nouns share this file?"
    assert not text.strip() or ast.get_docstring(tree), "a module says what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= 60, node.name
