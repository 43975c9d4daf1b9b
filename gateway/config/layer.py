"""Brings one layer into the form in which layers are translated and merged.

In that form a table or map is a ``dict``; a list of tables with a key field is a ``dict`` by folded key (or by what
addresses an item: its key or its index); a list of tables without one is a ``list``, or a ``dict`` by index where only
items are addressed; everything else is a ``Given``. On the way unknown keys are reported, paths are made absolute and
secrets are read from the files that ``k_file`` names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from gateway.identity import fold_name

from .origin import Given, Origin, Path, Problems
from .schema.fields import Form
from .schema.section import Severity
from .schema.shape import Leaf, Node, Table, Tables, leaves
from .sources import SECRET_SIZE, SourceError, anchored, read_text

FIRST_SERVER: Final = "ldap"
"""Name of the first server without one; the next are ldap2, ldap3, ..."""

NEAR: Final = 0.7
"""How close (of 1) a key of the same table must be to be suggested."""
NEAR_ELSEWHERE: Final = 0.9
"""The same for a key of another table."""
SUGGESTIONS: Final = 200
"""Problems after which no more suggestions are made: each costs a comparison with every key."""

LayerTree = dict[str, Any]


@dataclass(slots=True)
class Layer:
    """One layer: what it gives, and defaults that hold where no layer gives anything."""

    tree: LayerTree = field(default_factory=dict)
    fallbacks: LayerTree = field(default_factory=dict)
    grafana: tuple[str, ...] = ()
    """Names of the servers that follow Grafana's rules."""


@dataclass(frozen=True, slots=True)
class Shaper:
    """Walks raw values of one origin along the shape of the schema."""

    origin: Origin
    base: FilePath
    """Directory to which relative paths belong."""
    problems: Problems
    known: Mapping[str, str]
    """Every known key with its dotted path, for suggestions."""
    unknown: Severity = "error"
    """How bad an unknown key is."""

    def shape(self, node: Node, raw: Any, path: Path) -> Any:
        """``raw`` in the form of this module, or None where it cannot be used (which is then reported)."""
        if raw is None:
            return Given(None, self.origin)
        if isinstance(node, Leaf):
            return self._leaf(node.form, raw, path)
        return self._table(node, raw, path) if isinstance(node, Table) else self._tables(node, raw, path)

    def report(self, path: Path, message: str) -> None:
        """Note an error at a path."""
        self.problems.add(self.origin, path, message)

    def report_unknown(self, node: Node, path: Path) -> None:
        """Note an unknown key, with what may have been meant."""
        siblings = node.keys if isinstance(node, Table) else ()
        hint = "" if len(self.problems) > SUGGESTIONS else suggestion(path[-1], siblings, self.known)
        self.problems.add(self.origin, path, f"unknown key{hint}", self.unknown)

    def secret_file(self, name: str, path: Path) -> Given | None:
        """The secret in the file ``name``; one newline at its end does not count."""
        try:
            text = read_text(file := anchored(self.base, name), SECRET_SIZE)
        except SourceError as error:
            self.report(path, f"{file}: {error}")
            return None
        return Given(text.removesuffix("\n").removesuffix("\r"), self.origin)

    def _table(self, node: Table, raw: Any, path: Path) -> LayerTree | None:
        if not isinstance(raw, Mapping):
            self.report(path, "expected a table of keys and values")
            return None
        table: LayerTree = {}
        for key, value in raw.items():
            self._entry(node, table, str(key), value, path)
        return table

    def _entry(self, node: Table, table: LayerTree, key: str, value: Any, path: Path) -> None:
        secret = "" if key in node.keys else node.secret_of(key)
        child = node.child(secret or key)
        if child is None:
            self.report_unknown(node, (*path, key))
            return
        shaped = self._secret(value, (*path, key)) if secret else self.shape(child, value, (*path, key))
        if shaped is None:
            return
        if (secret or key) in table:
            self.report((*path, key), f"given together with {secret or key + '_file'}")
            return
        table[secret or key] = shaped

    def _secret(self, value: Any, path: Path) -> Given | None:
        if not isinstance(value, str) or not value:
            self.report(path, "expected the path of a file")
            return None
        return self.secret_file(value, path)

    def _tables(self, node: Tables, raw: Any, path: Path) -> Any:
        if isinstance(raw, Mapping):
            return self._addressed(node, raw, path)
        if not isinstance(raw, list):
            self.report(path, "expected a list of tables")
            return None
        names = _item_names(node.key, raw, path)
        if node.key:
            return self._keyed(node, raw, names, path)
        return [self._table(node.item, item, (*path, name)) or {} for name, item in zip(names, raw, strict=True)]

    def _addressed(self, node: Tables, raw: Mapping[str, Any], path: Path) -> LayerTree:
        items: LayerTree = {}
        for name, (key, value) in zip(distinct(map(str, raw)), raw.items(), strict=True):
            if not node.key and not is_index(str(key)):
                self.report((*path, str(key)), "expected the index of an item")
            elif (item := self.shape(node.item, value, (*path, name))) is not None:
                if name != str(key) and isinstance(item, dict):
                    item.setdefault(node.key, Given(str(key), self.origin))
                items[fold_name(name)] = item
        return items

    def _keyed(self, node: Tables, raw: list[Any], names: list[str], path: Path) -> LayerTree:
        """Items by key. One without a usable key gets some name, so that the rest of it is looked at all the same."""
        keyed: LayerTree = {}
        for name, item in zip(names, raw, strict=True):
            table = self._table(node.item, item, (*path, name))
            if table is None:
                continue
            given = table.get(node.key)
            if path == ("servers",) and node.key not in item:
                table[node.key] = Given(name, self.origin)
            elif not (isinstance(given, Given) and isinstance(given.value, str) and given.value):
                self.report((*path, name, node.key), "is needed: a name in quotes")
                # Not the index alone: it would be taken for an address within the layer below.
                table[node.key] = Given(f"item-{name}", self.origin)
                keyed[f"item-{name}"] = table
                continue
            keyed[fold_name(name)] = table
        return keyed

    def _leaf(self, form: Form, raw: Any, path: Path) -> Any:
        if isinstance(raw, Mapping):
            if form.is_list and raw and all(is_index(str(key)) for key in raw):
                return {str(key): Given(self._anchored(form, value), self.origin) for key, value in raw.items()}
            self.report(path, f"expected a {form.value}")
            return None
        if isinstance(raw, list):
            return Given([self._anchored(form, item) for item in raw], self.origin)
        return Given(self._anchored(form, raw), self.origin)

    def _anchored(self, form: Form, value: Any) -> Any:
        """A path, or what holds one, made absolute: it belongs to the file that names it."""
        if not isinstance(value, str) or not value:
            return value
        if form in (Form.PATH, Form.PATHS):
            return str(anchored(self.base, value))
        for mark, marked in (("unix:", Form.ADDRESSES), ("file:", Form.AUDIT)):
            if form is marked and value.startswith(mark) and value != mark:
                return mark + str(anchored(self.base, value.removeprefix(mark)))
        return value


