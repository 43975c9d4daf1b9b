"""``ldap-gateway config check`` as a process: exit code, streams, and no secret in either."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONF = Path(__file__).parents[2] / "conf"
DURATION = "expected a duration such as 90s, 5m, 1h30m, 30 days or a number of seconds"
PROGRAM = """
import argparse, sys
from gateway.cli import config
parser = argparse.ArgumentParser()
config.register(parser.add_subparsers())
arguments = parser.parse_args(sys.argv[1:])
sys.exit(arguments.run(arguments))
"""


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML__", "TRAINS__"))}
    command = [sys.executable, "-c", PROGRAM, "config", "check", *arguments]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=60, check=False)


def test_good() -> None:
    done = check("-c", str(CONF / "quickstart.conf"), "-c", str(CONF / "gateway.conf"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "The configuration is good.\n", "")


def test_environment_alone() -> None:
    done = check(CLEARML__no__such="x", CLEARML__users__ada__disabled="true")
    assert (done.returncode, done.stdout) == (0, "The configuration is good.\n")
    assert done.stderr.splitlines() == ["warning: CLEARML__no__such: no: unknown key"]


@pytest.mark.parametrize("more", [(), ("--connect",)])
def test_nothing_to_check(more: tuple[str, ...]) -> None:
    """Somebody has forgotten -c FILE: that must not pass for a good configuration."""
    done = check(*more, CLEARML__no__such="x")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        "warning: CLEARML__no__such: no: unknown key",
        "error: configuration: nothing to check: no -c FILE, and the environment has no servers and no users",
    ]


def test_a_file_of_grafana_that_is_not_read() -> None:
    """configuration.md 1.6: a container with half of the variables; the cause comes first."""
    done = check(GF_AUTH_LDAP_CONFIG_FILE="/etc/grafana/ldap.toml")
    assert (done.returncode, done.stdout) == (78, "")
    note, error = done.stderr.splitlines()
    assert note.startswith("note: GF_AUTH_LDAP_CONFIG_FILE: auth.ldap.enabled is not set, which means false: the ldap.toml")
    assert error.startswith("error: configuration: nothing to check")


def test_nobody_can_log_in(tmp_path: Path) -> None:
    """The daemon starts with such a file, too, and an API may add people later; but it is not called good."""
    (tmp_path / "a.conf").write_text("log.level = info")
    done = check("-c", str(tmp_path / "a.conf"))
    assert (done.returncode, done.stdout) == (0, "Nothing is wrong with the configuration, but nobody can log in.\n")
    assert done.stderr == "warning: configuration: nobody can log in: no servers and no users\n"


def test_no_directory_to_connect_to() -> None:
    done = check("--connect", "-c", str(CONF / "quickstart.conf"))
    assert (done.returncode, done.stdout) == (0, "The configuration is good. There is no directory to connect to.\n")


def test_bad(tmp_path: Path) -> None:
    """Everything at once, one a line, exit 78."""
    (tmp_path / "a.toml").write_text('listn = 1\n[tokens]\nmaster_key = "hunter2"\n')
    (tmp_path / "b.conf").write_text("a = {")
    files = ("-c", str(tmp_path / "a.toml"), "--config", str(tmp_path / "b.conf"))
    done = check(*files, CLEARML__http__shutdown="hunter3", CLEARML__no__such="x")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        f'error: {tmp_path}/a.toml:1:1: listn: unknown key; did you mean "listen"?',
        f"error: {tmp_path}/a.toml:3:1: tokens.master_key: expected 32 bytes in base64 (openssl rand -base64 32)",
        f"error: {tmp_path}/b.conf:1:5: not valid HOCON: no }} closes this bracket",
        "warning: CLEARML__no__such: no: unknown key",
        f"error: CLEARML__http__shutdown: http.shutdown: {DURATION}",
    ]


@pytest.mark.parametrize("argument", ["-c", "--nonsense"])
def test_usage(argument: str) -> None:
    assert check(argument).returncode == 2
