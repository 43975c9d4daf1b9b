"""A Grafana ``ldap.toml``, read by Grafana's rules (grafana.md 1; configuration.md 1.1).

Expressions are expanded in the text before it is parsed, key case does not matter, unknown keys are warned of. Where
Grafana would only fail at each connection or log a line (no host, an unknown TLS version), we warn.
"""

from __future__ import annotations

import re
import socket
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from gateway.identity import fold_name

from .advice import NO_GROUP, NO_HOST
from .checks import certificate_errors
from .layer import LayerTree, distinct, unused_names
from .origin import DEFAULT, Given, Origin, Path, Problems
from .position import Lines, Places
from .reading import Reading, SourceError
from .toml_source import parse_toml, parse_toml_at

SIZE: Final = 8 * 1024 * 1024
"""Largest file that an expression names, and longest text after expansion: in bytes and in characters."""
_EXPRESSION: Final = re.compile(r"\$(?:__(\w++))?\{([^}]+)\}")
_FIRST_KEY: Final = re.compile(r"(?:\s++|#[^\n]*+)*+\[{0,2}[ \t]*+([\w-]++)", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_]\w*+", re.ASCII)
_COMMENT: Final = re.compile(r"^[ \t]*+#", re.MULTILINE)
_TOP: Final = frozenset({"servers", "verbose_logging"})
_EFFECTS: Final = ("org_role", "grafana_admin", "policies", "clearml_role", "admin")
_ROLES: Final = ("Viewer", "Editor", "Admin", "None")
_TLS_VERSIONS: Final = ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3")
_FILES: Final = ("root_ca_cert", "client_cert", "client_key")
_DEFAULT: Final = Origin("default", "default of files read by Grafana's rules")

Table = dict[str, Given]


def read_grafana(
    text: str, environment: Mapping[str, str], origin: Origin, problems: Problems, reading: Reading
) -> Given | None:
    """The tree of a TOML text that is an ``ldap.toml``, key case folded; None where it is none.

    Positions are those of the text as it is written, whatever its expressions become.

    :raises SourceError: where it is one and cannot be read: an expression's file, or TOML after expansion.
    """
    first = _FIRST_KEY.match(text)
    if first and first[1].lower() not in _TOP:
        return None
    has_expressions = next(_expressions(text), None) is not None
    try:
        tree = parse_toml(text, origin)
    except SourceError:
        # An expression may stand without quotes (port = ${LDAP_PORT}), so the text says what it is only afterwards.
        if not has_expressions:
            raise
    else:
        if not is_grafana(tree.value):
            return None
    if has_expressions:
        tree = _expanded(text, environment, origin, problems, reading)
        if not is_grafana(tree.value):
            return None
    _fold(tree)
    return tree


def _expanded(
    text: str, environment: Mapping[str, str], origin: Origin, problems: Problems, reading: Reading
) -> Given:
    expanded, places = _Expansion(text, origin, reading).expand(environment, problems)
    try:
        return parse_toml_at(expanded, places)
    except SourceError as error:
        hint = "" if expanded == text else "; a value put in by an expression may hold quotes, or be empty"
        raise SourceError(f"{error}{hint}", error.line, error.column) from None


def is_grafana(tree: Table) -> bool:
    """Whether the top level holds only what an ``ldap.toml`` holds; servers by name (``[servers.corp]``) are ours."""
    named = any(isinstance(given.value, dict) for given in tree.values())
    return bool(tree) and not named and {key.lower() for key in tree} <= _TOP


class _Replaced:
    """Places of a text in which expressions were replaced: what was put in is written where its expression is."""

    def __init__(self, before: Places) -> None:
        self.origin = before.origin
        self._before = before
        self._starts: list[int] = []
        self._sources: list[tuple[int, bool]] = []

    def add(self, start: int, source: int, *, put_in: bool) -> None:
        """Note that from ``start`` on the text is that from ``source`` on of the text before, or was put in there."""
        self._starts.append(start)
        self._sources.append((source, put_in))

    def at(self, offset: int) -> Origin:
        """Where the character at an offset is written."""
        index = bisect_right(self._starts, offset) - 1
        source, put_in = self._sources[index]
        return self._before.at(source if put_in else source + offset - self._starts[index])


