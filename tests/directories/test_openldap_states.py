"""What a real slapd with the ppolicy overlay shows and tells of its accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.directory.account_state import (
    State,
    login_restriction,
    renewal_restriction,
    state_attributes,
)
from gateway.directory.controls import PASSWORD_POLICY, Control
from gateway.directory.messages import Result
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

PASSWORDS = {"grace": "cobol-1959", "alan": "enigma", "nomail": "paper", "bare": "minimum"}
FAILURES = 3
POLICY = f"""
dn: cn=policy,{BASE_DN}
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: {FAILURES}
pwdMustChange: TRUE
"""


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
    with PolicySlapd.start(COMPANY, POLICY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        with started.administration() as connection:
            connection.modify(dn_of("alan"), {"userPassword": [(ldap3.MODIFY_REPLACE, [PASSWORDS["alan"]])]})
            for_ever = {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, ["000001010000Z"])]}
            connection.modify(dn_of("nomail"), for_ever)
        for _ in range(FAILURES):
            bind(started, "bare", "wrong")
        yield started


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
