"""A person of one name and password in each of two directories, and keys while one of them does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from gateway.login import Attempt
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.conjur.conjur_room import ACCOUNT, INSIDE, ConjurRoom
from tests.serve.gateway_room import room_of

NO_SERVICE, FIRST = f"/authn-ldap/{ACCOUNT}", f"/authn-ldap/first/{ACCOUNT}"
NAME, PASSWORD, ALIAS = "alan", "enigma", "alan@example.com"
BY_EITHER = "(|(uid=%s)(mail=%s))"
OTHER = f"""dn: uid={NAME},ou=contractors,{BASE_DN}
objectClass: inetOrgPerson
uid: {NAME}
cn: Another Alan
sn: Alan
mail: {ALIAS}
userPassword: {PASSWORD}
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, OTHER, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@asynccontextmanager
async def site_of(slapd: Slapd, directory: Path, allow: dict[str, Any], text: str = "") -> AsyncIterator[ConjurRoom]:
    """``first`` for ou=people, behind the relay, and ``second`` for ou=contractors."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    first = {"name": "first", "urls": [f"ldap://127.0.0.1:{relay.port}"], "request_timeout": 5, "pool": {"backoff": 1}}
    second = {"name": "second", "search_base_dns": [f"ou=contractors,{BASE_DN}"]}
    servers = [slapd.server(**{"search_filter": BY_EITHER, **server}) for server in (first, second)]
    services = {name: {"allow": entries} for name, entries in allow.items()}
    section = f"conjur = {json.dumps({'account': ACCOUNT, 'services': services})}\nlogin.floor = 0\n{text}"
    try:
        async with room_of(directory, section, {"CLEARML__servers": json.dumps(servers)}) as room:
            yield ConjurRoom(room, relay)
    finally:
        await relay.close()


# whom Conjur lets in, so that its routes without service find the second alan
DOORS = {"no service of the first": {"second": "all"}, "the first is ungranted": {"first": ["user:grace"], "second": "all"}}


@pytest.mark.parametrize("order", ["conjur first", "clearml first"])
@pytest.mark.parametrize("allow", DOORS.values(), ids=DOORS)
async def test_who_somebody_is_in_one_dialect_says_nothing_of_another(
    slapd: Slapd, tmp_path: Path, allow: dict[str, Any], order: str
) -> None:
    """DECISIONS 2, 3, 14: the cache of logins keeps apart what was asked of other servers."""
    async with site_of(slapd, tmp_path, allow) as site:
        for dialect in (["conjur", "clearml"] if order == "conjur first" else ["clearml", "conjur"]) * 2:
            if dialect == "clearml":
                assert (await site.room.login(NAME, PASSWORD)).account.server == "first"
            else:
                claims = (await site.token(NAME, PASSWORD, base=NO_SERVICE)).claims
                [row] = [row for row in await site.room.live.store.identities(username=NAME) if row.id == claims["jti"]]
                assert row.server == "second"
        before = len(site.relay.sent)
        await site.room.login(NAME, PASSWORD)
        await site.token(NAME, PASSWORD, base=NO_SERVICE)
        assert len(site.relay.sent) == before, "both are in the cache"


async def test_no_key_is_thrown_away_during_an_outage(slapd: Slapd, tmp_path: Path) -> None:
    """5, 9.12: the one directory is silent, and the other finds somebody else: 503, since it may be the first one's."""
    everybody = {"first": "all", "second": "all"}
    async with site_of(slapd, tmp_path, everybody) as site:
        key = await site.key(ALIAS, PASSWORD, base=FIRST)
        await site.relay.refuse()
        assert (await site.authenticate(ALIAS, key, base=NO_SERVICE)).status == 503
        assert (await site.authenticate(NAME, key, base=NO_SERVICE)).status == 200


CROWDED = """
login { concurrency = 1, queue = 0 }
lockout { failures = 1000, address_failures = 1 }
"""


async def test_keys_wait_for_no_stranger(slapd: Slapd, tmp_path: Path) -> None:
    """5: what the store decides of a key needs neither a slot nor the turn of its address; a look-up needs both."""
    async with site_of(slapd, tmp_path, {"first": "all"}, CROWDED) as site:
        key, inside = await site.key(NAME, PASSWORD, base=FIRST), f"X-Forwarded-For: {INSIDE}"
        assert (await site.authenticate(ALIAS, key, base=FIRST)).status == 200
        site.relay.hold()
        asked = len(site.relay.sent)
        attempt = Attempt("stranger", "x", IPv4Address(INSIDE), "test", server="first")
        stranger = asyncio.create_task(site.room.live.login.check(attempt))
        async with asyncio.timeout(20):
            while len(site.relay.sent) == asked:
                await asyncio.sleep(0.01)
        for login in (NAME, ALIAS):
            assert (await site.authenticate(login, key, inside, base=FIRST)).status == 200, login
            assert (await site.login(login, key, inside, base=FIRST)).status == 200, login
        assert not stranger.done()
        assert (await site.authenticate("grace", key, base=FIRST)).status == 503
        site.relay.let_go()
        await stranger
