"""The fast path answers as aiohttp's parser and the handler do, octet by octet but for Date, or not at all."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gateway.serve.application import Runner
from gateway.serve.authz.known import KnownAnswers
from gateway.serve.authz.plain_request import read_plain
from gateway.serve.connection import Connection, Server
from gateway.serve.self_test import fast_path_problem
from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, one_answer, parsed, room_of

REQUESTS = 5_000
APP = "https://app.example.com"
DATE = re.compile(rb"Date: [^\r]*\r\n")
FINAL = b"GET /healthz/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Counted:
    """Counts what the fast path answers."""

    def __init__(self, answers: KnownAnswers) -> None:
        self._answers = answers
        self.given = 0

    def find(self, data: bytes, peer: str) -> bytes | None:
        answer = self._answers.find(data, peer)
        self.given += answer is not None
        return answer


@asynccontextmanager
async def both_ways(room: Room) -> AsyncIterator[tuple[int, int, Counted]]:
    """Ports that answer with and without the fast path, from the same runtime."""
    counted = Counted(room.application.known)
    http = room.live.configuration.http
    runners = [Runner(room.application.handle, http, counted), Runner(room.application.handle, http)]
    try:
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        fast, slow = (runner.addresses[0][1] for runner in runners)
        yield fast, slow, counted
    finally:
        for runner in runners:
            await runner.cleanup()


class Requests:
    """Requests, most of them plain, the others odd or hostile in one or two ways."""

    def __init__(self, seed: int, cookies: list[str], tokens: list[str]) -> None:
        self._random = random.Random(seed)
        self._cookies = [f"__Secure-gw={value}" for value in (*cookies, "A" * 43, "x", "")]
        self._tokens = [*tokens, "lgp_" + "A" * 43, "lgp_", "abc", ""]

    def batch(self, size: int) -> list[bytes]:
        if self._random.random() < 0.6:
            return [self._plain() for _ in range(size)]
        return [request for request in (self._any() for _ in range(size)) if complete(request)]

    def _plain(self) -> bytes:
        pick = self._random.choice
        headers = [*dict.fromkeys(pick(PLAIN) for _ in range(3)), ("Cookie", pick(self._cookies[:2] * 4 + self._cookies))]
        return question(pick(ENDPOINTS), pick(URLS), *dict(headers).items(), method=pick(("GET", "HEAD", "GET")))

    def _any(self) -> bytes:
        pick = self._random.choice
        sent = question(
            pick(ENDPOINTS), pick(URLS), *self._headers(),
            method=pick(("GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "get")),
            client=pick(("192.0.2.1", "10.0.0.1", "10.0.0.1, 192.0.2.7", "", "junk", "::1", "[2001:db8::1]:80")),
            http=pick(("1.1",) * 30 + ("1.0", "2.0")),
        )  # fmt: skip
        if self._random.random() < 0.1:
            sent = sent.replace(b"GET ", pick((b"HEAD ", b"get ", b"GET  ", b"POST ", b"\r\nGET ")), 1)
        if self._random.random() < 0.1:
            sent = sent.replace(b" HTTP/", pick((b"?x=1 HTTP/", b"?x# HTTP/", b"/ HTTP/", b"%20 HTTP/", b"  HTTP/", b"\t HTTP/")), 1)
        if self._random.random() < 0.15:
            sent = self._mutated(sent)
        return sent

    def _headers(self) -> list[tuple[str, str]]:
        pick = self._random.choice
        headers = [pick(PLAIN) for _ in range(self._random.randrange(6))]
        if self._random.random() < 0.6:
            headers.append(("Cookie", pick(("a=1; ", "", "")) + pick(self._cookies) + pick(("; b=2", "", ", c=3"))))
        if self._random.random() < 0.2:
            headers.append(("Authorization", pick(("Bearer ", "bearer  ", "Basic ", "")) + pick(self._tokens)))
        if self._random.random() < 0.15:
            headers.append(pick(ODD))
        self._random.shuffle(headers)
        return headers

    def _mutated(self, sent: bytes) -> bytes:
        """One octet changed, taken out or put in, or a line end made odd."""
        place = self._random.randrange(len(sent))
        octet = bytes([self._random.choice((0, 9, 10, 13, 32, 35, 58, 127, 128, 255, 65))])
        return self._random.choice((
            sent[:place] + octet + sent[place + 1 :],
            sent[:place] + sent[place + 1 :],
            sent[:place] + octet + sent[place:],
            sent.replace(b"\r\n", b"\n", 1),
            sent.replace(b": ", self._random.choice((b":", b" : ", b":  ", b":\t")), 1),
        ))  # fmt: skip


URLS = [
    f"{APP}/x", f"{APP}/public/a", f"{APP}/secret", f"{APP}/admin", f"{APP}/office", f"{APP}/nobasic", f"{APP}/api/1?a=b&c",
    f"{APP}/public/%2e%2e/secret", f"{APP}/a%2fb", f"{APP}/%zz", f"{APP}/ä", "https://grafana.example.com/", "https://other.test/",
    "https://static.test:8443/", "http://app.example.com/x", "https://APP.example.com.:443/x", f"{APP}/x;y", f"{APP}//x", f"{APP}/x#y",
]  # fmt: skip
PLAIN = [
    ("Accept", "text/html"), ("Accept", "*/*"), ("User-Agent", "Mozilla/5.0"), ("Accept-Language", "en"), ("X-Empty", ""),
    ("Sec-Fetch-Mode", "navigate"), ("X-Requested-With", "XMLHttpRequest"), ("Remote-User", "root"), ("x-lower", "1"),
    ("Origin", "https://x"), ("Access-Control-Request-Method", "GET"), ("Accept-Encoding", "gzip"), ("If-None-Match", '"x"'),
]  # fmt: skip
ODD = [
    ("Connection", "close"), ("Connection", "keep-alive"), ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("TE", "trailers"),
    ("Host", "second"), ("Content-Length", "0"), ("Content-Length", "00"), ("Transfer-Encoding", "identity"), ("Expect", "100-continue"),
    ("X-Under_score", "1"), ("X-Ä", "1"), ("X-Value", "ä"), ("X-Long", "y" * 9000), ("Keep-Alive", "timeout=5"), ("X-Blank ", "1"),
    ("X-Forwarded-For", "1.1.1.1"), ("X-Original-URL", f"{APP}/public"), ("Content-Type", "text/plain"), ("Proxy-Connection", "close"),
    ("Proxy-Authorization", "Basic YWRhOng="), ("X-Tail", "a \t"), ("Trailer", "X"), ("Content-Encoding", "gzip"),
]  # fmt: skip


async def answers(port: int, requests: list[bytes], how: str, cuts: list[int]) -> list[bytes]:
    """What comes back: one answer after the other, or all octets of requests that are sent at once or in pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if how == "in turn":
            found = []
            for sent in requests:
                writer.write(sent)
                found.append(await one_answer(reader, sent.startswith(b"HEAD")))
                if b"\r\nConnection: close" in found[-1] or not found[-1]:
                    break
            return found
        data = b"".join(requests) + FINAL
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            writer.write(data[start:end])
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            return [await reader.read()]
    except ConnectionResetError:
        return []
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def complete(sent: bytes) -> bool:
    """Whether the server can know where it ends, so that something is answered."""
    return b"\r\n\r\n" in sent and not re.search(rb"\r\nContent-Length: [1-9]", sent)


