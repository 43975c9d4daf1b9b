"""Hostile text ends in a clear error or a value, soon and in little memory (issue 3, HOCON reader)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.hocon import HoconError, Limits, Value, parse, plain

ROOT = Path(__file__).parents[2]
SECONDS = 20
"""Generous: all of them take about one on a machine of two shared cores."""
SIZE = 1_000_000
CLIENT_SIZE = 250_000
"""``vaults.max_size``, the longest text that the dialect pyhocon is for."""


def times(text: str) -> Callable[[int], str]:
    return lambda size: text * (size // len(text.encode()))


def numbered(first: str, line: str) -> Callable[[int], str]:
    """Lines in which I is the number of the line and J the one before."""

    def build(size: int) -> str:
        lines = [first]
        while size > 0:
            lines.append(line.replace("I", str(len(lines))).replace("J", str(len(lines) - 1)))
            size -= len(lines[-1]) + 1
        return "\n".join(lines)

    return build


def around(before: str, inner: str, after: str) -> Callable[[int], str]:
    return lambda size: before + inner * ((size - len(before) - len(after)) // len(inner)) + after


HOSTILE: dict[str, tuple[Callable[[int], str], str]] = {
    "braces": (times("a{"), "nested too deeply"),
    "brackets": (around("a=", "[", ""), "nested too deeply"),
    "braces and brackets": (around("a=", "[{a=", ""), "nested too deeply"),
    "closed braces": (lambda size: "a{" * 99 + "}" * 99, "value"),
    "one brace too many": (lambda size: "a{" * 100 + "}" * 100, "nested too deeply"),
    "dots": (around("a", ".a", "=1"), "nested too deeply"),
    "only dots": (times("."), "an element of the path is empty"),
    "dots in a substitution": (around("b=${a", ".a", "}"), "nested too deeply"),
    "dotted keys within objects": (times("a.b.c{"), "nested too deeply"),
    "doubling strings": (numbered("a0=x", "aI=${aJ}${aJ}"), "too large"),
    "doubling strings, last first": (lambda size: "\n".join(f"a{i}=${{a{i - 1}}}${{a{i - 1}}}" for i in range(60, 0, -1)) + "\na0=x", "too large"),
    "doubling lists": (numbered("a0=[1]", "aI=${aJ}${aJ}"), "too large"),
    "doubling objects": (numbered("a0={x=1}", "aI={l=${aJ},r=${aJ}}"), "too large"),
    "doubling items": (numbered("a0=1", "aI=[${aJ},${aJ}]"), "too large"),
    "inheritance": (numbered("a0={k=1}", "aI=${aJ}{kI=1}"), "too large"),
    "one long string many times": (lambda size: "s=" + "x" * 1000 + "\n" + "\n".join(f"k{i}=${{s}}" for i in range(20_000)), "too large"),
    "one long key many times": (lambda size: "a={" + "k" * 500_000 + "=1}\nb=[" + ",".join(["${a}"] * 10_000) + "]", "too large"),
    "chain": (numbered("a0=1", "aI=${?aJ}"), "value"),
    "chain, last first": (lambda size: "\n".join(f"a{i}=${{?a{i - 1}}}" for i in range(10_000, 0, -1)) + "\na0=1", "wait for each other"),
    "long circle": (lambda size: "\n".join(f"a{i}=${{?a{(i + 1) % 5000}}}" for i in range(5000)), "wait for each other"),
    "itself": (lambda size: "a = {b = ${a}}", "contains itself"),
    "itself, extended": (lambda size: "a={b=${a}{c=1},d=${a}{e=1}}", "contains itself"),
    "itself, layered": (lambda size: "a={b=${a}{c=1},b=${a}{d=1}}", "nested too deeply"),
    "itself, optional": (lambda size: "a={b=${?a}{c=1},b=${?a}{d=1},e=${?a.b}{f=1}}", "value"),
    "a = ${a}": (times("a=${a}\n"), "wait for each other"),
    "a = ${?a}": (times("a=${?a}\n"), "wait for each other"),
    "a = ${?a}x": (times("a=${?a}x\n"), "more than 200000 values"),
    "unresolved": (times("a=${b}\n"), "finds nothing"),
    "many substitutions": (around("b=1\na=", "${b}", ""), "values"),
    "layers": (times("a{b=1}\na=${?x}\n"), "value"),
    "+=": (times("a+=1\n"), "value"),
    "+= and look back": (times("a=${?a}[1]\na+=2\n"), "more than 200000 values"),
    "long string": (around('a="', "x", '"'), "value"),
    "long word": (around("a=", "x", ""), "value"),
    "words": (around("a=", "x ", ""), "value"),
    "strings": (around("a=", '"x" ', ""), "values"),
    "escapes": (around('a="', "\\n", '"'), "value"),
    "bad escapes": (around('a="', "\\x", '"'), "not an escape"),
    "quotation marks": (around("a=", '"', ""), "value"),
    "open strings": (times('a="\n'), "does not end"),
    "open triple strings": (times('a="""x\n'), "does not end"),
    "an open triple string": (around('a="""', '""x', ""), "does not end"),
    "digits": (around("a=", "1", ""), "value"),
    "hyphens": (around("a=", "-", ""), "value"),
    "exponents": (around("a=", "1e+", ""), "cannot stand in a value without quotes"),
    "numbers beside each other": (around("a=", "1e+5 ", ""), "value"),
    "commas": (times(","), "a comma without a field"),
    "newlines": (times("\n"), "value"),
    "comments": (times("#\n"), "value"),
    "slashes": (times("/"), "value"),
    "slashes in a value": (around("a=b", "/ ", ""), "value"),
    "blanks": (around("a=", " ", "1"), "value"),
    "byte order marks": (times("\ufeff"), "value"),
    "dollars": (around("a=", "$", ""), "begins no substitution"),
    "one key": (times("a=1\n"), "value"),
    "one object": (times("a{b=1}\n"), "value"),
    "keys": (numbered("", "kI=1"), "value"),
    "items": (around("a=[", "1,", "]"), "values"),
    "objects beside each other": (around("a=", "{a=1}", ""), "values"),
    "lists beside each other": (around("a=", "[1]", ""), "values"),
    "open objects in an open list": (around("a=[", "{b=1} ", ""), "values"),
    "includes": (times("include "), "expected the quoted name"),
    "commas and comments": (times("a=1,#\n"), "value"),
}


