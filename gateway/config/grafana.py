"""A Grafana ``ldap.toml``, read by Grafana's rules (grafana.md 1; configuration.md 1.1).

Expressions are expanded in the text before it is parsed, key case does not matter, unknown keys are warned of. Where
Grafana would only fail at each connection or log a line (no host, an unknown TLS version), we warn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.identity import fold_name

from .advice import NO_GROUP, NO_HOST
from .checks import certificate_errors
from .expressions import Expansion, has_expressions
from .layer import LayerTree, distinct, unused_names
from .origin import DEFAULT, GRAFANA_DEFAULT, Given, Origin, Path, Problems
from .position import Lines
from .reading import Reading, SourceError
from .toml_source import parse_toml, parse_toml_at

_FIRST_KEY: Final = re.compile(r"(?:\s++|#[^\n]*+)*+\[{0,2}[ \t]*+([\w-]++)", re.ASCII)
_TOP: Final = frozenset({"servers", "verbose_logging"})
_EFFECTS: Final = ("org_role", "grafana_admin", "policies", "clearml_role", "admin")
_ROLES: Final = ("Viewer", "Editor", "Admin", "None")
_TLS_VERSIONS: Final = ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3")
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_FILES: Final = ("root_ca_cert", "client_cert", "client_key")

_EXPECTED: Final = {str: "a text in quotes", int: "a whole number", bool: "true or false", list: "a list of texts"}
_TYPES: Final[Mapping[str, type]] = {
    **dict.fromkeys((
        "host", "min_tls_version", "root_ca_cert", "client_cert", "client_key", "bind_dn", "bind_password",
        "search_filter", "group_search_filter", "group_search_filter_user_attribute",
    ), str),
    **dict.fromkeys(("port", "timeout"), int),
    **dict.fromkeys(("use_ssl", "start_tls", "ssl_skip_verify"), bool),
    **dict.fromkeys(("tls_ciphers", "search_base_dns", "group_search_base_dns"), list),
}  # fmt: skip
"""Of Grafana's keys of a block (grafana.md 1.2). Any other type refuses the file there, and so it does here; keys of
our own are as lenient as anywhere."""
_ATTRIBUTE_TYPES: Final = dict.fromkeys(("username", "name", "surname", "email", "member_of"), str)
_MAPPING_TYPES: Final[Mapping[str, type]] = {"group_dn": str, "org_role": str, "org_id": int, "grafana_admin": bool}

Table = dict[str, Given]


def read_grafana(
    text: str, environment: Mapping[str, str], origin: Origin, problems: Problems, reading: Reading, *,
    certain: bool = False,
) -> Given | None:
    """The tree of a TOML text that is an ``ldap.toml``, key case folded; None where it is none.

    Positions are those of the text as it is written, whatever its expressions become. ``certain`` says that it is one,
    whatever else it holds: Grafana passes over what it does not know.

    :raises SourceError: where it is one and cannot be read: an expression's file, or TOML after expansion.
    """
    first = None if certain else _FIRST_KEY.match(text)
    if first and first[1].lower() not in _TOP:
        return None
    expressions = has_expressions(text)
    try:
        tree = parse_toml(text, origin)
    except SourceError:
        # An expression may stand without quotes (port = ${LDAP_PORT}), so the text says what it is only afterwards.
        if not expressions:
            raise
    else:
        if not certain and not is_grafana(tree.value):
            return None
    if expressions:
        tree = _expanded(text, environment, origin, problems, reading)
        if not certain and not is_grafana(tree.value):
            return None
    _fold(tree)
    return tree


def _expanded(
    text: str, environment: Mapping[str, str], origin: Origin, problems: Problems, reading: Reading
) -> Given:
    expanded, places = Expansion(text, Lines(text, origin), reading).expand(environment, problems)
    try:
        return parse_toml_at(expanded, places)
    except SourceError as error:
        hint = "" if expanded == text else "; a value put in by an expression may hold quotes, or be empty"
        raise SourceError(f"{error}{hint}", error.line, error.column) from None


def is_grafana(tree: Table) -> bool:
    """Whether the top level holds only what an ``ldap.toml`` holds; servers by name (``[servers.corp]``) are ours."""
    named = any(isinstance(given.value, dict) for given in tree.values())
    return bool(tree) and not named and {key.lower() for key in tree} <= _TOP


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

    def __init__(self, origin: Origin, problems: Problems, blocks: dict[str, Origin]) -> None:
        """``blocks`` are those of the files before, as ``Shaper.blocks``; these are added."""
        self._origin = origin
        self._problems = problems
        self._blocks = blocks
        self.fallbacks = LayerTree()
        """Defaults of these blocks that differ from ours, in the form of a layer."""
        self.names: tuple[str, ...] = ()
        """Names of the blocks, folded."""

    def adapt(self, tree: Given) -> Given:
        """The tree as our own keys have it."""
        for name, given in tree.value.items():
            if name not in _TOP:
                self._problems.warn(given.origin, name, "unknown key")
        servers = tree.value.get("servers")
        if servers is None or not servers.value:
            self._problems.add(servers.origin if servers else self._origin, "servers", "no server is defined")
            return Given({}, tree.origin)
        adapted = Given({"servers": servers}, tree.origin)
        if not isinstance(servers.value, list) or not all(isinstance(item.value, dict) for item in servers.value):
            return adapted
        self._name(servers)
        self._verbose(tree, servers)
        shown = distinct(str(item.value["name"].value) for item in servers.value)
        for number, (item, name) in enumerate(zip(servers.value, shown, strict=True), 1):
            self._only_one(name, item)
            self._block(item, f"servers.{name}", number)
        self.names = tuple(map(fold_name, shown))
        self.fallbacks = LayerTree(DEFAULT, {"servers": LayerTree(DEFAULT, {name: _defaults() for name in self.names})})
        return adapted

    def _name(self, servers: Given) -> None:
        """Blocks without a name are called as the next ones of all files: to Grafana no two of them are one."""
        given = [item.value["name"].value for item in servers.value if "name" in item.value]
        names = unused_names([*given, *self._blocks])
        for item in servers.value:
            if "name" not in item.value:
                item.value["name"] = Given(next(names), item.origin)

    def _only_one(self, name: str, item: Given) -> None:
        """Two blocks of one name would become one, with the password of the other."""
        origin = item.value["name"].origin
        if (first := self._blocks.setdefault(fold_name(name), origin)) is not origin:
            self._problems.add(origin, f"servers.{name}.name", f"is the name of the block at {first}, too: rename one")

    def _verbose(self, tree: Given, servers: Given) -> None:
        """``verbose_logging`` of early versions, which stands above the blocks."""
        given = tree.value.get("verbose_logging")
        if given is not None and not isinstance(given.value, bool):
            self._problems.warn(given.origin, "verbose_logging", "expected true or false; ignored")
        elif given is not None:
            for item in servers.value:
                item.value.setdefault("verbose_logging", given)

    def _block(self, item: Given, path: str, number: int) -> None:
        block: Table = item.value
        self._types(block, _TYPES, path)
        if isinstance(attributes := _value(block, "attributes"), dict):
            self._types(attributes, _ATTRIBUTE_TYPES, f"{path}.attributes")
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

    def _types(self, table: Table, types: Mapping[str, type], path: str) -> None:
        for key in types.keys() & table.keys():
            given, expected = table[key], types[key]
            items = given.value if expected is list and isinstance(given.value, list) else ()
            wrong = [item for item in items if type(item.value) is not str]
            # Not isinstance: to Python, true is a number.
            if wrong or type(given.value) is not expected:
                origin = wrong[0].origin if wrong else given.origin
                self._problems.add(origin, f"{path}.{key}", f"expected {_EXPECTED[expected]}, as Grafana does")

    def _mappings(self, block: Table, path: str, number: int) -> None:
        for index, item in _tables(_value(block, "group_mappings")):
            mapping: Table = item.value
            place, name = f"{path}.group_mappings.{index}", f"the {_ordinal(index + 1)} mapping of block {number}"
            self._types(mapping, _MAPPING_TYPES, place)
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


def _ordinal(number: int) -> str:
    """Beside the key, which counts from 0, a word cannot be taken for an index."""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


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
    attributes = LayerTree(DEFAULT, {name: Given("", GRAFANA_DEFAULT) for name in names})
    return LayerTree(DEFAULT, {"attributes": attributes, "require_mapping": Given(True, GRAFANA_DEFAULT)})
