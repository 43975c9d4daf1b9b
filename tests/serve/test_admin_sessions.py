"""``/admin/sessions`` and ``/admin/lockout``: what administrators see and take away (forward-auth.md 9, DECISIONS 13, 18)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from gateway.grants import lockout
from gateway.identity import Account
from gateway.store.interface import TokenRow
from gateway.tokens.issuer import Revoked
from gateway.tokens.jwt import InvalidToken
from gateway.tokens.opaque import digest, mint_accessor
from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = CONFIGURATION + 'admins = ["user:ada"]\nlockout { failures = 3, address_failures = 5 }\n'
URL = "https://app.example.com/x"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("admin"), TEXT) as opened:
        yield opened


async def call(room: Room, path: str, fields: Any = None, who: str = "ada", *headers: str) -> tuple[int, Any]:
    """One call of an administrator at an ordinary listener."""
    body = b"" if fields is None else json.dumps(fields).encode()
    basic = base64.b64encode(f"{who}:lovelace".encode()).decode()
    lines = [f"{'GET' if fields is None else 'POST'} {path} HTTP/1.1", "Host: x", f"Authorization: Basic {basic}"]
    lines += [f"Content-Length: {len(body)}", *headers]
    status, _, answer = parsed(await room.raw("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body))
    return status, json.loads(answer)


async def rows(room: Room, query: str) -> list[dict[str, Any]]:
    status, answer = await call(room, f"/admin/sessions?{query}")
    assert status == 200, answer
    found: list[dict[str, Any]] = answer["tokens"]
    return found


async def passes(room: Room, *header: str) -> list[int]:
    """Twice each, so that the second question may go the fast way."""
    asked = [question(endpoint, URL, (header[0], header[1])) for endpoint in ENDPOINTS for _ in range(2)]
    return [parsed(await room.raw(sent))[0] for sent in asked]


async def person(room: Room, server: str, username: str, external_id: str = "", email: str = "") -> str:
    account = Account(server=server, external_id=external_id or username, username=username, email=email)
    saved = await room.live.store.identity_save(account, company="c", role="user", backend_id=f"id of {username}", granted={}, now=1)
    return str(saved.id)


def row(owner: str, **changes: Any) -> TokenRow:
    accessor = mint_accessor()
    now = int(time.time())
    return TokenRow(**{
        "hash": digest(accessor), "accessor": accessor, "kind": "personal", "identity": owner, "created_at": now,
        "expires_at": now + 600, **changes,
    })  # fmt: skip


async def test_what_is_listed(room: Room) -> None:
    now = int(time.time())
    bob = await room.login("bob")
    session = await room.session("bob", remember=True)
    token = await room.live.personal.create(bob, "ci", hosts=["app.example.com"], paths=["/api"], now=now)
    key = await room.live.keys.create(bob, "laptop", None, now)
    await passes(room, "Cookie", f"__Secure-gw={session.value}")
    status, answer = await call(room, "/admin/sessions?user=local/bob")
    told = json.dumps(answer)
    for secret in (session.value, token.text, key.secret_key, session.row.hash.hex(), digest(token.text).hex(), "hash"):
        assert secret not in told
    by_kind = {each["kind"]: each for each in answer["tokens"]}
    assert (status, set(by_kind)) == (200, {"session", "personal", "access_key"})
    assert {each["user"] for each in answer["tokens"]} == {"local/bob"}
    found = by_kind["session"]
    assert (found["accessor"], found["domain"], found["remembered"], found["barred"]) == (session.row.accessor, "example.com", True, False)
    assert found["used"] >= found["created"] and found["ends"] > found["used"]
    found = by_kind["personal"]
    assert (found["label"], found["hosts"], found["paths"], found["used"]) == ("ci", ["app.example.com"], ["/api"], "")
    assert (by_kind["access_key"]["accessor"], by_kind["access_key"]["ends"]) == (key.access_key, "")
    assert [each["kind"] for each in await rows(room, "user=BOB&kind=personal")] == ["personal"]
    assert {each["user"] for each in await rows(room, "kind=session")} == {"local/bob"}


async def test_only_what_lives_is_listed(room: Room) -> None:
    """9: revoked, expired and idle ones, and those of before a revocation of everything, are none."""
    owner, now = await person(room, "corp", "eve"), int(time.time())
    dead = [
        row(owner, revoked_at=now - 1), row(owner, expires_at=now), row(owner, created_at=now - 100),
        row(owner, kind="session", created_at=now - 301, last_used_at=now - 301), row(owner, uses_left=0),
    ]  # fmt: skip
    alive = [row(owner), row(owner, kind="session", created_at=now - 20, last_used_at=now - 10)]
    for each in (*dead, *alive):
        await room.live.store.token_add(each)
    await room.live.store.identity_invalidate(owner, now - 50)
    found = await rows(room, "user=corp/eve")
    assert {each["accessor"] for each in found} == {each.accessor for each in alive}
    assert all(each["barred"] for each in found), "her server is not configured: she is not let in"


async def test_pages(room: Room) -> None:
    owner = await person(room, "corp", "many")
    made = [row(owner) for _ in range(250)]
    for each in made:
        await room.live.store.token_add(each)
    seen, after, pages = [], "", 0
    while True:
        _, answer = await call(room, f"/admin/sessions?kind=personal&after={after}")
        seen += [each["accessor"] for each in answer["tokens"]]
        pages += 1
        if not (after := answer["next"]):
            break
    assert set(seen) >= {each.accessor for each in made}
    assert (len(seen), pages >= 3) == (len(set(seen)), True)
    _, answer = await call(room, "/admin/sessions?user=many")
    assert (len(answer["tokens"]), answer["next"]) == (250, "")


async def test_revoking_one(room: Room) -> None:
    """18: it counts at the next request, also where the answer was known."""
    one, other = await room.session("bob"), await room.session("bob")
    cookies = [f"__Secure-gw={each.value}" for each in (one, other)]
    assert await passes(room, "Cookie", cookies[0]) == [200] * 6
    status, answer = await call(room, "/admin/sessions/revoke", {"accessor": one.row.accessor})
    assert (status, answer) == (200, {"user": "local/bob", "revoked": {"session": 1}})
    assert await passes(room, "Cookie", cookies[0]) == [401] * 6
    assert await passes(room, "Cookie", cookies[1]) == [200] * 6
    assert (await call(room, "/admin/sessions/revoke", {"accessor": one.row.accessor}))[1]["revoked"] == {"session": 0}
    [event] = [each for each in room.audit.events if each.action == "token.revoke" and one.row.accessor in each.target]
    assert (event.outcome, event.dialect, event.server, event.user, event.client) == ("success", "admin", "local", "ada", "127.0.0.1")
    assert event.target == f"local/bob session {one.row.accessor}"
    parent = row((await room.login("bob")).id)
    child = row(parent.identity or "", parent=parent.accessor)
    for each in (parent, child):
        await room.live.store.token_add(each)
    assert (await call(room, "/admin/sessions/revoke", {"accessor": parent.accessor}))[1]["revoked"] == {"personal": 2}


async def test_revoking_the_sessions_of_a_person(room: Room) -> None:
    session = await room.session("bob")
    token = await room.live.personal.create(await room.login("bob"), "stays", now=int(time.time()))
    status, answer = await call(room, "/admin/sessions/revoke", {"user": "bob", "kind": "session"})
    assert (status, answer["revoked"].keys(), answer["revoked"]["session"] >= 1) == (200, {"session"}, True)
    assert await passes(room, "Cookie", f"__Secure-gw={session.value}") == [401] * 6
    assert await passes(room, "Authorization", f"Bearer {token.text}") == [200] * 6
    assert await rows(room, "user=bob&kind=session") == []


async def test_revoking_everything(room: Room) -> None:
    """Sessions, personal tokens, access keys, and ClearML tokens, of which no list is kept."""
    now = int(time.time())
    bob = await room.login("bob")
    session, remembered = await room.session("bob"), await room.session("bob", remember=True)
    token = await room.live.personal.create(bob, "ci", now=now)
    key = await room.live.keys.create(bob, "laptop", None, now)
    jwt = room.live.issuer.issue(bob, 3600, now).text
    ada = await room.session("ada")
    shown = [
        ("Cookie", f"__Secure-gw={session.value}"), ("Cookie", f"__Secure-gw={remembered.value}"),
        ("Authorization", f"Bearer {token.text}"), ("Authorization", f"Bearer {jwt}"),
        ("Authorization", "Basic " + base64.b64encode(f"bob:{token.text}".encode()).decode()),
        ("Authorization", "Basic " + base64.b64encode(f"{key.access_key}:{key.secret_key}".encode()).decode()),
    ]  # fmt: skip
    for header in shown:
        assert await passes(room, *header) == [200] * 6, header
    status, answer = await call(room, "/admin/sessions/revoke", {"user": bob.id})
    assert (status, answer["user"]) == (200, "local/bob")
    counts = answer["revoked"]
    assert (counts["session"] >= 2, counts["access_key"] >= 1, counts["personal"] >= 1) == (True, True, True)
    for header in shown:
        assert await passes(room, *header) == [401] * 6, header
    with pytest.raises((Revoked, InvalidToken)):
        await room.live.issuer.identity_of(jwt, now)
    assert await passes(room, "Cookie", f"__Secure-gw={ada.value}") == [200] * 6
    assert await rows(room, "user=bob") == []
    assert [each.target for each in room.audit.events if each.action == "token.revoke"][-1] == "local/bob: every token"


async def test_who_is_gone_can_be_ended_too(room: Room) -> None:
    """A name that was given away again: both of it. What they hold must not come back with them."""
    old, new = await person(room, "corp", "zoe", "first"), await person(room, "corp", "zoe", "second")
    await room.live.store.identity_gone(old, 5)
    for owner in (old, new):
        await room.live.store.token_add(row(owner))
    status, answer = await call(room, "/admin/sessions/revoke", {"user": "CORP/Zoe"})
    assert (status, answer["revoked"]["personal"]) == (200, 2)
    for owner in (old, new):
        saved = await room.live.store.identity(owner)
        assert saved is not None and saved.valid_after >= int(time.time())


async def test_names(room: Room) -> None:
    """A name of several people is never guessed at; a server's name and a person's may hold slashes."""
    people = (("corp", "twin"), ("corp/eu", "twin"), ("corp", "eu/twin"), ("lab", "o'brien é"), ("lab", "corp/twin"))
    ids = [await person(room, server, name) for server, name in people]
    status, answer = await call(room, "/admin/sessions/revoke", {"user": "twin"})
    assert (status, f"corp/eu/twin (id {ids[1]}), corp/twin (id {ids[0]})" in answer["error"]) == (400, True), answer
    status, answer = await call(room, "/admin/sessions/revoke", {"user": "corp/eu/twin"})
    assert (status, ids[1] in answer["error"], ids[2] in answer["error"]) == (400, True, True), "two people of one label"
    for each in ids:
        assert (await call(room, "/admin/sessions/revoke", {"user": each}))[0] == 200
    assert (await call(room, "/admin/sessions/revoke", {"user": "lab/corp/twin"}))[1]["user"] == "lab/corp/twin"
    assert (await call(room, "/admin/sessions/revoke", {"user": "corp/twin"}))[1]["user"] == "corp/twin"
    assert (await call(room, "/admin/sessions/revoke", {"user": "lab/O'Brien é"}))[1]["user"] == "lab/o'brien é"
    assert (await call(room, "/admin/sessions/revoke", {"user": "id of o'brien é"}))[1]["user"] == "lab/o'brien é"
    assert (await call(room, f"/admin/sessions?user={quote('id of twin')}"))[0] == 200


# path, fields of a POST, status, what the message says
REFUSED: list[tuple[str, Any, int, str]] = [
    ("/admin/sessions?user=nobody", None, 404, "nobody of this name has logged in"),
    ("/admin/sessions?user=%20&kind=session", None, 400, "user: expected NAME"),
    ("/admin/sessions?user=" + "/" * 2000, None, 400, "user: expected NAME"),
    ("/admin/sessions?user=a%00b", None, 400, "user: expected NAME"),
    ("/admin/sessions?kind=vault", None, 400, "kind: expected one of session, personal, access_key"),
    ("/admin/sessions?users=ada", None, 400, "unknown parameter users"),
    ("/admin/sessions/revoke", None, 405, "only POST"),
    ("/admin/sessions", {}, 405, "only GET"),
    ("/admin/sessions/revoke", {}, 400, "either accessor, or user"),
    ("/admin/sessions/revoke", {"accessor": "x", "user": "ada"}, 400, "either accessor, or user"),
    ("/admin/sessions/revoke", {"accessor": "x", "kind": "session"}, 400, "either accessor, or user"),
    ("/admin/sessions/revoke", {"accessor": "x"}, 404, "accessor: there is no session or token"),
    ("/admin/sessions/revoke", {"accessor": ["x"]}, 404, "accessor: there is no session or token"),
    ("/admin/sessions/revoke", {"accessor": "\ud800"}, 404, "accessor: there is no session or token"),
    ("/admin/sessions/revoke", {"user": "nobody"}, 404, "nobody of this name"),
    ("/admin/sessions/revoke", {"user": ""}, 400, "user: expected NAME"),
    ("/admin/sessions/revoke", {"user": ["ada"]}, 400, "user: expected NAME"),
    ("/admin/sessions/revoke", {"user": "\ud800"}, 400, "user: expected NAME"),
    ("/admin/sessions/revoke", {"user": "ada", "kind": "vault"}, 400, "kind: expected one of"),
    ("/admin/sessions/revoke", {"user": "ada", "kind": ["session"]}, 400, "kind: expected one of"),
    ("/admin/sessions/revoke", {"user": "ada", "kinds": "session"}, 400, "unknown field kinds"),
    ("/admin/lockout?all=yes", None, 400, "all: expected true or false"),
    ("/admin/lockout?after=xyz", None, 400, "after: expected"),
    ("/admin/lockout/clear", {}, 400, "either user or address"),
    ("/admin/lockout/clear", {"user": "ada", "address": "::1"}, 400, "either user or address"),
    ("/admin/lockout/clear", {"user": 5}, 400, "user: expected NAME"),
    ("/admin/lockout/clear", {"address": "ada"}, 400, "address: expected an IP address"),
    ("/admin/lockout/clear", {"address": {"a": 1}}, 400, "address: expected an IP address"),
]


@pytest.mark.parametrize(("path", "fields", "status", "text"), REFUSED, ids=lambda value: str(value)[:60])
async def test_refused(room: Room, path: str, fields: Any, status: int, text: str) -> None:
    found, answer = await call(room, path, fields)
    assert (found, text in answer["error"]) == (status, True), answer


async def test_only_administrators_may(room: Room) -> None:
    """DECISIONS 8, 26, 29."""
    session = await room.session("ada")
    for path, fields in (("/admin/sessions", None), ("/admin/sessions/revoke", {"user": "ada"}), ("/admin/lockout", None)):
        assert (await call(room, path, fields, "bob"))[0] == 403
    cookie = f"Cookie: __Secure-gw={session.value}"
    assert (await call(room, "/admin/sessions", None, "bob", cookie))[0] == 403, "a cookie never administrates"
    status, _ = await call(room, "/admin/sessions/revoke", {"user": "ada"}, "ada", "Sec-Fetch-Site: cross-site")
    assert status == 403
    assert await passes(room, "Cookie", f"__Secure-gw={session.value}") == [200] * 6


async def fail(room: Room, name: str, client: str, times: int = 1) -> None:
    wrong = "Basic " + base64.b64encode(f"{name}:wrong".encode()).decode()
    for _ in range(times):
        await room.raw(question("auth-request", URL, ("Authorization", wrong), client=client))


async def log_in(room: Room, name: str, client: str) -> int:
    right = "Basic " + base64.b64encode(f"{name}:lovelace".encode()).decode()
    return parsed(await room.raw(question("forward-auth", URL, ("Authorization", right), client=client)))[0]


async def counters(room: Room, query: str = "") -> dict[tuple[str, str], int]:
    status, answer = await call(room, f"/admin/lockout{query}")
    assert status == 200, answer
    return {(each["of"], each["kind"]): each["failures"] for each in answer["counters"]}


async def test_lifting_a_lock(room: Room) -> None:
    """13: of the typed name and of the entry; the right password counts at once."""
    await fail(room, "bob", "192.0.2.9")
    assert await counters(room) == {}
    assert (await counters(room, "?all=true"))["local/bob", "name"] == 1
    await fail(room, "Bob", "192.0.2.9", 2)
    assert await counters(room) == {("local/bob", "name"): 3, ("local/Bob", "entry"): 3}
    assert await log_in(room, "bob", "192.0.2.10") == 401
    assert (await call(room, "/admin/lockout/clear", {"user": "ada"}))[1] == {"cleared": []}
    assert await log_in(room, "bob", "192.0.2.10") == 401
    assert (await call(room, "/admin/lockout/clear", {"user": "local/BOB"}))[1] == {"cleared": ["local/Bob", "local/bob"]}
    assert await log_in(room, "bob", "192.0.2.10") == 200
    assert await counters(room) == {}
    assert [(each.user, each.target) for each in room.audit.events if each.action == "lockout.clear"] == [("ada", "local/Bob, local/bob")]


@pytest.mark.parametrize(("client", "named", "shown"), [
    ("192.0.2.77", "192.0.2.77", "192.0.2.77"),
    ("2001:db8::7", "2001:db8::9", "2001:db8::/64"),
    ("2001:db8:1::7", "2001:db8:1::/64", "2001:db8:1::/64"),
])  # fmt: skip
async def test_lifting_the_lock_of_an_address(room: Room, client: str, named: str, shown: str) -> None:
    for number in range(5):
        await fail(room, f"stranger{number}", client)
    assert await log_in(room, "bob", client) == 429
    assert (shown, "address") in await counters(room)
    assert (await call(room, "/admin/lockout/clear", {"address": named}))[1] == {"cleared": [shown]}
    assert await log_in(room, "bob", client) == 200


async def test_locks_under_other_names(room: Room) -> None:
    """Whatever name was typed: the address of the person, the one of the last login; the entry of who never came in."""
    now, settings = int(time.time()), room.live.configuration.lockout
    await person(room, "corp", "mia", "uuid-1", "Mia@example.com")
    keys = [
        lockout.name_key("corp", "MIA@example.com"), lockout.entry_key("corp", "uuid-1", "mia@EXAMPLE.com"),
        lockout.name_key("local", "newcomer"), lockout.entry_key("local", "uuid-2", "Newcomer"),
        lockout.name_key("other", "mia"), lockout.name_key("local", "xmia"),
    ]  # fmt: skip
    for key in keys:
        await room.live.store.failure_add([key], now, settings)
    assert (await call(room, "/admin/lockout/clear", {"user": "corp/mia"}))[1]["cleared"] == ["corp/mia@EXAMPLE.com", "corp/mia@example.com"]
    assert (await call(room, "/admin/lockout/clear", {"user": "newcomer"}))[1]["cleared"] == ["local/Newcomer", "local/newcomer"]
    left = await room.live.store.failures(keys)
    assert {counter.shown for counter in left.values()} == {"other/mia", "local/xmia"}


async def test_many_counters(room: Room) -> None:
    """Pages, in which nothing is lost and nothing told twice; others are answered in between."""
    now, settings = int(time.time()), room.live.configuration.lockout
    for number in range(0, 2500, 50):
        keys = [lockout.name_key("corp", f"many{each}") for each in range(number, number + 50)]
        await room.live.store.failure_add(keys, now, settings)
    seen, after, pages = [], "", 0
    while True:
        _, answer = await call(room, f"/admin/lockout?all=true&after={after}")
        seen += [each["of"] for each in answer["counters"] if each["of"].startswith("corp/many")]
        pages += 1
        if not (after := answer["next"]):
            break
    assert (len(seen), len(set(seen)), pages >= 3) == (2500, 2500, True)
    assert (await call(room, "/admin/lockout/clear", {"user": "corp/many2499"}))[1] == {"cleared": ["corp/many2499"]}


async def test_a_store_that_is_gone(tmp_path: Path) -> None:
    async with room_of(tmp_path, TEXT) as other:
        await other.login("ada")
        await other.runtime.store.close()
        assert (await call(other, "/admin/sessions"))[0] == 503
