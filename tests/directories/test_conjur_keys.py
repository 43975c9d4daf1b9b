"""API keys of the Conjur dialect follow the directory, over a real slapd (conjur.md 5, 9.13; configuration.md 3)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.conjur_dialect import NoApiKeys
from gateway.directory.realm import Outcome, Verdict
from gateway.directory.recheck import Standing
from gateway.identity import Identity
from gateway.sessions import Stale
from tests.directories.alan import ALAN, DEVELOPERS, alan_restored, room_with
from tests.directories.relay import Relay
from tests.directories.slapd import COMPANY, Slapd
from tests.serve.gateway_room import Room

INTERVAL, STALE = 300, 3600
ROOM = """
conjur { account = myorg, services.corp.allow = ["group:developers"] }
login { floor = 0, cache = 0 }
"""
BY_ANY_NAME = "(&(!(employeeType=locked))(|(uid=%s)(mail=%s)(employeeNumber=%s)))"
"""Without ppolicy slapd has no locks of its own; operators exclude accounts so."""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@pytest.fixture
async def opened(slapd: Slapd, tmp_path: Path) -> AsyncIterator[tuple[Room, Relay]]:
    async with room_with(ROOM, slapd, tmp_path, search_filter=BY_ANY_NAME) as (room, relay):
        yield room, relay


@pytest.fixture
def alan(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with alan_restored(slapd) as connection:
        yield connection


async def owner(room: Room, key: str, after: int, login: str = "alan") -> Identity | None:
    found = await verdict(room, key, after, login)
    return found if isinstance(found, Identity) else None


async def verdict(room: Room, key: str, after: int, login: str = "alan") -> Identity | Verdict:
    found: Identity | Verdict = await room.live.conjur.owner(login, {"corp": None}, key, int(time.time()) + after)
    return found


async def test_within_the_interval_nobody_is_asked(opened: tuple[Room, Relay]) -> None:
    room, relay = opened
    alan = await room.login("alan", "enigma")
    key, asked = await room.live.conjur.api_key(alan), len(relay.sent)
    assert await owner(room, key, INTERVAL - 5) == alan
    assert len(relay.sent) == asked
    assert await owner(room, key, INTERVAL + 1) == alan
    assert len(relay.sent) > asked


async def test_a_locked_account(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """9.13: dead within refresh_interval, and for good: after the account is unlocked, a login gives another key."""
    room, _ = opened
    key = await room.live.conjur.api_key(await room.login("alan", "enigma"))
    alan.modify(ALAN, {"employeeType": [(ldap3.MODIFY_REPLACE, ["locked"])]})
    assert await owner(room, key, INTERVAL - 5) is not None
    assert await owner(room, key, INTERVAL + 1) is None
    alan.modify(ALAN, {"employeeType": [(ldap3.MODIFY_REPLACE, [])]})
    again = await room.login("alan", "enigma")
    assert await owner(room, key, 2 * INTERVAL) is None
    assert await owner(room, await room.live.conjur.api_key(again), 2 * INTERVAL) is not None


async def test_who_left(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    room, _ = opened
    key = await room.live.conjur.api_key(await room.login("alan", "enigma"))
    alan.delete(ALAN)
    assert await owner(room, key, INTERVAL + 1) is None
    assert await owner(room, key, 0) is None


async def test_a_group_that_was_left(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """5: what the directory says now decides on the privilege."""
    room, _ = opened
    conjur, person = room.live.conjur, await room.login("alan", "enigma")
    key = await conjur.api_key(person)
    assert conjur.services["corp"].allows(person.account)
    alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
    found = await owner(room, key, INTERVAL + 1)
    assert found is not None
    assert not conjur.services["corp"].allows(found.account)


async def test_a_token_of_v4_and_a_name_given_away(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """DECISIONS 1: it holds a name alone, and the salt tells whose that was."""
    room, _ = opened
    conjur, before = room.live.conjur, await room.login("alan", "enigma")
    alan.delete(ALAN)
    alan.add(ALAN, "inetOrgPerson", {"cn": "Another Alan", "sn": "Alan", "userPassword": "enigma"})
    now = int(time.time())
    texts = {"before": await conjur.issue(before, "alan", now, "v4")}
    after = await room.login("alan", "enigma")
    assert after.id != before.id
    texts["after"] = await conjur.issue(after, "alan", now, "v4")
    tokens = {who: conjur.verify(base64.b64encode(text.encode()).decode(), now) for who, text in texts.items()}
    assert await conjur.identity_of(tokens["after"]) == after
    assert await conjur.identity_of(tokens["before"]) == before, "of the one it was made for, until that one is asked about"
    assert await room.live.recheck.standing(before.id, now, at_once=True) is Standing.GONE
    assert await conjur.identity_of(tokens["before"]) is None
    assert await conjur.identity_of(tokens["after"]) == after
    assert await owner(room, await conjur.api_key(before), 0) is None


async def test_a_silent_directory(opened: tuple[Room, Relay]) -> None:
    """5, DECISIONS 11: its last answer counts for max_stale, then nothing can be decided; afterwards all is as before."""
    room, relay = opened
    key = await room.live.conjur.api_key(await room.login("alan", "enigma"))
    relay.hold()
    assert await owner(room, key, INTERVAL + 1) is not None
    with pytest.raises(Stale):
        await owner(room, key, STALE + 1)
    for login in ("alan", "nobody"):  # whatever is known of the name: who has the key may be called so since
        assert (await verdict(room, "a" * 52, 0, login)).outcome is Outcome.UNREACHABLE  # type: ignore[union-attr]
    relay.let_go()
    async with asyncio.timeout(20):
        while not room.live.servers[0].pool.state.up or not await decided(room, key):
            await asyncio.sleep(0.05)


async def decided(room: Room, key: str) -> bool:
    try:
        return await owner(room, key, STALE + 2) is not None
    except Stale:
        return False


async def test_any_name_that_the_directory_finds(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """Clients authenticate under the name they logged in with."""
    room, _ = opened
    alan.modify(ALAN, {"employeeNumber": [(ldap3.MODIFY_REPLACE, ["E-1912"])]})
    key = await room.live.conjur.api_key(await room.login("e-1912", "enigma"))
    for login in ("e-1912", "E-1912", "alan", "ALAN", "alan@example.com"):
        found = await owner(room, key, 0, login)
        assert found is not None and found.account.username == "alan", login
    for login in ("grace", "e-1913", "*", "alan)(uid=*", "\0"):
        assert await owner(room, key, 0, login) is None, login


async def test_nobody_to_ask_with(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 11: recheck = none, no keys."""
    async with room_with(ROOM, slapd, tmp_path, recheck="none") as (room, _):
        with pytest.raises(NoApiKeys):
            await room.live.conjur.api_key(await room.login("alan", "enigma"))


