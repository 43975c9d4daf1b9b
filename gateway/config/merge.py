"""Lays one layer over another (DECISIONS 22).

Tables merge key by key. Lists of named tables merge by name; new ones are appended. Any other value replaces, items
addressed by index replace within the list, and ``null`` removes. What is removed stays in the tree as a ``Given`` of
None, so that it can be told who removed it; ``live`` passes such over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.identity import fold_name

from .layer import UNNAMED, LayerTree, is_index, unused_names
from .origin import DEFAULT, Given, Origin, Path, Problems
from .schema.shape import Leaf, Node, Table, Tables


class Merger:
    """Merges layers of one shape and collects what cannot be merged."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.numbered: dict[str, Origin] = {}
        """The servers that nobody gave a name, by the key that their order gives them, and where they are written."""

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
        before = base.get(key)
        if isinstance(value, Given):
            base[key] = laid_over(value, before)
        elif isinstance(node, Leaf):
            self._patch_leaf(base, key, value, path)
        elif isinstance(node, Table):
            self.overlay(node, _table_for(value, base, key), value, path)
        elif isinstance(value, list):
            base[key] = [self._fresh(node.item, item, (*path, str(index))) for index, item in enumerate(value)]
        elif node.key:
            self._patch_keyed(node, _table_for(value, base, key), value, path)
        else:
            if not isinstance(before, list):
                before = base[key] = []
            self._patch_list(node, before, value, path)

    def _fresh(self, node: Table, value: LayerTree, path: Path) -> LayerTree:
        table = LayerTree(value.origin)
        self.overlay(node, table, value, path)
        return table

    def _patch_keyed(self, node: Tables, base: LayerTree, over: LayerTree, path: Path) -> None:
        for written, item in over.items():
            key = self._resolve(node, base, written, item, path)
            if key is None:
                continue
            if isinstance(item, Given):
                base[key] = laid_over(item, base.get(key))
                continue
            if item.afresh or not isinstance(base.get(key), LayerTree):
                base.pop(key, None)  # a new item stands behind all others, also where one of its name was removed
            table = _table_for(item, base, key)
            if path == ("servers",):
                self._keep_apart(table, item, key)
            self.overlay(node.item, table, item, (*path, key))
            if node.key not in live(table):
                table[node.key] = Given(key, item.origin)

    def _keep_apart(self, base: LayerTree, over: LayerTree, key: str) -> None:
        """Of two servers that each have an address and are called alike only because one has no name, both are meant:
        as one, it would have the password and the mappings of the other."""
        before, added = _address(base), _address(over)
        # The very origin of the table, not one that is equal to it: its first key may begin where it does.
        unnamed = isinstance(name := over.get("name"), Given) and name.origin is over.origin
        if not base:
            self.numbered.pop(key, None)
        if unnamed and before is None:
            self.numbered[key] = over.origin
        elif before is None or added is None or added.kind != "file" or self._problems.refuse(("servers", key, "name")):
            return
        elif unnamed or key in self.numbered:
            which = "this one is" if unnamed else "that one is"
            message = f"has an address, and so has the server at {before}: {which} called {key} by its order alone, "
            message += "and they would become one. Give it a name, the same in both places if one server is meant"
            self._problems.add(over.origin, ("servers", key), message)

    def _resolve(self, node: Tables, base: LayerTree, written: str, item: Any, path: Path) -> str | None:
        """Key of the item that is addressed: by its own key, by its index, or a new one."""
        if (key := match_key(written, base, item)) is not None:
            return key
        if not is_index(written) or written == _name_in(item, node.key):
            return written
        index, names = int(written), list(live(base))
        if index < len(names):
            return names[index]
        if index > len(names) or isinstance(item, Given):
            self._problems.add(item.origin, (*path, written), f"there are only {len(names)} items before it")
            return None
        if (name := _name_in(item, node.key)) or path in UNNAMED:
            return name or next(unused_names(names, UNNAMED[path]))
        self._problems.add(item.origin, (*path, written, node.key), "is needed")
        return None

    def _patch_list(self, node: Tables, base: list[LayerTree], over: LayerTree, path: Path) -> None:
        for written, item in sorted(over.items(), key=lambda pair: int(pair[0])):
            index = int(written)
            if index > len(base):
                self._problems.add(item.origin, (*path, written), f"there are only {len(base)} items before it")
            elif isinstance(item, Given):
                del base[index : index + 1]
            else:
                if index == len(base):
                    base.append(LayerTree(item.origin))
                self.overlay(node.item, base[index], item, (*path, written))

    def _patch_leaf(self, base: LayerTree, key: str, over: LayerTree, path: Path) -> None:
        before = base.get(key)
        found = before.value if isinstance(before, Given) and before.value is not None else []
        items = list(found) if isinstance(found, list) else [found]
        known = before.items if isinstance(before, Given) else ()
        origins = [known[index] if index < len(known) else DEFAULT for index in range(len(items))]
        origin = over.origin
        for written, given in sorted(over.items(), key=lambda pair: int(pair[0])):
            origin, index = given.origin, int(written)
            if index > len(items):
                self._problems.add(origin, (*path, written), f"there are only {len(items)} items before it")
                continue
            items[index : index + 1] = [] if given.value is None else [given.value]
            origins[index : index + 1] = [] if given.value is None else [origin]
        base[key] = Given(items, origin, before if isinstance(before, Given) else None, tuple(origins))


