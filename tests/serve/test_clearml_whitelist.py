"""clearml.md 8: whitelist mode before a real directory, and the calls that fill the whitelist."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.directory.local_users import LocalUsers
from gateway.identities import Identities
from gateway.identity import Account, Identity
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from tests.daemon import Answer, Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.serve.clearml_site import Site, clearml_site, environment

EMPTY = "the whitelist is empty"
NAMES = "CLEARML__apiserver__auth__fixed_user_providers__ldap__"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd")) as started:
        yield started


def reference(slapd: Slapd, **more: str) -> dict[str, str]:
    """The reference's variables, without ``default_company``."""
    return environment(
        **{
            "CLEARML__apiserver__auth__fixed_users__enabled": "true",
            "CLEARML__apiserver__auth__fixed_users__provider": "ldap",
            f"{NAMES}server": f"ldap://127.0.0.1:{slapd.port}",
            f"{NAMES}base_dn": f'"{BASE_DN}"',
            "CLEARML__secure__fixed_user_providers__ldap__dn": SERVICE_DN,
            "CLEARML__secure__fixed_user_providers__ldap__password": SERVICE_PASSWORD,
            **more,
        }
    )


def by_key(daemon: Daemon, endpoint: str, **fields: Any) -> Answer:
    """As the reference's curl lines do it: Basic keys directly, no login before."""
    headers = {"Content-Type": "application/json"}
    return daemon.call(f"/{endpoint}", basic=("root-key", "root-secret"), method="POST", headers=headers, body=json.dumps(fields))


def test_from_an_empty_whitelist_to_a_person_with_a_role(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=reference(slapd)) as daemon:
        daemon.wait_for(EMPTY)
        refused = daemon.login("alan", "enigma")
        assert (*refused.verdict, refused.meta["result_msg"]) == (
            401, 22, "Unauthorized (invalid credentials) (bad username or password)")  # fmt: skip
        assert daemon.wait_for_event(action="login", outcome="failure", user="alan")["reason"].startswith("not on the whitelist")
        added = by_key(daemon, "login.add_whitelist_entries", emails=["Alan@Example.com"], is_admin=True)
        assert added.data == {"added": ["alan@example.com"]}
        [pending] = by_key(daemon, "login.get_settings").data["whitelist_entries"]
        assert (list(pending), pending["status"]) == (["email", "status", "added"], "pending")
        user = daemon.user(daemon.token("alan", "enigma"))
        assert (user["name"], user["role"]) == ("Alan Turing", "admin")
        [accepted] = by_key(daemon, "login.get_settings").data["whitelist_entries"]
        assert list(accepted) == ["email", "status", "added", "accepted", "user"]
        assert accepted["user"] == {"id": user["id"], "name": "Alan Turing", "role": "admin"}
        # 8: what was accepted is not removed, and the user stays.
        assert by_key(daemon, "login.remove_whitelist_entries", emails=["alan@example.com"]).data == {"removed": []}
        assert daemon.login("alan", "enigma").status == 200
        assert daemon.login("grace", "cobol-1959").verdict == (401, 22)


def test_a_domain_invites_everyone_of_it_and_no_subdomain(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=reference(slapd)) as daemon:
        assert by_key(daemon, "login.set_domains", domains=["com", "sub.example.com", "notexample.com"]).data == {}
        assert daemon.login("alan", "enigma").verdict == (401, 22)
        assert by_key(daemon, "login.set_domains", domains=["EXAMPLE.com"]).data == {}
        assert daemon.user(daemon.token("alan", "enigma"))["role"] == "user"
        by_key(daemon, "login.set_domains", domains=[])
        assert daemon.login("grace", "cobol-1959").verdict == (401, 22)


