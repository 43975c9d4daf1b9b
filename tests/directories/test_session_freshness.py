"""Sessions follow the directory: behind the answers, within limits, over a real slapd (forward-auth.md 9, DECISIONS 11)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import ldap3
import pytest

from gateway.directory.recheck import Standing
from gateway.sessions import Session, Stale
from gateway.tokens.personal import Refused
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.asking import question
from tests.serve.gateway_room import Room, one_answer, parsed, room_of

ALAN = f"uid=alan,ou=people,{BASE_DN}"
DEVELOPERS = f"cn=developers,ou=groups,{BASE_DN}"
DOMAIN = "example.com"
INTERVAL, STALE = 300, 3600
ROOM = """
public_url = "https://auth.example.com"
session { cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }], inactivity = 1d, expiration = 1d }
access_control.rules = [
  { name = dev, domain = "dev.example.com", subject = "group:developers", policy = authenticated }
  { name = all, domain = "app.example.com", policy = authenticated }
]
login { floor = 0, cache = 0 }
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@asynccontextmanager
async def room_with(slapd: Slapd, directory: Path, text: str = "", **server: object) -> AsyncIterator[tuple[Room, Relay]]:
    relay = await Relay.start("127.0.0.1", slapd.port)
    given = slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"], request_timeout=1, **server)
    try:
        async with room_of(directory, ROOM + text, {"CLEARML__servers": json.dumps([given])}) as room:
            yield room, relay
    finally:
        await relay.close()


@pytest.fixture
async def opened(slapd: Slapd, tmp_path: Path) -> AsyncIterator[tuple[Room, Relay]]:
    async with room_with(slapd, tmp_path) as (room, relay):
        yield room, relay


@pytest.fixture
def alan(slapd: Slapd) -> Iterator[ldap3.Connection]:
    """An administrator, who leaves things as they were."""
    with slapd.administration() as connection:
        connection.search(ALAN, "(objectClass=*)", ldap3.BASE, attributes=["*"])
        entry = {name: values for name, values in connection.response[0]["raw_attributes"].items() if name != "uid"}
        yield connection
        with suppress(ldap3.core.exceptions.LDAPNoSuchObjectResult):
            connection.delete(ALAN)
        connection.add(ALAN, attributes={**entry, "uid": "alan"})
        with suppress(ldap3.core.exceptions.LDAPAttributeOrValueExistsResult):
            connection.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_ADD, [ALAN])]})


async def session_of(room: Room, *, remember: bool = False) -> str:
    identity = await room.login("alan", "enigma")
    now = int(time.time())
    made = await room.live.sessions.create(identity, DOMAIN, remember=remember, client=None, now=now)
    value: str = made.value
    return value


async def current(room: Room, value: str, after: int) -> Session | None:
    found: Session | None = await room.live.sessions.current([value], DOMAIN, int(time.time()) + after)
    return found


def groups(session: Session | None) -> set[str]:
    assert session is not None
    return {group.name for group in session.identity.account.groups}


async def settle(room: Room) -> None:
    """Wait until nobody is being asked about."""
    async with asyncio.timeout(10):
        while asking := list(room.live.freshness._asking.values()):
            await asyncio.gather(*asking)
            await asyncio.sleep(0)


async def test_an_answer_does_not_wait_for_the_directory(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    room, relay = opened
    value = await session_of(room)
    asked = len(relay.sent)
    assert "developers" in groups(await current(room, value, INTERVAL - 5))
    assert len(relay.sent) == asked
    alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
    relay.hold()
    async with asyncio.timeout(0.5):
        assert "developers" in groups(await current(room, value, INTERVAL + 1))
    relay.let_go()
    await settle(room)
    assert "developers" not in groups(await current(room, value, INTERVAL + 2))


async def test_a_hundred_questions_ask_the_directory_once(opened: tuple[Room, Relay]) -> None:
    room, relay = opened
    value = await session_of(room)
    before = relay.connections, len(relay.sent)
    await asyncio.gather(*(current(room, value, INTERVAL + 1) for _ in range(100)))
    await settle(room)
    once = len(relay.sent) - before[1]
    assert once > 0
    await asyncio.gather(*(current(room, value, 2 * INTERVAL + 5) for _ in range(3)))
    await settle(room)
    assert len(relay.sent) - before[1] <= 2 * once


async def test_who_is_removed_has_no_session_any_more(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    room, _ = opened
    value, remembered = await session_of(room), await session_of(room, remember=True)
    identity = await room.login("alan", "enigma")
    token = await room.live.personal.create(identity, "ci", now=int(time.time()))
    alan.delete(ALAN)
    assert await current(room, value, INTERVAL + 1) is not None
    await settle(room)
    for each in (value, remembered):
        assert await current(room, each, INTERVAL + 2) is None
    assert await room.live.personal.current(token.text, int(time.time()) + INTERVAL + 2) is None


async def test_who_loses_the_group_that_lets_in(slapd: Slapd, tmp_path: Path, alan: ldap3.Connection) -> None:
    """Refused by the configuration: the session is destroyed, and does not come back with the group; a token does."""
    mappings = [{"group_dn": DEVELOPERS, "org_role": "Viewer"}]
    async with room_with(slapd, tmp_path, require_mapping=True, group_mappings=mappings) as (room, _):
        value = await session_of(room)
        token = await room.live.personal.create(await room.login("alan", "enigma"), "ci", now=int(time.time()))
        alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert await current(room, value, INTERVAL + 1) is not None
        await settle(room)
        assert await room.live.personal.current(token.text, int(time.time()) + INTERVAL + 2) is None
        assert await current(room, value, INTERVAL + 2) is None
        identity = await room.live.identities.by_id(token.row.identity, token.row.created_at)
        room.live.freshness._answers[identity.id] = (float("-inf"), Standing.GONE)  # RETRY_SECONDS later
        assert await room.live.personal.current(token.text, int(time.time()) + INTERVAL + 2) is None
        alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_ADD, [ALAN])]})
        await room.login("alan", "enigma")
        assert await current(room, value, 1) is None
        assert await room.live.personal.current(token.text, int(time.time()) + 1) is not None


