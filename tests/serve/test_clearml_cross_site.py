"""DECISIONS 29 over every endpoint there is: by cookie alone, another site, a GET or a form changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.serve.clearml.endpoints import ENDPOINTS
from tests.daemon import Answer
from tests.serve.clearml_site import COMPANY, Site, clearml_site

READING = {
    "auth.fixed_users_mode", "auth.get_credentials", "auth.login", "auth.validate_token", "debug.ping",
    "login.get_settings", "login.get_whitelist", "login.supported_modes", "permissions.get_user_groups", "server.info",
    "users.get_all", "users.get_by_id", "users.get_current_user", "users.get_organization_vaults",
    "users.get_preferences", "users.get_vaults",
}  # fmt: skip

# fields with which an administrator, or else a service, changes something
CHANGING: dict[str, dict[str, Any]] = {
    "auth.create_credentials": {"label": "attack"},
    "auth.edit_credentials": {"access_key": "KEY", "label": "attacked"},
    "auth.revoke_credentials": {"access_key": "KEY"},
    "auth.get_token_for_user": {"user": "ADA", "company": COMPANY},
    "auth.logout": {},
    "login.logout": {},
    "login.add_whitelist_entries": {"emails": ["evil@example.org"]},
    "login.remove_whitelist_entries": {"emails": ["kept@example.org"]},
    "login.set_domains": {"domains": ["evil.example"]},
    "users.set_preferences": {"preferences": {"attacked": 1}},
    "users.add_or_update_vault": {"vault": {"data": "a: 1"}},
    "users.delete_vaults": {"vaults": ["VAULT"]},
    "permissions.add_or_update_user_group": {"name": "attack"},
    "permissions.delete_user_groups": {"groups": ["GROUP"]},
}

# method, content type, headers
ATTACKS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "", {}),
    ("GET", "", {"Sec-Fetch-Site": "cross-site"}),
    ("GET", "", {"Sec-Fetch-Site": "same-origin"}),
    ("HEAD", "", {}),
    ("POST", "application/x-www-form-urlencoded", {}),
    ("POST", "application/x-www-form-urlencoded", {"Origin": "https://evil.example"}),
    ("POST", "text/plain", {"Origin": "null"}),
    ("POST", "application/json", {"Origin": "https://evil.example"}),
    ("POST", "application/json", {"Sec-Fetch-Site": "same-site"}),
    ("PUT", "application/json", {"Origin": "https://app.example.com.evil.example"}),
    ("DELETE", "application/json", {"Sec-Fetch-Site": "cross-site"}),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("cross-site")) as started:
        started.call("admin", "login.add_whitelist_entries", emails=["kept@example.org"])
        yield started


def test_the_tables_name_every_endpoint() -> None:
    assert {name for name, endpoint in ENDPOINTS.items() if endpoint.changes_state} == CHANGING.keys()
    assert ENDPOINTS.keys() - CHANGING.keys() == READING


def contents(site: Site) -> dict[str, list[Any]]:
    """Everything that is stored."""
    with closing(sqlite3.connect(site.daemon.directory / "state/gateway.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}


def filled(site: Site, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with things that exist."""
    text = json.dumps(fields)
    for word, make in MAKERS.items():
        if f'"{word}"' in text:
            text = text.replace(f'"{word}"', json.dumps(make(site)))
    made: dict[str, Any] = json.loads(text)
    return made


MAKERS = {
    "KEY": lambda site: site.call("admin", "auth.create_credentials").data["credentials"]["access_key"],
    "ADA": lambda site: site.id("admin"),
    "VAULT": lambda site: site.call("admin", "users.add_or_update_vault", vault={"data": "a: 2"}).data["vault"],
    "GROUP": lambda site: site.call("admin", "permissions.add_or_update_user_group", name="victim", users=[]).data["id"],
}


def attack(site: Site, token: str, endpoint: str, fields: dict[str, Any], row: tuple[str, str, dict[str, str]]) -> Answer:
    method, content_type, headers = row
    sent = {"Cookie": f"clearml_token_basic={token}", **headers}
    if method in ("GET", "HEAD"):
        flat = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        return site.daemon.call(f"/{endpoint}?{urlencode(flat)}", method=method, headers=sent, body=json.dumps(fields))
    form = content_type == "application/x-www-form-urlencoded"
    body = urlencode(fields, doseq=True) if form else json.dumps(fields)
    return site.daemon.call(f"/{endpoint}", method=method, headers={**sent, "Content-Type": content_type}, body=body)


@pytest.mark.parametrize("endpoint", CHANGING)
def test_nothing_changes(site: Site, endpoint: str) -> None:
    role = "root" if "root" in ENDPOINTS[endpoint].roles and "admin" not in ENDPOINTS[endpoint].roles else "admin"
    token = site.call(role, "auth.login").data["token"]
    fields = filled(site, CHANGING[endpoint])
    before = contents(site)
    for row in ATTACKS:
        assert attack(site, token, endpoint, fields, row).status == 403, row
    # A password that the browser remembers is no better than a cookie.
    remembered = {"Origin": "https://evil.example"}
    refused = site.daemon.call(f"/{endpoint}", basic=("ada", "lovelace"), method="POST", headers=remembered, body=json.dumps(fields))
    assert refused.status == 403
    assert contents(site) == before
    own = {"Cookie": f"clearml_token_basic={token}", "Sec-Fetch-Site": "same-origin"}
    done = site.daemon.call(f"/{endpoint}", method="POST", headers=own, body=json.dumps(fields))
    assert done.status == 200, done.body
    assert contents(site) != before or endpoint == "auth.get_token_for_user"
