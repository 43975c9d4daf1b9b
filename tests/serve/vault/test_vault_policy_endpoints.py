"""Policies, capabilities and leases over HTTP (vault.md 9, 9.1); the table of access lists once more, from outside."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from vault_calls import ROOT, Vault, configuration, p, serving

from gateway.grants.policies.acl import Operation, needs_sudo
from tests.grants.policy_rows import CAPABILITIES, ROWS

NAMED = {"default", "root", "unknown"}
DOCUMENTS = sorted({text for row in (*ROWS, *CAPABILITIES) for text in row[1]} - NAMED)
NAMES = {text: text if text in NAMED else f"row-{DOCUMENTS.index(text)}" for text in (*DOCUMENTS, *NAMED)}
SETTINGS = {
    "policies": {
        "Declared": p("x", "read"),
        "keeper": p("sys/policies/acl/*", "read", "update", "delete", "list"),
        **{NAMES[text]: text for text in DOCUMENTS},
    },
    "groups": {"scientists": ["keeper"]},
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    pinned = {"CLEARML__vault__policies__pinned": p("of/the/environment", "read")}
    with serving(tmp_path_factory.mktemp("policies"), configuration(vault=SETTINGS), environment=pinned) as vault:
        yield vault


def capabilities(vault: Vault, policies: tuple[str, ...], path: str) -> list[str]:
    """By ``capabilities-self`` of a token with these policies and the right to ask."""
    asked = {"policies": [NAMES[text] for text in policies] or ["unknown"], "no_default_policy": True}
    token = ROOT if policies == ("root",) else vault.create(**asked)["client_token"]
    data = vault.ok("POST", "sys/capabilities", body={"token": token, "paths": [path]})["data"]
    assert data[path] == data["capabilities"]
    listed: list[str] = data["capabilities"]
    return listed


def test_the_table_of_access_lists_from_outside(vault: Vault) -> None:
    """9.1, issue's acceptance: what a rule's row allows is what ``sys/capabilities`` tells of it."""
    rows = [row for row in ROWS if row.parameters is None and not row.wrap_seconds and "wrapping" not in row.proves]
    rows = [row for row in rows if row.path.strip() == row.path != "" and row.operation != "help"]
    rows = [row for row in rows if "default" not in row.policies]
    assert len(rows) >= 80
    wrong = []
    for row in rows:
        told, operation = capabilities(vault, row.policies, row.path), Operation(row.operation)
        may = "root" in told or (row.operation in told and ("sudo" in told or not needs_sudo(operation, row.path)))
        # Told are those of a listing as well: a rule for a path counts for the listing behind its slash.
        if may is not row.allowed and not (row.path.endswith("/") and row.operation not in ("list", "scan")):
            wrong.append((row.proves, told))
    assert not wrong


def test_capabilities(vault: Vault) -> None:
    """9: sorted, deny alone, root alone; the same keys at top level; by accessor; no paths 400."""
    for proves, policies, path, expected in CAPABILITIES:
        assert capabilities(vault, policies, path) == expected, proves
    auth = vault.login("ada")
    answer = vault.ok("POST", "sys/capabilities-self", auth["client_token"], {"paths": "sys/policies/acl/x,sys/auth"})
    assert answer["data"] == {"sys/policies/acl/x": ["delete", "list", "read", "update"], "sys/auth": ["deny"]}
    assert {key: answer[key] for key in answer["data"]} == answer["data"]
    by_accessor = vault.ok("POST", "sys/capabilities-accessor", body={"accessor": auth["accessor"], "path": ["sys/auth"]})
    assert by_accessor["capabilities"] == by_accessor["data"]["sys/auth"] == ["deny"]
    assert vault.refused("POST", "sys/capabilities-self", body={}) == (400, "paths must be supplied")
    many = ",".join(f"x{number}" for number in range(1001))
    assert vault.refused("POST", "sys/capabilities-self", body={"paths": many})[0] == 400
    assert vault.refused("POST", "sys/capabilities", body={"path": "x"}) == (400, "missing token")
    assert vault.refused("POST", "sys/capabilities", body={"path": "x", "token": "x"}) == (400, "invalid token")
    assert vault.refused("POST", "sys/capabilities-accessor", body={"path": "x", "accessor": "x"})[0] == 400


def test_policies(vault: Vault) -> None:
    """9: written, read, listed, deleted, by names that fold; what is declared can be replaced, and removed."""
    text = p("auth/ldap/config", "read")
    assert vault.ok("PUT", "sys/policies/acl/My-Ops", body={"policy": text}) is None
    assert vault.ok("GET", "sys/policies/acl/MY-OPS")["data"] == {"name": "my-ops", "policy": text}
    assert {"my-ops", "default", "root", "declared"} <= set(vault.ok("LIST", "sys/policies/acl")["data"]["keys"])
    assert vault.ok("DELETE", "sys/policies/acl/my-ops") is None
    assert vault.ok("DELETE", "sys/policies/acl/my-ops") is None
    assert vault.refused("GET", "sys/policies/acl/my-ops") == (404, "")
    assert vault.ok("PUT", "sys/policies/acl/declared", body={"policy": text}) is None
    assert vault.ok("GET", "sys/policies/acl/declared")["policy"] == text
    assert vault.ok("DELETE", "sys/policies/acl/declared") is None
    assert "declared" not in vault.ok("LIST", "sys/policies/acl")["data"]["keys"]
    assert vault.ok("PUT", "sys/policies/acl/declared", body={"policy": text}) is None
    assert vault.ok("GET", "sys/policies/acl/declared")["policy"] == text


@pytest.mark.parametrize("name", ["a.b", "x%20y", "auth/ldap/z", "%C3%A9t%C3%A9", '%22%7B%7D%22', "-1", "null", "x=y", "0"])
def test_odd_names(vault: Vault, name: str) -> None:
    """1, 9: whatever is printable is a name, and never a path in the configuration."""
    assert vault.ok("PUT", f"sys/policies/acl/{name}", body={"policy": p(name, "read")}) is None
    assert vault.ok("GET", f"sys/policies/acl/{name}")["data"]["policy"] == p(name, "read")
    assert vault.ok("DELETE", f"sys/policies/acl/{name}") is None
    assert vault.refused("GET", f"sys/policies/acl/{name}")[0] == 404


def test_what_the_environment_decides(vault: Vault) -> None:
    """Issue: a write to a pinned key is accepted with a warning that names the variable."""
    warnings = vault.ok("PUT", "sys/policies/acl/pinned", body={"policy": p("x", "read")})["warnings"]
    assert "CLEARML__vault__policies__pinned" in warnings[0]
    assert vault.ok("GET", "sys/policies/acl/pinned")["data"]["policy"] == p("of/the/environment", "read")


def test_the_older_form(vault: Vault) -> None:
    """9: list by GET gives keys and policies, also at top level; read gives rules; write takes either, or base64."""
    listed = vault.ok("GET", "sys/policy")
    assert listed["keys"] == listed["policies"] == listed["data"]["keys"] == listed["data"]["policies"]
    text = p("a/b", "read")
    for name, body in (("old1", {"rules": text}), ("old2", {"policy": base64.b64encode(text.encode()).decode()})):
        assert vault.ok("PUT", f"sys/policy/{name}", body=body) is None
        answer = vault.ok("GET", f"sys/policy/{name}")
        assert answer["data"] == {"name": name, "rules": text} == {key: answer[key] for key in ("name", "rules")}
    document = {"path": {"a/c": {"capabilities": ["read"]}}}
    assert vault.ok("PUT", "sys/policy/old3", body={"policy": json.dumps(document)}) is None
    token = vault.create(policies=["old1", "old3"])["client_token"]
    told = vault.ok("POST", "sys/capabilities-self", token, {"paths": ["a/b", "a/c", "a/d"]})["data"]
    assert told == {"a/b": ["read"], "a/c": ["read"], "a/d": ["deny"]}
    assert vault.ok("DELETE", "sys/policy/old3") is None
    assert vault.ok("POST", "sys/capabilities-self", token, {"path": "a/c"})["capabilities"] == ["deny"]


REFUSED = [
    ("9 root is immutable", "PUT", "root", {"policy": p("a", "read")}, 400, 'cannot update "root" policy'),
    ("9 root is immutable, folded", "PUT", "ROOT", {"policy": p("a", "read")}, 400, 'cannot update "root" policy'),
    ("9 root cannot be deleted", "DELETE", "root", None, 400, 'cannot delete "root" policy'),
    ("9 default cannot be deleted", "DELETE", "Default", None, 400, 'cannot delete "default" policy'),
    ("9 missing", "GET", "nothing", None, 404, ""),
    ("9 no text", "PUT", "x", {}, 400, "'policy' parameter not supplied or empty"),
    ("9.1 unknown key", "PUT", "x", {"policy": 'path "a" { capability = ["read"] }'}, 400, 'invalid key "capability"'),
    ("9.1 unknown capability", "PUT", "x", {"policy": p("a", "reed")}, 400, 'invalid capability "reed"'),
    ("9.1 +* is forbidden", "PUT", "x", {"policy": p("a/+*", "read")}, 400, "'+*' is forbidden"),
    ("9.1 broken", "PUT", "x", {"policy": 'path "a" {'}, 400, "failed to parse policy"),
    ("14 nesting", "PUT", "x", {"policy": '{"path":' + '{"a":' * 500 + "1" + "}" * 501}, 400, "levels"),
    ("14 a name without end", "PUT", "x" * 600, {"policy": p("a", "read")}, 400, "too long"),
]


@pytest.mark.parametrize(("proves", "method", "name", "body", "status", "text"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(vault: Vault, proves: str, method: str, name: str, body: object, status: int, text: str) -> None:
    given, said = vault.refused(method, f"sys/policies/acl/{name}", ROOT, body)
    assert (given, text in said) == (status, True), said
    assert vault.refused("GET", "sys/policies/acl/x")[0] == 404


def test_who_writes_is_named(vault: Vault) -> None:
    """DECISIONS 22, 33: a change through the API is a change of the configuration, with an origin and an event."""
    token = vault.login("ada")["client_token"]
    assert vault.ok("PUT", "sys/policies/acl/by-ada", token, {"policy": p("a", "read")}) is None
    assert vault.refused("PUT", "sys/policies/acl/by-ada", vault.login("bob")["client_token"], {"policy": ""})[0] == 403
    event = vault.daemon.wait_for_event(action="configuration.apply", target="vault.policies.by-ada")
    assert event["outcome"] == "success"


def test_leases(vault: Vault) -> None:
    """9: logins have no leases; unknown ones 400, revoked they are gone; listing needs sudo and finds none."""
    token = vault.login("bob")["client_token"]
    assert vault.refused("PUT", "sys/leases/lookup", token, {"lease_id": "x"}) == (400, "invalid lease")
    assert vault.refused("PUT", "sys/leases/renew", token, {"lease_id": "x"}) == (400, "lease not found")
    assert vault.refused("PUT", "sys/leases/lookup", token, {})[0] == 400
    assert vault.refused("PUT", "sys/leases/revoke", token, {"lease_id": "x"})[0] == 403
    assert vault.ok("PUT", "sys/leases/revoke", body={"lease_id": "x"}) is None
    assert vault.refused("LIST", "sys/leases/lookup/auth/local", token)[0] == 403
    assert vault.refused("LIST", "sys/leases/lookup/auth/local") == (404, "")
