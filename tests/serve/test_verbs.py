"""vault.md 1 and DESIGN 4.6: LIST, SCAN and HELP, rewritten where a message begins and nowhere else."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Sequence

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.serve.connection import Connection, Server
from gateway.serve.self_test import verbs_problem

LIST = b"LIST /v1/auth/ldap/groups HTTP/1.1\r\nHost: a\r\n\r\n"
LISTED = "GET /v1/auth/ldap/groups?list=true "
GET = b"GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\n"
GOT = "GET /v1/a "
CHUNKS = b"POST /v1/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n"
TRAILERS = b"POST /v1/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: LIST /v1/x\r\n\r\n"


def post(body: bytes, target: bytes = b"/v1/b") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (target, len(body), body)


def posted(body: bytes, target: bytes = b"/v1/b") -> str:
    return f"POST {target.decode()} {body.decode()}"


def chunked(*chunks: bytes) -> bytes:
    return CHUNKS % b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


# what is sent, what a handler sees; "400" is a refusal (431 where the line is too long), and the end of the connection
SENT = [
    ("alone", LIST, [LISTED]),
    ("its query behind ours", LIST.replace(b"groups", b"groups?a=1&list=false"), ["GET /v1/auth/ldap/groups?list=true&a=1&list=false "]),
    ("an empty query", LIST.replace(b"groups", b"groups?"), [LISTED]),
    ("with a slash", LIST.replace(b"groups", b"groups/"), ["GET /v1/auth/ldap/groups/?list=true "]),
    ("absolute form", b"LIST http://a:1/v1/x HTTP/1.1\r\nHost: a\r\n\r\n", ["GET http://a:1/v1/x?list=true "]),
    ("HTTP/1.0", b"LIST /v1/x HTTP/1.0\r\n\r\n", ["GET /v1/x?list=true "]),
    ("SCAN", b"SCAN /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /v1/x?scan=true "]),
    ("HELP", b"HELP /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /v1/x?help=1 "]),
    ("with a body", b"LIST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", ["GET /v1/x?list=true {}"]),
    ("pipelined behind GET", GET + LIST + GET, [GOT, LISTED, GOT]),
    ("three of them", LIST * 3, [LISTED] * 3),
    ("behind a body", post(b"{}") + LIST, [posted(b"{}"), LISTED]),
    ("behind an empty body", post(b"") + LIST, [posted(b""), LISTED]),
    ("behind chunks", chunked(b"abc", b"LIST /v1/x HTTP/1.1\r\n\r\n") + LIST, ["POST /v1/c abcLIST /v1/x HTTP/1.1\r\n\r\n"]),  # the last of its connection
    ("behind trailers", TRAILERS + LIST, ["POST /v1/c abc"]),
    ("a body that is one", post(LIST) + LIST, [posted(LIST), LISTED]),
    ("a body that begins and ends with them", post(LIST + GET + b"LIST /v1") + LIST, [posted(LIST + GET + b"LIST /v1"), LISTED]),
    ("a body that ends like one, then GET", post(b"x\r\n\r\nLIST ") + GET, [posted(b"x\r\n\r\nLIST "), GOT]),
    ("a header that is one", GET + b"GET /v1/a HTTP/1.1\r\nX: " + LIST, [GOT, GOT + "LIST /v1/auth/ldap/groups HTTP/1.1"]),
    ("another's path", b"LIST /auth.login HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("another's path that holds ours", b"LIST /x/v1/y HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("a fragment", b"LIST /v1/x#y HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("two blanks", b"LIST  /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("a blank in the path", b"LIST /v1/x y HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("no version", b"LIST /v1/x\r\nHost: a\r\n\r\n", ["400"]),
    ("a version of its own", b"LIST /v1/x HTTP/1.2\r\nHost: a\r\n\r\n", ["400"]),
    ("small letters", b"list /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("another verb", b"LISTS /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", ["400"]),
    ("a line that never ends", b"LIST /v1/" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", ["400"]),
    ("after a refused one", b"LISTS / HTTP/1.1\r\nHost: a\r\n\r\n" + LIST, ["400"]),
]  # fmt: skip


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection, "peername": ("127.0.0.1", 1)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def seen(pieces: Iterable[bytes], *, pauses: bool = True) -> list[str]:
    """What handlers see of octets that come in these pieces, with time for them in between or not."""
    requests: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        requests.append(f"{request.method} {request.raw_path} {request.headers.get('X', '')}{body.decode()}")
        return web.Response()

    server = Server(handle, access_log=None)
    connection = server()
    with socket.socket() as unconnected:
        transport = Transport(unconnected)
        connection.connection_made(transport)
        for piece in pieces:
            connection.data_received(piece)
            if pauses:
                await turns(4)
        written = -1
        while written < len(transport.written):
            written = len(transport.written)
            await turns(30)
        refused = len(re.findall(rb"HTTP/1\.[01] (?:400|431) ", transport.written))
        connection.force_close()
        await turns(4)
        connection.connection_lost(None)
    return requests + ["400"] * refused


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in SENT], ids=[row[0] for row in SENT])
@pytest.mark.parametrize("pauses", [True, False], ids=["slow", "fast"])
async def test_verbs_in_whole_and_in_pieces(data: bytes, expected: list[str], pauses: bool) -> None:
    for size in (len(data), 1, 2, 3, 7, 48, 64):
        if size > 1 or len(data) < 1000:
            assert await seen(pieces_of(data, size), pauses=pauses) == expected, size


@pytest.mark.parametrize("name", ["alone", "behind chunks", "pipelined behind GET", "a body that is one"])
async def test_verbs_cut_at_every_octet(name: str) -> None:
    data, expected = next(row[1:] for row in SENT if row[0] == name)
    for cut in range(1, len(data)):
        assert await seen((data[:cut], data[cut:])) == expected, cut


MESSAGES = st.sampled_from([
    (LIST, LISTED),
    (GET, GOT),
    (post(LIST), posted(LIST)),
    (post(b"\r\n\r\n"), posted(b"\r\n\r\n")),
    (post(b"L"), posted(b"L")),
    (post(b"x" * 90), posted(b"x" * 90)),
    (chunked(LIST, b"LIST "), "POST /v1/c " + (LIST + b"LIST ").decode()),
    (TRAILERS, "POST /v1/c abc"),
    (b"GET /v1/a HTTP/1.1\r\nX: " + LIST, GOT + "LIST /v1/auth/ldap/groups HTTP/1.1"),
])  # fmt: skip


@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=12),
    sizes=st.lists(st.integers(1, 120), min_size=1, max_size=40),
    pauses=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_in_whatever_pieces(
    messages: Sequence[tuple[bytes, str]], sizes: Sequence[int], pauses: bool
) -> None:
    data, pieces, turn = b"".join(sent for sent, _ in messages), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        pieces.append(data[:size])
        data, turn = data[size:], turn + 1
    chunks = [number for number, (sent, _) in enumerate(messages, 1) if b"chunked" in sent]
    expected = [read for _, read in messages[: min(chunks, default=len(messages))]]
    assert asyncio.run(seen(pieces, pauses=pauses)) == expected, "nothing comes behind chunks"


async def test_long_connections() -> None:
    head, body = post(LIST)[: -len(LIST)], LIST
    assert await seen([head, body, LIST] * 70) == [posted(LIST), LISTED] * 70


@pytest.mark.parametrize("pauses", [True, False], ids=["slow", "fast"])
@pytest.mark.parametrize("waiting", range(29, 36))
async def test_nothing_is_rewritten_where_the_parser_keeps_messages_back(waiting: int, pauses: bool) -> None:
    """aiohttp's parser stops when 32 messages wait; what comes next may be a body by the time it goes on."""
    head, body = post(LIST)[: -len(LIST)], LIST
    assert await seen([GET * waiting + head, body, GET], pauses=pauses) == [GOT] * waiting + [posted(LIST), GOT]


