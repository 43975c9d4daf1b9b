"""The company of ``company.ldif`` in a real slapd, the daemon on it, and ClearML's real clients as child processes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.http_recorder import Recorder, recording
from tests.daemon import Answer, Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

ENVIRONMENTS = Path(__file__).parents[2] / ".venvs"
EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"
ADMINISTRATOR = ("grace", "cobol-1959")
DEVELOPER = ("alan", "enigma")
OTHER = ("nomail", "paper")
SECONDS = 60


@dataclass(frozen=True)
class Run:
    code: int
    output: str

    @property
    def probe(self) -> Any:
        """What the client printed behind ``PROBE``, as JSON."""
        lines = [line for line in self.output.splitlines() if line.startswith("PROBE ")]
        assert self.code == 0 and len(lines) == 1, self.output
        return json.loads(lines[0].removeprefix("PROBE "))


@dataclass
class Site:
    slapd: Slapd
    daemon: Daemon
    recorder: Recorder
    """In front of the daemon."""

    @property
    def url(self) -> str:
        """Where clients call, so that they are recorded."""
        return f"http://127.0.0.1:{self.recorder.port}"

    @property
    def logins(self) -> list[str]:
        """Outcomes, from the audit log."""
        return [event["outcome"] for event in self.daemon.events if event["action"] == "login"]

    def call(self, person: tuple[str, str], endpoint: str, **fields: Any) -> Answer:
        answer = self.daemon.call(f"/{endpoint}", basic=person, method="POST", body=json.dumps(fields))
        assert answer.status == 200, answer.body
        return answer

    def vault(self, *, by: tuple[str, str] = ADMINISTRATOR, group: str = "", **vault: Any) -> str:
        """Write a vault; returns its id."""
        where = {"group": group} if group else {}
        made: str = self.call(by, "users.add_or_update_vault", vault=vault, **where).data["vault"]
        return made

    def without_vaults(self, *people: tuple[str, str]) -> None:
        """Remove every vault; personal ones become empty."""
        for person in (ADMINISTRATOR, *people):
            vaults = self.call(person, "users.get_vaults").data["vaults"]
            self.call(person, "users.delete_vaults", vaults=[vault["id"] for vault in vaults if vault["editable"]])


@contextmanager
def company_site(folder: Path) -> Iterator[Site]:
    with Slapd.start(COMPANY, directory=folder / "slapd") as slapd:
        mappings = [{"group_dn": f"cn=admins,ou=groups,{BASE_DN}", "clearml_role": "admin"}]
        server = slapd.server(pool={"backoff": 1, "probe": 1}, group_mappings=mappings)
        environment = {
            "CLEARML__servers": json.dumps([server]),
            "CLEARML__login__cache": "0",
            "CLEARML__vaults__groups": '{"developers": {"group": "developers", "id": "developers-id"}}',
        }
        with running(folder, environment=environment) as daemon, recording(daemon.port) as recorder:
            yield Site(slapd, daemon, recorder)


def keys(person: tuple[str, str]) -> dict[str, str]:
    return {"CLEARML_API_ACCESS_KEY": person[0], "CLEARML_API_SECRET_KEY": person[1]}


def start(client: str, program: str, url: str, folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """A program with the Python of ``client`` in a clean environment, as clearml.md 11.1 has it."""
    python = ENVIRONMENTS / client / "bin/python"
    assert python.exists(), "the client's environment is missing: make clients"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CLEARML_CONFIG_FILE": str(folder / "no-clearml.conf"),
        "CLEARML_API_HOST": url,
        "CLEARML_WEB_HOST": "http://127.0.0.1:1",
        "CLEARML_FILES_HOST": "http://127.0.0.1:2",
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    return subprocess.Popen(
        [python, "-c", program], env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(child: subprocess.Popen[str]) -> Run:
    """Wait for its end; one that takes too long is killed."""
    try:
        output, _ = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        raise AssertionError(f"the client did not finish:\n{output}") from None
    return Run(child.returncode, output)
