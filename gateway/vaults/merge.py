"""The vaults of one person as the configuration that the ClearML client ends up with, and who set what in it.

The client reads each text alone and puts it over its files in the order of the list: objects merge deeply, everything
else replaces (clearml.md 7.2). Its variables are shown as they are written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

import yaml

from gateway.hocon import HoconError, Position, Value, render
from gateway.hocon import merge as merged_values

from .reading import OPEN, needed, read, shown, variable

Format = Literal["hocon", "json", "yaml"]

OVERWRITTEN: Final = "env"
"""A key that the client always sets itself, last of all."""
MOST_OVERRIDDEN: Final = 20
"""Places of one leaf that are remembered, the nearest first."""
_literal = re.compile(r'"(?:[^"\\]|\\.)*"')
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Source(NamedTuple):
    """One vault: a label, by which positions name it, and the text that clients get."""

    label: str
    text: str


class Leaf(NamedTuple):
    """A value that is no object with keys in it: a scalar, a list, ``{}``."""

    path: tuple[str, ...]
    value: Any
    position: Position
    """The label of the vault that set it, line and column of its key."""
    overrides: tuple[Position, ...]
    """What else would hold, the nearest first: in the same text or in earlier ones; at most ``MOST_OVERRIDDEN``."""
    written: str = ""
    """A value with variables in HOCON, which tells them from text that looks like them; empty for one without."""


class Dropped(NamedTuple):
    """A vault that the client loses."""

    label: str
    message: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Merged:
    """The effective configuration of several vaults."""

    root: Value
    dropped: tuple[Dropped, ...]
    needs: Mapping[str, tuple[str, ...]]
    """By label of a vault: the variables of which it has ``${X}``; a client without one of them loses that vault."""

    @property
    def tree(self) -> dict[str, Any]:
        """Plain objects, lists and scalars; the variables of clients as ``${X}``, infinite numbers as ``"1e999"``,
        because JSON has none.
        """
        return {key: _plain(value) for key, value in _fields(self.root)}

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf, with its origin."""
        yield from _leaves(self.root, (), ())

    def text(self, format: Format) -> str:  # noqa: A002 - the word people look for
        """The tree as text. HOCON alone tells variables from text that looks like them."""
        if format == "yaml":
            return yaml.dump(self.tree, Dumper=_DUMPER, allow_unicode=True, sort_keys=False, default_flow_style=False)
        if format == "json":
            return render(self.tree, "json")
        return _with_substitutions(render({key: _plain(value, as_read=True) for key, value in _fields(self.root)}))


def merge(vaults: Sequence[Source], environment: Mapping[str, str] | None = None) -> Merged:
    """Merge vaults in the order in which clients get them.

    Takes some milliseconds for ten thousand keys: callers on the event loop use ``text.in_thread``.

    :param environment: the client's variables; None: shown as they are written, and as if all were set.
    """
    trees: list[Value] = []
    dropped: list[Dropped] = []
    needs: dict[str, tuple[str, ...]] = {}
    for vault in vaults:
        try:
            trees.append(read(vault.text, environment, name=vault.label))
            needs[vault.label] = tuple(sorted({name for name, _ in needed(trees[-1])}))
        except HoconError as error:
            _, line, column = error.position
            dropped.append(Dropped(vault.label, error.message, line, column))
    root = merged_values(trees)
    root.value.pop(OVERWRITTEN, None)
    return Merged(root, tuple(dropped), needs)


def _fields(value: Value) -> Iterator[tuple[str, Value]]:
    """Keys without the quotation marks that the client keeps, as its own plain dictionaries have them."""
    for key, item in value.value.items():
        yield key.strip('"'), item


def _plain(value: Value, *, as_read: bool = False) -> Any:
    content = value.value
    if isinstance(content, dict):
        return {key: _plain(item, as_read=as_read) for key, item in _fields(value)}
    if isinstance(content, list):
        return [_plain(item, as_read=as_read) for item in content]
    if as_read:
        return content
    if isinstance(content, float) and not math.isfinite(content):
        return "-1e999" if content < 0 else "1e999"
    return shown(content) if isinstance(content, str) else content


def _leaves(value: Value, path: tuple[str, ...], above: tuple[Position, ...]) -> Iterator[Leaf]:
    """The leaves of a value. ``above``: what the objects around it have replaced."""
    lost = tuple(islice(_overridden(value), MOST_OVERRIDDEN)) + above
    if isinstance(value.value, dict) and (value.value or not path):
        for key, item in _fields(value):
            yield from _leaves(item, (*path, key), lost)
    else:
        text = json.dumps(_plain(value, as_read=True), ensure_ascii=False)
        written = _with_substitutions(text) if OPEN in text else ""
        yield Leaf(path, _plain(value), value.position, lost[:MOST_OVERRIDDEN], written)


def _overridden(value: Value) -> Iterator[Position]:
    lost = value.overridden
    while lost is not None:
        yield from _places(lost)
        lost = lost.overridden


def _places(value: Value) -> Iterator[Position]:
    if isinstance(value.value, dict) and value.value:
        for item in value.value.values():
            yield from _places(item)
            yield from _overridden(item)
    else:
        yield value.position


def _with_substitutions(text: str) -> str:
    return _literal.sub(lambda found: _with_variables(found[0]), text)


def _with_variables(literal: str) -> str:
    """A quoted string whose variables become substitutions beside the rest of it."""
    if OPEN not in literal:
        return literal
    parts = variable.split(literal[1:-1])
    return "".join(f"${{{part}}}" if number % 2 else f'"{part}"' for number, part in enumerate(parts) if part)
