"""Substitutions that lead back to themselves: an error or a finite tree, never anything else (HOCON, Self-Referential
Substitutions), and what an object remembers of the value that it replaced.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from gateway.hocon import HoconError, Value, merge, parse, plain, render
from tests.hocon.hocon_documents import documents

SOAK = os.environ.get("GATEWAY_SOAK") == "1"
DOCUMENTS = 60_000 if SOAK else 4_000


def height(value: Value, around: frozenset[int] = frozenset()) -> int:
    """The height of a tree; fails where an object or list is within itself."""
    content = value.value
    assert id(content) not in around, "the tree holds itself"
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return 1 + max((height(item, around | {id(content)}) for item in inner), default=0)


@pytest.mark.parametrize("dialect", ["hocon", "pyhocon"])
def test_any_document_is_an_error_or_a_finite_tree(dialect: str) -> None:
    read = 0
    for text in documents(3, DOCUMENTS):
        try:
            root = parse(text, dialect=dialect)  # type: ignore[arg-type]
        except HoconError:
            continue
        read += 1
        assert height(root) < 100
        assert plain(parse(render(root))) == plain(root)
    assert read > DOCUMENTS / 20


def test_what_is_unresolved_merges_and_renders() -> None:
    for text in documents(4, DOCUMENTS // 4):
        try:
            root = parse(text, resolve=False)
        except HoconError:
            continue
        assert render(merge([root])) == render(root)
        merge([root, root])


def chain(value: Value) -> list[Any]:
    lost, result = value.overridden, []
    while lost is not None:
        result.append(lost.value if not isinstance(lost.value, dict) else plain(lost))
        lost = lost.overridden
    return result


REPLACED = [
    ("a = null\na { c = 2 }", [None]),
    ("a = 1\na { c = 2 }", [1]),
    ("a = [1]\na { c = 2 }", None),
    ("a { b = 1 }\na = null\na { c = 2 }", [None, {"b": 1}]),
    ("a = null\na.c = 2\na { d = 3 }", [None]),
    ("a = null\na { c = 2 }\na = ${x}\nx { d = 1 }", [None]),
    ("a = null\na = ${x}{c = 2}\nx { d = 1 }", [None]),
    ("a = ${x}\na { c = 2 }\nx = null", [None]),
    ("a = ${x}\na { c = 2 }\na { d = 2 }\nx = 5", [5]),
    ("a { c = 2 }\na { d = 3 }", []),
]


@pytest.mark.parametrize(("text", "expected"), REPLACED)
def test_an_object_remembers_what_it_replaced(text: str, expected: list[Any] | None) -> None:
    """``Value.overridden``: by it those who merge know that nothing before counts."""
    value = parse(text).value["a"]
    if expected is not None:
        assert chain(value) == expected
    hidden = merge([parse("a { below = 1 }"), parse(text)])
    assert ("below" in hidden.value["a"].value) is (expected == [])


MERGES = [
    (["a { b = 1 }", "a = null\na { c = 2 }"], {"a": {"c": 2}}),
    (["a { b = 1 }", "a = 1\na { c = 2 }"], {"a": {"c": 2}}),
    (["x.a { b = 1 }", "x.a = null\nx.a { c = 2 }"], {"x": {"a": {"c": 2}}}),
    (["a { b = 1 }", "a = null\na { c = 2 }", "a { d = 3 }"], {"a": {"c": 2, "d": 3}}),
    (["a { b = 1 }", "a { c = 2 }", "a = null\na { d = 3 }"], {"a": {"d": 3}}),
    (["a = null\na { b = 1 }", "a { c = 2 }"], {"a": {"b": 1, "c": 2}}),
    (["a { b { c = 1 } }", "a { b = null, b { d = 1 }, e = 1 }"], {"a": {"b": {"d": 1}, "e": 1}}),
    (["a { b = 1 }", "a = null", "a { c = 2 }"], {"a": {"c": 2}}),
    (["a { b = 1 }", "a = ${n}\na { c = 2 }\nn = null"], {"a": {"c": 2}, "n": None}),
    (["a { b = 1 }", "a = ${?n}\na { c = 2 }"], {"a": {"b": 1, "c": 2}}),
]


@pytest.mark.parametrize(("texts", "expected"), MERGES)
def test_merge_as_the_reference_falls_back(texts: list[str], expected: Any) -> None:
    """HOCON, Duplicate keys and object merging, over several files: ``withFallback`` of lightbend/config 1.4.3."""
    values = [parse(text) for text in texts]
    assert plain(merge(values)) == expected
    assert [plain(value) for value in values] == [plain(parse(text)) for text in texts]


def test_what_is_unresolved_hides_too() -> None:
    first, second = parse("a = ${x}\na { b = 1 }", resolve=False), parse("a = null\na { c = ${?y} }", resolve=False)
    assert plain(parse(render(merge([first, second])))) == {"a": {}}


def test_in_the_clients_dialect_objects_merge_whatever_they_replaced() -> None:
    """clearml.md 7.3: across vaults the client merges every object with the one before."""
    for text in ("a = null\na { c = 2 }", "a = [1]\na { c = 2 }", "a = 1\na.c = 2", "a = [1]\na = ${x}\nx { c = 2 }"):
        second = parse(text, dialect="pyhocon")
        assert plain(merge([parse("a { b = 1 }", dialect="pyhocon"), second]).value["a"]) == {"b": 1, "c": 2}
