"""Where what the API writes meets files, the environment, local users and restarts, by hvac on a real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
from hvac.exceptions import InvalidRequest

from tests.daemon import Daemon, running

ROOT = "the-root-token"
CONFIGURATION = f"""
vault {{ root_token = "{ROOT}", groups {{ everywhere = [base] }} }}
servers.corp {{
  url = "ldap://127.0.0.1:1", userdn = "dc=x", binddn = "cn=svc", bindpass = "planted-secret"
  vault {{ groups {{ Declared = [a] }} }}
}}
"""
PINNED = "CLEARML__servers__corp__upndomain"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("vault")
    file = directory / "gateway.conf"
    file.write_text(CONFIGURATION)
    with running(directory, files=[file], environment={PINNED: "pinned.example"}) as daemon:
        yield daemon


def client(daemon: Daemon) -> Any:
    return hvac.Client(url=f"http://127.0.0.1:{daemon.port}", token=ROOT)


@pytest.fixture
def vault(daemon: Daemon) -> Iterator[Any]:
    """A client with a mount ``ldap`` of its own."""
    made = client(daemon)
    assert made.sys.enable_auth_method("ldap", description="people").status_code == 204
    yield made
    assert made.sys.disable_auth_method("ldap").status_code == 204


def test_a_declared_server(vault: Any) -> None:
    """DECISIONS 15, 22: changed by API, pinned by the environment."""
    ldap = vault.auth.ldap
    for change in ({"url": "ldap://evil"}, {"insecure_tls": True}):
        with pytest.raises(InvalidRequest, match="was not set through this API: give bindpass as well"):
            ldap.configure(mount_point="corp", **change)
    said = ldap.configure(upndomain="other.example", mount_point="corp")
    assert said["warnings"] == [f"what was written has no effect while {PINNED} is set"]
    assert ldap.read_configuration(mount_point="corp")["data"]["upndomain"] == "pinned.example"
    assert ldap.configure(userdn="dc=y", url="LDAP://127.0.0.1:1", mount_point="corp").status_code == 204
    assert ldap.read_configuration(mount_point="corp")["data"]["userdn"] == "dc=y"


def test_what_a_file_says_can_be_removed(vault: Any) -> None:
    """DECISIONS 22: a tombstone; what holds for every mount stays, and that is said."""
    ldap = vault.auth.ldap
    assert ldap.read_group("declared", mount_point="corp")["data"] == {"policies": ["a"]}
    assert ldap.delete_group("DECLARED", mount_point="corp").status_code == 204
    assert ldap.list_groups(mount_point="corp")["data"]["keys"] == ["everywhere"]
    assert ldap.create_or_update_group("declared", policies=["a"], mount_point="corp").status_code == 204
    said = ldap.create_or_update_group("everywhere", policies=["own"])
    assert said["warnings"] == ["everywhere stands in vault.groups, too, which adds to what every mount gives"]
    assert ldap.read_group("everywhere")["data"] == {"policies": ["base", "own"]}


def test_mounts_without_a_directory(vault: Any) -> None:
    """The local users have mappings and terms of tokens, and nothing else to configure."""
    ldap = vault.auth.ldap
    assert ldap.configure(token_ttl="1h", mount_point="local", deny_null_bind=None).status_code in (200, 204)
    assert ldap.read_configuration(mount_point="local")["data"]["token_ttl"] == 3600
    with pytest.raises(InvalidRequest, match="url cannot be set"):
        ldap.configure(url="ldap://x", mount_point="local")


def run(daemon: Daemon, *arguments: str, text: str = "") -> tuple[int, str]:
    command = [sys.executable, "-m", "gateway", *arguments, "--state-dir", str(daemon.directory / "state")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_mappings_as_a_document(vault: Any, daemon: Daemon) -> None:
    """configuration.md 1.3: exported, changed, imported; a dry run shows the difference."""
    ldap = vault.auth.ldap
    ldap.create_or_update_group("ops", policies=["a"])
    ldap.create_or_update_user("ada", policies=["b"], groups=["g"])
    code, exported = run(daemon, "vault", "export", "ldap")
    assert (code, exported) == (0, 'groups:\n  "ops": ["a"]\nusers:\n  "ada": {"groups": ["g"], "policies": ["b"]}\n')
    wanted = "groups: {Ops: [c, A], dev: []}"
    changes = '- users.ada = {"groups": ["g"], "policies": ["b"]}\n'
    expected = '~ groups.ops: ["a"] -> ["a", "c"]\n+ groups.dev = []\n' + changes
    assert run(daemon, "vault", "import", "ldap", "-", "--dry-run", text=wanted) == (0, expected)
    assert ldap.list_users()["data"] == {"keys": ["ada"]}
    assert run(daemon, "vault", "import", "ldap", "-", text=wanted) == (0, expected)
    assert json.loads(run(daemon, "vault", "export", "ldap", "--format", "json")[1]) == {
        "groups": {"dev": [], "ops": ["a", "c"]}, "users": {},
    }  # fmt: skip
    code, text = run(daemon, "vault", "import", "ldap", "-", text="groups: [a]")
    assert (code, text) == (1, "error: groups: expected a table\n")


def test_everything_outlives_a_restart(tmp_path: Path) -> None:
    """And a kill right after the answer."""
    file = tmp_path / "gateway.conf"
    file.write_text(CONFIGURATION)
    daemon = Daemon(tmp_path, files=[file]).start()
    try:
        made = client(daemon)
        made.sys.enable_auth_method("ldap", path="a/b")
        made.auth.ldap.configure(userdn="dc=z", binddn="cn=svc", bindpass="planted-secret", mount_point="a/b")
        made.auth.ldap.create_or_update_group("ops", policies=["x"], mount_point="a/b")
    finally:
        daemon.kill()
    assert b"planted-secret" not in b"".join(each.read_bytes() for each in (tmp_path / "state").glob("gateway.db*"))
    with running(tmp_path, files=[file]) as daemon:
        ldap = client(daemon).auth.ldap
        assert ldap.read_configuration(mount_point="a/b")["data"]["userdn"] == "dc=z"
        assert ldap.read_group("ops", mount_point="a/b")["data"] == {"policies": ["x"]}
