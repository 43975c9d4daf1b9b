"""What an API wrote: the layer above the files and below the environment (DECISIONS 22).

Values were checked when they were written. One that this version does not know is warned of, so that a newer version's
entry cannot keep an older one from starting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

from .environment import put_at
from .layer import Layer, LayerTree, Shaper
from .origin import Origin, Path, given_tree
from .schema.fields import Form
from .schema.shape import Leaf, Node, Table, Tables
from .spellings import NATIVE


class Stored(Protocol):
    """One stored value."""

    @property
    def path(self) -> Path:
        """Keys from the root; items of lists by key field."""

    @property
    def value(self) -> Any:
        """JSON; None removes what a file gives."""

    @property
    def by(self) -> str:
        """Who wrote it."""


def read_stored(settings: Sequence[Stored], shaper: Shaper) -> Layer:
    """The layer that the stored values make."""
    shaper = replace(shaper, unknown="warning")
    layer = Layer()
    tables: dict[Path, LayerTree] = {}
    for setting in sorted(settings, key=lambda setting: len(setting.path)):
        origin = Origin("stored", f"stored by {setting.by}")
        node = shape_at(setting.path)
        if node is None:
            shaper.report_unknown(origin, NATIVE, setting.path)
            continue
        shaped = shaper.shape(node, given_tree(setting.value, origin), setting.path)
        *above, name = setting.path
        table = tables.get(tuple(above))
        if shaped is None:
            continue
        if table is not None and name not in table:
            table[name] = shaped
        elif not put_at(layer.tree, setting.path, shaped, origin):
            shaper.report(origin, setting.path, "an item is given together with its whole list")
        elif table is None:
            tables[tuple(above)] = _table_at(layer.tree, above)
    return layer


def _table_at(tree: LayerTree, path: Sequence[str]) -> LayerTree:
    for name in path:
        tree = tree[name]
    return tree


def is_secret(path: Path) -> bool:
    """Whether what is stored at a path must be sealed."""
    node = shape_at(path)
    return isinstance(node, Leaf) and node.form is Form.SECRET


def shape_at(path: Path) -> Node | None:
    """The shape of what can be stored at a path; None where nothing can."""
    return _shape_below(_shape_of_table(path[:-1]), path[-1]) if path else NATIVE


@lru_cache(maxsize=256)
def _shape_of_table(path: Path) -> Node | None:
    """Most of what is stored stands side by side in a few tables."""
    node: Node | None = NATIVE
    for name in path:
        node = _shape_below(node, name)
    return node


def _shape_below(node: Node | None, name: str) -> Node | None:
    if isinstance(node, Tables):
        return node.item
    return node.child(name) if isinstance(node, Table) else None
