"""What the ``vault`` and ``bao`` command lines send, request by request, and what they look for in the answers
(vault.md 11); and they themselves, where one is on PATH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vault_calls import PASSWORD, ROOT, Vault, configuration, p, serving

from tests.daemon import Answer
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

BINARY = shutil.which("vault") or shutil.which("bao")
NAME, SECRET = "alan", "enigma"
ENABLE = {
    "type": "ldap", "description": "", "local": False, "seal_wrap": False, "external_entropy_access": False,
    "options": None,
    "config": {"options": None, "default_lease_ttl": "0s", "max_lease_ttl": "0s", "force_no_cache": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@pytest.fixture(scope="module")
def vault(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """With ``ldap/`` enabled and configured, as the first commands of every tutorial leave it."""
    with serving(tmp_path_factory.mktemp("cli"), configuration()) as vault:
        assert send(vault, "POST", "sys/auth/ldap", ENABLE).status == 204
        assert send(vault, "PUT", "auth/ldap/config", fields_for(slapd)).status == 204
        assert send(vault, "PUT", "auth/ldap/groups/developers", {"policies": "dev,ops"}).status == 204
        yield vault


def fields_for(slapd: Slapd) -> dict[str, Any]:
    """As ``vault write`` sends them: every value a string."""
    server = slapd.server()
    return {
        "url": slapd.url, "userdn": f"ou=people,{BASE_DN}", "userattr": "uid", "groupdn": f"ou=groups,{BASE_DN}",
        "groupfilter": "(member={{.UserDN}})", "binddn": server["bind_dn"], "bindpass": server["bind_password"],
        "insecure_tls": "false", "request_timeout": "90s",
    }  # fmt: skip


def send(vault: Vault, method: str, path: str, body: object = None, token: str = ROOT, **headers: str) -> Answer:
    """With the command line's headers, and no Content-Type."""
    sent = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip", **headers}
    return vault.call(method, path, token, body, {name.replace("_", "-"): text for name, text in sent.items()})


def secret(answer: Answer) -> dict[str, Any]:
    """The answer as the Go library parses it: exact field names, numbers without fraction."""
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    parsed = json.loads(answer.body, parse_float=lambda text: pytest.fail(f"{text} is no integer"))
    assert {"request_id", "lease_id", "renewable", "lease_duration", "data", "warnings", "auth", "wrap_info"} <= set(parsed)
    found: dict[str, Any] = parsed
    return found


def login(vault: Vault, name: str = NAME, password: str = SECRET, mount: str = "ldap") -> dict[str, Any]:
    """``vault login -method=ldap username=...``: no token, and nothing but this."""
    auth: dict[str, Any] = secret(send(vault, "PUT", f"auth/{mount}/login/{name}", {"password": password}, ""))["auth"]
    return auth


def test_login(vault: Vault) -> None:
    auth = login(vault)
    assert auth["policies"] == auth["token_policies"] == ["default", "dev", "ops"]
    assert auth["metadata"] == {"username": NAME}
    assert (auth["lease_duration"], auth["renewable"], auth["token_type"]) == (2764800, True, "service")
    # a token sent along does not count, whatever it is
    stale = send(vault, "PUT", f"auth/ldap/login/{NAME}", {"password": SECRET}, "hvs.stale")
    assert stale.status == 200
    assert send(vault, "GET", f"auth/ldap/login/{NAME}", None, "").status in (403, 405)


def test_login_elsewhere(vault: Vault) -> None:
    """``-path=corp``; the name may be LOGNAME's."""
    assert login(vault, "ada", PASSWORD, "local")["metadata"] == {"username": "ada"}


def test_login_wrapped(vault: Vault) -> None:
    """``-wrap-ttl=5m``: a second request with the wrapping token and body null."""
    answer = secret(send(vault, "PUT", f"auth/ldap/login/{NAME}", {"password": SECRET}, "", X_Vault_Wrap_TTL="5m0s"))
    info = answer["wrap_info"]
    assert info["wrapped_accessor"]
    address = vault.daemon.call(
        "/v1/sys/wrapping/unwrap", method="PUT", body="null", headers={"X-Vault-Token": info["token"]}
    )
    assert secret(address)["auth"]["accessor"] == info["wrapped_accessor"]


