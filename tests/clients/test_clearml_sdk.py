"""clearml.md 11.1: the unmodified SDK 2.1.12, in an environment of its own, against the daemon and a real slapd."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, running
from tests.directories.slapd import COMPANY, Slapd

PYTHON = Path(__file__).parents[2] / ".venvs/clearml-2.1.12/bin/python"
PROBE = """
import json
from clearml.backend_api import Session
from clearml.config import config
s = Session()
print("PROBE " + json.dumps({"api": s.api_version, "feature_set": s.feature_set,
      "server": s.server_version, "uri": config.get("development.default_output_uri", None)}))
"""
SECONDS = 60
GOOD = {"api": "2.34", "feature_set": "vault", "server": "2.3.0", "uri": ""}


@dataclass(frozen=True)
class Run:
    code: int
    output: str

    @property
    def probe(self) -> dict[str, Any]:
        lines = [line for line in self.output.splitlines() if line.startswith("PROBE ")]
        assert self.code == 0 and len(lines) == 1, self.output
        found: dict[str, Any] = json.loads(lines[0].removeprefix("PROBE "))
        return found


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as started:
        yield started


@pytest.fixture
def daemon(slapd: Slapd, tmp_path: Path) -> Iterator[Daemon]:
    server = slapd.server(pool={"backoff": 1, "probe": 1})
    environment = {"CLEARML__servers": json.dumps([server]), "CLEARML__login__cache": "0"}
    with running(tmp_path, environment=environment) as started:
        yield started


def start(daemon: Daemon, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """The probe in a clean environment, as the contract has it."""
    assert PYTHON.exists(), "the SDK's environment is missing: make clients"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CLEARML_CONFIG_FILE": str(folder / "no-clearml.conf"),
        "CLEARML_API_HOST": f"http://127.0.0.1:{daemon.port}",
        "CLEARML_WEB_HOST": "http://127.0.0.1:1",
        "CLEARML_FILES_HOST": "http://127.0.0.1:2",
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    return subprocess.Popen(
        [PYTHON, "-c", PROBE], env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(child: subprocess.Popen[str]) -> Run:
    try:
        output, _ = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        raise AssertionError(f"the SDK did not finish:\n{output}") from None
    return Run(child.returncode, output)


def keys(name: str, password: str) -> dict[str, str]:
    return {"CLEARML_API_ACCESS_KEY": name, "CLEARML_API_SECRET_KEY": password}


def logins(daemon: Daemon) -> list[str]:
    return [event["outcome"] for event in daemon.events if event["action"] == "login"]


# row of 11.1, name and password, further variables
SESSIONS = [
    ("1", ("alan", "enigma"), {}),
    ("7 post", ("alan", "enigma"), {"CLEARML_API_DEFAULT_REQ_METHOD": "post"}),
    ("7 put", ("alan", "enigma"), {"CLEARML_API_DEFAULT_REQ_METHOD": "put"}),
    ("10", ("jürgen", "pä:ss"), {}),
    ("11", ("alan", "enigma"), {"CLEARML_DISABLE_VAULT_SUPPORT": "1"}),
]


@pytest.mark.parametrize(("row", "person", "variables"), SESSIONS, ids=[row[0] for row in SESSIONS])
def test_session(
    daemon: Daemon, tmp_path: Path, row: str, person: tuple[str, str], variables: dict[str, str]
) -> None:
    run = finish(start(daemon, tmp_path, **keys(*person), **variables))
    assert run.probe == GOOD
    assert "Failed getting vaults" not in run.output
    assert logins(daemon) == ["success"]


def test_row_5_a_wrong_password(daemon: Daemon, tmp_path: Path) -> None:
    run = finish(start(daemon, tmp_path, **keys("alan", "wrong")))
    assert run.code != 0
    for text in ("LoginError", "error 401", "Unauthorized (invalid credentials) (bad username or password)"):
        assert text in run.output
    assert logins(daemon) == ["failure"]


def test_row_8_a_token_instead_of_keys(daemon: Daemon, tmp_path: Path) -> None:
    run = finish(start(daemon, tmp_path, CLEARML_AUTH_TOKEN=daemon.token("alan", "enigma")))
    assert run.probe == GOOD


def test_row_9_behind_api(daemon: Daemon, tmp_path: Path) -> None:
    host = {"CLEARML_API_HOST": f"http://127.0.0.1:{daemon.port}/api"}
    assert finish(start(daemon, tmp_path, **keys("alan", "enigma"), **host)).probe == GOOD


@pytest.mark.parametrize("method", ["get", "post"])
def test_row_12_a_directory_that_comes_back(daemon: Daemon, slapd: Slapd, tmp_path: Path, method: str) -> None:
    slapd.stop()
    child = start(daemon, tmp_path, **keys("alan", "enigma"), CLEARML_API_DEFAULT_REQ_METHOD=method)
    back = threading.Timer(5, slapd.run)
    back.start()
    try:
        run = finish(child)
    finally:
        back.join()
    assert run.probe == GOOD
    assert logins(daemon)[-1] == "success"
    assert len(logins(daemon)) < 20


def test_sessions_at_once(daemon: Daemon, tmp_path: Path) -> None:
    children = [start(daemon, tmp_path, **keys("alan", "enigma")) for _ in range(3)]
    started = time.monotonic()
    assert [finish(child).probe for child in children] == [GOOD] * 3
    assert time.monotonic() - started < SECONDS
