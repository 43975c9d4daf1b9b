"""From an account to its grant: group mappings, administrators, ClearML roles, and who is refused.

The rules of Grafana's mappings are those of grafana.md 2.6, what the other effects add is DECISIONS 6, who is an
administrator of the gateway DECISIONS 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.directory.escape import DnError, comparable_dn, parse_dn
from gateway.grants.policy_names import PolicyNames
from gateway.identity import LOCAL, Account, Grant, Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, GroupMapping, Server, ServerGroups

ROLES: Final = ("guest", "annotator", "user", "superuser", "admin")
"""ClearML roles a person may hold, lowest first (clearml.md 5); ``system`` and ``root`` are for services."""

SERVICE_ROLES: Final = ("system", "root")
ADMIN_ROLES: Final = (*SERVICE_ROLES, "admin")
"""Roles that may act for others, inside the reach of their grant (clearml.md 2, 5)."""

BUILT_IN_GROUPS: Final = ("users", "admins", "queue_admins")
"""Groups that every ClearML company has (clearml.md 7.1)."""

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Refused(Exception):
    """The password was right, but the configuration does not let this person in. The text is for the operator."""


class Grants:
    """Everything in one configuration that turns accounts into grants, looked up instead of searched."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._servers = {server.name: server for server in configuration.servers}
        self._mappings = {
            server.name: Mappings(server.group_mappings, server.group_comparison) for server in configuration.servers
        }
        self._mappings[LOCAL] = Mappings(configuration.group_mappings, "exact")
        vault = configuration.vault
        self._policies = {LOCAL: PolicyNames(vault, vault.realm, vault.local)}
        for server in configuration.servers:
            written = (vault, vault.realm, server.vault) if server.realm else (vault, server.vault)
            self._policies[server.name] = PolicyNames(*written, case_sensitive=server.case_sensitive_names)
        self._local_roles = {fold_name(user.username): user.clearml_role for user in configuration.users}
        self._clearml_admins = {
            server.name: frozenset(map(fold_name, server.clearml.admin_users)) for server in configuration.servers
        }
        self._admins = Members(configuration.admins, (LOCAL, *self._servers))

    def grant(self, account: Account, invited_role: str | None = None) -> Grant:
        """Make the grant of an account; ``invited_role`` is the role of its whitelist entry.

        Raises Refused where a mapping is required and none matched, where membership of a group is required, for names
        that belong to somebody else, and for accounts of servers that the configuration does not hold.
        """
        server = self._servers.get(account.server)
        if server is None and account.server != LOCAL:
            raise Refused(f"server {account.server} is no longer configured")
        self._require_own_name(account)
        matching = self._mappings[account.server].matching(account.groups)
        org_roles, grafana_admin = self._grafana(matching)
        if server is not None:
            self._require(server, account)
        admin = self._admins.hold(account) or any(mapping.admin for mapping in matching)
        clearml = self._configuration.clearml
        return Grant(
            company=(server and server.clearml.default_company) or clearml.company,
            company_name=clearml.company_name,
            clearml_role=self._clearml_role(account, server, matching, invited_role, admin=admin),
            org_roles=org_roles,
            grafana_admin=grafana_admin,
            policies=self.policies(account, account.username),
            admin=admin,
        )

    def policies(self, account: Account, name: str) -> tuple[str, ...]:
        """The policies of an account that goes by this name.

        At a mount of the Vault dialect that is what was typed, as at a Vault (vault.md 4, 6): people may be able to
        write the attribute that their name is read from.
        """
        mappings = self._mappings[account.server].matching(account.groups)
        mapped = [policy for mapping in mappings for policy in mapping.policies]
        return tuple(dict.fromkeys((*mapped, *self._policies[account.server].of(name, account.groups))))

    def _require_own_name(self, account: Account) -> None:
        """By whatever spelling somebody was found: to programs that see the name alone, two would be one person."""
        if account.server == LOCAL:
            return
        if fold_name(account.username) in self._local_roles:
            raise Refused(f"a local user is called {account.username}: rename one of the two")
        owner, _ = _split_server(account.clearml_name, tuple(self._servers))
        if owner.lower() not in ("", account.server.lower()):
            raise Refused(f"{account.clearml_name} reads like a name of server {owner}")

    def _grafana(self, matching: Sequence[GroupMapping]) -> tuple[dict[int, str], bool | None]:
        return ({}, None) if self._configuration.grafana.skip_org_role_sync else organisation_roles(matching)

    def unmapped(self, account: Account) -> str:
        """Why the mappings of its server do not let an account in, though a later server may (grafana.md 2.7); empty
        where they do."""
        server = self._servers.get(account.server)
        if server is None or not server.require_mapping or not server.group_mappings:
            return ""
        matching = self._mappings[account.server].matching(account.groups)
        if self._configuration.grafana.skip_org_role_sync or any(map(has_effect, matching)):
            return ""
        return "no group mapping matched, and the server requires one (require_mapping)"

    def _require(self, server: Server, account: Account) -> None:
        if reason := self.unmapped(account):
            raise Refused(reason)
        groups = server.clearml.groups
        if groups.prohibit_user_login_if_not_in_group and not self._in_known_group(groups, account):
            raise Refused("in none of the groups known to the gateway (prohibit_user_login_if_not_in_group)")

    def _in_known_group(self, settings: ServerGroups, account: Account) -> bool:
        known = (*BUILT_IN_GROUPS, *self._configuration.vaults.groups, *settings.admins)
        return in_named_group(account.groups, known, settings)

    def _clearml_role(
        self,
        account: Account,
        server: Server | None,
        matching: Sequence[GroupMapping],
        invited_role: str | None,
        *,
        admin: bool,
    ) -> str:
        if admin:
            return "admin"
        roles: list[str | None] = [mapping.clearml_role for mapping in matching]
        roles.append(invited_role)
        if server is None:
            roles.append(self._local_roles.get(fold_name(account.username)))
        else:
            groups = server.clearml.groups
            named = fold_name(account.username) in self._clearml_admins[server.name]
            if named or in_named_group(account.groups, groups.admins, groups):
                roles.append("admin")
        return max(filter(None, roles), key=ROLES.index, default="user")


