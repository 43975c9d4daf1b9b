"""Account states by tables: what entries and binds of each product say, and what is decided from it."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.account_state import (
    EXPIRED_CONTROL,
    Restriction,
    State,
    bind_restriction,
    entry_restrictions,
    login_restriction,
    policy_state,
    renewal_restriction,
    state_attributes,
)
from gateway.directory.ber import ProtocolError
from gateway.directory.controls import PASSWORD_POLICY, Control
from gateway.directory.messages import Result

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
SUCCESS, CONSTRAINT, INVALID, UNWILLING = 0, 19, 49, 53

NEVER = "9223372036854775807"
FILETIME_NOW = str(int(NOW + 11_644_473_600) * 10_000_000)
FILETIME_SOON = str(int(NOW + 11_644_473_601) * 10_000_000)
COMPUTED = "msDS-User-Account-Control-Computed"


def entry(**values: str) -> dict[str, list[bytes]]:
    return {name.lower(): [value.encode()] for name, value in values.items()}


def ad(data: str) -> Result:
    """How Active Directory and Samba say it."""
    return Result(INVALID, message=f"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1")


def policy(code: int, value: bytes, oid: str = PASSWORD_POLICY, message: str = "") -> Result:
    return Result(code, message=message, controls=(Control(oid, value),))


# what it proves, attributes, states that they show, the gravest first
ENTRIES: list[tuple[str, dict[str, str], list[State]]] = [
    ("nothing known", {}, []),
    ("MS-ADTS 2.2.16: normal account", {"userAccountControl": "512", "accountExpires": NEVER, "pwdLastSet": "134398007013375090", "lockoutTime": "0", COMPUTED: "0"}, []),
    ("MS-ADTS 2.2.16: ACCOUNTDISABLE", {"userAccountControl": "514"}, [State.DISABLED]),
    ("MS-ADTS 2.2.16: negative numbers are bit fields too", {"userAccountControl": "-2147483646"}, [State.DISABLED]),
    ("AD LDS has it as a flag", {"msDS-UserAccountDisabled": "TRUE"}, [State.DISABLED]),
    ("AD LDS, not", {"msDS-UserAccountDisabled": "FALSE"}, []),
    ("MS-ADTS 3.1.1.4.5.17: UF_LOCKOUT", {"lockoutTime": "134398007349549890", COMPUTED: "16"}, [State.LOCKED]),
    ("a lock that has run out", {"lockoutTime": "134398007349549890", COMPUTED: "0"}, []),
    ("a global catalogue computes nothing", {"lockoutTime": "134398007349549890"}, [State.LOCKED]),
    ("MS-ADTS 3.1.1.4.5.17: UF_PASSWORD_EXPIRED", {"userAccountControl": "512", "pwdLastSet": "132223104000000000", COMPUTED: "8388608"}, [State.PASSWORD_EXPIRED]),
    ("must change: computed says expired too", {"userAccountControl": "512", "pwdLastSet": "0", COMPUTED: "8388608"}, [State.MUST_CHANGE]),
    ("a password that never expires need not be changed", {"userAccountControl": "66048", "pwdLastSet": "0"}, []),
    ("the guest of every domain", {"userAccountControl": "66082", "pwdLastSet": "0", "accountExpires": NEVER}, [State.DISABLED]),
    ("accountExpires: 0 is never", {"accountExpires": "0"}, []),
    ("accountExpires: 2^63-1 is never", {"accountExpires": NEVER}, []),
    ("accountExpires: this moment", {"accountExpires": FILETIME_NOW}, [State.ACCOUNT_EXPIRED]),
    ("accountExpires: a second to go", {"accountExpires": FILETIME_SOON}, []),
    ("all at once", {"userAccountControl": "514", "accountExpires": "126227808000000000", "pwdLastSet": "0", COMPUTED: "8388624"}, [State.DISABLED, State.ACCOUNT_EXPIRED, State.LOCKED, State.MUST_CHANGE]),
    ("no numbers", {"userAccountControl": "x", "accountExpires": "", "pwdLastSet": "0x0", COMPUTED: "9" * 30}, []),
    ("draft-behera 5.3.3: for ever", {"pwdAccountLockedTime": "000001010000Z"}, [State.DISABLED]),
    ("draft-behera 5.3.3: since then", {"pwdAccountLockedTime": "20251231235959Z"}, [State.LOCKED]),
    ("draft-behera 5.3.3: OpenLDAP writes microseconds", {"pwdAccountLockedTime": "20251231235959.123456Z"}, [State.LOCKED]),
    ("draft-behera 5.3.7", {"pwdReset": "TRUE"}, [State.MUST_CHANGE]),
    ("draft-behera 5.3.7: not", {"pwdReset": "FALSE"}, []),
    ("draft-behera 5.3.9", {"pwdStartTime": "20990101000000Z"}, [State.NOT_YET]),
    ("draft-behera 5.3.9, begun", {"pwdStartTime": "20200101000000Z"}, []),
    ("draft-behera 5.3.10", {"pwdEndTime": "20251231000000Z"}, [State.ACCOUNT_EXPIRED]),
    ("389-ds: nsAccountLock", {"nsAccountLock": "true"}, [State.DISABLED]),
    ("FreeIPA: nsAccountLock", {"nsAccountLock": "TRUE"}, [State.DISABLED]),
    ("389-ds: enabled", {"nsAccountLock": "false"}, []),
    ("389-ds: locked until later", {"accountUnlockTime": "20260101000001Z"}, [State.LOCKED]),
    ("389-ds: locked until now", {"accountUnlockTime": "20260101000000Z"}, []),
    ("389-ds: locked until reset", {"accountUnlockTime": "19700101000000Z"}, [State.LOCKED]),
    ("389-ds: password expired", {"passwordExpirationTime": "20251231235959Z"}, [State.PASSWORD_EXPIRED]),
    ("389-ds: password good", {"passwordExpirationTime": "20361119060235Z"}, []),
    ("389-ds: password reset", {"passwordExpirationTime": "19700101000000Z"}, [State.MUST_CHANGE]),
    ("FreeIPA: principal expired", {"krbPrincipalExpiration": "20251231235959Z"}, [State.ACCOUNT_EXPIRED]),
    ("FreeIPA: principal good", {"krbPrincipalExpiration": "20271231235959Z"}, []),
    ("FreeIPA: password expired", {"krbPasswordExpiration": "20251231235959Z"}, [State.PASSWORD_EXPIRED]),
    ("RFC 4517 3.3.13: hours alone", {"krbPrincipalExpiration": "2026010100Z"}, [State.ACCOUNT_EXPIRED]),
    ("RFC 4517 3.3.13: west of Greenwich is later", {"krbPrincipalExpiration": "20251231235959-0100"}, []),
    ("RFC 4517 3.3.13: east of Greenwich is earlier", {"krbPrincipalExpiration": "20260101010000+01"}, [State.ACCOUNT_EXPIRED]),
    ("RFC 4517 3.3.13: a leap second", {"krbPrincipalExpiration": "20251231235960Z"}, [State.ACCOUNT_EXPIRED]),
    ("no times", {"krbPrincipalExpiration": "20251331000000Z", "passwordExpirationTime": "yesterday", "accountUnlockTime": "20251231", "pwdEndTime": "00000101000000Z"}, []),
    ("a time before all times", {"krbPrincipalExpiration": "00010101000000+2359"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "values", "states"), ENTRIES, ids=[row[0] for row in ENTRIES])
def test_entries(proves: str, values: dict[str, str], states: list[State]) -> None:
    assert [found.state for found in entry_restrictions(entry(**values), NOW)] == states


EXPIRED = bytes.fromhex("3003810100")
LOCKED = bytes.fromhex("3003810101")
CHANGE = bytes.fromhex("3003810102")
TOO_SHORT = bytes.fromhex("3003810106")
GRACE = bytes.fromhex("3005a003810102")
CHANGE_SOON = bytes.fromhex("3008a003800101810102")

# what it proves, answer to the bind, state that it tells
BINDS: list[tuple[str, Result, State | None]] = [
    ("a success", Result(SUCCESS), None),
    ("perf.md G: wrong password", ad("52e"), None),
    ("MS-ERREF: no such user", ad("525"), None),
    ("perf.md G: logon hours", ad("530"), State.LOGON_HOURS),
    ("MS-ERREF: workstation", ad("531"), State.LOGON_WORKSTATION),
    ("perf.md G: password expired", ad("532"), State.PASSWORD_EXPIRED),
    ("perf.md G: disabled", ad("533"), State.DISABLED),
    ("perf.md G: account expired", ad("701"), State.ACCOUNT_EXPIRED),
    ("perf.md G: must change", ad("773"), State.MUST_CHANGE),
    ("perf.md G: locked", ad("775"), State.LOCKED),
    ("a code of later years", ad("7ff"), None),
    ("channel binding is no state of an account", ad("80090346"), None),
    ("only invalidCredentials has these codes", Result(UNWILLING, message="data 533"), None),
    ("389-ds: nsAccountLock", Result(UNWILLING, message="Account inactivated. Contact system administrator."), State.DISABLED),
    ("389-ds: too many failures", Result(CONSTRAINT, message="Exceed password retry limit. Please try later."), State.LOCKED),
    ("389-ds: inactivity", Result(CONSTRAINT, message="Account inactivity limit exceeded. Contact system administrator to reset."), State.DISABLED),
    ("389-ds: expired", Result(INVALID, message="password expired!"), State.PASSWORD_EXPIRED),
    ("389-ds: expired, by control", policy(INVALID, b"0", EXPIRED_CONTROL), State.PASSWORD_EXPIRED),
    ("389-ds: reset, by control", policy(SUCCESS, b"0", EXPIRED_CONTROL), State.MUST_CHANGE),
    ("389-ds: long form of a length", policy(INVALID, bytes.fromhex("308400000003810100")), State.PASSWORD_EXPIRED),
    ("FreeIPA: for ever", Result(UNWILLING, message="Entry permanently locked."), State.LOCKED),
    ("FreeIPA: for a while", Result(UNWILLING, message="Too many failed logins."), State.LOCKED),
    ("FreeIPA: principal expired", Result(UNWILLING, message="Account (Kerberos principal) is expired"), State.ACCOUNT_EXPIRED),
    ("FreeIPA: grace period over", Result(INVALID, message="Password is expired."), State.PASSWORD_EXPIRED),
    ("OpenLDAP says nothing", Result(INVALID), None),
    ("draft-behera 6.2: expired", policy(INVALID, EXPIRED), State.PASSWORD_EXPIRED),
    ("draft-behera 6.2: locked", policy(INVALID, LOCKED), State.LOCKED),
    ("draft-behera 6.2: change first", policy(SUCCESS, CHANGE), State.MUST_CHANGE),
    ("draft-behera 6.2: a warning before the error", policy(SUCCESS, CHANGE_SOON), State.MUST_CHANGE),
    ("draft-behera 6.2: grace logins are logins", policy(SUCCESS, GRACE), None),
    ("draft-behera 6.2: about a new password", policy(SUCCESS, TOO_SHORT), None),
    ("draft-behera 6.2: nothing to say", policy(SUCCESS, b"\x30\x00"), None),
    ("a control without a value", policy(SUCCESS, b""), None),
    ("389-ds: inactivated is locked in its control", policy(UNWILLING, LOCKED, message="Account inactivated. Contact system administrator."), State.DISABLED),
    ("somebody else's control", policy(SUCCESS, CHANGE, "1.2.3"), None),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "result", "state"), BINDS, ids=[row[0] for row in BINDS])
def test_binds(proves: str, result: Result, state: State | None) -> None:
    found = bind_restriction(result)
    assert (found.state if found else None) is state


MALFORMED = ["30", "3081", "3002810100", "3003020100", "300381010000", "30048102000a", "3002810000", "300481", "3005a0038101"]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_control_that_cannot_be_read_is_an_error(value: str) -> None:
    """All but a foreign tag, which the draft's SEQUENCE may grow by."""
    if value == "3003020100":
        assert policy_state(bytes.fromhex(value)) is None
    else:
        with pytest.raises(ProtocolError):
            policy_state(bytes.fromhex(value))


