"""Response wrapping: any answer put away, and given to whoever brings its token first (vault.md 10)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from vault_calls import PASSWORD, ROOT, Vault, configuration, p, serving

GOOD = {"password": PASSWORD}
INVALID = (400, "wrapping token is not valid or does not exist")
SETTINGS = {"policies": {"no-unwrap": p("sys/wrapping/unwrap", "deny") + p("auth/token/lookup-self", "read")}}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with serving(tmp_path_factory.mktemp("wrapping"), configuration(vault=SETTINGS)) as vault:
        yield vault


def test_a_wrapped_login(vault: Vault) -> None:
    """10 and 11: what hides the login, and what the command line does to have it."""
    answer = vault.ok("PUT", "auth/local/login/ada", "", GOOD, X_Vault_Wrap_TTL="5m0s")
    info = answer["wrap_info"]
    assert (answer["request_id"], answer["data"], answer["auth"], answer["warnings"]) == ("", None, None, None)
    assert set(info) == {"token", "accessor", "ttl", "creation_time", "creation_path", "wrapped_accessor"}
    assert (info["ttl"], info["creation_path"]) == (300, "auth/local/login/ada")
    told = vault.ok("POST", "sys/wrapping/lookup", "", {"token": info["token"]})["data"]
    assert told == {
        "creation_ttl": 300, "creation_time": info["creation_time"], "creation_path": "auth/local/login/ada"
    }  # fmt: skip
    given = vault.call("PUT", "sys/wrapping/unwrap", info["token"], None)
    assert given.headers["Content-Type"] == "application/json"
    auth = given.json["auth"]
    assert (auth["accessor"], auth["metadata"]) == (info["wrapped_accessor"], {"username": "ada"})
    assert given.json["request_id"]
    assert vault.lives(auth["client_token"])
    for token, body in ((info["token"], None), ("", {"token": info["token"]}), (ROOT, {"token": info["token"]})):
        assert vault.refused("PUT", "sys/wrapping/unwrap", token, body) == INVALID
    assert vault.refused("POST", "sys/wrapping/lookup", "", {"token": info["token"]}) == INVALID


def wrapped(vault: Vault, body: object = None, ttl: str = "60") -> str:
    info = vault.ok("POST", "sys/wrapping/wrap", ROOT, body or {"a": [1, 2.5, {"b": None}]}, X_Vault_Wrap_TTL=ttl)
    token: str = info["wrap_info"]["token"]
    return token


def test_what_is_sent_is_wrapped(vault: Vault) -> None:
    """10: wrap keeps the body it gets; without TTL header 400; the token may come in the body."""
    assert vault.refused("POST", "sys/wrapping/wrap", ROOT, {"a": 1})[0] == 400
    body = {"a": [1, 2.5, {"b": None}], "ttl": "x", "path": "y"}
    answer = vault.ok("POST", "sys/wrapping/unwrap", ROOT, {"token": wrapped(vault, body)})
    assert answer["data"] == body
    assert answer["warnings"] is None
    assert vault.ok("POST", "sys/wrapping/unwrap", "", {"token": wrapped(vault, body)})["data"] == body


def test_one_of_many_has_it(vault: Vault) -> None:
    """10: the original reply once, whoever asks at the same time."""
    token = wrapped(vault)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: vault.call("PUT", "sys/wrapping/unwrap", token).status, range(16)))
    assert sorted(statuses) == [200] + [400] * 15


def test_good_for_nothing_else(vault: Vault) -> None:
    """10, configuration.md 3: a wrapping token is no token, and using it so uses nothing up."""
    token = wrapped(vault)
    for method, path in (("GET", "auth/token/lookup-self"), ("PUT", "auth/token/renew-self"), ("GET", "sys/policy")):
        assert vault.refused(method, path, token) == (403, "permission denied")
    assert vault.refused("POST", "auth/token/lookup", ROOT, {"token": token})[0] == 403
    assert vault.ok("PUT", "sys/wrapping/unwrap", token)["data"]


def test_revoked(vault: Vault) -> None:
    """8: a wrapping token that is revoked goes with its answer."""
    token = wrapped(vault)
    assert vault.ok("PUT", "auth/token/revoke", ROOT, {"token": token}) is None
    assert vault.refused("PUT", "sys/wrapping/unwrap", token) == INVALID


def test_who_may_not_unwrap(vault: Vault) -> None:
    """9.1: a token shown besides must be good and allowed; refused, nothing is used up."""
    token = wrapped(vault)
    denied = vault.create(policies=["no-unwrap"], no_default_policy=True)["client_token"]
    for shown in (denied, "hvs.nothing"):
        status, text = vault.refused("PUT", "sys/wrapping/unwrap", shown, {"token": token})
        assert (status, "permission denied" in text) == (403, True)
    assert vault.ok("PUT", "sys/wrapping/unwrap", vault.login()["client_token"], {"token": token})["data"]


def test_what_is_not_wrapped(vault: Vault) -> None:
    """10: 204 and refusals, and what has no envelope; zero is no wrapping."""
    auth = vault.login()
    assert vault.ok("PUT", "auth/token/revoke", ROOT, {"token": "x"}, X_Vault_Wrap_TTL="60") is None
    assert vault.refused("GET", "sys/policies/acl/nothing", ROOT, X_Vault_Wrap_TTL="60") == (404, "")
    assert vault.refused("PUT", "auth/local/login/ada", "", {"password": "wrong"}, X_Vault_Wrap_TTL="60")[0] == 400
    assert "wrap_info" not in vault.ok("GET", "sys/health", "", X_Vault_Wrap_TTL="60")
    assert vault.ok("GET", "auth/token/lookup-self", auth["client_token"], X_Vault_Wrap_TTL="0")["data"]
    hidden = vault.ok("GET", "auth/token/lookup-self", auth["client_token"], X_Vault_Wrap_TTL="15m")
    assert (hidden["data"], "wrapped_accessor" in hidden["wrap_info"]) == (None, False)
    assert vault.ok("PUT", "sys/wrapping/unwrap", hidden["wrap_info"]["token"])["data"]["id"] == auth["client_token"]


@pytest.mark.parametrize("ttl", ["-1", "-5m", "soon", "1x", "9" * 30])
def test_nonsense(vault: Vault, ttl: str) -> None:
    """1: negative or nonsense 400; no token is made or used by such a login."""
    status, text = vault.refused("PUT", "auth/local/login/ada", "", GOOD, X_Vault_Wrap_TTL=ttl)
    assert (status, "error parsing X-Vault-Wrap-TTL header" in text) == (400, True)


def test_no_longer_than_a_lease(vault: Vault) -> None:
    """configuration.md 1.6: nothing is kept for longer than vault.max_lease_ttl."""
    answer = vault.ok("POST", "sys/wrapping/wrap", ROOT, {"a": 1}, X_Vault_Wrap_TTL="900000h")
    assert answer["wrap_info"]["ttl"] == 2764800


@pytest.mark.parametrize(("path", "body"), [("unwrap", None), ("unwrap", {}), ("lookup", {})])
def test_no_wrapping_token(vault: Vault, path: str, body: object) -> None:
    assert vault.refused("POST", f"sys/wrapping/{path}", "", body)[0] == 400


def test_it_is_sealed(vault: Vault) -> None:
    """configuration.md 2: what is put away is not to be read in the database, and no text of a token is."""
    token = wrapped(vault, {"note": "planted-secret-of-a-wrapped-answer"})
    for file in (vault.daemon.directory / "state").glob("gateway.db*"):
        data = file.read_bytes()
        assert b"planted-secret-of-a-wrapped-answer" not in data
        assert token.encode() not in data
