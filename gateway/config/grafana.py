"""A Grafana ``ldap.toml``, read by Grafana's rules (grafana.md 1; configuration.md 1.1).

Expressions are expanded in the text before it is parsed, key case does not matter, unknown keys are warned of. Where
Grafana would only fail at each connection or log a line (no host, an unknown TLS version), we warn.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from gateway.identity import fold_name

from .checks import certificate_errors
from .layer import LayerTree, distinct, unused_names
from .origin import DEFAULT, Given, Origin, Path, Problems
from .sources import OTHER_SIZE, SourceError, Tree, parse, read_text

_EXPRESSION: Final = re.compile(r"\$(?:__(\w+))?\{([^}]+)\}")
_TOP: Final = frozenset({"servers", "verbose_logging"})
_ROLES: Final = ("Viewer", "Editor", "Admin", "None")
_TLS_VERSIONS: Final = ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3")
_FILES: Final = ("root_ca_cert", "client_cert", "client_key")
NO_HOST: Final = "no-host.invalid"
"""Host of a block without one: Grafana loads such a block and then cannot connect. RFC 6761 6.4: never resolves."""


NO_GROUP: Final = "no-group.invalid"
"""``group_dn`` of a mapping without one: Grafana loads it and it matches nobody. Without it the file would have fewer
mappings, and with none left everyone would be let in."""


def read_grafana(text: str, environment: Mapping[str, str], origin: Origin, problems: Problems) -> Tree | None:
    """The tree of a TOML text that is an ``ldap.toml``, key case folded; None where it is none.

    :raises SourceError: where it is one and cannot be read: an expression's file, or TOML after expansion.
    """
    try:
        if not is_grafana(parse(text, ".toml")):
            return None
    except SourceError:
        # An expression may stand without quotes (port = ${LDAP_PORT}), so the text says what it is only afterwards.
        if _EXPRESSION.search(text) is None:
            raise
    expanded = _expand(text, environment, origin, problems)
    try:
        tree = parse(expanded, ".toml")
    except SourceError as error:
        hint = "" if expanded == text else "; a value put in by an expression may hold quotes, or be empty"
        raise SourceError(f"{error}{hint}") from None
    return _folded(tree) if is_grafana(tree) else None


def is_grafana(tree: Tree) -> bool:
    """Whether the top level holds only what an ``ldap.toml`` holds; servers by name (``[servers.corp]``) are ours."""
    named = any(isinstance(value, dict) for value in tree.values())
    return bool(tree) and not named and {key.lower() for key in tree} <= _TOP


def _expand(text: str, environment: Mapping[str, str], origin: Origin, problems: Problems) -> str:
    """Grafana's order: all environment expressions first, so that their values may hold file expressions."""

    def line(match: re.Match[str]) -> str:
        return f"line {match.string.count(chr(10), 0, match.start()) + 1}"

    def variable(match: re.Match[str]) -> str:
        if match[1] not in (None, "env"):
            return match[0]
        value = environment.get(match[2], "") or (socket.gethostname() if match[2] == "HOSTNAME" else "")
        before = match.string[: match.start()].rpartition("\n")[2]
        if not value and match[2] not in environment and not before.lstrip().startswith("#"):
            problems.warn(origin, "", f"{line(match)}: {match[0]} becomes empty, because {match[2]} is not set")
        return value

    def file(match: re.Match[str]) -> str:
        if match[1] != "file":
            return match[0]
        try:
            return read_text(FilePath(match[2]), OTHER_SIZE).strip()
        except SourceError as error:
            raise SourceError(f"{line(match)}: {match[0]}: {error}") from None

    return _EXPRESSION.sub(file, _EXPRESSION.sub(variable, text))


def _folded(value: Any) -> Any:
    """Keys in small letters. Grafana leaves open which of two equal ones counts, so that is refused."""
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if not isinstance(value, dict):
        return value
    folded = {key.lower(): _folded(item) for key, item in value.items()}
    if len(folded) < len(value):
        raise SourceError("a key is given twice, in different case")
    return folded


class GrafanaReader:
    """Brings the blocks of an ``ldap.toml`` to our tree, and says what Grafana would say of them."""

    def __init__(self, origin: Origin, problems: Problems) -> None:
        self._origin = origin
        self._problems = problems
        self.fallbacks: LayerTree = {}
        """Defaults of these blocks that differ from ours, in the form of a layer."""
        self.names: tuple[str, ...] = ()
        """Names of the blocks, folded."""

    def adapt(self, tree: Tree) -> Tree:
        """The tree as our own keys have it."""
        blocks = tree.get("servers")
        if not blocks:
            self._problems.add(self._origin, "servers", "no server is defined")
            return {}
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            return {"servers": blocks}
        names = unused_names(block.get("name") for block in blocks)
        for block in blocks:
            if "name" not in block:
                block["name"] = next(names)
        shown = distinct(str(block["name"]) for block in blocks)
        for number, (block, name) in enumerate(zip(blocks, shown, strict=True), 1):
            self._block(block, f"servers.{name}", number)
        self.names = tuple(map(fold_name, shown))
        self.fallbacks = {"servers": {name: _defaults() for name in self.names}}
        return {"servers": blocks}

    def _block(self, block: Tree, path: str, number: int) -> None:
        for key in ("search_filter", "search_base_dns"):
            if not block.get(key):
                self._problems.add(self._origin, f"{path}.{key}", f"is needed in block {number}")
        if not block.get("host") and not block.get("urls"):
            self._warn(f"{path}.host", f"block {number} has no host: no connection will succeed")
            block["host"] = NO_HOST
        if block.get("start_tls") is True and not block.get("use_ssl"):
            self._warn(f"{path}.start_tls", "Grafana ignores it without use_ssl; here the connection is upgraded")
        for key in ("min_tls_version", "max_tls_version"):
            if isinstance(value := block.get(key), str) and value.upper() not in _TLS_VERSIONS:
                self._warn(f"{path}.{key}", "unknown TLS version, ignored")
                del block[key]
        if isinstance(certificates := block.get("root_ca_cert"), str):
            block["root_ca_cert"] = certificates.split()
        self._mappings(block, path, number)

    def _mappings(self, block: Tree, path: str, number: int) -> None:
        mappings = block.get("group_mappings")
        for index, mapping in _tables(mappings):
            place, name = f"{path}.group_mappings.{index}", f"mapping {index + 1} of block {number}"
            if not any(key in mapping for key in ("org_role", "grafana_admin", "policies", "clearml_role", "admin")):
                self._problems.add(self._origin, place, f"{name} has neither org_role nor grafana_admin")
            if not mapping.get("group_dn"):
                self._warn(f"{place}.group_dn", f"{name} has none: it matches nobody")
                mapping["group_dn"] = NO_GROUP
            if isinstance(role := mapping.get("org_role"), str):
                mapping["org_role"] = role = (role[:1].upper() + role[1:]) or "Viewer"
                if role not in _ROLES:
                    self._problems.add(self._origin, f"{place}.org_role", f"{name}: expected {', '.join(_ROLES)}")
            if mapping.get("org_id") == 0:
                mapping["org_id"] = 1

    def _warn(self, path: str, message: str) -> None:
        self._problems.warn(self._origin, path, message)


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


def _tables(value: Any) -> Iterator[tuple[int, Tree]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _defaults() -> LayerTree:
    names = ("username", "name", "surname", "email", "member_of")
    return {
        "attributes": {name: Given("", DEFAULT) for name in names},
        "require_mapping": Given(True, DEFAULT),
    }
