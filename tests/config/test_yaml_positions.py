"""YAML with positions (issue: layers and origins)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import FILE, at, below, places, rest, same

from gateway.config.origin import Given, plain_value
from gateway.config.reading import SourceError
from gateway.config.yaml_source import parse_yaml

PLACES: list[tuple[str, str, dict[str, tuple[int, int]]]] = [
    ("keys", "a: 1\nb:\n  c: 2\n  'd': x", {"a": (1, 1), "b": (2, 1), "b.c": (3, 3), "b.d": (4, 3)}),
    ("items", "a:\n- 1\n- b: 2\n  c: 3\n-   - x", {
        "a": (1, 1), "a.0": (2, 3), "a.1": (3, 3), "a.1.b": (3, 3), "a.1.c": (4, 3), "a.2": (5, 5), "a.2.0": (5, 7),
    }),
    ("flow", "a: {b: 1, c: [2, {d: 3}]}", {
        "a": (1, 1), "a.b": (1, 5), "a.c": (1, 11), "a.c.0": (1, 15), "a.c.1": (1, 18), "a.c.1.d": (1, 19),
    }),
    ("long text", "a: |\n  b: 1\nc: >\n  d\n\ne: x\n  y", {"a": (1, 1), "c": (3, 1), "e": (6, 1)}),
    ("explicit keys", "? a\n: 1\n? b\n", {"a": (1, 3), "b": (3, 3)}),
    ("what an alias repeats is where its anchor is", "a: &x\n  b: [1]\nc: *x\nd:\n- *x", {
        "a": (1, 1), "a.b": (2, 3), "a.b.0": (2, 7), "c": (3, 1), "c.b": (2, 3), "c.b.0": (2, 7),
        "d": (4, 1), "d.0": (5, 3), "d.0.b": (2, 3), "d.0.b.0": (2, 7),
    }),
    ("an alias of a scalar", "a: &x 1\nb: *x", {"a": (1, 1), "b": (2, 1)}),
    ("a key from an anchor", "a: &x k\n*x : 1", {"a": (1, 1), "k": (2, 1)}),
    ("CRLF, comments, a directive", "%YAML 1.1\r\n---\r\n# c\r\na: 1 # x\r\nb: 2\r\n", {"a": (4, 1), "b": (5, 1)}),
    ("columns are characters", "{ü😀: 1, b: 2}", {"ü😀": (1, 2), "b": (1, 9)}),
    ("lines are those of an editor", "a: 'x\u2028y'\nb: 1", {"a": (1, 1), "b": (2, 1)}),
    ("nothing", "# c", {}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "expected"), PLACES, ids=[row[0] for row in PLACES])
def test_positions(what: str, text: str, expected: dict[str, tuple[int, int]]) -> None:
    """Of an entry the key's, of an item its own; counted from 1, in characters."""
    found = parse_yaml(text, FILE)
    assert places(found) == expected, what
    assert found.origin == FILE


WRONG: list[tuple[str, str, int, int]] = [
    ("a: 1\nb: 2\na: 3", "a key is given twice, first in line 1", 3, 1),
    ("a:\n  b: 1\n  'b': 2", "a key is given twice, first in line 2", 3, 3),
    ("a: 1\n---\nb: 1", "more than one document", 2, 1),
    ("a:\n  - !planted x", "tags are not supported", 2, 5),
    ("a: !!map {}", "tags are not supported", 1, 4),
    ("a: &planted", "an anchor (&) of nothing; quote the text if none is meant", 1, 4),
    ("a: *planted", "an alias (*) of nothing; quote the text if none is meant", 1, 4),
    ("a: &a [*a]", "an alias (*) of nothing; quote the text if none is meant", 1, 8),
    ("a: &a {b: 1}\n<<: *a", "merge keys (<<) are not supported", 2, 1),
    ("a: &a {b: 1}\n*a : 1", "a key that is no text", 2, 1),
    ("[a]: b", "a list or table as a key", 1, 1),
    ("a: " + "[" * 65, "nested too deeply", 1, 67),
    ("a: [planted", "did not find expected ',' or ']'", 1, 12),
    ("a: 'planted", "found unexpected end of stream", 1, 12),
    ("a: \x01", "a character that YAML forbids", 0, 0),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), WRONG, ids=lambda value: str(value)[:30])
def test_errors(text: str, message: str, line: int, column: int) -> None:
    """What is wrong and where; the text itself is never quoted."""
    with pytest.raises(SourceError) as caught:
        parse_yaml(text, FILE)
    found = str(caught.value).removeprefix("not valid YAML: ")
    assert (found, caught.value.line, caught.value.column) == (message, line, column)
    assert "planted" not in found


def test_what_an_alias_repeats_is_a_copy() -> None:
    """Layers are merged in place: one table must not change with another."""
    found = parse_yaml("a: &x {b: {c: [1]}}\nd: *x\ne: *x", FILE)
    at(found, "d.b.c").value.append(Given("changed", FILE))
    assert plain_value(found) == {"a": {"b": {"c": [1]}}, "d": {"b": {"c": [1, "changed"]}}, "e": {"b": {"c": [1]}}}
    assert len({id(item) for _, item in below(found)}) == len(list(below(found)))


TEXTS = st.text(st.characters(exclude_categories=["C"]) | st.sampled_from("-:#{}[]'\"&*!|> \n"), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(TEXTS, TREES, max_size=4), st.booleans(), st.booleans())
def test_every_position_is_where_it_is_written(tree: dict[str, Any], flow: bool, ascii_only: bool) -> None:
    """Written by PyYAML, whose own composer says where a node begins."""
    text = yaml.dump(tree, Dumper=yaml.CSafeDumper, default_flow_style=flow, allow_unicode=not ascii_only, sort_keys=False)
    found = parse_yaml(text, FILE)
    assert same(plain_value(found), tree)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert {path: rest(text, item.origin) for path, item in below(found)} == dict(starts(text, root))


def starts(text: str, node: Any, path: tuple[str | int, ...] = ()) -> Any:
    """The text from each key and item on, by the composer that is not ours."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), text[key.start_mark.index :]
            yield from starts(text, value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), text[item.start_mark.index :]
            yield from starts(text, item, (*path, index))
