"""What a real slapd with the ppolicy overlay shows and tells of its accounts, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.directory.account_state import State, login_restriction, renewal_restriction, state_attributes
from gateway.directory.controls import PASSWORD_POLICY, Control
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
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

PASSWORDS = {"grace": "cobol-1959", "alan": "enigma", "nomail": "paper", "bare": "minimum", "linus": "dontpanic"}
FAILURES = 3
STATES_LDIF = f"""
dn: cn=policy,{BASE_DN}
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: {FAILURES}
pwdMustChange: TRUE

dn: cn=aging,{BASE_DN}
objectClass: device
objectClass: pwdPolicy
cn: aging
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxAge: 86400
"""
PERSON = """
dn: uid={uid},ou=people,{base}
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
userPassword: {uid}-1
{state}
"""
OTHERS = {
    "stale": f"pwdPolicySubentry: cn=aging,{BASE_DN}\npwdChangedTime: 20200101000000Z",
    "ended": "pwdEndTime: 20200101000000Z",
    "early": "pwdStartTime: 20990101000000Z",
}
PASSWORDS |= {uid: f"{uid}-1" for uid in OTHERS}


class PolicySlapd(Slapd):
    """With the overlay, and its answers in full (``ppolicy_use_lockout``)."""

    def __init__(self, directory: Path, port: int, *, tls: bool, anonymous: str) -> None:
        super().__init__(directory, port, tls=tls, anonymous=anonymous)
        file = directory / "slapd.conf"
        text = file.read_text().replace("moduleload memberof\n", "moduleload memberof\nmoduleload ppolicy\n")
        file.write_text(f"{text}overlay ppolicy\nppolicy_default cn=policy,{BASE_DN}\nppolicy_use_lockout\n")


def dn_of(uid: str) -> str:
    return f"uid={uid},ou=people,{BASE_DN}"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """``alan`` was given a new password, ``bare`` locked himself out, ``nomail`` was locked for ever."""
    others = "".join(PERSON.format(uid=uid, base=BASE_DN, state=state) for uid, state in OTHERS.items())
    directory = tmp_path_factory.mktemp("slapd") / "slapd"
    with PolicySlapd.start(COMPANY, STATES_LDIF, others, directory=directory, tls=True) as started:
        with started.administration() as connection:
            connection.modify(dn_of("alan"), {"userPassword": [(ldap3.MODIFY_REPLACE, [PASSWORDS["alan"]])]})
            for_ever = {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, ["000001010000Z"])]}
            connection.modify(dn_of("nomail"), for_ever)
        lock(started, "bare")
        yield started


def lock(slapd: Slapd, uid: str) -> None:
    """Lock an account the way people do: by wrong passwords."""
    for _ in range(FAILURES):
        bind(slapd, uid, "wrong")


def bind(slapd: Slapd, uid: str, password: str, *, asking: bool = True) -> Result:
    """The bind's answer with its controls, read by other code than ours; ``asking`` sends the policy control."""
    connection = ldap3.Connection(ldap3.Server(slapd.host, slapd.port, get_info=ldap3.NONE), dn_of(uid), password)
    try:
        connection.bind(controls=[(PASSWORD_POLICY, False, None)] if asking else None)
        answer = connection.result
    finally:
        connection.unbind()
    controls = tuple(Control(oid, control["value"] or b"") for oid, control in answer.get("controls", {}).items())
    return Result(answer["result"], message=answer["message"], controls=controls)


def read_entry(slapd: Slapd, uid: str) -> dict[str, list[bytes]]:
    with slapd.administration() as connection:
        connection.search(dn_of(uid), "(objectClass=*)", ldap3.BASE, attributes=state_attributes("openldap"))
        return {name.lower(): values for name, values in connection.response[0]["raw_attributes"].items() if values}


# uid, code of a bind with the right password, state told by the control, shown by the entry, barring a renewal
STATES = [
    ("grace", 0, None, None, None),
    ("alan", 0, State.MUST_CHANGE, State.MUST_CHANGE, None),
    ("bare", 49, State.LOCKED, State.LOCKED, State.LOCKED),
    ("nomail", 49, State.LOCKED, State.DISABLED, State.DISABLED),
    ("stale", 49, State.PASSWORD_EXPIRED, None, None),
    ("ended", 49, State.LOCKED, State.ACCOUNT_EXPIRED, State.ACCOUNT_EXPIRED),
    ("early", 49, State.LOCKED, State.NOT_YET, State.NOT_YET),
]


@pytest.mark.parametrize(("uid", "code", "told", "shown", "renewal"), STATES)
def test_states(
    slapd: Slapd, uid: str, code: int, told: State | None, shown: State | None, renewal: State | None
) -> None:
    """draft-behera 5.3, 6.2. Unasked, the bind says nothing, and the entry has to tell."""
    answer, unasked = bind(slapd, uid, PASSWORDS[uid]), bind(slapd, uid, PASSWORDS[uid], asking=False)
    assert (answer.code, unasked) == (code, Result(code))
    found = login_restriction({}, answer, time.time())
    assert (found.state if found else None) is told
    entry = read_entry(slapd, uid)
    found = login_restriction(entry, unasked, time.time())
    assert (found.state if found else None) is shown
    barred = renewal_restriction(entry, time.time())
    assert (barred.state if barred else None) is renewal


