"""Nobody is let in as somebody else because of a name: that binds, that several have, or that is the service's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ldap3
import pytest

from gateway.directory.realm import Outcome
from tests.daemon import running
from tests.directories.directory_logins import configured, logins, one_server
from tests.directories.hostile_names import SAME
from tests.directories.samba import Samba, dn_of, password_of
from tests.directories.samba_fill import DOMAIN, PEOPLE_DN, REALM
from tests.directories.samba_fill import SERVICE_DN as AD_SERVICE_DN
from tests.directories.samba_fill import SERVICE_PASSWORD as AD_SERVICE_PASSWORD
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

# Active Directory, whose names to bind with are of several kinds (MS-ADTS 5.1.1.1.1)


@contextmanager
def renamed(samba: Samba, **principal_names: str) -> Iterator[None]:
    """People with other principal names, without one where it is empty."""
    name_them(samba, principal_names)
    try:
        yield
    finally:
        name_them(samba, {login: f"{login}@meanwhile" for login in principal_names})
        name_them(samba, {login: f"{login}@{REALM}" for login in principal_names})


def name_them(samba: Samba, principal_names: dict[str, str]) -> None:
    with samba.administration() as connection:
        for login, name in principal_names.items():
            change = (ldap3.MODIFY_REPLACE, [name]) if name else (ldap3.MODIFY_DELETE, [])
            connection.modify(dn_of(login), {"userPrincipalName": [change]})


def at(samba: Samba, **settings: object) -> Any:
    given = {"preset": "active_directory", "bind_dn": "", "bind_password": "", "search_base_dns": [PEOPLE_DN], "search_filter": None}
    return logins(configured(**samba.server(**given | settings)))


EITHER = "(|(sAMAccountName=%s)(userPrincipalName=%s@example.org))"
# mode, settings, whom the contractor's password admits, whom pim's admits; contractor binds as pim@example.org
CROSSED: list[tuple[str, dict[str, object], str, str]] = [
    ("single", {"bind_dn": "%s@example.org"}, "", ""),
    ("single, either name", {"bind_dn": "%s@example.org", "search_filter": EITHER}, "", ""),
    ("single, the first", {"bind_dn": "%s@example.org", "search_filter": EITHER, "multiple_entries": "first"}, "", ""),
    ("single, by what binds", {"bind_dn": "%s@example.org", "search_filter": "(userPrincipalName=%s@example.org)"}, "contractor", ""),
    ("upn", {"upn_domain": "example.org"}, "contractor", ""),
    ("upn, sAMAccountName", {"upn_domain": "example.org", "samaccountname_login": True}, "", ""),
    ("DOMAIN", {"bind_dn": f"{DOMAIN}\\%s"}, "", "pim"),
    ("DOMAIN, the first", {"bind_dn": f"{DOMAIN}\\%s", "search_filter": EITHER, "multiple_entries": "first"}, "", ""),
    ("DOMAIN, by another name", {"bind_dn": f"{DOMAIN}\\%s", "search_filter": "(userPrincipalName=%s@example.org)"}, "", ""),
]


@pytest.mark.parametrize(("settings", "contractor", "pim"), [row[1:] for row in CROSSED], ids=[row[0] for row in CROSSED])
async def test_one_s_principal_name_is_another_s_account_name(samba: Samba, settings: dict[str, object], contractor: str, pim: str) -> None:
    with renamed(samba, pim="pimmy@example.org", contractor="pim@example.org"):
        async with at(samba, **settings) as directory:
            for login, admitted in (("contractor", contractor), ("pim", pim)):
                verdict = await directory.verdict("pim", password_of(login))
                assert (verdict.account.username if verdict.account else "") == admitted, verdict
                assert verdict.outcome is (Outcome.OK if admitted else Outcome.INVALID)


async def test_nobody_else_below_the_base(samba: Samba) -> None:
    """Who has bound is not searched, so that one entry alone is found: another's."""
    with renamed(samba, svc="pim@example.org", pim="pimmy@example.org"):
        async with at(samba, upn_domain="example.org", samaccountname_login=True) as directory:
            verdict = await directory.verdict("pim", AD_SERVICE_PASSWORD)
            assert (verdict.outcome, verdict.account) == (Outcome.INVALID, None)
            assert f"but search_filter finds {dn_of('pim')}" in verdict.reason