def test_login_by_token(vault: Vault) -> None:
    """``vault login TOKEN``, and what a 0.x client asks behind every login."""
    data = secret(send(vault, "GET", "auth/token/lookup-self", None, login(vault)["client_token"]))["data"]
    for name in ("accessor", "creation_time", "creation_ttl", "display_name", "expire_time", "explicit_max_ttl", "id",
                 "issue_time", "meta", "num_uses", "orphan", "path", "policies", "renewable", "ttl", "type"):  # fmt: skip
        assert name in data


def test_wrong_password(vault: Vault) -> None:
    answer = send(vault, "PUT", f"auth/ldap/login/{NAME}", {"password": "wrong"}, "")
    assert (answer.status, answer.json["errors"]) == (400, ["ldap operation failed: failed to bind as user"])


def test_auth_methods(vault: Vault) -> None:
    """``auth enable``, ``auth list``, ``auth tune``, ``auth disable``."""
    assert send(vault, "POST", "sys/auth/second", ENABLE).status == 204
    assert "path is already in use at second/" in send(vault, "POST", "sys/auth/second", ENABLE).json["errors"][0]
    listed = secret(send(vault, "GET", "sys/auth"))
    assert {"ldap/", "second/", "token/"} <= set(listed["data"]) <= set(listed)
    entry = listed["data"]["second/"]
    assert (entry["type"], entry["config"]["default_lease_ttl"], entry["accessor"][:10]) == ("ldap", 0, "auth_ldap_")
    tune = {"default_lease_ttl": "1h", "max_lease_ttl": "", "token_type": ""}
    assert send(vault, "POST", "sys/mounts/auth/second/tune", tune).status == 204
    assert secret(send(vault, "GET", "sys/auth/second/tune"))["data"]["default_lease_ttl"] == 3600
    assert send(vault, "DELETE", "sys/auth/second").status == 204
    assert "second/" not in secret(send(vault, "GET", "sys/auth"))["data"]


def test_configuration(vault: Vault) -> None:
    """``write auth/ldap/config``, ``read auth/ldap/config``: text in, typed values out, never the password."""
    data = secret(send(vault, "GET", "auth/ldap/config"))["data"]
    assert (data["userattr"], data["insecure_tls"], data["request_timeout"]) == ("uid", False, 90)
    assert "bindpass" not in data
    assert send(vault, "PUT", "auth/ldap/config", {"request_timeout": "30s"}).status == 204
    assert secret(send(vault, "GET", "auth/ldap/config"))["data"]["request_timeout"] == 30
    assert login(vault)


@pytest.mark.parametrize("kind", ["groups", "users"])
def test_mappings(vault: Vault, kind: str) -> None:
    """``list``, ``write``, ``read``, ``delete`` of groups and users; an empty list prints ``No value found``."""
    path = f"auth/ldap/{kind}"
    for written, name in (("scientists", "scientists"), ("Data%20Science/EU", "data science/eu")):
        assert send(vault, "PUT", f"{path}/{written}", {"policies": "foo, Bar"}).status == 204
        assert name in secret(send(vault, "GET", f"{path}?list=true"))["data"]["keys"]
        data = secret(send(vault, "GET", f"{path}/{written}"))["data"]
        assert data == {"policies": ["bar", "foo"], **({"groups": ""} if kind == "users" else {})}
        assert send(vault, "DELETE", f"{path}/{written}").status == 204
        assert send(vault, "GET", f"{path}/{written}").status == 404


def test_an_empty_list(vault: Vault) -> None:
    answer = send(vault, "GET", "auth/local/users?list=true")
    assert (answer.status, answer.json) == (404, {"errors": []})


def test_tokens(vault: Vault) -> None:
    """``token lookup [T | -accessor A]``, ``token renew``, ``token capabilities``, ``token revoke -self``."""
    auth = login(vault)
    token, accessor = auth["client_token"], auth["accessor"]
    assert secret(send(vault, "POST", "auth/token/lookup", {"token": token}))["data"]["id"] == token
    assert secret(send(vault, "POST", "auth/token/lookup-accessor", {"accessor": accessor}))["data"]["id"] == ""
    assert secret(send(vault, "PUT", "auth/token/renew-self", {"increment": 0}, token))["auth"]["client_token"] == token
    for body in ({"path": "sys/auth"}, {"paths": ["sys/auth"]}, {"paths": ["sys/auth"], "token": token}):
        told = secret(send(vault, "POST", "sys/capabilities-self", body, token))
        assert told["data"]["sys/auth"] == told["sys/auth"] == ["deny"]
    revoked = vault.daemon.call("/v1/auth/token/revoke-self", method="PUT", headers={"X-Vault-Token": token})
    assert (revoked.status, revoked.body) == (204, b"")
    assert send(vault, "GET", "auth/token/lookup-self", None, token).status == 403


