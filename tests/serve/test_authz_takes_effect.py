"""What ends, ends: over a real slapd, for every credential, the fast way too (forward-auth.md 6, 9, 12.5; DECISIONS 11, 18)."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import ldap3
import pytest

from tests.directories.slapd import BASE_DN, Slapd
from tests.serve.asking import ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of

ROOM = """
public_url = "https://auth.example.com"
session {
  cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
  refresh_interval = 1
}
access_control {
  accept = [personal, clearml]
  rules = [
    { name = dev, domain = "dev.example.com", subject = "group:developers", policy = authenticated }
    { name = all, domain = "app.example.com", policy = authenticated }
  ]
}
login { floor = 0, cache = 1 }
lockout { failures = 1000, address_failures = 100000 }
"""
APP, DEV = "https://app.example.com/x", "https://dev.example.com/x"
DEVELOPERS = f"cn=developers,ou=groups,{BASE_DN}"
KINDS = ("session", "remembered", "personal", "personal as password", "clearml", "password")
"""One person for each credential, so that nobody's question has another one looked up again."""
DEADLINE = 30.0


def dn_of(name: str) -> str:
    return f"uid={name},ou=people,{BASE_DN}"


def entry(name: str) -> dict[str, str]:
    return {"objectClass": "inetOrgPerson", "uid": name, "cn": name, "sn": name, "userPassword": "secret"}


def ldif(names: list[str]) -> str:
    """A company of these people, all of them developers, and one more who stays."""
    records = [
        {"dn": BASE_DN, "objectClass": ["dcObject", "organization"], "dc": "example", "o": "x"},
        *({"dn": f"ou={unit},{BASE_DN}", "objectClass": "organizationalUnit", "ou": unit} for unit in ("people", "groups", "services")),
        {"dn": f"cn=svc,ou=services,{BASE_DN}", "objectClass": ["organizationalRole", "simpleSecurityObject"], "cn": "svc", "userPassword": "svc-secret"},
        *({"dn": dn_of(name), **entry(name)} for name in (*names, "stays")),
        {"dn": DEVELOPERS, "objectClass": "groupOfNames", "cn": "developers", "member": [dn_of(name) for name in (*names, "stays")]},
    ]  # fmt: skip
    return "\n\n".join(
        "\n".join(f"{name}: {value}" for name, values in record.items() for value in ([values] if isinstance(values, str) else values))
        for record in records
    )


def basic(name: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(ldif([name_of(kind) for kind in KINDS]), directory=tmp_path / "slapd") as started:
        yield started


@asynccontextmanager
async def room_on(slapd: Slapd, directory: Path, text: str = "") -> AsyncIterator[Room]:
    directory.mkdir()
    given = slapd.server(request_timeout=2, pool={"backoff": 0.2, "probe": 0.2})
    async with room_of(directory, ROOM + text, {"CLEARML__servers": json.dumps([given])}) as room:
        yield room


def name_of(kind: str) -> str:
    return kind.replace(" ", "")


async def credential(room: Room, kind: str) -> tuple[str, str]:
    """The header that somebody shows."""
    name, now = name_of(kind), int(time.time())
    identity = await room.login(name, "secret")
    match kind:
        case "session" | "remembered":
            made = await room.live.sessions.create(identity, "example.com", remember=kind == "remembered", client=None, now=now)
            return "Cookie", f"__Secure-gw={made.value}"
        case "personal" | "personal as password":
            token = (await room.live.personal.create(identity, "ci", now=now)).text
            return ("Authorization", f"Bearer {token}") if kind == "personal" else basic(name, token)
        case "clearml":
            return "Authorization", f"Bearer {room.live.issuer.issue(identity, 3600, now).text}"
        case _:
            return basic(name, "secret")


async def status(room: Room, url: str, header: tuple[str, str], endpoint: str = "forward-auth") -> int:
    return parsed(await room.raw(question(endpoint, url, header)))[0]


async def becomes(room: Room, url: str, header: tuple[str, str], before: int, after: int) -> None:
    """Ask until the answer is another one; meanwhile it is always the old one, and afterwards always the new one."""
    async with asyncio.timeout(DEADLINE):
        while (found := await status(room, url, header)) == before:
            await asyncio.sleep(0.1)
    assert found == after
    for endpoint in ENDPOINTS * 2:
        assert await status(room, url, header, endpoint) == after


async def all_become(room: Room, url: str, shown: Mapping[str, tuple[str, str]], before: int, after: int) -> None:
    results = await asyncio.gather(*(becomes(room, url, header, before, after) for header in shown.values()), return_exceptions=True)
    assert {kind: repr(result) for kind, result in zip(shown, results, strict=True) if result} == {}


async def test_leaving_a_group_and_the_directory(slapd: Slapd, tmp_path: Path) -> None:
    """Within refresh_interval, whatever is shown; who comes back is another person, and what was held stays dead."""
    async with room_on(slapd, tmp_path / "room") as room:
        shown = {kind: await credential(room, kind) for kind in KINDS}
        for url in (APP, DEV):
            for header in shown.values():
                assert {await status(room, url, header, endpoint) for endpoint in ENDPOINTS * 2} == {200}
        known = question("forward-auth", DEV, shown["session"])
        async with asyncio.timeout(DEADLINE):
            while room.application.known.find(known, "127.0.0.1") is None:  # until the fast path knows her
                await room.raw(known)
        with slapd.administration() as directory:
            directory.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_REPLACE, [dn_of("stays")])]})
            await all_become(room, DEV, shown, 200, 403)
            for header in shown.values():
                assert await status(room, APP, header) == 200
            for kind in KINDS:
                directory.delete(dn_of(name_of(kind)))
            await all_become(room, APP, shown, 200, 401)
            for kind in KINDS:
                directory.add(dn_of(name_of(kind)), attributes=entry(name_of(kind)))
        await asyncio.gather(*(room.login(name_of(kind), "secret") for kind in KINDS))
        for kind, header in shown.items():
            assert await status(room, APP, header) == (200 if kind == "password" else 401), kind


