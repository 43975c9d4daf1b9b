"""Whether this aiohttp lets known questions be answered before it parses them, and takes LIST: tried once, at start.

Both rest on attributes that are aiohttp's own. A version in which they mean something else must not go wrong in
silence, so a connection in memory is asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, cast

from aiohttp import web

from gateway.serve.authz.reply import ReadyResponse, Reply
from gateway.serve.connection import Connection, Server

_REPLY: Final = Reply(200, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", b"")
_WELCOME: Final = Reply(200, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n", b"welcome")
_QUESTION: Final = b"GET /api/authz/forward-auth HTTP/1.1\r\nHost: a\r\n\r\n"
_LOGIN: Final = b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b"
_LIST: Final = b"LIST /v1/a HTTP/1.1\r\nHost: a\r\n\r\n"
_WRITE: Final = b"POST /v1/b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
_LISTED: Final = "GET /v1/a?list=true "
# what is sent, piece by piece; what handlers see
_VERBS: Final[tuple[tuple[str, tuple[bytes, ...], list[str]], ...]] = (
    ("LIST", (_LIST,), [_LISTED]),
    ("LIST in two pieces", (_LIST[:3], _LIST[3:]), [_LISTED]),
    ("LIST behind a body", (_WRITE % (1, b"x") + _LIST + _LIST,), ["POST /v1/b x", _LISTED, _LISTED]),
    ("a body that looks like LIST", (_WRITE % (len(_LIST), _LIST),), [f"POST /v1/b {_LIST.decode()}"]),
    ("such a body in two pieces", (_WRITE % (len(_LIST), b""), _LIST), [f"POST /v1/b {_LIST.decode()}"]),
)
_TURNS: Final = 100
"""Of the event loop; an answer takes fewer than ten."""


class _Transport(asyncio.Transport):
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

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written


class _Answers:
    """Knows one question."""

    used = 0

    def find(self, data: bytes, peer: str) -> bytes | None:
        if data != _QUESTION:
            return None
        self.used += 1
        return _REPLY.sent(0)


async def fast_path_problem(server_class: type[Server] = Server) -> str:
    """Why the fast path must stay off; empty where both ways give the same answers."""
    answers = _Answers()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        reply = _WELCOME if request.method == "POST" else _REPLY
        return cast("web.StreamResponse", ReadyResponse(reply, 0, keep_alive=request.keep_alive))

    server = server_class(handle, access_log=None)
    server.answers = answers
    return await _on_a_connection(server, lambda connection, transport: _tried(connection, transport, answers))


async def verbs_problem(server_class: type[Server] = Server) -> str:
    """Why LIST must be left to aiohttp, which refuses it; empty where it arrives as a question with a parameter."""
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(f"{request.method} {request.raw_path} {(await request.read()).decode()}")
        return cast("web.StreamResponse", ReadyResponse(_REPLY, 0, keep_alive=request.keep_alive))

    async def tried(connection: Connection, transport: _Transport) -> str:
        for name, pieces, expected in _VERBS:
            del seen[:]
            for piece in pieces:
                connection.data_received(piece)
                await _turns()
            if seen != expected or transport.take() != _REPLY.sent(0) * len(expected):
                return f"{name} is read otherwise"
        return ""

    return await _on_a_connection(server_class(handle, access_log=None), tried)


async def _on_a_connection(server: Server, attempt: Callable[[Connection, _Transport], Awaitable[str]]) -> str:
    connection = server()
    try:
        with socket.socket(socket.AF_INET) as unconnected:
            transport = _Transport(unconnected)
            connection.connection_made(transport)
            return await attempt(connection, transport)
    except Exception as error:
        return f"unforeseen {type(error).__name__}: {error}"
    finally:
        connection.force_close()
        await _turns()
        connection.connection_lost(None)


async def _tried(connection: Connection, transport: _Transport, answers: _Answers) -> str:
    announced = b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(_QUESTION)
    half = len(_QUESTION) // 2
    # what is sent, piece by piece, None: and time passes; what is answered; how much of it the fast way
    steps: tuple[tuple[str, tuple[bytes | None, ...], tuple[Reply, ...], int], ...] = (
        ("a known question", (None, _QUESTION), (_REPLY,), 1),
        ("a known question again", (_QUESTION,), (_REPLY,), 1),
        ("a known question after a body", (_LOGIN, None, _QUESTION), (_WELCOME, _REPLY), 1),
        ("a known question behind an unanswered one", (_LOGIN, _QUESTION), (_WELCOME, _REPLY), 0),
        ("a body that looks like a question", (announced, _QUESTION), (_WELCOME,), 0),
        ("a known question after it", (_QUESTION,), (_REPLY,), 1),
        ("two at once", (_QUESTION * 2,), (_REPLY, _REPLY), 0),
        ("one in pieces", (_QUESTION[:half], None, _QUESTION[half:]), (_REPLY,), 0),
    )
    for name, pieces, replies, fast in steps:
        before = answers.used
        for piece in pieces:
            if piece is None:
                await _turns()
            else:
                connection.data_received(piece)
        await _turns()
        if transport.take() != b"".join(reply.sent(0) for reply in replies):
            return f"{name} is answered otherwise"
        if answers.used - before != fast:
            return f"{name} does not go the way it should"
    return ""


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