async def test_both_ways_answer_alike(tmp_path: Path) -> None:
    async with room_of(tmp_path, CONFIGURATION) as room, both_ways(room) as (fast, slow, counted):
        now = int(time.time())
        ada, bob = await room.login("ada"), await room.login("bob")
        cookies = [(await room.session(name)).value for name in ("ada", "bob")]
        token = await room.live.personal.create(ada, "ci", paths=["/api"], now=now)
        tokens = [token.text, room.live.issuer.issue(bob, 3600, now).text]
        made = Requests(1, cookies, tokens)
        chance = random.Random(2)
        sent = 0
        while sent < REQUESTS:
            how = chance.choice(("in turn",) * 5 + ("at once", "in pieces"))
            requests = made.batch(8)
            length = sum(map(len, requests))
            cuts = sorted(chance.sample(range(1, length), 3)) if how == "in pieces" else []
            one, other = await asyncio.gather(*(answers(port, requests, how, cuts) for port in (fast, slow)))
            assert [DATE.sub(b"", text) for text in one] == [DATE.sub(b"", text) for text in other], requests
            sent += len(requests)
        assert counted.given > REQUESTS / 5


PLAIN_REQUEST = question("forward-auth", f"{APP}/x", ("Cookie", "a=b"))
# what makes a request too odd for the fast path
NOT_PLAIN = [
    PLAIN_REQUEST.replace(b"GET", b"POST", 1),
    PLAIN_REQUEST.replace(b"1.1", b"1.0", 1),
    PLAIN_REQUEST.replace(b"Host: gateway", b"Host : gateway"),
    PLAIN_REQUEST.replace(b"Host: gateway", b"Host:gateway"),
    PLAIN_REQUEST.replace(b"Host: gateway", b"Host:  gateway"),
    PLAIN_REQUEST.replace(b"Host: gateway", b"Host: gateway "),
    PLAIN_REQUEST.replace(b"Host: gateway", b"Host: gateway\t"),
    PLAIN_REQUEST.replace(b"Host: gateway", b"Host: a b"),
    PLAIN_REQUEST.replace(b"Host: gateway\r\n", b""),
    PLAIN_REQUEST.replace(b"Host: gateway\r\n", b"Host: a\r\nHost: a\r\n"),
    PLAIN_REQUEST.replace(b"Cookie: a=b", b"Cookie: a=b\r\n folded"),
    PLAIN_REQUEST.replace(b"Cookie: a=b", b"Cookie: a=b\rX: y"),
    PLAIN_REQUEST.replace(b"Cookie: a=b", b"Cookie: a=b\nX: y"),
    PLAIN_REQUEST.replace(b"Cookie: a=b", b"Cookie: a=\xff"),
    PLAIN_REQUEST.replace(b"Cookie: a=b", b"Cookie: a=\0"),
    PLAIN_REQUEST.replace(b"Cookie: a=b", b"Cook_ie: a=b"),
    *(PLAIN_REQUEST.replace(b"Cookie: a=b", line) for line in (
        b"Connection: keep-alive", b"Content-Length: 1", b"Content-Length: 00", b"Transfer-Encoding: chunked", b"Expect: x", b"Upgrade: x", b"TE: x",
        b"CONTENT-LENGTH: 5", b"Trailer: x", b"Content-Type: x", b"Proxy-Connection: x", b"Sec-WebSocket-Key: x",
    )),
    PLAIN_REQUEST + PLAIN_REQUEST,
    PLAIN_REQUEST + b"x",
    b"\r\n" + PLAIN_REQUEST,
    PLAIN_REQUEST[:-1],
    PLAIN_REQUEST[:-2],
    PLAIN_REQUEST.replace(b"\r\n", b"\n"),
    PLAIN_REQUEST.replace(b"Cookie: a=b\r\n", b"".join(b"X%d: y\r\n" % number for number in range(40))),
    PLAIN_REQUEST.replace(b"/api/authz/forward-auth", b"http://x/api/authz/forward-auth"),
    PLAIN_REQUEST.replace(b"/api/authz/forward-auth", b"/api/authz/forward-auth#x"),
    b"",
]  # fmt: skip


