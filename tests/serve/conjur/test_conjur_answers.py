"""conjur.md 3: what login and authenticate answer, on each family of routes, and what that costs the directory."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest

from tests.directories.directory_logins import BIND, SEARCH
from tests.directories.slapd import BASE_DN, Slapd
from tests.serve.conjur.conjur_room import (
    ACCOUNT,
    AUTHENTICATE,
    FAMILIES,
    GRANTED,
    INSIDE,
    LOGIN,
    SECRET,
    Answer,
    ConjurRoom,
    basic,
    conjur_room,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG = "Wrong-1"
KEY_LIKE = "a" * 52
GRACE = "cobol-1959"


async def ask(site: ConjurRoom, what: str, base: str, login: str, secret: str, *headers: str) -> Answer:
    call = site.login if what == LOGIN else site.authenticate
    return await call(login, secret, *headers, base=base)


# section 3 unless said; login, secret, status of login, of authenticate; round trips
COMMON = [
    ("good", "nina", SECRET, 200, 200, (SEARCH, BIND)),
    ("DECISIONS 10 case", "NINA", SECRET, 200, 200, (SEARCH, BIND)),
    ("5 by group", "alan", "enigma", 200, 200, (SEARCH, BIND)),
    ("4 special in a filter", "o*(brien)", "transporter", 200, 200, (SEARCH, BIND)),
    ("1 host", "host/apps/backup", SECRET, 200, 200, (SEARCH, BIND)),
    ("6.1 not safe", "back~up?", SECRET, 200, 200, (SEARCH, BIND)),
    ("wrong", "nina", WRONG, 401, 401, (SEARCH, BIND)),
    ("wrong", "nina", "A:B Ü?", 401, 401, (SEARCH, BIND)),
    ("unknown", "nobody", SECRET, 401, 401, (SEARCH, BIND)),
    ("ungranted", "grace", GRACE, 403, 403, (SEARCH, BIND)),
    ("ungranted, whatever the password", "grace", WRONG, 403, 403, (SEARCH, BIND)),
    ("ungranted, whatever the key", "grace", KEY_LIKE, 403, 403, (SEARCH,)),
    ("DECISIONS 5 key of nobody at an unknown name", "nobody", KEY_LIKE, 401, 401, (SEARCH,)),
    ("key of nobody", "nina", KEY_LIKE, 401, 401, (SEARCH,)),
    ("admin", "admin", SECRET, 401, 401, ()),
    ("admin", " Admin ", SECRET, 401, 401, ()),
    ("empty", "nina", "", 401, 401, ()),
    ("blank", "nina", "  \t ", 401, 401, ()),
    ("blank", "grace", "   ", 401, 401, ()),
    ("9.2", "*", SECRET, 401, 401, (SEARCH, BIND)),
    ("9.2", "nina)(uid=*", SECRET, 401, 401, (SEARCH, BIND)),
    ("4 no password there", "locked", "x", 403, 403, (SEARCH, BIND)),
]
NAMED_SERVICE = [
    ("DECISIONS 3 local users are of no service", "ada", "lovelace", 401, 401, (SEARCH, BIND)),
    ("DECISIONS 3 that server alone", "otherwise", SECRET, 401, 401, (SEARCH, BIND)),
]
REALM = [
    ("DECISIONS 2 local users first", "ada", "lovelace", 200, 200, ()),
    ("DECISIONS 2 local users first", "ada", WRONG, 401, 401, ()),
    ("DECISIONS 2 no key of theirs", "ada", KEY_LIKE, 401, 401, ()),
    ("not enabled: the person's server has no service", "otherwise", SECRET, 401, 401, (SEARCH, BIND)),
]
ROWS = [
    (family, *row) for family in FAMILIES for row in (*COMMON, *(NAMED_SERVICE if family == "service" else REALM))
]


@pytest.mark.parametrize(("family", "section", "login", "secret", "logged_in", "authenticated", "trips"), ROWS)
async def test_answers(
    site: ConjurRoom, family: str, section: str, login: str, secret: str, logged_in: int, authenticated: int,
    trips: tuple[int, ...],
) -> None:  # fmt: skip
    for what, status in ((LOGIN, logged_in), (AUTHENTICATE, authenticated)):
        answer = await ask(site, what, FAMILIES[family], login, secret)
        assert answer.status == status, what
        control = secret == "  \t " and what == LOGIN
        assert answer.trips == (() if control else trips), what
        assert answer.headers["cache-control"].startswith("no-store")
        if status != 200:
            assert (answer.body, answer.headers.get("content-length")) == (b"", "0")
            assert not {"www-authenticate", "set-cookie", "content-type"} & answer.headers.keys()


# section 3; base; login, secret; forwarded for; status of login, of authenticate; who was asked
PLACES = [
    ("unknown service", f"/authn-ldap/nowhere/{ACCOUNT}", "nina", SECRET, "", 401, 401, ()),
    ("service not enabled", f"/authn-ldap/staff/{ACCOUNT}", "otherwise", SECRET, "", 401, 401, ()),
    ("unknown account", "/authn-ldap/corp/other", "nina", SECRET, "", 401, 401, ()),
    ("accounts are compared exactly", "/authn-ldap/corp/MyOrg", "nina", SECRET, "", 401, 401, ()),
    ("unknown account", "/authn-ldap/other", "nina", SECRET, "", 401, 401, ()),
    ("unknown account", "/authn/other", "ada", "lovelace", "", 401, 401, ()),
    ("undecodable service", f"/authn-ldap/%ff/{ACCOUNT}", "nina", SECRET, "", 401, 401, ()),
    ("undecodable account", "/authn-ldap/corp/%ff", "nina", SECRET, "", 401, 401, ()),
    ("folded service", f"/authn-ldap/CORP/{ACCOUNT}", "nina", SECRET, "", 200, 200, (SEARCH, BIND)),
    ("service with a slash", f"/authn-ldap/apps%2Fopen/{ACCOUNT}", "grace", GRACE, "", 200, 200, (SEARCH, BIND)),
    ("the same", f"/authn-ldap/Apps%2fOpen/{ACCOUNT}", "grace", WRONG, "", 401, 401, (SEARCH, BIND)),
    ("4 ambiguous", f"/authn-ldap/wide/{ACCOUNT}", "sam", "stargate", "", 401, 401, (SEARCH, BIND)),
    ("inside", f"/authn-ldap/inside/{ACCOUNT}", "nina", SECRET, INSIDE, 200, 200, (SEARCH, BIND)),
    ("outside", f"/authn-ldap/inside/{ACCOUNT}", "nina", SECRET, "198.51.100.1", 403, 401, (SEARCH, BIND)),
    ("outside", f"/authn-ldap/inside/{ACCOUNT}", "nina", WRONG, "198.51.100.1", 401, 401, (SEARCH, BIND)),
    ("directory unreachable", f"/authn-ldap/gone/{ACCOUNT}", "nina", SECRET, "", 503, 503, ()),
    ("empty segment", "/authn-ldap/corp/", "nina", SECRET, "", 404, 404, ()),
    ("empty segment", f"/authn-ldap//{ACCOUNT}", "nina", SECRET, "", 404, 404, ()),
]


@pytest.mark.parametrize(
    ("section", "base", "login", "secret", "client", "logged_in", "authenticated", "trips"), PLACES
)
async def test_places(
    site: ConjurRoom, section: str, base: str, login: str, secret: str, client: str, logged_in: int,
    authenticated: int, trips: tuple[int, ...],
) -> None:  # fmt: skip
    headers = (f"X-Forwarded-For: {client}",) if client else ()
    for what, status in ((LOGIN, logged_in), (AUTHENTICATE, authenticated)):
        answer = await ask(site, what, base, login, secret, *headers)
        assert (answer.status, answer.trips) == (status, trips), what
        assert ("retry-after" in answer.headers) == (status == 503)
        assert bool(answer.body) == (status == 200)


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_key_costs_no_round_trip(site: ConjurRoom, family: str) -> None:
    """5: login gives the same key again; with it nobody asks the directory within ``session.refresh_interval``."""
    base = FAMILIES[family]
    key = await site.key("nina", SECRET, base=base)
    assert key == await site.key(" Nina ", SECRET, base=base)
    for name in ("nina", "NINA"):
        answer = await site.authenticate(name, key, base=base)
        assert (answer.status, answer.trips) == (200, ())
    by_key = await site.login("nina", key, base=base)
    assert (by_key.status, by_key.text, by_key.trips) == (200, key, ())
    assert (await site.authenticate("alan", key, base=base)).status == 401
    assert (await site.login("nina", key, base="/authn/other")).status == 401


async def test_no_credentials(site: ConjurRoom) -> None:
    """2.1, 3: Basic missing or malformed; no token or cookie in its place."""
    token = b64encode((await site.token("nina", SECRET)).body).decode()
    rows = ((), ("Authorization: Basic",), ("Authorization: Basic !!",), (f'Authorization: Token token="{token}"',),
            (f"Authorization: Bearer {token}",), (f"Cookie: __Host-gw={token}",),
            (basic("nina", SECRET), basic("alan", "enigma")))  # fmt: skip
    for headers in rows:
        for method, path in (("GET", "login"), ("PUT", "api_key")):
            answer = await site.call(method, f"/authn-ldap/corp/{ACCOUNT}/{path}", *headers)
            assert (answer.status, answer.body, answer.trips) == (401, b"", ()), headers
            assert "www-authenticate" not in answer.headers


async def test_the_alias_can_be_for_local_users_alone(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """DECISIONS 34."""
    async with conjur_room(slapd, tmp_path_factory.mktemp("alias"), authn_alias=False) as site:
        assert (await site.login("ada", "lovelace", base=FAMILIES["authn"])).status == 200
        for login in ("nina", "nobody"):
            answer = await site.login(login, SECRET, base=FAMILIES["authn"])
            assert (answer.status, answer.trips) == (401, ())
        assert (await site.login("nina", SECRET, base=FAMILIES["no service"])).status == 200


async def test_who_may_not_can_be_hidden(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """DECISIONS 34: then nothing that a stranger sees, nor what the wire carries, tells ungranted from unknown."""
    directory = tmp_path_factory.mktemp("hidden")
    async with conjur_room(slapd, directory, hide_ungranted=True) as site:
        for what in (LOGIN, AUTHENTICATE):
            same = await ask(site, what, FAMILIES["service"], "nobody", WRONG)
            for login, secret in (("grace", GRACE), ("grace", WRONG), ("nina", WRONG)):
                answer = await ask(site, what, FAMILIES["service"], login, secret)
                assert answer.fixed == same.fixed
                assert answer.trips == same.trips == (SEARCH, BIND)


GROUP_SEARCH = {"group_search_filter": "(&(objectClass=groupOfNames)(member=%s))"}


async def test_as_many_round_trips_with_a_group_search(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """DECISIONS 5: groups are read before the password here, for a name that is unknown too."""
    directory = tmp_path_factory.mktemp("groups")
    changes = {
        "CLEARML__servers__corp__group_search_filter": GROUP_SEARCH["group_search_filter"],
        "CLEARML__servers__corp__group_search_filter_user_attribute": "dn",
        "CLEARML__servers__corp__group_search_base_dns": f'["ou=groups,{BASE_DN}"]',
    }
    async with conjur_room(slapd, directory, environment=changes) as site:
        rows = (("alan", "enigma", 200), ("alan", WRONG, 401), ("nobody", WRONG, 401), ("grace", GRACE, 403))
        for login, secret, status in rows:
            answer = await site.login(login, secret)
            assert (login, answer.status, answer.trips) == (login, status, (SEARCH, SEARCH, BIND))
        for login, status in (("alan", 401), ("nobody", 401), ("grace", 403), ("GRACE", 403)):
            answer = await site.authenticate(login, KEY_LIKE)
            assert (login, answer.status, answer.trips) == (login, status, (SEARCH, SEARCH))


async def test_locked_names_cause_no_traffic(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """DECISIONS 13: a lock looks like a wrong password, beats the privilege, and a wrong key makes none."""
    few = {"CLEARML__lockout__failures": "2"}
    async with conjur_room(slapd, tmp_path_factory.mktemp("locked"), environment=few) as site:
        key = await site.key("nina", SECRET)
        for _ in range(3):
            assert (await site.authenticate("nina", KEY_LIKE)).status == 401
            assert (await site.login("grace", WRONG)).status == 403
        assert (await site.login("nina", SECRET)).status == 200
        for _ in range(2):
            same = await site.login("nina", WRONG)
        answer = await site.login("nina", SECRET)
        assert (answer.fixed, answer.trips) == (same.fixed, ())
        assert (await site.authenticate("nina", key)).status == 200  # a key is no guess at the password


async def test_guesses_from_one_address(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """DECISIONS 13: wrong passwords, wrong keys, keys of others and names without privilege count for the address: 429."""
    few = {"CLEARML__lockout__address_failures": "3"}
    async with conjur_room(slapd, tmp_path_factory.mktemp("address"), environment=few) as site:
        for client, login, secret in (
            ("192.0.2.1", "nina", WRONG), ("192.0.2.2", "nina", KEY_LIKE), ("192.0.2.3", "grace", GRACE),
            ("192.0.2.4", "A" * 30, WRONG),
        ):  # fmt: skip
            source = f"X-Forwarded-For: {client}"
            for _ in range(3):
                assert (await site.login(login, secret, source)).status in (401, 403)
            answer = await site.login("nina", SECRET, source)
            assert (answer.status, answer.body, answer.trips) == (429, b"", ())
            assert int(answer.headers["retry-after"]) > 0


async def test_too_many_at_once(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """3: 503 with Retry-After, and the others are served."""
    narrow = {"CLEARML__login__concurrency": "1", "CLEARML__login__queue": "1"}
    async with conjur_room(slapd, tmp_path_factory.mktemp("many"), environment=narrow) as site:
        site.relay.hold()
        asked = [asyncio.create_task(site.login(name, SECRET)) for name in GRANTED[:4]]
        done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        site.relay.let_go()
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
        assert {answer.headers.get("retry-after") for answer in answers if answer.status == 503} == {"1"}
