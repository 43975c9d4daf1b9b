"""Trees and variables of any shape: they load, or are refused with problems; nothing else comes out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import ConfigurationError, load
from gateway.config.schema.shape import Leaf, Node, Table, Tables
from gateway.config.spellings import ROOT

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "0", "ldap", "a", "A", "dc=x", "(uid=%s)", "127.0.0.1:1", "5s", "user:a", "cn=%s", "true"]),
    st.text(max_size=8),
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3))
NAMES = st.sampled_from(["0", "1", "7", "ldap", "LDAP", "corp-eu", "corp_eu", "a.b", "name", "", "ünï"])


def trees(node: Node, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that mostly fit the shape."""
    if isinstance(node, Leaf):
        return SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(NAMES, SCALARS, max_size=2)
    if isinstance(node, Tables):
        item = trees(node.item, depth + 1)
        return st.lists(item, max_size=3) | st.dictionaries(NAMES, item, max_size=3) | ANYTHING
    keys = {key: st.deferred(lambda child=child: trees(child, depth + 1)) for key, child in node.keys.items()}  # type: ignore[misc]
    listed = st.fixed_dictionaries({}, optional=keys) if keys else st.just({})
    others = st.dictionaries(NAMES, trees(node.other, depth + 1) if node.other else ANYTHING, max_size=2)
    return st.builds(lambda known, more: {**more, **known}, listed, others if depth else st.just({})) | ANYTHING


def small(node: Table) -> st.SearchStrategy[dict[str, Any]]:
    """A tree with a few of the root's keys, so that one example stays small."""
    return st.sampled_from(sorted(node.keys)).flatmap(lambda key: st.fixed_dictionaries({key: trees(node.keys[key])}))


@settings(deadline=None, max_examples=300)
@given(first=small(ROOT), second=small(ROOT))
def test_no_tree_breaks_the_loader(tmp_path_factory: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Two files, one over the other."""
    directory: Path = tmp_path_factory.getbasetemp()
    files = [directory / "first.json", directory / "second.json"]
    for file, tree in zip(files, (first, second), strict=True):
        file.write_text(json.dumps(tree))
    with contextlib.suppress(ConfigurationError):
        load(files, {})


def variable_names(node: Node) -> Iterator[str]:
    if isinstance(node, Table):
        for key, child in node.keys.items():
            yield key
            yield from (f"{key}__{below}" for below in variable_names(child))
        if node.other is not None:
            yield from (f"x_y__{below}" for below in variable_names(node.other))
    elif isinstance(node, Tables):
        for name in ("0", "1", "corp_eu"):
            yield name
            yield from (f"{name}__{below}" for below in variable_names(node.item))
    else:
        yield "0"


VARIABLES = st.dictionaries(
    st.sampled_from(sorted(variable_names(ROOT))), st.text(max_size=12) | ANYTHING.map(json.dumps), max_size=6
)


@settings(deadline=None, max_examples=500)
@given(VARIABLES, VARIABLES)
def test_no_variables_break_the_loader(new: dict[str, str], legacy: dict[str, str]) -> None:
    environment = {f"CLEARML__{name.removesuffix('__')}": value for name, value in new.items()}
    environment |= {f"TRAINS__{name}": value for name, value in legacy.items()}
    with contextlib.suppress(ConfigurationError):
        load([], environment)