@pytest.fixture(scope="module")
def child() -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-m", "tests.hocon.hocon_hostile"]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.communicate()


def ask(child: subprocess.Popen[str], dialect: str, text: str) -> tuple[str, float]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps([dialect, text]) + "\n")
    child.stdin.flush()
    outcome, seconds = json.loads(child.stdout.readline())
    return outcome, seconds


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name: str, child: subprocess.Popen[str]) -> None:
    build, expected = HOSTILE[name]
    outcome, seconds = ask(child, "hocon", build(SIZE))
    assert expected in outcome
    assert seconds < SECONDS


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_in_the_clients_dialect(name: str, child: subprocess.Popen[str]) -> None:
    outcome, seconds = ask(child, "pyhocon", HOSTILE[name][0](CLIENT_SIZE))
    assert not outcome.startswith("raised") and "quotes" not in outcome
    assert seconds < SECONDS


ALPHABET = st.text(st.sampled_from('ab.0 19-+eE"\\{}[]=:,$?#/\n\t\r\u00a0\ufeffé+=*!`'), max_size=60)
FRAGMENTS = st.lists(
    st.sampled_from(["a", "b", "a.b", "=", ":", "+=", "{", "}", "[", "]", ",", "\n", " ", "${a}", "${?b}", "${a.b}", '"x"', "1", "include ", "#", '"""', "null"])
).map("".join)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(ALPHABET | FRAGMENTS, st.sampled_from(["hocon", "pyhocon"]))
def test_any_text_is_a_value_or_an_error_within_it(text: str, dialect: str) -> None:
    lines = text.split("\n")
    try:
        root = parse(text, dialect=dialect)  # type: ignore[arg-type]
    except HoconError as error:
        assert 1 <= error.position.line <= len(lines)
        assert 1 <= error.position.column <= len(lines[error.position.line - 1]) + 1
    else:
        walk(root, lines)


