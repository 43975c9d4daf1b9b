"""A daemon that was given Grafana's own files: outward answers, reload of both files, what its log tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import running
from tests.directories.slapd import Slapd
from tests.grafana.ldap_toml import BASE, DEV, SRE, block, mapping

HARBOR = Path(__file__).with_name("harbor.ldif")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(HARBOR, directory=tmp_path_factory.mktemp("harbor") / "slapd") as started:
        yield started


def write(folder: Path, slapd: Slapd, toml: str, ini: str = "enabled = true\n") -> Path:
    """Both files; the path of the grafana.ini."""
    (folder / "ldap.toml").write_text(toml.replace("@PORT@", str(slapd.port)))
    (folder / "grafana.ini").write_text(f"[server]\nroot_url = %(protocol)s://x\n[auth.ldap]\nconfig_file = ldap.toml\n{ini}")
    return folder / "grafana.ini"


def settings(slapd: Slapd) -> dict[str, str]:
    # slapd's own port is what an expression in the file names.
    return {"CLEARML__login__floor": "0", "CLEARML__login__cache": "0", "CLEARML__reload__watch": "false",
            "CLEARML__lockout__failures": "1000", "DIRECTORY_PORT": str(slapd.port)}  # fmt: skip


ANSWERS = [
    ("nina", "pw", 200, "2.1 ok"),
    ("nina", "wrong", 401, "2.1 invalid"),
    ("nobody", "pw", 401, "2.1 not_found looks the same"),
    ("otto", "pw", 401, "2.1 no mapping matched"),
    ("nina", "", 401, "2.1 an empty password"),
]


def test_answers_and_log(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 2.1 as callers see it; verbose_logging tells of who was let in and never of a password."""
    toml = "verbose_logging = true\n" + block((mapping(SRE, "Admin"), mapping(DEV, "Editor")), bind_password="svc-secret")
    with running(tmp_path, files=[write(tmp_path, slapd, toml)], environment=settings(slapd)) as daemon:
        assert [daemon.login(name, password).status for name, password, _, _ in ANSWERS] == [row[2] for row in ANSWERS]
        daemon.wait_for("server ldap: nina logged in: dn=uid=nina,ou=people,dc=example,dc=com")
        told = [line for line in daemon.log.splitlines() if "logged in: dn=" in line]
        # The password was right, so the directory's facts about otto are worth telling: they are why nothing matched.
        assert [name for name in ("nina", "otto", "nobody") if any(f"{name} logged in" in line for line in told)] == ["nina", "otto"]
        assert "givenname=Nina" in told[0]
        assert f"groups: {SRE} | {DEV}" in told[0]
        assert "svc-secret" not in daemon.log
        assert "userpassword" not in daemon.log.lower()


@pytest.mark.parametrize(("toml", "status"), [
    (block(host="127.0.0.2"), 503),
    (block(search_base_dns=[f"ou=none,{BASE}"]), 500),
], ids=["unreachable", "error"])  # fmt: skip
def test_what_is_no_401(slapd: Slapd, tmp_path: Path, toml: str, status: int) -> None:
    """grafana.md 2.1: unreachable and error are told apart from a wrong password (DECISIONS 2)."""
    with running(tmp_path, files=[write(tmp_path, slapd, toml)], environment=settings(slapd)) as daemon:
        answer = daemon.login("nina", "pw")
        assert answer.status == status, answer.body


def test_both_files_are_watched(slapd: Slapd, tmp_path: Path) -> None:
    """1.1 CHOICE, 6 (4843, 27242, 91869): a change of either counts without restart; a broken one changes nothing."""
    ini = write(tmp_path, slapd, block())
    environment = settings(slapd) | {
        "CLEARML__reload__watch": "true", "CLEARML__reload__poll": "0.1", "CLEARML__reload__settle": "0.1",
        "CLEARML__reload__hold": "0.1",
    }  # fmt: skip
    with running(tmp_path, files=[ini], environment=environment) as daemon:
        assert daemon.login("otto", "pw").status == 200
        # Not a beginning of what it was: that would be held as cut short (DECISIONS 25).
        write(tmp_path, slapd, "# stricter\n" + block((mapping(SRE, "Admin"),)))
        daemon.wait_for_event(action="configuration.apply", outcome="success", generation=2)
        assert daemon.login("otto", "pw").status == 401
        write(tmp_path, slapd, block((mapping(SRE, "Captain"),)))
        daemon.wait_for("expected Viewer, Editor, Admin, None")
        assert (daemon.login("otto", "pw").status, daemon.login("nina", "pw").status) == (401, 200)
        write(tmp_path, slapd, block((mapping(SRE, "Admin"),)), "enabled = true\nskip_org_role_sync = true\n")
        daemon.wait_for_event(action="configuration.apply", outcome="success", generation=3)
        assert daemon.login("otto", "pw").status == 200


def test_what_config_check_and_show_tell(slapd: Slapd, tmp_path: Path) -> None:
    """Notes name both files; origins are those of the line that counts."""
    ini = write(tmp_path, slapd, block(), "enabled = true\nallow_sign_up = false\n")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "gateway", "config", *arguments, "-c", str(ini)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PATH": os.environ["PATH"]}, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert f"{ini}:4:1: auth.ldap: {tmp_path}/ldap.toml is read" in run("check")
    shown = run("show", "--origin", "--set")
    assert f"{ini}:6:1" in shown
    assert f"{tmp_path}/ldap.toml:2:1" in shown