def _table_for(over: LayerTree, base: LayerTree, key: str) -> LayerTree:
    """The table of ``base`` on which ``over`` is laid, made where there is none."""
    table = base.get(key)
    if over.afresh or not isinstance(table, LayerTree):
        table = base[key] = LayerTree(over.origin)
    return table


def laid_over(given: Given, before: Any) -> Given:
    """A value laid on what an earlier layer gave. Of what is overridden within its own layer, that comes last."""
    if isinstance(before, LayerTree):
        before = Given(None, before.origin)
    if not isinstance(before, Given):
        return given
    chain = [given]
    while (below := chain[-1].overridden) is not None:
        chain.append(below)
    laid = before
    for link in reversed(chain):
        laid = Given(link.value, link.origin, laid, link.items)
    return laid


def live(tree: LayerTree) -> dict[str, Any]:
    """What is in a table and was not removed."""
    return {key: value for key, value in tree.items() if not (isinstance(value, Given) and value.value is None)}


def fill(node: Table, base: LayerTree, defaults: LayerTree) -> None:
    """Put ``defaults`` where ``base`` gives nothing; items of lists are not made new."""
    given = live(base)
    for key, value in defaults.items():
        child = node.child(key)
        if isinstance(value, Given):
            if key not in given:
                base[key] = laid_over(value, base.get(key))
        elif isinstance(child, Table):
            if key not in given:
                base[key] = LayerTree()
            fill(child, base[key], value)
        elif isinstance(child, Tables):
            below = live(given[key]) if isinstance(given.get(key), LayerTree) else {}
            for name, item in value.items():
                if name in below:
                    fill(child.item, below[name], item)


def match_key(written: str, base: Mapping[str, Any], value: Any) -> str | None:
    """The key of ``base`` that is meant; None for a new one.

    A variable's name has lost the difference between capitals and small letters, ``_`` and ``-``.
    """
    if written in base:
        return written
    if value.origin.kind != "variable":
        return None
    wanted = _spelled(written)
    return next((key for key in base if _spelled(key) == wanted), None)


def _address(server: LayerTree) -> Origin | None:
    """Where a server is given its address; None where it is given none."""
    given = live(server)
    return next((given[key].origin for key in ("host", "urls") if key in given), None)


def _spelled(key: str) -> str:
    return fold_name(key).replace("-", "_")


def _name_in(item: Any, key: str) -> str | None:
    name = item.get(key) if isinstance(item, dict) else None
    return fold_name(name.value) if isinstance(name, Given) and isinstance(name.value, str) else None


def _drop_other_address(base: LayerTree, over: LayerTree) -> None:
    """``host`` and ``urls`` say the same in two ways: a later layer that uses one drops the other."""
    for used, others in (("host", ("urls",)), ("urls", ("host", "port", "use_ssl"))):
        if used in live(over) and not any(key in over for key in ("host", "urls") if key != used):
            for key in others:
                if isinstance(given := base.get(key), Given):
                    base[key] = Given(None, over[used].origin, given)
