"""The people of the test domain, and the script that writes them into a provisioned Samba AD DC.

    /usr/bin/python3 -I tests/directories/samba_fill.py SMB_CONF SAM_LDB

It runs before the server does, under the distribution's Python, which alone has Samba's modules; tests import the
tables. Nothing in it depends on the day it runs, so that its result can be kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

REALM: Final = "ad.example.org"
DOMAIN: Final = "EXAMPLE"
BASE_DN: Final = "DC=ad,DC=example,DC=org"
PEOPLE_DN: Final = f"OU=People,{BASE_DN}"
GROUPS_DN: Final = f"OU=Groups,{BASE_DN}"
SERVICE_DN: Final = f"CN=svc,OU=Services,{BASE_DN}"
SERVICE_PASSWORD: Final = "Svc-Passw0rd!"
LOCKOUT_THRESHOLD: Final = 4
"""Wrong passwords within half an hour that lock an account, for a day."""

_NEVER: Final = str(2**63 - 1)
_IN_2001: Final = "126227808000000000"
_IN_2100: Final = "157469184000000000"
_IN_2020: Final = "132223104000000000"
"""FILETIME: units of 100 ns since 1601."""
_DAY: Final = 864_000_000_000
_BYPASS_PASSWORD_RULES: Final = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"
"""Samba's control that lets pwdLastSet be written as it is (DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID)."""
_DISABLED: Final = 0x202
_NORMAL: Final = 0x200
_ALWAYS_EXPIRES: Final = "CN=quick,CN=Password Settings Container,CN=System," + BASE_DN


@dataclass(frozen=True)
class Person:
    """One user. ``attributes`` are set as they are; ``dn`` has the CN escaped by RFC 4514."""

    login: str
    password: str
    cn: str
    rdn: str = ""
    """The CN escaped, where that differs."""
    upn: str = ""
    """``userPrincipalName``; the login at the realm where it is not given."""
    parent: str = PEOPLE_DN
    uac: int = _NORMAL
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def dn(self) -> str:
        return f"CN={self.rdn or self.cn},{self.parent}"


@dataclass(frozen=True)
class Group:
    """One group; ``members`` are logins of people and names of groups."""

    name: str
    members: tuple[str, ...]
    cn: str = ""
    """CN escaped, where it is not the name."""
    parent: str = GROUPS_DN

    @property
    def dn(self) -> str:
        return f"CN={self.cn or self.name},{self.parent}"


def _called(given: str, surname: str, mail: str = "") -> dict[str, object]:
    address = {"mail": mail} if mail else {}
    return {"givenName": given, "sn": surname, "displayName": f"{given} {surname}", **address}


PEOPLE: Final = (
    Person("svc", SERVICE_PASSWORD, "svc", parent=f"OU=Services,{BASE_DN}"),
    Person("ada", "Lovelace-1815", "Ada Lovelace", attributes=_called("Ada", "Lovelace", "ada@example.org")),
    Person("jmuessig", "Pä:ssw0rt", "Müßig, Jürgen", "Müßig\\, Jürgen", upn="juergen.muessig@example.org",
           attributes=_called("Jürgen", "Müßig", "juergen@example.org")),
    Person("seven", "Sieben-7777", '#7 "Sö" + <x>; \\ = /', '\\#7 \\"Sö\\" \\+ \\<x\\>\\; \\\\ \\= /'),
    Person("obrien", "Transp0rter!", "O'Brien (Miles) *", attributes=_called("Miles", "O'Brien")),
    Person("straße", "Stra-ße-2026", "Straße 東京"),
    Person("nia", "Nested-4444", "Nia Deep"),
    Person("pim", "Primary-1234", "Pim Primary"),
    Person("contractor", "Until-2100", "Con Tractor", attributes={"accountExpires": _IN_2100}),
    Person("permanent", "Never-3000", "Per Manent", attributes={"accountExpires": _NEVER}),
    Person("careless", "Care-less-1", "Care Less"),
    Person("disabled", "Disabled-123", "Dis Abled", uac=_DISABLED),
    Person("locked", "L0cked-1234", "Lo Cked"),
    Person("expired", "Expired-1234", "Ex Pired", attributes={"accountExpires": _IN_2001}),
    Person("stale", "Stale-12345", "Password Stale"),
    Person("fresh", "Fresh-12345", "Must Change", attributes={"pwdLastSet": "0"}),
    Person("nights", "Nights-1234", "No Hours", attributes={"logonHours": bytes(21)}),
)  # fmt: skip

