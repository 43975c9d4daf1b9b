"""What people with a password, or with the right to enable mounts, could have got more than they were given (vault.md 14)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import ldap3
import pytest
from vault_calls import PASSWORD, ROOT, Vault, configuration, p, serving

from gateway.config.load import load
from tests.directories.slapd import (
    ADMIN_DN,
    ADMIN_PASSWORD,
    BASE_DN,
    COMPANY,
    SERVICE_DN,
    SERVICE_PASSWORD,
    Slapd,
)

KEY, SECRET = "SVCKEYSVCKEYSVCKEY99", "svc-secret-svc-secret"
POLICIES = {"admin": p("*", "read", "update"), "mounts": p("sys/auth/*", "update", "sudo", "read", "delete")}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    directory = Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd"))
    yield directory
    directory.kill()


@pytest.fixture(scope="module")
def vault(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    of_corp = {"token_bound_cidrs": ["10.0.0.0/8"], "token_ttl": 60, "token_num_uses": 3, "token_no_default_policy": True}
    server = slapd.server() | {"vault": of_corp}
    given = configuration(
        servers=[server],
        login={"cache": 0, "floor": 0},
        trusted_proxies=["127.0.0.0/8"],
        clearml={"credentials": {"worker": {"user_key": KEY, "user_secret": SECRET, "role": "system"}}},
        vault={"mounts": {"all": "*", "people": "corp"}, "policies": POLICIES, "local": {"token_type": "batch"}},
    )
    with serving(tmp_path_factory.mktemp("attacks"), given) as started:
        yield started


def enable(vault: Vault, slapd: Slapd, path: str, **fields: object) -> None:
    given = {
        "url": slapd.url, "binddn": SERVICE_DN, "bindpass": SERVICE_PASSWORD, "userdn": f"ou=people,{BASE_DN}",
        "userattr": "cn", "userfilter": "(uid={{.Username}})", "groupdn": f"ou=groups,{BASE_DN}", **fields,
    }  # fmt: skip
    vault.ok("POST", f"sys/auth/{path}", ROOT, {"type": "ldap"})
    vault.ok("PUT", f"auth/{path}/config", ROOT, given)


def login(vault: Vault, path: str, password: str, address: str = "10.1.1.1") -> dict[str, Any]:
    """The ``auth`` block of a login; empty where it is refused."""
    mount, _, name = path.rpartition("/")
    answer = vault.call("PUT", f"auth/{mount}/login/{name}", "", {"password": password}, {"X-Forwarded-For": address})
    found: dict[str, Any] = answer.json.get("auth") or {}
    return found


def test_who_writes_his_own_name_is_nobody_else(vault: Vault, slapd: Slapd) -> None:
    """vault.md 4 step 2, 6: the typed name counts for users/<name>, in renewals too, and not what userattr says."""
    enable(vault, slapd, "names")
    vault.ok("PUT", "auth/names/users/boss", ROOT, {"policies": "admin"})
    vault.ok("PUT", "auth/names/users/alan", ROOT, {"policies": "own"})
    before = login(vault, "names/alan", "enigma")
    with ldap3.Connection(slapd.url, ADMIN_DN, ADMIN_PASSWORD) as connection:
        assert connection.modify(f"uid=alan,ou=people,{BASE_DN}", {"cn": [("MODIFY_REPLACE", ["Boss"])]})
    after = login(vault, "names/alan", "enigma")
    assert before["policies"] == after["policies"] == ["default", "own"]
    assert vault.ok("PUT", "auth/token/renew-self", after["client_token"], {})["auth"]["policies"] == ["default", "own"]


def test_batch_tokens_end_with_their_mount(vault: Vault, slapd: Slapd) -> None:
    """vault.md 9: destroying a mount destroys its tokens; one of the same path is another mount."""
    enable(vault, slapd, "remade", token_type="batch")
    old = login(vault, "remade/grace", "cobol-1959")["client_token"]
    assert vault.lives(old)
    vault.ok("DELETE", "sys/auth/remade")
    assert not vault.lives(old)
    enable(vault, slapd, "remade", token_type="batch")
    new = login(vault, "remade/grace", "cobol-1959")["client_token"]
    assert (vault.lives(old), vault.lives(new)) == (False, True)


@pytest.mark.parametrize("prefix", ["auth/local", "auth/local/login", "auth/local/login/ada"])
def test_batch_tokens_end_by_prefix(vault: Vault, prefix: str) -> None:
    """vault.md 9: at once, and those of the same second that were made afterwards live."""
    old, other = vault.login()["client_token"], vault.login("bob")["client_token"]
    vault.ok("PUT", f"sys/leases/revoke-prefix/{prefix}")
    assert (vault.lives(old), vault.lives(other)) == (False, prefix.endswith("ada"))
    assert vault.lives(vault.login()["client_token"])


def test_no_mount_in_the_place_of_a_declared_server(vault: Vault) -> None:
    """DECISIONS 22: the settings of the server would be changed under it; what is no mount cannot be disabled."""
    token = vault.create(policies=["mounts"])["client_token"]
    shown = vault.ok("GET", "sys/auth")["data"]
    for path in ("corp", "CORP"):
        status, text = vault.refused("POST", f"sys/auth/{path}", token, {"type": "ldap"})
        assert status == 400 and "gateway.conf:" in text
        assert vault.call("DELETE", f"sys/auth/{path}", token).status == 204
    child = vault.create()["client_token"]
    for path in ("token/create", "local/login"):
        vault.call("DELETE", f"sys/auth/{path}", token)
    assert vault.refused("POST", "sys/auth/local", token, {"type": "ldap"})[0] == 400
    assert vault.lives(child), "made at auth/token/create"
    assert vault.ok("GET", "sys/auth")["data"] == shown
    assert login(vault, "people/grace", "cobol-1959")
    basic = base64.b64encode(b"grace:cobol-1959").decode()
    assert vault.daemon.call("/auth.login", method="POST", headers={"Authorization": f"Basic {basic}"}).status == 200


def test_an_enabling_that_is_refused_revokes_nothing(vault: Vault) -> None:
    token = vault.login()["client_token"]
    assert vault.refused("POST", "sys/auth/local", ROOT, {"type": "ldap"})[0] == 400
    assert vault.lives(token)


def test_the_limits_of_the_own_server_hold_at_the_realm(vault: Vault) -> None:
    """vault.md 3, 6; DECISIONS 3: and outside its networks a right password looks like a wrong one."""
    given = login(vault, "all/grace", "cobol-1959")
    assert (given["lease_duration"], given["num_uses"], given["policies"]) == (60, 3, [])
    looked_up = vault.ok("POST", "auth/token/lookup", ROOT, {"token": given["client_token"]})["data"]
    assert looked_up["bound_cidrs"] == ["10.0.0.0/8"]
    refused = [
        vault.call("PUT", "auth/all/login/grace", "", {"password": password}, {"X-Forwarded-For": "192.0.2.1"})
        for password in ("cobol-1959", "wrong")
    ]
    assert refused[0].status == 400 and refused[0].body == refused[1].body
    assert login(vault, "all/ada", PASSWORD)["token_type"] == "batch", "as vault.local insists"


@pytest.mark.parametrize("mount", ["all", "people", "local"])
def test_keys_of_programs_get_no_token(vault: Vault, mount: str) -> None:
    """vault.md 2: a name and a password of a directory log in here, and nothing else."""
    basic = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    made = vault.daemon.call("/auth.create_credentials", method="POST", headers=headers, body="{}")
    own = made.json["data"]["credentials"]
    wrong = vault.call("PUT", f"auth/{mount}/login/ada", "", {"password": "wrong"}, {"X-Forwarded-For": "10.1.1.1"})
    for key, secret in ((KEY, SECRET), (own["access_key"], own["secret_key"]), (f" {KEY} ".replace(" ", "%20"), SECRET)):
        answer = vault.call("PUT", f"auth/{mount}/login/{key}", "", {"password": secret}, {"X-Forwarded-For": "10.1.1.1"})
        assert (answer.status, answer.body) == (400, wrong.body)


def test_a_short_root_token_is_warned_of() -> None:
    for token, warned in (("x" * 19, True), ("x" * 20, False), ("", False)):
        environment = {"CLEARML__vault": json.dumps({"root_token": token})}
        told = [str(problem) for problem in load([], environment).warnings if "root_token" in str(problem)]
        assert bool(told) is warned and not any(token in each for each in told if token)