DISABLED_ENTRY = {"nsAccountLock": "TRUE"}
# what it proves, attributes, answer to the bind, state that bars the login
LOGINS: list[tuple[str, dict[str, str], Result, State | None]] = [
    ("all is well", {"userAccountControl": "512"}, Result(SUCCESS), None),
    ("issue 4: disabled, though the bind succeeds", {"userAccountControl": "514"}, Result(SUCCESS), State.DISABLED),
    ("issue 4: nsAccountLock, though the bind succeeds", DISABLED_ENTRY, Result(SUCCESS), State.DISABLED),
    ("FreeIPA: an expired password binds", {"krbPasswordExpiration": "20200101000000Z"}, Result(SUCCESS), State.PASSWORD_EXPIRED),
    ("OpenLDAP: pwdReset binds", {"pwdReset": "TRUE"}, Result(SUCCESS), State.MUST_CHANGE),
    ("OpenLDAP: a lock ran out with this bind", {"pwdAccountLockedTime": "20251231235959Z"}, Result(SUCCESS), None),
    ("a lock ran out, a reset is still to do", {"pwdAccountLockedTime": "20251231235959Z", "pwdReset": "TRUE"}, Result(SUCCESS), State.MUST_CHANGE),
    ("389-ds: expiry switched off, attribute left", {"passwordExpirationTime": "20200101000000Z"}, Result(SUCCESS), None),
    ("AD: unlocked on another controller", {COMPUTED: "16"}, Result(SUCCESS), None),
    ("the bind's answer is newer than the entry", {COMPUTED: "16"}, ad("533"), State.DISABLED),
    ("OpenLDAP: its control calls a lock for ever a lock", {"pwdAccountLockedTime": "000001010000Z"}, policy(INVALID, LOCKED), State.DISABLED),
    ("a reset that the control tells, and disabled", DISABLED_ENTRY, policy(SUCCESS, CHANGE), State.DISABLED),
    ("a wrong password", {"userAccountControl": "512"}, ad("52e"), None),
    ("a wrong password, and disabled", {"userAccountControl": "514"}, ad("52e"), State.DISABLED),
    ("OpenLDAP: a refusal without a word", {"pwdAccountLockedTime": "20251231235959Z"}, Result(INVALID), State.LOCKED),
    ("a busy server refuses nobody", DISABLED_ENTRY, Result(51), None),
    ("an entry that went away", DISABLED_ENTRY, Result(32), None),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "values", "result", "state"), LOGINS, ids=[row[0] for row in LOGINS])
