"""``CLEARML__a__b=value`` variables, systemd credentials (clearml.md 1.1 and 1.2, DECISIONS 23), variables of others.

Names follow the real ClearML server: exact prefix, byte order (the later one wins), ``__`` and ``.`` separate, lower
case. Values do not: the real server parses ``path: value`` as HOCON, where ``#`` cuts a password, ``dc=x,dc=y`` stops
the server and a newline sets other keys. Here a value is read by the type of the key that it sets, and sets only that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Final

from .conjur_variables import read_conjur
from .json_source import read_json
from .layer import Layer, LayerTree, Shaper, is_index
from .origin import Given, Origin, Path, given_tree
from .reading import TOO_DEEP, SourceError
from .schema.fields import Form
from .schema.shape import Leaf, Node, Table, Tables, leaves
from .spellings import ROOT

PREFIXES: Final = ("TRAINS__", "CLEARML__")
"""The legacy prefix comes first: what the other says wins."""
WORDS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
"""Truth values, in any case."""
_EMPTY_IS_NOTHING: Final = (Form.FLAG, Form.INT, Form.DURATION, Form.SIZE)
"""Kinds of values that are never empty: compose gives ``use_tls=`` for ``${TLS:-}``."""
_SECRET_KEYS: Final = tuple(path for path, leaf in leaves(ROOT) if leaf.form is Form.SECRET)
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")


def read_environment(environment: Mapping[str, str], shaper: Shaper) -> list[Layer]:
    """One layer of each prefix; systemd credentials belong to the last. Unknown names are only warned of."""
    layers = []
    for name in environment:
        if not name.startswith(PREFIXES) and name.upper().startswith(PREFIXES):
            shaper.problems.warn(Origin("variable", name), "", f"is not read: {PREFIXES[-1]} must be in capitals")
    for prefix in PREFIXES:
        reader = _Reader(replace(shaper, unknown="warning"))
        for name in sorted(environment, key=lambda name: name.encode("utf-8", "surrogatepass")):
            if name.startswith(prefix):
                reader.variable(name, prefix, environment[name])
        if prefix == PREFIXES[-1]:
            reader.credentials(environment.get("CREDENTIALS_DIRECTORY", ""))
            read_conjur(environment, reader.layer, shaper)
        layers.append(reader.layer)
    return layers


class _Reader:
    """Builds one layer, a variable after the other."""

    def __init__(self, shaper: Shaper) -> None:
        self.layer = Layer()
        self._shaper = shaper
        self._problems = shaper.problems
        self._secrets: dict[Path, tuple[bool, str]] = {}
        self._spelled: dict[Path, tuple[str, str]] = {}

    def variable(self, name: str, prefix: str, text: str) -> None:
        """Take one variable."""
        path = tuple(name.removeprefix(prefix).replace("__", ".").lower().split("."))
        origin = Origin("variable", name)
        first, before = self._spelled.setdefault(path, (name, text))
        if before != text:
            self._problems.warn(origin, path, f"also set by {first} to another value; this one counts")
        found = _walk(path)
        if found is None:
            self._shaper.report_unknown(origin, *_first_unknown(path))
            return
        node, is_file = found
        if is_file:
            path = (*path[:-1], path[-1].removesuffix("_file"))
        if isinstance(node, Leaf) and node.form is Form.SECRET and self._given_twice(origin, path, is_file):
            return
        if is_file:
            shaped = self._shaper.secret_file(Given(unquoted(text), origin), path)
        elif isinstance(node, Leaf) and node.form in _EMPTY_IS_NOTHING and not unquoted(text).strip():
            self._problems.warn(origin, path, "is empty, which counts as not given")
            return
        else:
            try:
                shaped = self._shaper.shape(node, given_tree(read_value(node, text), origin), path)
            except ValueError as error:
                self._shaper.report(origin, path, str(error))
                return
            except RecursionError:
                self._shaper.report(origin, path, TOO_DEEP)
                return
        self._set(origin, path, shaped)

    def credentials(self, directory: str) -> None:
        """Take the credentials that systemd passes, where their names are the paths of secret keys."""
        try:
            files = sorted(FilePath(directory).iterdir()) if directory else []
        except (OSError, ValueError):
            self._problems.add(Origin("variable", "CREDENTIALS_DIRECTORY"), "", "cannot be read")
            return
        for file in files:
            origin = Origin("credential", str(file))
            path = _secret_path(file.name.lower())
            if path is None:
                if file.name.lower().startswith("servers."):
                    self._problems.warn(origin, "", "is named after no secret key, so it is not used")
                continue  # credentials may be meant for other programs
            if not self._given_twice(origin, path, True):
                self._set(origin, path, self._shaper.secret_file(Given(str(file), origin), path))

    def _given_twice(self, origin: Origin, path: Path, is_file: bool) -> bool:
        """A secret may come once: as it is, from a file, or as a credential. Spellings in other case may repeat."""
        first = self._secrets.setdefault(path, (is_file, origin.place))
        if first[0] == is_file and origin.kind == "variable":
            return False
        if first[1] == origin.place:
            return False
        self._shaper.report(origin, path, f"given together with {first[1]}")
        return True

    def _set(self, origin: Origin, path: Path, shaped: Any) -> None:
        if shaped is not None and not put_at(self.layer.tree, path, shaped, origin):
            self._shaper.report(origin, path, "an item is given together with its whole list")


def put_at(tree: LayerTree, path: Path, shaped: Any, origin: Origin) -> bool:
    """Put one shaped value into a layer; False where it does not fit what is there."""
    for name in reversed(path):
        shaped = LayerTree(origin, {name: shaped})
    return _lay(tree, shaped)


def _lay(base: LayerTree, over: LayerTree) -> bool:
    """Merge two trees of one layer, where what addresses an item stays as written; False where they do not fit."""
    for key, value in over.items():
        known = base.get(key)
        if isinstance(value, LayerTree) and known is not None:
            if not isinstance(known, LayerTree) or not _lay(known, value):
                return False
        else:
            base[key] = value
    return True


def _walk(path: Path) -> tuple[Node, bool] | None:
    """The shape at a path, and whether the path ends with ``_file`` of a secret key; None for an unknown path."""
    node: Node = ROOT
    for index, name in enumerate(path):
        if not name or (isinstance(node, Leaf) and not (node.form.is_list and is_index(name))):
            return None
        if isinstance(node, Leaf):
            return (Leaf(Form.TEXT), False) if index == len(path) - 1 else None
        if isinstance(node, Tables):
            if not node.key and not is_index(name):
                return None
            node = node.item
            continue
        child = node.child(name) if name in node.keys or not node.secret_of(name) else None
        if child is None and index == len(path) - 1 and (secret := node.secret_of(name)):
            return node.keys[secret], True
        if child is None:
            return None
        node = child
    return node, False


def _secret_path(name: str) -> Path | None:
    """The path of the secret key that a credential's name is. A server's name within it may hold dots."""
    parts = tuple(name.split("."))
    for key in _SECRET_KEYS:
        before, star, after = _parted(key)
        middle = parts[len(before) : len(parts) - len(after)]
        if parts[: len(before)] == before and parts[len(parts) - len(after) :] == after and star == any(middle):
            return (*before, ".".join(middle), *after) if star else key
    return None


def _parted(key: Path) -> tuple[Path, bool, Path]:
    """A key before and behind its ``*``, and whether it has one."""
    if "*" not in key:
        return key, False, ()
    at = key.index("*")
    return key[:at], True, key[at + 1 :]


def _first_unknown(path: Path) -> tuple[Node, Path]:
    """The table in which an unknown path goes astray, and the path up to there."""
    node: Node = ROOT
    for index, name in enumerate(path):
        child: Node | None = None
        if isinstance(node, Tables):
            child = node.item if node.key or is_index(name) else None
        elif isinstance(node, Table):
            child = node.child(name)
        if child is None:
            return node, path[: index + 1]
        node = child
    return node, path


def read_value(node: Node, text: str) -> Any:
    """The raw value that a variable's text gives a key of this shape.

    :raises ValueError: where the text is not JSON and has to be. A text of the wrong type is left as it is: the schema
        says what it expects.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("not valid UTF-8 text")
    if not isinstance(node, Leaf):
        return _json(text, "a table in JSON" if isinstance(node, Table) else "a list of tables in JSON")
    if node.form in (Form.TEXT, Form.SECRET, Form.PATH, Form.AUDIT):
        return unquoted(text)
    bare = unquoted(text).strip()
    if bare.lower() == "null":
        return None
    if node.form.is_list:
        return _list(node.form, bare)
    if node.form is Form.FLAG:
        return WORDS.get(bare.lower(), bare)
    if node.form is Form.INT and bare.removeprefix("-").isdecimal() and len(bare) < 19:
        return int(bare)
    return bare


