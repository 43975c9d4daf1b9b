"""Brings one layer into the form in which layers are translated and merged.

In that form a table or map is a ``LayerTree``; a list of tables with a key field is one by folded key (or by what
addresses an item: its key or its index); a list of tables without one is a ``list``, or a ``LayerTree`` by index where
only items are addressed; everything else is a ``Given``, and one of None removes. On the way unknown keys are reported,
paths are made absolute and secrets are read from the files that ``k_file`` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from gateway.identity import fold_name

from .origin import DEFAULT, Given, Origin, Path, Problems, plain_value
from .reading import Reading, SourceError, anchored
from .schema.fields import Form
from .schema.section import Severity
from .schema.shape import Leaf, Node, Table, Tables
from .suggestions import suggestion

SECRET_SIZE: Final = 64 * 1024
"""Largest file that holds one secret, in bytes."""

UNNAMED: Final[Mapping[Path, str]] = {("servers",): "ldap", ("access_control", "rules"): "rule"}
"""Lists whose items need no name, with what the first one is called that has none; the next are ldap2, ldap3, ..."""

_WITH_VALUE: Final = re.compile(r"(?<=.)[:=\s].*", re.DOTALL)
SUGGESTIONS: Final = 200
"""Problems after which no more suggestions are made: each costs a comparison with every key."""



class LayerTree(dict[str, Any]):
    """A table, or a list of tables by key or index, with where it is written."""

    __slots__ = ("afresh", "origin")

    def __init__(self, origin: Origin = DEFAULT, items: Mapping[str, Any] | None = None) -> None:
        super().__init__(items or {})
        self.origin = origin
        self.afresh = False
        """Whether its file removed what was there before it gave this, so that earlier layers count for nothing."""


@dataclass(slots=True)
class Layer:
    """One layer: what it gives, and defaults that hold where no layer gives anything."""

    tree: LayerTree = field(default_factory=LayerTree)
    fallbacks: LayerTree = field(default_factory=LayerTree)
    foreign: list[tuple[Path, Path, Given]] = field(default_factory=list)
    """What variables of other programs say: how it is spelled there, our key, the value."""
    grafana: tuple[str, ...] = ()
    """Names of the servers that follow Grafana's rules."""


