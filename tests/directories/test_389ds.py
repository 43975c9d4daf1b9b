"""Logins against a real 389 Directory Server, and what it shows of its accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import ldap3
import pytest

from gateway.directory.account_state import State, login_restriction, renewal_restriction, state_attributes
from gateway.directory.controls import Control
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
from tests.directories.ds389 import BASE_DN, PEOPLE_DN, Ds389, dn_of, password_of


@pytest.fixture(scope="module", params=TRANSPORTS)
def daemon(request: pytest.FixtureRequest, ds389: Ds389, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    server = ds389.server(clearml={"groups": {"admins": ["admins"]}}, **over(ds389, request.param))
    with running(tmp_path_factory.mktemp("daemon"), environment=one_server(server)) as started:
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


# login, words of the log, state; the password is right
BARRED = [
    ("disabled", "Account inactivated", State.DISABLED),
    ("shouted", "Account inactivated", State.DISABLED),
    ("locked", "Exceed password retry limit", State.LOCKED),
    ("stale", "password expired!", State.PASSWORD_EXPIRED),
    ("fresh", "the password is right, but", State.MUST_CHANGE),
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


@pytest.mark.parametrize(("login", "words", "state"), BARRED)
def test_states_are_told_by_the_bind(ds389: Ds389, login: str, words: str, state: State) -> None:
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


VAULT = "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"
NOBODY: dict[str, object] = {"bind_dn": "", "bind_password": ""}
MODES: dict[str, dict[str, object]] = {
    "service": {},
    "service, preset": {"preset": "389ds"},
    "service, group search": {"group_search_filter": VAULT, "group_search_base_dns": [BASE_DN]},
    "anonymous": NOBODY,
    "single": NOBODY | {"bind_dn": f"uid=%s,{PEOPLE_DN}"},
    "direct": NOBODY | {"user_dn": PEOPLE_DN, "search_base_dns": []},
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mode", MODES)
async def test_modes(ds389: Ds389, transport: str, mode: str) -> None:
    """Acceptance 1: every mode over every transport; who is barred is so in each, at the cost of a wrong password."""
    async with logins(configured(**ds389.server(**MODES[mode], **over(ds389, transport)))) as directory:
        verdict = await directory.verdict("ada", password_of("ada"))
        assert verdict.account is not None, verdict
        assert {group.name for group in verdict.account.groups} == {"admins", "everyone"}
        await directory.verdict("nobody", "wrong")
        wrong = directory.searches, directory.binds
        for login, _, state in BARRED:
            verdict = await directory.verdict(login, password_of(login))
            assert (verdict.outcome, verdict.account) == (Outcome.INVALID, None), login
            assert state.value in verdict.reason
            assert (directory.searches, directory.binds) == wrong


def change(ds389: Ds389, uid: str, attribute: str, *values: str) -> None:
    with ds389.administration() as connection:
        connection.modify(dn_of(uid), {attribute: [(ldap3.MODIFY_REPLACE, list(values))]})


def test_a_lock_holds_renewals_up_and_ends_nothing(ds389: Ds389, daemon: Daemon) -> None:
    token = daemon.token("careless", password_of("careless"))
    ds389.lock("careless")
    try:
        assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (200, 0))
        daemon.wait_for("careless is refused a new token: the account is locked (accountUnlockTime)")
    finally:
        change(ds389, "careless", "accountUnlockTime")
        change(ds389, "careless", "passwordRetryCount")
    assert (renewal(daemon, token), use(daemon, token)) == ((200, 0), (200, 0))


def test_who_is_disabled_is_gone(ds389: Ds389, daemon: Daemon) -> None:
    """And what they held before stays dead when they come back."""
    token = daemon.token("careless", password_of("careless"))
    change(ds389, "careless", "nsAccountLock", "true")
    try:
        assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (401, 30))
        assert daemon.login("careless", password_of("careless")).verdict == (401, 22)
    finally:
        change(ds389, "careless", "nsAccountLock")
    assert daemon.login("careless", password_of("careless")).status == 200
    assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (401, 30))
