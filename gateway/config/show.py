"""The configuration in force as text: every key with its value and origins; secrets never.

A configuration is walked into ``Shown`` trees, which are written as HOCON, TOML, YAML or JSON. What is written can be
loaded again, but for the secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.identity import fold_name

from .origin import DEFAULT, Origin, Path
from .schema import Configuration
from .schema.fields import Form
from .schema.secret import HIDDEN, Secret
from .schema.section import Section
from .schema.shape import Leaf, Node, Table, shape_of
from .schema.units import duration_text, size_text

FORMATS: Final = ("hocon", "toml", "yaml", "json")
_UNPRINTED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML (5.1) or TOML want escaped, beyond JSON."""
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shown:
    """One value as it is shown. ``value`` is plain JSON data, for a secret ``******``, or empty where there is none."""

    path: Path
    """As people write it."""
    value: Any
    origins: tuple[Origin, ...]
    """Where it came from, then what that overrides."""

    @property
    def origin_text(self) -> str:
        """The origin that holds, and those that it overrides."""
        over = ", ".join(map(str, self.origins[1:]))
        return f"{self.origins[0]} (overrides {over})" if over else str(self.origins[0])


ShownTree = Shown | dict[str, "ShownTree"] | list["ShownTree"]


def shown_tree(configuration: Configuration, origins: Mapping[Path, tuple[Origin, ...]]) -> dict[str, ShownTree]:
    """The whole configuration. ``origins`` is that of the snapshot."""
    tree = _shown(shape_of(Configuration), configuration, (), (), origins)
    return tree if isinstance(tree, dict) else {}


def rows(tree: ShownTree) -> Iterator[Shown]:
    """Every value of a tree."""
    if isinstance(tree, Shown):
        yield tree
        return
    for item in tree.values() if isinstance(tree, dict) else tree:
        yield from rows(item)


def only_set(tree: dict[str, ShownTree]) -> dict[str, ShownTree]:
    """The same without what is a default, of a preset or not; an item that has nothing else goes too."""
    kept = ((key, _only_set(item)) for key, item in tree.items())
    return {key: item for key, item in kept if item}


def _only_set(tree: ShownTree) -> ShownTree | None:
    if isinstance(tree, Shown):
        return None if tree.origins[0].kind == "default" else tree
    if isinstance(tree, dict):
        return only_set(tree)
    return [item for item in map(_only_set, tree) if item]


def _shown(
    node: Node, value: Any, path: Path, known: Path, origins: Mapping[Path, tuple[Origin, ...]]
) -> ShownTree:
    """``known`` is the path as the origins have it, with the names of items folded."""
    if isinstance(node, Leaf):
        return Shown(path, plain(node.form, value), origins.get(known, (DEFAULT,)))
    if isinstance(node, Table):
        return {
            key: _shown(child, item, (*path, key), (*known, key), origins)
            for key, child, item in _entries(node, value)
        }
    shown: list[ShownTree] = []
    for index, item in enumerate(value):
        name = getattr(item, node.key) if node.key else str(index)
        shown.append(_shown(node.item, item, (*path, name), (*known, fold_name(name)), origins))
    return shown


def _entries(node: Table, value: Section | Mapping[str, Any]) -> Iterator[tuple[str, Node, Any]]:
    if isinstance(value, Section):
        yield from ((key, child, getattr(value, key)) for key, child in node.keys.items())
    else:
        yield from ((key, node.other or Table(), item) for key, item in value.items())


