"""The HTTP/1.1 connection: aiohttp's, but for questions that it knows, and for what it says when a request cannot be
read or answered.

What is known is answered before aiohttp's parser sees it, on a connection that waits at the beginning of a message.
That takes attributes of aiohttp's own, so ``serve.self_test`` tries it at start.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.access.client_address import UNIX_PEER
from gateway.serve.verbs import VerbHandler

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_END: Final = b"\r\n\r\n"
_LOST: Final = -1
"""Where in a message the connection stands is not known any more; aiohttp's parser knows, and keeps it."""
_TOO_MANY: Final = "Too many headers received"


class Answers(Protocol):
    """Whole answers to whole requests."""

    def find(self, data: bytes, peer: str) -> bytes | None:
        """The answer to a request, if it can be given at once; the connection stays open after it."""


class Connection(VerbHandler):
    """One client's connection.

    aiohttp repeats the offending bytes, in its answer and in the log, and an Authorization header may be among them.
    """

    def __init__(self, manager: web.Server, answers: Answers | None, **options: Any) -> None:
        super().__init__(manager, **options)
        self._answers = answers
        self._peer = UNIX_PEER
        self._left = 0
        """Octets of a body that are still to come; 0: a message begins."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is."""
        super().connection_made(transport)
        peer = _peer_of(transport)
        if peer is None:
            self._answers = None
        else:
            self._peer = peer

    def data_received(self, data: bytes) -> None:
        """Answer at once what can be; everything else is aiohttp's."""
        if self._answers is None or self._left == _LOST:
            super().data_received(data)
            return
        if self._left == 0 and self._waits() and (answer := self._answers.find(data, self._peer)) is not None:
            if self.transport is not None:
                self.transport.write(answer)
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            return
        self._pass_on(data)

    def _waits(self) -> bool:
        """Whether every request was answered, so that an answer to the next one cannot overtake another."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages or self._paused or not self._keepalive:
            return False
        return not (self._force_close or self._close or self._upgraded or self._payload_parser or self._buffer_paused)

    def _pass_on(self, data: bytes) -> None:
        """Let aiohttp parse, and keep count of where in a message that leads."""
        before = self._request_count
        super().data_received(data)
        messages = self._request_count - before
        if self._left > 0:
            left = self._left - len(data)
            self._left = _LOST if messages or left < 0 else left
        else:
            self._left = self._left_after(data) if messages == 1 and self._messages and not self._upgraded else _LOST

    def _left_after(self, data: bytes) -> int:
        """Octets of the body that are still to come after the request that ``data`` begins with."""
        message, payload = self._messages[-1]
        if not isinstance(message, RawRequestMessage) or "Transfer-Encoding" in message.headers:
            return _LOST
        length = "0" if payload is EMPTY_PAYLOAD else message.headers.get("Content-Length", "")
        if not length.isdecimal():
            return _LOST
        left = data.find(_END) + len(_END) + int(length) - len(data)
        return left if left >= 0 and _END in data else _LOST

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in one line, close the connection, and keep what was sent to ourselves."""
        if isinstance(exc, HttpProcessingError):
            log.info("unreadable request from %s: %s", request.remote, type(exc).__name__)
            # RFC 6585 5
            status = 431 if isinstance(exc, LineTooLong) or exc.message == _TOO_MANY else status
        else:
            log.error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun when it failed")
        text = "Bad Request\n" if status < 500 else "Internal Server Error\n"
        response = web.Response(status=status, text=text, headers={"Server": "ldap-gateway"})
        response.force_close()
        return response


class Server(web.Server):
    """Makes our connections."""

    answers: Answers | None = None
    """What connections that are accepted from now on may answer by themselves."""
    verbs = True
    """Whether those take LIST, SCAN and HELP."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        # Nothing here takes compressed bodies, and aiohttp inflates on the loop, also what is thrown away: 60 kB of
        # gzip stopped everybody for a fifth of a second.
        super().__init__(_ending_chunked(handler), auto_decompress=False, **options)

    def limit(self, *, keepalive_seconds: float, max_header: int, max_headers: int) -> None:
        """How long connections that are accepted from now on may idle, and how long and how many headers may be."""
        self._kwargs["keepalive_timeout"] = keepalive_seconds
        self._kwargs["max_line_size"] = self._kwargs["max_field_size"] = max_header
        self._kwargs["max_headers"] = max_headers

    def __call__(self) -> Connection:
        """The protocol of one accepted connection."""
        return Connection(self, self.answers, verbs=self.verbs, loop=self._loop, **self._kwargs)


def _ending_chunked(handler: Handler) -> Handler:
    """aiohttp 3.14 takes the last trailer of a chunked message for the first header of the next one, so behind a proxy
    that shares connections a stranger could give somebody else's request a token: none comes after it."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = await handler(request)
        if "Transfer-Encoding" in request.headers and isinstance(response, web.StreamResponse):
            response.force_close()
        return response

    return handle


def _peer_of(transport: asyncio.BaseTransport) -> str | None:
    """Address of the TCP peer, or UNIX_PEER; None where that cannot be told."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        return UNIX_PEER
    name = transport.get_extra_info("peername")
    return str(name[0]) if connection is not None and name else None
