"""``vault.compatibility = "0.7"``: answers and writes as a Vault of 2017 had them (vault.md 13), beside those of today."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vault_calls import PASSWORD, ROOT, Vault, configuration, serving

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SETTINGS = {"local": {"groups": {"Ops": ["b", "a"]}, "users": {"ada": {"groups": ["ops"], "policies": ["own"]}}}}
SERVER = {"name": "declared", "url": "ldap://127.0.0.1:1", "userdn": "dc=file", "binddn": "cn=svc", "bindpass": "x"}


PINNED = {"CLEARML__servers__declared__upndomain": "pinned.example"}


def started(directory: Path, **vault: str) -> Any:
    return serving(directory, configuration(vault={**SETTINGS, **vault}, servers=[SERVER]), environment=PINNED)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with started(tmp_path_factory.mktemp("old"), compatibility="0.7") as vault:
        yield vault


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with started(tmp_path_factory.mktemp("new")) as vault:
        yield vault


# what is asked, where in the answer, what stands there in 2017 and today; None: nothing does
SHAPES: list[tuple[str, str, Any, Any]] = [
    ("auth/local/groups/ops", "data.policies", "a,b,default", ["a", "b"]),
    ("auth/local/users/ada", "data.policies", "default,own", ["own"]),
    ("auth/local/users/ada", "data.groups", "ops", "ops"),
    ("auth/declared/config", "data.bindpass", "", None),
    ("auth/declared/config", "data.userdn", "dc=file", "dc=file"),
    ("auth/token/lookup-self", "data.policies", ["root"], ["root"]),
]


@pytest.mark.parametrize(("path", "place", "then", "now"), SHAPES, ids=[f"{row[0]}-{row[1]}" for row in SHAPES])
def test_reads(old: Vault, new: Vault, path: str, place: str, then: Any, now: Any) -> None:
    for vault, expected in ((old, then), (new, now)):
        answer = vault.ok("GET", path)
        assert ("request_id" in answer) is (vault is new)
        table, key = place.split(".")
        assert answer[table].get(key) == expected


LOGIN_KEYS = {"client_token", "accessor", "policies", "metadata", "lease_duration", "renewable"}


def test_logins(old: Vault, new: Vault) -> None:
    """Six keys and no more, ``data`` null, a UUID for a token; it can be looked up, renewed and revoked like any."""
    answer = old.ok("PUT", "auth/local/login/ada", "", {"password": PASSWORD})
    auth = answer["auth"]
    assert (set(auth), answer["data"], "request_id" in answer) == (LOGIN_KEYS, None, False)
    assert auth["policies"] == ["a", "b", "default", "own"]
    token = auth["client_token"]
    assert UUID.fullmatch(token)
    assert set(old.ok("PUT", "auth/token/renew-self", token)["auth"]) == LOGIN_KEYS
    assert old.ok("GET", "auth/token/lookup-self", token)["data"]["id"] == token
    assert old.ok("PUT", "auth/token/revoke-self", token) is None
    assert old.refused("GET", "auth/token/lookup-self", token)[0] == 403
    today = new.ok("PUT", "auth/local/login/ada", "", {"password": PASSWORD})
    assert set(today["auth"]) > LOGIN_KEYS
    assert (today["data"], today["auth"]["client_token"][:4]) == ({}, "hvs.")


CONFIG = "auth/made/config"
FIRST = {"url": "ldap://one.example", "userdn": "dc=x", "userattr": "uid", "binddn": "cn=s", "bindpass": "planted",
         "groupdn": "dc=g", "token_ttl": "60", "userfilter": "(uid={{.Username}})"}  # fmt: skip
# a field, what it is after a second write of {"url": "ldap://two.example"} in 2017 and today
AFTERWARDS = [
    ("url", "ldap://two.example", "ldap://two.example"),
    ("userdn", "", "dc=x"),
    ("userattr", "cn", "uid"),
    ("binddn", "", "cn=s"),
    ("groupdn", "", "dc=g"),
    ("token_ttl", 60, 60),  # of later than 2017, so that clients of then cannot mean it
    ("userfilter", "(uid={{.Username}})", "(uid={{.Username}})"),
]


@pytest.fixture(scope="module")
def written(old: Vault, new: Vault) -> tuple[dict[str, Any], dict[str, Any]]:
    for vault in (old, new):
        vault.ok("POST", "sys/auth/made", ROOT, {"type": "ldap"})
        vault.ok("PUT", CONFIG, ROOT, FIRST)
        vault.ok("PUT", CONFIG, ROOT, {"url": "ldap://two.example"})
    return old.ok("GET", CONFIG)["data"], new.ok("GET", CONFIG)["data"]


@pytest.mark.parametrize(("field", "then", "now"), AFTERWARDS, ids=[row[0] for row in AFTERWARDS])
def test_a_write_starts_from_defaults(written: Any, field: str, then: Any, now: Any) -> None:
    assert (written[0][field], written[1][field]) == (then, now)


def test_what_a_file_declares_is_the_default(old: Vault) -> None:
    """And the bind password that a file gives is still not sent anywhere else (DECISIONS 15)."""
    old.ok("PUT", "auth/declared/config", ROOT, {"userdn": "dc=api", "groupdn": "dc=g"})
    assert old.ok("PUT", "auth/declared/config", ROOT, {"groupdn": "dc=h"}) is None, "nothing pinned was written"
    found = old.ok("GET", "auth/declared/config")["data"]
    assert (found["userdn"], found["groupdn"], found["url"]) == ("dc=file", "dc=h", "ldap://127.0.0.1:1")
    status, text = old.refused("PUT", "auth/declared/config", ROOT, {"url": "ldap://stranger.example"})
    assert (status, "bind password" in text) == (400, True)
