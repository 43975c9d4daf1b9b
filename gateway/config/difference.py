"""What one configuration changes of another, in words; secrets are named and never shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from gateway.identity import fold_name
from gateway.listener_tls import validity

from .reading import Content
from .schema import Configuration
from .schema.fields import Form
from .schema.section import Section
from .schema.shape import Leaf, Node, Table, Tables, shape_of
from .show import plain

RESTART_KEYS: Final = ("listen", "state_dir", "uvloop", "store", "tokens.master_key")
"""Keys that are applied when the daemon starts, and only then (configuration.md 1.2)."""


def pending_keys(written: Configuration, begun_with: Configuration) -> tuple[str, ...]:
    """Keys that need a restart, and are written otherwise than they were when the process started."""
    return tuple(key for key in RESTART_KEYS if attrgetter(key)(written) != attrgetter(key)(begun_with))


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``old`` and ``new`` are JSON texts; None where there was or is nothing."""

    path: str
    old: str | None
    new: str | None
    remark: str = ""
    """What is worth knowing of the new one besides, such as until when a certificate is valid."""

    @property
    def restart(self) -> bool:
        """Whether it takes a restart to apply it."""
        return any(self.path == key or self.path.startswith(f"{key}.") for key in RESTART_KEYS)

    def __str__(self) -> str:
        mark = " (needs a restart)" if self.restart else ""
        if self.old is None:
            return f"+ {self.path} = {self.new}{mark}"
        if self.new is None:
            return f"- {self.path} = {self.old}{mark}"
        remark = f", {self.remark}" if self.remark else ""
        return f"~ {self.path}: {self.old} -> {self.new}{remark}{mark}"


def changes(old: Configuration, new: Configuration) -> tuple[Change, ...]:
    """What ``new`` changes, in the order of the schema. Items of lists without names are compared by content."""
    return tuple(_changes(shape_of(Configuration), old, new, ""))


def file_changes(
    configuration: Configuration, old: Mapping[Path, Content], new: Mapping[Path, Content], besides: Sequence[Change]
) -> tuple[Change, ...]:
    """The keys whose file is the same and holds something else: certificates and their keys. None that are among the
    changes ``besides``, or below one."""
    known = {change.path for change in besides}
    others = [path for path in old.keys() & new.keys() if new[path].role == "other"]
    touched = {path for path in others if old[path].data != new[path].data}
    return tuple(
        Change(key, "the old content", "another content", _remark(key, new[files[0]].data))
        for key, files in (_files(shape_of(Configuration), configuration, "") if touched else ())
        if not touched.isdisjoint(files)
        and not any(key == other or key.startswith(f"{other}.") for other in known)
    )  # fmt: skip


def _files(node: Node, value: Any, path: str) -> Iterator[tuple[str, tuple[Path, ...]]]:
    if isinstance(node, Leaf):
        if node.form in (Form.PATH, Form.PATHS) and value:
            yield path, value if isinstance(value, tuple) else (value,)
    elif isinstance(node, Tables) and not node.key:
        for index, item in enumerate(value):
            yield from _files(node.item, item, f"{path}.{index}")
    else:
        for name, child, item in _children(node, value).values():
            yield from _files(child, item, f"{path}.{name}" if path else name)


def _remark(key: str, data: bytes | None) -> str:
    valid = validity(data or b"") if key == "tls.cert_file" else None
    return f"valid until {valid[1]:%Y-%m-%d %H:%M} UTC" if valid else ""


def _changes(node: Node, old: Any, new: Any, path: str) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(node, Leaf):
        yield Change(path, _text(node, old), _text(node, new))
    elif isinstance(node, Tables) and not node.key:
        yield from _unnamed(node.item, old, new, path)
    else:
        yield from _named(node, _children(node, old), _children(node, new), path)


def _children(node: Table | Tables, value: Any) -> dict[str, tuple[str, Node, Any]]:
    """Name, shape and value of everything within, by folded name for lists."""
    if isinstance(node, Tables):
        return {fold_name(getattr(item, node.key)): (getattr(item, node.key), node.item, item) for item in value}
    if isinstance(value, Section):
        return {key: (key, child, getattr(value, key)) for key, child in node.keys.items()}
    return {key: (key, node.other or Table(), item) for key, item in value.items()}


def _named(
    node: Table | Tables, old: Mapping[str, tuple[str, Node, Any]], new: Mapping[str, tuple[str, Node, Any]], path: str
) -> Iterator[Change]:
    before = f"{path}." if path else ""
    for key, (name, child, value) in old.items():
        if key not in new:
            yield Change(f"{before}{name}", _text(child, value), None)
    for key, (name, child, value) in new.items():
        if key not in old:
            yield Change(f"{before}{name}", None, _text(child, value))
        else:
            yield from _changes(child, old[key][2], value, f"{before}{name}")
    kept = [key for key in new if key in old]
    if isinstance(node, Tables) and kept != [key for key in old if key in new]:
        yield Change(path, _names(old[key][0] for key in old), _names(new[key][0] for key in new))


def _names(names: Iterator[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _unnamed(item: Table, old: Any, new: Any, path: str) -> Iterator[Change]:
    before, after = ([_whole(item, value) for value in values] for values in (old, new))
    shown = {whole: _text(item, value) for whole, value in zip((*before, *after), (*old, *new), strict=True)}
    gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
    for whole in gone.elements():
        yield Change(path, shown[whole], None)
    for whole in come.elements():
        yield Change(path, None, shown[whole])
    if list(_without(before, gone)) != list(_without(after, come)):
        yield Change(path, "the old order", "another order")


def _whole(item: Table, value: Section) -> str:
    """All of an item, what is as by default included."""
    return repr([getattr(value, key) for key in item.keys])


def _without(items: list[str], taken: Counter[str]) -> Iterator[str]:
    left = Counter(taken)
    for item in items:
        if left[item]:
            left[item] -= 1
        else:
            yield item


def _text(node: Node, value: Any) -> str:
    return json.dumps(_shortened(node, value), ensure_ascii=False)


def _shortened(node: Node, value: Any) -> Any:
    """Plain data without what is as by default, so that an added server is its few keys."""
    if isinstance(node, Leaf):
        return plain(node.form, value)
    if isinstance(node, Tables):
        return [_shortened(node.item, item) for item in value]
    if not isinstance(value, Section):
        return {key: _shortened(node.other or Table(), item) for key, item in value.items()}
    given = {key: child for key, child in node.keys.items() if key in value.model_fields_set}
    return {key: _shortened(child, getattr(value, key)) for key, child in given.items()}
