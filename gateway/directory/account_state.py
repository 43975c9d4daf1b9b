"""Which accounts a directory has barred, by what their entry says and by how it answered their bind. Pure.

No entry and no bind tells everything. Active Directory and 389-ds refuse the bind and say why; OpenLDAP says little,
and lets people in whose password must be changed first; FreeIPA lets expired passwords bind. So both are read here:

* ``state_attributes`` are what to ask for with the person, by preset;
* ``login_restriction`` decides after the bind: None where it alone counts;
* ``renewal_restriction`` decides where there is no password: at a token's renewal or an access key's use.

A restriction's ``text`` goes to the operator's log; the caller of a login never learns it.

Sources: [MS-ADTS] 2.2.16, 3.1.1.4.5.17 and 5.1.1.1.1 (Active Directory), draft-behera-ldap-password-policy-10 sections
5.3 and 6.2 (ppolicy); Samba 4.17, 389-ds 2.3 and OpenLDAP 2.5 as they answer, FreeIPA by the source of its plug-ins.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.directory.ber import SEQUENCE, ProtocolError, expect, read_header
from gateway.directory.controls import PASSWORD_POLICY

if TYPE_CHECKING:
    from gateway.directory.messages import Result

EXPIRED_CONTROL: Final = "2.16.840.1.113730.3.4.4"
"""Netscape's control of a bind's answer; with a success it says that the password must be changed first."""

Attributes = Mapping[str, Sequence[bytes]]
"""Of an entry, names in lower case."""


class State(enum.Enum):
    """Why an account is barred, the gravest first. Its value is what logs say."""

    DISABLED = "the account is disabled"
    ACCOUNT_EXPIRED = "the account has expired"
    NOT_YET = "the account may not be used yet"
    LOCKED = "the account is locked"
    MUST_CHANGE = "the password must be changed first"
    PASSWORD_EXPIRED = "the password has expired"  # noqa: S105 - a text
    LOGON_HOURS = "outside the account's logon hours"
    LOGON_WORKSTATION = "the account may not log in from here"

    @property
    def lasting(self) -> bool:
        """Whether it holds until an administrator lifts it; then what the person holds should end with it."""
        return self in (State.DISABLED, State.ACCOUNT_EXPIRED)


class Restriction(NamedTuple):
    """One state of an account and where it shows."""

    state: State
    source: str
    """Attribute or part of the bind's answer."""
    bind_decides: bool = False
    """Whether the directory refuses the bind for it by itself, so that a bind that succeeds proves it outdated."""

    @property
    def text(self) -> str:
        """For the operator, ``the account is disabled (userAccountControl)``."""
        return f"{self.state.value} ({self.source})"


_ACTIVE_DIRECTORY: Final = (
    "userAccountControl", "msDS-User-Account-Control-Computed", "msDS-UserAccountDisabled", "lockoutTime",
    "accountExpires", "pwdLastSet",
)  # fmt: skip
_OPENLDAP: Final = ("pwdAccountLockedTime", "pwdStartTime", "pwdEndTime", "pwdReset")
_389DS: Final = ("nsAccountLock", "accountUnlockTime", "passwordExpirationTime", "pwdReset")
_FREEIPA: Final = ("nsAccountLock", "krbPrincipalExpiration", "krbPasswordExpiration")
_BY_PRESET: Final = {
    "active_directory": _ACTIVE_DIRECTORY,
    "openldap": _OPENLDAP,
    "389ds": _389DS,
    "freeipa": _FREEIPA,
    "lldap": (),
}
_ALL: Final = tuple(dict.fromkeys((*_ACTIVE_DIRECTORY, *_OPENLDAP, *_389DS, *_FREEIPA)))


def state_attributes(preset: str) -> tuple[str, ...]:
    """Names to ask for with a person. All for a preset that names no product: a directory passes over unknown ones."""
    return _BY_PRESET.get(preset, _ALL)


def login_restriction(entry: Attributes, result: Result, now: float) -> Restriction | None:
    """The gravest that bars a login whose bind ended with ``result``; ``now`` in seconds since 1970.

    After a success None admits. After a refusal it is what is known besides: the password may be wrong as well, and
    None says nothing but that. A failure that is no refusal (busy, no such entry) is left as it is. Raises
    ``ProtocolError`` for a control that cannot be read.
    """
    if result.code not in _ABOUT_CREDENTIALS:
        return None
    told = bind_restriction(result)
    succeeded = result.code == _SUCCESS
    shown = [found for found in entry_restrictions(entry, now) if not (succeeded and found.bind_decides)]
    return min([told, *shown] if told else shown, key=_gravity, default=None)


def renewal_restriction(entry: Attributes, now: float) -> Restriction | None:
    """What bars a renewal, where no password is shown and its age does not count.

    A lock ends by itself, and a beginning comes: the renewal is refused, and nothing is revoked (``State.lasting``).
    """
    found = next(iter(entry_restrictions(entry, now)), None)
    return found if found and (found.state.lasting or found.state in (State.NOT_YET, State.LOCKED)) else None