async def test_a_body_full_of_verbs_costs_little() -> None:
    body = b"LIST " * 20_000
    found = await seen([*pieces_of(post(body), 65536), LIST])
    assert found == [posted(body), LISTED]


async def test_a_body_that_the_parser_pauses_in() -> None:
    """More than aiohttp holds for a handler: it goes on by itself when that has been read."""
    body, named = b"x" * 400_000, b"GET /v1/a HTTP/1.1\r\nX: "
    assert await seen([post(body), LIST]) == [posted(body), LISTED]
    found = await seen([post(body) + GET + named, LIST])
    assert found == [posted(body), GOT, GOT + "LIST /v1/auth/ldap/groups HTTP/1.1"]


class Uncounted(Connection):
    """As if aiohttp did not count requests."""

    @property
    def _request_count(self) -> int:
        return 0

    @_request_count.setter
    def _request_count(self, count: int) -> None: ...


class Early(Connection):
    """As if a body's end were seen before it has come."""

    def _has_ended(self) -> bool:
        return True


class Renamed(Connection):
    """As if an attribute were there no more."""

    def _has_ended(self) -> bool:
        raise AttributeError("_messages")


@pytest.mark.parametrize("kind", [Uncounted, Early, Renamed])
async def test_another_aiohttp_turns_them_off(kind: type[Connection]) -> None:
    class Other(Server):
        def __call__(self) -> Connection:
            return kind(self, self.answers, loop=self._loop, **self._kwargs)

    assert await verbs_problem() == ""
    assert await verbs_problem(Other)


async def test_turned_off_they_are_refused_and_nothing_else() -> None:
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response()

    server = Server(handle, access_log=None)
    server.verbs = False
    connection = server()
    with socket.socket() as unconnected:
        transport = Transport(unconnected)
        connection.connection_made(transport)
        for piece in (b"GET /v1/a?list=true HTTP/1.1\r\nHost: a\r\n\r\n", LIST):
            connection.data_received(piece)
            await turns(30)
        connection.force_close()
        await turns(4)
        connection.connection_lost(None)
    assert seen == ["/v1/a?list=true"]
    assert b" 400 " in transport.written
