"""The specification's dialect against pyhocon 0.3.63 (ops.md 2.3): equal but for the differences listed as data."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.hocon import HoconError, parse, plain
from tests.hocon.hocon_oracle import Oracle

ROWS = tomllib.loads(Path(__file__).with_name("pyhocon_differences.toml").read_text("utf-8"))["rows"]


@pytest.fixture(scope="module")
def pyhocon() -> Iterator[Oracle]:
    with Oracle(sys.executable, "pyhocon", dict(os.environ)) as started:
        yield started


def ours(text: str) -> Any:
    try:
        return plain(parse(text))
    except HoconError:
        return None


@pytest.mark.parametrize("row", ROWS, ids=[row["text"] for row in ROWS])
def test_differences(row: dict[str, Any], pyhocon: Oracle) -> None:
    theirs = pyhocon.read(row["text"])
    assert theirs == (None if row["theirs"] == "refused" else json.loads(row["theirs"], strict=False))
    assert (json.dumps(ours(row["text"])) == json.dumps(theirs)) == row.get("same", False)


# Documents of what both read alike; everything else is in the table above.
names = st.sampled_from(["a", "b", "c", "d_e", "f-g", '"q r"', "a.b", "c.d"])
plain_scalars = st.sampled_from(
    ["1", "-2", "1.5", "-0.25", "1e3", "true", "false", "null", "x", "x y", "a-b/c", '"q"', '"q r"', '"\\n\\"\\\\"', '"""t"""', "as it is"]
)  # fmt: skip
gaps = st.sampled_from([", ", "\n", ",\n", " # c\n", "\n\n  ", "\n// d\n"])


@st.composite
def listed(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    return "[" + draw(st.sampled_from(["", " ", "\n"])) + joined(draw, draw(st.lists(inner, max_size=3))) + "]"


@st.composite
def braced(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    return "{ " + joined(draw, draw(st.lists(fields(inner), max_size=3))) + " }"


def joined(draw: st.DrawFn, items: list[str]) -> str:
    return "".join(item + (draw(gaps) if number < len(items) - 1 else "") for number, item in enumerate(items))


def fields(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(names, st.sampled_from([" = ", ": ", "="]), inner).map("".join)


values = st.recursive(
    plain_scalars,
    lambda inner: listed(inner) | braced(inner) | st.tuples(listed(inner), listed(inner)).map(" ".join) | st.tuples(braced(inner), braced(inner)).map(" ".join),
    max_leaves=6,
)  # fmt: skip
substituted = st.sampled_from(["${z.n}", "${z.o}", "${z.l}", "${?nothing}", '"x"${z.s}', "${z.s} y", "${z.s}${z.s}", "${z.l} [1]", "${z.o} { k = 2 }"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Keys that do not change between object and scalar; substitutions at the top, each of a key of its own."""
    lines = draw(st.lists(fields(values), max_size=4))
    lines += [f"s{number} = {value}" for number, value in enumerate(draw(st.lists(substituted, max_size=3)))]
    lines.append('z { n = 7, s = "t", l = [1, 2], o { k = 1, m { p = q } } }')
    return "\n".join(lines) + "\n"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(documents())
def test_documents(pyhocon: Oracle, text: str) -> None:
    theirs, mine = pyhocon.read(text), ours(text)
    if theirs is None:
        assert mine is not None, "in this grammar only pyhocon refuses: an object after a scalar of its key"
        assert has_object_after_another(text)
    elif not has_object_after_another(text):  # where there is one, pyhocon merges across it: pyhocon_differences.toml
        assert json.dumps(mine) == json.dumps(theirs)


def has_object_after_another(text: str) -> bool:
    """Whether some object overrides another kind of value, found by our own record of what lost."""

    def search(value: Any) -> bool:
        lost = value.overridden
        while lost is not None:
            if isinstance(lost.value, dict) != isinstance(value.value, dict) or search(lost):
                return True
            lost = lost.overridden
        inner = value.value.values() if isinstance(value.value, dict) else value.value if isinstance(value.value, list) else ()
        return any(search(item) for item in inner)

    return search(parse(text))
