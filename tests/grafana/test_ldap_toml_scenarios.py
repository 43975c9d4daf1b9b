"""Grafana's ``ldap.toml`` against a real slapd, read and decided as Grafana does (grafana.md 1, 2, 7)."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.identity import Identity
from gateway.login import Attempt, Denied, Failed, Login, LoginResult, Unavailable
from gateway.runtime import Runtime
from tests.directories.slapd import Slapd
from tests.grafana.scenarios import ERROR, INVALID, SCENARIOS, UNREACHABLE, Person, Scenario
from tests.serve.gateway_room import RecordedAudit

HARBOR = Path(__file__).with_name("harbor.ldif")
KINDS = {Denied: INVALID, Unavailable: UNREACHABLE, Failed: ERROR}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """The directory of ``harbor.ldif``; it takes unauthenticated binds, as some still do (RFC 4513 5.1.2)."""
    directory = tmp_path_factory.mktemp("harbor") / "slapd"
    with Slapd.start(HARBOR, directory=directory, tls=True) as started:
        file = directory / "slapd.conf"
        file.write_text(file.read_text().replace("modulepath", "allow bind_anon_cred bind_anon_dn\nmodulepath", 1))
        started.restart()
        (directory / "secret").write_text("\n svc-secret\n")
        yield started


@pytest.fixture(scope="module")
def strict(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """The same with the same certificates, and with demands of its own on who connects."""
    directory = tmp_path_factory.mktemp("strict") / "slapd"
    with Slapd.start(HARBOR, directory=directory, tls=True) as started:
        for name in ("ca.pem", "server.pem", "server.key"):
            shutil.copy(slapd.directory / name, directory / name)
        file = directory / "slapd.conf"
        demands = "TLSVerifyClient demand\nTLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS1.2\ndatabase mdb\n"
        file.write_text(file.read_text().replace("database mdb\n", demands, 1))
        started.restart()
        yield started


@asynccontextmanager
async def login_by(
    folder: Path, slapd: Slapd, strict: Slapd, toml: str, environment: dict[str, str]
) -> AsyncIterator[Login]:
    """What a gateway that was given this file decides with."""
    values = {
        "@PORT@": slapd.port, "@LDAPS@": slapd.ldaps_port, "@STRICT@": strict.ldaps_port, "@CA@": slapd.ca_file,
        "@DIR@": slapd.directory, "@FILE@": folder / "ldap.toml",
    }  # fmt: skip

    def filled(text: str) -> str:
        for name, value in values.items():
            text = text.replace(name, str(value))
        return text

    file = folder / "ldap.toml"
    file.write_text(filled(toml), "utf-8")
    given = {name: filled(value) for name, value in environment.items()}
    state = {"CLEARML__state_dir": str(folder / "state"), "CLEARML__login__floor": "0"}
    runtime = await Runtime.start(load([file], {**given, **state}), RecordedAudit())
    try:
        yield runtime.current.login
    finally:
        await runtime.close()


def seen(result: LoginResult, like: Person | str) -> Person | str:
    """The result in the words of the scenarios, as far as ``like`` looks at it."""
    if not isinstance(result, Identity):
        return KINDS[type(result)]
    if isinstance(like, str):
        return "ok"
    account, grant = result.account, result.grant
    facts = {name: getattr(account, name) for name in ("server", "username", "name", "email")}
    looked_at = {name: value for name, value in facts.items() if getattr(like, name) is not None}
    return Person(dict(grant.org_roles), grant.grafana_admin, **looked_at)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[re.sub(r"[^\w.]+", "-", scenario.proves) for scenario in SCENARIOS])
async def test_scenario(scenario: Scenario, slapd: Slapd, strict: Slapd, tmp_path: Path) -> None:
    """A file that Grafana reads, unedited, decides here as it does there."""
    async with login_by(tmp_path, slapd, strict, scenario.toml, scenario.environment) as login:
        for username, password, expected in scenario.logins:
            result = await login.check(Attempt(username, password, None, "test"))
            assert seen(result, expected) == expected, (scenario.proves, username, result)


def test_there_are_enough() -> None:
    """The scenarios name what they prove, each something of its own."""
    assert len({scenario.proves for scenario in SCENARIOS}) == len(SCENARIOS) >= 60