def unquoted(text: str) -> str:
    """The text without one pair of double quotes around it; what stands between is JSON where it can be.

    A compose list or a manifest keeps the quotes of the documented line, a shell takes them off. Where reading JSON
    would make control characters, as of ``"CORP\\bob"``, the text between the quotes is meant as it stands.
    """
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        read = json.loads(text)
    except ValueError:
        return text[1:-1]
    return read if isinstance(read, str) and _CONTROL.search(read) is None else text[1:-1]


def _list(form: Form, text: str) -> list[Any]:
    if text.startswith("["):
        try:
            items = read_json(text)
        except SourceError as error:
            # [::1]:8008 is an address. And a shell takes the quotes off the documented ["user1_id","user2_id"].
            if not form.takes_commas or '"' in text:
                raise ValueError(f"expected a {form.value} in JSON: {error}") from None
            text = text if form is Form.ADDRESSES else text.removeprefix("[").removesuffix("]")
        else:
            return list(items)
    if not text:
        return []
    return list(_between_commas(text)) if form.takes_commas else [text]


def _between_commas(text: str) -> Iterator[str]:
    return (item.strip() for item in text.split(",") if item.strip())


def _json(text: str, expected: str) -> Any:
    bare = text.strip()
    if bare.startswith('"'):
        bare = unquoted(bare).strip()
    try:
        return read_json(bare)
    except SourceError as error:
        raise ValueError(f"expected {expected}: {error}") from None
