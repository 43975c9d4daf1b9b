"""TOML with positions: the tree is tomllib's, and every position is that of the key or item (issue: layers and origins)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import FILE, below, places, rest, same

from gateway.config.origin import plain_value
from gateway.config.reading import SourceError
from gateway.config.toml_source import parse_toml

PLACES: list[tuple[str, str, dict[str, tuple[int, int]]]] = [
    ("key and value", "a = 1\n  b=2", {"a": (1, 1), "b": (2, 3)}),
    ("dotted key: each name its own", "a.b . c = 1\na.d = 2", {"a": (1, 1), "a.b": (1, 3), "a.b.c": (1, 7), "a.d": (2, 3)}),
    ("quoted names", "\"a b\".'c'.\"\\u0064\" = 1", {"a b": (1, 1), "a b.c": (1, 7), "a b.c.d": (1, 11)}),
    ("table header", "[ a . b ]\nc = 1", {"a": (1, 3), "a.b": (1, 7), "a.b.c": (2, 1)}),
    ("header below its parent's", "[a.b]\n[a]\nc = 1", {"a": (1, 2), "a.b": (1, 4), "a.c": (3, 1)}),
    (
        "lists of tables: an item begins with its header",
        "[[a]]\nb = 1\n[[a.c]]\n[[a.c]]\nd = 2\n[[ a ]]\n[a.e]\n",
        {
            "a": (1, 3), "a.0": (1, 1), "a.0.b": (2, 1), "a.0.c": (3, 5), "a.0.c.0": (3, 1), "a.0.c.1": (4, 1),
            "a.0.c.1.d": (5, 1), "a.1": (6, 1), "a.1.e": (7, 4),
        },
    ),
    ("items of a list", "a = [1, [\n 2], # ]\n\t'x']", {"a": (1, 1), "a.0": (1, 6), "a.1": (1, 9), "a.1.0": (2, 2), "a.2": (3, 2)}),
    ("inline table", "a = {b.c = 1, d = [{e = 2}]}", {
        "a": (1, 1), "a.b": (1, 6), "a.b.c": (1, 8), "a.d": (1, 15), "a.d.0": (1, 20), "a.d.0.e": (1, 21),
    }),
    ("text that looks like TOML", "a = '''\nb = 1\n# ''''\nc = \"# [d]\" # [e]\nf = 1", {"a": (1, 1), "c": (4, 1), "f": (5, 1)}),
    ("quotes at the end of long text", 'a = """x\\""""""\nb = ""\nc = \'\'\'\'x\'\'\'\'\'\nd = """"""', {
        "a": (1, 1), "b": (2, 1), "c": (3, 1), "d": (4, 1),
    }),
    ("dates with a blank", "a = [1979-05-27 07:32:00.5+01:00, 1]\nb = 07:32:00", {"a": (1, 1), "a.0": (1, 6), "a.1": (1, 35), "b": (2, 1)}),
    ("CRLF", "a = 1\r\n[b]\r\nc = [\r\n1]\r\n", {"a": (1, 1), "b": (2, 2), "b.c": (3, 1), "b.c.0": (4, 1)}),
    ("columns are characters", "a = {'ünï😀' = 1, b = 2}", {"a": (1, 1), "a.ünï😀": (1, 6), "a.b": (1, 18)}),
    ("nothing", "# only a comment", {}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "expected"), PLACES, ids=[row[0] for row in PLACES])
def test_positions(what: str, text: str, expected: dict[str, tuple[int, int]]) -> None:
    """Of an entry the key's, of an item its own; counted from 1, in characters."""
    tree = parse_toml(text, FILE)
    assert places(tree) == expected, what
    assert same(plain_value(tree), tomllib.loads(text))
    assert tree.origin == FILE


WRONG: list[tuple[str, str, int, int]] = [
    ("a = 1\nb = 2\n\n  a = 3", "a key is given twice, first in line 1", 4, 3),
    ("[a]\nb = 1\n[c]\n[a]", "a table is declared twice", 4, 3),
    ("a = {b = 1, b = 2}", "a key is given twice, first in line 1", 1, 13),
    ("a = {}\na.planted = 1", "a list or inline table cannot be added to (at end of document)", 2, 14),
    ("[a]\nb.c = 1\n[a.b]", "a table is declared twice", 3, 5),
    ("a = [", "Invalid value (at end of document)", 1, 6),
    ("a = 1\nb = planted", "Invalid value", 2, 5),
    ("a = 'planted\n'", "a control character", 1, 13),
    ("a = 1 planted", "Expected newline or end of document after a statement", 1, 7),
    ("a = '''planted", "Unterminated string (at end of document)", 1, 15),
    ("planted", "Expected '=' after a key in a key/value pair (at end of document)", 1, 8),
    ("a = 'x'\r\r\n", "Expected newline or end of document after a statement", 1, 8),
    ("a = " + "[" * 64, "nested too deeply", 1, 68),
    ("a = " + "[" * 100_000, "nested too deeply", 1, 68),
    (".".join("a" * 65) + " = 1", "nested too deeply", 1, 1),
    ("[" + "a." * 100_000 + "a]", "nested too deeply", 1, 2),
    ("a = 1\n[ " + "a." * 1_000_000, "nested too deeply", 2, 3),
    ("a = {b = 1, " + "a." * 1_000_000, "nested too deeply", 1, 13),
    ('"\\x" = 1\n"\\x" = 2', "Unescaped '\\' in a string: write \\\\ for one backslash, or use single quotes", 1, 4),
    ("a = " + "9" * 5000, "not valid TOML", 0, 0),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), WRONG, ids=lambda value: str(value)[:30])
