"""Moving from Grafana's own LDAP login to the gateway, by the commands of docs/grafana.md (grafana.md 1.1, 4, 5)."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from tests.daemon import running
from tests.directories.slapd import Slapd
from tests.grafana.ldap_toml import block

ROOT = Path(__file__).parents[2]
HARBOR = Path(__file__).with_name("harbor.ldif")
GATEWAY = """
public_url = "https://auth.example.com"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
access_control.rules = [{ name = grafana, domain = "grafana.example.com", policy = authenticated, headers = grafana-jwt }]
login.floor = 0, login.cache = 0
reload { poll = 100ms, settle = 100ms, hold = 100ms }
"""


def documented(folder: Path, heading: str, command: str) -> list[str]:
    """The arguments of a command that stands below a heading, with files of ours in the place of theirs."""
    text = (ROOT / "docs" / "grafana.md").read_text().partition(f"\n{heading}\n")[2]
    line = next(line.strip() for line in text.splitlines() if line.strip().startswith(f"ldap-gateway {command} "))
    line = line.partition(" > ")[0].replace("/etc/grafana", str(folder)).replace(" gateway.conf", f" {folder}/gateway.conf")
    return shlex.split(line)[1:]


def files_of(arguments: list[str]) -> list[Path]:
    return [Path(value) for option, value in itertools.pairwise(arguments) if option == "-c"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ldap.toml").write_text(block(extra="use_ssl = true"))
    (tmp_path / "gateway.conf").write_text(GATEWAY)
    ini = f"[server]\ndomain = x\n\n[auth.ldap]\nenabled = true\nconfig_file = {tmp_path}/ldap.toml\n"
    (tmp_path / "grafana.ini").write_text(ini)
    return tmp_path


def test_by_the_documents(folder: Path) -> None:
    """Nobody is locked out when Grafana's LDAP is switched off, and what was printed is printed again."""
    with Slapd.start(HARBOR, directory=folder / "slapd") as slapd:
        (folder / "ldap.toml").write_text(block().replace("@PORT@", str(slapd.port)))
        trial = files_of(documented(folder, "### grafana.ini", "serve"))
        with running(folder, files=trial) as daemon:
            assert daemon.login("nina", "pw").status == 200
        first = run("grafana", "settings", *(word for file in trial for word in ("-c", str(file))))
        assert first.stdout.startswith(f"# FIRST: give the gateway the file itself, -c {folder}/ldap.toml, in the place of")
        settings = documented(folder, "## Moving over", "grafana settings")
        with running(folder, files=files_of(documented(folder, "## Moving over", "serve"))) as daemon:
            assert daemon.login("nina", "pw").status == 200
            printed = run(*settings)
            assert (printed.returncode, "FIRST" in printed.stdout) == (0, False)
            assert "org_mapping = o1_Admin:1:Admin" in printed.stdout
            (folder / "grafana.ini").write_text(printed.stdout)
            (folder / "gateway.conf").write_text(GATEWAY + "login.floor = 1ms\n")
            daemon.wait_for_event(action="configuration.apply", outcome="success", generation=2)
            assert daemon.login("nina", "pw").status == 200
            assert run(*settings).stdout == printed.stdout
        late = run("grafana", "settings", *(word for file in trial for word in ("-c", str(file))))
        assert (late.returncode, late.stdout) == (78, "")
        switch = printed.stdout.splitlines().index("[auth.ldap]") + 3
        assert late.stderr.startswith(f"error: {folder}/grafana.ini:{switch}:1: [auth.ldap] is not enabled, so there is no server")


ITSELF = "give the gateway the file itself, -c D/ldap.toml, in the place of what names it ({}): these lines switch [auth.ldap] off, and with it every server of that file"
VARIABLE = "take GF_AUTH_LDAP_ENABLED out of Grafana's environment, where it wins over these lines"
SYNC = "write grafana.skip_org_role_sync = true into a file of the gateway: {} counts no longer then"
VARIABLES = {"GF_AUTH_LDAP_ENABLED": "true", "GF_AUTH_LDAP_CONFIG_FILE": "D/ldap.toml"}
# what is added to grafana.ini, files, variables, what is to be done first
FIRST: list[tuple[str, list[str], dict[str, str], list[str]]] = [
    ("", ["ldap.toml"], {}, []),
    ("", ["grafana.ini"], {}, [ITSELF.format("D/grafana.ini:6:1")]),
    ("", [], VARIABLES, [ITSELF.format("GF_AUTH_LDAP_CONFIG_FILE"), VARIABLE]),
    ("", ["ldap.toml"], VARIABLES, [VARIABLE]),
    ("", ["ldap.toml"], {"GF_AUTH_LDAP_ENABLED": "false"}, []),
    ("skip_org_role_sync = true", ["grafana.ini"], {}, [ITSELF.format("D/grafana.ini:6:1"), SYNC.format("D/grafana.ini:7:1")]),
    ("skip_org_role_sync = true", ["grafana.ini", "ldap.toml"], {}, [SYNC.format("D/grafana.ini:7:1")]),
    ("", ["ldap.toml"], {**VARIABLES, "GF_AUTH_LDAP_SKIP_ORG_ROLE_SYNC": "true"}, [SYNC.format("GF_AUTH_LDAP_SKIP_ORG_ROLE_SYNC"), VARIABLE]),
]


@pytest.mark.parametrize(("added", "files", "variables", "steps"), FIRST, ids=[str(place) for place in range(len(FIRST))])
def test_what_to_do_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    added: str, files: list[str], variables: dict[str, str], steps: list[str],
) -> None:  # fmt: skip
    """The first comments, and on standard error, each once."""
    with (folder / "grafana.ini").open("a") as ini:
        ini.write(added)
    given = [word for name in [*files, "gateway.conf"] for word in ("-c", str(folder / name))]
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("D/", f"{folder}/"))
    assert main(["grafana", "settings", *given]) == 0
    output, errors = (text.replace(str(folder), "D") for text in capsys.readouterr())
    told = output.splitlines()
    assert [line for line in told if "FIRST" in line] == [f"# FIRST: {step}." for step in steps] == told[: len(steps)]
    assert errors.splitlines() == [f"warning: first: {step}" for step in steps]


def test_ldap_switched_off(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No lines that are half true; with a server of another file they are whole."""
    ini = folder / "grafana.ini"
    ini.write_text(ini.read_text().replace("enabled = true", "enabled = false"))
    command = ["grafana", "settings", "-c", str(ini), "-c", str(folder / "gateway.conf")]
    expected = f"error: {ini}:5:1: [auth.ldap] is not enabled, so there is no server: give the ldap.toml itself, with -c\n"
    assert (main(command), capsys.readouterr()) == (78, ("", expected))
    assert main([*command, "-c", str(folder / "ldap.toml")]) == 0
    assert capsys.readouterr().err == ""