def walk(value: Value, lines: list[str]) -> None:
    inner = value.value.values() if isinstance(value.value, dict) else value.value if isinstance(value.value, list) else ()
    for item in inner:
        assert 1 <= item.position.column <= len(lines[item.position.line - 1]) + 1
        walk(item, lines)


SECRET = "hunter2"
LEAKS = [
    "p = ${hunter2}",
    "p = x${hunter2}y",
    'p = ${"hunter2"}',
    "p = ${x.hunter2}",
    "p { q = ${p} hunter2 }",
    "hunter2 = ${hunter2}",
    "p = [${hunter2} 1]",
    'p = "hunter2',
    "p = hunter2 = x",
    "p = hunter2@x",
    "p = [hunter2",
    "p = hunter2 {}",
    'p = "hunter2\\q"',
    "p = ${x}hunter2",
    "p { hunter2 }",
    "hunter2",
    "p = 1\np += hunter2",
    'include "hunter2"',
    'p = "hunter2" [1]',
]


@pytest.mark.parametrize("text", LEAKS)
@pytest.mark.parametrize("dialect", ["hocon", "pyhocon"])
def test_errors_never_quote_the_text(text: str, dialect: str) -> None:
    with pytest.raises(HoconError) as caught:
        parse(text, dialect=dialect)  # type: ignore[arg-type]
        raise HoconError("this dialect reads it", parse("").position)
    assert SECRET not in str(caught.value) and SECRET not in repr(caught.value) and SECRET not in caught.value.message


def test_repr_never_shows_content() -> None:
    root = parse("p = hunter2, q = ${x}hunter2, l = [hunter2]", resolve=False)
    assert SECRET not in repr(root) + repr(root.value) + repr(root.value["q"].value)


LIMITS = [
    ("a = 1", Limits(size=4), "more than 4 bytes"),
    ("é=1", Limits(size=3), "more than 3 bytes"),
    ("a { b { c = 1 } }", Limits(depth=2), "nested too deeply"),
    ("a.b.c = 1", Limits(depth=2), "nested too deeply"),
    ("a = [[]]", Limits(depth=2), "nested too deeply"),
    ("a = 1, b = 2, c = 3", Limits(values=2), "more than 2 values"),
    ("a = [1, 2, 3]", Limits(values=2), "more than 2 values"),
    ("a.b.c = 1", Limits(values=2), "more than 2 values"),
    ("a = 12345678x, b = ${a}", Limits(expansion=16), "too large"),
    ("a = \ud800", Limits(), "surrogate"),
]


@pytest.mark.parametrize(("text", "limits", "message"), LIMITS)
def test_limits(text: str, limits: Limits, message: str) -> None:
    with pytest.raises(HoconError, match=message):
        parse(text, limits=limits)


def test_limits_allow_what_they_say() -> None:
    assert plain(parse("é=1", limits=Limits(size=4))) == {"é": 1}
    assert parse("a { b { c = 1 } }", limits=Limits(depth=3, values=3))
    assert parse("a = 12345678x, b = ${a}", limits=Limits(expansion=17))


MANY = ["a=${a}", "a=${b}", "a+=1", "a{b=${c}}", "x{a{b=1}}"]


@pytest.mark.parametrize("line", MANY)
def test_the_default_limits_end_it_early(line: str) -> None:
    """A text of a megabyte that is all substitutions would take two seconds to compute; nobody writes one."""
    with pytest.raises(HoconError, match="more than 50000 values"):
        parse(f"{line}\n" * (1024 * 1024 // (len(line) + 1)))