def plain(form: Form, value: Any) -> Any:
    """A value of a leaf as plain JSON data, in the words of a configuration file."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Secret):
        return HIDDEN if value else ""
    if isinstance(value, tuple):
        return [plain(form, item) for item in value]
    if isinstance(value, Section):
        return {key: plain(form, getattr(value, key)) for key in type(value).model_fields}
    if form is Form.DURATION:
        return duration_text(value)
    if form is Form.SIZE:
        return size_text(value)
    return value if isinstance(value, int | float | str) else str(value)


def written(tree: dict[str, ShownTree], form: str, *, origin: bool = False) -> str:
    """The text of a tree in one of ``FORMATS``, with origins as comments (in JSON: as a list of rows)."""
    if form == "json":
        shown = [_json_row(row) for row in rows(tree)] if origin else _values(tree)
        return json.dumps(shown, ensure_ascii=False, indent=2) + "\n"
    return "\n".join(_WRITERS[form](tree, origin)) + "\n"


def _json_row(row: Shown) -> dict[str, Any]:
    def told(origin: Origin) -> dict[str, Any]:
        position = {"line": origin.line, "column": origin.column} if origin.line else {}
        return {"kind": origin.kind, "place": origin.place, **position}

    origins = [told(origin) for origin in row.origins]
    return {"path": list(row.path), "value": row.value, "origin": origins[0], "overrides": origins[1:]}


def _values(tree: ShownTree) -> Any:
    if isinstance(tree, Shown):
        return tree.value
    if isinstance(tree, dict):
        return {key: _values(item) for key, item in tree.items()}
    return [_values(item) for item in tree]


def _scalar(value: Any) -> str:
    """A value on one line, valid in all formats: each has JSON's strings, without escaped surrogates."""
    return _UNPRINTED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _scalar(key)


def _inline(value: Any) -> str:
    """A value on one line of TOML, which writes tables otherwise than JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in value.items()) + "}"
    return f"[{', '.join(map(_inline, value))}]" if isinstance(value, list) else _scalar(value)


def _leaf(text: str, shown: Shown, origin: bool, write: Callable[[Any], str] = _scalar) -> str:
    line = f"{text}{write(shown.value)}"
    return f"{line}  # {_one_line(shown.origin_text)}" if origin else line


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _hocon(tree: ShownTree, origin: bool, indent: str = "") -> Iterator[str]:
    for key, item in tree.items() if isinstance(tree, dict) else ():
        if isinstance(item, Shown):
            yield _leaf(f"{indent}{_key(key)} = ", item, origin)
        elif isinstance(item, dict):
            yield from _enclosed(f"{indent}{_key(key)} {{", item, origin, indent)
        elif not item:
            yield f"{indent}{_key(key)} = []"
        else:
            yield f"{indent}{_key(key)} = ["
            for table in item:
                yield from _enclosed(f"{indent}  {{", table, origin, f"{indent}  ")
            yield f"{indent}]"


def _enclosed(head: str, table: ShownTree, origin: bool, indent: str) -> Iterator[str]:
    if not table:
        yield head + "}"
        return
    yield head
    yield from _hocon(table, origin, indent + "  ")
    yield indent + "}"


def _yaml(tree: ShownTree, origin: bool, indent: str = "") -> Iterator[str]:
    for key, item in tree.items() if isinstance(tree, dict) else ():
        if isinstance(item, Shown):
            yield _leaf(f"{indent}{_key(key)}: ", item, origin)
        elif not item:
            yield f"{indent}{_key(key)}: " + ("{}" if isinstance(item, dict) else "[]")
        elif isinstance(item, dict):
            yield f"{indent}{_key(key)}:"
            yield from _yaml(item, origin, indent + "  ")
        else:
            yield f"{indent}{_key(key)}:"
            for table in item:
                lines = list(_yaml(table, origin, indent + "    "))
                yield f"{indent}  - {lines[0].lstrip()}"
                yield from lines[1:]


def _toml(tree: ShownTree, origin: bool, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Values come first, since everything behind a table's header belongs to the table. TOML has no null."""
    entries = list(tree.items()) if isinstance(tree, dict) else []
    for key, item in entries:
        if isinstance(item, Shown) and item.value is not None:
            yield _leaf(f"{_key(key)} = ", item, origin, _inline)
        elif isinstance(item, list) and not item:
            yield f"{_key(key)} = []"
    for key, item in entries:
        name = (*path, _key(key))
        for table in item if isinstance(item, list) else [item] if isinstance(item, dict) else []:
            yield ""
            yield f"[[{'.'.join(name)}]]" if isinstance(item, list) else f"[{'.'.join(name)}]"
            yield from _toml(table, origin, name)


_WRITERS: Final[Mapping[str, Callable[[ShownTree, bool], Iterator[str]]]] = {
    "hocon": _hocon,
    "toml": _toml,
    "yaml": _yaml,
}
