"""hvac 2.4 with a real daemon: its methods for tokens, policies, capabilities, wrapping and leases (vault.md 12, 17)."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import pytest
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest
from vault_calls import PASSWORD, ROOT, Vault, configuration, p, serving

SETTINGS = {
    "policies": {"ops": p("auth/token/create", "update") + p("auth/token/renew", "update")},
    "groups": {"scientists": ["ops"]},
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with serving(tmp_path_factory.mktemp("hvac"), configuration(vault=SETTINGS)) as vault:
        yield vault


def client(vault: Vault, token: str | None = None) -> hvac.Client:
    return hvac.Client(url=f"http://127.0.0.1:{vault.daemon.port}", token=token)


@pytest.fixture
def root(vault: Vault) -> Iterator[hvac.Client]:
    opened = client(vault, ROOT)
    yield opened
    opened.adapter.close()


@pytest.fixture
def ada(vault: Vault) -> Iterator[hvac.Client]:
    opened = client(vault)
    opened.auth.ldap.login("ada", PASSWORD, mount_point="local")
    yield opened
    opened.adapter.close()


def test_a_login_gives_the_client_its_token(ada: hvac.Client) -> None:
    assert ada.is_authenticated()
    assert ada.auth.token.lookup_self()["data"]["meta"] == {"username": "ada"}
    assert ada.auth.token.lookup_self()["data"]["policies"] == ["default", "ops"]


def test_a_token_that_is_none(vault: Vault) -> None:
    other = client(vault, "hvs.nothing")
    assert not other.is_authenticated()
    with pytest.raises(Forbidden) as refused:
        other.auth.token.lookup_self()
    assert refused.value.errors == ["permission denied"]
    other.adapter.close()


def test_lookups(root: hvac.Client, ada: hvac.Client) -> None:
    found = root.auth.token.lookup(ada.token)["data"]
    assert found["id"] == ada.token
    assert root.auth.token.lookup_accessor(found["accessor"])["data"]["id"] == ""
    assert found["accessor"] in root.auth.token.list_accessors()["data"]["keys"]
    with pytest.raises(Forbidden, match="bad token"):
        root.auth.token.lookup("nothing")
    with pytest.raises(InvalidRequest, match="invalid accessor"):
        root.auth.token.lookup_accessor("nothing")
    with pytest.raises(Forbidden):
        ada.auth.token.list_accessors()


def test_create(root: hvac.Client, ada: hvac.Client) -> None:
    made = ada.auth.token.create(policies=["default"], ttl="30m", meta={"a": "b"}, display_name="ci", renewable=True)
    assert made["auth"]["lease_duration"] == 1800
    assert root.auth.token.create(explicit_max_ttl="5m", ttl="30m")["auth"]["lease_duration"] == 300
    assert root.auth.token.create(period="30m")["auth"]["lease_duration"] == 1800
    assert root.auth.token.create(num_uses=3)["auth"]["num_uses"] == 3
    assert root.auth.token.create(no_parent=True)["auth"]["orphan"] is True
    assert root.auth.token.create(no_default_policy=True, policies=["ops"])["auth"]["policies"] == ["ops"]
    assert root.auth.token.create(type="batch", policies=["ops"])["auth"]["token_type"] == "batch"
    assert root.auth.token.create(id="my-own-token")["auth"]["client_token"] == "my-own-token"
    with pytest.raises(InvalidRequest, match="duplicate ID"):
        root.auth.token.create(id="my-own-token")
    assert root.auth.token.create_orphan(policies=["ops"])["auth"]["orphan"] is True
    with pytest.raises(InvalidRequest, match="subset"):
        ada.auth.token.create(policies=["other"])


def test_renew(root: hvac.Client, ada: hvac.Client) -> None:
    assert ada.auth.token.renew_self(increment="1h")["auth"]["lease_duration"] == 3600
    assert ada.auth.token.renew(ada.token, increment=120)["auth"]["lease_duration"] == 120
    accessor = ada.auth.token.lookup_self()["data"]["accessor"]
    assert root.auth.token.renew_accessor(accessor)["auth"]["lease_duration"] > 2764700
    with pytest.raises(InvalidRequest, match="lease is not renewable"):
        root.auth.token.renew_self()
    with pytest.raises(InvalidRequest, match="token not found"):
        root.auth.token.renew("nothing")


def test_revoke(vault: Vault, root: hvac.Client) -> None:
    tokens = [root.auth.token.create(policies=["ops", "default"])["auth"] for _ in range(4)]
    child = client(vault, tokens[3]["client_token"])
    grandchild = child.auth.token.create()["auth"]["client_token"]
    assert root.auth.token.revoke(tokens[0]["client_token"]).status_code == 204
    assert root.auth.token.revoke("nothing").status_code == 204
    assert root.auth.token.revoke_accessor(tokens[1]["accessor"]).status_code == 204
    assert root.auth.token.revoke_accessor("nothing")["warnings"] == ["No token found with this accessor"]
    root.auth.token.revoke_and_orphan_children(tokens[3]["client_token"])
    child.token = tokens[2]["client_token"]
    child.auth.token.revoke_self()
    assert not child.is_authenticated()
    for token in tokens:
        with pytest.raises(Forbidden, match="bad token"):
            root.auth.token.lookup(token["client_token"])
    assert root.auth.token.lookup(grandchild)["data"]["id"] == grandchild
    child.adapter.close()


def test_logout_revokes(vault: Vault) -> None:
    opened = client(vault)
    token = opened.auth.ldap.login("ada", PASSWORD, mount_point="local")["auth"]["client_token"]
    opened.logout(revoke_token=True)
    assert not vault.lives(token)
    opened.adapter.close()


def test_roles(root: hvac.Client) -> None:
    made = root.auth.token.create_or_update_role("ci", allowed_policies="ops", orphan=True, token_period="1h")
    assert made.status_code == 204
    role = root.auth.token.read_role("ci")["data"]
    assert (role["allowed_policies"], role["orphan"], role["token_period"]) == (["ops"], True, 3600)
    assert root.auth.token.list_roles()["data"]["keys"] == ["ci"]
    assert root.auth.token.create(role_name="ci")["auth"]["policies"] == ["default", "ops"]
    assert root.auth.token.delete_role("ci").status_code == 204
    with pytest.raises(InvalidPath):
        root.auth.token.read_role("ci")
    with pytest.raises(InvalidPath):
        root.auth.token.list_roles()


def test_policies(root: hvac.Client) -> None:
    assert root.sys.create_or_update_policy("Mine", p("a/b", "read")).status_code == 204
    assert root.sys.read_policy("mine")["data"]["rules"] == p("a/b", "read")
    assert "mine" in root.sys.list_policies()["data"]["policies"]
    assert root.get_policy("mine") == p("a/b", "read")
    assert root.sys.create_or_update_policy("mine", {"path": {"a/b": {"capabilities": ["list"]}}}).status_code == 204
    assert '"list"' in root.get_policy("mine")
    assert root.sys.create_or_update_acl_policy("mine", p("a/c", "read")).status_code == 204
    assert root.sys.read_acl_policy("mine")["data"]["policy"] == p("a/c", "read")
    assert "mine" in root.sys.list_acl_policies()["data"]["keys"]
    assert root.sys.delete_policy("mine").status_code == 204
    assert root.sys.delete_acl_policy("mine").status_code == 204
    with pytest.raises(InvalidPath):
        root.sys.read_policy("mine")
    with pytest.raises(InvalidRequest, match="failed to parse policy"):
        root.sys.create_or_update_policy("mine", "path {")


def test_capabilities(root: hvac.Client, ada: hvac.Client) -> None:
    assert ada.sys.get_capabilities(["auth/token/create"])["capabilities"] == ["update"]
    told = root.sys.get_capabilities(["auth/token/create", "sys/auth"], token=ada.token)["data"]
    assert told == {"auth/token/create": ["update"], "sys/auth": ["deny"]}
    accessor = ada.auth.token.lookup_self()["data"]["accessor"]
    assert root.sys.get_capabilities(["sys/auth"], accessor=accessor)["sys/auth"] == ["deny"]
    assert root.sys.get_capabilities(["sys/auth"])["data"]["capabilities"] == ["root"]


def test_wrapping(vault: Vault, root: hvac.Client) -> None:
    kept = root.sys.wrap({"a": {"b": 1}}, ttl=60)["wrap_info"]["token"]
    assert root.sys.unwrap(kept)["data"] == {"a": {"b": 1}}
    with pytest.raises(InvalidRequest, match="wrapping token is not valid"):
        root.sys.unwrap(kept)
    with pytest.raises(InvalidRequest):
        root.sys.wrap({"a": 1}, ttl=0)
    made = root.auth.token.create(wrap_ttl="1m")["wrap_info"]
    opened = client(vault, made["token"])
    assert opened.sys.unwrap()["auth"]["accessor"] == made["wrapped_accessor"]
    opened.adapter.close()


def test_leases(root: hvac.Client, ada: hvac.Client) -> None:
    for call in (root.sys.read_lease, root.sys.renew_lease):
        with pytest.raises(InvalidRequest):
            call("nothing")
    assert root.sys.revoke_lease("nothing").status_code == 204
    with pytest.raises(InvalidPath):
        root.sys.list_leases("auth/local")
    assert root.sys.revoke_prefix("auth/local/login/ada").status_code == 204
    assert not ada.is_authenticated()
    assert root.sys.revoke_force("auth/local").status_code == 204
