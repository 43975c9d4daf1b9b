"""A company in a real slapd, the daemon in front of it with a Conjur account, over http and https, and the real clients."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.http_recorder import Recorder, recording
from tests.clients.warm_child import WarmChild
from tests.daemon import Daemon, running
from tests.directories.process import free_port
from tests.directories.slapd import BASE_DN, COMPANY, Slapd, make_certificates

ENVIRONMENTS = Path(__file__).parents[2] / ".venvs"
TRUSTS_NOBODY = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""In place of the system's authorities, which ``conjur-api`` reads anew for each request."""
ACCOUNT = "myorg"
NAME = "gw.example"
"""The daemon's, in its certificate."""
SECONDS = 60
OPERATORS = f"ou=operators,{BASE_DN}"

NINA = ("nina", "secret")
ALAN = ("alan", "enigma")
OTTO = ("otto", "landing-gear")
OLGA = ("olga", "no-pilot")
SPELLED = {
    "nina@example.com": "an@address", "nina van dyk": "two blanks", "host/apps/backup": "a/machine",
    "back~~~up???": "not-safe>", "jürgen": "pä:ss",
}  # fmt: skip
"""Names that paths and tokens must not mistake, each with its password."""


def _person(uid: str, password: str, parent: str) -> str:
    return f"dn: uid={uid},{parent}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\nuserPassword: {password}\n"


PEOPLE = "\n".join([
    f"dn: {OPERATORS}\nobjectClass: organizationalUnit\nou: operators\n",
    _person(*NINA, f"ou=people,{BASE_DN}"),
    *(_person(*pair, f"ou=people,{BASE_DN}") for pair in SPELLED.items() if pair[0] != "jürgen"),
    _person(*OTTO, OPERATORS),
    _person(*OLGA, OPERATORS),
    f"dn: cn=pilots,ou=groups,{BASE_DN}\nobjectClass: groupOfNames\ncn: pilots\nmember: uid={OTTO[0]},{OPERATORS}\n",
])  # fmt: skip


@dataclass
class Site:
    slapd: Slapd
    daemon: Daemon
    recorder: Recorder
    """In front of its http listener."""
    certificates: Path
    """``ca.pem`` signed the daemon's certificate."""

    @property
    def url(self) -> str:
        """Where clients call, so that they are recorded."""
        return f"http://127.0.0.1:{self.recorder.port}"

    @property
    def https_port(self) -> int:
        found = re.search(r"listens on .*https://127\.0\.0\.1:(\d+)", self.daemon.log)
        assert found, self.daemon.log
        return int(found[1])

    @property
    def https(self) -> str:
        return f"https://127.0.0.1:{self.https_port}"

    @property
    def ca(self) -> Path:
        return self.certificates / "ca.pem"


def variables(slapd: Slapd, certificates: Path, **conjur: Any) -> dict[str, str]:
    """``corp`` is for all, ``ops`` for pilots, ``staff`` is no service, and nobody answers for ``gone``."""
    servers = [
        slapd.server(pool={"backoff": 1, "probe": 1}),
        slapd.server(name="ops", search_base_dns=[OPERATORS]),
        slapd.server(name="staff", realm=False),
        slapd.server(name="gone", urls=[f"ldap://127.0.0.1:{free_port()}"], realm=False),
    ]
    services = {"corp": {"allow": "all"}, "ops": {"allow": ["group:pilots"]}, "gone": {"allow": "all"}}
    return {
        "CLEARML__listen": json.dumps(["127.0.0.1:0", "https://127.0.0.1:0"]),
        "CLEARML__tls__cert_file": str(certificates / "server.pem"),
        "CLEARML__tls__key_file": str(certificates / "server.key"),
        "CLEARML__servers": json.dumps(servers),
        "CLEARML__conjur": json.dumps({"account": ACCOUNT, "version": "1.21.3", "services": services, **conjur}),
        "CLEARML__login__cache": "0",
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__failures": "1000",
    }


@contextmanager
def conjur_site(folder: Path, **conjur: Any) -> Iterator[Site]:
    """``conjur`` are further keys of that section. No secret may show in the log."""
    certificates = folder / "certificates"
    make_certificates(certificates, names=(NAME, "localhost", "127.0.0.1"), common_name=NAME)
    with Slapd.start(COMPANY, PEOPLE, directory=folder / "slapd") as slapd:
        environment = variables(slapd, certificates, **conjur)
        with running(folder, environment=environment) as daemon, recording(daemon.port) as recorder:
            yield Site(slapd, daemon, recorder, certificates)
        for secret in (ALAN[1], OTTO[1], OLGA[1], *SPELLED.values()):
            assert secret not in daemon.log and json.dumps(secret)[1:-1] not in daemon.log


class ConjurApi(WarmChild):
    """``conjur-api`` in a warm child process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            ENVIRONMENTS / "conjur-api-0.2.0/bin/python", Path(__file__).with_name("conjur_child.py"), folder,
            {"PATH": os.environ["PATH"], "HOME": str(folder), **TRUSTS_NOBODY},
        )  # fmt: skip

    def ask(self, url: str, *calls: Any, **how: Any) -> list[Any]:
        """What each call gave; see ``conjur_child``. Calls are names, or lists of a name and arguments."""
        listed = [[call] if isinstance(call, str) else call for call in calls]
        given = {"account": ACCOUNT, "service": "corp", "username": ALAN[0], "password": ALAN[1], **how}
        results: list[Any] = self.put({"url": url, "calls": listed, **given})
        return results


@dataclass(frozen=True)
class Run:
    code: int
    output: str


def run(program: str, folder: Path, *arguments: str, typed: str = "") -> Run:
    """A command of ``.venvs`` with a home of its own and nobody to ask but ``typed``."""
    command = ENVIRONMENTS / program
    assert command.exists(), "the client's environment is missing: make clients"
    done = subprocess.run(
        [command, *arguments], cwd=folder, input=typed, text=True, timeout=SECONDS, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Run(done.returncode, done.stdout)
