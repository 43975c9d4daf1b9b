"""What Grafana is told of somebody's roles, and who is not sent on to it (grafana.md 2.6, 4, 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.identity import LOCAL, Identity

if TYPE_CHECKING:
    from gateway.config.schema import Configuration

NO_ROLE: Final = "None"
"""Grafana's word for a member of an organisation who may nothing there."""
_SERVER_ADMIN: Final = "GrafanaAdmin"


class Organisations:
    """Roles under one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._default = configuration.grafana.default_org
        self._told = not configuration.grafana.skip_org_role_sync
        mappings = {server.name: server.group_mappings for server in configuration.servers}
        mappings[LOCAL] = configuration.group_mappings
        self._mapped = frozenset(
            name for name, rows in mappings.items() if any(row.org_role or row.grafana_admin for row in rows)
        )

    def refuses(self, identity: Identity) -> bool:
        """Whether mappings give out roles on this person's server, and gave this person none.

        Grafana would give them the role of everybody who is new (grafana.md 5).
        """
        return self._told and self._is_mapped(identity) and not _has_any(identity)

    def header(self, identity: Identity) -> str:
        """The role in the default organisation, for a header that speaks of no other; empty: Grafana decides.

        Who has roles elsewhere alone, or could have had one here, is told to have none: with nothing said, Grafana
        would give them its ``auto_assign_org_role`` (grafana.md 4).
        """
        if not self._told:
            return ""
        decided = _has_any(identity) or self._is_mapped(identity)
        return identity.grant.org_roles.get(self._default, NO_ROLE if decided else "")

    def claims(self, identity: Identity) -> dict[str, str | list[str]]:
        """``role`` and ``orgs`` of a token.

        Grafana raises every role of ``orgs`` to ``role``, so this is left out unless it is the only one (grafana.md 5).
        """
        if not self._told:
            return {}
        roles = identity.grant.org_roles
        claims: dict[str, str | list[str]] = {}
        if identity.grant.grafana_admin:
            claims["role"] = _SERVER_ADMIN
        elif list(roles) == [self._default]:
            claims["role"] = roles[self._default]
        return {**claims, "orgs": [label(org, role) for org, role in sorted(roles.items())]}

    def _is_mapped(self, identity: Identity) -> bool:
        return identity.account.server in self._mapped


def label(org: int, role: str) -> str:
    """What claim ``orgs`` calls a role, and ``org_mapping`` of Grafana's settings translates."""
    return f"o{org}_{role}"


def _has_any(identity: Identity) -> bool:
    return bool(identity.grant.org_roles or identity.grant.grafana_admin)
