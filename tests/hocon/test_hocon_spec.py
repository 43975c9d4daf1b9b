"""HOCON.md of lightbend/config, a row for each rule that it states."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.hocon import HoconError, parse, plain

ROWS = tomllib.loads(Path(__file__).with_name("spec_cases.toml").read_text("utf-8"))


def cases() -> Iterator[Any]:
    for section, rows in ROWS.items():
        for number, row in enumerate(rows, 1):
            yield pytest.param(row, id=f"{section} {number}")


@pytest.mark.parametrize("row", list(cases()))
def test_specification(row: dict[str, Any]) -> None:
    environment = row.get("environment")
    if "error" in row:
        with pytest.raises(HoconError) as caught:
            parse(row["text"], environment=environment)
        place = caught.value.position
        assert f"{place.line}:{place.column}" == row["error"], caught.value.message
    else:
        tree = plain(parse(row["text"], environment=environment))
        assert json.dumps(tree, sort_keys=True) == json.dumps(json.loads(row["gives"], strict=False), sort_keys=True)


def test_the_library_imports_only_itself_and_the_standard_library() -> None:
    for file in (Path(__file__).parents[2] / "gateway/hocon").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.module or "").split(".")[0] in sys.stdlib_module_names, file
            elif isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= set(sys.stdlib_module_names), file
