"""Bounds of policies from outside, in every spelling that could pass them (vault.md 9.1, 10, 14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from vault_calls import PASSWORD, ROOT, Vault, configuration, p, serving


def bounded(**bounds: str) -> str:
    """Tokens may be made, with these bounds."""
    told = " ".join(f"{name} = {value}" for name, value in bounds.items())
    return f'path "auth/token/create" {{ capabilities = ["update"] {told} }}\n'


POLICIES = {
    "only-ok": bounded(allowed_parameters='{ "policies" = ["ok"] "ttl" = ["1m"] }'),
    "no-admin": bounded(denied_parameters='{ "policies" = ["admin"] "ttl" = [] }'),
    "no-lease": bounded(denied_parameters='{ "lease" = ["1m"] }'),
    "with-ttl": bounded(required_parameters='["ttl"]'),
    "roles": p("auth/token/create/*", "update"),
    "names": p("auth/local/groups/*", "update", "read", "delete") + p("auth/local/groups/admins", "deny")
    + p("auth/local/users/*", "update") + p("auth/local/users/big boss", "deny")
    + p("sys/policies/acl/*", "update") + p("sys/policies/acl/admin", "deny")
    + p("sys/policy/*", "update") + p("sys/policy/admin", "deny")
    + 'path "auth/local/config" { capabilities = ["update"] denied_parameters = { "token_policies" = ["admin"] } }',
    "wraps": p("sys/wrapping/wrap", "update"),
    "admin": p("*", "read"),
    "ok": p("x", "read"),
}  # fmt: skip


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    vault = {"policies": POLICIES, "token_roles": {"d": {"disallowed_policies": ["foo"]}}}
    with serving(tmp_path_factory.mktemp("bounds"), configuration(vault=vault)) as started:
        yield started


# what bounds it, what is asked for, whether that may be
CREATIONS: list[tuple[str, dict[str, Any], bool]] = [
    ("only-ok", {"policies": "ok"}, True),
    ("only-ok", {"policies": ["ok"]}, True),
    ("only-ok", {"policies": ["ok"], "ttl": 60}, True),
    ("only-ok", {"policies": ["ok"], "lease": "60s"}, True),
    ("only-ok", {"policies": "admin"}, False),
    ("only-ok", {"policies": ["ok", "admin"]}, False),
    ("only-ok", {"policies": ["admin"], "POLICIES": "ok"}, False),
    ("only-ok", {"POLICIES": "ok", "policies": ["admin"]}, False),
    ("only-ok", {"policies": ["ok"], "ttl": 61}, False),
    ("only-ok", {"policies": ["ok"], "period": 0}, False),
    ("no-admin", {"policies": "ok"}, True),
    *[("no-admin", {"policies": given}, False) for given in (
        "admin", ["admin"], "ok,admin", " ADMIN", ["Admin"], ["ok", "admin "], ["ok", " aDMIN"], {"admin": 1})],
    ("no-admin", {"policies": "ok", "ttl": "5"}, False),
    ("no-admin", {"policies": "ok", "lease": "5"}, False),
    ("no-admin", {"policies": "ok", "Lease": "5"}, False),
    ("no-lease", {"ttl": "61"}, True),
    ("no-lease", {"ttl": 60}, False),
    ("no-lease", {"ttl": "59.5s"}, True),
    ("with-ttl", {"ttl": "5"}, True),
    ("with-ttl", {"TTL": "5"}, False),
    ("with-ttl", {"ttl": None}, False),
    ("with-ttl", {}, False),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "asked", "allowed"), CREATIONS, ids=[str(n) for n in range(len(CREATIONS))])
def test_bounds_on_parameters(vault: Vault, policy: str, asked: dict[str, Any], *, allowed: bool) -> None:
    """vault.md 9.1: each pair is judged by itself, as it was sent and as it is understood."""
    token = vault.create(policies=[policy, "ok", "admin"])["client_token"]
    assert vault.call("POST", "auth/token/create", token, asked).status in ((200,) if allowed else (400, 403))


def test_two_spellings_of_one_parameter(vault: Vault) -> None:
    """One would be judged and the other used; what takes any object, takes both."""
    status, text = vault.refused("POST", "auth/token/create", ROOT, {"ttl": 5, "TTL": 6})
    assert (status, text) == (400, "TTL is given twice: capitals do not count")
    assert vault.ok("POST", "sys/wrapping/wrap", ROOT, {"a": 1, "A": 2}, X_Vault_Wrap_TTL="60")["wrap_info"]


NAMES = [
    ("auth/local/groups/scientists", {"policies": "ok"}, True),
    ("auth/local/groups/Scientists", {"policies": "ok"}, True),
    *[(f"auth/local/groups/{name}", {"policies": "ok"}, False) for name in (
        "admins", "Admins", "ADMINS", "admins%20", "%20admins", "admins%09")],
    ("auth/local/users/Big%20%20BOSS", {"policies": "ok"}, False),
    *[(f"sys/{kind}/{name}", {"policy": p("x", "read")}, False) for kind in ("policies/acl", "policy") for name in (
        "admin", "ADMIN", "admin%20", "%20Admin")],
    ("auth/local/config", {"token_policies": "ok"}, True),
    ("auth/local/config", {"token_policies": ["ok", "Admin"]}, False),
    ("auth/local/config", {"policies": "admin"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "allowed"), NAMES, ids=[str(n) for n in range(len(NAMES))])
def test_a_deny_holds_for_every_spelling(vault: Vault, path: str, body: object, *, allowed: bool) -> None:
    """vault.md 2: names fold on write, read and delete, so what is said of one spelling is said of all."""
    token = vault.create(policies=["names"])["client_token"]
    assert (vault.call("PUT", path, token, body).status in (200, 204)) is allowed
    if "groups/" in path and not allowed:
        assert {vault.call(method, path, token).status for method in ("GET", "DELETE")} <= {403, 400}


def test_roles(vault: Vault) -> None:
    """vault.md 8: a role that only disallows gives no more than who asks has; globs that match nothing are refused."""
    token = vault.create(policies=["roles", "ok"])["client_token"]
    assert vault.refused("POST", "auth/token/create/d", token, {"policies": ["admin"]})[0] == 400
    assert vault.ok("POST", "auth/token/create/d", token, {"policies": ["ok"]})["auth"]["policies"] == ["default", "ok"]
    for name in ("allowed_policies_glob", "disallowed_policies_glob"):
        status, text = vault.refused("PUT", "auth/token/roles/x", ROOT, {name: ["prod-*", "prod*admin"]})
        assert status == 400 and "either end" in text
    vault.ok("PUT", "auth/token/roles/x", ROOT, {"allowed_policies_glob": ["prod-*", "*admin", "*a*", "*"]})


def test_roles_are_told_apart_by_capitals(vault: Vault) -> None:
    """vault.md 8: so a deny on one spelling says nothing of the other."""
    vault.ok("PUT", "auth/token/roles/Case", ROOT, {"allowed_policies": "ok"})
    assert vault.refused("GET", "auth/token/roles/case", ROOT)[0] == 404
    assert vault.refused("GET", "auth/token/roles/Case%20", ROOT)[0] == 404


@pytest.mark.parametrize(("asked", "given"), [("900ms", 1), ("1ns", 1), ("0.5", 400), ("1.9s", 1), ("0s", 0), ("0ms", 0)])
def test_parts_of_a_second(vault: Vault, asked: str, given: int) -> None:
    """vault.md 1: zero is no wrapping and no limit, which little must not become."""
    answer = vault.call("PUT", "auth/local/login/ada", "", {"password": PASSWORD}, {"X-Vault-Wrap-TTL": asked})
    if given == 400:
        assert answer.status == 400
        return
    assert (answer.json["wrap_info"] or {"ttl": 0})["ttl"] == given
    if given:
        assert vault.create(ttl=asked)["lease_duration"] == given
        assert vault.create(explicit_max_ttl=asked)["lease_duration"] == given
        assert vault.create(period=asked)["lease_duration"] == given


def test_strangers_have_nothing_wrapped_but_logins(vault: Vault) -> None:
    """vault.md 10, 14: without a token nobody fills the store; the answer is no secret and comes as it is."""
    for method, path, body in (("GET", "sys/internal/ui/mounts", None), ("PUT", "sys/wrapping/lookup", {"token": "x"})):
        answer = vault.call(method, path, "", body, {"X-Vault-Wrap-TTL": "60"})
        assert not answer.json.get("wrap_info")
    kept = vault.ok("POST", "sys/wrapping/wrap", ROOT, {"a": 1}, X_Vault_Wrap_TTL="60")["wrap_info"]["token"]
    told = vault.ok("PUT", "sys/wrapping/lookup", "", {"token": kept}, X_Vault_Wrap_TTL="60")
    assert told["data"]["creation_ttl"] == 60 and not told["wrap_info"]
    login = vault.ok("PUT", "auth/local/login/ada", "", {"password": PASSWORD}, X_Vault_Wrap_TTL="60")
    assert login["wrap_info"]["wrapped_accessor"] and not login["auth"]


def test_one_holder_does_not_fill_the_store(vault: Vault) -> None:
    """vault.md 14: nor one who has a token; what was made for an answer that cannot be kept has ended."""
    token = vault.create(policies=["wraps"])["client_token"]
    body = {"a": "x" * 900_000}
    statuses = [vault.call("POST", "sys/wrapping/wrap", token, body, {"X-Vault-Wrap-TTL": "60"}).status for _ in range(20)]
    assert statuses == [200] * 18 + [400] * 2
    assert vault.ok("POST", "sys/wrapping/wrap", ROOT, body, X_Vault_Wrap_TTL="60")["wrap_info"]
