"""``ldap-gateway vaults history|undo``: each write keeps the previous version, and can be undone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.schema import QUICKSTART_HASH
from gateway.vaults.model import declared_vault_id
from tests.admin_client import by_socket
from tests.daemon import Daemon, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    users = [{"username": "ada", "clearml_role": "admin", "password_hash": QUICKSTART_HASH}]
    declared = json.dumps({"base": {"data": "sdk.b = 1", "type": "other"}})
    environment = {"CLEARML__users": json.dumps(users), "CLEARML__vaults__declared": declared}
    with running(tmp_path_factory.mktemp("history"), environment=environment) as started:
        yield started


class Writer:
    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.token = daemon.token("ada", "lovelace")

    def call(self, action: str, **fields: Any) -> Any:
        answer = self.daemon.call(f"/users.{action}", bearer=self.token, method="POST", body=json.dumps(fields))
        assert answer.status == 200, answer.body
        return answer.data

    def save(self, **vault: Any) -> str:
        saved: str = self.call("add_or_update_vault", vault=vault)["vault"]
        return saved

    def texts(self) -> list[str]:
        return [vault["data"] for vault in self.call("get_organization_vaults", types=["config"])["vaults"]]


def command(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    state = str(daemon.directory / "state")
    whole = [sys.executable, "-m", "gateway", "vaults", *arguments, "--state-dir", state]
    return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def test_history_and_undo(daemon: Daemon) -> None:
    writer = Writer(daemon)
    vault = writer.save(scope="organization", data="n = planted_1", description="first")
    writer.save(id=vault, data="n: planted_2", format="yaml", enabled=False)
    writer.call("delete_vaults", vaults=[vault])
    assert writer.texts() == []
    listed = command(daemon, "history", vault)
    assert listed.returncode == 0, listed.stderr
    assert re.match(r"The vault was deleted at 2\S+Z; vaults undo brings it back\.\n   2  ", listed.stdout), listed.stdout
    assert command(daemon, "list").stdout == ""
    gone = command(daemon, "list", "--deleted").stdout
    assert re.fullmatch(rf"{vault}  deleted 2\S+  local/ada  organization, config, disabled, first\n", gone), gone
    assert "local/ada  disabled, yaml, 12 bytes\n   1  " in listed.stdout
    assert "planted" not in listed.stdout
    assert command(daemon, "history", vault, "--version", "1").stdout == "n = planted_1\n"
    undone = command(daemon, "undo", vault)
    assert undone.stdout == "The vault is back as it was in version 2; that is version 3 now.\n", undone.stderr
    assert command(daemon, "list", "--deleted").stdout == ""
    [line] = command(daemon, "list").stdout.splitlines()
    assert re.fullmatch(rf"{vault}  2\S+  uid \d+ \(undo to version 2\)  organization, config, disabled, first", line), line
    [back] = writer.call("get_organization_vaults", types=["config"])["vaults"]
    assert (back["data"], back["format"], back["enabled"], back["description"]) == ("n: planted_2", "yaml", False, "first")
    again = command(daemon, "undo", vault, "--version", "3")
    assert (again.returncode, again.stderr) == (1, "error: the vault already is what it was in version 3: name another version\n")
    assert "is as it was in version 1; that is version 4 now" in command(daemon, "undo", vault, "--version", "1").stdout
    assert writer.texts() == ["n = planted_1"]
    assert command(daemon, "undo", vault).returncode == 0, "undoing is a write that can be undone"
    assert writer.texts() == ["n: planted_2"]
    versions = by_socket(daemon.directory, f"/admin/vaults/history?vault={vault}").json["versions"]
    assert [row["version"] for row in versions] == [5, 4, 3, 2, 1]
    assert versions[0]["by"].startswith("uid ")
    assert daemon.wait_for_event(action="vault.undo")["target"] == vault
    assert "planted" not in daemon.log


def test_what_cannot_be_undone(daemon: Daemon) -> None:
    writer = Writer(daemon)
    vault = writer.save(scope="organization", data="n = 1")
    for arguments in (("history", "0" * 32), ("undo", "0" * 32), ("undo", vault), ("history", vault, "--version", "9")):
        refused = command(daemon, *arguments)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("error: ")
    for fields in ({}, {"vault": 5}, {"vault": vault, "version": "1"}, {"vault": vault, "version": True}):
        assert by_socket(daemon.directory, "/admin/vaults/undo", "POST", fields).status == 400
    declared = by_socket(daemon.directory, "/admin/vaults/undo", "POST", {"vault": declared_vault_id("base")})
    assert (declared.status, "vaults.declared.base" in declared.json["error"]) == (400, True)
    own = daemon.call(f"/admin/vaults/history?vault={vault}", basic=("ada", "lovelace"))
    assert own.status == 403, "ClearML's administrators are none of the gateway (DECISIONS 8)"
