"""What the web UI stores about itself: a tree, kept as one value for each dotted path (clearml.md 9). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from gateway.serve.clearml import errors

MAX_PATH: Final = 512
MAX_DEPTH: Final = 32
MOST_PATHS: Final = 1000
"""Values that one person may have."""
MAX_SIZE: Final = 256 * 1024
"""Characters of all of them."""

Tree = dict[str, Any]


def tree_of(paths: Mapping[str, object]) -> Tree:
    """The tree that the stored paths make."""
    tree: Tree = {}
    for path, value in paths.items():
        _put(tree, path, value)
    return tree


def changed(tree: Tree, changes: Mapping[str, Any]) -> Tree:
    """A tree with the value at each given dotted path replaced; null removes it. Raises ApiError 400/12."""
    new = deepcopy(tree)
    for path, value in changes.items():
        _check(path, value)
        _put(new, path, value)
    return tree_of(dict(_leaves(new)))


def differences(old: Tree, new: Tree) -> dict[str, object]:
    """What to store: each path that changed, with None where it went. Raises ApiError 400/12 above the limits."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    if len(after) > MOST_PATHS or sum(len(path) + len(str(value)) for path, value in after.items()) > MAX_SIZE:
        raise _refused(f"there may be {MOST_PATHS} values of {MAX_SIZE} characters together")
    gone: dict[str, object] = dict.fromkeys(before.keys() - after.keys())
    return gone | {path: value for path, value in after.items() if path not in before or before[path] != value}


def _check(path: str, value: object) -> None:
    keys = path.split(".")
    if len(path) > MAX_PATH or len(keys) > MAX_DEPTH:
        raise _refused(f"a path may have {MAX_PATH} characters and {MAX_DEPTH} keys")
    inner: list[str] = []
    values = [value]
    while values:
        node = values.pop()
        if isinstance(node, dict):
            inner += node
            values += node.values()
        elif isinstance(node, list):
            values += node
    if any("." in key for key in inner) or not all(map(_is_key, keys + inner)):
        raise _refused("a key must be text that neither begins with '$' nor contains '.'")


def _is_key(key: str) -> bool:
    return bool(key) and key.isprintable() and not key.startswith("$")


def _refused(text: str) -> errors.ApiError:
    return errors.validation(f"error for field 'preferences'. {text}")


def _put(tree: Tree, path: str, value: object) -> None:
    *parents, leaf = path.split(".")
    for parent in parents:
        below = tree.get(parent)
        if not isinstance(below, dict):
            below = tree[parent] = {}
        tree = below
    if value is None:
        tree.pop(leaf, None)
    else:
        tree[leaf] = value


def _leaves(tree: Tree, above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value
