"""What somebody with a token, or none, tried on mounts and their configuration (vault.md 1, 3, 9; DECISIONS 3, 15, 33)."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from vault_calls import PASSWORD, Vault, configuration, p, serving

from gateway.serve.vault.paths import shown_path
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

BIND_PASSWORD = "planted-bind-password"
OPERATOR = (
    p("sys/auth/*", "update", "delete", "sudo") + p("auth/team/*", "update", "delete") + p("auth/corp/config", "update")
)
CORP = {"name": "corp", "host": "127.0.0.1", "port": 1, "preset": "vault", "bind_dn": "cn=svc", "user_dn": "dc=x",
        "bind_password": BIND_PASSWORD}  # fmt: skip
RULES = [{"name": "ada", "domain": "app.example.com", "subject": ["user:grace"], "policy": "authenticated"},
         {"name": "any", "domain": "any.example.com", "policy": "authenticated"}]  # fmt: skip


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    given = configuration(
        vault={"policies": {"operator": OPERATOR}, "mounts": {"all": "*"}}, servers=[CORP], login={"floor": 0},
        access_control={"accept": ["vault"], "rules": RULES},
    )  # fmt: skip
    with serving(tmp_path_factory.mktemp("attacked") / "gateway", given) as started:
        yield started


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "company") as started:
        yield started


def writes(vault: Vault, accessor: str, many: int) -> list[dict[str, Any]]:
    """The first events of what the holder of a token wrote; they come a moment after the answers."""
    deadline = time.monotonic() + 20
    while True:
        lines = [line for line in vault.daemon.log.splitlines() if '"configuration.write"' in line and accessor in line]
        if len(lines) >= many:
            return [json.loads(line) for line in lines]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def stranger() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and what came in there on connections that are closed at once."""
    heard: list[bytes] = []

    class Listening(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(4096))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Listening) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        yield server.server_address[1], heard
        server.shutdown()
        serving.join()


# a call that makes or ends no mount
WITHOUT_EFFECT: list[tuple[str, str, object, int]] = [
    ("POST", "sys/auth/local", {"type": "ldap"}, 400),
    ("POST", "sys/auth/local/login/bob", {"type": "ldap"}, 400),
    ("POST", "sys/auth/token", {"type": "ldap"}, 400),
    ("POST", "sys/auth/token/create", {"type": "ldap"}, 400),
    ("POST", "sys/auth/local/x", {"type": "ldap", "config": {"default_lease_ttl": "soon"}}, 400),
    ("DELETE", "sys/auth/local", None, 400),
    ("DELETE", "sys/auth/corp", None, 400),
    ("DELETE", "sys/auth/token", None, 400),
    ("DELETE", "sys/auth/local/login/bob", None, 204),
    ("DELETE", "sys/auth/token/create", None, 204),
    ("DELETE", "sys/auth/auth", None, 204),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), WITHOUT_EFFECT, ids=[f"{m}-{q}" for m, q, _, _ in WITHOUT_EFFECT])
def test_tokens_end_with_a_mount_and_with_nothing_else(
    vault: Vault, method: str, path: str, body: object, status: int
) -> None:
    """9: a mount takes its tokens with it; what is refused or no mount takes nobody's."""
    held = [vault.login("bob")["client_token"], vault.create(policies=["default"])["client_token"]]
    operator = vault.create(policies=["operator"])["client_token"]
    assert vault.call(method, path, operator, body).status == status
    assert [vault.lives(token) for token in (*held, operator)] == [True] * 3


