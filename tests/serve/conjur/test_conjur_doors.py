"""Who gets through which door of the Conjur dialect: privileges, other programs' keys, networks (conjur.md 3, 5)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import ldap3
import pytest
import pytest_asyncio

from tests.directories.alan import ALAN, DEVELOPERS, alan_restored
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.conjur.conjur_room import (
    ACCOUNT,
    AUTHENTICATE,
    FAMILIES,
    INSIDE,
    LOGIN,
    OTHERS,
    PEOPLE,
    SECRET,
    Answer,
    ConjurRoom,
    basic,
    conjur_room,
    token_header,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRACE = ("grace", "cobol-1959")
OPEN = f"/authn-ldap/apps%2Fopen/{ACCOUNT}"
OUTSIDE = "X-Forwarded-For: 198.51.100.1"
WITHIN = f"X-Forwarded-For: {INSIDE}"
NETWORK = "192.0.2.0/24"
ROTATE = "api_key"
BOSS = "boss@example.com"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """The account ``admin`` has an address."""
    with Slapd.start(COMPANY, PEOPLE, OTHERS, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        with started.administration() as connection:
            connection.modify(f"cn=admin,ou=people,{BASE_DN}", {"mail": [(ldap3.MODIFY_ADD, [BOSS])]})
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConjurRoom]:
    """Directories are asked about the owner of a key each time, and people found by their address too."""
    environment = {
        "CLEARML__session__refresh_interval": "0",
        "CLEARML__servers__corp__search_filter": "(|(uid=%s)(mail=%s))",
        "CLEARML__clearml__credentials": json.dumps({"ci": {"role": "root", "user_key": "ci-key", "user_secret": "ci-secret"}}),
    }
    async with conjur_room(slapd, tmp_path_factory.mktemp("doors"), environment=environment) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fenced(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConjurRoom]:
    """The service of the realm has a network."""
    services = {"corp": {"allow": "all", "networks": [NETWORK]}}
    async with conjur_room(slapd, tmp_path_factory.mktemp("fenced"), services=services) as opened:
        yield opened


async def ask(site: ConjurRoom, what: str, base: str, login: str, secret: str, *headers: str, unix: bool = False) -> Answer:
    if what == AUTHENTICATE:
        target = f"{base}/{quote(login, safe='')}/authenticate"
        return await site.call("POST", target, *headers, body=secret.encode(), unix=unix)
    method = "PUT" if what == ROTATE else "GET"
    return await site.call(method, f"{base}/{what}", basic(login, secret), *headers, unix=unix)


def doings(base: str) -> tuple[str, ...]:
    """What can be asked below an address; version 4 has no rotation."""
    return (LOGIN, AUTHENTICATE) if base == FAMILIES["v4"] else (LOGIN, AUTHENTICATE, ROTATE)


async def refused(site: ConjurRoom, base: str, login: str, secret: str, status: int) -> None:
    for what in doings(base):
        answer = await ask(site, what, base, login, secret)
        assert (answer.status, answer.body) == (status, b""), (what, base)


async def test_a_key_from_another_service_is_no_privilege(site: ConjurRoom) -> None:
    """3: the privilege comes before the key."""
    key = await site.key(*GRACE, base=OPEN)
    assert (await site.authenticate("grace", key, base=OPEN)).status == 200
    for base in FAMILIES.values():
        await refused(site, base, "grace", key, 403)


async def test_a_key_of_somebody_else_of_the_name_is_wrong(site: ConjurRoom) -> None:
    """DECISIONS 1, 3: people of another server, and local users, are others, and their keys no better than none."""
    for login, key in (
        ("nina", await site.key("nina", SECRET, base=OPEN)), ("ada", await site.key("ada", "lovelace", base=FAMILIES["authn"])),
    ):  # fmt: skip
        await refused(site, FAMILIES["service"], login, key, 401)
    await refused(site, OPEN, "nina", await site.key("nina", SECRET), 401)


@pytest.mark.parametrize("base", FAMILIES.values(), ids=FAMILIES)
async def test_a_good_key_of_somebody_who_lost_the_privilege(site: ConjurRoom, slapd: Slapd, base: str) -> None:
    """3, 5: it is their key still; the privilege went with the group, and comes back with it."""
    key = await site.key("alan", "enigma", base=base)
    with alan_restored(slapd) as connection:
        connection.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        await refused(site, base, "alan", key, 403)
        connection.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_ADD, [ALAN])]})
        assert (await site.authenticate("alan", key, base=base)).status == 200


async def test_a_login_of_another_dialect_is_no_privilege(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 14: the cache of logins holds passwords that were right, whoever asked; 3: that is not enough here."""
    defaults = {"CLEARML__login__cache": "30s"}
    async with conjur_room(slapd, tmp_path, environment=defaults) as site:
        for server, login, secret, status in (
            ("corp", "nina", SECRET, 200), ("corp", *GRACE, 403), ("staff", "otherwise", SECRET, 401),
        ):  # fmt: skip
            body = json.dumps({"password": secret}).encode()
            clearml = await site.call("GET", "/auth.login", basic(login, secret))
            vault = await site.call("PUT", f"/v1/auth/{server}/login/{login}", "Content-Type: application/json", body=body)
            assert (clearml.status, vault.status) == (200, 200)
            # Of no service it is a login of its own: who is asked is another question there (DECISIONS 2).
            assert (await site.login(login, secret, base=FAMILIES["no service"])).status == status
            for base in FAMILIES.values():
                for what in (LOGIN, AUTHENTICATE):
                    answer = await ask(site, what, base, login, secret)
                    assert answer.status == status
                    assert bool(answer.trips) == (status != 200), "who may is in the cache"