def test_errors(text: str, message: str, line: int, column: int) -> None:
    """What is wrong and where; the text itself is never quoted."""
    with pytest.raises(SourceError) as caught:
        parse_toml(text, FILE)
    assert str(caught.value).removeprefix("not valid TOML: ") == message
    assert (caught.value.line, caught.value.column) == (line, column)
    assert "planted" not in str(caught.value)


TOKENS = [
    "a", "b", "c.d", "'a'", '"b"', '"\\x"', '"\\x" = 1\n', '"\\u0061"', "=", "=", " = ", "1", "2.5", "'x'", '"y"', "true", "inf", "-nan", "07:32:00", "1979-05-27 07:32:00",
    "'''", '"""', "'", '"', "\\", "[", "]", "[[", "]]", "{", "}", ",", ".", "\n", "\n", "\n", "\r\n", "\r", " ", "\t", "#", "# c\n",
    "a = 1\n", "[a]\n", "[[a]]\n", "[a.b]\n", "[[a.b]]\n", "b = {c = 1}\n", "c = [1, 2]\n", "ü", "\x00",
]  # fmt: skip


@settings(deadline=None, max_examples=1500)
@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
def test_the_library_is_the_judge(text: str) -> None:
    """What it refuses is refused, and what it reads is read, with the same values."""
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(SourceError):
            parse_toml(text, FILE)
    else:
        assert same(plain_value(parse_toml(text, FILE)), expected)


NAMES = st.sampled_from(["a", "b", "c1", "d-e", "0", "ü", "x.y", "# [", "'", '"', "", " "])
Node = dict[str, Any] | list[Any] | None
TREES = st.recursive(
    st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def key_text(name: str, choose: Callable[[list[str]], str]) -> str:
    """One of the ways to write a name."""
    ways = ['"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"']
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        ways.append(name)
    if "'" not in name:
        ways.append(f"'{name}'")
    return choose(ways)


class Writer:
    """Writes a tree as TOML, in one of many ways; each scalar is a number of its own."""

    def __init__(self, choose: Callable[[list[str]], str]) -> None:
        self.choose = choose
        self.count = 1000
        self.lines: list[str] = []

    def table(self, node: dict[str, Node], path: tuple[str, ...]) -> None:
        """The entries of a table whose header is written."""
        later: list[tuple[str, Any]] = []
        for name, child in node.items():
            if child and (isinstance(child, dict) or all(isinstance(item, dict) for item in child)) and self.choose("hi") == "h":
                later.append((name, child))
                continue
            blank = self.choose(["", " ", "\t"])
            self.lines.append(f"{blank}{self.pair(name, child)}{self.choose(['', ' # c = 1', ' # [x]'])}")
        for name, child in later:
            inner = (*path, key_text(name, self.choose))
            for item in [child] if isinstance(child, dict) else child:
                opened, closed = ("[", "]") if isinstance(child, dict) else ("[[", "]]")
                self.lines.append(opened + self.choose(["", " "]) + self.choose([".", " . "]).join(inner) + closed)
                self.table(item, inner)

    def pair(self, name: str, child: Node) -> str:
        """``name = value``, or ``name.inner = value``."""
        written = key_text(name, self.choose)
        if isinstance(child, dict) and len(child) == 1 and self.choose("di") == "d":
            (inner,) = child.items()
            return f"{written}{self.choose(['.', ' . '])}{self.pair(*inner)}"
        return f"{written}{self.choose(['=', ' = '])}{self.value(child)}"

    def value(self, node: Node) -> str:
        """A value on one line or, lists, on several."""
        if isinstance(node, dict):
            return "{" + ", ".join(self.pair(name, child) for name, child in node.items()) + "}"
        if isinstance(node, list):
            between = self.choose([",", ", ", ",\n  ", " # ]\n,"])
            return f"[{self.choose(['', ' ', chr(10)])}{between.join(map(self.value, node))}]"
        self.count += 1
        return str(self.count)


@settings(deadline=None, max_examples=400)
@given(st.dictionaries(NAMES, TREES, max_size=4), st.data())
def test_every_position_is_where_it_is_written(tree: dict[str, Node], data: st.DataObject) -> None:
    """Numbers are all different, so the right text at a position is the right position."""
    writer = Writer(lambda ways: data.draw(st.sampled_from(ways)))
    writer.table(tree, ())
    text = data.draw(st.sampled_from(["\n", "\r\n"])).join(writer.lines)
    found = parse_toml(text, FILE)
    assert same(plain_value(found), tomllib.loads(text))
    for path, item in below(found):
        here = rest(text, item.origin)
        if isinstance(path[-1], int):
            opening = {dict: ("{", "[["), list: ("[",)}.get(type(item.value), (str(item.value),))
            assert here.startswith(opening)
            continue
        key = re.match(r"""[A-Za-z0-9_-]+|'[^']*'|"[^"]*\"""", here)
        assert key is not None
        assert tomllib.loads(f"name = {key[0]}" if key[0][0] in "'\"" else f"name = '{key[0]}'")["name"] == path[-1]
        if isinstance(item.value, int):
            assert re.match(rf"\s*=\s*{item.value}\b", here[key.end() :])


def test_twenty_thousand_tables_are_read() -> None:
    """The issue, acceptance 5: the size that has to load within a second (the benchmark measures)."""
    mapping = '[[servers.group_mappings]]\ngroup_dn = "cn=group{},ou=groups,dc=example,dc=com"\norg_role = "Editor"\n'
    text = "[[servers]]\n" + "".join(mapping.format(number) for number in range(20_000))
    last = list(below(parse_toml(text, FILE)))[-1]
    assert (last[0], last[1].origin.line) == (("servers", 0, "group_mappings", 19_999, "org_role"), 60_001)