def test_who_wrote_what_is_in_the_trail(vault: Vault) -> None:
    """DECISIONS 33: enable, config, mappings, tune, disable; keys and never values."""
    operator = vault.create(policies=["operator"])
    token = operator["client_token"]
    vault.ok("POST", "sys/auth/team", token, {"type": "ldap", "description": "a few words"})
    vault.ok("POST", "auth/team/config", token, {"url": "ldap://dc7", "binddn": "cn=svc", "bindpass": BIND_PASSWORD})
    vault.ok("POST", "auth/team/groups/devs", token, {"policies": "very-secret-project"})
    vault.ok("POST", "sys/auth/team/tune", token, {"max_lease_ttl": "4321s"})
    vault.ok("DELETE", "auth/team/groups/devs", token)
    vault.ok("DELETE", "sys/auth/team", token)
    written = writes(vault, operator["accessor"], 6)
    assert [event["target"] for event in written] == [
        "update sys/auth/team: servers.team.preset, servers.team.realm, servers.team.vault.description",
        "update auth/team/config: servers.team.urls, servers.team.bind_dn, servers.team.bind_password",
        "update auth/team/groups/devs: servers.team.vault.groups.devs",
        "update sys/auth/team/tune: servers.team.vault.max_lease_ttl",
        "delete auth/team/groups/devs: servers.team.vault.groups.devs",
        "delete sys/auth/team: servers.team",
    ]
    assert {(event["outcome"], event["dialect"], event["client"]) for event in written} == {("success", "vault", "127.0.0.1")}
    assert not any(value in vault.daemon.log for value in (BIND_PASSWORD, "very-secret-project", "4321", "few words"))


def test_the_password_of_a_file_follows_no_url_of_the_api(tmp_path: Path) -> None:
    """DECISIONS 15: not with the old shapes either, where what is left out goes back to what it was (vault.md 13)."""
    given = configuration(servers=[CORP], vault={"compatibility": "0.7"}, login={"floor": 0})
    with stranger() as (port, heard), serving(tmp_path / "gateway", given) as vault:
        evil = {"url": f"ldap://127.0.0.1:{port}", "binddn": "cn=svc", "userdn": "dc=x"}
        for body in ({**evil, "bindpass": "sent-along"}, evil):
            before = len(heard)
            vault.ok("POST", "auth/corp/config", body=body)
            assert vault.call("PUT", "auth/corp/login/ada", "", {"password": "lovelace"}).status == 400
            assert len(heard) > before
        assert b"sent-along" in b"".join(heard)
        assert BIND_PASSWORD.encode() not in b"".join(heard)


def test_saying_it_again_writes_nothing(vault: Vault) -> None:
    """Tools write all fields at once: what is as the file has it goes on to be the file's."""
    writer = vault.create(policies=["operator"])
    body = {"url": "ldap://127.0.0.1:1", "starttls": False, "userattr": "uid"}
    vault.ok("POST", "auth/corp/config", writer["client_token"], body)
    (event,) = writes(vault, writer["accessor"], 1)
    assert event["target"] == "update auth/corp/config: servers.corp.user_attr"


def test_people_of_a_mount_of_the_api_are_not_those_of_the_rules(vault: Vault, slapd: Slapd) -> None:
    """DECISIONS 3: who may enable a mount must not make themselves a grace for forward auth; here they log in."""
    config = {"url": slapd.url, "userattr": "uid", "userdn": f"ou=people,{BASE_DN}", "binddn": SERVICE_DN,
              "bindpass": SERVICE_PASSWORD}  # fmt: skip
    vault.ok("POST", "sys/auth/mine", body={"type": "ldap"})
    vault.ok("POST", "auth/mine/config", body=config)
    answer = vault.ok("PUT", "auth/mine/login/grace", "", {"password": "cobol-1959"})
    tokens = {"mine": answer["auth"]["client_token"], "local": vault.login("bob")["client_token"]}

    def asked(token: str, domain: str) -> int:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": domain, "X-Forwarded-Uri": "/",
                   "X-Forwarded-Method": "GET", "X-Forwarded-For": "192.0.2.1"}  # fmt: skip
        return vault.daemon.call("/api/authz/forward-auth", headers=headers, bearer=token).status

    assert [asked(tokens["local"], "any.example.com"), asked(tokens["local"], "app.example.com")] == [200, 403]
    assert [asked(tokens["mine"], "any.example.com"), asked(tokens["mine"], "app.example.com")] == [401, 401]
    assert vault.lives(tokens["mine"])
    vault.ok("DELETE", "sys/auth/mine")
    assert not vault.lives(tokens["mine"])


