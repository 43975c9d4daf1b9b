"""Which mount of the Vault dialect is which server, and what its people get there (vault.md 6; configuration.md 1.6).

A mount is a configured server, the local users, or the realm: all that a login without a server is tried against.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gateway.config.schema.vault import REALM
from gateway.grants.policy_names import name_form
from gateway.identity import LOCAL, fold_name
from gateway.tokens.vault_children import policies as policy_list
from gateway.tokens.vault_ttl import Caps

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, Mount, Server, VaultUser

TOKEN: Final = "token"  # noqa: S105 - the name of a mount
"""The mount of the tokens themselves, which always exists."""
_NAMESPACE: Final = uuid.UUID("6f1b8b0e-2d1c-4f0e-9a55-0a2d6f4c7e31")


@dataclass(frozen=True)
class MountPoint:
    """One mount below ``auth/``."""

    path: str
    """Without slashes at its ends."""
    server: Server | None
    """None for local users and for the realm."""
    login_server: str
    """What ``Attempt.server`` says for its logins: a server's name, ``LOCAL``, or nothing for the realm."""
    settings: Mount
    place: tuple[str, ...]
    """Where ``settings`` stand in the configuration tree."""
    configuration: Configuration

    @property
    def accessor(self) -> str:
        """Names the mount for good: the same wherever and whenever the same is mounted at the path."""
        return f"auth_ldap_{hashlib.sha256(self._identity.encode()).hexdigest()[:8]}"

    @property
    def uuid(self) -> str:
        """As lasting as the accessor."""
        return str(uuid.uuid5(_NAMESPACE, self._identity))

    @property
    def _identity(self) -> str:
        return f"{fold_name(self.login_server)}\0{self.path}"

    @property
    def caps(self) -> Caps:
        """The lease times of its tokens."""
        return self._caps(self.settings)

    def settings_for(self, server: str) -> tuple[Mount, ...]:
        """What binds people of a server here: at a mount of the realm that of their own server, too."""
        if self.login_server:
            return (self.settings,)
        own = (one.vault for one in self.configuration.servers if one.name == server)
        return self.settings, next(own, self.configuration.vault.local)

    def caps_for(self, server: str) -> Caps:
        """The lease times of the tokens of people of a server."""
        caps = [self._caps(settings) for settings in self.settings_for(server)]
        return Caps(min(one.default_ttl for one in caps), min(one.max_ttl for one in caps))

    def _caps(self, own: Mount) -> Caps:
        system = self.configuration.vault
        default, longest = own.default_lease_ttl or system.default_lease_ttl, own.max_lease_ttl or system.max_lease_ttl
        return Caps(int(default), int(longest))

    def fold(self, name: str) -> str:
        """The form in which names of groups and users are kept and compared (vault.md 2)."""
        return name_form(name, case_sensitive=bool(self.server and self.server.case_sensitive_names))

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Policies by folded group name, those for every mount among them."""
        joined: dict[str, tuple[str, ...]] = {}
        for given in (self.settings.groups, self.configuration.vault.groups):
            for name, policies in given.items():
                key = self.fold(name)
                joined[key] = policy_list((*joined.get(key, ()), *policies), default=False)
        return joined

    @cached_property
    def users(self) -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Groups and policies by folded user name, those for every mount among them."""
        joined: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        for given in (self.settings.users, self.configuration.vault.users):
            for name, user in given.items():
                key = self.fold(name)
                joined[key] = self._with(joined.get(key, ((), ())), user)
        return joined

    def _with(
        self, known: tuple[tuple[str, ...], tuple[str, ...]], user: VaultUser
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        groups, policies = known
        return self.group_list((*groups, *user.groups)), policy_list((*policies, *user.policies), default=False)

    def group_list(self, names: Iterable[str]) -> tuple[str, ...]:
        """Folded, without empty ones, each once, in the order they come."""
        return tuple(dict.fromkeys(folded for name in names if (folded := self.fold(name))))


class Mounts:
    """Every mount of one configuration. Building it costs next to nothing: maps are folded when they are asked for."""

    def __init__(self, configuration: Configuration) -> None:
        servers = {fold_name(server.name): server for server in configuration.servers}
        named = {mount_path(path): target for path, target in configuration.vault.mounts.items()}
        targets = {fold_name(target) for target in named.values()}
        for own in (*servers, LOCAL):
            if own not in targets:
                named.setdefault(servers[own].name if own in servers else LOCAL, own)
        self.all: Mapping[str, MountPoint] = {
            path: _point(configuration, path, target, servers) for path, target in named.items()
        }
        """By path, without slashes at the ends."""

    @property
    def names(self) -> frozenset[str]:
        """All paths below ``auth/``, that of the tokens not among them."""
        return frozenset(self.all)

    def find(self, path: str) -> MountPoint | None:
        """The mount at a path, slashes at its ends or not."""
        return self.all.get(path.strip("/"))

    def by_accessor(self, accessor: str) -> MountPoint | None:
        """The mount with an accessor."""
        return next((mount for mount in self.all.values() if mount.accessor == accessor), None)

    def taken(self, path: str) -> str:
        """The mount that leaves no room at a path: it is there, above or below; empty where there is none.

        Capitals do not count, because names of servers are compared so.
        """
        wanted = f"{path.lower()}/"
        for name in (*self.all, TOKEN):
            known = f"{name.lower()}/"
            if wanted.startswith(known) or known.startswith(wanted):
                return name
        return ""


def mount_path(text: str) -> str:
    """A mount's path as it is kept."""
    return text.strip("/")


def _point(configuration: Configuration, path: str, target: str, servers: Mapping[str, Server]) -> MountPoint:
    folded = fold_name(target)
    if target == REALM:
        return MountPoint(path, None, "", configuration.vault.realm, ("vault", "realm"), configuration)
    if folded == LOCAL:
        return MountPoint(path, None, LOCAL, configuration.vault.local, ("vault", "local"), configuration)
    server = servers[folded]
    return MountPoint(path, server, server.name, server.vault, ("servers", folded, "vault"), configuration)
