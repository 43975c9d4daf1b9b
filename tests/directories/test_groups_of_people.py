"""The groups of real people on slapd, Samba AD DC and 389 Directory Server, with the round trips counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.directory.realm import Outcome
from gateway.identity import Group
from tests.directories.directory_logins import Logins, configured, logins
from tests.directories.ds389 import PEOPLE as DS389_PEOPLE
from tests.directories.ds389 import Ds389
from tests.directories.samba import Samba, dn_of, password_of
from tests.directories.samba_fill import BASE_DN as AD_DN
from tests.directories.samba_fill import GROUPS, GROUPS_DN, LOOP
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

GROUP_DN = f"ou=groups,{BASE_DN}"
PEOPLE_DN = f"ou=people,{BASE_DN}"

MORE = f"""
dn: ou=odd,{BASE_DN}
objectClass: organizationalUnit
ou: odd

dn: ou=many,{BASE_DN}
objectClass: organizationalUnit
ou: many

dn: cn=oncall,{GROUP_DN}
objectClass: groupOfUniqueNames
cn: oncall
uniqueMember: uid=alan,{PEOPLE_DN}

dn: cn=two,ou=odd,{BASE_DN}
objectClass: groupOfNames
cn: two
cn: zwei
member: uid=alan,{PEOPLE_DN}

dn: cn=ou\\=x\\,cn\\=admins,ou=odd,{BASE_DN}
objectClass: groupOfNames
cn: ou=x,cn=admins
member: uid=alan,{PEOPLE_DN}

dn: ou=teams+cn=Blue\\2C Team,ou=odd,{BASE_DN}
objectClass: groupOfNames
objectClass: extensibleObject
cn: Blue, Team
ou: teams
member: uid=alan,{PEOPLE_DN}

