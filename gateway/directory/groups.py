"""Which groups an account is in: the values of ``memberOf``, or a search for groups that name the account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.directory.account import first_value
from gateway.directory.escape import DnError, Rdn, first_cn, parse_dn
from gateway.directory.filters import compile_filter
from gateway.directory.messages import Dereference, Entry, Scope, SearchRequest
from gateway.identity import Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Server

_MEMBER_OF: Final = "memberof"


class GroupSearch:
    """The group search of one server, compiled once; ``requests`` go out together."""

    def __init__(self, server: Server) -> None:
        value_attribute = server.attributes.member_of
        # Grafana takes the group's DN where the setting is empty or has its usual value (grafana.md 2.5).
        self._value_attribute = "" if value_attribute.lower() == _MEMBER_OF else value_attribute.lower()
        self._name_attribute = server.group_attr.lower()
        attributes = tuple(dict.fromkeys(filter(None, (self._value_attribute, self._name_attribute))))
        compiled = compile_filter(server.group_search_filter)
        dereference = Dereference[server.dereference_aliases.upper()]
        self.requests = tuple(
            SearchRequest(base, compiled, attributes, scope=Scope.SUBTREE, dereference=dereference)
            for base in server.group_bases
        )

    def group(self, entry: Entry) -> Group:
        """The group of an entry that was found."""
        name = first_value(entry, self._name_attribute) or first_cn(entry.dn)
        value = first_value(entry, self._value_attribute) if self._value_attribute else entry.dn
        return Group(name=name, dn=entry.dn, value=value)


def groups_of_values(values: Iterable[str], bases: Sequence[str]) -> tuple[Group, ...]:
    """Groups of ``memberOf`` values: DNs, or plain names where the attribute holds such.

    A DN outside ``bases`` (empty: everywhere) gives no name, so that two groups of one ``cn`` in two branches do not
    become one right by accident (DECISIONS 9); its DN can still be compared.
    """
    return tuple(_group_of_value(value, tuple(bases)) for value in values)


@lru_cache(maxsize=8192)
def _group_of_value(value: str, bases: tuple[str, ...]) -> Group:
    """Cached, because the same few groups come with every login and parsing a DN costs more than the rest."""
    try:
        rdns = _folded(parse_dn(value))
    except DnError:
        return Group(name=value, value=value)
    named = not bases or any(_is_below(rdns, _folded(parse_dn(base))) for base in bases)
    return Group(name=first_cn(value) if named else "", dn=value, value=value)


def _is_below(rdns: Sequence[Rdn], base: Sequence[Rdn]) -> bool:
    return not base or list(rdns[-len(base) :]) == list(base)


def _folded(rdns: Sequence[Rdn]) -> list[Rdn]:
    return [sorted((kind.lower(), fold_name(text)) for kind, text in rdn) for rdn in rdns]