async def test_keys_of_clearml_are_nobodys(site: ConjurRoom) -> None:
    """DECISIONS 14, 21: decided in the table of keys, and good for the dialect that gave them alone."""
    token = (await site.call("GET", "/auth.login", basic("nina", SECRET))).json["data"]["token"]
    made = (await site.call("POST", "/auth.create_credentials", f"Authorization: Bearer {token}", body=b"{}")).json
    pair = (made["data"]["credentials"]["access_key"], made["data"]["credentials"]["secret_key"])
    for key, secret in (pair, ("ci-key", "ci-secret")):
        assert (await site.call("GET", "/auth.login", basic(key, secret))).status == 200
        for base in FAMILIES.values():
            for what in doings(base):
                answer = await ask(site, what, base, key, secret)
                assert (answer.status, answer.body, answer.trips) == (401, b"", ()), (what, base)


@pytest.mark.parametrize("base", FAMILIES.values(), ids=FAMILIES)
async def test_networks_hold_at_every_address(fenced: ConjurRoom, base: str) -> None:
    """3: credentials first, then the address; 6.1 ``cidr``, for which version 4 has no place."""
    for what in doings(base):
        answer = await ask(fenced, what, base, "nina", SECRET, OUTSIDE)
        assert (answer.status, answer.body) == (401 if what == AUTHENTICATE else 403, b""), what
        assert (await ask(fenced, what, base, "nina", "wrong", OUTSIDE)).status == 401
    key = (await ask(fenced, LOGIN, base, "nina", SECRET, WITHIN)).text
    for secret in (SECRET, key):
        token = await ask(fenced, AUTHENTICATE, base, "nina", secret, WITHIN)
        assert token.status == 200
        if base == FAMILIES["v4"]:
            assert (await fenced.whoami(token, OUTSIDE)).status == 200
        else:
            assert token.claims["cidr"] == [NETWORK]
            assert (await fenced.whoami(token, OUTSIDE)).text == "IP address rejected"
        assert (await fenced.whoami(token, WITHIN)).status == 200
    assert (await ask(fenced, AUTHENTICATE, base, "nina", key, OUTSIDE)).status == 401


async def test_local_users_have_no_networks(fenced: ConjurRoom) -> None:
    """DECISIONS 3: they are of no service."""
    token = await ask(fenced, AUTHENTICATE, FAMILIES["authn"], "ada", "lovelace", OUTSIDE)
    assert (token.status, "cidr" in token.claims) == (200, False)


async def test_a_unix_socket_is_in_no_network(fenced: ConjurRoom) -> None:
    """3: who cannot be seen to be inside is outside, unless a proxy says where they are (DECISIONS 27)."""
    base = FAMILIES["service"]
    for what, status in ((LOGIN, 403), (AUTHENTICATE, 401), (ROTATE, 403)):
        assert (await ask(fenced, what, base, "nina", SECRET, unix=True)).status == status
        assert (await ask(fenced, what, base, "nina", SECRET, WITHIN, unix=True)).status == 200
    token = await ask(fenced, AUTHENTICATE, base, "nina", SECRET, WITHIN)
    shown = token_header(token.body)
    free = await ask(fenced, AUTHENTICATE, FAMILIES["authn"], "ada", "lovelace")
    assert (await fenced.call("GET", "/whoami", token_header(free.body), unix=True)).json["client_ip"] == ""
    for target in ("/whoami", f"{base}/status"):
        answer = await fenced.call("GET", target, shown, unix=True)
        assert (answer.status, answer.text) == (403, "IP address rejected")
        assert (await fenced.call("GET", target, shown, WITHIN, unix=True)).status == 200


@pytest.mark.parametrize("base", [base for name, base in FAMILIES.items() if name != "v4"])
async def test_a_key_is_not_rotated_from_outside(fenced: ConjurRoom, base: str) -> None:
    """3: 403 as at login, and the key stays what it was."""
    key = (await ask(fenced, LOGIN, base, "nina", SECRET, WITHIN)).text
    for secret in (SECRET, key):
        answer = await ask(fenced, ROTATE, base, "nina", secret, OUTSIDE)
        assert (answer.status, answer.body) == (403, b"")
    assert (await ask(fenced, LOGIN, base, "nina", SECRET, WITHIN)).text == key


@pytest.mark.parametrize("base", FAMILIES.values(), ids=FAMILIES)
async def test_admin_by_another_name_is_admin(site: ConjurRoom, base: str) -> None:
    """3: what counts is the account that the directory finds."""
    assert (await site.login("alan@example.com", "enigma", base=base)).status == 200
    before = len(site.room.audit.events)
    await refused(site, base, BOSS, SECRET, 401)
    reasons = [event.reason for event in site.room.audit.events[before:] if event.outcome == "failure"]
    assert [reason[:10] for reason in reasons] == ["CONJ00017E"] * len(doings(base))
