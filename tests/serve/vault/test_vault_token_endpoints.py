"""``auth/token/*`` over HTTP: every row of vault.md 8, and what of 6, 9.1 and 14 concerns tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from vault_calls import ROOT, Vault, configuration, p, serving

MAKER = p("auth/token/*", "create", "read", "update", "list") + p("sys/capabilities*", "update")
SETTINGS = {
    "policies": {"maker": MAKER, "boss": p("auth/token/*", "update", "list", "sudo"), "foo": p("x/foo", "read")},
    "groups": {"scientists": ["foo"], "engineers": ["maker"]},
    "local": {"token_policies": ["Everyone"]},
    "realm": {"token_num_uses": 3, "token_ttl": 600},
    "mounts": {"few": "*"},
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with serving(tmp_path_factory.mktemp("tokens"), configuration(vault=SETTINGS)) as vault:
        yield vault


def test_a_login_looked_up(vault: Vault) -> None:
    """vault.md 8: the data of lookup-self, key by key; the same by token and, without id, by accessor."""
    auth = vault.login()
    assert auth["policies"] == ["default", "everyone", "foo", "maker"]
    data = vault.ok("GET", "auth/token/lookup-self", auth["client_token"])["data"]
    assert set(data) == {
        "id", "accessor", "policies", "path", "meta", "display_name", "num_uses", "orphan", "type", "creation_time",
        "creation_ttl", "ttl", "explicit_max_ttl", "renewable", "issue_time", "expire_time", "entity_id",
    }  # fmt: skip
    assert (data["id"], data["path"], data["display_name"]) == (auth["client_token"], "auth/local/login/ada", "local-ada")
    assert (data["meta"], data["orphan"], data["num_uses"], data["type"]) == ({"username": "ada"}, True, 0, "service")
    assert data["creation_ttl"] == 2764800 >= data["ttl"] > 2764700
    by_token = vault.ok("POST", "auth/token/lookup", body={"token": auth["client_token"]})["data"]
    assert {**by_token, "ttl": data["ttl"]} == data
    by_accessor = vault.ok("POST", "auth/token/lookup-accessor", body={"accessor": auth["accessor"]})["data"]
    assert {**by_accessor, "ttl": data["ttl"]} == {**data, "id": ""}


def test_root(vault: Vault) -> None:
    """vault.md 8: never-ending, path auth/token/root, meta null."""
    data = vault.ok("GET", "auth/token/lookup-self")["data"]
    assert (data["path"], data["policies"], data["meta"]) == ("auth/token/root", ["root"], None)
    assert (data["ttl"], data["expire_time"], data["renewable"]) == (0, None, False)
    assert vault.ok("POST", "auth/token/lookup", body={})["data"]["path"] == "auth/token/root"


REFUSALS = [
    # proves, verb, path, body, status, text
    ("8 unknown token", "POST", "lookup", {"token": "hvs.nothing"}, 403, "bad token"),
    ("8 missing accessor", "POST", "lookup-accessor", {}, 400, "missing accessor"),
    ("8 unknown accessor", "POST", "lookup-accessor", {"accessor": "nothing"}, 400, "invalid accessor"),
    ("8 root is not renewable", "PUT", "renew-self", {"increment": 0}, 400, "lease is not renewable"),
    ("8 renew unknown", "PUT", "renew", {"token": "hvs.nothing"}, 400, "token not found"),
    ("8 renew nothing", "PUT", "renew", {}, 400, "missing token ID"),
    ("8 renew unknown accessor", "POST", "renew-accessor", {"accessor": "nothing"}, 400, "token not found"),
    ("8 renew no accessor", "POST", "renew-accessor", {}, 400, "missing accessor"),
    ("8 revoke nothing", "PUT", "revoke", {}, 400, "missing token ID"),
    ("8 revoke no accessor", "POST", "revoke-accessor", {}, 400, "missing accessor"),
    ("8 revoke-orphan nothing", "PUT", "revoke-orphan", {}, 400, "missing token ID"),
    ("8 revoke-orphan unknown", "PUT", "revoke-orphan", {"token": "hvs.nothing"}, 400, "token to revoke not found"),
    ("1 negative increment", "PUT", "renew-self", {"increment": -1}, 400, 'converting input for field "increment"'),
    ("1 bad type", "POST", "create", {"ttl": "soon"}, 400, 'converting input for field "ttl"'),
    ("3 bad token type", "POST", "create", {"type": "x"}, 400, "invalid 'token_type' value \"x\""),
    ("8 meta", "POST", "create", {"meta": {"a": {}}}, 400, "values of meta must be strings"),
    ("8 unknown role", "POST", "create/nothing", {}, 400, "unknown role nothing"),
    ("14 root by odd spelling is root's alone", "POST", "create", {"policies": ["response-wrapping"]}, 400, "assign"),
    ("1 verb", "DELETE", "lookup-self", None, 405, "unsupported operation"),
    ("1 verb of listing", "GET", "accessors", None, 405, "unsupported operation"),
    ("1 path", "GET", "nothing", None, 404, "unsupported path"),
]


@pytest.mark.parametrize(("proves", "method", "path", "body", "status", "text"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refusals(vault: Vault, proves: str, method: str, path: str, body: object, status: int, text: str) -> None:
    given, said = vault.refused(method, f"auth/token/{path}", ROOT, body)
    assert given == status, proves
    assert text in said


@pytest.mark.parametrize("token", ["", "nothing", "hvs." + "x" * 43, "hvb." + "x" * 80, "x" * 70_000, "hvs.\u00e9"])
def test_no_token_and_no_good_one(vault: Vault, token: str) -> None:
    """vault.md 1.2: one text, whatever is wrong; on paths that do not exist as well."""
    for path in ("auth/token/lookup-self", "sys/nothing", "auth/nothing/config", "nothing"):
        if len(token) < 30_000:
            assert vault.refused("GET", path, token) == (403, "permission denied")
        else:
            assert vault.call("GET", path, token).status in (403, 431)


def test_a_token_that_may_not(vault: Vault) -> None:
    """vault.md 1.2 and 9.1: what policy default allows, and nothing besides."""
    token = vault.create(policies=["default"])["client_token"]
    assert vault.lives(token)
    assert vault.ok("POST", "sys/capabilities-self", token, {"path": "sys/auth"})["data"]["capabilities"] == ["deny"]
    for method, path in (("POST", "auth/token/create"), ("LIST", "auth/token/accessors"), ("PUT", "sys/policies/acl/x")):
        status, text = vault.refused(method, path, token, {})
        assert (status, "permission denied" in text) == (403, True)


def test_lists(vault: Vault) -> None:
    """vault.md 8: accessors need sudo."""
    maker = vault.create(policies=["maker"])
    assert vault.refused("LIST", "auth/token/accessors", maker["client_token"])[0] == 403
    boss = vault.create(policies=["boss"])
    keys = vault.ok("LIST", "auth/token/accessors", boss["client_token"])["data"]["keys"]
    assert {maker["accessor"], boss["accessor"]} <= set(keys)
    assert keys == vault.ok("GET", "auth/token/accessors?list=true")["data"]["keys"]


def test_explicit_max_ttl_and_period(vault: Vault) -> None:
    """vault.md 8: 5m with ttl 30m gives 300; period 30m gives 1800, and period in the look-up."""
    short = vault.ok("POST", "auth/token/create", body={"ttl": "30m", "explicit_max_ttl": "5m", "policies": ["default"]})
    assert short["auth"]["lease_duration"] == 300
    assert "capped" in short["warnings"][0]
    periodic = vault.create(period="30m", policies=["default"])
    assert periodic["lease_duration"] == 1800
    assert vault.ok("GET", "auth/token/lookup-self", periodic["client_token"])["data"]["period"] == 1800


def test_children(vault: Vault) -> None:
    """vault.md 8: a child has a subset of the policies, and dies with its parent; an orphan needs sudo."""
    parent = vault.login()["client_token"]
    child = vault.create(parent, policies=["foo"], meta={"a": "b"}, display_name="ci/1", num_uses=0, ttl=60)
    assert (child["policies"], child["orphan"], child["metadata"]) == (["default", "foo"], False, {"a": "b"})
    data = vault.ok("GET", "auth/token/lookup-self", child["client_token"])["data"]
    assert (data["display_name"], data["path"], data["ttl"] <= 60) == ("token-ci-1", "auth/token/create", True)
    assert "subset" in vault.refused("POST", "auth/token/create", parent, {"policies": ["boss"]})[1]
    assert "sudo" in vault.refused("POST", "auth/token/create", parent, {"no_parent": True})[1]
    assert "sudo" in vault.refused("POST", "auth/token/create", parent, {"period": "1h"})[1]
    orphan = vault.ok("POST", "auth/token/create-orphan", parent, {"policies": "foo"})["auth"]
    grandchild = vault.create(vault.create(parent)["client_token"], policies=["default"])["client_token"]
    vault.ok("PUT", "auth/token/revoke-self", parent)
    assert [vault.lives(each) for each in (parent, child["client_token"], grandchild)] == [False] * 3
    assert vault.lives(orphan["client_token"])


def test_revocations(vault: Vault) -> None:
    """vault.md 8: each way to revoke; unknown ones have ended already, an unknown accessor is warned of."""
    first, second, third = (vault.login() for _ in range(3))
    assert vault.ok("PUT", "auth/token/revoke", body={"token": first["client_token"]}) is None
    assert vault.ok("PUT", "auth/token/revoke", body={"token": first["client_token"]}) is None
    assert vault.ok("POST", "auth/token/revoke-accessor", body={"accessor": second["accessor"]}) is None
    warned = vault.ok("POST", "auth/token/revoke-accessor", body={"accessor": "nothing"})["warnings"]
    assert warned == ["No token found with this accessor"]
    child = vault.create(third["client_token"])["client_token"]
    assert vault.refused("PUT", "auth/token/revoke-orphan", third["client_token"], {"token": child})[0] == 403
    assert vault.ok("PUT", "auth/token/revoke-orphan", body={"token": third["client_token"]}) is None
    assert [vault.lives(one["client_token"]) for one in (first, second, third)] == [False] * 3
    assert vault.lives(child)


def test_a_prefix_is_revoked(vault: Vault) -> None:
    """vault.md 9: "old tokens should be revoked", for a person or a whole mount; needs sudo."""
    ada, bob = vault.login("ada"), vault.login("bob")
    child = vault.create(ada["client_token"])["client_token"]
    assert vault.refused("PUT", "sys/leases/revoke-prefix/auth/local/login/bob", ada["client_token"])[0] == 403
    assert vault.ok("PUT", "sys/leases/revoke-prefix/auth/local/login/ada") is None
    assert [vault.lives(each) for each in (ada["client_token"], child, bob["client_token"])] == [False, False, True]
    assert vault.ok("PUT", "sys/leases/revoke-prefix/auth/local") is None
    assert not vault.lives(bob["client_token"])


def test_renewal_of_local_people(vault: Vault) -> None:
    """vault.md 6, 8: same token, new lease_duration, within the limits; by token and accessor as well."""
    auth = vault.login()
    renewed = vault.ok("PUT", "auth/token/renew-self", auth["client_token"], {"increment": "1h"})["auth"]
    assert (renewed["client_token"], renewed["lease_duration"]) == (auth["client_token"], 3600)
    renewed = vault.ok("POST", "auth/token/renew", body={"token": auth["client_token"], "increment": "90"})["auth"]
    assert renewed["lease_duration"] == 90
    by_accessor = vault.ok("POST", "auth/token/renew-accessor", body={"accessor": auth["accessor"]})["auth"]
    assert (by_accessor["client_token"], by_accessor["lease_duration"] > 2764700) == ("", True)
    batch = vault.create(type="batch", policies=["default"])
    assert (batch["accessor"], batch["renewable"], batch["token_type"]) == ("", False, "batch")
    assert batch["client_token"].startswith("hvb.")
    text = vault.refused("POST", "auth/token/renew", body={"token": batch["client_token"]})[1]
    assert text == "batch tokens cannot be renewed"
    assert "batch tokens" in vault.refused("PUT", "auth/token/revoke-self", batch["client_token"])[1]


def test_uses_are_counted_even_when_refused(vault: Vault) -> None:
    """vault.md 6: num_uses counts every request, refused and unanswerable ones too; the last of many at once is one."""
    token = vault.login("ada", "few")["client_token"]
    assert vault.ok("GET", "auth/token/lookup-self", token)["data"]["num_uses"] == 2
    assert vault.refused("GET", "sys/policies/acl/default", token)[0] == 403
    assert "restricted use token" in vault.refused("POST", "auth/token/create", token, {})[1]
    assert vault.refused("GET", "auth/token/lookup-self", token) == (403, "permission denied")
    many = vault.login("ada", "few")["client_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(vault.lives, itertools.repeat(many, 12)))
    assert sum(answers) == 3


def test_bound_addresses(vault: Vault) -> None:
    """vault.md 1.2 and 8: a token counts from its networks alone, and its children do too."""
    role = {"token_bound_cidrs": ["10.0.0.0/8"], "allowed_policies": "maker,default"}
    vault.ok("POST", "auth/token/roles/near", body=role)
    bound = vault.ok("POST", "auth/token/create/near", body={})["auth"]["client_token"]
    inside, outside = {"X-Forwarded-For": "10.1.2.3"}, {"X-Forwarded-For": "192.0.2.1"}
    assert vault.call("GET", "auth/token/lookup-self", bound, headers=inside).json["data"]["bound_cidrs"] == ["10.0.0.0/8"]
    answer = vault.call("GET", "auth/token/lookup-self", bound, headers=outside)
    assert (answer.status, answer.json["errors"]) == (403, ["permission denied"])
    child = vault.call("POST", "auth/token/create", bound, {}, inside).json["auth"]["client_token"]
    assert vault.call("GET", "auth/token/lookup-self", child, headers=outside).status == 403


def test_roles(vault: Vault) -> None:
    """vault.md 8: written, read, listed, deleted; what a write leaves out stays as it is; old names count."""
    assert vault.refused("GET", "auth/token/roles/ci") == (404, "")
    wanted = {"allowed_policies": "foo,default", "orphan": "true", "period": "1h", "path_suffix": "ci", "renewable": False}
    assert vault.ok("POST", "auth/token/roles/ci", body=wanted) is None
    assert vault.ok("POST", "auth/token/roles/ci", body={"token_num_uses": "2"}) is None
    role = vault.ok("GET", "auth/token/roles/ci")["data"]
    assert (role["name"], role["allowed_policies"], role["orphan"]) == ("ci", ["foo", "default"], True)
    assert (role["period"], role["token_period"], role["token_num_uses"]) == (3600, 3600, 2)
    assert "ci" in vault.ok("LIST", "auth/token/roles")["data"]["keys"]
    made = vault.ok("POST", "auth/token/create/ci", body={"policies": ["foo"]})["auth"]
    assert (made["lease_duration"], made["num_uses"], made["orphan"], made["renewable"]) == (3600, 2, True, False)
    data = vault.ok("POST", "auth/token/lookup", body={"token": made["client_token"]})["data"]
    assert (data["role"], data["path"]) == ("ci", "auth/token/create/ci/ci")
    assert "allowed policies" in vault.refused("POST", "auth/token/create/ci", body={"policies": ["maker"]})[1]
    for wrong in ({"token_type": "x"}, {"token_bound_cidrs": "nonsense"}, {"token_num_uses": -1}, {"period": "-1h"}):
        assert vault.refused("POST", "auth/token/roles/ci", body=wrong)[0] == 400
    assert vault.ok("GET", "auth/token/roles/ci")["data"] == role
    assert vault.ok("DELETE", "auth/token/roles/ci") is None
    assert vault.ok("DELETE", "auth/token/roles/ci") is None
    assert vault.refused("GET", "auth/token/roles/ci") == (404, "")


def test_the_trail(vault: Vault) -> None:
    """DECISIONS 33: what is done with tokens is in the audit trail, by accessor, never by text."""
    auth = vault.login()
    child = vault.create(auth["client_token"])
    vault.ok("PUT", "auth/token/revoke", auth["client_token"], {"token": child["client_token"]})
    event = vault.daemon.wait_for_event(action="token.revoke", target=child["accessor"])
    assert (event["dialect"], event["user"], event["server"], event["outcome"]) == ("vault", "ada", "local", "success")
    assert auth["accessor"] in event["reason"]
    for secret in (ROOT, auth["client_token"], child["client_token"]):
        assert secret not in vault.daemon.log
