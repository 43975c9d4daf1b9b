"""Bodies that are held back: what they lead to rests on the state of their end (forward-auth.md 9, DECISIONS 18, 20)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.serve.gateway_room import Room, one_answer, parsed, room_of
from tests.serve.portal_browser import Browser
from tests.serve.test_clearml_protocol import password_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = """
public_url = "https://auth.example.com"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
users = [{ username = ada, password_hash = "OLD" }]
admins = ["user:ada"]
login.floor = 0
lockout { failures = 1000, address_failures = 100000 }
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""
OLD = TEXT.replace("OLD", password_hash("lovelace"))
NEW = TEXT.replace("OLD", password_hash("changed"))
GONE = OLD.replace("username = ada", "username = eve")
BASIC = "Basic " + base64.b64encode(b"ada:lovelace").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("late"), OLD) as opened:
        yield opened


class Late:
    """A request of which the last byte is to come."""

    def __init__(self, room: Room, path: str, fields: dict[str, object], *headers: tuple[str, str], chunked: bool) -> None:
        self.room, self.body, self.chunked = room, json.dumps(fields).encode(), chunked
        lines = [f"POST {path} HTTP/1.1", "Host: auth.example.com", "Sec-Fetch-Site: same-origin", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(self.body)}")
        self.head = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"

    def part(self, octets: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(octets), octets) if self.chunked else octets

    async def begin(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.room.port)
        self.writer.write(self.head + self.part(self.body[:-1]))
        await self.writer.drain()
        # Whoever asks on another connection afterwards is answered only when this one was read.
        await Browser(self.room).get("/login")

    async def end(self) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(self.part(self.body[-1:]) + (b"0\r\n\r\n" if self.chunked else b""))
        answer = parsed(await one_answer(self.reader))
        self.writer.close()
        await self.writer.wait_closed()
        return answer


async def reload(room: Room, text: str) -> None:
    await room.reload(text + f'state_dir = "{room.directory / "state"}"\n')


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("changed", [NEW, GONE], ids=["password", "person"])
async def test_a_login_whose_password_is_gone_at_its_end(room: Room, changed: str, chunked: bool) -> None:
    await reload(room, OLD)
    login = {"user": "ada", "password": "lovelace", "remember": True}
    late = [
        Late(room, "/api/login", login, chunked=chunked),
        Late(room, "/api/v2.30/auth.login", {}, ("Authorization", BASIC), chunked=chunked),
        Late(room, "/api/v2.30/auth.create_credentials", {}, ("Authorization", BASIC), chunked=chunked),
        Late(room, "/admin/sessions/revoke", {"user": "ada"}, ("Authorization", BASIC), chunked=chunked),
        Late(room, "/v1/auth/local/login/ada", {"password": "lovelace"}, chunked=chunked),
    ]
    for each in late:
        await each.begin()
    await reload(room, changed)
    for each in late:
        status, headers, body = await each.end()
        refused = 400 if b" /v1/" in each.head else 401
        assert (status, "set-cookie" in headers, b"token" in body) == (refused, False, False), each.head
    await reload(room, OLD)
    for each in late:
        await each.begin()
        assert (await each.end())[0] == 200, "in time"


async def test_a_session_that_ends_meanwhile(room: Room) -> None:
    """9: idle, and logged out."""
    await reload(room, OLD)
    browser = Browser(room)
    await browser.login()
    cookie = ("Cookie", f"__Secure-gw={browser.jar['__Secure-gw']}")
    idle = Late(room, "/account/tokens", {"label": "late"}, cookie, chunked=False)
    await idle.begin()
    await reload(room, OLD + "session.inactivity = 0.001\n")
    begun = int(time.time())
    while int(time.time()) == begun:  # uses are noted by the second
        await asyncio.sleep(0.02)
    assert (await idle.end())[0] == 401
    await reload(room, OLD)
    out = Late(room, "/account/tokens", {"label": "late"}, cookie, chunked=False)
    await out.begin()
    await browser.post("/api/logout", {})
    assert (await out.end())[0] == 401
    found = await room.live.store.tokens(kind="personal")
    assert found == []


async def test_who_sends_nothing_is_not_waited_for(room: Room) -> None:
    """6: a proxy may announce a body that never comes."""
    asked = b"GET /login HTTP/1.1\r\nHost: auth.example.com\r\nAccept: text/html\r\nContent-Length: 11\r\n\r\n"
    assert parsed(await room.raw(asked))[0] == 200


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1 << 20])
async def test_a_stranger_s_large_body_is_not_read(room: Room, size: int) -> None:
    """DECISIONS 30: 413 where it is too large for everybody, 401 where only strangers may not send it."""
    for path, expected in (("/api/login", 413), ("/api/v2.30/auth.login", 413), ("/api/v2.30/users.add_or_update_vault", 401), ("/admin/reload", 413)):
        head = f"POST {path} HTTP/1.1\r\nHost: auth.example.com\r\nSec-Fetch-Site: none\r\nContent-Type: application/json\r\n"
        status, _, _ = parsed(await room.raw(f"{head}Content-Length: {size}\r\n\r\n".encode()))
        assert status == expected, path


async def test_a_large_body_comes_whole(room: Room) -> None:
    """A chunked body of which a part was waited for, and the rest read later."""
    await reload(room, OLD)
    fields = {"name": "x", "data": "#" + "x" * 200_000}
    late = Late(room, "/api/v2.30/debug.ping", fields, ("Authorization", BASIC), chunked=True)
    await late.begin()
    assert (await late.end())[0] == 200