def test_only_the_plainest_requests_are_read() -> None:
    method, target, headers = read_plain(PLAIN_REQUEST) or ("", "", {})
    assert (method, target, headers["cookie"]) == ("GET", "/api/authz/forward-auth", "a=b")
    assert [sent for sent in NOT_PLAIN if read_plain(sent) is not None] == []


async def test_what_was_revoked_is_refused_at_the_next_question(tmp_path: Path) -> None:
    """Of a known answer, within one connection; by this process and by another one (D18)."""
    async with room_of(tmp_path, CONFIGURATION) as room, both_ways(room) as (fast, _, counted):
        session = await room.session("ada")
        sent = question("auth-request", f"{APP}/x", ("Cookie", f"__Secure-gw={session.value}"))
        reader, writer = await asyncio.open_connection("127.0.0.1", fast)

        async def status() -> int:
            writer.write(sent)
            return parsed(await one_answer(reader))[0]

        assert [await status() for _ in range(3)] == [200] * 3
        assert counted.given == 2
        assert await room.live.sessions.revoke(session.row.accessor, session.row.identity, int(time.time()))
        assert await status() == 401
        # A known person whom the configuration takes away
        session = await room.session("bob")
        sent = question("auth-request", f"{APP}/x", ("Cookie", f"__Secure-gw={session.value}"))
        assert [await status() for _ in range(3)] == [200] * 3
        await room.reload(CONFIGURATION.replace("{ username = bob,", "{ username = rob,"))
        assert await status() == 401
        # A rule that the configuration takes away
        sent = question("auth-request", f"{APP}/public/x")
        await room.reload(CONFIGURATION)
        assert [await status() for _ in range(3)] == [200] * 3
        await room.reload(CONFIGURATION.replace("policy = bypass", "policy = authenticated"))
        assert await status() == 401
        writer.close()
        await writer.wait_closed()


