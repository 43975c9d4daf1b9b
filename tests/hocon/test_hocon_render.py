"""Rendering is deterministic and reads back as what it was; merging and typed accessors (HOCON.md)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hocon import HoconError, boolean, duration, merge, parse, plain, render, size

EXAMPLE = """{
  # kept: values, order; lost: comments
  b = 1.50, a = text here, "key with blank" = true
  list = [1, {x = null}, [], {}]
  deep.er { include_me = "q\\"\\n", "include" = 007 }
}"""
AS_HOCON = """b = 1.50
a = "text here"
"key with blank" = true
list = [
  1,
  {
    x = null
  },
  [],
  {}
]
deep {
  er {
    include_me = "q\\"\\n"
    "include" = "007"
  }
}
"""


def test_hocon() -> None:
    assert render(parse(EXAMPLE)) == AS_HOCON
    assert render(parse(AS_HOCON)) == AS_HOCON
    assert render(parse("a { b = 1 }"), indent=4) == "a {\n    b = 1\n}\n"
    assert render(parse("")) == ""


def test_json() -> None:
    text = render(parse(EXAMPLE), "json")
    assert json.loads(text) == plain(parse(EXAMPLE))
    assert '"b": 1.50,\n' in text
    assert render(parse(""), "json") == "{}\n"


def test_plain_trees() -> None:
    assert render({"a": {"b": [1, 2.5, None, True, "x"]}}) == 'a {\n  b = [\n    1,\n    2.5,\n    null,\n    true,\n    "x"\n  ]\n}\n'
    assert render([1], "json") == "[\n  1\n]\n"
    assert render({"a": float("inf")}, "json") == '{\n  "a": 1e999\n}\n'


UNRESOLVED = [
    "a = ${x.y}",
    'a = ${?x."k k"} b ${y} "c" [1] {d = ${z}}',
    "a = 1\na = ${?X}",
    "a = [${x}, ${y}{b = 1}]",
    "a += 1\na += [2]\nb { c += ${d} }",
    "a = [1]\na = ${a} [2]\na += 3",
    "a = ${x}\na { b = ${y} }\na.c = 1",
    'a = ${x}""${y}"b"',
    "a = -1${?z}, b = [${?z}true, 1.50 ${?z}], c = null${?z}",
]


@pytest.mark.parametrize("text", UNRESOLVED)
def test_substitutions_stay_what_they_are(text: str) -> None:
    root = parse(text, resolve=False)
    again = parse(render(root), resolve=False)
    assert render(again) == render(root)
    variables = {"X": "1", "x": "0", "y": "0", "x.y": "9"}
    for environment in ({}, variables):
        assert outcome(text, environment) == outcome(render(root), environment)
    with pytest.raises(HoconError):
        render(root, "json")
    with pytest.raises(HoconError):
        plain(root)


def outcome(text: str, environment: dict[str, str]) -> Any:
    try:
        return plain(parse(text, environment=environment))
    except HoconError:
        return HoconError


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["", " ", "include", "a.b", '"', "${a}", "#", "\ufeff", "\x00\x1f\x7f\u2028"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=15)
roots = st.dictionaries(texts, trees, max_size=5)


def exact(tree: Any) -> str:
    """JSON that tells 1 from 1.0 and true, and keeps the order."""
    return json.dumps(tree)


@given(roots)
def test_what_is_written_reads_back(tree: dict[str, Any]) -> None:
    for text in (render(tree), render(tree, "json")):
        root = parse(text)
        assert exact(plain(root)) == exact(tree)
        assert text in (render(root), render(root, "json"))
        assert plain(parse(render(root))) == plain(root)


@given(roots)
def test_json_is_hocon(tree: dict[str, Any]) -> None:
    """HOCON.md, Goals: a superset of JSON, in every way to write it."""
    for text in (json.dumps(tree), json.dumps(tree, indent=1), json.dumps(tree, ensure_ascii=False, separators=(",", ":"))):
        assert exact(plain(parse(text))) == exact(tree)


@given(st.lists(roots, max_size=4))
def test_merge_is_what_one_text_would_give(many: list[dict[str, Any]]) -> None:
    """HOCON.md, Config object merging and file merging."""
    values = [parse(render(tree)) for tree in many]
    before = [exact(plain(value)) for value in values]
    assert exact(plain(merge(values))) == exact(plain(parse("\n".join(render(tree) for tree in many))))
    assert [exact(plain(value)) for value in values] == before


def test_merge_remembers_what_lost() -> None:
    first = parse("a = 1, b { c = 1 }, l = [1]", name="one")
    second = parse("a = 2\na = 3\nb { c = 2, d = 4 }", name="two")
    third = parse("a = 4, b.c = null", name="three")
    merged = merge([first, second, third]).value
    chain = []
    value = merged["a"]
    while value is not None:
        chain.append((value.value, value.position.name, value.position.line))
        value = value.overridden
    assert chain == [(4, "three", 1), (3, "two", 2), (2, "two", 1), (1, "one", 1)]
    assert plain(merged["b"]) == {"c": None, "d": 4}
    assert merged["b"].value["c"].overridden.position.name == "two"
    assert second.value["a"].overridden.overridden is None and first.value["b"].value["c"].overridden is None
    assert plain(first) == {"a": 1, "b": {"c": 1}, "l": [1]}


def test_merge_of_unresolved_values_leaves_the_inputs_alone() -> None:
    first, second = parse("l = [1], a = ${?x}"), parse("l += 2\nl += 3\na = ${a}\nb { c += 1 }", resolve=False)
    before = render(first), render(second)
    merge([first, second, second])
    assert (render(first), render(second)) == before


def test_merge_needs_objects() -> None:
    with pytest.raises(HoconError):
        merge([parse("a = [1]").value["a"]])
    assert plain(merge([])) == {}


def test_positions() -> None:
    root = parse('\ufeffa = 1, b.c."d" = 2\n  é { "k" = [x,\n    {y = 1} ] }\r\n  l += 1\n\tb = ${a}', name="f.conf").value
    nested = root["é"].value["k"].value
    values = [root["a"], root["é"], root["é"].value["k"], nested[0], nested[1], nested[1].value["y"], root["l"], root["l"].value[0], root["b"]]
    assert [value.position[1:] for value in values] == [(1, 1), (2, 3), (2, 7), (2, 14), (3, 5), (3, 6), (4, 3), (4, 8), (5, 2)]
    assert root["b"].value == 1 and root["b"].position.name == "f.conf"
    lost = root["b"].overridden
    assert [lost.position[1:], lost.value["c"].position[1:], lost.value["c"].value["d"].position[1:]] == [(1, 8), (1, 10), (1, 12)]


def test_overridden_within_a_text() -> None:
    root = parse("a = 1\na { b = 1 }\na { b = 2 }\nc = 5\nc = ${?none}\nd = 1\nd = ${c}").value
    assert root["a"].position.line == 2 and root["a"].overridden.position.line == 1
    assert root["a"].value["b"].position.line == 3 and root["a"].value["b"].overridden.position.line == 2
    assert root["c"].value == 5 and root["c"].position.line == 4
    assert root["d"].value == 5 and root["d"].position.line == 7 and root["d"].overridden.position.line == 6


def test_text_of_scalars_without_quotes() -> None:
    root = parse('a = 1.50, b = 007, c = "007", d = yes no, e = true, f = ${a}, g = ${a}x, h = 1 "2"').value
    assert {key: value.text for key, value in root.items()} == {
        "a": "1.50", "b": "007", "c": None, "d": "yes no", "e": "true", "f": "1.50", "g": "1.50x", "h": None,
    }  # fmt: skip


UNITS = tomllib.loads(Path(__file__).with_name("unit_rows.toml").read_text("utf-8"))
READERS: dict[str, Callable[[Any], Any]] = {"duration": duration, "size": size, "boolean": boolean}


@pytest.mark.parametrize(("kind", "row"), [(kind, row) for kind, rows in UNITS.items() for row in rows], ids=str)
def test_units(kind: str, row: list[Any]) -> None:
    text, *expected = row
    value = parse(f"a = {text}").value["a"]
    if expected:
        assert READERS[kind](value) == expected[0] == READERS[kind](value.value)
        assert isinstance(READERS[kind](value), type(expected[0]))
        return
    with pytest.raises(HoconError) as caught:
        READERS[kind](value)
    assert caught.value.position == ("", 1, 1)
    with pytest.raises(ValueError, match="expected"):
        READERS[kind](value.value)


def test_unit_of_a_bare_number() -> None:
    assert duration(parse("a = 5").value["a"], unit="s") == 5.0
    assert duration("2", unit="h") == 7200.0
    assert size("2", unit="KiB") == 2048