@dataclass(frozen=True, slots=True)
class Shaper:
    """Walks what a layer gives along the shape of the schema."""

    base: FilePath
    """Directory to which relative paths belong that no file names."""
    problems: Problems
    reading: Reading
    known: Mapping[str, str]
    """Every known key with its dotted path, for suggestions."""
    unknown: Severity = "error"
    """How bad an unknown key is."""
    unnamed_rules: list[str] = field(default_factory=list)
    """What rules without a name are called, over all layers: those of two files must not become one."""
    blocks: dict[str, Origin] = field(default_factory=dict)
    """The blocks of all files read by Grafana's rules: their names, folded, and where they are written."""

    def shape(self, node: Node, raw: Given, path: Path) -> Any:
        """``raw`` in the form of this module, or None where it cannot be used (which is then reported)."""
        if raw.value is None:
            return Given(None, raw.origin, raw.overridden)
        if isinstance(node, Leaf):
            return self._leaf(node.form, raw, path)
        return self._table(node, raw, path) if isinstance(node, Table) else self._tables(node, raw, path)

    def report(self, origin: Origin, path: Path, message: str) -> None:
        """Note an error at a path."""
        self.problems.add(origin, path, message)

    def report_unknown(self, origin: Origin, node: Node, path: Path, beside: Iterable[str] = ()) -> None:
        """Note an unknown key, with what may have been meant; ``beside`` are the keys of the same table."""
        # YAML makes one key of {password:x}, HOCON of "password x =": what follows the sign may be a secret.
        key = path[-1] if origin.kind != "file" else _WITH_VALUE.sub("", path[-1])
        if key != path[-1]:
            self.problems.add(origin, (*path[:-1], f"{key}..."), "unknown key, with a value in it?", self.unknown)
            return
        table = node if isinstance(node, Table) else None
        hint = "" if len(self.problems) > SUGGESTIONS else suggestion(path, beside, table, self.known)
        self.problems.add(origin, path, f"unknown key{hint}", self.unknown)

    def secret_file(self, given: Given, path: Path) -> Given | None:
        """The secret in the file that is named; one newline at its end does not count."""
        if not isinstance(given.value, str) or not given.value:
            self.report(given.origin, path, "expected the path of a file")
            return None
        try:
            file = anchored(self._directory(given.origin), given.value)
            text = self.reading.text(file, SECRET_SIZE, "secret")
        except SourceError as error:
            self.report(given.origin, path, f"{file}: {error}")
            return None
        return Given(text.removesuffix("\n").removesuffix("\r"), given.origin, given.overridden)

    def _directory(self, origin: Origin) -> FilePath:
        """A relative path belongs to the file that names it, which may be an included one."""
        return FilePath(origin.place).parent if origin.kind == "file" else self.base

    def _table(self, node: Table, raw: Given, path: Path) -> LayerTree | None:
        if not isinstance(raw.value, dict):
            self.report(raw.origin, path, "expected a table of keys and values")
            return None
        table = LayerTree(raw.origin)
        table.afresh = _removed_before(raw)
        for key in raw.value:
            self._entry(node, table, key, raw.value, path)
        return table

    def _entry(self, node: Table, table: LayerTree, key: str, given: Mapping[str, Given], path: Path) -> None:
        value = given[key]
        secret = "" if key in node.keys else node.secret_of(key)
        child = node.child(secret or key)
        if child is None:
            self.report_unknown(value.origin, node, (*path, key), given)
            return
        shaped = self.secret_file(value, (*path, key)) if secret else self.shape(child, value, (*path, key))
        if shaped is None:
            return
        if (secret or key) in table:
            self.report(value.origin, (*path, key), f"given together with {secret or key + '_file'}")
            return
        table[secret or key] = shaped

    def _tables(self, node: Tables, raw: Given, path: Path) -> Any:
        if isinstance(raw.value, dict):
            return self._addressed(node, raw, path)
        if not isinstance(raw.value, list):
            self.report(raw.origin, path, "expected a list of tables")
            return None
        names = _item_names(node.key, raw.value, path, self.unnamed_rules)
        if node.key:
            return self._keyed(node, raw, names, path)
        items = zip(names, raw.value, strict=True)
        return [self._table(node.item, item, (*path, name)) or LayerTree(item.origin) for name, item in items]

    def _addressed(self, node: Tables, raw: Given, path: Path) -> LayerTree:
        items = LayerTree(raw.origin)
        items.afresh = _removed_before(raw)
        if raw.value and not any(isinstance(item.value, dict) or item.value is None for item in raw.value.values()):
            self.report(raw.origin, path, f"expected a list of tables, or tables by {node.key or 'index'}")
            return items
        for name, (key, value) in zip(distinct(raw.value), raw.value.items(), strict=True):
            if not node.key and not is_index(key):
                self.report(value.origin, (*path, key), "expected the index of an item")
            elif (item := self.shape(node.item, value, (*path, name))) is not None:
                if name != key and isinstance(item, LayerTree):
                    item.setdefault(node.key, Given(key, value.origin))
                items[fold_name(name)] = item
        return items

    def _keyed(self, node: Tables, raw: Given, names: list[str], path: Path) -> LayerTree:
        """Items by key. One without a usable key gets some name, so that the rest of it is looked at all the same."""
        keyed = LayerTree(raw.origin)
        for name, item in zip(names, raw.value, strict=True):
            table = self._table(node.item, item, (*path, name))
            if table is None:
                continue
            given = table.get(node.key)
            if path in UNNAMED and node.key not in item.value:
                table[node.key] = Given(name, item.origin)
            elif not (isinstance(given, Given) and isinstance(given.value, str) and given.value):
                origin = given.origin if given else item.origin
                self.report(origin, (*path, name, node.key), "is needed: a name in quotes")
                # Not the index alone: it would be taken for an address within the layer below.
                table[node.key] = Given(f"item-{name}", item.origin)
                keyed[f"item-{name}"] = table
                continue
            keyed[fold_name(name)] = table
        return keyed

    def _leaf(self, form: Form, raw: Given, path: Path) -> Any:
        value = raw.value
        if isinstance(value, dict):
            if form.is_list and value and all(is_index(key) for key in value):
                items = {key: Given(self._item(form, item), item.origin) for key, item in value.items()}
                return LayerTree(raw.origin, items)
            self.report(raw.origin, path, f"expected a {form.value}")
            return None
        if isinstance(value, list):
            plain = [self._item(form, item) for item in value]
            return Given(plain, raw.origin, raw.overridden, tuple(item.origin for item in value))
        return Given(self._item(form, raw), raw.origin, raw.overridden)

    def _item(self, form: Form, item: Given) -> Any:
        """A plain value, or an item of a list, which with += may come from another file than the list."""
        base = self._directory(item.origin) if form in _ANCHORED else self.base
        return _anchored(form, plain_value(item), base)


