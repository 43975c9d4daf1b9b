"""The tour of who moves from Grafana's own LDAP login to the gateway: the ``ldap.toml`` as it is, roles by header and
by signed token, and Grafana's LDAP diagnostics."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet

from demo.steps import Tour
from tests.daemon import Answer
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD

PORTAL = "https://auth.example.com"
GROUPS = f"ou=groups,{BASE_DN}"
LDAP_TOML = """
[[servers]]
host = "{host}"
port = {port}
bind_dn = "{bind_dn}"
bind_password = "$__env{{LDAP_PASSWORD}}"
search_filter = "(uid=%s)"
search_base_dns = ["ou=people,{base}"]

[servers.attributes]
username = "uid"
name = "givenName"
surname = "sn"
email = "mail"
member_of = "memberOf"

[[servers.group_mappings]]
group_dn = "cn=admins,{groups}"
org_role = "Admin"
grafana_admin = true

[[servers.group_mappings]]
group_dn = "cn=developers,{groups}"
org_role = "Editor"
org_id = 2

[[servers.group_mappings]]
group_dn = "*"
org_role = "Viewer"
"""
SETTINGS = {
    "LDAP_PASSWORD": SERVICE_PASSWORD,
    "CLEARML__public_url": PORTAL,
    "CLEARML__session__cookies": json.dumps([{"domain": "example.com", "portal_url": PORTAL}]),
    "CLEARML__admins": json.dumps([f"group:cn=admins,{GROUPS}"]),
    "CLEARML__access_control__rules": json.dumps([
        {"name": "one", "domain": "one.example.com", "policy": "authenticated", "headers": "grafana-proxy"},
        {"name": "all", "domain": "grafana.example.com", "policy": "authenticated", "headers": "grafana-jwt"},
    ]),
}  # fmt: skip
GRACE, ALAN = ("grace", "cobol-1959"), ("alan", "enigma")


def write_ldap_toml(file: Path, host: str, port: int) -> None:
    """What Grafana has read so far."""
    file.write_text(LDAP_TOML.format(host=host, port=port, bind_dn=SERVICE_DN, base=BASE_DN, groups=GROUPS))


class GrafanaTour(Tour):
    """Two people, two organisations."""

    def ask(self, host: str, person: tuple[str, str]) -> Answer:
        """The proxy in front of a Grafana asks who calls."""
        basic = base64.b64encode(":".join(person).encode()).decode()
        asked = {"X-Original-URL": f"https://{host}/", "X-Original-Method": "GET", "X-Forwarded-For": "192.0.2.1"}
        return self.daemon.call("/api/authz/auth-request", headers={**asked, "Authorization": f"Basic {basic}"})

    def headers(self, person: tuple[str, str]) -> list[str | None]:
        """Login, name and role of the first organisation, as Grafana's ``[auth.proxy]`` reads them."""
        answer = self.ask("one.example.com", person)
        return [answer.headers.get(f"X-WEBAUTH-{name}") for name in ("USER", "NAME", "ROLE")]

    def claims(self, person: tuple[str, str]) -> dict[str, Any]:
        """What the token says, checked against the published keys as Grafana's ``[auth.jwt]`` does it."""
        token = self.ask("grafana.example.com", person).headers.get("X-JWT-Assertion") or ""
        keys = KeySet.import_key_set(self.daemon.call("/.well-known/jwks.json").json)
        claims = jwt.decode(token, keys, algorithms=["ES256"]).claims
        expected = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": PORTAL}, aud={"essential": True, "value": "grafana"}
        )
        expected.validate(claims)
        return {name: claims.get(name) for name in ("login", "role", "orgs")}

    def diagnosed(self, path: str, method: str = "GET") -> Any:
        """What Grafana's LDAP diagnostics say to an administrator."""
        body = "" if method == "POST" else None
        return self.daemon.call(f"/api/admin/ldap/{path}", method=method, basic=GRACE, body=body).json

    def walk(self) -> None:
        """Two people, two organisations."""
        self.step("grace by headers, one organisation", self.headers(GRACE), ["grace", "Grace Hopper", "Admin"])
        self.step("alan by headers", self.headers(ALAN), ["alan", "Alan Turing", "Viewer"])
        grace = {"login": "grace", "role": "GrafanaAdmin", "orgs": ["o1_Admin"]}
        self.step("grace by token, a server administrator", self.claims(GRACE), grace)
        alan = {"login": "alan", "role": None, "orgs": ["o1_Viewer", "o2_Editor"]}
        self.step("alan by token, two organisations", self.claims(ALAN), alan)
        self.step("GET /api/admin/ldap/status", [one["available"] for one in self.diagnosed("status")], [True])
        roles = [(role["orgId"], role["orgRole"]) for role in self.diagnosed("alan")["roles"]]
        self.step("GET /api/admin/ldap/alan", roles, [(2, "Editor"), (1, "Viewer")])
        synced = self.diagnosed("sync/alan", "POST")
        self.step("POST /api/admin/ldap/sync/alan", synced["message"], "User synced successfully")
        reloaded = self.diagnosed("reload", "POST")
        self.step("POST /api/admin/ldap/reload", reloaded["message"], "LDAP config reloaded")
