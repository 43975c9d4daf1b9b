"""The groups that vaults belong to, and who is in them (clearml.md 1.3, 7.1).

Three kinds: built-in ones, those of ``vaults.groups``, and those made through an API, whose members are stored. The
members of the first two are found by what the directory said last of each person, at login or renewal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.grants.mapping import ADMIN_ROLES, BUILT_IN_GROUPS, Members, clearml_name, clearml_names
from gateway.identity import LOCAL, Identity, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, VaultGroup
    from gateway.store.interface import GroupRow

USERS: Final = "users"
"""The group of everyone."""
USERS_ID: Final = "30795571-a470-4717-a80d-e8705fc776bf"
ADMINS: Final = "admins"


@dataclass(frozen=True, slots=True)
class VaultsGroup:
    """A group as the configuration, or ClearML itself, has it."""

    id: str
    name: str
    system: bool
    """Whether it is built in."""
    members: Members | None = None
    """Who is in it by the configuration."""


class Groups:
    """The groups of one configuration, and membership in them and in stored ones."""

    def __init__(self, configuration: Configuration) -> None:
        servers = (LOCAL, *(server.name for server in configuration.servers))
        declared = {fold_name(name): (name, group) for name, group in configuration.vaults.groups.items()}
        built_in = [(name, declared.pop(name, (name, None))[1]) for name in BUILT_IN_GROUPS]
        self.fixed = tuple(_fixed(name, group, servers) for name, group in (*built_in, *declared.values()))
        """Built-in groups, then declared ones."""
        self._company = configuration.clearml.company
        self._companies = {s.name: s.clearml.default_company or self._company for s in configuration.servers}
        self._synced = {s.name: s.clearml.groups for s in configuration.servers if s.clearml.groups.enabled}

    def of(self, identity: Identity, made: Sequence[GroupRow]) -> frozenset[str]:
        """Ids of the groups that somebody is in, ``made`` being those made through an API in any company."""
        made = [group for group in made if group.company == identity.grant.company]
        found = {group.id for group in self.fixed if _belongs(identity, group)}
        found.update(group.id for group in made if identity.id in group.members)
        settings = self._synced.get(identity.account.server)
        if settings is not None:
            held = clearml_names(identity.account.groups, settings)
            names = self.names(made).items()
            found.update(group_id for group_id, name in names if clearml_name(name, settings) in held)
        return frozenset(found)

    @property
    def companies(self) -> tuple[str, ...]:
        """Ids of the companies that somebody may be of."""
        return tuple(dict.fromkeys((self._company, *self._companies.values())))

    def company_of(self, server: str) -> str:
        """The company of the people of a server; local users and services are of the first one."""
        return self._companies.get(server, self._company)

    def named(self, name_or_id: str) -> VaultsGroup | None:
        """The built-in or declared group of this name (folded) or id."""
        folded = fold_name(name_or_id)
        return next((g for g in self.fixed if g.id == name_or_id or fold_name(g.name) == folded), None)

    def names(self, made: Iterable[GroupRow]) -> dict[str, str]:
        """Name of every group by its id."""
        return {**{group.id: group.name for group in self.fixed}, **{group.id: group.name for group in made}}


def is_administrator(identity: Identity) -> bool:
    """Whether the role lets somebody manage the vaults of all (clearml.md 7.1)."""
    return identity.grant.clearml_role in ADMIN_ROLES


def _fixed(name: str, declared: VaultGroup | None, servers: Sequence[str]) -> VaultsGroup:
    group_id, members = "", None
    if declared is not None:
        group_id = declared.id
        entries = [f"user:{user}" for user in declared.users]
        entries += [f"group:{group}" for group in (declared.group, declared.group_dn) if group]
        members = Members(entries, servers)
    if not group_id:
        group_id = USERS_ID if name == USERS else _id_of(name)
    return VaultsGroup(group_id, name, name in BUILT_IN_GROUPS, members)


def _id_of(name: str) -> str:
    return hashlib.sha256(f"vault group {fold_name(name)}".encode()).hexdigest()[:32]


def _belongs(identity: Identity, group: VaultsGroup) -> bool:
    if group.system and (group.name == USERS or (group.name == ADMINS and is_administrator(identity))):
        return True
    return group.members is not None and group.members.hold(identity.account)
