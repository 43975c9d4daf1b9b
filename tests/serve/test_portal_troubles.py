"""The portal when something is amiss: locked accounts, guessing, directories and stores that are gone, clients that are
(forward-auth.md 4, 6, 9; DECISIONS 2, 5, 13)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.serve.portal.login import WRONG
from tests.serve.gateway_room import Room, room_of
from tests.serve.portal_browser import FORM, JSON, PAGE_HEADERS, Answer, Browser
from tests.serve.test_clearml_protocol import password_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIGURATION = """
public_url = "https://auth.example.com"
session { cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }], remember_me = 0 }
users = [
  { username = ada, password_hash = "HASH" }
  { username = bob, password_hash = "HASH" }
  { username = eve, password_hash = "HASH", disabled = true }
]
servers = [{
  name = corp, urls = ["ldap://127.0.0.1:9"], search_base_dns = ["dc=example,dc=com"], timeout = 1s, realm = REALM
}]
login.floor = 300ms
lockout { failures = 3, address_failures = 12 }
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("HASH", password_hash("lovelace"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    text = CONFIGURATION.replace("REALM", "false")
    async with room_of(tmp_path_factory.mktemp("troubles"), text) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unreachable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    """Where whoever is not local cannot be asked for."""
    text = CONFIGURATION.replace("REALM", "true")
    async with room_of(tmp_path_factory.mktemp("unreachable"), text) as opened:
        yield opened


def shape(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Everything that a stranger sees, but for the name that they typed and the length that follows from it."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
    return answer.status, headers, re.sub(rb'(name="user"[^>]* value=)"[^"]*"', rb"\1", answer.body)


async def test_one_answer_for_all_who_are_refused(room: Room) -> None:
    """9: unknown, wrong, disabled and locked: same status, headers, body; and none quicker than the floor."""
    for _ in range(3):
        await Browser(room, client="198.51.100.1").login("bob", "wrong")
    answers = []
    for user, password in (("nobody", "x"), ("ada", "wrong"), ("eve", "lovelace"), ("bob", "wrong"), ("bob", "lovelace")):
        started = time.monotonic()
        answer = await Browser(room, client="198.51.100.2").login(user, password)
        assert time.monotonic() - started >= 0.3, user
        answers.append(shape(answer))
        told = await Browser(room, client="198.51.100.3").call("/api/login", {"user": user, "password": password})
        assert (told.status, told.json) == (401, {"error": WRONG})
    assert all(answer == answers[0] for answer in answers)


async def test_guessing_from_one_address(room: Room) -> None:
    """DECISIONS 13: 429 with Retry-After; another address still gets in."""
    guesser = Browser(room, client="203.0.113.5")
    statuses = await asyncio.gather(*(guesser.login(f"user{number}", "x") for number in range(12)))
    assert {answer.status for answer in statuses} == {401}
    answer = await guesser.login("ada", "lovelace")
    assert (answer.status, answer.cookie) == (429, "")
    assert int(answer.headers["retry-after"]) > 0
    assert 'role="alert"' in answer.text
    assert PAGE_HEADERS.items() <= answer.headers.items()
    told = await guesser.call("/api/login", {"user": "ada", "password": "lovelace"})
    assert (told.status, set(told.json)) == (429, {"error"})
    assert (await Browser(room, client="203.0.113.6").login("ada", "lovelace")).status == 303


async def test_a_directory_that_is_gone(unreachable: Room) -> None:
    """DECISIONS 2: 503 for whoever may be there; local users still get in."""
    browser = Browser(unreachable)
    answer = await browser.login("carl", "secret", rd="https://app.example.com/x")
    assert (answer.status, answer.cookie) == (503, "")
    assert int(answer.headers["retry-after"]) > 0
    assert "try again" in answer.text
    assert answer.values("user") == ["carl"]
    assert answer.values("rd") == ["https://app.example.com/x"]
    assert PAGE_HEADERS.items() <= answer.headers.items()
    told = await browser.call("/api/login", {"user": "carl", "password": "secret"})
    assert (told.status, "127.0.0.1" in told.json["error"]) == (503, False)
    assert (await browser.login("ada", "lovelace")).status == 303


async def test_nobody_is_remembered_where_that_is_off(room: Room) -> None:
    """9: ``session.remember_me = 0``: no box, and none who asks anyway."""
    browser = Browser(room)
    assert "remember" not in (await browser.get("/login")).text
    answer = await browser.login(remember="on")
    assert (answer.status, "Max-Age" in answer.cookie) == (303, False)


async def test_a_client_that_leaves_in_the_middle(room: Room) -> None:
    """Half a form, then silence: nothing is left behind, and others are served."""
    for sent in (b"user=ada", b"", b"user=ada&password=lovelac"):
        reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
        head = "POST /api/login HTTP/1.1\r\nHost: auth.example.com\r\nSec-Fetch-Site: same-origin\r\n"
        writer.write(f"{head}Content-Type: {FORM}\r\nContent-Length: 26\r\n\r\n".encode() + sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        del reader
    assert (await Browser(room).login()).status == 303


async def test_two_requests_in_one_packet(room: Room) -> None:
    """6: pipelined requests are answered in order, each by itself."""
    request = b"GET /login HTTP/1.1\r\nHost: auth.example.com\r\nAccept: text/html\r\n\r\n"
    last = b"GET /api/session HTTP/1.1\r\nHost: auth.example.com\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    writer.write(request + request + last)
    async with asyncio.timeout(20):
        answers = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"401"]


async def test_a_store_that_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """4: 503 with a page, whatever is asked; nothing of the store is told."""
    async with room_of(tmp_path_factory.mktemp("gone"), CONFIGURATION.replace("REALM", "false")) as room:
        browser = Browser(room)
        await browser.login()
        kept = dict(browser.jar)
        await room.runtime.store.close()
        for answer in (await browser.get("/account"), await browser.get("/login"), await browser.post("/api/logout", {})):
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            assert PAGE_HEADERS.items() <= answer.headers.items()
        assert browser.jar == {}, "9: a logout is one for this browser in any case"
        assert "until it ends by itself" in answer.text
        browser.jar = kept
        assert (await browser.get("/api/session", JSON)).status == 503
        assert (await browser.login()).status == 503