# more than a mount, a policy or a stranger has use for, or without effect: path, body, what the refusal says
TOO_MUCH: list[tuple[str, object, str]] = [
    ("sys/auth/corp/tune", {"description": "x" * 1025}, "'description' has at most 1024 bytes"),
    ("sys/auth/corp/tune", {"description": "ä" * 513}, "'description' has at most 1024 bytes"),
    ("sys/auth/all/tune", {"user_lockout_config": {"lockout_disable": True}}, "tune their mounts"),
    ("sys/auth/other", {"type": "ldap", "description": "x" * 1025}, "'description' has at most 1024 bytes"),
    ("auth/corp/config", {"bindpass": "a", "url": ",".join(f"ldap://dc{n}" for n in range(21))}, "at most 20 can be tried"),
    ("sys/policies/acl/long", {"policy": p("+/" * 1000 + "a", "read")}, "at most 1000 segments"),
]


@pytest.mark.parametrize(("path", "body", "text"), TOO_MUCH, ids=[f"{n}-{row[0]}" for n, row in enumerate(TOO_MUCH)])
def test_what_is_refused_at_write(vault: Vault, path: str, body: object, text: str) -> None:
    """14: bounded, whoever asks."""
    status, said = vault.refused("POST", path, body=body)
    assert status == 400
    assert text in said
    assert len(said) < 8192


def test_an_empty_userfilter_is_the_default_one(vault: Vault) -> None:
    """3: as in a Vault; an unusable one would lock everybody out."""
    vault.ok("POST", "sys/auth/people", body={"type": "ldap"})
    vault.ok("POST", "auth/people/config", body={"userfilter": "(uid={{.Username}})"})
    vault.ok("POST", "auth/people/config", body={"userfilter": ""})
    assert vault.ok("GET", "auth/people/config")["data"]["userfilter"] == "({{.UserAttr}}={{.Username}})"
    vault.ok("DELETE", "sys/auth/people")


# a path that somebody put a token into, as it may be shown
PATHS = [
    ("sys/leases/revoke-prefix/hvs.ABCDEFGHIJKLMNOPQRSTUVWX", "sys/leases/revoke-prefix/hvs...."),
    ("foo/hvb.AAAA-AAAA_AAAAAAAAAAA/x", "foo/hvb..../x"),
    ("foo/lgp_ABCDEFGHIJKLMNOPQRSTUVWX", "foo/lgp_..."),
    ("foo/s.ABCDEFGHIJKLMNOPQRSTUVWX", "foo/..."),
    ("foo/6f1b8b0e-2d1c-4f0e-9a55-0a2d6f4c7e31", "foo/..."),
    ("auth/local/groups/hvs.small", "auth/local/groups/hvs.small"),
    ("auth/local/groups/s.bach", "auth/local/groups/s.bach"),
    ("x" * 600, "x" * 512 + "..."),
]


@pytest.mark.parametrize(("path", "shown"), PATHS, ids=[f"row{number}" for number in range(len(PATHS))])
def test_tokens_in_paths_are_not_shown(path: str, shown: str) -> None:
    assert shown_path(path) == shown


def test_tokens_in_paths_go_nowhere(vault: Vault) -> None:
    """DECISIONS 40: neither into refusals nor into the trail."""
    token = vault.login()["client_token"]
    said = [vault.refused("GET", path + token)[1] for path in ("foo/", "sys/", "auth/token/lookup/", "sys/auth/")]
    said.append(vault.refused("GET", f"sys/internal/ui/mounts/{token}", "")[1])
    vault.ok("POST", f"sys/leases/revoke-prefix/{token}")
    assert not any(token in text for text in (*said, vault.daemon.log))
    assert vault.lives(token)
    assert PASSWORD not in vault.daemon.log
