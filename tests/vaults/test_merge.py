"""clearml.md 7.2: how vaults add up, who set what, and how that is written."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml

from gateway.hocon import parse, plain
from gateway.vaults.merge import MOST_OVERRIDDEN, Format, Merged, Source, merge


def merged(*texts: str, environment: dict[str, str] | None = None) -> Merged:
    return merge([Source(f"v{number}", text) for number, text in enumerate(texts)], environment)


# name, texts in order, what the client holds
SUMS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("nothing", [], {}),
    ("empty texts", ["", "# c\n", "{}"], {}),
    ("objects join deeply", ["a { b = 1, c { d = 1 } }", "a.c.e = 2"], {"a": {"b": 1, "c": {"d": 1, "e": 2}}}),
    ("the later wins", ["a = 1", "a = 2", "a = 3"], {"a": 3}),
    ("lists replace", ["a = [1, 2]", "a = [3]"], {"a": [3]}),
    ("+= knows its own text only", ["a = [1]", "a = [2]\na += [3]"], {"a": [2, 3]}),
    ("substitutions, too", ["a = 1\nb = ${a}", "a = 2"], {"a": 2, "b": 1}),
    ("a scalar over an object, and back", ["a { b = 1 }", "a = 2", "a { c = 3 }"], {"a": {"c": 3}}),
    ("null replaces", ["a { b = 1 }", "a = null"], {"a": None}),
    ("an object in which something was replaced joins", ["y.a { c = 2 }", "x { a = 1 }\ny = ${x} { a = { b = 1 } }"],
     {"y": {"a": {"c": 2, "b": 1}}, "x": {"a": 1}}),
    ("within one text as well", ["a { c = 2 }", "a = [1]\na { b = 1 }"], {"a": {"c": 2, "b": 1}}),
    ("a text that cannot be read is lost whole", ["a = 1", "b = 1\na = x@y", "c = 1"], {"a": 1, "c": 1}),
    ("env is the client's own", ["env = mine\na.env = 1"], {"a": {"env": 1}}),
    ("quotation marks of keys are not shown", ['"a.b" { c = 1 }', '"a.b" { d = 2 }'], {"a.b": {"c": 1, "d": 2}}),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "tree"), [row[1:] for row in SUMS], ids=[row[0] for row in SUMS])
def test_sum(texts: list[str], tree: dict[str, Any]) -> None:
    found = merged(*texts)
    assert json.dumps(found.tree) == json.dumps(tree)
    assert plain(parse(found.text("hocon"))) == tree
    assert json.loads(found.text("json")) == tree
    assert yaml.safe_load(found.text("yaml")) == tree


def origins(found: Merged) -> dict[str, str]:
    return {".".join(leaf.path): " ".join(map(str, (leaf.position, *leaf.overrides))) for leaf in found.leaves()}


# texts in order, for each leaf: who set it, then what it overrides, the nearest first
ORIGINS: list[tuple[list[str], dict[str, str]]] = [
    (["a.b = 1", "\n  a { b = 2 }"], {"a.b": "v1:2:7 v0:1:1"}),
    (["a = 1\na = 2", "a = 3\na = 4"], {"a": "v1:2:1 v1:1:1 v0:2:1 v0:1:1"}),
    (["a { b = 1, c = [1] }", "a = 2"], {"a": "v1:1:1 v0:1:5 v0:1:12"}),
    (["a = 1", "a { b = 2 }", "a.b = 3"], {"a.b": "v2:1:1 v1:1:5 v0:1:1"}),
    (["a = 1", "a { b {} }"], {"a.b": "v1:1:5 v0:1:1"}),
    (["a = ${X}", "a = ${?Y}"], {"a": "v1:1:1 v0:1:1"}),
    (["a = 1\na = ${?X}"], {"a": "v0:2:1 v0:1:1"}),
    (["x { b = 1 }\na = ${x} { c = 2 }"], {"x.b": "v0:1:5", "a.b": "v0:1:5", "a.c": "v0:2:12"}),
    (["a = 1", "a = @", "a = 2"], {"a": "v2:1:1 v0:1:1"}),
]


@pytest.mark.parametrize(("texts", "expected"), ORIGINS)
def test_origins(texts: list[str], expected: dict[str, str]) -> None:
    assert origins(merged(*texts)) == expected


def test_what_is_overridden_is_bounded() -> None:
    flips = [text for number in range(40) for text in (f"a {{ k{number} = 1, l = 1 }}", "a = 1")]
    [leaf] = merged(*flips).leaves()
    assert len(leaf.overrides) == MOST_OVERRIDDEN


def test_lost_texts_say_why_and_where() -> None:
    [lost] = merged("a = 1", "\nb = secret@x", "c = 1").dropped
    assert (lost.label, lost.line, lost.column) == ("v1", 2, 11)
    assert lost.message and "secret" not in lost.message


VARIABLES = 'a = "s3://"${HOST}"/x"\nb = ${?PORT}\nc = [${HOST}, 1]\nd = "${HOST}"'


def test_variables_stay_as_they_are_written() -> None:
    found = merged(VARIABLES)
    assert found.tree == {"a": "s3://${HOST}/x", "b": "${?PORT}", "c": ["${HOST}", 1], "d": "${HOST}"}
    assert json.loads(found.text("json")) == yaml.safe_load(found.text("yaml")) == found.tree
    assert found.text("hocon").splitlines()[:2] == ['a = "s3://"${HOST}"/x"', "b = ${?PORT}"]
    assert 'd = "${HOST}"' in found.text("hocon"), "HOCON tells text from variables"


@pytest.mark.parametrize("environment", [{"HOST": "h"}, {"HOST": "h", "PORT": "5"}], ids=str)
def test_what_is_written_in_hocon_comes_to_the_same_on_the_client(environment: dict[str, str]) -> None:
    again = merged(merged(VARIABLES).text("hocon"), environment=environment)
    assert again.tree == merged(VARIABLES, environment=environment).tree


def test_variables_that_are_given() -> None:
    assert merged(VARIABLES, environment={"HOST": "h"}).tree == {"a": "s3://h/x", "c": ["h", 1], "d": "${HOST}"}
    [lost] = merged(VARIABLES, environment={}).dropped
    assert lost.line == 1


def test_leaves_tell_variables_from_text_that_looks_like_them() -> None:
    shown = {leaf.path[0]: leaf.written for leaf in merged(VARIABLES).leaves()}
    assert shown == {"a": '"s3://"${HOST}"/x"', "b": "${?PORT}", "c": "[${HOST}, 1]", "d": ""}


def test_the_variables_that_a_vault_needs() -> None:
    """clearml.md 7.2: a client without one of them loses the whole vault."""
    assert merged(VARIABLES, "a = 1", "b = [${X}]\nc = ${Y}${X}").needs == {"v0": ("HOST",), "v1": (), "v2": ("X", "Y")}


def test_infinite_numbers_are_text_where_there_are_none() -> None:
    """RFC 8259 section 6: JSON has no infinity."""
    found = merged("a = 1e400\nl = [-1e400]")
    assert found.tree == {"a": "1e999", "l": ["-1e999"]}
    assert [leaf.value for leaf in found.leaves()] == ["1e999", ["-1e999"]]
    assert found.text("hocon") == "a = 1e999\nl = [\n  -1e999\n]\n"
    assert not {"Infinity", "inf"} & set(found.text("json").split() + found.text("yaml").split())


@pytest.mark.parametrize("format_", ["hocon", "json", "yaml"])
def test_awkward_values_are_written_as_they_are(format_: Format) -> None:
    text = 'a = "\\" \\\\ \\n é 日 # //", "k e y" = 1.50, n = null, e {}, l = [], b = TRUE, i = 1e400, t = "yes", z = ""'
    found = merged(text)
    written = found.text(format_)
    readers = {"hocon": lambda: plain(parse(written, dialect="pyhocon")), "json": lambda: json.loads(written), "yaml": lambda: yaml.safe_load(written)}
    expected = found.tree | {"i": math.inf} if format_ == "hocon" else found.tree
    assert readers[format_]() == expected