async def test_a_silent_directory(opened: tuple[Room, Relay]) -> None:
    """Its last answer counts for ``max_stale``, then nobody can say; when it is back, all is well without a restart."""
    room, relay = opened
    value = await session_of(room)
    await relay.refuse()
    assert await current(room, value, STALE - 5) is not None
    await settle(room)
    assert await current(room, value, STALE - 5) is not None
    room.live.freshness._answers.clear()  # RETRY_SECONDS later
    with pytest.raises(Stale):
        await current(room, value, STALE + 5)
    await relay.listen(relay.port)
    async with asyncio.timeout(20):
        while True:
            room.live.freshness._answers.clear()
            try:
                assert await current(room, value, STALE + 5) is not None
                return
            except Stale:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(("interval", "asks"), [("always", True), ("never", False)])
async def test_always_and_never(slapd: Slapd, tmp_path: Path, alan: ldap3.Connection, interval: str, asks: bool) -> None:
    text = f'session {{ refresh_interval = {interval}, max_stale = never }}\n'
    async with room_with(slapd, tmp_path, text) as (room, relay):
        value = await session_of(room)
        asked = len(relay.sent)
        alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert ("developers" in groups(await current(room, value, 3600))) is not asks
        await settle(room)
        assert (len(relay.sent) > asked) is asks


async def test_who_cannot_be_looked_up_is_not_remembered(slapd: Slapd, tmp_path: Path) -> None:
    single = {"bind_dn": "uid=%s,ou=people," + BASE_DN, "bind_password": "", "search_filter": "(uid=%s)"}
    async with room_with(slapd, tmp_path, **single) as (room, _):
        identity = await room.login("alan", "enigma")
        now = int(time.time())
        made = await room.live.sessions.create(identity, DOMAIN, remember=True, client=None, now=now)
        assert (made.max_age, made.row.remember) == (None, False)
        assert not room.live.sessions.can_remember(identity)
        assert await current(room, made.value, 3 * 3600) is not None
        with pytest.raises(Refused):
            await room.live.personal.create(identity, "ci", now=now)


async def test_known_sessions_ask_nobody(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """Through the endpoint: no round trip for a known session, and what a re-check finds counts at the next question."""
    room, relay = opened
    value = await session_of(room)
    sent = question("auth-request", "https://dev.example.com/", ("Cookie", f"__Secure-gw={value}"))
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)

    async def status() -> int:
        writer.write(sent)
        return parsed(await one_answer(reader))[0]

    asked = len(relay.sent)
    assert {await status() for _ in range(50)} == {200}
    assert len(relay.sent) == asked
    alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
    assert await status() == 200
    assert await current(room, value, INTERVAL + 1) is not None
    await settle(room)
    assert await status() == 403
    writer.close()
    await writer.wait_closed()


async def test_too_stale_is_503(slapd: Slapd, tmp_path: Path) -> None:
    """4: nobody passes and nobody is sent to log in; a bypass needs no directory."""
    text = "session { refresh_interval = always, max_stale = 0s }\n"
    async with room_with(slapd, tmp_path, text) as (room, relay):
        value = await session_of(room)
        await relay.refuse()
        for endpoint in ("auth-request", "forward-auth", "ext-authz"):
            sent = question(endpoint, "https://app.example.com/", ("Cookie", f"__Secure-gw={value}"), ("Accept", "text/html"))
            status, headers, _ = parsed(await room.raw(sent))
            assert (status, "location" in headers, headers["retry-after"]) == (503, False, "5")
