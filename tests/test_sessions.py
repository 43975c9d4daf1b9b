"""Sessions and personal tokens over a real store; time is given, never waited for (forward-auth.md 7, 9)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.access.limits import Limits, parse_limits
from gateway.access.target import auth_request_target
from gateway.activity import Activity
from gateway.sessions import NoPerson, Sessions
from gateway.store.interface import RevokeBy, TokenRow, Touch
from gateway.tokens.personal import PersonalTokens, Refused
from tests.serve.asking import CONFIGURATION
from tests.serve.gateway_room import Room, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = int(time.time())
HOUR, DAY = 3600, 86400
CLIENT = IPv4Address("192.0.2.1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("sessions"), CONFIGURATION + "session.max_per_user = 3\n") as opened:
        yield opened


@pytest.fixture
def sessions(room: Room) -> Sessions:
    found: Sessions = room.live.sessions
    return found


@pytest.fixture
def personal(room: Room) -> PersonalTokens:
    found: PersonalTokens = room.live.personal
    return found


async def test_a_session_lives_an_hour_if_it_is_used(room: Room, sessions: Sessions) -> None:
    """9: absolute and idle limits; uses count at once, before they are written."""
    made = await sessions.create(await room.login("ada"), "example.com", remember=False, client=CLIENT, now=NOW)
    assert made.max_age is None
    assert len(made.value) == 43
    used = NOW
    for step in range(20):
        now = NOW + step * 200
        found = await sessions.find(made.value, "example.com", now)
        assert (found is not None) is (now < NOW + HOUR), step
        if found is not None:
            sessions.touch(found, CLIENT, now)
            used = now
    assert used == NOW + 3400


# remember; seconds from the beginning; domain; whether it lives
LIMITS = [
    (False, 299, "example.com", True), (False, 300, "example.com", False), (False, 0, "example.org", False),
    (False, 0, "app.example.com", False), (True, 300, "example.com", True), (True, 30 * DAY - 1, "example.com", True),
    (True, 30 * DAY, "example.com", False), (True, 0, "example.org", False),
]  # fmt: skip


@pytest.mark.parametrize(("remember", "seconds", "domain", "lives"), LIMITS)
async def test_limits(room: Room, sessions: Sessions, remember: bool, seconds: int, domain: str, lives: bool) -> None:
    made = await sessions.create(await room.login("ada"), "example.com", remember=remember, client=None, now=NOW)
    assert made.max_age == (30 * DAY if remember else None)
    assert (await sessions.find(made.value, domain, NOW + seconds) is not None) is lives
    assert (await sessions.current([made.value], domain, NOW + seconds) is not None) is lives


async def test_the_oldest_of_too_many_ends(room: Room, sessions: Sessions) -> None:
    ada = await room.login("ada")
    await sessions.revoke_all(ada.id, NOW)
    made = [await sessions.create(ada, "example.com", remember=False, client=None, now=NOW + step) for step in range(5)]
    alive = [await sessions.find(each.value, "example.com", NOW + 9) is not None for each in made]
    assert alive == [False, False, True, True, True]
    assert [row.accessor for row in await sessions.list(ada.id, NOW + 9)] == [each.row.accessor for each in made[:1:-1]]
    assert await sessions.list(ada.id, NOW + 400) == []


async def test_revoking(room: Room, sessions: Sessions, personal: PersonalTokens) -> None:
    ada, bob = await room.login("ada"), await room.login("bob")
    await sessions.revoke_all(ada.id, NOW)
    one = await room.session("ada")
    other = await room.session("ada")
    token = await personal.create(ada, "ci", now=NOW)
    assert not await sessions.revoke(one.row.accessor, bob.id, NOW)
    assert not await sessions.revoke(token.row.accessor, ada.id, NOW)
    assert not await personal.revoke(one.row.accessor, ada.id, NOW)
    assert not await sessions.revoke("unknown", ada.id, NOW)
    assert await sessions.revoke_all(ada.id, NOW, but=other.row.accessor) >= 1
    assert await sessions.find(one.value, "example.com", NOW) is None
    assert await sessions.find(other.value, "example.com", NOW) is not None
    assert await personal.find(token.text, NOW) is not None
    assert await sessions.revoke(other.row.accessor, ada.id, NOW)
    assert not await sessions.revoke(other.row.accessor, ada.id, NOW)


async def test_what_is_no_session(room: Room, sessions: Sessions, personal: PersonalTokens) -> None:
    token = await personal.create(await room.login("ada"), "ci", now=NOW)
    row = await room.live.store.token(token.row.hash)
    assert row is not None
    for value in ("", "A" * 43, token.text, token.row.accessor, token.row.hash.hex(), "\udcff", "x" * 100_000):
        assert await sessions.find(value, "example.com", NOW) is None
        assert value == token.text or await personal.find(value, NOW) is None


async def test_services_have_neither(room: Room, sessions: Sessions, personal: PersonalTokens) -> None:
    robot = await room.login("ROBOTKEY", "robot-secret")
    with pytest.raises(NoPerson):
        await sessions.create(robot, "example.com", remember=False, client=None, now=NOW)
    with pytest.raises(NoPerson):
        await personal.create(robot, "x", now=NOW)


async def test_nothing_shows_a_secret(room: Room, personal: PersonalTokens) -> None:
    session = await room.session("ada")
    token = await personal.create(await room.login("ada"), "ci", now=NOW)
    for made, secret in ((session, session.value), (token, token.text)):
        assert secret not in repr(made)
        assert str(made.row.hash) not in repr(made.row)


async def test_personal_tokens(room: Room, personal: PersonalTokens) -> None:
    ada = await room.login("ada")
    made = await personal.create(ada, " ci ", hosts=["APP.example.com."], paths=["/api/"], lifetime_seconds=60, now=NOW)
    assert made.text.startswith("lgp_")
    assert len(made.text) == 47
    assert made.row.label == "ci"
    found = await personal.find(made.text, NOW + 59)
    assert found is not None
    assert found.limits == Limits(("app.example.com",), ("/api",))
    assert await personal.find(made.text, NOW + 60) is None
    usual = await personal.create(ada, "usual", now=NOW)
    assert usual.row.expires_at == NOW + 90 * DAY
    assert {row.label for row in await personal.list(ada.id, NOW)} >= {"ci", "usual"}
    assert await personal.revoke(usual.row.accessor, ada.id, NOW)
    assert await personal.current(usual.text, NOW) is None


# label, hosts, paths, lifetime in seconds
REFUSED: list[tuple[str, list[str], list[str], float | None]] = [
    ("", [], [], None), (" ", [], [], None), ("x" * 101, [], [], None), ("a\nb", [], [], None), ("a\u202eb", [], [], None),
    ("x", ["a b"], [], None), ("x", ["app.example.com:8080"], [], None), ("x", ["*"], [], None), ("x", ["a*.example.com"], [], None),
    ("x", [""], [], None), ("x", ["a"] * 21, [], None), ("x", [], ["api"], None), ("x", [], ["/a/../b"], None), ("x", [], ["/a%2fb"], None),
    ("x", [], ["/a?b"], None), ("x", [], ["/a#b"], None), ("x", [], ["/a;b"], None), ("x", [], ["//a"], None), ("x", [], [""], None),
    ("x", [], ["/a\\b"], None), ("x", [], [], 0), ("x", [], [], -5), ("x", [], [], 91 * DAY), ("x", [], [], float("inf")),
    ("x", [], [], float("nan")),
]  # fmt: skip


async def test_refused_personal_tokens(room: Room, personal: PersonalTokens) -> None:
    ada = await room.login("ada")
    before = len(await personal.list(ada.id, NOW))
    for label, hosts, paths, lifetime in REFUSED:
        with pytest.raises(Refused):
            await personal.create(ada, label, hosts=hosts, paths=paths, lifetime_seconds=lifetime, now=NOW)
    assert len(await personal.list(ada.id, NOW)) == before


# hosts, paths, URL, whether it may be used there
PLACES: list[tuple[list[str], list[str], str, bool]] = [
    ([], [], "https://any.test/x", True), (["a.test"], [], "https://a.test/x", True), (["a.test"], [], "https://A.test./x", True),
    (["a.test"], [], "https://b.a.test/x", False), (["a.test"], [], "https://aa.test/x", False), (["*.a.test"], [], "https://b.a.test/", True),
    (["*.a.test"], [], "https://c.b.a.test/", True), (["*.a.test"], [], "https://a.test/", False), (["*.a.test"], [], "https://ba.test/", False),
    ([], ["/api"], "https://a.test/api", True), ([], ["/api"], "https://a.test/api/", True), ([], ["/api"], "https://a.test/api/x?y", True),
    ([], ["/api"], "https://a.test/apis", False), ([], ["/api"], "https://a.test/", False), ([], ["/api"], "https://a.test/x/api", False),
    ([], ["/api"], "https://a.test/api/../x", False), ([], ["/api"], "https://a.test/api/%2e%2e/x", False), ([], ["/api"], "https://a.test/x?/api", False),
    ([], ["/api"], "https://a.test/api/..;/x", False), ([], ["/api"], "https://a.test/%61pi/x", True), ([], ["/api"], "https://a.test//api", True),
    ([], ["/"], "https://a.test/x", True), ([], ["/a", "/b"], "https://a.test/b/c", True), (["a.test"], ["/a"], "https://b.test/a", False),
    ([], ["/API"], "https://a.test/api", False), ([], ["/api"], "https://a.test/api%2f..%2fx", False),
]  # fmt: skip


@pytest.mark.parametrize(("hosts", "paths", "url", "allowed"), PLACES)
async def test_where_a_token_may_be_used(hosts: list[str], paths: list[str], url: str, allowed: bool) -> None:
    assert parse_limits(hosts, paths).allow(auth_request_target([url], ["GET"])) is allowed


async def test_uses_are_written_at_most_once_a_minute(room: Room) -> None:
    """9: the batches a store sees, and what another process can read of them."""
    store = room.live.store
    session = await room.session("bob")
    activity = Activity(store)
    token = session.row.hash

    async def written() -> tuple[int | None, str]:
        row = await store.token(token)
        assert isinstance(row, TokenRow)
        return row.last_used_at, row.last_used_from

    begun = session.row.created_at
    activity.note(token, begun + 10, "192.0.2.9")
    await activity.flush(begun + 10, 300)
    assert await written() == (begun, "")
    activity.note(token, begun + 61, "192.0.2.9")
    before = store.version()
    await activity.flush(begun + 61, 300)
    assert await written() == (begun, "")  # 51 s after what was passed on
    assert store.version() == before
    activity.note(token, begun + 75, "192.0.2.9")
    await activity.flush(begun + 75, 300)
    assert await written() == (begun + 75, "192.0.2.9")
    assert activity.last(token) == begun + 75
    await activity.flush(begun + 1000, 300)
    assert activity.last(token) == 0


async def test_uses_that_cannot_be_written_stay(room: Room, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with room_of(tmp_path, CONFIGURATION) as other:
        activity = Activity(other.live.store)
        activity.note(b"x" * 32, NOW, "")
        await other.live.store.close()
        await activity.flush(NOW, 300)
        assert "could not be written" in caplog.text
        assert activity.last(b"x" * 32) == NOW


async def test_another_process_sees_what_was_written(room: Room, sessions: Sessions) -> None:
    """The idle limit holds on from what the store knows of uses elsewhere."""
    made = await sessions.create(await room.login("bob"), "example.com", remember=False, client=None, now=NOW)
    await room.live.store.tokens_touch([Touch(made.row.hash, NOW + 250, "")])
    assert await sessions.find(made.value, "example.com", NOW + 500) is not None
    assert await sessions.find(made.value, "example.com", NOW + 550) is None


async def test_tokens_of_an_earlier_time_are_dead(room: Room, sessions: Sessions, personal: PersonalTokens) -> None:
    bob = await room.login("bob")
    made = await sessions.create(bob, "example.com", remember=True, client=None, now=NOW)
    token = await personal.create(bob, "x", now=NOW)
    await room.live.store.identity_invalidate(bob.id, NOW + 1)
    assert await sessions.find(made.value, "example.com", NOW + 1) is None
    assert await personal.find(token.text, NOW + 1) is None
    await room.live.store.tokens_revoke(RevokeBy.IDENTITY, bob.id, NOW)