def entry_restrictions(entry: Attributes, now: float) -> list[Restriction]:
    """All that an entry says, the gravest first. Values that cannot be read say nothing."""
    found = [restriction for reader in _READERS for restriction in reader(entry, now)]
    return sorted(found, key=_gravity)


def _gravity(restriction: Restriction) -> int:
    return _GRAVITY[restriction.state]


def bind_restriction(result: Result) -> Restriction | None:
    """What the answer to a bind says of the account, the gravest; None where it says nothing, or that the password is
    wrong. Raises ``ProtocolError`` for a control that cannot be read.
    """
    return min((*_told_by_controls(result), *_told_by_text(result)), key=_gravity, default=None)


def _told_by_controls(result: Result) -> Iterator[Restriction]:
    for control in result.controls:
        if control.oid == PASSWORD_POLICY and (told := policy_state(control.value)):
            yield Restriction(told, "password policy control")
        if control.oid == EXPIRED_CONTROL:
            expired = State.MUST_CHANGE if result.code == _SUCCESS else State.PASSWORD_EXPIRED
            yield Restriction(expired, "password expired control")


def _told_by_text(result: Result) -> Iterator[Restriction]:
    """In text too, because the control of 389-ds calls an inactivated account a locked one."""
    if result.code == _INVALID_CREDENTIALS and (found := _AD_DATA.search(result.message)):
        data = found[1].lower()
        if data in _AD_STATES:
            yield Restriction(_AD_STATES[data], f"data {data}")
    message = result.message.lower()
    for code, words, state in _TEXTS:
        if code == result.code and words in message:
            yield Restriction(state, f"bind answered {code}")


def policy_state(value: bytes) -> State | None:
    """The state in a ``PasswordPolicyResponseValue`` (draft-behera 6.2).

    None for one without an error, or with one that is about a new password. Raises ``ProtocolError``.
    """
    if not value:
        return None
    position, end = expect(value, 0, len(value), SEQUENCE)
    if end != len(value):
        raise ProtocolError("something follows the value of a password policy control")
    while position < end:
        tag, begin, position = read_header(value, position, end)
        if tag == _POLICY_ERROR:
            if position - begin != 1:
                raise ProtocolError("a password policy error out of range")
            return _POLICY_STATES.get(value[begin])
    return None


_SUCCESS, _CONSTRAINT_VIOLATION, _INVALID_CREDENTIALS, _UNWILLING_TO_PERFORM = 0, 19, 49, 53
_ABOUT_CREDENTIALS: Final = frozenset({
    _SUCCESS, _CONSTRAINT_VIOLATION, _INVALID_CREDENTIALS, _UNWILLING_TO_PERFORM,
})  # fmt: skip
_GRAVITY: Final = {state: place for place, state in enumerate(State)}

_POLICY_ERROR: Final = 0x81
_POLICY_STATES: Final = {0: State.PASSWORD_EXPIRED, 1: State.LOCKED, 2: State.MUST_CHANGE}

_AD_DATA: Final = re.compile(r"\bdata ([0-9a-f]{1,8})\b", re.IGNORECASE)
# Error codes of Windows in hexadecimal; 525 (no such user) and 52e (wrong password) bar no account.
_AD_STATES: Final = {
    "530": State.LOGON_HOURS,
    "531": State.LOGON_WORKSTATION,
    "532": State.PASSWORD_EXPIRED,
    "533": State.DISABLED,
    "701": State.ACCOUNT_EXPIRED,
    "773": State.MUST_CHANGE,
    "775": State.LOCKED,
}

_TEXTS: Final = (
    (_UNWILLING_TO_PERFORM, "account inactivated", State.DISABLED),  # 389-ds
    (_CONSTRAINT_VIOLATION, "account inactivity limit exceeded", State.DISABLED),  # 389-ds, account policy plug-in
    (_CONSTRAINT_VIOLATION, "exceed password retry limit", State.LOCKED),  # 389-ds
    (_INVALID_CREDENTIALS, "password expired", State.PASSWORD_EXPIRED),  # 389-ds
    (_UNWILLING_TO_PERFORM, "entry permanently locked", State.LOCKED),  # FreeIPA
    (_UNWILLING_TO_PERFORM, "too many failed logins", State.LOCKED),  # FreeIPA
    (_UNWILLING_TO_PERFORM, "account (kerberos principal) is expired", State.ACCOUNT_EXPIRED),  # FreeIPA
    (_INVALID_CREDENTIALS, "password is expired", State.PASSWORD_EXPIRED),  # FreeIPA, grace period plug-in
)
"""Result code, words of the diagnostic message, state."""

_UAC_DISABLED, _UAC_LOCKED, _UAC_KEEPS_PASSWORD, _UAC_PASSWORD_EXPIRED = 0x2, 0x10, 0x10000, 0x800000
_FOR_EVER: Final = 2**63 - 1
_WINDOWS_EPOCH: Final = -11_644_473_600
"""1601 in seconds since 1970; a FILETIME counts 100 ns from there."""


