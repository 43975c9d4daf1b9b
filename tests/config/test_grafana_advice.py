"""Traps of the delivery to Grafana are told at the start (grafana.md 4, 5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.config.config_lookup import load_text

VIEWER = {"group_dn": "dev", "org_role": "Viewer"}
ADMIN = {"group_dn": "ops", "org_role": "Admin", "grafana_admin": True}
ELSEWHERE = {"group_dn": "ops", "org_role": "Editor", "org_id": 2}
JWT, PROXY, REMOTE = "grafana-jwt", "grafana-proxy", "remote"
LOWERED = "Grafana makes its administrators Admin wherever they have a role: {} gives them {} in organisation {}, and a token cannot say so"
OTHER = "a header speaks of organisation 1 alone (grafana.default_org), and Grafana takes people out of every other: headers = grafana-jwt tells both"
FLAG = "no header can say so to Grafana: headers = grafana-jwt tells both"
CLEAR = "is not https, and Grafana fetches /.well-known/jwks.json over nothing else: it refuses every token"

# preset of the rule, mappings, other settings, warnings by the mapping and its key
ROWS: list[tuple[str, list[dict[str, Any]], dict[str, Any], dict[str, str]]] = [
    (JWT, [ADMIN, VIEWER], {}, {}),  # 2.6: the first match of the organisation gives Admin
    (JWT, [ADMIN, ELSEWHERE], {}, {"0.grafana_admin": LOWERED.format("ops", "Editor", 2)}),
    (JWT, [{"group_dn": "ops", "org_role": "Viewer", "grafana_admin": True}], {}, {"0.grafana_admin": LOWERED.format("ops", "Viewer", 1)}),
    (JWT, [VIEWER, {"group_dn": "x", "org_id": 3, "grafana_admin": True}], {}, {"1.grafana_admin": LOWERED.format("dev", "Viewer", 1)}),
    (PROXY, [VIEWER], {}, {}),
    (PROXY, [VIEWER, ELSEWHERE], {}, {"1.org_id": OTHER}),
    (PROXY, [ADMIN], {}, {"0.grafana_admin": FLAG}),
    (REMOTE, [ADMIN, ELSEWHERE], {}, {}),
    (PROXY, [ADMIN, ELSEWHERE], {"grafana": {"skip_org_role_sync": True}}, {}),
    (PROXY, [{**VIEWER, "org_id": 7}], {"grafana": {"default_org": 7}}, {}),
    ("own", [ELSEWHERE], {"identity_headers": {"presets": {"own": {"X-Role": "role"}}}}, {"0.org_id": OTHER}),
    (JWT, [VIEWER], {"public_url": "http://auth.example.com"}, {"public_url": CLEAR}),
    (PROXY, [VIEWER], {"public_url": "http://auth.example.com"}, {}),
]


@pytest.mark.parametrize("place", ["group_mappings", "servers.corp.group_mappings"])
@pytest.mark.parametrize("row", ROWS, ids=[str(number) for number in range(len(ROWS))])
def test_what_is_told(tmp_path: Path, row: tuple[str, list[dict[str, Any]], dict[str, Any], dict[str, str]], place: str) -> None:
    preset, mappings, settings, expected = row
    server: dict[str, Any] = {"name": "corp", "host": "localhost", "search_base_dns": ["dc=x"], "attributes": {"member_of": "x"}}
    tree: dict[str, Any] = {
        "public_url": "https://auth.example.com", "servers": [server],
        "users": [{"username": "ada", "password_hash": "$2b$04$" + "x" * 53}],
        "access_control": {"rules": [{"name": "g", "domain": "auth.example.com", "policy": "authenticated", "headers": preset}]},
        **settings,
    }  # fmt: skip
    (tree if place == "group_mappings" else server)["group_mappings"] = mappings
    warnings = load_text(tmp_path, json.dumps(tree), "gateway.yaml").warnings
    assert {warning.path.removeprefix(f"{place}."): warning.message for warning in warnings} == expected
    assert all(warning.origin.line for warning in warnings)
