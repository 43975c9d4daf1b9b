"""Decides what the joined rules of several policies allow on a path (vault.md 9.1).

The order in which rules are chosen and joined, and what bounds on parameters and wrapping mean, are Vault's
(``vault/acl.go`` of github.com/openbao/openbao). Matching costs microseconds: exact paths and prefixes are looked up,
and only patterns with ``+`` are tried, best first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from gateway.grants.policies.document import Value
from gateway.grants.policies.parameters import MeaningOf, as_sent, fit
from gateway.grants.policies.policy import DENIED, Capability, Pattern, Rights, Rule, Values


class Operation(StrEnum):
    """What a request does."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    LIST = "list"
    SCAN = "scan"
    PATCH = "patch"
    HELP = "help"


_LISTING: Final = {Operation.LIST, Operation.SCAN}
_WITH_PARAMETERS: Final = {Operation.CREATE, Operation.READ, Operation.UPDATE, Operation.PATCH}
_WRITES: Final = {Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.PATCH}

_SUDO: Final = re.compile(
    r"""
    sys/(?:mounts/)?auth/.*/tune
  | sys/leases/lookup/.*
  | sys/(?:leases/)?revoke-(?:prefix|force)(?:/.*)?
  | auth/token/accessors/?
  | auth/token/revoke-orphan(?:/.*)?
    """,
    re.VERBOSE | re.DOTALL,
)


def needs_sudo(operation: Operation, path: str) -> bool:
    """Whether the path asks for ``sudo`` besides the capability of the operation itself."""
    return _SUDO.fullmatch(path) is not None or (operation in _WRITES and path.startswith("sys/auth/"))


class Acl:
    """What the holder of some policies may do. Made by ``compile_rules``, or ``ROOT``."""

    def __init__(
        self, rights: Mapping[Pattern, Rights], *, denied: Iterable[Pattern] = (), root: bool = False
    ) -> None:
        """``denied`` are refused whatever else is said of their paths."""
        self._root = root
        self._denied = [_expression(pattern) for pattern in denied]
        plain = [pattern for pattern in rights if None not in pattern.segments]
        self._exact = {pattern.text: rights[pattern] for pattern in plain if not pattern.prefix}
        self._prefixes = {pattern.text: rights[pattern] for pattern in plain if pattern.prefix}
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        wild = [pattern for pattern in rights if None in pattern.segments]
        self._wild = [
            (_priority(pattern), _expression(pattern), rights[pattern])
            for pattern in sorted(wild, key=_priority, reverse=True)
        ]

    @property
    def root(self) -> bool:
        """Whether everything is allowed."""
        return self._root

    def allows(
        self,
        operation: Operation,
        path: str,
        parameters: Mapping[str, Value] | None = None,
        *,
        meaning: MeaningOf = as_sent,
        wrap_seconds: int = 0,
    ) -> bool:
        """Whether the request may be made, ``sudo`` included where the path asks for it.

        ``path`` is decoded and without ``/v1/``; that of a listing ends in a slash. ``parameters`` is the body,
        ``meaning`` what whoever answers makes of each, ``wrap_seconds`` the time its answer is to be wrapped for, 0 for
        not at all.
        """
        if self._root or operation is Operation.HELP:
            return True
        path = path.lstrip("/")
        rights = self._rights(path, listing=operation in _LISTING)
        if rights is None or Capability(operation) not in rights.capabilities:
            return False
        if needs_sudo(operation, path) and Capability.SUDO not in rights.capabilities:
            return False
        if not _wrapping_fits(rights, wrap_seconds):
            return False
        return operation not in _WITH_PARAMETERS or fit(rights, parameters or {}, meaning)

    def sudo(self, path: str) -> bool:
        """Whether ``sudo`` is among what is allowed there, for requests that may do more with it."""
        rights = self._rights(path.lstrip("/"), listing=False)
        return self._root or (rights is not None and Capability.SUDO in rights.capabilities)

    def capabilities(self, path: str) -> list[str]:
        """As ``sys/capabilities`` lists them: sorted, ``root`` alone for root, ``deny`` alone for none."""
        if self._root:
            return ["root"]
        rights = self._rights(path.lstrip("/"), listing=True)
        return sorted(one.value for one in rights.capabilities or DENIED) if rights else ["deny"]

    def _rights(self, path: str, *, listing: bool) -> Rights | None:
        if any(expression.match(path) or expression.match(f"{path}/") for expression in self._denied):
            return Rights(DENIED)
        found = self._exact.get(path)
        if found is None and listing:
            found = self._exact.get(path.removesuffix("/"))
        return self._patterned(path) if found is None else found

    def _patterned(self, path: str) -> Rights | None:
        prefix = next((path[:n] for n in self._lengths if path[:n] in self._prefixes and n <= len(path)), None)
        for priority, expression, rights in self._wild:
            if prefix is not None and priority < _prefix_priority(prefix):
                break
            if expression.match(path):
                return rights
        return None if prefix is None else self._prefixes[prefix]


def compile_rules(rules: Iterable[Rule], denied: Iterable[Pattern] = ()) -> Acl:
    """The access list of all these rules; of rules on one pattern, the rights add up, and ``denied`` stay so."""
    joined: dict[Pattern, Rights] = {}
    for rule in rules:
        known = joined.get(rule.pattern)
        joined[rule.pattern] = rule.rights if known is None else _join(known, rule.rights)
    return Acl(joined, denied=denied)


Priority = tuple[int, bool, int, int, str]


def _priority(pattern: Pattern) -> Priority:
    """The greater one wins: first wildcard latest, no prefix, fewest ``+``, longest."""
    first = pattern.segments.index(None)
    before = sum(len(segment or "") + 1 for segment in pattern.segments[:first])
    text = pattern.text
    return before, not pattern.prefix, -pattern.segments.count(None), len(text), text


def _prefix_priority(prefix: str) -> Priority:
    return len(prefix), False, 0, len(prefix), prefix


def _expression(pattern: Pattern) -> re.Pattern[str]:
    segments = ("[^/]*" if segment is None else re.escape(segment) for segment in pattern.segments)
    return re.compile("/".join(segments) + ("" if pattern.prefix else r"\Z"))


def _join(known: Rights, added: Rights) -> Rights:
    """Capabilities add up and deny wins; bounds of either hold, and the tighter time of wrapping."""
    if Capability.DENY in known.capabilities | added.capabilities:
        return Rights(DENIED)
    return Rights(
        known.capabilities | added.capabilities,
        _join_parameters(known.allowed, added.allowed),
        _join_parameters(known.denied, added.denied),
        known.required | added.required,
        min(filter(None, (known.min_wrapping, added.min_wrapping)), default=0),
        min(filter(None, (known.max_wrapping, added.max_wrapping)), default=0),
    )


def _join_parameters(known: Mapping[str, Values], added: Mapping[str, Values]) -> dict[str, Values]:
    joined = dict(known)
    for name, values in added.items():
        before = joined.get(name)
        joined[name] = () if not values or before == () else (before or ()) + values
    return joined


def _wrapping_fits(rights: Rights, seconds: int) -> bool:
    if not rights.min_wrapping and not rights.max_wrapping:
        return True
    return seconds > 0 and rights.min_wrapping <= seconds <= (rights.max_wrapping or seconds)


ROOT: Final = Acl({}, root=True)
"""What policy root gives."""
