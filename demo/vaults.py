"""The tour through vaults and access keys: what each answer said, and whether that is what it had to say."""

from __future__ import annotations

import json
from typing import Any

from demo.steps import Tour
from tests.daemon import Answer

GROUP = {"developers": {"group": "developers", "id": "developers"}}
"""The directory's group, as vaults name it."""
URI = "sdk.development.default_output_uri"
ASKED = {"enabled": True, "types": ["config"]}
"""What SDKs ask for."""


class VaultsTour(Tour):
    """As SDKs ask."""

    def walk(self) -> None:
        """Vaults, then keys."""
        self.vaults()
        self.keys()

    def call(self, token: str, endpoint: str, headers: dict[str, str] | None = None, /, **fields: Any) -> Answer:
        """One call with its parameters as JSON."""
        return self.daemon.call(f"/{endpoint}", bearer=token, method="POST", body=json.dumps(fields), headers=headers)

    def texts(self, token: str, headers: dict[str, str] | None = None) -> list[str]:
        """Vaults as a client gets them, the empty ones left out."""
        listed = self.call(token, "users.get_vaults", headers, **ASKED).data["vaults"]
        return [vault["data"] for vault in listed if vault["data"]]

    def vaults(self) -> None:
        """An administrator writes for a group, a member overrides it, nobody else sees it."""
        grace, alan, bob = (self.daemon.token(*pair) for pair in (GRACE, ALAN, BOB))
        team = {"scope": "group", "data": f'{URI}: "s3://team/x"', "description": "for developers"}
        written = self.call(grace, "users.add_or_update_vault", group="developers", vault=team)
        self.step("grace writes a vault for developers", written.status, 200)
        self.step("alan is one, and gets", self.texts(alan), [team["data"]])
        self.step("bob is none, and gets", self.texts(bob), [])
        refused = self.call(alan, "users.delete_vaults", vaults=[written.data["vault"]])
        self.step("alan deletes it", refused.meta["result_msg"], FORBIDDEN)
        own = {"format": "yaml", "data": "sdk:\n  development:\n    default_output_uri: s3://alan/y\n"}
        self.step("alan writes his own, in YAML", self.call(alan, "users.add_or_update_vault", vault=own).status, 200)
        merged = self.daemon.call("/api/vaults/merged", bearer=alan).json
        self.step("which comes to", merged["config"]["sdk"]["development"]["default_output_uri"], "s3://alan/y")
        [leaf] = [leaf for leaf in merged["keys"] if ".".join(leaf["key"]) == URI]
        overridden = [(place["vault"], place["line"]) for place in leaf["overrides"]]
        self.step("and overrides", overridden, [(written.data["vault"], 1)])
        user = {"X-Clearml-Act-As": self.daemon.user(alan)["id"]}
        self.step("grace acts as alan, and gets as many", len(self.texts(grace, user)), 2)

    def keys(self) -> None:
        """A key is its owner, until it is revoked."""
        made = self.call(self.daemon.token(*ALAN), "auth.create_credentials", label="laptop").data["credentials"]
        token = self.daemon.token(made["access_key"], made["secret_key"])
        self.step("alan makes a key, and it logs in", self.daemon.user(token)["name"], "Alan Turing")
        listed = self.call(token, "auth.get_credentials").data["credentials"]
        shown = [(key["label"], "secret_key" in key) for key in listed]
        self.step("it is listed, its secret is not", shown, [("laptop", False)])
        revoked = self.call(token, "auth.revoke_credentials", access_key=made["access_key"]).data
        self.step("alan revokes it", revoked, {"revoked": 1})
        again = self.daemon.login(made["access_key"], made["secret_key"])
        self.step("and it no longer logs in", again.meta["result_code"], 401)


GRACE, ALAN, BOB = ("grace", "cobol-1959"), ("alan", "enigma"), ("bob", "st*r(light)\\")
FORBIDDEN = "Forbidden (not allowed for role): role=superuser, allowed=(system, root, admin)"
