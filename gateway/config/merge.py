"""Lays one layer over another (DECISIONS 22).

Tables merge key by key. Lists of named tables merge by name; new ones are appended. Any other value replaces, items
addressed by index replace within the list, and ``null`` removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.identity import fold_name

from .layer import LayerTree, is_index, unused_names
from .origin import DEFAULT, Given, Origin, Path, Problems
from .schema.shape import Leaf, Node, Table, Tables


class Merger:
    """Merges layers of one shape and collects what cannot be merged."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def overlay(self, node: Table, base: LayerTree, over: LayerTree, path: Path = ()) -> None:
        """Lay ``over`` on ``base``, which changes in place."""
        if path[:1] == ("servers",) and len(path) == 2:
            _drop_other_address(base, over)
        for written, value in over.items():
            child = node.child(written)
            if child is None:
                continue
            key = written if written in node.keys else match_key(written, base, value) or written
            self._put(child, base, key, value, (*path, key))

    def _put(self, node: Node, base: LayerTree, key: str, value: Any, path: Path) -> None:
        if isinstance(value, Given):
            if value.value is None:
                base.pop(key, None)
            else:
                base[key] = value
        elif isinstance(node, Table):
            if not isinstance(base.get(key), dict):
                base[key] = {}
            self.overlay(node, base[key], value, path)
        elif isinstance(node, Leaf):
            self._patch_leaf(base, key, value, path)
        elif isinstance(value, list):
            base[key] = [self._fresh(node.item, item, (*path, str(index))) for index, item in enumerate(value)]
        elif node.key:
            if not isinstance(base.get(key), dict):
                base[key] = {}
            self._patch_keyed(node, base[key], value, path)
        else:
            self._patch_list(node, base.setdefault(key, []), value, path)

    def _fresh(self, node: Table, value: LayerTree, path: Path) -> LayerTree:
        table: LayerTree = {}
        self.overlay(node, table, value, path)
        return table

    def _patch_keyed(self, node: Tables, base: LayerTree, over: LayerTree, path: Path) -> None:
        for written, item in over.items():
            key = self._resolve(node, base, written, item, path)
            if key is None:
                continue
            if isinstance(item, Given):
                base.pop(key, None)
                continue
            table = base.setdefault(key, {})
            self.overlay(node.item, table, item, (*path, key))
            table.setdefault(node.key, Given(key, origin_within(item)))

    def _resolve(self, node: Tables, base: LayerTree, written: str, item: Any, path: Path) -> str | None:
        """Key of the item that is addressed: by its own key, by its index, or a new one."""
        if (key := match_key(written, base, item)) is not None:
            return key
        if not is_index(written) or written == _name_in(item, node.key):
            return written
        index = int(written)
        if index < len(base):
            return list(base)[index]
        if index > len(base) or isinstance(item, Given):
            origin = item.origin if isinstance(item, Given) else origin_within(item)
            self._problems.add(origin, (*path, written), f"there are only {len(base)} items before it")
            return None
        if (name := _name_in(item, node.key)) or path == ("servers",):
            return name or next(unused_names(base))
        self._problems.add(origin_within(item), (*path, written, node.key), "is needed")
        return None

    def _patch_list(self, node: Tables, base: list[LayerTree], over: LayerTree, path: Path) -> None:
        for written, item in sorted(over.items(), key=lambda pair: int(pair[0])):
            index = int(written)
            if index > len(base):
                self._problems.add(origin_within(item), (*path, written), f"there are only {len(base)} items before it")
            elif isinstance(item, Given):
                del base[index : index + 1]
            else:
                if index == len(base):
                    base.append({})
                self.overlay(node.item, base[index], item, (*path, written))

    def _patch_leaf(self, base: LayerTree, key: str, over: LayerTree, path: Path) -> None:
        found = base.get(key, Given([], DEFAULT)).value
        items = list(found) if isinstance(found, list) else [found]
        origin = DEFAULT
        for written, given in sorted(over.items(), key=lambda pair: int(pair[0])):
            origin, index = given.origin, int(written)
            if index > len(items):
                self._problems.add(origin, (*path, written), f"there are only {len(items)} items before it")
                continue
            items[index : index + 1] = [] if given.value is None else [given.value]
        base[key] = Given(items, origin)


def fill(node: Table, base: LayerTree, defaults: LayerTree) -> None:
    """Put ``defaults`` where ``base`` gives nothing; items of lists are not made new."""
    for key, value in defaults.items():
        child = node.child(key)
        if isinstance(value, Given):
            base.setdefault(key, value)
        elif isinstance(child, Table):
            fill(child, base.setdefault(key, {}), value)
        elif isinstance(child, Tables):
            for name, item in value.items():
                if name in base.get(key, {}):
                    fill(child.item, base[key][name], item)


def match_key(written: str, base: Mapping[str, Any], value: Any) -> str | None:
    """The key of ``base`` that is meant; None for a new one.

    A variable's name has lost the difference between capitals and small letters, ``_`` and ``-``.
    """
    if written in base:
        return written
    if origin_within(value).kind != "variable":
        return None
    wanted = _spelled(written)
    return next((key for key in base if _spelled(key) == wanted), None)


def _spelled(key: str) -> str:
    return fold_name(key).replace("-", "_")


def origin_within(tree: Any) -> Origin:
    """Origin of the first value below; ``DEFAULT`` where there is none."""
    if isinstance(tree, Given):
        return tree.origin
    for item in tree.values() if isinstance(tree, dict) else tree:
        if (origin := origin_within(item)) is not DEFAULT:
            return origin
    return DEFAULT


def _name_in(item: Any, key: str) -> str | None:
    name = item.get(key) if isinstance(item, dict) else None
    return fold_name(name.value) if isinstance(name, Given) and isinstance(name.value, str) else None


def _drop_other_address(base: LayerTree, over: LayerTree) -> None:
    """``host`` and ``urls`` say the same in two ways: a later layer that uses one drops the other."""
    if "host" in over and "urls" not in over:
        base.pop("urls", None)
    if "urls" in over and "host" not in over:
        for key in ("host", "port", "use_ssl"):
            base.pop(key, None)