def test_path_help(vault: Vault) -> None:
    """``path-help auth/ldap``: a bare object; a path below it too; a token is needed."""
    for path in ("auth/ldap", "auth/ldap/config", "auth/token/create", "sys/policies/acl/x"):
        answer = send(vault, "GET", f"{path}?help=1", None, login(vault)["client_token"])
        assert (answer.status, set(answer.json)) == (200, {"help", "see_also", "openapi"})
        assert answer.json["help"]
    assert send(vault, "GET", "auth/ldap?help=1", None, "").status == 403


def test_status(vault: Vault) -> None:
    """``status``: two requests without a token, whose answers have no envelope."""
    seal = send(vault, "GET", "sys/seal-status", None, "").json
    assert (seal["type"], seal["initialized"], seal["sealed"]) == ("shamir", True, False)
    assert {"t", "n", "progress", "nonce", "version", "build_date", "migration", "cluster_name", "storage_type"} <= set(seal)
    assert send(vault, "GET", "sys/leader", None, "").json["ha_enabled"] is False


def test_policies(vault: Vault) -> None:
    """``policy write n -``, ``policy read``, ``policy list``, ``policy delete``."""
    text = p("auth/ldap/config", "read")
    assert send(vault, "PUT", "sys/policies/acl/mine", {"policy": text}).status == 204
    assert secret(send(vault, "GET", "sys/policies/acl/mine"))["data"]["policy"] == text
    assert "mine" in secret(send(vault, "GET", "sys/policies/acl?list=true"))["data"]["keys"]
    assert send(vault, "DELETE", "sys/policies/acl/mine").status == 204


def run(vault: Vault, *words: str, token: str = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line itself, with a home of its own."""
    home = Path(vault.daemon.directory) / "home"
    home.mkdir(exist_ok=True)
    address = f"http://127.0.0.1:{vault.daemon.port}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "VAULT_ADDR": address, "BAO_ADDR": address, **variables}
    if token:
        environment |= {"VAULT_TOKEN": token, "BAO_TOKEN": token}
    return subprocess.run(
        [str(BINARY), *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


if BINARY:

    def test_the_command_line_itself(vault: Vault) -> None:
        """17.2: exit status 0 and the expected table for each row; login, look-up, revocation."""
        for words, expected in (
            (("status",), "Initialized"),
            (("auth", "list"), "ldap/"),
            (("auth", "enable", "-path=by-cli", "ldap"), "Success"),
            (("auth", "tune", "-default-lease-ttl=1h", "by-cli/"), "Success"),
            (("auth", "disable", "by-cli/"), "Success"),
            (("read", "auth/ldap/config"), "userattr"),
            (("write", "auth/ldap/groups/by-cli", "policies=a,b"), "Success"),
            (("list", "auth/ldap/groups"), "by-cli"),
            (("delete", "auth/ldap/groups/by-cli"), "Success"),
            (("policy", "list"), "default"),
            (("token", "capabilities", "sys/auth"), "root"),
            (("path-help", "auth/ldap"), "login"),
        ):
            ended = run(vault, *words)
            assert ended.returncode == 0, (words, ended.stderr)
            assert expected in ended.stdout
        ended = run(vault, "login", "-method=ldap", "-format=json", f"username={NAME}", f"password={SECRET}", token="")
        token = json.loads(ended.stdout)["auth"]["client_token"]
        assert json.loads(run(vault, "token", "lookup", "-format=json", token=token).stdout)["data"]["id"] == token
        wrapped = run(
            vault, "login", "-method=ldap", "-wrap-ttl=5m", "-format=json", f"username={NAME}", f"password={SECRET}",
            token="",
        )  # fmt: skip
        assert wrapped.returncode == 0, wrapped.stderr
        assert run(vault, "token", "renew", token=token).returncode == 0
        assert run(vault, "token", "revoke", "-self", token=token).returncode == 0
        assert run(vault, "token", "lookup", token=token).returncode == 2
