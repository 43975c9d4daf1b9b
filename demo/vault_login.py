"""The tour through the Vault dialect, with the requests that the ``vault`` command line sends: a mount enabled,
configured and mapped, people logged in, tokens looked up, renewed and revoked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo.steps import Tour
from tests.daemon import Answer
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD

ROOT = "root-token-of-the-demo"
ENVIRONMENT = {"CLEARML__vault__root_token": ROOT}
OPERATE = 'path "auth/ldap/groups/*" { capabilities = ["read", "list"] }'
POLICIES = ["default", "operate"]
DENIED = ["permission denied"]


@dataclass
class VaultTour(Tour):
    """As the ``vault`` command line asks."""

    url: str
    """Of the directory."""

    def send(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request as the command line makes it."""
        headers = {"X-Vault-Request": "true", **({"X-Vault-Token": token} if token else {})}
        text = None if body is None else json.dumps(body)
        return self.daemon.call(f"/v1/{path}", method=method, headers=headers, body=text)

    def walk(self) -> None:
        """From nothing to a token, and to its end."""
        self.made()
        self.used()

    def made(self) -> None:
        """What an administrator does once."""
        fields = {
            "url": self.url, "binddn": SERVICE_DN, "bindpass": SERVICE_PASSWORD, "userattr": "uid",
            "userdn": f"ou=people,{BASE_DN}", "groupdn": f"ou=groups,{BASE_DN}",
        }  # fmt: skip
        for command, method, path, body in (
            ("vault auth enable ldap", "POST", "sys/auth/ldap", {"type": "ldap"}),
            ("vault write auth/ldap/config url=... userdn=...", "PUT", "auth/ldap/config", fields),
            ("vault policy write operate -", "PUT", "sys/policies/acl/operate", {"policy": OPERATE}),
            ("vault write auth/ldap/groups/admins policies=operate", "PUT", "auth/ldap/groups/admins",
             {"policies": "operate"}),
        ):  # fmt: skip
            self.step(command, self.send(method, path, ROOT, body).status, 204)
        config = self.send("GET", "auth/ldap/config", ROOT).data
        self.step("vault read auth/ldap/config", (config["url"], "bindpass" in config), (self.url, False))

    def used(self) -> None:
        """What people do every day."""
        login = "auth/ldap/login/grace"
        wrong = self.send("PUT", login, "", {"password": "Cobol-1959"})
        refused = ["ldap operation failed: failed to bind as user"]
        self.step("vault login -method=ldap username=grace, mistyped", wrong.json["errors"], refused)
        answer = self.send("PUT", login, "", {"password": "cobol-1959"})
        if answer.status != 200:
            self.step("vault login -method=ldap username=grace", answer.json["errors"], "a token")
            return
        auth = answer.json["auth"]
        given = (auth["metadata"]["username"], auth["policies"])
        self.step("vault login -method=ldap username=grace", given, ("grace", POLICIES))
        token = auth["client_token"]
        found = self.send("GET", "auth/token/lookup-self", token).data
        self.step("vault token lookup", (found["path"], found["policies"]), (login, POLICIES))
        groups = self.send("LIST", "auth/ldap/groups", token)
        self.step("vault list auth/ldap/groups", groups.data["keys"], ["admins"])
        denied = self.send("PUT", "auth/ldap/groups/admins", token, {"policies": "root"})
        self.step("vault write auth/ldap/groups/admins, as grace", denied.status, 403)
        renewed = self.send("PUT", "auth/token/renew-self", token, {"increment": 0}).json["auth"]
        self.step("vault token renew", renewed["lease_duration"], 768 * 3600)
        self.step("vault token revoke -self", self.send("PUT", "auth/token/revoke-self", token).status, 204)
        self.step("vault token lookup", self.send("GET", "auth/token/lookup-self", token).json["errors"], DENIED)

