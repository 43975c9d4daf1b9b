"""Logins against a real Samba AD DC, and what it shows of its accounts (research figures in perf.md G)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.directory.account_state import State, login_restriction, renewal_restriction, state_attributes
from gateway.directory.messages import Result
from tests.daemon import Daemon, running
from tests.directories.samba import Samba, dn_of, password_of
from tests.directories.samba_fill import BASE_DN, GROUPS_DN, LOOP, SERVICE_PASSWORD


def environment(samba: Samba, **server: object) -> dict[str, str]:
    admins = {"clearml": {"groups": {"admins": ["admins", 'Größe "XL" , #1', "R&D (Köln) *"]}}}
    return {
        "CLEARML__servers": json.dumps([samba.server(**admins, **server)]),
        "CLEARML__login__floor": "0",
        "CLEARML__login__cache": "0",
        "CLEARML__lockout__failures": "100",
    }


@pytest.fixture(scope="module", params=["ldap", "starttls", "ldaps"])
def daemon(request: pytest.FixtureRequest, samba: Samba, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    transports: dict[str, dict[str, object]] = {
        "ldap": {},
        "starttls": {"start_tls": True, "root_ca_cert": [str(samba.ca_file)]},
        "ldaps": {"urls": [samba.ldaps_url], "root_ca_cert": [str(samba.ca_file)]},
    }
    given = environment(samba, **transports[request.param])
    with running(tmp_path_factory.mktemp("daemon"), environment=given) as started:
        yield started


# login, name, role; each proves a name that is hard to carry (issue 4, acceptance 1)
PEOPLE = [
    ("ada", "Ada Lovelace", "admin"),
    ("ADA", "Ada Lovelace", "admin"),
    ("jmuessig", "Jürgen Müßig", "admin"),
    ("seven", "seven", "admin"),
    ("obrien", "Miles O'Brien", "admin"),
    ("straße", "straße", "user"),
    ("nia", "nia", "user"),
    ("pim", "pim", "user"),
    ("contractor", "contractor", "user"),
    ("permanent", "permanent", "user"),
]


@pytest.mark.parametrize(("login", "name", "role"), PEOPLE)
def test_people_log_in_by_account_name(daemon: Daemon, login: str, name: str, role: str) -> None:
    """vault.md 4.1 and the AD examples of grafana.md: service bind, search by sAMAccountName, bind."""
    user = daemon.user(daemon.token(login, password_of(login.lower())))
    assert (user["name"], user["role"]) == (name, role)


# login, password, what the log says
REFUSED = [
    ("careless", "forgotten", "data 52e"),
    ("nobody", "x", "unknown name"),
    ("a*", "x", "unknown name"),
    ("juergen.muessig", password_of("jmuessig"), "unknown name"),
    ("svc)(cn=*", SERVICE_PASSWORD, "unknown name"),
    ("careless", "", "empty name or password"),
]


@pytest.mark.parametrize(("login", "password", "reason"), REFUSED)
def test_others_do_not(daemon: Daemon, login: str, password: str, reason: str) -> None:
    assert daemon.login(login, password).verdict == (401, 22)
    daemon.wait_for(reason)
    assert daemon.login("careless", password_of("careless")).status == 200  # and the directory forgets the failure


# login, words of the log, state; the password is right (perf.md G)
BARRED = [
    ("disabled", "data 533", State.DISABLED),
    ("locked", "data 775", State.LOCKED),
    ("expired", "data 701", State.ACCOUNT_EXPIRED),
    ("stale", "data 532", State.PASSWORD_EXPIRED),
    ("fresh", "data 773", State.MUST_CHANGE),
    ("nights", "data 530", State.LOGON_HOURS),
]


@pytest.mark.parametrize(("login", "words", "state"), BARRED)
def test_barred_accounts_are_refused(daemon: Daemon, login: str, words: str, state: State) -> None:
    answer = daemon.login(login, password_of(login))
    assert answer.verdict == (401, 22)
    assert answer.meta["result_msg"] == "Unauthorized (invalid credentials) (bad username or password)"
    daemon.wait_for(words)


def read_entry(samba: Samba, login: str) -> dict[str, list[bytes]]:
    with samba.administration() as connection:
        connection.search(dn_of(login), "(objectClass=*)", ldap3.BASE, attributes=state_attributes("active_directory"))
        found = next(entry for entry in connection.response if entry["type"] == "searchResEntry")
    return {name.lower(): values for name, values in found["raw_attributes"].items() if values}


@pytest.mark.parametrize(("login", "words", "state"), BARRED)
def test_states_are_told_by_the_bind(samba: Samba, login: str, words: str, state: State) -> None:
    """perf.md G: only the right password learns the state; a lock is told to any."""
    code, message = samba.bind(dn_of(login), password_of(login))
    found = login_restriction({}, Result(code, message=message), time.time())
    assert found is not None
    assert (found.state, found.source) == (state, words)
    wrong, message = samba.bind(dn_of(login), "Wrong-Passw0rd")
    found = login_restriction({}, Result(wrong, message=message), time.time())
    assert (found.state if found else None) is (state if state is State.LOCKED else None)


# login, state that the entry shows, state that bars a renewal
SHOWN = [
    ("ada", None, None),
    ("contractor", None, None),
    ("permanent", None, None),
    ("disabled", State.DISABLED, State.DISABLED),
    ("locked", State.LOCKED, State.LOCKED),
    ("expired", State.ACCOUNT_EXPIRED, State.ACCOUNT_EXPIRED),
    ("stale", State.PASSWORD_EXPIRED, None),
    ("fresh", State.MUST_CHANGE, None),
    ("nights", None, None),  # the bind alone knows what time it is
]


@pytest.mark.parametrize(("login", "state", "renewal"), SHOWN)
def test_states_are_shown_by_the_entry(samba: Samba, login: str, state: State | None, renewal: State | None) -> None:
    entry = read_entry(samba, login)
    found = login_restriction(entry, Result(49), time.time())
    assert (found.state if found else None) is state
    barred = renewal_restriction(entry, time.time())
    assert (barred.state if barred else None) is renewal


def test_the_service_account_may_read_the_states(samba: Samba) -> None:
    server = samba.server()
    connection = ldap3.Connection(
        ldap3.Server(samba.host, get_info=ldap3.NONE), str(server["bind_dn"]), SERVICE_PASSWORD, auto_bind=True
    )
    try:
        connection.search(dn_of("locked"), "(objectClass=*)", ldap3.BASE, attributes=state_attributes("active_directory"))
        entry = {name.lower(): values for name, values in connection.response[0]["raw_attributes"].items() if values}
    finally:
        connection.unbind()
    assert entry == read_entry(samba, "locked")


# user, as people write it; whether it binds (perf.md G)
BIND_NAMES = [
    ("juergen.muessig@example.org", True),
    ("JUERGEN.MUESSIG@EXAMPLE.ORG", True),
    ("jmuessig@ad.example.org", True),
    ("EXAMPLE\\jmuessig", True),
    ("jmuessig@EXAMPLE", True),
    ("jmuessig", False),
    ("ad.example.org\\jmuessig", False),
]


@pytest.mark.parametrize(("user", "binds"), BIND_NAMES)
def test_names_that_bind(samba: Samba, user: str, binds: bool) -> None:
    """The premise of user principal names and single bind; it keeps the fixture honest."""
    code, message = samba.bind(user, password_of("jmuessig"))
    assert (code == 0) is binds, message


def test_groups_are_what_tests_of_groups_need(samba: Samba) -> None:
    """Nested four deep in a loop, a primary group outside memberOf, one cn in two branches."""
    with samba.administration() as connection:
        connection.search(GROUPS_DN, f"(member:1.2.840.113556.1.4.1941:={dn_of('nia')})", attributes=["cn"])
        assert {str(entry.cn) for entry in connection.entries} == set(LOOP)
        connection.search(dn_of("pim"), "(objectClass=*)", attributes=["memberOf", "primaryGroupID"])
        (pim,) = connection.entries
        assert str(pim.memberOf) == f"CN=Domain Users,CN=Users,{BASE_DN}"
        assert str(pim.primaryGroupID) != "513"
        connection.search(BASE_DN, "(&(objectClass=group)(cn=admins))")
        assert len(connection.entries) == 2


def test_a_disabled_person_is_refused_at_the_next_login(samba: Samba, tmp_path: Path) -> None:
    """Disabled while the daemon runs: the next login asks the directory again."""
    account_control = "userAccountControl"
    with running(tmp_path, environment=environment(samba)) as daemon, samba.administration() as connection:
        assert daemon.login("careless", password_of("careless")).status == 200
        connection.modify(dn_of("careless"), {account_control: [(ldap3.MODIFY_REPLACE, ["514"])]})
        try:
            assert daemon.login("careless", password_of("careless")).verdict == (401, 22)
            daemon.wait_for("data 533")
        finally:
            connection.modify(dn_of("careless"), {account_control: [(ldap3.MODIFY_REPLACE, ["512"])]})
