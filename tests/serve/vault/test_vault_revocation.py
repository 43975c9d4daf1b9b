"""Revocation is effective at once, in every process, and nothing is made that cannot be found again (DECISIONS 18)."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vault_calls import ROOT, Vault, configuration, p, serving

from tests.daemon import Daemon

SETTINGS = {"policies": {"maker": p("auth/token/create", "update")}, "local": {"token_policies": ["maker"]}}
CLIENTS = 32


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Vault, Vault]]:
    """Two daemons on one store."""
    given = configuration(vault=SETTINGS, store={"url": f"sqlite:///{tmp_path}/shared.db"})
    key = tmp_path / "master.key"
    key.write_text("a2V5IG9mIHRoZSBzdG9yZSBmb3IgYm90aCBvZiB0aGU=")
    given["tokens"] = {"master_key_file": str(key)}
    with serving(tmp_path / "one", given) as one, serving(tmp_path / "two", given) as two:
        yield one, two


class Client(threading.Thread):
    """Asks without pause, on one connection, and notes when each request was sent and how it ended."""

    def __init__(self, vault: Vault, token: str, stop: threading.Event) -> None:
        super().__init__()
        self._port, self._token, self._stop_asking = vault.daemon.port, token, stop
        self.answers: list[tuple[float, int]] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop_asking.is_set():
            sent = time.monotonic()
            connection.request("GET", "/v1/auth/token/lookup-self", headers={"X-Vault-Token": self._token})
            response = connection.getresponse()
            response.read()
            self.answers.append((sent, response.status))
        connection.close()


def test_revoked_while_32_clients_use_it(pair: tuple[Vault, Vault]) -> None:
    """Acceptance 6: after the 204 no request succeeds, at either daemon; the same for a child of the token."""
    one, two = pair
    parent = one.login()["client_token"]
    token = two.create(parent)["client_token"]
    stop = threading.Event()
    clients = [Client(vault, token, stop) for vault in pair for _ in range(CLIENTS // 2)]
    for client in clients:
        client.start()
    deadline = time.monotonic() + 30
    while not all(client.answers for client in clients) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.ok("PUT", "auth/token/revoke", body={"token": parent}) is None
    revoked_at = time.monotonic()
    while not all(client.answers and client.answers[-1][0] > revoked_at for client in clients):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop.set()
    for client in clients:
        client.join()
        assert client.answers[0][1] == 200
        assert {status for sent, status in client.answers if sent > revoked_at} == {403}


def test_both_daemons_know_the_same(pair: tuple[Vault, Vault]) -> None:
    """Every kind of end that one daemon makes, the other sees at the next request; uses are counted once."""
    one, two = pair
    tokens = [one.login()["client_token"] for _ in range(3)]
    assert [two.lives(token) for token in tokens] == [True] * 3
    two.ok("PUT", "auth/token/revoke-self", tokens[0])
    assert not one.lives(tokens[0])
    one.ok("PUT", "sys/leases/revoke-prefix/auth/local/login/ada")
    assert [two.lives(token) for token in tokens] == [False] * 3
    limited = one.create(num_uses=3, policies=["default"])["client_token"]
    assert [vault.lives(limited) for vault in (one, two, one, two)] == [True, True, True, False]
    wrapping = one.ok("POST", "sys/wrapping/wrap", ROOT, {"a": 1}, X_Vault_Wrap_TTL="60")["wrap_info"]["token"]
    assert two.ok("PUT", "sys/wrapping/unwrap", wrapping)["data"] == {"a": 1}
    assert one.refused("PUT", "sys/wrapping/unwrap", wrapping)[0] == 400
    batch = one.create(type="batch", policies=["default"])["client_token"]
    assert two.lives(batch)


REVOKED = "vault.root_token was revoked and is refused"


def test_a_revoked_root_token_stays_so(tmp_path: Path) -> None:
    """configuration.md 3: revoke-self of the root token forbids it, and what it made, until another is configured."""
    given = configuration(vault=SETTINGS)
    with serving(tmp_path, given) as vault:
        child = vault.create(policies=["default"])["client_token"]
        orphan = vault.ok("POST", "auth/token/create-orphan", body={"policies": ["default"]})["auth"]["client_token"]
        assert vault.ok("PUT", "auth/token/revoke-self") is None
        assert [vault.lives(token) for token in (ROOT, child, orphan)] == [False, False, True]
        assert REVOKED not in vault.daemon.log
    with serving(tmp_path, given) as vault:
        assert [vault.lives(token) for token in (ROOT, orphan)] == [False, True]
        assert vault.daemon.log.count(REVOKED) == 1
    given["vault"]["root_token"] = "another-root-token"
    with serving(tmp_path, given) as vault:
        assert [vault.lives(token) for token in (ROOT, "another-root-token", child)] == [False, True, False]
        assert vault.daemon.log.count(REVOKED) == 1
        assert ROOT not in vault.daemon.log


def test_killed_between_commit_and_answer(tmp_path: Path) -> None:
    """Acceptance 6: every token that anybody has seen is found by its accessor, and ends with its mount's prefix."""
    file = tmp_path / "gateway.conf"
    file.write_text(json.dumps(configuration(vault=SETTINGS)))
    daemon = Daemon(tmp_path, files=[file])
    seen: list[tuple[str, str]] = []

    def make(vault: Vault) -> None:
        parent = vault.login()["client_token"]
        while True:
            try:
                auth = vault.create(parent)
            except (OSError, http.client.HTTPException):
                return
            seen.append((auth["client_token"], auth["accessor"]))

    for _ in range(2):
        daemon.start()
        makers = [threading.Thread(target=make, args=(Vault(daemon),)) for _ in range(4)]
        before = len(seen)
        for maker in makers:
            maker.start()
        deadline = time.monotonic() + 30
        while len(seen) < before + 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        daemon.kill()
        for maker in makers:
            maker.join()
    daemon.start()
    try:
        vault = Vault(daemon)
        listed = set(vault.ok("LIST", "auth/token/accessors")["data"]["keys"])
        assert {accessor for _, accessor in seen} <= listed
        assert vault.ok("PUT", "sys/leases/revoke-prefix/auth/local") is None
        assert not any(vault.lives(token) for token, _ in seen)
        assert vault.refused("LIST", "auth/token/accessors") == (404, "")
    finally:
        assert daemon.stop() == 0