class Mappings:
    """The group mappings of one server, found by group instead of tried one after the other."""

    def __init__(self, mappings: Sequence[GroupMapping], comparison: str) -> None:
        self._mappings = mappings
        self._by_dn = comparison == "dn"
        self._index: dict[str, list[int]] = {}
        self._patterns: list[tuple[_Pattern, int]] = []
        for place, mapping in enumerate(mappings):
            key = "*" if mapping.group_dn == "*" else self._key(mapping.group_dn)
            if comparison == "pattern" and "*" in key and key != "*":
                self._patterns.append((_Pattern(key), place))
            else:
                self._index.setdefault(key, []).append(place)

    def matching(self, groups: Iterable[Group]) -> list[GroupMapping]:
        """The mappings that match, in the order of the configuration."""
        keys = {"*", *(self._key(group.value) for group in groups if group.value != "*")}
        places = {place for key in keys for place in self._index.get(key, ())}
        places.update(place for pattern, place in self._patterns if any(map(pattern.fits, keys - {"*"})))
        return [self._mappings[place] for place in sorted(places)]

    def _key(self, value: str) -> str:
        """Whole strings, ASCII case ignored; with ``group_comparison = "dn"`` the normalised DN where it is one."""
        return comparable_dn(value) if self._by_dn else value.translate(_ASCII_LOWER)


class _Pattern:
    """A ``group_dn`` in which ``*`` stands for any characters but a comma.

    So whoever may make groups in one branch of the directory makes none that fits a pattern for another.
    """

    def __init__(self, text: str) -> None:
        self._parts = [part.split("*") for part in text.split(",")]

    def fits(self, text: str) -> bool:
        """Say whether a whole text fits; in time that is linear in it for each ``*``."""
        parts = text.split(",")
        return len(parts) == len(self._parts) and all(map(_fits, self._parts, parts))