class _Expansion:
    """Expands the expressions of one text (grafana.md 1.4)."""

    def __init__(self, text: str, origin: Origin, reading: Reading) -> None:
        self._text = text
        self._lines = Lines(text, origin)
        self._comments = {found.start() for found in _COMMENT.finditer(text)}
        self._reading = reading
        self._files: dict[str, str] = {}

    def expand(self, environment: Mapping[str, str], problems: Problems) -> tuple[str, Places]:
        """The text afterwards, and its places.

        Grafana's order: all environment expressions first, so that their values may hold file expressions.
        """

        def variable(match: re.Match[str], place: Origin) -> str:
            if match[1] not in (None, "env"):
                return match[0]
            value = environment.get(match[2], "") or (socket.gethostname() if match[2] == "HOSTNAME" else "")
            commented = self._lines.start(match.start()) in self._comments
            if not value and match[2] not in environment and not commented:
                problems.warn(place, "", _unset(match))
            return value

        def file(match: re.Match[str], place: Origin) -> str:
            return self._file(match[2], place) if match[1] == "file" else match[0]

        return _replace(*_replace(self._text, self._lines, variable), file)

    def _file(self, name: str, place: Origin) -> str:
        if name not in self._files:
            try:
                self._files[name] = self._reading.text(FilePath(name).absolute(), SIZE, "other").strip()
            except SourceError as error:
                shown = name if name.isprintable() else "..."
                raise SourceError(f"$__file{{{shown}}}: {error}", place.line, place.column) from None
        return self._files[name]


def _expressions(text: str) -> Iterator[re.Match[str]]:
    """What may be one. Behind the last brace none is, and each ``${`` there would be tried on all the rest."""
    return _EXPRESSION.finditer(text, 0, text.rfind("}") + 1)


def _replace(text: str, before: Places, value: Callable[[re.Match[str], Origin], str]) -> tuple[str, Places]:
    places = _Replaced(before)
    pieces: list[str] = []
    length = end = 0

    def put(piece: str, source: int, *, put_in: bool) -> None:
        nonlocal length
        places.add(length, source, put_in=put_in)
        pieces.append(piece)
        length += len(piece)

    for match in _expressions(text):
        replaced = value(match, before.at(match.start()))
        if replaced == match[0]:
            continue
        put(text[end : match.start()], end, put_in=False)
        put(replaced, match.start(), put_in=True)
        end = match.end()
        if length > SIZE:
            raise SourceError(f"larger than {SIZE} characters with the values of its expressions")
    put(text[end:], end, put_in=False)
    return "".join(pieces), places


def _unset(match: re.Match[str]) -> str:
    """What is said of an expression without value; what only looks like one may be part of a password."""
    if _NAME.fullmatch(match[2]):
        return f"{match[0]} becomes empty, because {match[2]} is not set"
    return "an expression becomes empty, because it names no variable"


def _fold(given: Given) -> None:
    """Keys in small letters. Grafana leaves open which of two equal ones counts, so that is refused."""
    if isinstance(given.value, list):
        for item in given.value:
            _fold(item)
    elif isinstance(given.value, dict):
        folded: Table = {}
        for key, item in given.value.items():
            _fold(item)
            if (first := folded.setdefault(key.lower(), item)) is not item:
                reason = f"a key is given twice, in different case, first in line {first.origin.line}"
                raise SourceError(reason, item.origin.line, item.origin.column)
        given.value = folded