def test_who_is_gone_gives_the_entry_back(slapd: Slapd, tmp_path: Path) -> None:
    """A re-hired name is another person (DECISIONS 1), and needs an invitation of its own."""
    dn = f"uid=temp,ou=people,{BASE_DN}"
    person = {"uid": "temp", "cn": "Temp", "sn": "Temp", "mail": "temp@example.com", "userPassword": "temporary"}
    more = {"CLEARML__session__refresh_interval": "0", "CLEARML__login__cache": "0"}
    with running(tmp_path, environment=reference(slapd, **more)) as daemon, slapd.administration() as admin:
        by_key(daemon, "login.add_whitelist_entries", emails=["temp@example.com"])
        admin.add(dn, "inetOrgPerson", person)
        token = daemon.token("temp", "temporary")
        admin.delete(dn)
        admin.add(dn, "inetOrgPerson", person)
        assert daemon.login("temp", "temporary").verdict == (401, 22)
        assert by_key(daemon, "login.remove_whitelist_entries", emails=["temp@example.com"]).data == {"removed": []}
        assert daemon.call("/auth.login", bearer=token).verdict == (401, 30)  # the first one is found missing
        removed = by_key(daemon, "login.remove_whitelist_entries", emails=["temp@example.com"])
        assert removed.data == {"removed": ["temp@example.com"]}
        by_key(daemon, "login.add_whitelist_entries", emails=["temp@example.com"])
        assert daemon.login("temp", "temporary").status == 200
        admin.delete(dn)


BY_INVITATION = Configuration.model_validate(
    {
        "state_dir": "/var/empty",
        "servers": ({"name": "ldap", "host": "ldap.example.com", "search_base_dns": ("dc=example",)},),
        "clearml": {"registration": "whitelist"},
    }
)


async def test_of_two_who_come_at_once_with_one_address_one_is_let_in(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(b"k" * 32))
    await store.migrate()
    with ThreadPoolExecutor(1) as threads:
        identities = Identities(store, BY_INVITATION, LocalUsers((), threads, 1))
        await store.whitelist_add({"ada@example.com": "admin"}, 1, "test")
        people = [Account("ldap", f"uuid-{number}", f"ada{number}", email="ada@example.com") for number in range(5)]
        results = await asyncio.gather(
            *(identities.admit(person, person.username, 2) for person in people), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["Identity", *["Refused"] * 4]
        assert len(await store.identities()) == 1, "nothing is stored of those who were refused"
        await store.domains_set(["example.com"])
        others = await asyncio.gather(
            *(identities.admit(person, person.username, 3) for person in people), return_exceptions=True
        )
        roles = [result.grant.clearml_role for result in others if isinstance(result, Identity)]
        assert sorted(roles) == ["admin", *["user"] * 4]
        assert sorted(row.role for row in await store.identities()) == sorted(roles)
        for result in others:
            assert isinstance(result, Identity) and await identities.by_id(result.id, 3) == result
    await store.close()


async def test_of_one_person_who_comes_twice_at_once_both_are_let_in(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(b"k" * 32))
    await store.migrate()
    with ThreadPoolExecutor(1) as threads:
        identities = Identities(store, BY_INVITATION, LocalUsers((), threads, 1))
        await store.whitelist_add({"ada@example.com": "admin"}, 1, "test")
        ada = Account("ldap", "uuid", "ada", email="ada@example.com")
        results = await asyncio.gather(*(identities.admit(ada, "ada", 2) for _ in range(5)))
        assert {result.grant.clearml_role for result in results} == {"admin"}
    await store.close()


def test_default_company_opens_the_door(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=reference(slapd, **{f"{NAMES}default_company": "c" * 32})) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        assert EMPTY not in daemon.log


# the calls themselves


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("whitelist")) as started:
        yield started


def emptied(site: Site) -> None:
    known = [entry["email"] for entry in site.call("admin", "login.get_settings").data["whitelist_entries"]]
    site.call("admin", "login.remove_whitelist_entries", emails=known)