async def test_another_name_is_remembered(opened: tuple[Room, Relay], slapd: Slapd) -> None:
    """5, DECISIONS 11: the directory is asked about it no more often than about the person, and may be silent as long."""
    room, relay = opened
    key = await room.live.conjur.api_key(await room.login("alan@example.com", "enigma"))
    others = await room.live.conjur.api_key(await room.login("grace", "cobol-1959"))
    assert await owner(room, key, 0, "alan@example.com") is not None
    asked = len(relay.sent)
    assert await owner(room, key, INTERVAL - 5, "ALAN@example.com") is not None
    assert len(relay.sent) == asked
    assert await owner(room, others, 0, "alan@example.com") is None, "theirs is another name"
    assert len(relay.sent) > asked
    relay.hold()
    for after in (0, INTERVAL + 1):
        assert await owner(room, key, after, "alan@example.com") is not None, after
    assert (await verdict(room, others, 0, "alan@example.com")).outcome is Outcome.UNREACHABLE  # type: ignore[union-attr]
    assert (await verdict(room, key, STALE + 1, "alan@example.com")).outcome is Outcome.UNREACHABLE  # type: ignore[union-attr]


async def test_another_name_that_was_taken_away(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """5: it goes within refresh_interval, however often the key is used under the person's own name."""
    room, _ = opened
    key = await room.live.conjur.api_key(await room.login("alan", "enigma"))
    assert await owner(room, key, 0, "alan@example.com") is not None
    alan.modify(ALAN, {"mail": [(ldap3.MODIFY_REPLACE, ["other@example.com"])]})
    assert await owner(room, key, INTERVAL - 5, "alan@example.com") is not None
    assert await owner(room, key, INTERVAL + 1) is not None
    assert await owner(room, key, INTERVAL + 1, "alan@example.com") is None
