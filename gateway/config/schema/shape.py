"""The shape of the tree: which keys there are and how each is written, taken from the models.

The readers of files and environment walk a layer along this shape, so the models stay the only table of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from .fields import Form, KeyedBy
from .section import Section


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value, or a list of plain texts."""

    form: Form


@dataclass(frozen=True, slots=True)
class Table:
    """Keys with values. ``other`` is the shape of keys that are not listed: a map has nothing else."""

    keys: Mapping[str, Node] = field(default_factory=dict)
    other: Node | None = None

    def child(self, key: str) -> Node | None:
        """Shape of what is under a key; None for an unknown one."""
        return self.keys.get(key, self.other)

    def secret_of(self, key: str) -> str:
        """The secret key ``k`` where ``key`` is ``k_file`` (or, from a variable, ``k_FILE``); else empty."""
        name = key.removesuffix("_file")
        leaf = self.keys.get(name)
        return name if name != key and isinstance(leaf, Leaf) and leaf.form is Form.SECRET else ""


@dataclass(frozen=True, slots=True)
class Tables:
    """A list of tables. ``key`` is the field by which they are addressed and merged; empty: by index alone."""

    item: Table
    key: str = ""


Node = Leaf | Table | Tables


@cache
def shape_of(model: type[Section]) -> Table:
    """The shape of a section and of everything below it."""
    return Table({name: _node(info.annotation, info) for name, info in model.model_fields.items()})


def _node(annotation: Any, info: FieldInfo) -> Node:
    form = next((mark for mark in info.metadata if isinstance(mark, Form)), None)
    if form is not None:
        return Leaf(form)
    if get_origin(annotation) is Literal:
        return Leaf(Form.TEXT)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return shape_of(annotation)
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        key = next((mark.field for mark in info.metadata if isinstance(mark, KeyedBy)), "")
        return Tables(shape_of(arguments[0]), key)
    item = FieldInfo.from_annotation(arguments[1])
    return Table(other=_node(item.annotation, item))


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Every leaf with its path; ``*`` stands for the name or index of an item."""
    if isinstance(node, Leaf):
        yield path, node
    elif isinstance(node, Tables):
        yield from leaves(node.item, (*path, "*"))
    else:
        for key, child in node.keys.items():
            yield from leaves(child, (*path, key))
        if node.other is not None:
            yield from leaves(node.other, (*path, "*"))