async def test_the_idle_limit_holds_for_known_answers(tmp_path: Path) -> None:
    async with room_of(tmp_path, CONFIGURATION) as room, both_ways(room) as (fast, _, counted):
        now = int(time.time())
        made = await room.live.sessions.create(await room.login("ada"), "example.com", remember=False, client=None, now=now - 400)
        sent = question("auth-request", f"{APP}/x", ("Cookie", f"__Secure-gw={made.value}"))
        reader, writer = await asyncio.open_connection("127.0.0.1", fast)
        statuses = []
        for last_use in (now - 10, now - 10, now - 301):
            room.live.activity.note(made.row.hash, last_use)
            writer.write(sent)
            statuses.append(parsed(await one_answer(reader))[0])
        assert (statuses, counted.given) == ([200, 200, 401], 1)
        writer.close()
        await writer.wait_closed()


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with room_of(tmp_path, CONFIGURATION + "session.fast_path = false\n") as room, both_ways(room) as (fast, _, counted):
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", fast)
            writer.write(question("auth-request", f"{APP}/public"))
            assert parsed(await one_answer(reader))[0] == 200
            writer.close()
            await writer.wait_closed()
        assert counted.given == 0


class OutOfStep(Connection):
    """As if aiohttp counted requests otherwise."""

    def _waits(self) -> bool:
        return self._request_count % 2 == 0 and super()._waits()


class Overtaking(Connection):
    """As if aiohttp did not say that it waits for a request."""

    def _waits(self) -> bool:
        return True

    def _pass_on(self, data: bytes) -> None:
        super()._pass_on(data)
        self._left = 0


class Renamed(Connection):
    """As if an attribute were there no more."""

    def _waits(self) -> bool:
        raise AttributeError("_waiter")


@pytest.mark.parametrize("kind", [OutOfStep, Overtaking, Renamed])
async def test_another_aiohttp_turns_it_off(kind: type[Connection]) -> None:
    class Other(Server):
        def __call__(self) -> Connection:
            return kind(self, self.answers, loop=self._loop, **self._kwargs)

    assert await fast_path_problem() == ""
    assert await fast_path_problem(Other)