async def test_a_group_that_lets_in_by_configuration(slapd: Slapd, tmp_path: Path) -> None:
    """A reload counts at once: a rule, a mapping that is required, a person who is no more an administrator (DECISIONS 20)."""
    async with room_on(slapd, tmp_path / "room") as room:
        shown = {kind: await credential(room, kind) for kind in KINDS[:-1]}
        for header in shown.values():
            assert {await status(room, APP, header) for _ in range(2)} == {200}
        servers = json.dumps([slapd.server(require_mapping=True, group_mappings=[{"group_dn": "cn=nobody", "org_role": "Viewer"}])])
        await room.reload(f"{ROOM}state_dir = {json.dumps(str(room.directory / 'state'))}\nservers = {servers}\n")
        for kind, header in shown.items():
            assert [await status(room, APP, header, endpoint) for endpoint in ENDPOINTS] == [401] * 3, kind


async def test_logging_out(slapd: Slapd, tmp_path: Path) -> None:
    """The next request of that session, and of no other one; a cookie that is sent again is nobody's."""
    async with room_on(slapd, tmp_path / "room") as room:
        one, other = await credential(room, "session"), await credential(room, "session")
        for header in (one, other):
            assert {await status(room, APP, header, endpoint) for endpoint in ENDPOINTS * 2} == {200}
        sent = ["POST /api/logout HTTP/1.1", "Host: auth.example.com", "X-Forwarded-Host: auth.example.com", "X-Forwarded-Proto: https"]
        sent += ["Origin: https://auth.example.com", "Accept: application/json", "Content-Length: 0", f"Cookie: {one[1]}"]
        answer = parsed(await room.raw("".join(f"{line}\r\n" for line in sent).encode() + b"\r\n"))
        assert answer[0] in (200, 204, 303), answer
        assert {await status(room, APP, one, endpoint) for endpoint in ENDPOINTS} == {401}
        assert {await status(room, APP, other, endpoint) for endpoint in ENDPOINTS} == {200}


async def test_a_directory_that_stops(slapd: Slapd, tmp_path: Path) -> None:
    """Who is known goes on for max_stale; a password cannot be checked: 503. All is well when it is back."""
    async with room_on(slapd, tmp_path / "room", "session { refresh_interval = always, max_stale = 3 }\nlogin.cache = 0\n") as room:
        shown = {kind: await credential(room, kind) for kind in KINDS}
        slapd.stop()
        assert await status(room, APP, shown["session"]) == 200
        assert await status(room, APP, shown["password"]) == 503
        await all_become(room, APP, {kind: header for kind, header in shown.items() if kind != "password"}, 200, 503)
        _, headers, _ = parsed(await room.raw(question("ext-authz", APP, shown["session"], ("Accept", "text/html"))))
        assert ("location" in headers, headers["retry-after"]) == (False, "5")
        slapd.run()
        await all_become(room, APP, shown, 503, 200)


async def test_a_store_that_is_locked(slapd: Slapd, tmp_path: Path) -> None:
    """Somebody holds the database: what need not be written goes on, a login is not let in without its record."""
    async with room_on(slapd, tmp_path / "room", "login.cache = 0\n") as room:
        session, password = await credential(room, "session"), await credential(room, "password")
        assert await status(room, APP, session) == 200
        with closing(sqlite3.connect(room.directory / "state" / "gateway.db", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = await asyncio.gather(status(room, APP, session), status(room, APP, password))
            connection.execute("ROLLBACK")
        assert found == [200, 503]
        assert await status(room, APP, password) == 200