class GrafanaReader:
    """Brings the blocks of an ``ldap.toml`` to our tree, and says what Grafana would say of them."""

    def __init__(self, origin: Origin, problems: Problems) -> None:
        self._origin = origin
        self._problems = problems
        self.fallbacks = LayerTree()
        """Defaults of these blocks that differ from ours, in the form of a layer."""
        self.names: tuple[str, ...] = ()
        """Names of the blocks, folded."""

    def adapt(self, tree: Given) -> Given:
        """The tree as our own keys have it."""
        servers = tree.value.get("servers")
        if servers is None or not servers.value:
            self._problems.add(servers.origin if servers else self._origin, "servers", "no server is defined")
            return Given({}, tree.origin)
        adapted = Given({"servers": servers}, tree.origin)
        if not isinstance(servers.value, list) or not all(isinstance(item.value, dict) for item in servers.value):
            return adapted
        names = unused_names(item.value["name"].value for item in servers.value if "name" in item.value)
        for item in servers.value:
            if "name" not in item.value:
                item.value["name"] = Given(next(names), item.origin)
        shown = distinct(str(item.value["name"].value) for item in servers.value)
        for number, (item, name) in enumerate(zip(servers.value, shown, strict=True), 1):
            self._block(item, f"servers.{name}", number)
        self.names = tuple(map(fold_name, shown))
        self.fallbacks = LayerTree(DEFAULT, {"servers": LayerTree(DEFAULT, {name: _defaults() for name in self.names})})
        return adapted

    def _block(self, item: Given, path: str, number: int) -> None:
        block: Table = item.value
        for key in ("search_filter", "search_base_dns"):
            if not _value(block, key):
                self._problems.add(_origin(block, key, item), f"{path}.{key}", f"is needed in block {number}")
        if not _value(block, "host") and not _value(block, "urls"):
            origin = _origin(block, "host", item)
            self._problems.warn(origin, f"{path}.host", f"block {number} has no host: no connection will succeed")
            block["host"] = Given(NO_HOST, origin)
        if _value(block, "start_tls") is True and not _value(block, "use_ssl"):
            message = "Grafana ignores it without use_ssl; here the connection is upgraded"
            self._problems.warn(block["start_tls"].origin, f"{path}.start_tls", message)
        for key in ("min_tls_version", "max_tls_version"):
            if isinstance(value := _value(block, key), str) and value.upper() not in _TLS_VERSIONS:
                self._problems.warn(block.pop(key).origin, f"{path}.{key}", "unknown TLS version, ignored")
        if isinstance(certificates := _value(block, "root_ca_cert"), str):
            origin = block["root_ca_cert"].origin
            block["root_ca_cert"] = Given([Given(name, origin) for name in certificates.split()], origin)
        self._mappings(block, path, number)

    def _mappings(self, block: Table, path: str, number: int) -> None:
        for index, item in _tables(_value(block, "group_mappings")):
            mapping: Table = item.value
            place, name = f"{path}.group_mappings.{index}", f"mapping {index + 1} of block {number}"
            if not any(key in mapping for key in _EFFECTS):
                self._problems.add(item.origin, place, f"{name} has neither org_role nor grafana_admin")
            if not _value(mapping, "group_dn"):
                origin = _origin(mapping, "group_dn", item)
                self._problems.warn(origin, f"{place}.group_dn", f"{name} has none: it matches nobody")
                mapping["group_dn"] = Given(NO_GROUP, origin)
            if isinstance(role := _value(mapping, "org_role"), str):
                mapping["org_role"].value = role = (role[:1].upper() + role[1:]) or "Viewer"
                if role not in _ROLES:
                    message = f"{name}: expected {', '.join(_ROLES)}"
                    self._problems.add(mapping["org_role"].origin, f"{place}.org_role", message)
            if _value(mapping, "org_id") == 0:
                mapping["org_id"].value = 1


def _value(table: Table, key: str) -> Any:
    given = table.get(key)
    return None if given is None else given.value


def _origin(table: Table, key: str, item: Given) -> Origin:
    """Where a key is written; where it is not, its table."""
    return table[key].origin if key in table else item.origin


def drop_unused_files(server: Any, path: Path, problems: Problems) -> None:
    """Drop the certificate files of a merged server that Grafana would not look at, with a warning (grafana.md 1.2)."""
    if not isinstance(server, dict):
        return
    values = {key: given.value for key, given in server.items() if isinstance(given, Given)}
    for key, other in (("client_cert", "client_key"), ("client_key", "client_cert")):
        if values.get(key) and not values.get(other):
            problems.warn(server.pop(key).origin, (*path, key), f"ignored without {other}")
    if values.get("use_ssl") is True or values.get("start_tls") is True or "urls" in values:
        return
    texts = {key: [text for text in _as_list(values.get(key)) if isinstance(text, str) and text] for key in _FILES}
    for key, error in certificate_errors(*texts.values()):
        message = f"{error}; ignored, because neither use_ssl nor start_tls is on"
        problems.warn(server.pop(key).origin, (*path, key), message)
        if key == "client_cert":
            del server["client_key"]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tables(value: Any) -> Iterator[tuple[int, Given]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item.value, dict):
            yield index, item


def _defaults() -> LayerTree:
    names = ("username", "name", "surname", "email", "member_of")
    attributes = LayerTree(DEFAULT, {name: Given("", _DEFAULT) for name in names})
    return LayerTree(DEFAULT, {"attributes": attributes, "require_mapping": Given(True, _DEFAULT)})
