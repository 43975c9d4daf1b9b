"""What a group is called, from what a directory answered about it. Pure.

The name is the first ``cn``. Of an entry it is the value of ``group_attr``, taken as it stands: a group whose ``cn`` is
literally ``ou=x,cn=admins`` must not become ``admins``. Only attributes that hold DNs are parsed (vault.md 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.directory.account import DN_ATTRIBUTE, first_value, values
from gateway.directory.escape import DnError, Rdn, escape_dn_value, parse_dn
from gateway.identity import Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.messages import Entry

DN_VALUED: Final = frozenset({
    DN_ATTRIBUTE, "distinguishedname", "entrydn",
    "memberof", "ismemberof", "groupmembership", "nsrole", "nsroledn",
    "member", "uniquemember", "owner", "seealso",
})  # fmt: skip
"""Attributes that hold DNs, in lower case: those of group entries, and those of people that list their groups."""

_MEMBER_OF: Final = "memberof"
_CACHED_UP_TO: Final = 1024
"""Characters of a value that is worth keeping: what is kept of a directory's text must not grow without bounds."""


class GroupNames:
    """Names the groups of one server."""

    def __init__(self, server: Server) -> None:
        self._attribute = server.group_attr.lower()
        # Grafana takes the group's DN where the setting is empty or has its usual value (grafana.md 2.5).
        value_attribute = server.attributes.member_of.lower()
        self._value_attribute = "" if value_attribute == _MEMBER_OF else value_attribute
        self._member_of = server.attributes.member_of
        self._as_vault = server.preset == "vault"
        self._only_capitals = server.use_pre111_group_cn_behavior
        self._bases = tuple(server.group_search_base_dns)
        asked = {self._attribute, self._value_attribute} - {"", DN_ATTRIBUTE}
        self.requested = tuple(sorted(asked)) or ("1.1",)
        """Attributes that a search for groups asks for."""
        self.listing = self._attribute if self._attribute in DN_VALUED else ""
        """The attribute of found entries whose values are the DNs of groups, in lower case; empty: they are groups."""

    def of_member_of(self, found: Iterable[str]) -> list[Group]:
        """Groups of ``memberOf`` values: DNs, or plain names where the attribute holds such.

        A DN outside ``group_search_base_dns``, where that is set, gives no name, so that two groups of one ``cn`` in
        two branches do not become one right by accident (DECISIONS 9); its DN can still be compared.
        """
        source = self._member_of
        return [_group_of(value, self._bases, self._as_vault, self._only_capitals, source) for value in found]

    def of_listing(self, found: Iterable[str], source: str = "") -> list[Group]:
        """Groups of the values of ``listing``, with their ``Group.source``."""
        return [_group_of(value, (), self._as_vault, self._only_capitals, source) for value in found]

    def of_entry(self, entry: Entry, source: str = "") -> list[Group]:
        """The group of an entry, with its ``Group.source``; preset ``vault``: one for each value of ``group_attr``."""
        value = first_value(entry, self._value_attribute) if self._value_attribute else entry.dn
        if self.listing:
            names: Sequence[str] = ()
        elif self._as_vault:
            names = values(entry, self._attribute)
        else:
            names = [name] if (name := first_value(entry, self._attribute)) else ()
        if not names:
            names = [self.of_listing((entry.dn,))[0].name]
        return [Group(name, entry.dn, value, source) for name in names]


def _group_of(value: str, bases: tuple[str, ...], as_vault: bool, only_capitals: bool, source: str) -> Group:
    read = _cached_group if len(value) <= _CACHED_UP_TO else _read_group
    return read(value, bases, as_vault, only_capitals, source)


def _read_group(value: str, bases: tuple[str, ...], as_vault: bool, only_capitals: bool, source: str) -> Group:
    try:
        rdns = parse_dn(value)
    except DnError:
        return Group(value, "", value, source)
    if bases and not any(_is_below(_folded(rdns), _folded(parse_dn(base))) for base in bases):
        return Group("", value, value, source)
    return Group(_first_cn(rdns, only_capitals) or (value if as_vault else ""), value, value, source)


_cached_group = lru_cache(maxsize=8192)(_read_group)
"""Because the same few groups come with every login and parsing a DN costs more than the rest."""


def _first_cn(rdns: Iterable[Rdn], only_capitals: bool) -> str:
    """The first ``cn`` in any RDN, and anywhere in one of several values; empty where there is none."""
    pairs = (pair for rdn in rdns for pair in rdn)
    return next((text for kind, text in pairs if kind == "CN" or (kind.lower() == "cn" and not only_capitals)), "")


def _is_below(rdns: Sequence[Rdn], base: Sequence[Rdn]) -> bool:
    return not base or list(rdns[-len(base) :]) == list(base)


def _folded(rdns: Sequence[Rdn]) -> list[Rdn]:
    return [sorted((kind.lower(), fold_name(text)) for kind, text in rdn) for rdn in rdns]


def naming_context(dn: str) -> str:
    """The part of ``dn`` that names its directory: the ``dc`` at its end, else its last RDN.

    Raises ``DnError`` for what is no DN, or names nothing.
    """
    rdns = parse_dn(dn)
    if not rdns:
        raise DnError("an empty name")
    first = len(rdns)
    while first and len(rdns[first - 1]) == 1 and rdns[first - 1][0][0].lower() == "dc":
        first -= 1
    kept = rdns[first:] or rdns[-1:]
    return ",".join("+".join(f"{kind}={escape_dn_value(text)}" for kind, text in rdn) for rdn in kept)
