"""Logins against a real 389 Directory Server, and what it shows of its accounts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import ldap3
import pytest

from gateway.directory.account_state import State, login_restriction, renewal_restriction, state_attributes
from gateway.directory.controls import Control
from gateway.directory.messages import Result
from tests.daemon import Daemon, running
from tests.directories.ds389 import Ds389, dn_of, password_of


@pytest.fixture(scope="module", params=["ldap", "starttls", "ldaps"])
def daemon(request: pytest.FixtureRequest, ds389: Ds389, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    transports: dict[str, dict[str, object]] = {
        "ldap": {},
        "starttls": {"start_tls": True, "root_ca_cert": [str(ds389.ca_file)]},
        "ldaps": {"urls": [ds389.ldaps_url], "root_ca_cert": [str(ds389.ca_file)]},
    }
    server = ds389.server(clearml={"groups": {"admins": ["admins"]}}, **transports[request.param])
    given = {
        "CLEARML__servers": json.dumps([server]),
        "CLEARML__login__floor": "0",
        "CLEARML__login__cache": "0",
        "CLEARML__lockout__failures": "100",
    }
    with running(tmp_path_factory.mktemp("daemon"), environment=given) as started:
        yield started


# login, name, role
PEOPLE = [
    ("ada", "Ada Lovelace", "admin"),
    ("Alan", "Alan Turing", "user"),
    ("jürgen", "Jürgen Müßig", "user"),
    ("enabled", "En Abled", "user"),
    ("current", "Password Current", "user"),
]


@pytest.mark.parametrize(("login", "name", "role"), PEOPLE)
def test_people_log_in(daemon: Daemon, login: str, name: str, role: str) -> None:
    """Search by uid, groups by the memberOf that the plug-in keeps (grafana.md 2.5)."""
    user = daemon.user(daemon.token(login, password_of(login.lower())))
    assert (user["name"], user["role"]) == (name, role)


def test_others_do_not(daemon: Daemon) -> None:
    for login, password in (("careless", "wrong"), ("nobody", "x"), ("*", "x"), ("careless", "")):
        assert daemon.login(login, password).verdict == (401, 22)
    assert daemon.login("careless", password_of("careless")).status == 200  # and the directory forgets the failure


# login, status of a login today, words of the log, state; the password is right
BARRED = [
    ("disabled", 401, "Account inactivated", State.DISABLED),
    ("shouted", 401, "Account inactivated", State.DISABLED),
    ("locked", 401, "Exceed password retry limit", State.LOCKED),
    ("stale", 401, "password expired!", State.PASSWORD_EXPIRED),
    ("fresh", 401, "must be changed", State.MUST_CHANGE),
]


@pytest.mark.parametrize(("login", "status", "words", "state"), BARRED)
def test_barred_accounts(daemon: Daemon, login: str, status: int, words: str, state: State) -> None:
    assert daemon.login(login, password_of(login)).status == status
    daemon.wait_for(words)


def bind(ds389: Ds389, login: str, password: str) -> Result:
    """The bind's answer with its controls, read by other code than ours."""
    connection = ldap3.Connection(ldap3.Server(ds389.host, ds389.port, get_info=ldap3.NONE), dn_of(login), password)
    try:
        connection.bind()
        answer = connection.result
    finally:
        connection.unbind()
    controls = tuple(Control(oid, control["value"] or b"") for oid, control in answer.get("controls", {}).items())
    return Result(answer["result"], message=answer["message"], controls=controls)


@pytest.mark.parametrize(("login", "status", "words", "state"), BARRED)
def test_states_are_told_by_the_bind(ds389: Ds389, login: str, status: int, words: str, state: State) -> None:
    found = login_restriction({}, bind(ds389, login, password_of(login)), time.time())
    assert found is not None
    assert found.state is state


# login, state that the entry shows, state that bars a renewal
SHOWN = [
    ("ada", None, None),
    ("enabled", None, None),
    ("current", None, None),
    ("disabled", State.DISABLED, State.DISABLED),
    ("shouted", State.DISABLED, State.DISABLED),
    ("locked", State.LOCKED, State.LOCKED),
    ("stale", State.PASSWORD_EXPIRED, None),
    ("fresh", State.MUST_CHANGE, None),
]


@pytest.mark.parametrize(("login", "state", "renewal"), SHOWN)
def test_states_are_shown_by_the_entry(ds389: Ds389, login: str, state: State | None, renewal: State | None) -> None:
    """As the service account reads it: all of this is operational, and has to be asked for by name."""
    server = ds389.server()
    connection = ldap3.Connection(
        ldap3.Server(ds389.host, ds389.port, get_info=ldap3.NONE), str(server["bind_dn"]), str(server["bind_password"]),
        auto_bind=True, check_names=False,
    )  # fmt: skip
    try:
        connection.search(dn_of(login), "(objectClass=*)", ldap3.BASE, attributes=state_attributes("389ds"))
        entry = {name.lower(): values for name, values in connection.response[0]["raw_attributes"].items() if values}
    finally:
        connection.unbind()
    found = login_restriction(entry, Result(49), time.time())
    assert (found.state if found else None) is state
    barred = renewal_restriction(entry, time.time())
    assert (barred.state if barred else None) is renewal