def test_logins(proves: str, values: dict[str, str], result: Result, state: State | None) -> None:
    found = login_restriction(entry(**values), result, NOW)
    assert (found.state if found else None) is state


# what it proves, attributes, state that bars the renewal
RENEWALS: list[tuple[str, dict[str, str], State | None]] = [
    ("all is well", {"userAccountControl": "512"}, None),
    ("vault.md 6: disabled", {"userAccountControl": "514"}, State.DISABLED),
    ("OpenLDAP: locked for ever", {"pwdAccountLockedTime": "000001010000Z"}, State.DISABLED),
    ("forward-auth.md 9: expired", {"accountExpires": "126227808000000000"}, State.ACCOUNT_EXPIRED),
    ("conjur.md 5: locked", {COMPUTED: "16"}, State.LOCKED),
    ("the age of a password does not count", {"userAccountControl": "512", "pwdLastSet": "0", COMPUTED: "8388608"}, None),
    ("nor does Kerberos's", {"krbPasswordExpiration": "20200101000000Z"}, None),
    ("a lock beats a reset", {"accountUnlockTime": "19700101000000Z", "passwordExpirationTime": "19700101000000Z"}, State.LOCKED),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "values", "state"), RENEWALS, ids=[row[0] for row in RENEWALS])
def test_renewals(proves: str, values: dict[str, str], state: State | None) -> None:
    found = renewal_restriction(entry(**values), NOW)
    assert (found.state if found else None) is state


