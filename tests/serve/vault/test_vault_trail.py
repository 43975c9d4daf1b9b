"""What the audit trail tells of the Vault dialect: who was denied what, and who root is (DECISIONS 33)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from vault_calls import ROOT, Vault, configuration, p, serving

UNKNOWN = "hvs.unknown-token-of-nobody-at-all-000000000000000"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with serving(tmp_path_factory.mktemp("trail"), configuration()) as started:
        yield started


def test_a_token_without_the_right(vault: Vault) -> None:
    """Each request is told: whose token, which one, what was asked; no token that stands in a path."""
    auth = vault.login()
    for path in ("sys/policies/acl/ops", f"auth/token/lookup/{ROOT}", f"sys/x/{auth['client_token']}"):
        assert vault.refused("GET", path, auth["client_token"])[0] == 403
    told = {"action": "access", "outcome": "failure", "dialect": "vault", "server": "local", "user": "ada"}
    for target in ("read sys/policies/acl/ops", "read auth/token/lookup", "read sys/x/hvs...."):
        event = vault.daemon.wait_for_event(**told, target=target)
        assert event["reason"] == f"permission denied to {auth['accessor']}"
        assert event["client"] == "127.0.0.1"
    assert ROOT not in vault.daemon.log
    assert auth["client_token"] not in vault.daemon.log


def test_unknown_tokens(vault: Vault) -> None:
    """One event of a network in a minute, whatever strangers send; nothing of those who show no token."""
    assert vault.refused("GET", "sys/mounts-without-token", "")[0] == 403
    for number in range(5):
        assert vault.refused("GET", f"sys/policies/acl/{number}", f"{UNKNOWN}{number}")[0] == 403
    vault.ok("PUT", "sys/policies/acl/last", body={"policy": p("x", "read")})
    vault.daemon.wait_for_event(action="configuration.write", user="root")
    events = [event for event in vault.daemon.events if event["reason"].startswith("unknown token")]
    assert [(event["user"], event["target"], event["outcome"]) for event in events] == [("", "read sys/policies/acl/0", "failure")]
    assert UNKNOWN not in vault.daemon.log


def test_root_is_called_so(vault: Vault) -> None:
    """Root's own token alone: what it makes may be called anything."""
    made = vault.create(policies=["root"], display_name="root")
    assert vault.ok("PUT", "sys/policies/acl/mine", made["client_token"], {"policy": p("x", "read")}) is None
    assert vault.ok("PUT", "sys/policies/acl/roots", body={"policy": p("x", "read")}) is None
    accessor = vault.ok("GET", "auth/token/lookup-self")["data"]["accessor"]
    event = vault.daemon.wait_for_event(action="configuration.write", reason=f"by {accessor}")
    assert (event["server"], event["user"]) == ("", "root")
    assert vault.daemon.wait_for_event(action="configuration.write", reason=f"by {made['accessor']}")["user"] == ""


def test_uses_that_are_not_noted(vault: Vault) -> None:
    """``tokens list`` claims nothing of Vault tokens, whose uses by this API are noted nowhere."""
    auth = vault.login("bob")
    assert vault.lives(auth["client_token"])
    command = [sys.executable, "-m", "gateway", "tokens", "list", "--state-dir", str(vault.daemon.directory / "state")]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    [line] = [line for line in listed.splitlines() if auth["accessor"] in line]
    assert ("local/bob" in line, "used" in line) == (True, False), line