def test_a_wrong_password_is_only_that(slapd: Slapd) -> None:
    assert login_restriction(read_entry(slapd, "grace"), bind(slapd, "grace", "wrong"), time.time()) is None
    assert bind(slapd, "grace", PASSWORDS["grace"]).code == 0


@pytest.fixture(scope="module", params=TRANSPORTS)
def daemon(request: pytest.FixtureRequest, slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    server = slapd.server(preset="openldap", search_filter="(uid=%s)", **over(slapd, request.param))
    with running(tmp_path_factory.mktemp("daemon"), environment=one_server(server)) as started:
        yield started


BARRED = [
    ("alan", State.MUST_CHANGE),
    ("bare", State.LOCKED),
    ("nomail", State.DISABLED),
    ("stale", State.PASSWORD_EXPIRED),
    ("ended", State.ACCOUNT_EXPIRED),
    ("early", State.NOT_YET),
]


@pytest.mark.parametrize(("uid", "state"), BARRED)
def test_the_operator_is_told_and_the_caller_is_not(daemon: Daemon, uid: str, state: State) -> None:
    """Issue 4, accounts: the right password of a barred account looks like a wrong one."""
    wrong = outward(daemon.login("grace", "wrong"))
    assert daemon.login("grace", PASSWORDS["grace"]).status == 200  # and the directory forgets the failure
    assert outward(daemon.login(uid, PASSWORDS[uid])) == wrong
    event = daemon.wait_for_event(action="login", outcome="failure", user=uid)
    assert state.value in event["reason"]


@pytest.mark.parametrize("mode", ["service", "anonymous", "single", "direct"])
async def test_states_in_every_mode(slapd: Slapd, mode: str) -> None:
    """A barred account costs the round trips of a wrong password, and no state lets anybody in."""
    people = f"ou=people,{BASE_DN}"
    settings: dict[str, dict[str, object]] = {
        "service": slapd.server(),
        "anonymous": {"urls": [slapd.url], "search_base_dns": [people]},
        "single": {"urls": [slapd.url], "bind_dn": f"uid=%s,{people}", "search_base_dns": [people]},
        "direct": {"urls": [slapd.url], "user_dn": people},
    }
    async with logins(configured(**settings[mode])) as directory:
        await directory.verdict("grace", "wrong")
        wrong = directory.searches, directory.binds
        assert (await directory.verdict("grace", PASSWORDS["grace"])).outcome is Outcome.OK
        for uid, state in BARRED:
            verdict = await directory.verdict(uid, PASSWORDS[uid])
            assert (verdict.outcome, verdict.account) == (Outcome.INVALID, None), uid
            # Who binds first learns of a reset, which OpenLDAP lets in, only with the right password.
            if wrong[0] or state is not State.MUST_CHANGE:
                assert (directory.searches, directory.binds) == wrong, uid


def test_a_lock_holds_renewals_up_and_ends_nothing(slapd: Slapd, daemon: Daemon) -> None:
    token = daemon.token("linus", PASSWORDS["linus"])
    lock(slapd, "linus")
    assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (200, 0))
    daemon.wait_for("linus is refused a new token: the account is locked (pwdAccountLockedTime)")
    with slapd.administration() as connection:
        connection.modify(dn_of("linus"), {"pwdAccountLockedTime": [(ldap3.MODIFY_DELETE, [])]})
    assert (renewal(daemon, token), use(daemon, token)) == ((200, 0), (200, 0))


def test_a_beginning_to_come_holds_renewals_up(slapd: Slapd, daemon: Daemon) -> None:
    """draft-behera 5.3.9: the account is there, and may be used from then on."""
    token = daemon.token("linus", PASSWORDS["linus"])
    with slapd.administration() as connection:
        connection.modify(dn_of("linus"), {"pwdStartTime": [(ldap3.MODIFY_REPLACE, ["20990101000000Z"])]})
        try:
            assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (200, 0))
        finally:
            connection.modify(dn_of("linus"), {"pwdStartTime": [(ldap3.MODIFY_DELETE, [])]})
    assert (renewal(daemon, token), use(daemon, token)) == ((200, 0), (200, 0))


@pytest.mark.parametrize("change", [{"pwdAccountLockedTime": "000001010000Z"}, {"pwdEndTime": "20200101000000Z"}], ids=["disabled", "expired"])
def test_who_is_barred_for_good_is_gone(slapd: Slapd, daemon: Daemon, change: dict[str, str]) -> None:
    """And what they held before stays dead when they come back."""
    ((attribute, value),) = change.items()
    token = daemon.token("linus", PASSWORDS["linus"])
    with slapd.administration() as connection:
        connection.modify(dn_of("linus"), {attribute: [(ldap3.MODIFY_REPLACE, [value])]})
        try:
            assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (401, 30))
            assert daemon.login("linus", PASSWORDS["linus"]).verdict == (401, 22)
        finally:
            connection.modify(dn_of("linus"), {attribute: [(ldap3.MODIFY_DELETE, [])]})
    assert daemon.login("linus", PASSWORDS["linus"]).status == 200
    assert (renewal(daemon, token), use(daemon, token)) == ((401, 30), (401, 30))
