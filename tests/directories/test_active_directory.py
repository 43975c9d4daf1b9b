"""Logins against a real Samba AD DC, and what it shows of its accounts (research figures in perf.md G)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import ldap3
import pytest

from gateway.directory.account_state import State, login_restriction, renewal_restriction, state_attributes
from gateway.directory.messages import Result
from gateway.directory.realm import Outcome
from tests.daemon import Daemon, running
from tests.directories.directory_logins import (
    TRANSPORTS,
    configured,
    logins,
    one_server,
    outward,
    over,
    renewal,
    use,
)
from tests.directories.samba import Samba, dn_of, password_of
from tests.directories.samba_fill import BASE_DN, GROUPS_DN, LOOP, PEOPLE_DN, REALM, SERVICE_PASSWORD

ADMINS = {"groups": {"admins": ["admins", 'Größe "XL" , #1', "R&D (Köln) *"]}}


@pytest.fixture(scope="module", params=TRANSPORTS)
def daemon(request: pytest.FixtureRequest, samba: Samba, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    server = samba.server(clearml=ADMINS, **over(samba, request.param))
    with running(tmp_path_factory.mktemp("daemon"), environment=one_server(server)) as started:
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
def test_the_operator_is_told_and_the_caller_is_not(daemon: Daemon, login: str, words: str, state: State) -> None:
    """Issue 4, accounts: the right password of a barred account looks like a wrong one."""
    wrong = outward(daemon.login("careless", "wrong"))
    assert daemon.login("careless", password_of("careless")).status == 200  # and the directory forgets the failure
    assert outward(daemon.login(login, password_of(login))) == wrong
    reason = daemon.wait_for_event(action="login", outcome="failure", user=login)["reason"]
    assert words in reason
    assert state.value in reason


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


# what a server is told, transport aside; login, password, account that it is
IN_CHAIN: dict[str, object] = {"group_search_filter": "(member:1.2.840.113556.1.4.1941:={{.UserDN}})", "group_search_base_dns": [GROUPS_DN]}
ANONYMOUSLY: dict[str, object] = {"bind_dn": "", "bind_password": "", "search_filter": None}
BY_NAME = ANONYMOUSLY | {"preset": "active_directory", "search_base_dns": [PEOPLE_DN]}
MODES: list[tuple[str, dict[str, object], str, str, set[str]]] = [
    ("service", {}, "ada", "ada", {"admins"}),
    ("service, preset", {"preset": "active_directory", "search_filter": None}, "ada", "ada", {"admins", "Domain Users"}),
    ("service, sAMAccountName or UPN", {"search_filter": "(|(sAMAccountName=%s)(userPrincipalName=%s))"}, "juergen.muessig@example.org", "jmuessig", {'Größe "XL" , #1'}),
    ("UPN", BY_NAME | {"upn_domain": REALM}, "ada", "ada", {"admins"}),
    ("UPN, own suffix", BY_NAME | {"upn_domain": "example.org"}, "juergen.muessig", "jmuessig", {'Größe "XL" , #1'}),
    ("UPN, sAMAccountName", BY_NAME | {"upn_domain": REALM, "samaccountname_login": True}, "jmuessig", "jmuessig", {'Größe "XL" , #1'}),
    ("DOMAIN\\user", BY_NAME | {"bind_dn": "EXAMPLE\\%s"}, "ADA", "ada", {"admins"}),
    ("single, UPN", BY_NAME | {"bind_dn": f"%s@{REALM}"}, "ada", "ada", {"admins"}),
    ("direct", BY_NAME | {"user_dn": PEOPLE_DN, "search_base_dns": []}, "Müßig, Jürgen", "jmuessig", {'Größe "XL" , #1'}),
    ("in-chain", IN_CHAIN, "nia", "nia", set(LOOP)),
    ("in-chain, UPN", BY_NAME | IN_CHAIN | {"upn_domain": REALM}, "nia", "nia", set(LOOP)),
    ("tokenGroups", {"use_token_groups": True}, "nia", "nia", {*LOOP, "Domain Users"}),
    ("tokenGroups, UPN", BY_NAME | {"upn_domain": REALM, "use_token_groups": True}, "nia", "nia", {*LOOP, "Domain Users"}),
    ("primary group", {"primary_group": True}, "pim", "pim", {"accountants", "Domain Users"}),
]  # fmt: skip


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("settings", "login", "account", "groups"), [row[1:] for row in MODES], ids=[row[0] for row in MODES])
async def test_modes(
    samba: Samba, transport: str, settings: dict[str, object], login: str, account: str, groups: set[str]
) -> None:
    """Acceptance 1: every way to say who one is, over every transport."""
    async with logins(configured(**samba.server(**settings, **over(samba, transport)))) as directory:
        verdict = await directory.verdict(login, password_of(account))
        assert verdict.account is not None, verdict
        assert verdict.account.username == account
        assert groups <= {group.name for group in verdict.account.groups}
        assert (await directory.verdict("nobody", "wrong")).account is None


@pytest.mark.parametrize("mode", [row[0] for row in MODES if "," not in row[0] and row[0] != "direct"])
async def test_states_in_every_mode(samba: Samba, mode: str) -> None:
    """Who is barred is so however they are found and bound, at the round trips of a wrong password."""
    settings = next(row[1] for row in MODES if row[0] == mode)
    async with logins(configured(**samba.server(**settings))) as directory:
        await directory.verdict("nobody", "wrong")
        wrong = directory.searches, directory.binds
        for login, words, state in BARRED:
            verdict = await directory.verdict(login, password_of(login))
            assert (verdict.outcome, verdict.account) == (Outcome.INVALID, None), login
            assert words in verdict.reason
            assert state.value in verdict.reason
            assert (directory.searches, directory.binds) == wrong


def change(samba: Samba, login: str, **values: str) -> None:
    with samba.administration() as connection:
        connection.modify(dn_of(login), {name: [(ldap3.MODIFY_REPLACE, [value])] for name, value in values.items()})


def test_a_lock_holds_renewals_up_and_ends_nothing(samba: Samba, daemon: Daemon) -> None:
    token = daemon.token("careless", password_of("careless"))
    samba.lock("careless")
    try:
        assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (200, 0))
        daemon.wait_for("careless is refused a new token: the account is locked")
    finally:
        change(samba, "careless", lockoutTime="0")
    assert (renewal(daemon, token), use(daemon, token)) == ((200, 0), (200, 0))


@pytest.mark.parametrize(("attribute", "barred", "lifted"), [
    ("userAccountControl", "514", "512"),
    ("accountExpires", "126227808000000000", "0"),
])  # fmt: skip
def test_who_is_barred_for_good_is_gone(
    samba: Samba, daemon: Daemon, attribute: str, barred: str, lifted: str
) -> None:
    """At the next login and the next renewal; what they held before stays dead when they come back."""
    token = daemon.token("careless", password_of("careless"))
    change(samba, "careless", **{attribute: barred})
    try:
        assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (401, 30))
        assert daemon.login("careless", password_of("careless")).verdict == (401, 22)
    finally:
        change(samba, "careless", **{attribute: lifted})
    assert daemon.login("careless", password_of("careless")).status == 200
    assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (401, 30))