async def test_principal_names_that_nobody_wrote_down(samba: Samba) -> None:
    """``sAMAccountName@domain`` binds without an attribute that says so, and costs two questions; another's own does not."""
    for suffix in (REALM, DOMAIN):
        async with at(samba, bind_dn=f"%s@{suffix}", primary_group=False) as directory:
            with renamed(samba, pim=""):
                verdict = await directory.verdict("pim", password_of("pim"))
                assert verdict.account is not None and verdict.account.username == "pim", verdict
                assert (directory.searches, directory.binds) == (2, 1)
    async with at(samba, bind_dn=f"%s@{DOMAIN}") as directory:
        with renamed(samba, pim="", contractor=f"pim@{DOMAIN}"):  # one in the realm's own name is refused
            assert (await directory.verdict("pim", password_of("contractor"))).account is None


@pytest.mark.parametrize(("login", "admitted"), [
    ("ada@ad.example.org", True), (f"{DOMAIN}\\ada", False), ("ada", False),
    (dn_of("ada"), False), (dn_of("ada").replace("Ada", "\\41da"), False),
])  # fmt: skip
async def test_people_who_type_the_whole_name(samba: Samba, login: str, admitted: bool) -> None:
    """A DN has more spellings than a lockout can count as one: none is sent."""
    async with at(samba, bind_dn="%s", search_filter="(userPrincipalName=%s)") as directory:
        verdict = await directory.verdict(login, password_of("ada"))
        assert verdict.outcome is (Outcome.OK if admitted else Outcome.INVALID), verdict
        assert directory.binds == ("=" not in login)


# The service account


@pytest.mark.parametrize("bind_dn", [AD_SERVICE_DN, AD_SERVICE_DN.lower(), f"svc@{REALM}", f"SVC@{DOMAIN}", f"{DOMAIN}\\svc"])
async def test_guesses_do_not_lock_the_service_account(samba: Samba, bind_dn: str) -> None:
    """Four lock an account there; a guess costs what it costs elsewhere."""
    base = AD_SERVICE_DN.partition(",")[2]
    bases = [base, PEOPLE_DN]
    async with at(samba, bind_dn=bind_dn, bind_password=AD_SERVICE_PASSWORD, search_base_dns=bases) as directory:
        for password in ["guess"] * 6 + [AD_SERVICE_PASSWORD]:
            verdict = await directory.verdict("svc", password)
            assert (verdict.outcome, directory.searches, directory.binds) == (Outcome.INVALID, 2, 1)
            assert verdict.reason.startswith("this is the service account")
        looked_up = await directory.directory.look_up("svc")
        assert looked_up.outcome is Outcome.INVALID and looked_up.reason.startswith("this is the service account")
        assert samba.bind(AD_SERVICE_DN, AD_SERVICE_PASSWORD)[0] == 0
        assert (await directory.verdict("ada", password_of("ada"))).outcome is Outcome.OK


# Several values of the name