GROUPS: Final = (
    Group("admins", ("ada",)),
    Group("admins-of-elsewhere", ("obrien",), cn="admins", parent=f"OU=Elsewhere,{BASE_DN}"),
    Group("level1", ("nia", "level4")),
    Group("level2", ("level1",)),
    Group("level3", ("level2",)),
    Group("level4", ("level3",)),
    Group('Größe "XL" , #1', ("ada", "jmuessig"), cn='Größe \\"XL\\" \\, #1'),
    Group("R&D (Köln) *", ("ada", "seven")),
    Group("accountants", ("pim",)),
)
"""The four levels are a loop."""

LOOP: Final = ("level1", "level2", "level3", "level4")


def fill(configuration: str, database: str) -> None:
    """Write everything in one transaction. Raises what Samba's modules do."""
    from samba.auth import system_session
    from samba.param import LoadParm
    from samba.samdb import SamDB

    parameters = LoadParm()
    parameters.load(configuration)
    sam = SamDB(url=database, session_info=system_session(), lp=parameters)
    sam.transaction_start()
    try:
        _write(sam)
    except BaseException:
        sam.transaction_cancel()
        raise
    sam.transaction_commit()


def _write(sam: Any) -> None:
    rules = {"lockoutThreshold": LOCKOUT_THRESHOLD, "lockoutDuration": -_DAY, "maxPwdAge": -(2**63)}
    _replace(sam, BASE_DN, {name: str(value) for name, value in rules.items()})
    for name in ("People", "Groups", "Services", "Elsewhere"):
        sam.add({"dn": f"OU={name},{BASE_DN}", "objectClass": "organizationalUnit"})
    for person in PEOPLE:
        _add_person(sam, person)
    _add_groups(sam, GROUPS)
    _set_primary_group(sam, "pim", "accountants")
    _expire_password(sam, "stale")


def _add_person(sam: Any, person: Person) -> None:
    entry = {
        "dn": person.dn,
        "objectClass": "user",
        "sAMAccountName": person.login,
        "userPrincipalName": person.upn or f"{person.login}@{REALM}",
        "userAccountControl": str(person.uac),
        "unicodePwd": f'"{person.password}"'.encode("utf-16-le"),
    }
    sam.add({**entry, **{name: value for name, value in person.attributes.items() if name != "pwdLastSet"}})
    if "pwdLastSet" in person.attributes:
        _replace(sam, person.dn, {"pwdLastSet": person.attributes["pwdLastSet"]})


def _add_groups(sam: Any, groups: Iterable[Group]) -> None:
    """Groups first, members after: a loop has no order."""
    dns = {entry.login: entry.dn for entry in PEOPLE} | {group.name: group.dn for group in GROUPS}
    for group in groups:
        sam.add({"dn": group.dn, "objectClass": "group", "sAMAccountName": _account_name(group.name)})
    for group in groups:
        _replace(sam, group.dn, {"member": [dns[member] for member in group.members]})


def _account_name(name: str) -> str:
    """sAMAccountName without what it may not hold ([MS-SAMR] 3.1.1.8.1)."""
    return "".join(" " if character in '"/\\[]:;|=,+*?<>' else character for character in name)


def _set_primary_group(sam: Any, login: str, name: str) -> None:
    person = next(entry for entry in PEOPLE if entry.login == login)
    group = next(entry for entry in GROUPS if entry.name == name)
    token = sam.search(group.dn, scope=0, attrs=["primaryGroupToken"])[0]["primaryGroupToken"]
    _replace(sam, person.dn, {"primaryGroupID": str(token)})


def _expire_password(sam: Any, login: str) -> None:
    """A password settings object of two days (one day or less counts as never) and a password of 2020."""
    dn = next(entry.dn for entry in PEOPLE if entry.login == login)
    sam.add({
        "dn": _ALWAYS_EXPIRES,
        "objectClass": "msDS-PasswordSettings",
        "msDS-PasswordSettingsPrecedence": "10",
        "msDS-PasswordReversibleEncryptionEnabled": "FALSE",
        "msDS-PasswordHistoryLength": "0",
        "msDS-PasswordComplexityEnabled": "TRUE",
        "msDS-MinimumPasswordLength": "7",
        "msDS-MinimumPasswordAge": "0",
        "msDS-MaximumPasswordAge": str(-2 * _DAY),
        "msDS-LockoutThreshold": "0",
        "msDS-LockoutObservationWindow": "0",
        "msDS-LockoutDuration": "0",
        "msDS-PSOAppliesTo": dn,
    })  # fmt: skip
    _replace(sam, dn, {"pwdLastSet": _IN_2020}, controls=[_BYPASS_PASSWORD_RULES])


def _replace(sam: Any, dn: str, attributes: Mapping[str, object], controls: Iterable[str] = ()) -> None:
    import ldb

    message = ldb.Message(ldb.Dn(sam, dn))
    for name, values in attributes.items():
        message[name] = ldb.MessageElement(values, ldb.FLAG_MOD_REPLACE, name)
    sam.modify(message, controls=list(controls))


if __name__ == "__main__":
    fill(*sys.argv[1:])