REQUIRED = "Validation error (error for field 'emails'. field is required!)"
ROLE = "Validation error (error for field 'role'. expected one of guest, annotator, user, superuser, admin)"
BAD_EMAIL = "Data validation error: invalid email address {}"
BY_DOMAIN = " (everyone of a domain: domain x.org, @x.org on the command line)"
# endpoint, fields, verdict, text: 2.2
REFUSALS: list[tuple[str, dict[str, Any], tuple[int, int], str]] = [
    ("login.add_whitelist_entries", {}, (400, 12), REQUIRED),
    ("login.remove_whitelist_entries", {}, (400, 12), REQUIRED),
    ("login.set_domains", {}, (400, 12), REQUIRED.replace("emails", "domains")),
    ("login.add_whitelist_entries", {"emails": [5]}, (400, 12), "Validation error (error for field 'emails'. expected a list of strings)"),
    ("login.add_whitelist_entries", {"emails": ["a@x.org"], "role": "root"}, (400, 12), ROLE),
    ("login.add_whitelist_entries", {"emails": ["a@x.org"], "role": "system"}, (400, 12), ROLE),
    ("login.add_whitelist_entries", {"emails": ["a@x.org"], "is_admin": "yes"}, (400, 12), "Validation error (error for field 'is_admin'. expected a boolean)"),
    ("login.add_whitelist_entries", {"emails": ["a@x.org", "nonsense"]}, (400, 800), BAD_EMAIL.format("'nonsense'")),
    ("login.add_whitelist_entries", {"emails": ["a@b@x.org"]}, (400, 800), BAD_EMAIL.format("'a@b@x.org'")),
    ("login.add_whitelist_entries", {"emails": ["\ud800@x.org"]}, (400, 12), "Validation error (error for field 'emails'. expected a list of strings)"),
    ("login.remove_whitelist_entries", {"emails": ["@x.org"]}, (400, 800), BAD_EMAIL.format("'@x.org'")),
    ("login.set_domains", {"domains": ["a@x.org"]}, (400, 800), "Data validation error: invalid domain 'a@x.org'"),
    ("login.set_domains", {"domains": ["x" * 5000]}, (400, 800), f"Data validation error: invalid domain '{'x' * 100}'"),
    ("login.set_domains", {"domains": ["x.org"] * 1001}, (400, 800), "Data validation error: expected at most 1000 of them"),
    ("login.add_whitelist_entries", {"emails": ["a@x.org"] * 10001}, (400, 800), "Data validation error: expected at most 10000 of them"),
    ("login.add_whitelist_entries", {"emails": ["a@x.org"] * 10011}, (400, 0), "The browser (or proxy) sent a request that this server could not understand."),
    ("login.add_whitelist_entries", {"emails": ["*@x.org"]}, (400, 800), BAD_EMAIL.format("'*@x.org'") + BY_DOMAIN),
    ("login.add_whitelist_entries", {"emails": ["x.org"]}, (400, 800), BAD_EMAIL.format("'x.org'") + BY_DOMAIN),
]  # fmt: skip


@pytest.mark.parametrize(("endpoint", "fields", "verdict", "text"), REFUSALS)
def test_refusals(site: Site, endpoint: str, fields: dict[str, Any], verdict: tuple[int, int], text: str) -> None:
    before = site.call("admin", "login.get_settings").data
    answer = site.call("admin", endpoint, **fields)
    assert (answer.verdict, answer.meta["result_msg"]) == (verdict, text)
    assert site.call("admin", "login.get_settings").data == before


# emails, what is new, in this order
ADDED = [
    (["a@x.org", "A@X.ORG ", "a@x.org"], ["a@x.org"]),
    (["a@x.org", "b@x.org"], ["b@x.org"]),
    (["ada@bücher.example"], ["ada@xn--bcher-kva.example"]),
    (["ada@xn--bcher-kva.example"], []),
    (["jörg@x.org"], ["jörg@x.org"]),
    ([], []),
]


def test_only_new_ones_are_told(site: Site) -> None:
    emptied(site)
    for emails, added in ADDED:
        assert site.call("admin", "login.add_whitelist_entries", emails=emails).data == {"added": added}
    one = site.daemon.call("/login.add_whitelist_entries?emails=single@x.org", bearer=site.tokens["admin"])
    assert one.data == {"added": ["single@x.org"]}
    removed = site.call("admin", "login.remove_whitelist_entries", emails=["B@x.org", "b@x.org", "nobody@x.org"])
    assert removed.data == {"removed": ["b@x.org"]}
    assert site.daemon.wait_for_event(action="whitelist.remove", user="ada", target="b@x.org")


def test_an_entry_that_exists_keeps_its_role(site: Site) -> None:
    emptied(site)
    site.call("admin", "login.add_whitelist_entries", emails=["r@x.org"], role="guest", is_admin=True)
    site.call("admin", "login.add_whitelist_entries", emails=["r@x.org"], role="admin")
    [entry] = site.call("system", "login.get_whitelist", email="R@x.org").data["entries"]
    assert (entry["role"], entry["is_admin"]) == ("guest", False)


