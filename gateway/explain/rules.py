"""Which lines of the configuration give an account what it is granted, and which nearly would. Pure.

Each line is tried alone by the very objects that a login asks with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.directory.escape import DnError, parse_dn
from gateway.grants.mapping import Mappings, Members, in_named_group, organisation_roles
from gateway.identity import LOCAL, Account, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, GroupMapping, Server

OriginOf = Callable[[str], str]
"""Where the value at a dotted path of the configuration is written."""

_ADMINISTRATOR: Final = "administrator of the gateway"
_CLEARML_ADMIN: Final = "ClearML role admin"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the configuration that applies to an account."""

    key: str
    """Dotted path, ``servers.corp.group_mappings.0``."""
    origin: str
    """``FILE:LINE:COLUMN``, a variable, ``default``."""
    matches: str
    """What it names, as it is written: a group, a user."""
    gives: str
    """Its effects, in words."""


def rules_for(configuration: Configuration, account: Account, origin_of: OriginOf) -> list[Rule]:
    """The lines that apply, in the order in which they count."""
    server = _server(configuration, account)
    found = [*_mapping_rules(configuration, account, origin_of), *_admin_rules(configuration, account, origin_of)]
    if server is not None:
        found += _clearml_rules(server, account, origin_of)
    for user in configuration.users if account.server == LOCAL else ():
        if user.clearml_role and fold_name(user.username) == fold_name(account.username):
            key = f"users.{fold_name(user.username)}.clearml_role"
            found.append(Rule(key, origin_of(key), user.username, f"ClearML role {user.clearml_role}"))
    return found


def near_misses(configuration: Configuration, account: Account, origin_of: OriginOf) -> list[str]:
    """One text for each mapping that seems to mean a group of the account's and does not match it: in another spelling,
    by its name alone, or in another branch of the directory.
    """
    server = _server(configuration, account)
    if server is None:
        return []
    texts = []
    for place, mapping in enumerate(server.group_mappings):
        if not _matches(mapping, server.group_comparison, account) and (told := _miss(server, mapping, account)):
            texts.append(f"{origin_of(f'{_mappings_key(account)}.{place}.group_dn')}: {told}")
    return texts


def _miss(server: Server, mapping: GroupMapping, account: Account) -> str:
    if server.group_comparison == "exact" and _matches(mapping, "dn", account):
        told = f"{mapping.group_dn} is a group of this person in another spelling"
        return f'{told}: write it as the directory does, or set group_comparison = "dn"'
    every = Mappings(server.group_mappings, server.group_comparison)
    name = fold_name(_first_cn(mapping.group_dn))
    for group in account.groups:
        if name and fold_name(group.name) == name and not every.matching([group]):
            return f"{mapping.group_dn} is no group of this person; their group {group.name} is called {group.value}"
    return ""


def _first_cn(text: str) -> str:
    """The ``cn`` that a DN begins with; a text that is no DN as it is."""
    try:
        first = parse_dn(text)[0] if "=" in text else []
    except (DnError, IndexError):
        return ""
    return next((value for kind, value in first if kind.lower() == "cn"), "" if first else text)


def mappings_of(configuration: Configuration, account: Account) -> Sequence[GroupMapping]:
    """The mappings that an account is held against."""
    server = _server(configuration, account)
    return configuration.group_mappings if server is None else server.group_mappings


def _server(configuration: Configuration, account: Account) -> Server | None:
    return next((server for server in configuration.servers if server.name == account.server), None)


def _mappings_key(account: Account) -> str:
    return "group_mappings" if account.server == LOCAL else f"servers.{fold_name(account.server)}.group_mappings"


def _matches(mapping: GroupMapping, comparison: str, account: Account) -> bool:
    return bool(Mappings([mapping], comparison).matching(account.groups))


def _mapping_rules(configuration: Configuration, account: Account, origin_of: OriginOf) -> Iterator[Rule]:
    server = _server(configuration, account)
    comparison = server.group_comparison if server else "exact"
    earlier: list[GroupMapping] = []
    for place, mapping in enumerate(mappings_of(configuration, account)):
        if _matches(mapping, comparison, account):
            key = f"{_mappings_key(account)}.{place}"
            overruled = mapping.org_id in organisation_roles(earlier)[0]
            yield Rule(key, origin_of(f"{key}.group_dn"), mapping.group_dn, _effects(mapping, overruled=overruled))
            earlier.append(mapping)


def _effects(mapping: GroupMapping, *, overruled: bool) -> str:
    """``overruled``: an earlier match has given the role in the organisation (grafana.md 2.6)."""
    found = []
    grafana = [f"role {mapping.org_role}"] if mapping.org_role else []
    if mapping.grafana_admin is not None:
        grafana.append("server administrator" if mapping.grafana_admin else "no server administrator")
    if grafana:
        ignored = " (without effect: an earlier match rules this organisation)" if overruled else ""
        found.append(f"Grafana organisation {mapping.org_id}: {', '.join(grafana)}{ignored}")
    if mapping.policies:
        found.append(f"policies {', '.join(mapping.policies)}")
    if mapping.clearml_role:
        found.append(f"ClearML role {mapping.clearml_role}")
    if mapping.admin:
        found.append(_ADMINISTRATOR)
    return "; ".join(found)


def _admin_rules(configuration: Configuration, account: Account, origin_of: OriginOf) -> Iterator[Rule]:
    servers = (LOCAL, *(server.name for server in configuration.servers))
    for entry in configuration.admins:
        if Members([entry], servers).hold(account):
            yield Rule("admins", origin_of("admins"), entry, f"{_ADMINISTRATOR}; {_CLEARML_ADMIN}")


def _clearml_rules(server: Server, account: Account, origin_of: OriginOf) -> Iterator[Rule]:
    key = f"servers.{fold_name(server.name)}.clearml"
    for name in server.clearml.admin_users:
        if fold_name(name) == fold_name(account.username):
            yield Rule(f"{key}.admin_users", origin_of(f"{key}.admin_users"), name, _CLEARML_ADMIN)
    for name in server.clearml.groups.admins:
        if in_named_group(account.groups, [name], server.clearml.groups):
            yield Rule(f"{key}.groups.admins", origin_of(f"{key}.groups.admins"), name, _CLEARML_ADMIN)
