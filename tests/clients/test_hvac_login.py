"""hvac 2.4 logs in, and the reference's mappings end to end on a real slapd (vault.md 2, 11, 12; vault-ldap.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import hvac
import pytest
from hvac import exceptions

from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, Slapd
from tests.serve.vault.vault_site import ROOT

PEOPLE = (("tesla", "tesla-coil", ()), ("einstein", "relativity", ("scientists",)), ("boole", "true", ("Engineers", "scientists")))
LDIF = "\n".join([
    f"dn: {BASE_DN}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n",
    f"dn: ou=Users,{BASE_DN}\nobjectClass: organizationalUnit\nou: Users\n",
    f"dn: ou=Groups,{BASE_DN}\nobjectClass: organizationalUnit\nou: Groups\n",
    *(f"dn: cn={name},ou=Users,{BASE_DN}\nobjectClass: inetOrgPerson\ncn: {name}\nsn: {name}\nuserPassword: {password}\n"
      for name, password, _ in PEOPLE),
    *(f"dn: cn={group},ou=Groups,{BASE_DN}\nobjectClass: groupOfNames\ncn: {group}\n"
      + "".join(f"member: cn={name},ou=Users,{BASE_DN}\n" for name, _, groups in PEOPLE if group in groups)
      for group in ("scientists", "Engineers")),
])  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("hvac")
    with Slapd.start(LDIF, directory=directory / "slapd") as slapd:
        declared = {
            "name": "ldap",
            "url": slapd.url,
            "userdn": f"ou=Users,{BASE_DN}",
            "groupdn": f"ou=Groups,{BASE_DN}",
            "vault": {
                "groups": {"scientists": ["foo", "bar"], "engineers": ["foobar"]},
                "users": {"tesla": {"groups": ["engineers"], "policies": ["zoobar"]}},
            },
        }
        file = directory / "gateway.conf"
        file.write_text(json.dumps({"servers": [declared], "vault": {"root_token": ROOT}, "login": {"floor": 0}}))
        with running(directory, files=[file]) as started:
            yield started


@pytest.fixture
def client(daemon: Daemon) -> Iterator[hvac.Client]:
    made = hvac.Client(url=f"http://127.0.0.1:{daemon.port}")
    yield made
    made.adapter.close()


SCENARIOS = [
    ("einstein", "relativity", ["bar", "default", "foo"]),  # scientists
    ("boole", "true", ["bar", "default", "foo", "foobar"]),  # engineers too, in whatever case
    ("tesla", "tesla-coil", ["default", "foobar", "zoobar"]),  # a local group and a policy of his own
]


@pytest.mark.parametrize(("name", "password", "policies"), SCENARIOS, ids=[row[0] for row in SCENARIOS])
def test_the_mappings_of_the_reference(client: hvac.Client, name: str, password: str, policies: list[str]) -> None:
    answer = client.auth.ldap.login(name, password)
    assert answer["auth"]["policies"] == policies
    assert answer["auth"]["metadata"] == {"username": name}
    assert client.is_authenticated()
    assert client.lookup_token()["data"]["policies"] == policies


def test_the_token_is_the_clients(client: hvac.Client) -> None:
    answer = client.auth.ldap.login(username="tesla", password="tesla-coil")
    assert client.token == answer["auth"]["client_token"]
    kept = client.token
    other = client.auth.ldap.login(username="Tesla ", password="tesla-coil", use_token=False)
    assert client.token == kept != other["auth"]["client_token"]
    assert other["auth"]["entity_id"] == answer["auth"]["entity_id"]
    client.logout(revoke_token=True)
    client.token = kept
    assert not client.is_authenticated()


def test_a_wrapped_login(client: hvac.Client) -> None:
    """vault.md 11: what ``vault login -wrap-ttl=5m`` does."""
    path = "/v1/auth/ldap/login/tesla"
    wrapped = client.adapter.post(path, json={"password": "tesla-coil"}, headers={"X-Vault-Wrap-TTL": "5m0s"})
    assert wrapped["auth"] is None
    assert wrapped["wrap_info"]["creation_path"] == "auth/ldap/login/tesla"
    found = client.sys.unwrap(wrapped["wrap_info"]["token"])
    assert found["auth"]["accessor"] == wrapped["wrap_info"]["wrapped_accessor"]
    with pytest.raises(exceptions.VaultError):
        client.sys.unwrap(wrapped["wrap_info"]["token"])


REFUSED = [
    ("tesla", "wrong", exceptions.InvalidRequest, "failed to bind as user"),
    ("nobody", "wrong", exceptions.InvalidRequest, "failed to bind as user"),
    ("tesla", "", exceptions.InvalidRequest, "zero length"),
    ("a\x00b", "x", exceptions.InvalidRequest, "non-printable"),
]


@pytest.mark.parametrize(("name", "password", "error", "text"), REFUSED, ids=range(len(REFUSED)))
def test_refusals_are_hvacs_own_errors(
    client: hvac.Client, name: str, password: str, error: type[Exception], text: str
) -> None:
    """vault.md 1: without a charset in the content type its errors carry ``errors``, and no token is set."""
    with pytest.raises(error) as refused:
        client.auth.ldap.login(name, password)
    assert text in refused.value.errors[0]  # type: ignore[attr-defined]
    assert not client.token


def test_other_mounts(client: hvac.Client) -> None:
    with pytest.raises(exceptions.Forbidden):
        client.auth.ldap.login("tesla", "tesla-coil", mount_point="elsewhere")
    with pytest.raises(exceptions.InvalidRequest):
        client.auth.ldap.login("tesla", "tesla-coil", mount_point="local")


def test_what_is_asked_without_a_token(client: hvac.Client) -> None:
    assert client.sys.read_health_status(method="GET")["initialized"] is True
    assert client.sys.read_health_status().status_code == 200  # HEAD
    assert client.sys.is_initialized()
    assert not client.sys.is_sealed()
    assert client.sys.read_leader_status()["ha_enabled"] is False
    assert client.seal_status["type"] == "shamir"


def test_lists_by_the_verb(client: hvac.Client) -> None:
    """vault.md 12: hvac lists with LIST, and keeps its connection."""
    client.token = ROOT
    for _ in range(3):
        assert client.auth.ldap.list_groups()["data"]["keys"] == ["engineers", "scientists"]
        assert client.auth.ldap.list_users()["data"]["keys"] == ["tesla"]
        assert client.list("auth/ldap/users")["data"]["keys"] == ["tesla"]
    with pytest.raises(exceptions.InvalidPath) as empty:
        client.auth.ldap.list_users(mount_point="local")
    assert empty.value.errors == []