def test_get_whitelist(site: Site) -> None:
    """8: system and root only, by address or by domain, not both."""
    emptied(site)
    site.call("admin", "login.add_whitelist_entries", emails=["a@x.org", "b@y.org"], is_admin=True)
    site.call("admin", "login.set_domains", domains=["x.org", "z.org"])

    def found(**fields: str) -> list[str]:
        entries = site.call("root", "login.get_whitelist", **fields).data["entries"]
        return [entry.get("domain") or entry["emails"][0] for entry in entries]

    assert found() == ["a@x.org", "b@y.org", "x.org", "z.org"]
    assert found(email="a@x.org") == ["a@x.org", "x.org"]
    assert found(email="new@z.org") == ["z.org"]
    assert found(email="nonsense") == []
    assert found(domain="X.org") == ["x.org"]
    assert found(domain="y.org") == []
    both = site.call("root", "login.get_whitelist", email="a@x.org", domain="x.org")
    assert both.verdict == (400, 12)
    [first, *_] = site.call("root", "login.get_whitelist").data["entries"]
    assert list(first) == ["id", "emails", "company", "role", "is_admin"]
    assert re.fullmatch(r"[0-9a-f]{32}", first["id"])


def test_the_references_own_lines(site: Site) -> None:
    """references: LDAP, user and domain whitelisting: keys by Basic, with and without Act-As."""
    emptied(site)
    key = site.call("admin", "auth.create_credentials").data["credentials"]
    basic = (key["access_key"], key["secret_key"])
    for headers in ({"X-Clearml-Act-As": site.id("admin")}, {}):
        sent = {"Content-Type": "application/json", **headers}
        body = '{"emails":["a@x.org"],"is_admin":false}'
        assert site.daemon.call("/login.add_whitelist_entries", basic=basic, method="POST", headers=sent, body=body).status == 200
        body = '{"domains":["x.org"]}'
        assert site.daemon.call("/login.set_domains", basic=basic, method="POST", headers=sent, body=body).data == {}
    assert site.call("admin", "login.get_settings").data["domains"] == ["x.org"]


def test_ten_thousand_at_once(site: Site) -> None:
    """As many as http.max_json_items, the call's own fields not counted in."""
    emptied(site)
    emails = [f"person-{number}@x.org" for number in range(10000)]
    started = time.monotonic()
    assert len(site.call("admin", "login.add_whitelist_entries", emails=emails).data["added"]) == 10000
    assert len(site.call("admin", "login.get_settings").data["whitelist_entries"]) == 10000
    more = [f"other-{number}@x.org" for number in range(10000)]
    assert len(site.call("admin", "login.add_whitelist_entries", emails=more, role="user").data["added"]) == 10000
    refused = site.call("admin", "login.add_whitelist_entries", emails=["third@x.org"])
    assert (*refused.verdict, refused.meta["result_msg"]) == (400, 800, "Data validation error: the whitelist may hold 20000 addresses")
    event = site.daemon.wait_for_event(action="whitelist.add", user="ada", reason="role user")
    assert len(event["target"]) < 2000
    for batch in (emails, more):
        assert len(site.call("admin", "login.remove_whitelist_entries", emails=batch).data["removed"]) == 10000
    assert time.monotonic() - started < 60


def test_administrators_of_another_company(slapd: Slapd, tmp_path: Path) -> None:
    """There is one whitelist, of the company that has no server to itself."""
    given = slapd.server(clearml={"default_company": "c" * 32, "admin_users": ["alan"]})
    with running(tmp_path, environment=environment(CLEARML__servers=json.dumps([given]))) as daemon:
        token = daemon.token("alan", "enigma")
        assert daemon.user(token)["role"] == "admin"
        for endpoint in ("add_whitelist_entries", "remove_whitelist_entries", "set_domains", "get_settings"):
            answer = daemon.call(f"/login.{endpoint}", bearer=token, body='{"emails":["a@x.org"],"domains":[]}')
            assert (*answer.verdict, answer.meta["result_msg"]) == (403, 20, "Forbidden (this belongs to another company)")


def test_nothing_else_is_stored(site: Site) -> None:
    """Who added what is kept with the entry."""
    emptied(site)
    site.call("admin", "login.add_whitelist_entries", emails=["a@x.org"])
    with closing(sqlite3.connect(site.daemon.directory / "state/gateway.db")) as connection:
        [row] = connection.execute("SELECT email, role, added_by, accepted_at, identity FROM whitelist").fetchall()
    assert row == ("a@x.org", "user", "local/ada", None, None)