def test_only_what_an_administrator_lifts_is_lasting() -> None:
    assert {state for state in State if state.lasting} == {State.DISABLED, State.ACCOUNT_EXPIRED}


def test_the_text_is_for_the_log() -> None:
    assert Restriction(State.LOCKED, "data 775").text == "the account is locked (data 775)"
    assert len({state.value for state in State}) == len(State)


def test_each_preset_asks_for_what_is_read() -> None:
    everything = state_attributes("custom")
    assert state_attributes("lldap") == ()
    assert state_attributes("vault") == everything
    for preset in ("active_directory", "openldap", "389ds", "freeipa"):
        assert set(state_attributes(preset)) < set(everything)
    asked = {name.lower() for name in everything}
    assert {name.lower() for _, values, _ in ENTRIES for name in values} == asked


@given(st.dictionaries(st.sampled_from([name.lower() for name in state_attributes("custom")]), st.lists(st.binary(max_size=30), max_size=2)), st.floats(0, 1e11))
def test_no_entry_is_too_odd(values: dict[str, list[bytes]], now: float) -> None:
    found = entry_restrictions(values, now)
    assert len(found) <= 2 * len(values)


@given(st.binary(max_size=40))
def test_no_control_is_too_odd(value: bytes) -> None:
    try:
        policy_state(value)
    except ProtocolError as error:
        assert str(error)


@given(st.integers(0, 100), st.text(max_size=60))
def test_no_message_is_too_odd(code: int, message: str) -> None:
    bind_restriction(Result(code, message=message))
