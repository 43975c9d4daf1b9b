"""The tour through the Conjur dialect, with the requests that ``conjur-api`` sends for its LDAP strategy, and the token
shown to a reverse proxy: keys, tokens, privileges, rotation, and the form of Conjur 4."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from demo.steps import Tour
from tests.daemon import Answer

ALAN = ("alan", "enigma")
GRACE = ("grace", "cobol-1959")
SERVICE = "/authn-ldap/corp/myorg"
V4 = "/api/authn-ldap/users"
SETTINGS = {
    "CLEARML__public_url": "https://auth.example.com",
    "CLEARML__session__cookies": '[{"domain": "example.com", "portal_url": "https://auth.example.com"}]',
    "CLEARML__conjur": json.dumps({"account": "myorg", "services": {"corp": {"allow": ["group:developers"]}}}),
    "CLEARML__access_control__accept": "personal,conjur",
    "CLEARML__access_control__rules": json.dumps([
        {"name": "app", "domain": "app.example.com", "subject": "group:developers", "policy": "authenticated"},
        {"name": "admin", "domain": "admin.example.com", "subject": "group:admins", "policy": "authenticated"},
    ]),
}  # fmt: skip


class ConjurTour(Tour):
    """From a password to a token, and to what it opens."""

    def login(self, person: tuple[str, str], address: str = SERVICE) -> Answer:
        """Name and password for an API key."""
        return self.daemon.call(f"{address}/login", basic=person)

    def authenticate(self, name: str, key: str, address: str = SERVICE) -> Answer:
        """An API key for a token."""
        return self.daemon.call(f"{address}/{quote(name, safe='')}/authenticate", method="POST", body=key)

    def whoami(self, token: bytes) -> Answer:
        """What the gateway makes of a token."""
        shown = base64.b64encode(token).decode()
        return self.daemon.call("/whoami", headers={"Authorization": f'Token token="{shown}"'})

    def proxy(self, host: str, token: bytes) -> Answer:
        """nginx asks about a page of ``host``, on behalf of a program with a token."""
        asked = {"X-Original-URL": f"https://{host}/", "X-Original-Method": "GET", "X-Forwarded-For": "192.0.2.1"}
        return self.daemon.call("/api/authz/auth-request", headers=asked, bearer=base64.b64encode(token).decode())

    def walk(self) -> None:
        """From a password to a token, and to what it opens."""
        answer = self.login(ALAN)
        if answer.status != 200:
            self.step("alan logs in", answer.status, 200)
            return
        key = answer.body.decode()
        self.step("alan logs in: characters of his API key", len(key), 52)
        self.step("alan logs in again: the same key", self.login(ALAN).body.decode() == key, True)
        self.refusals()
        self.token(key)
        self.old(key)
        self.rotation(key)

    def refusals(self) -> None:
        """Who gets no key."""
        self.step("alan mistypes", self.login(("alan", "Enigma")).status, 401)
        self.step("grace logs in, who is no developer", self.login(GRACE).status, 403)
        self.step("a service that there is not", self.login(ALAN, "/authn-ldap/other/myorg").status, 401)

    def token(self, key: str) -> None:
        """What the token says, and what it opens."""
        token = self.authenticate("alan", key).body
        said = payload(token)
        self.step("a token for the key: whose, for how long", (said["sub"], said["exp"] - said["iat"]), ("alan", 480))
        known = self.whoami(token).json
        self.step("GET /whoami", (known["account"], known["username"]), ("myorg", "alan"))
        passed = self.proxy("app.example.com", token)
        told = (passed.status, passed.headers["Remote-User"], passed.headers["Remote-Groups"])
        self.step("the application of developers is told", told, (200, "alan", "developers"))
        self.step("the one of admins is not for him", self.proxy("admin.example.com", token).status, 403)
        self.step("nor is anything for a changed token", self.proxy("app.example.com", changed(token)).status, 401)

    def old(self, key: str) -> None:
        """Conjur 4."""
        same = self.login(ALAN, V4).body.decode() == key
        token = self.authenticate("alan", key, V4).body
        self.step("Conjur 4: the same key, and a token of", (same, json.loads(token)["data"]), (True, "alan"))

    def rotation(self, key: str) -> None:
        """A new key ends the old one."""
        new = self.daemon.call("/authn/myorg/api_key", method="PUT", basic=ALAN).body.decode()
        statuses = tuple(self.authenticate("alan", each).status for each in (key, new))
        self.step("alan rotates his key: the old one, the new one", statuses, (401, 200))


def payload(token: bytes) -> dict[str, Any]:
    """What a token says."""
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(token)["payload"]))
    return found


def changed(token: bytes) -> bytes:
    """With another name in it, and the signature as it was."""
    members = json.loads(token)
    said = {**payload(token), "sub": "grace"}
    return json.dumps({**members, "payload": base64.urlsafe_b64encode(json.dumps(said).encode()).decode()}).encode()