dn: ou=crew,ou=odd,{BASE_DN}
objectClass: groupOfNames
objectClass: extensibleObject
cn: the crew
ou: crew
member: uid=alan,{PEOPLE_DN}
""" + "".join(
    f"\ndn: cn=many{number},ou=many,{BASE_DN}\nobjectClass: groupOfNames\ncn: many{number}\nmember: uid=alan,{PEOPLE_DN}\n"
    for number in range(23)
)
MANY = {f"many{number}" for number in range(23)}
ODD = {"two", "ou=x,cn=admins", "Blue, Team", "the crew"}

PASSWORDS = {
    "grace": "cobol-1959", "alan": "enigma", "jürgen": "pä:ss", "o*(brien)": "transporter", "nomail": "paper",
    "lovelace": "notes,on#engine", "bob": "st*r(light)\\", "linus": "dontpanic", "bare": "minimum", "seven": "sieben",
}  # fmt: skip


async def groups_of(server: Logins, login: str, password: str) -> tuple[Group, ...]:
    verdict = await server.verdict(login, password)
    assert verdict.outcome is Outcome.OK, verdict
    assert verdict.account is not None
    return verdict.account.groups


def names(groups: tuple[Group, ...]) -> list[str]:
    return sorted(group.name for group in groups)


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, MORE, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


VAULT = "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"
VAULT_PRESET = {"preset": "vault", "user_attr": "uid"}
SEARCH: dict[str, Any] = {"group_search_base_dns": [GROUP_DN]}

# what it proves, settings, login, names of the groups, round trips (binds of the service and of nobody not counted)
SLAPD = [
    ("grafana.md 2.5, memberOf", {}, "grace", ["Research, Development", "admins"], 2),
    ("grafana.md 2.5, memberOf of nobody's", {}, "bare", [], 2),
    ("DECISIONS 9, memberOf outside gives no name", SEARCH, "linus", ["", "developers"], 2),
    ("grafana.md 2.5, member_of not set", {"attributes": {"member_of": ""}}, "grace", [], 2),
    ("grafana.md 2.5, posixGroup by login", SEARCH | {"group_search_filter": "(memberUid=%s)"}, "alan", ["build"], 3),
    ("grafana.md 2.3, a login with special characters", SEARCH | {"group_search_filter": "(memberUid=%s)"}, "o*(brien)", ["operators"], 3),
    ("clearml.md 1.3, {0}", SEARCH | {"group_search_filter": "(&(objectClass=posixGroup)(memberUid={0}))"}, "alan", ["build"], 3),
    ("grafana.md 2.5, groupOfNames by DN", SEARCH | {"group_search_filter": "(member=%s)", "group_search_filter_user_attribute": "dn"}, "grace", ["Research, Development", "admins"], 3),
    ("grafana.md 2.5, groupOfUniqueNames", SEARCH | {"group_search_filter": "(uniqueMember={{.UserDN}})"}, "alan", ["oncall"], 3),
    ("vault.md 3, all three", SEARCH | {"group_search_filter": VAULT}, "alan", ["build", "developers", "oncall"], 3),
    ("vault.md 3, a DN with special characters", SEARCH | {"group_search_filter": VAULT}, "bob", ["Research, Development"], 3),
    ("vault.md 3, a comma in the DN", SEARCH | {"group_search_filter": VAULT}, "lovelace", ["Research, Development", "developers"], 3),
    ("vault.md 4 step 2, {{.Username}} is lower-cased", SEARCH | {"group_search_filter": "(memberUid={{.Username}})"}, "ALAN", ["build"], 3),
    ("vault.md 3, case_sensitive_names", VAULT_PRESET | SEARCH | {"group_search_filter": "(memberUid={{.Username}})", "case_sensitive_names": True}, "ALAN", [], 3),
    ("case_sensitive_names: as the directory has it", SEARCH | {"group_search_filter": "(memberUid={{.Username}})", "case_sensitive_names": True}, "ALAN", ["build"], 3),
    ("grafana.md 2.5, every base", {"group_search_base_dns": [GROUP_DN, f"ou=projects,{BASE_DN}"], "group_search_filter": "(member={{.UserDN}})"}, "linus", ["admins", "developers"], 4),
    ("overlapping bases count once", {"group_search_base_dns": [GROUP_DN, BASE_DN], "group_search_filter": "(member={{.UserDN}})"}, "grace", ["Research, Development", "admins"], 4),
    ("grafana.md 2.5, nothing to ask with", SEARCH | {"group_search_filter": "(memberUid=%s)", "group_search_filter_user_attribute": "carLicense"}, "alan", [], 2),
    ("vault.md 5, the plain value, first of several", {"group_search_base_dns": [f"ou=odd,{BASE_DN}"], "group_search_filter": VAULT}, "alan", sorted(ODD), 3),
    ("vault.md 5, every value with preset vault", VAULT_PRESET | {"group_search_base_dns": [f"ou=odd,{BASE_DN}"], "group_search_filter": VAULT}, "alan", sorted({*ODD, "zwei"}), 3),
    ("vault.md 5, another attribute", {"group_search_base_dns": [f"ou=odd,{BASE_DN}"], "group_search_filter": "(ou=*)", "group_attr": "ou"}, "alan", ["crew", "odd", "teams"], 3),
    ("vault.md 5, no such attribute: from the DN", {"group_search_base_dns": [f"ou=odd,{BASE_DN}"], "group_search_filter": "(ou=*)", "group_attr": "street"}, "alan", ["", "", "Blue, Team"], 3),
    ("vault.md 5, and no cn: the DN", VAULT_PRESET | {"group_search_base_dns": [f"ou=odd,{BASE_DN}"], "group_search_filter": "(ou=crew)", "group_attr": "street"}, "alan", [f"ou=crew,ou=odd,{BASE_DN}"], 3),
    ("vault.md 5, memberOf of user entries", {"group_search_base_dns": [PEOPLE_DN], "group_search_filter": "(&(objectClass=person)(uid={{.Username}}))", "group_attr": "memberOf"}, "grace", ["Research, Development", "admins"], 3),
    ("vault.md 5, user entries without: their own DN", VAULT_PRESET | {"group_search_base_dns": [PEOPLE_DN], "group_search_filter": "(&(objectClass=person)(uid={{.Username}}))", "group_attr": "memberOf"}, "bare", [f"uid=bare,{PEOPLE_DN}"], 3),
    ("vault.md 5, no groupdn, no search", VAULT_PRESET | {"group_search_filter": VAULT}, "alan", [], 2),
    ("vault.md 5, pre-1.11: CN in capitals", VAULT_PRESET | {"use_pre111_group_cn_behavior": True, "group_search_filter": "", "attributes": {"member_of": "memberOf"}}, "grace", [f"cn=Research\\, Development,{GROUP_DN}", f"cn=admins,{GROUP_DN}"], 2),
    ("RFC 2696, pages", {"group_search_base_dns": [BASE_DN], "group_search_filter": "(&(cn=many*)(member={{.UserDN}}))", "page_size": 5}, "alan", sorted(MANY), 8),
    ("RFC 2696, one page is enough", {"group_search_base_dns": [BASE_DN], "group_search_filter": "(&(cn=many*)(member={{.UserDN}}))", "page_size": 24}, "alan", sorted(MANY), 3),
    ("RFC 2696, exactly one page", {"group_search_base_dns": [BASE_DN], "group_search_filter": "(&(cn=many*)(member={{.UserDN}}))", "page_size": 23}, "alan", sorted(MANY), 3),
    ("nested, by memberOf", {"nested_groups": True}, "grace", ["Research, Development", "admins", "all staff", "everybody"], 5),
    ("nested, by search", SEARCH | {"group_search_filter": VAULT, "nested_groups": True}, "jürgen", ["all staff", "developers", "everybody"], 6),
    ("nested, from within the loop", {"nested_groups": True}, "nomail", ["all staff", "everybody"], 4),
    ("nested, depth 1", {"nested_groups": True, "nested_depth": 1}, "grace", ["Research, Development", "admins", "all staff"], 3),
    ("nested, of nobody's", {"nested_groups": True}, "bare", [], 2),
    ("vault.md 4 step 10, anonymous", SEARCH | {"group_search_filter": VAULT, "anonymous_group_search": True}, "alan", ["build", "developers", "oncall"], 3),
    ("anonymous and pages", {"group_search_base_dns": [BASE_DN], "group_search_filter": "(cn=many*)", "page_size": 10, "anonymous_group_search": True}, "alan", sorted(MANY), 6),
    ("anonymous, without a search", {"anonymous_group_search": True}, "grace", ["Research, Development", "admins"], 2),
    ("AD settings harm nobody else", {"primary_group": True}, "grace", ["Research, Development", "admins"], 2),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "login", "expected", "trips"), [row[1:] for row in SLAPD], ids=[row[0] for row in SLAPD])
async def test_groups(slapd: Slapd, changes: dict[str, object], login: str, expected: list[str], trips: int) -> None:
    async with logins(configured(**slapd.server(**changes))) as server:
        assert names(await groups_of(server, login, PASSWORDS[login.lower()])) == expected
        assert server.searches + server.binds == trips


SINGLE = {"bind_dn": f"uid=%s,{PEOPLE_DN}", "bind_password": ""}


@pytest.mark.parametrize("changes", [
    {"group_search_filter": VAULT},
    {"group_search_filter": VAULT, "anonymous_group_search": True},
    {"group_search_filter": VAULT, "page_size": 1},
    {"group_search_filter": VAULT, "page_size": 1, "anonymous_group_search": True},
])  # fmt: skip
async def test_groups_read_by_the_person(slapd: Slapd, changes: dict[str, object]) -> None:
    """grafana.md 2.2, single bind: one connection serves all; as many logins as connections do not block each other."""
    async with logins(configured(**slapd.server(**SINGLE, **SEARCH, **changes, pool={"binds": 1}))) as server:
        for _ in range(2):
            assert names(await groups_of(server, "alan", "enigma")) == ["build", "developers", "oncall"]


async def test_values_that_mappings_compare(slapd: Slapd) -> None:
    """grafana.md 2.5: the DN, or the first value of ``member_of`` where that is another attribute."""
    search = SEARCH | {"group_search_filter": "(memberUid=%s)"}
    dn = f"cn=build,{GROUP_DN}"
    for member_of, value in (("memberOf", dn), ("", dn), ("MEMBEROF", dn), ("cn", "build"), ("gidNumber", "5001"), ("street", "")):
        async with logins(configured(**slapd.server(**search, attributes={"member_of": member_of}))) as server:
            assert await groups_of(server, "alan", "enigma") == (Group("build", dn, value),)


async def test_a_missing_base(slapd: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    """vault.md 4 step 11: no groups and a warning there, a failure elsewhere; what the other base has counts."""
    missing = {"group_search_base_dns": [f"ou=none,{BASE_DN}", GROUP_DN], "group_search_filter": VAULT}
    async with logins(configured(**slapd.server(**missing))) as server:
        verdict = await server.verdict("alan", "enigma")
        assert (verdict.outcome, verdict.account) == (Outcome.ERROR, None)
        assert "ou=none" in verdict.reason
        assert "32 noSuchObject" in verdict.reason
    with caplog.at_level(logging.WARNING):
        for more in ({}, {"page_size": 100}):
            async with logins(configured(**slapd.server(**missing, **more, **VAULT_PRESET))) as server:
                assert names(await groups_of(server, "alan", "enigma")) == ["build", "developers", "oncall"]
    assert sum("ou=none" in record.message for record in caplog.records) == 2


async def test_no_more_than_max_groups(slapd: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    for changes in ({"group_search_filter": "(cn=many*)"}, {"group_search_filter": "(cn=many*)", "page_size": 3}, {}):
        caplog.clear()
        async with logins(configured(**slapd.server(group_search_base_dns=[BASE_DN], max_groups=10, **changes))) as server:
            assert len(await groups_of(server, "alan", "enigma")) == 10
        assert "more than 10 groups" in caplog.text


async def test_nobody_may_search(tmp_path_factory: pytest.TempPathFactory) -> None:
    """vault.md 4 step 10: the group search has the rights of nobody, and says so."""
    directory = tmp_path_factory.mktemp("slapd") / "closed"
    with Slapd.start(COMPANY, directory=directory, anonymous="none") as closed:
        search = SEARCH | {"group_search_filter": VAULT}
        async with logins(configured(**closed.server(**search, anonymous_group_search=True))) as server:
            assert "32 noSuchObject" in (await server.verdict("alan", "enigma")).reason
        async with logins(configured(**closed.server(**search))) as server:
            assert names(await groups_of(server, "alan", "enigma")) == ["build", "developers"]


async def test_concurrent_logins_with_pages(slapd: Slapd) -> None:
    """slapd keeps the place of one paged search per connection."""
    pages = {"group_search_base_dns": [BASE_DN], "group_search_filter": "(&(cn=many*)(member={{.UserDN}}))", "page_size": 3}
    async with logins(configured(**slapd.server(**pages, pool={"binds": 4}))) as server:
        found = await asyncio.gather(*(groups_of(server, "alan", "enigma") for _ in range(20)))
    assert {frozenset(names(groups)) for groups in found} == {frozenset(MANY)}


# Active Directory


IN_CHAIN = {"group_search_filter": "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))", "group_search_base_dns": [GROUPS_DN]}
GRAFANA_IN_CHAIN = {"group_search_filter": "(member:1.2.840.113556.1.4.1941:=%s)", "group_search_filter_user_attribute": "distinguishedName"}
TOKEN = {"use_token_groups": True}
PRIMARY = {"primary_group": True}
ADA = ["Größe \"XL\" , #1", "R&D (Köln) *", "admins"]
USERS = "Domain Users"

# what it proves, settings, login, names of the groups, round trips
SAMBA = [
    ("memberOf: direct groups only", {}, "ada", ADA, 2),
    ("memberOf: not those above", {}, "nia", ["level1"], 2),
    ("memberOf: not the primary group", {}, "pim", [USERS], 2),
    ("configuration.md 1.3, primary_group", PRIMARY, "ada", sorted([*ADA, USERS]), 3),
    ("primary_group, another than usual", PRIMARY, "pim", [USERS, "accountants"], 3),
    ("primary_group, out of the bases", PRIMARY | {"group_search_base_dns": [GROUPS_DN]}, "ada", ADA, 3),
    ("primary_group beside a search", PRIMARY | {"group_search_filter": "(member={{.UserDN}})", "group_search_base_dns": [AD_DN]}, "ada", sorted([*ADA, USERS]), 4),
    ("primary_group and what is above", PRIMARY | {"nested_groups": True}, "pim", [USERS, "Users", "accountants"], 5),
    ("vault.md 5, in-chain", IN_CHAIN, "nia", sorted(LOOP), 3),
    ("vault.md 5, in-chain, special characters in the DN", IN_CHAIN, "seven", ["R&D (Köln) *"], 3),
    ("vault.md 5, in-chain, a comma in the DN", IN_CHAIN, "jmuessig", ["Größe \"XL\" , #1"], 3),
    ("grafana.md 2.5, in-chain", GRAFANA_IN_CHAIN, "nia", sorted(LOOP), 3),
    ("nested over memberOf: four levels and a loop", {"nested_groups": True}, "nia", sorted(LOOP), 6),
    ("nested, depth 2", {"nested_groups": True, "nested_depth": 2}, "nia", sorted(LOOP)[:3], 4),
    ("vault.md 5, tokenGroups", TOKEN, "nia", sorted([*LOOP, USERS, "Users"]), 4),
    ("vault.md 5, tokenGroups, special characters", TOKEN, "ada", sorted([*ADA, USERS, "Users"]), 4),
    ("vault.md 5, tokenGroups hold the primary group", TOKEN | PRIMARY, "pim", [USERS, "Users", "accountants"], 4),
    ("vault.md 5, tokenGroups below the bases only", TOKEN | {"group_search_base_dns": [GROUPS_DN]}, "nia", sorted(LOOP), 4),
    ("tokenGroups in pages, Samba's last one empty", TOKEN | {"page_size": 2}, "nia", sorted([*LOOP, USERS, "Users"]), 8),
    ("group_attr = sAMAccountName", TOKEN | {"group_attr": "sAMAccountName", "group_search_base_dns": [GROUPS_DN]}, "ada", ["Gr\u00f6\u00dfe  XL    #1", "R&D (K\u00f6ln)  ", "admins"], 4),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "login", "expected", "trips"), [row[1:] for row in SAMBA], ids=[row[0] for row in SAMBA])
async def test_active_directory(samba: Samba, changes: dict[str, object], login: str, expected: list[str], trips: int) -> None:
    async with logins(configured(**samba.server(**changes))) as server:
        assert names(await groups_of(server, login, password_of(login))) == expected
        assert server.searches + server.binds == trips


async def test_two_groups_of_one_name(samba: Samba) -> None:
    """DECISIONS 9: the admins of elsewhere have a DN and no name."""
    async with logins(configured(**samba.server(group_search_base_dns=[GROUPS_DN]))) as server:
        (group,) = await groups_of(server, "obrien", password_of("obrien"))
    elsewhere = next(entry.dn for entry in GROUPS if entry.name == "admins-of-elsewhere")
    assert group == Group("", elsewhere, elsewhere)


@pytest.mark.parametrize("changes", [TOKEN, PRIMARY, IN_CHAIN, {"nested_groups": True}])
async def test_groups_read_by_a_person_of_active_directory(samba: Samba, changes: dict[str, object]) -> None:
    """Single bind by DN: the person's own rights are enough for all of it."""
    single = {"bind_dn": dn_of("nia").replace("Nia Deep", "%s"), "bind_password": "", "search_filter": "(cn=%s)"}
    async with logins(configured(**samba.server(**single, **changes))) as server:
        assert "level1" in names(await groups_of(server, "Nia Deep", password_of("nia")))


# 389 Directory Server

PAGES = {"group_search_filter": "(objectClass=*)", "group_search_base_dns": [BASE_DN], "group_attr": "cn", "page_size": 3}


async def test_389_directory_server(ds389: Ds389) -> None:
    """grafana.md 2.5, memberOf and a search; RFC 2696, pages that end where those of others do."""
    password = DS389_PEOPLE["ada"][1]
    async with logins(configured(**ds389.server())) as server:
        listed = names(await groups_of(server, "ada", password))
        assert listed
        assert server.searches + server.binds == 2
    async with logins(configured(**ds389.server(group_search_filter=VAULT, group_search_base_dns=[BASE_DN]))) as server:
        assert names(await groups_of(server, "ada", password)) == listed
        assert server.searches + server.binds == 3
    found = {}
    for size in (0, 3, 1000):
        async with logins(configured(**ds389.server(**PAGES | {"page_size": size}))) as server:
            found[size] = {group.dn for group in await groups_of(server, "ada", password)}
    assert found[0] == found[3] == found[1000]
    assert len(found[0]) > 10