def _item_names(key: str, items: list[Any], path: Path) -> list[str]:
    """How paths show the items of a list: by key field, servers without one as they are called, others by index."""
    given = [item.get(key) if key and isinstance(item, Mapping) else None for item in items]
    unused = unused_names(given)
    names: list[str] = []
    for index, (item, name) in enumerate(zip(items, given, strict=True)):
        if isinstance(name, str) and name:
            names.append(name)
        elif path == ("servers",) and isinstance(item, Mapping) and key not in item:
            names.append(next(unused))
        else:
            names.append(str(index))
    return distinct(names)


def distinct(names: Iterable[str]) -> list[str]:
    """The names; one that was there before gets its number behind it, so that both items are looked at."""
    seen: dict[str, int] = {}
    shown: list[str] = []
    for name in names:
        number = seen[fold_name(name)] = seen.get(fold_name(name), 0) + 1
        shown.append(name if number == 1 else f"{name} ({number})")
    return shown


def is_index(text: str) -> bool:
    """Whether a path element can be the index of an item."""
    return text.isascii() and text.isdigit() and len(text) < 7


def unused_names(taken: Iterable[object]) -> Iterator[str]:
    """ldap, ldap2, ldap3, ... without those that are taken."""
    used = {fold_name(name) for name in taken if isinstance(name, str)}
    number = 1
    while True:
        name = FIRST_SERVER if number == 1 else f"{FIRST_SERVER}{number}"
        if name not in used:
            yield name
        number += 1


def suggestion(key: str, siblings: Iterable[str], known: Mapping[str, str]) -> str:
    """``; did you mean ...?`` with a key of the same table, else of any other; empty where nothing is close."""
    wanted = key.lower()[:64]
    if near := difflib.get_close_matches(wanted, siblings, 1, NEAR):
        return f'; did you mean "{near[0]}"?'
    if near := difflib.get_close_matches(wanted, known, 1, NEAR_ELSEWHERE):
        return f'; did you mean "{known[near[0]]}"?'
    return ""


def known_keys(root: Table) -> dict[str, str]:
    """Every key below ``root`` with its dotted path (of equal keys the first one)."""
    known: dict[str, str] = {}
    for path, _ in leaves(root):
        if path[-1] != "*":
            known.setdefault(path[-1], ".".join(path))
    return known
