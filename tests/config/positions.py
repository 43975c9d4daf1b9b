"""Helpers of the tests of positions: every value of a tree, with the text that stands at its position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config.origin import Given, Origin

FILE = Origin("file", "/etc/gateway")
Step = str | int


def below(given: Given, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Given]]:
    """Everything below the root, with its path."""
    entries = given.value.items() if isinstance(given.value, dict) else enumerate(given.value)
    for key, item in entries:
        assert isinstance(item, Given)
        yield (*path, key), item
        if isinstance(item.value, dict | list):
            yield from below(item, (*path, key))


def at(given: Given, path: str) -> Given:
    """The value at a dotted path."""
    for step in path.split("."):
        given = given.value[int(step)] if isinstance(given.value, list) else given.value[step]
    return given


def rest(text: str, origin: Origin) -> str:
    """The text from a position on."""
    assert (origin.kind, origin.place) == (FILE.kind, FILE.place)
    lines = text.split("\n")
    assert 0 < origin.line <= len(lines)
    assert 0 < origin.column <= len(lines[origin.line - 1])
    return "\n".join([lines[origin.line - 1][origin.column - 1 :], *lines[origin.line :]])


def places(given: Given) -> dict[str, tuple[int, int]]:
    """Line and column of everything below the root, by dotted path."""
    return {".".join(map(str, path)): (item.origin.line, item.origin.column) for path, item in below(given)}


def same(one: Any, other: Any) -> bool:
    """Equality in which NaN is equal to itself and 1 is not True."""
    return repr(one) == repr(other)