def _fits(pieces: Sequence[str], text: str) -> bool:
    """Whether the pieces stand in the text in this order, the first at its beginning and the last at its end."""
    first, *middle = pieces
    if not middle:
        return text == first
    last = middle.pop()
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in middle:
        if (found := text.find(piece, at, end)) < 0:
            return False
        at = found + len(piece)
    return True


def has_effect(mapping: GroupMapping) -> bool:
    """Say whether a mapping gives anything; ``grafana_admin = false`` alone takes a flag away and gives nothing."""
    return bool(
        mapping.org_role or mapping.grafana_admin or mapping.policies or mapping.clearml_role or mapping.admin
    )


def organisation_roles(matching: Iterable[GroupMapping]) -> tuple[dict[int, str], bool]:
    """Grafana's rule: the first match of each organisation rules its role, and whether it may make an administrator."""
    roles: dict[int, str] = {}
    admin = False
    for mapping in matching:
        if mapping.org_id in roles:
            continue
        if mapping.org_role:
            roles[mapping.org_id] = mapping.org_role
        admin = admin or mapping.grafana_admin is True
    return roles, admin


def in_named_group(groups: Iterable[Group], names: Iterable[str], settings: ServerGroups) -> bool:
    """Say whether one of the groups is named, as ClearML compares them."""
    wanted = {clearml_name(name, settings) for name in names}
    return bool(wanted) and not wanted.isdisjoint(clearml_names(groups, settings))


def clearml_names(groups: Iterable[Group], settings: ServerGroups) -> set[str]:
    """What ClearML compares of the groups: the first ``cn`` or, unparsed, the full DN."""
    unparsed = settings.name_parsing == "none"
    held = (group.value if unparsed else group.name for group in groups)
    return {clearml_name(name, settings) for name in held if name}


def clearml_name(name: str, settings: ServerGroups) -> str:
    """One name in the form in which ClearML compares it."""
    return name if settings.case_sensitive else fold_name(name)


class Members:
    """People and groups by name, as ``admins`` lists them and groups of vaults have them (DECISIONS 8)."""

    def __init__(self, entries: Iterable[str], servers: Sequence[str]) -> None:
        self._users: set[tuple[str, str]] = set()
        self._groups: set[tuple[str, str]] = set()
        self._group_dns: set[tuple[str, str]] = set()
        for entry in entries:
            kind, _, name = entry.partition(":")
            server, own_name = _split_server(name, servers)
            if kind == "user":
                self._users.add((server or LOCAL, fold_name(own_name)))
            elif _is_dn(own_name):
                # Never a name as well: somebody may create a group elsewhere whose name reads like this DN.
                self._group_dns.add((server, comparable_dn(own_name)))
            else:
                self._groups.add((server, fold_name(own_name)))

    def hold(self, account: Account) -> bool:
        """Say whether the account is one of them, by itself or by a group."""
        if (account.server, fold_name(account.username)) in self._users:
            return True
        if not self._groups and not self._group_dns:
            return False
        return any(self._holds_group(account.server, group) for group in account.groups)

    def _holds_group(self, server: str, group: Group) -> bool:
        name = fold_name(group.name)
        if name and not self._groups.isdisjoint((("", name), (server, name))):
            return True
        if not self._group_dns or not group.dn:
            return False
        dn = comparable_dn(group.dn)
        return not self._group_dns.isdisjoint((("", dn), (server, dn)))


def _is_dn(text: str) -> bool:
    try:
        return bool(parse_dn(text))
    except DnError:
        return False


def _split_server(name: str, servers: Sequence[str]) -> tuple[str, str]:
    """Cut a leading ``SERVER/``; a server's name may hold slashes, so the longest configured one wins."""
    fitting = [server for server in servers if name.lower().startswith(server.lower() + "/")]
    server = max(fitting, key=len, default="")
    return server, name[len(server) + 1 :] if server else name
