"""JSON with positions (RFC 8259; issue: layers and origins)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import FILE, below, places, rest, same

from gateway.config.json_source import parse_json, read_json
from gateway.config.origin import plain_value
from gateway.config.reading import SourceError

PLACES: list[tuple[str, dict[str, tuple[int, int]]]] = [
    ('{"a": 1, "b" : {"c": null}}', {"a": (1, 2), "b": (1, 10), "b.c": (1, 17)}),
    ('{\n  "a": [1,\n"x", [], {}]}', {"a": (2, 3), "a.0": (2, 9), "a.1": (3, 1), "a.2": (3, 6), "a.3": (3, 10)}),
    ('[true, {"\\"}": "{\\\\"}, -1.5e3]', {"0": (1, 2), "1": (1, 8), '1."}': (1, 9), "2": (1, 24)}),
    ('{"ü😀":1,"b":2}', {"ü😀": (1, 2), "b": (1, 9)}),
    ("5", {}),
    ("{}", {}),
]


@pytest.mark.parametrize(("text", "expected"), PLACES)
def test_positions(text: str, expected: dict[str, tuple[int, int]]) -> None:
    """Of an entry the key's, of an item its own; counted from 1, in characters."""
    found = parse_json(text, FILE)
    assert (places(found) if isinstance(found.value, dict | list) else {}) == expected
    assert same(plain_value(found), json.loads(text))
    assert found.origin == FILE


WRONG: list[tuple[str, str, int, int]] = [
    ("", "Expecting value", 1, 1),
    ("{\n'a': 1}", "Expecting property name enclosed in double quotes", 2, 1),
    ('{"a": "planted}', "Unterminated string", 1, 7),
    ('{"a": "planted\n"}', "Invalid control character", 1, 15),
    ('{"a": "\\planted"}', "Invalid \\escape", 1, 8),
    ('{"a": 1}\n{}', "Extra data", 2, 1),
    ('{"a": 1,\n "b": {"a": 2},\n "\\u0061": 3}', "a key is given twice, first in line 1", 3, 2),
    ('{"a": [1, NaN]}', "NaN is not a number", 1, 11),
    ('[\n-Infinity]', "-Infinity is not a number", 2, 1),
    ('{"a": "\\ud800"}', "half of a surrogate pair", 1, 7),
    ('{"\\udc00": 1}', "half of a surrogate pair", 1, 2),
    ("[" * 65 + "]" * 65, "nested too deeply", 1, 65),
    ("[" * 100_000, "nested too deeply", 0, 0),
    ("9" * 5000, "a number of too many digits", 0, 0),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), WRONG, ids=lambda value: str(value)[:30])
def test_errors(text: str, message: str, line: int, column: int) -> None:
    """What is wrong and where; the text itself is never quoted."""
    with pytest.raises(SourceError) as caught:
        parse_json(text, FILE)
    assert str(caught.value).removeprefix("not valid JSON: ") == message
    assert (caught.value.line, caught.value.column) == (line, column)
    with pytest.raises(SourceError) as again:
        read_json(text)
    assert str(again.value) == f"{caught.value} (line {line}, column {column})" if line else str(caught.value)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\{}[],: '))
TREES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


@settings(deadline=None, max_examples=300)
@given(TREES, st.sampled_from([None, 0, 1]), st.booleans())
def test_every_position_is_where_it_is_written(tree: Any, indent: int | None, ascii_only: bool) -> None:
    """The tree is the library's; at each position stands the key, or the item."""
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    found = parse_json(text, FILE)
    assert same(plain_value(found), tree)
    assert same(read_json(text), tree)
    for path, item in below(found) if isinstance(tree, dict | list) else ():
        read, _ = json.JSONDecoder().raw_decode(rest(text, item.origin))
        assert same(read, path[-1] if isinstance(path[-1], str) else plain_value(item))


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(['"a"', '"', "\\", "{", "}", "[", "]", ":", ",", "1", "-", "NaN", "null", "\n", " ", "\x00"]), max_size=12).map("".join))
def test_what_the_library_refuses_is_refused(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(SourceError):
            parse_json(text, FILE)