_ANCHORED: Final = {Form.PATH: "", Form.PATHS: "", Form.ADDRESSES: "unix:", Form.AUDIT: "file:"}
"""Forms that hold paths, and the mark in front of one."""


def _anchored(form: Form, value: Any, base: FilePath) -> Any:
    """A path, or what holds one, made absolute: it belongs to the file that names it."""
    mark = _ANCHORED.get(form)
    if mark is None or not isinstance(value, str) or value == mark or not value.startswith(mark):
        return value
    return mark + str(anchored(base, value.removeprefix(mark)))


def _removed_before(raw: Given) -> bool:
    """Whether a null stood there earlier in the same file."""
    below = raw.overridden
    while below is not None and below.value is not None:
        below = below.overridden
    return below is not None


def _item_names(key: str, items: list[Given], path: Path, unnamed_rules: list[str]) -> list[str]:
    """How paths show the items of a list: by key field, servers and rules without one as they are called, others by
    index."""
    tables = [item.value if isinstance(item.value, dict) else None for item in items]
    given = [table[key].value if key and table and key in table else None for table in tables]
    rules = path == ("access_control", "rules")
    unused = unused_names([*given, *unnamed_rules] if rules else given, UNNAMED.get(path, ""))
    names: list[str] = []
    for index, (table, name) in enumerate(zip(tables, given, strict=True)):
        if isinstance(name, str) and name:
            names.append(name)
        elif path in UNNAMED and table is not None and key not in table:
            names.append(next(unused))
            if rules:
                unnamed_rules.append(names[-1])
        else:
            names.append(str(index))
    return distinct(names)


def distinct(names: Iterable[str]) -> list[str]:
    """The names; one that was there before gets a number behind it, so that both items are looked at."""
    given = list(names)
    taken = {fold_name(name) for name in given}
    seen: dict[str, int] = {}
    shown: list[str] = []
    for name in given:
        number = seen[fold_name(name)] = seen.get(fold_name(name), 0) + 1
        while number > 1 and fold_name(f"{name} ({number})") in taken:
            number = seen[fold_name(name)] = number + 1
        shown.append(name if number == 1 else f"{name} ({number})")
    return shown


def is_index(text: str) -> bool:
    """Whether a path element can be the index of an item."""
    return text.isascii() and text.isdigit() and len(text) < 7


def unused_names(taken: Iterable[object], first: str = UNNAMED[("servers",)]) -> Iterator[str]:
    """``first`` and the same with 2, 3, ... behind it, without those that are taken."""
    used = {fold_name(name) for name in taken if isinstance(name, str)}
    number = 1
    while True:
        name = first if number == 1 else f"{first}{number}"
        if name not in used:
            yield name
        number += 1