PEOPLE = f"ou=people,{BASE_DN}"
SEVERAL = f"""
dn: uid=mallory,{PEOPLE}
objectClass: inetOrgPerson
uid: director
uid: mallory
cn: Mallory
sn: M
mail: alan
mail: mallory@example.com
userPassword: mallory-pw

dn: cn=Two Names,{PEOPLE}
objectClass: inetOrgPerson
uid: first
uid: second
cn: Two Names
sn: T
mail: two@example.com
userPassword: two-pw

dn: cn=ops,ou=groups,{BASE_DN}
objectClass: posixGroup
gidNumber: 7001
cn: ops
memberUid: director

dn: cn=mallories,ou=groups,{BASE_DN}
objectClass: posixGroup
gidNumber: 7002
cn: mallories
memberUid: mallory
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, SEVERAL, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


GROUPS: dict[str, object] = {"group_search_base_dns": [f"ou=groups,{BASE_DN}"]}
BY_VALUE = GROUPS | {"group_search_filter": "(memberUid=%s)"}
BY_NAME = GROUPS | {"group_search_filter": "(memberUid={{.Username}})"}
BY_MAIL = {"search_filter": "(mail=%s)"}
# what is typed, password, settings, name of the account, its groups
CHOSEN: list[tuple[str, str, str, dict[str, object], str, set[str]]] = [
    ("the one in the DN", "mallory", "mallory-pw", BY_VALUE, "mallory", {"mallories"}),
    ("whatever was typed", "DIRECTOR", "mallory-pw", BY_VALUE, "mallory", {"mallories"}),
    ("whatever was typed, {{.Username}}", "director", "mallory-pw", BY_NAME, "mallory", {"mallories"}),
    ("not another's e-mail address", "alan", "mallory-pw", BY_MAIL | BY_NAME, "mallory", {"mallories"}),
    ("not another's e-mail address, %s", "alan", "mallory-pw", BY_MAIL | BY_VALUE, "mallory", {"mallories"}),
    ("vault.md 4, there it is what was typed", "alan", "mallory-pw",
     BY_NAME | {"preset": "vault", "user_attr": "uid", "search_filter": "(mail=%s)"}, "mallory", {"build"}),
    ("none in the DN: the one typed", "SECOND", "two-pw", {}, "second", set()),
    ("none in the DN, none typed", "two@example.com", "two-pw", BY_MAIL, "first", set()),
]  # fmt: skip


@pytest.mark.parametrize(("login", "password", "settings", "name", "groups"), [row[1:] for row in CHOSEN], ids=[row[0] for row in CHOSEN])
async def test_one_of_several_names(slapd: Slapd, login: str, password: str, settings: dict[str, object], name: str, groups: set[str]) -> None:
    async with logins(configured(**slapd.server(**settings))) as directory:
        verdict = await directory.verdict(login, password)
        assert verdict.account is not None, verdict
        assert (verdict.account.username, {group.name for group in verdict.account.groups}) == (name, groups)


UNSEEN = ["gra\u00adce", "gra\u200bce", "gra\ufe0fce", "g\u034frace", "ＧＲＡＣＥ", "grac\u0065\u0301"]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """People may bind and read nothing."""
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("closed") / "slapd", anonymous="auth") as started:
        file = started.directory / "slapd.conf"
        file.write_text(file.read_text().replace("access to * by users read", "access to * by users auth"))
        started.restart()
        yield started


async def test_a_name_that_no_attribute_gives(closed: Slapd, slapd: Slapd) -> None:
    """RFC 4518: whatever a directory takes for the same name is one account, also where the person may not read it."""
    nameless = slapd.server(attributes={"username": "carLicense"}, search_filter="(uid=%s)")
    for settings in ({"urls": [closed.url], "user_dn": PEOPLE}, nameless):
        async with logins(configured(**settings)) as directory:
            found = set()
            for login in [*SAME, *UNSEEN]:
                verdict = await directory.verdict(login, "cobol-1959")
                if verdict.account is not None:
                    found.add((verdict.account.username, verdict.account.dn, verdict.account.external_id))
            assert len(found) == 1 and found.pop()[:2] == ("grace", f"uid=grace,{PEOPLE}")


def test_nobody_becomes_two(closed: Slapd, tmp_path: Path) -> None:
    server = {"name": "corp", "urls": [closed.url], "user_dn": PEOPLE}
    with running(tmp_path, environment=one_server(server)) as daemon:
        users = [daemon.user(daemon.token(login, "cobol-1959")) for login in ("grace", "GRACE", "ｇｒａｃｅ")]
        assert {user["id"] for user in users} == {users[0]["id"]}


async def test_the_service_account_of_openldap(slapd: Slapd) -> None:
    found = {"search_base_dns": [BASE_DN], "search_filter": "(|(uid=%s)(cn=%s))"}
    async with logins(configured(**slapd.server(**found))) as directory:
        verdict = await directory.verdict("svc", SERVICE_PASSWORD)
        assert SERVICE_DN.startswith("cn=svc,")
        assert (verdict.outcome, directory.searches, directory.binds) == (Outcome.INVALID, 1, 1)
        assert verdict.reason.startswith("this is the service account")