def _active_directory(entry: Attributes, now: float) -> Iterator[Restriction]:
    control, computed = _number(entry, "useraccountcontrol"), _number(entry, "msds-user-account-control-computed")
    if control and control & _UAC_DISABLED:
        yield Restriction(State.DISABLED, "userAccountControl")
    if _flag(entry, "msds-useraccountdisabled"):
        yield Restriction(State.DISABLED, "msDS-UserAccountDisabled")
    expires = _number(entry, "accountexpires")
    if expires and expires != _FOR_EVER and _WINDOWS_EPOCH + expires / 10_000_000 <= now:
        yield Restriction(State.ACCOUNT_EXPIRED, "accountExpires")
    # lockoutTime stays when a lock has run out; the computed bits know, but a global catalogue has none.
    if computed is None and _number(entry, "lockouttime"):
        yield Restriction(State.LOCKED, "lockoutTime", bind_decides=True)
    if (computed or 0) & _UAC_LOCKED:
        yield Restriction(State.LOCKED, "msDS-User-Account-Control-Computed", bind_decides=True)
    if _number(entry, "pwdlastset") == 0 and not (control or 0) & _UAC_KEEPS_PASSWORD:
        yield Restriction(State.MUST_CHANGE, "pwdLastSet", bind_decides=True)
    elif (computed or 0) & _UAC_PASSWORD_EXPIRED:
        yield Restriction(State.PASSWORD_EXPIRED, "msDS-User-Account-Control-Computed", bind_decides=True)


_LOCKED_FOR_EVER: Final = frozenset({b"000001010000Z", b"00000101000000Z"})


def _password_policy(entry: Attributes, now: float) -> Iterator[Restriction]:
    """draft-behera 5.3. How long a lock lasts stands in another entry: as long as it is shown, it may hold."""
    locked = _value(entry, "pwdaccountlockedtime")
    if locked in _LOCKED_FOR_EVER:
        yield Restriction(State.DISABLED, "pwdAccountLockedTime, for ever")
    elif locked:
        yield Restriction(State.LOCKED, "pwdAccountLockedTime", bind_decides=True)
    if (begins := _time(entry, "pwdstarttime")) is not None and begins > now:
        yield Restriction(State.NOT_YET, "pwdStartTime")
    if _past(entry, "pwdendtime", now):
        yield Restriction(State.ACCOUNT_EXPIRED, "pwdEndTime")
    if _flag(entry, "pwdreset"):
        yield Restriction(State.MUST_CHANGE, "pwdReset")


def _389_ds(entry: Attributes, now: float) -> Iterator[Restriction]:
    """The beginning of 1970 stands for ever in ``accountUnlockTime``, for a reset in ``passwordExpirationTime``."""
    if _flag(entry, "nsaccountlock"):
        yield Restriction(State.DISABLED, "nsAccountLock")
    unlock = _time(entry, "accountunlocktime")
    if unlock is not None and (unlock == 0 or unlock > now):
        yield Restriction(State.LOCKED, "accountUnlockTime", bind_decides=True)
    if _past(entry, "passwordexpirationtime", now):
        state = State.PASSWORD_EXPIRED if _time(entry, "passwordexpirationtime") else State.MUST_CHANGE
        yield Restriction(state, "passwordExpirationTime", bind_decides=True)


def _kerberos(entry: Attributes, now: float) -> Iterator[Restriction]:
    """FreeIPA, whose LDAP server lets a password bind that Kerberos would have changed first."""
    if _past(entry, "krbprincipalexpiration", now):
        yield Restriction(State.ACCOUNT_EXPIRED, "krbPrincipalExpiration")
    if _past(entry, "krbpasswordexpiration", now):
        yield Restriction(State.PASSWORD_EXPIRED, "krbPasswordExpiration")


_READERS: Final[tuple[Callable[[Attributes, float], Iterator[Restriction]], ...]] = (
    _active_directory, _password_policy, _389_ds, _kerberos,
)  # fmt: skip

_NUMBER: Final = re.compile(rb"-?[0-9]{1,20}")
_GENERALIZED_TIME: Final = re.compile(
    rb"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})?)?(?:[.,][0-9]{1,9})?(?:Z|([+-])([0-9]{2})([0-9]{2})?)"
)


def _value(entry: Attributes, name: str) -> bytes:
    found = entry.get(name)
    return found[0] if found else b""


def _flag(entry: Attributes, name: str) -> bool:
    return _value(entry, name).upper() == b"TRUE"


def _number(entry: Attributes, name: str) -> int | None:
    value = _value(entry, name)
    return int(value) if _NUMBER.fullmatch(value) else None


def _past(entry: Attributes, name: str, now: float) -> bool:
    time = _time(entry, name)
    return time is not None and time <= now


def _time(entry: Attributes, name: str) -> float | None:
    """Seconds since 1970 of a Generalized Time (RFC 4517 section 3.3.13), fractions left out; None where it is none."""
    found = _GENERALIZED_TIME.fullmatch(_value(entry, name))
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    east = (-1 if found[7] == b"-" else 1) * timedelta(hours=int(found[8] or 0), minutes=int(found[9] or 0))
    try:
        return (datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - east).timestamp()
    except (ValueError, OverflowError):
        return None
