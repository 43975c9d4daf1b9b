"""What a Grafana makes of headers (``[auth.proxy]``, grafana.md 4) and of tokens (``[auth.jwt]``, grafana.md 5).

Written from those sections alone; it shares no code with the gateway. ``test_grafana_consumer.py`` holds it against
rows that were worked out by hand.
"""

from __future__ import annotations

import json
import quopri
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ROLES = ("None", "Viewer", "Editor", "Admin")
"""Lowest first."""
PROXY_FIELDS = ("name", "email", "role")
LEEWAY = 60


class Refused(Exception):
    """What Grafana answers: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status, self.text = status, text


@dataclass
class User:
    login: str
    email: str = ""
    name: str = ""
    roles: dict[int, str] = field(default_factory=dict)
    admin: bool = False


@dataclass
class Grafana:
    """Organisations, people and their roles."""

    orgs: tuple[int, ...] = (1, 2, 3)
    auto_assign_org: int = 1
    auto_assign_role: str = "Viewer"
    users: dict[str, User] = field(default_factory=dict)

    def sign_in(self, login: str, email: str, name: str, roles: Mapping[int, str], admin: bool | None) -> User:
        """2.8: roles count when there are any, then they are all there is; organisations that do not exist are passed
        over; ``admin`` None leaves the flag."""
        user = self.users.get(login)
        if user is None:
            user = self.users[login] = User(login)
            if not roles:
                user.roles = {self.auto_assign_org: self.auto_assign_role}
        user.email, user.name = email or user.email, name or user.name
        if roles:
            kept = {org: "Admin" for org, role in user.roles.items() if role == "Admin" and self._last_admin(login, org)}
            user.roles = {org: role for org, role in roles.items() if org in self.orgs} | kept
        if admin is not None:
            user.admin = admin
        return user

    def _last_admin(self, login: str, org: int) -> bool:
        return not any(user.roles.get(org) == "Admin" for name, user in self.users.items() if name != login)


@dataclass
class AuthProxy:
    """``[auth.proxy]`` with the settings of section 4."""

    grafana: Grafana
    sync_ttl: int = 5
    """Minutes."""
    headers_encoded: bool = True
    names: Mapping[str, str] = field(default_factory=lambda: {it: f"X-WEBAUTH-{it.upper()}" for it in PROXY_FIELDS} | {"login": "X-WEBAUTH-USER"})
    """Of headers, by what they hold."""
    _synced: dict[tuple[str, ...], float] = field(default_factory=dict)

    def request(self, headers: Mapping[str, str], now: float) -> User | None:
        """Who a request is of; None: nobody."""
        found = {name.lower(): value for name, value in headers.items()}
        login, name, email, role = (self._decoded(found.get(self.names.get(it, "").lower(), "")) for it in ("login", *PROXY_FIELDS))
        if not login:
            return None
        key = (login, name, email, role)
        if now < self._synced.get(key, 0.0):
            return self.grafana.users[login]
        self._synced[key] = now + self.sync_ttl * 60
        roles = {self.grafana.auto_assign_org: role} if role in ROLES else {}
        return self.grafana.sign_in(login, email, name, roles, None)

    def _decoded(self, value: str) -> str:
        if not self.headers_encoded:
            return value
        assert value.isascii(), "quoted-printable is ASCII"
        return quopri.decodestring(value.encode()).decode()


@dataclass
class AuthJwt:
    """``[auth.jwt]`` with the settings of section 5."""

    grafana: Grafana
    fetch: Callable[[], Mapping[str, Any]]
    """Of ``jwk_set_url``."""
    expect_claims: Mapping[str, str]
    org_mapping: str = ""
    role_attribute_strict: bool = True
    allow_assign_grafana_admin: bool = True
    skip_org_role_sync: bool = False
    cache_ttl: int = 600
    header_name: str = "X-JWT-Assertion"
    role_attribute_path: str = "role"
    org_attribute_path: str = "orgs"
    _set: KeySet | None = None
    _until: float = 0.0

    def request(self, headers: Mapping[str, str], now: float) -> User | None:
        """Who a request is of; None where another method gets its turn."""
        found = {name.lower(): value for name, value in headers.items()}
        token = found.get(self.header_name.lower(), "").removeprefix("Bearer ")
        if not token:
            return None
        claims = self._verified(token, now)
        if not claims.get("sub"):
            return None
        login, email = claims.get("login", ""), claims.get("email", "")
        if not login and not email:
            raise Refused(401, "Missing mandatory claim in JWT")
        roles, admin = ({}, None) if self.skip_org_role_sync else self._roles(claims)
        return self.grafana.sign_in(login, email, claims.get("name", ""), roles, admin)

    def _verified(self, token: str, now: float) -> dict[str, Any]:
        if self._set is None or now >= self._until:
            self._set, self._until = KeySet.import_key_set(dict(self.fetch())), now + self.cache_ttl
        try:
            if "kid" not in jws.extract_compact(token.encode()).headers():
                raise Refused(401, "Failed to verify JWT")
            claims = jws.deserialize_compact(token, self._set, algorithms=["ES256", "RS256"]).payload
        except (JoseError, ValueError):
            raise Refused(401, "Failed to verify JWT") from None
        found: dict[str, Any] = json.loads(claims)
        dates = [found.get(name) for name in ("iat", "nbf", "exp")]
        if not all(isinstance(date, int) for date in dates):
            raise Refused(401, "Failed to verify JWT")
        issued, begins, ends = dates
        if begins > now + LEEWAY or issued > now + LEEWAY or ends <= now - LEEWAY:
            raise Refused(401, "Failed to verify JWT")
        if any(found.get(name) != value for name, value in self.expect_claims.items()):
            raise Refused(401, "Failed to verify JWT")
        return found

    def _roles(self, claims: Mapping[str, Any]) -> tuple[dict[int, str], bool | None]:
        role = claims.get(self.role_attribute_path, "")
        admin = role == "GrafanaAdmin" if self.allow_assign_grafana_admin else None
        role = "Admin" if role == "GrafanaAdmin" and self.allow_assign_grafana_admin else role
        labels = claims.get(self.org_attribute_path)
        mapping = self._mapping()
        found: dict[int, str] = {}
        for label in labels if isinstance(labels, list) else []:
            for org, given in mapping.get(label, ()):
                found[org] = higher(found.get(org, given), given)
        usable = role if role in ROLES else ""
        if found:
            return {org: higher(given, usable or given) for org, given in found.items()}, admin
        if usable:
            return {self.grafana.auto_assign_org: usable}, admin
        if self.role_attribute_strict:
            raise Refused(403, "Invalid Role in claim")
        return {}, admin

    def _mapping(self) -> Mapping[str, Sequence[tuple[int, str]]]:
        """Strict: one bad entry empties all of it."""
        found: dict[str, list[tuple[int, str]]] = {}
        for entry in re.split(r"[ ,]+", self.org_mapping.strip()) if self.org_mapping.strip() else []:
            parts = entry.split(":")
            good = len(parts) == 3 and parts[1].isdigit() and int(parts[1]) in self.grafana.orgs and parts[2] in ROLES
            if good:
                found.setdefault(parts[0], []).append((int(parts[1]), parts[2]))
            elif self.role_attribute_strict:
                return {}
        return found


def higher(one: str, other: str) -> str:
    return max(one, other, key=ROLES.index)
