"""The JSON forms of Grafana's LDAP diagnostics (grafana.md 3). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gateway.config.advice import NO_HOST
from gateway.directory.account import first_value
from gateway.grants.mapping import Mappings, organisation_roles

if TYPE_CHECKING:
    from gateway.config.schema import GroupMapping, Server
    from gateway.directory.messages import Entry
    from gateway.identity import Account


def server_view(server: Server, problem: str) -> dict[str, Any]:
    """One block of the file, and whether anybody takes a connection there. Hosts as they are written."""
    (first, port, _), *others = server.endpoints
    host = server.host or " ".join([first, *(host for host, _, _ in others)])
    return {"host": "" if host == NO_HOST else host, "port": port, "available": not problem, "error": problem}


def person_view(
    server: Server, entry: Entry, account: Account, *, disabled: bool, told: bool = True
) -> dict[str, Any]:
    """What the directory says of a person, and what Grafana is told of it; no roles unless ``told``."""
    names = server.attributes
    mappings = server.group_mappings if told else ()
    matching = Mappings(mappings, server.group_comparison).matching(account.groups)
    return {
        "name": _attribute(names.name, first_value(entry, names.name.lower())),
        "surname": _attribute(names.surname, first_value(entry, names.surname.lower())),
        "email": _attribute(names.email, account.email),
        "login": _attribute(names.username, account.username),
        "isGrafanaAdmin": organisation_roles(matching)[1],
        "isDisabled": disabled,
        "roles": list(_roles(server, account, matching)),
        "teams": None,
    }


def _attribute(configured: str, value: str) -> dict[str, str]:
    return {"cfgAttrValue": configured, "ldapValue": value}


def _roles(server: Server, account: Account, matching: list[GroupMapping]) -> Iterator[dict[str, Any]]:
    """The mappings that count, then, in lower case and each once, the groups that none of them names."""
    counting = list(_counting(matching))
    for mapping in counting:
        yield _role(mapping.org_id, mapping.org_role, mapping.group_dn)
    named = Mappings([mapping for mapping in counting if mapping.group_dn != "*"], server.group_comparison)
    for value in dict.fromkeys(group.value.lower() for group in account.groups if not named.matching([group])):
        yield _role(0, "", value)


def _counting(matching: list[GroupMapping]) -> Iterator[GroupMapping]:
    """Of each organisation up to the first one with a role (grafana.md 2.6)."""
    ruled: set[int] = set()
    for mapping in matching:
        if mapping.org_id not in ruled and (mapping.org_role or mapping.grafana_admin is not None):
            yield mapping
            ruled.update({mapping.org_id} if mapping.org_role else ())


def _role(org_id: int, role: str, group: str) -> dict[str, Any]:
    """The name of an organisation is Grafana's alone."""
    return {"orgId": org_id, "orgName": "", "orgRole": role, "groupDN": group}
