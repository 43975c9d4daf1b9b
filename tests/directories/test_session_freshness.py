"""Sessions follow the directory: behind the answers, within limits, over a real slapd (forward-auth.md 9, DECISIONS 11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.directory.recheck import Standing
from gateway.freshness import PATIENCE_SECONDS
from gateway.sessions import Session, Stale
from gateway.tokens.personal import Refused
from tests.directories.alan import ALAN, DEVELOPERS, alan_restored, room_with
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.asking import question
from tests.serve.gateway_room import Room, one_answer, parsed

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


@pytest.fixture
async def opened(slapd: Slapd, tmp_path: Path) -> AsyncIterator[tuple[Room, Relay]]:
    async with room_with(ROOM, slapd, tmp_path) as (room, relay):
        yield room, relay


@pytest.fixture
def alan(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with alan_restored(slapd) as connection:
        yield connection


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


async def test_who_comes_back_after_long_is_looked_up_first(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """9: older than two intervals, a directory that answers at once is heard."""
    room, relay = opened
    value = await session_of(room)
    token = await room.live.personal.create(await room.login("alan", "enigma"), "ci", now=int(time.time()))
    later = 2 * INTERVAL + 1
    alan.delete(ALAN)
    asked, connections = len(relay.sent), relay.connections
    assert await current(room, value, later) is None
    once = len(relay.sent) - asked
    assert once > 0
    assert await room.live.personal.current(token.text, int(time.time()) + later) is None
    assert (len(relay.sent) - asked, relay.connections) == (once, connections)


async def test_a_hundred_who_come_back_are_one_look_up(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    room, relay = opened
    value = await session_of(room)
    alan.delete(ALAN)
    asked = len(relay.sent)
    assert await asyncio.gather(*(current(room, value, 2 * INTERVAL + 1) for _ in range(100))) == [None] * 100
    # One look-up searches by id, name and e-mail address.
    assert 0 < relay.sent[asked:].count(b"krbPrincipalExpiration") <= 3


async def test_a_slow_directory_holds_nobody_up_for_long(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """6, 9: once for each look-up, for less than Envoy waits; then the last answer counts, until the new one is there."""
    room, relay = opened
    value = await session_of(room)
    alan.delete(ALAN)
    relay.hold()
    later = 2 * INTERVAL + 1
    began = time.monotonic()
    found = await asyncio.gather(*(current(room, value, later) for _ in range(20)))
    assert None not in found
    assert PATIENCE_SECONDS <= time.monotonic() - began < 1
    (asking,) = room.live.freshness._asking.values()
    for _ in range(50):  # nobody waits for the same look-up again
        assert await current(room, value, later) is not None
    assert [asking] == [*room.live.freshness._asking.values()]
    assert time.monotonic() - began < 1
    relay.let_go()
    await settle(room)
    assert await current(room, value, later) is None


async def test_the_fast_way_knows_when_to_wait(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    room, relay = opened
    value, identity = await session_of(room), await room.login("alan", "enigma")
    sent = question("forward-auth", "https://app.example.com/", ("Cookie", f"__Secure-gw={value}"))
    await room.live.identities.admit(identity.account, "alan", int(time.time()) - 2 * INTERVAL - 1)
    alan.delete(ALAN)
    relay.hold()
    for _ in range(3):
        assert room.application.known.find(sent, "127.0.0.1") is None
        assert parsed(await room.raw(sent))[0] == 200
    relay.let_go()
    await settle(room)
    assert room.application.known.find(sent, "127.0.0.1") is None
    assert parsed(await room.raw(sent))[0] == 401


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
    """Refused by the configuration: what they hold counts for nothing, and again when the group is back."""
    mappings = [{"group_dn": DEVELOPERS, "org_role": "Viewer"}]
    async with room_with(ROOM, slapd, tmp_path, require_mapping=True, group_mappings=mappings) as (room, _):
        value = await session_of(room)
        token = await room.live.personal.create(await room.login("alan", "enigma"), "ci", now=int(time.time()))
        alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert await current(room, value, INTERVAL + 1) is not None
        await settle(room)
        assert await room.live.personal.current(token.text, int(time.time()) + INTERVAL + 2) is None
        assert await current(room, value, INTERVAL + 2) is None
        room.live.freshness._answers[token.row.identity] = (float("-inf"), Standing.GONE)  # RETRY_SECONDS later
        assert await room.live.personal.current(token.text, int(time.time()) + INTERVAL + 2) is None
        alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_ADD, [ALAN])]})
        await room.login("alan", "enigma")
        assert await current(room, value, 1) is not None
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
    async with room_with(ROOM + text, slapd, tmp_path) as (room, relay):
        value = await session_of(room)
        asked = len(relay.sent)
        alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert ("developers" in groups(await current(room, value, 3600))) is not asks
        await settle(room)
        assert (len(relay.sent) > asked) is asks


async def test_who_cannot_be_looked_up_is_not_remembered(slapd: Slapd, tmp_path: Path) -> None:
    single = {"bind_dn": "uid=%s,ou=people," + BASE_DN, "bind_password": "", "search_filter": "(uid=%s)"}
    async with room_with(ROOM, slapd, tmp_path, **single) as (room, _):
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
    async with room_with(ROOM + text, slapd, tmp_path) as (room, relay):
        value = await session_of(room)
        await relay.refuse()
        for endpoint in ("auth-request", "forward-auth", "ext-authz"):
            sent = question(endpoint, "https://app.example.com/", ("Cookie", f"__Secure-gw={value}"), ("Accept", "text/html"))
            status, headers, _ = parsed(await room.raw(sent))
            assert (status, "location" in headers, headers["retry-after"]) == (503, False, "5")
