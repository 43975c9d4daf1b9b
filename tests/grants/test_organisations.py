"""Which roles Grafana is told (grafana.md 2.6, 4, 5): in a header for one organisation, in a token for all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.grants.organisations import Organisations
from gateway.identity import Account, Grant, Identity

MAPPED = {"group_dn": "dev", "org_role": "Viewer"}
ADMINS_ALONE = {"group_dn": "ops", "grafana_admin": True}
POLICIES_ALONE = {"group_dn": "dev", "policies": ["p"]}


@dataclass
class Row:
    proves: str
    header: str
    claims: dict[str, Any]
    refused: bool = False
    roles: dict[int, str] = field(default_factory=dict)
    admin: bool | None = False
    mappings: tuple[dict[str, Any], ...] = (MAPPED,)
    grafana: dict[str, Any] = field(default_factory=dict)


ROWS = [
    Row("5: the sole role, in the default organisation", "Editor", {"role": "Editor", "orgs": ["o1_Editor"]}, roles={1: "Editor"}),
    Row("5: anything else omits it", "Editor", {"orgs": ["o1_Editor", "o2_Viewer"]}, roles={2: "Viewer", 1: "Editor"}),
    Row("4: None where there are roles elsewhere", "None", {"orgs": ["o2_Admin"]}, roles={2: "Admin"}),
    Row("2.6: role None is a role", "None", {"role": "None", "orgs": ["o1_None"]}, roles={1: "None"}),
    Row("5: an administrator", "Viewer", {"role": "GrafanaAdmin", "orgs": ["o1_Viewer"]}, roles={1: "Viewer"}, admin=True),
    Row("5: an administrator of nothing else", "None", {"role": "GrafanaAdmin", "orgs": []}, admin=True),
    Row("4, 5: mappings and none matched", "None", {"orgs": []}, refused=True),
    Row("the same where there are administrators alone", "None", {"orgs": []}, refused=True, mappings=(ADMINS_ALONE,)),
    Row("4: Grafana decides where nothing is mapped", "", {"orgs": []}, mappings=()),
    Row("rows without a role map nothing", "", {"orgs": []}, mappings=(POLICIES_ALONE,)),
    Row("grafana.default_org", "Admin", {"role": "Admin", "orgs": ["o7_Admin"]}, roles={7: "Admin"}, grafana={"default_org": 7}),
    Row("and not 1", "None", {"orgs": ["o1_Admin"]}, roles={1: "Admin"}, grafana={"default_org": 7}),
    Row("by number, not by letter", "None", {"orgs": ["o2_Viewer", "o10_Admin"]}, roles={10: "Admin", 2: "Viewer"}),
    Row("2.6: skip_org_role_sync", "", {}, roles={1: "Admin"}, admin=True, grafana={"skip_org_role_sync": True}),
    Row("and nobody is refused", "", {}, admin=None, grafana={"skip_org_role_sync": True}),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.proves for row in ROWS])
@pytest.mark.parametrize("server", ["corp", "local"])
def test_roles(row: Row, server: str) -> None:
    servers = [{"name": "corp", "host": "h", "search_base_dns": ["dc=x"]}, {"name": "other", "host": "h", "search_base_dns": ["dc=x"], "group_mappings": [MAPPED]}]
    tree: dict[str, Any] = {"servers": servers, "grafana": row.grafana}
    (servers[0] if server == "corp" else tree)["group_mappings"] = row.mappings
    organisations = Organisations(Configuration.model_validate(tree))
    grant = Grant("c", "clearml", org_roles=row.roles, grafana_admin=row.admin)
    identity = Identity("0" * 32, "u", Account(server, "x", "ada"), grant, 0)
    assert organisations.header(identity) == row.header
    assert organisations.claims(identity) == row.claims
    assert organisations.refuses(identity) is row.refused
    stranger = replace(identity, account=Account("", "x", "robot"), grant=Grant("c", "clearml"))
    assert not organisations.refuses(stranger), "service credentials have no mappings"
