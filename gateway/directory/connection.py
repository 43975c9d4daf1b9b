# ruff: noqa: ASYNC109 - each operation of LDAP has a deadline of its own; the names are the words of the room
"""One connection to a directory: any number of searches at once, or one bind (RFC 4511 sections 3.1, 4.2.1, 5.3).

A ``BufferedProtocol``: with an ordinary protocol both event loops take a fresh 256 KB for each read under TLS, which
doubles the cost of a login. What is sent within one turn of the loop goes out in one write.

Every operation has its own deadline and ends in a result or a ``DirectoryError``. A search that times out or whose
waiter is cancelled is abandoned; its late answers are read over without being decoded. A bind that ends so closes the
connection, because nobody knows as whom it is bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

from gateway.directory.ber import MAX_INTEGER, DirectoryError, ProtocolError, frame
from gateway.directory.controls import PASSWORD_POLICY, control, controls, read_controls
from gateway.directory.filters import Filling
from gateway.directory.messages import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    NOTICE_OF_DISCONNECTION,
    SEARCH_DONE,
    START_TLS,
    WHO_AM_I,
    Entry,
    Result,
    SearchRequest,
    abandon_request,
    bind_request,
    decode_operation,
    envelope,
    extended_request,
    open_envelope,
    unbind_request,
)
from gateway.directory.wording import answer_of, reason_of, without_password

__all__ = [
    "AnswerTooLarge",
    "Connection",
    "ConnectionLost",
    "DirectoryError",
    "EmptyPassword",
    "Endpoint",
    "ProtocolError",
    "ServiceBindFailed",
    "TimedOut",
    "Unreachable",
    "answer_of",
    "reason_of",
    "without_password",
]

_BUFFER: Final = 64 * 1024
_AT_ONCE: Final = 16 * 1024
"""Octets that one read may take beyond the message that is waited for: uvloop reads up to 32 times in a row before it
looks after others."""
_MAX_UNSENT: Final = 4 * 1024 * 1024
_ANSWER_MESSAGES: Final = 4
"""The entries of one search may take as many octets as this many of the longest messages; those of all searches that
are under way on a connection, twice as many."""
_VALUE_OCTETS: Final = 64
"""Counted for each value and each message besides its own octets, because so much memory or work goes with it."""
_MAX_LATE: Final = 16 * 1024 * 1024
"""Octets in a row for searches that were given up: more than can have been on the way."""
_CLOSE_SECONDS: Final = 1.0
_ASK_POLICY: Final = controls(control(PASSWORD_POLICY))
"""Goes with every password; not critical, so that servers without it pass over it."""
class Unreachable(DirectoryError):
    """No answer to be had: refused, timed out, TLS failure, connection lost. The text begins with ``host:port``."""


class ConnectionLost(Unreachable):
    """The connection ended underneath an operation; nobody knows whether the directory carried it out."""


class TimedOut(Unreachable):
    """The deadline of an operation passed."""


class AnswerTooLarge(DirectoryError):
    """A search found more entries, or more octets of them, than the limits allow (``Connection``, ``SearchRequest``).

    The connection is still good.
    """


class ServiceBindFailed(DirectoryError):
    """The directory refused the service account: never the fault of the person who logs in."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, code)
        self.text = text
        self.code = code
        """The LDAP result code, such as 49."""

    def __str__(self) -> str:
        return self.text


class EmptyPassword(ValueError):
    """A bind with a name and no password, which many directories answer with success (RFC 4513 section 5.1.2)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a directory listens. ``host`` is a name or an address, IPv6 with or without brackets."""

    host: str
    port: int
    tls: Literal["none", "ldaps", "starttls"] = "none"

    @property
    def address(self) -> str:
        """``host`` without brackets: what is resolved, and what a certificate must name."""
        return self.host.removeprefix("[").removesuffix("]")

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class _Pending:
    """An operation that waits for its last message."""

    __slots__ = (
        "entries", "entries_at_most", "final", "future", "octets", "octets_at_most", "patience", "since", "timer",
    )  # fmt: skip

    def __init__(self, future: asyncio.Future[Result], final: int, timer: asyncio.TimerHandle, patience: float) -> None:
        self.future = future
        self.final = final
        self.timer = timer
        self.patience = patience
        self.since = future.get_loop().time()
        self.entries: list[Entry] = []
        self.entries_at_most = 0
        self.octets = 0
        self.octets_at_most = 0


class Connection(asyncio.BufferedProtocol):
    """Made by ``hosts.connect``. Safe for any number of tasks of one event loop."""

    def __init__(self, endpoint: Endpoint, *, max_message: int, max_entries: int) -> None:
        self.endpoint = endpoint
        self.on_lost: Callable[[Connection], None] | None = None
        """Called once when the connection ends by any way but ``close``."""
        self.silent = False
        """Nothing was read for half of the time that an operation had, which was then given up; until the next read."""
        self._max_message = max_message
        self._max_entries = max_entries
        self._max_octets = _ANSWER_MESSAGES * max_message
        self._octets = 0
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        """Loop time of the last read, at first that of the beginning."""
        self._transport: asyncio.Transport
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._lost: DirectoryError | None = None
        self._closing = False
        self._exclusive = False
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._highest_id = 0
        self._late_octets = 0
        self._unsent: list[bytes] = []
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
        self._wanted = 0

    # What the pool asks

    @property
    def usable(self) -> bool:
        """Whether a new operation should go here: open and not silent."""
        return self._lost is None and not self.silent

    @property
    def outstanding(self) -> int:
        """Operations that wait for their answer."""
        return len(self._pending)

    @property
    def ending(self) -> str:
        """Why it is no longer open; ``""`` while it is."""
        return str(self._lost or "")

    # Operations

    async def search(self, request: SearchRequest, value: Filling, timeout: float) -> tuple[list[Entry], Result]:
        """Entries and result of ``request`` for ``value``, within ``timeout`` seconds. References are left out.

        A result code other than 0 is not an error here: ``sizeLimitExceeded`` (4), for one, comes with entries.
        Raises ``Unreachable``, ``AnswerTooLarge`` or ``ProtocolError``.
        """
        message_id, pending = self._start(request.encode(value), SEARCH_DONE, timeout)
        pending.entries_at_most = min(request.entries_at_most or self._max_entries, self._max_entries)
        pending.octets_at_most = min(request.octets_at_most or self._max_octets, self._max_octets)
        return pending.entries, await self._outcome(message_id, pending)

    async def bind(self, dn: str, password: str, timeout: float) -> Result:
        """Simple bind. Code 0 is success, 49 a wrong name or password; the connection stays good after either.

        Raises ``EmptyPassword`` or ``ValueError`` (no name) before anything is sent, then as ``search``.
        """
        require_password(dn, password)
        result = await self._alone(bind_request(dn, password) + _ASK_POLICY, BIND_RESPONSE, timeout)
        return result._replace(message=without_password(result.message, password))

    async def bind_without_password(self, dn: str, timeout: float) -> Result:
        """Anonymous bind, or with a ``dn`` the unauthenticated bind of RFC 4513 section 5.1.2. It proves nothing."""
        return await self._alone(bind_request(dn, ""), BIND_RESPONSE, timeout)

    async def who_am_i(self, timeout: float) -> Result:
        """Who the connection is bound as, in ``Result.value`` (RFC 4532); many refuse to say. Raises as ``search``."""
        return await self._outcome(*self._start(extended_request(WHO_AM_I), EXTENDED_RESPONSE, timeout))

    async def start_tls(self, context: ssl.SSLContext, timeout: float) -> None:
        """Go on in TLS (RFC 4511 section 4.14). Raises ``Unreachable``; the connection is then closed."""
        try:
            async with asyncio.timeout(timeout):
                result = await self._alone(extended_request(START_TLS), EXTENDED_RESPONSE, timeout)
                if result.code:
                    raise Unreachable(f"{self.endpoint}: StartTLS refused: {answer_of(result)}")
                if self._filled:
                    raise ProtocolError(f"{self.endpoint}: octets in clear behind the answer to StartTLS")
                transport = await self._loop.start_tls(
                    self._transport, self, context, server_hostname=self.endpoint.address
                )
                if transport is None:
                    raise ConnectionLost(f"{self.endpoint}: closed during StartTLS")
                self._transport = transport
        except BaseException as error:
            self._end(ConnectionLost(f"{self.endpoint}: StartTLS failed"))
            self._finished()  # the loop tells only its TLS layer
            if isinstance(error, OSError):
                raise Unreachable(f"{self.endpoint}: TLS: {reason_of(error, in_tls=True)}") from error
            raise

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Wait up to ``drain_seconds`` for what is outstanding, unbind and close. Returns when the socket is gone."""
        self._closing = True
        if drain_seconds and self._pending:
            await asyncio.wait([pending.future for pending in self._pending.values()], timeout=drain_seconds)
        if self._lost is None:
            self._send(envelope(self._next_id(), unbind_request()))
            self._flush()
            self._end(ConnectionLost(f"{self.endpoint}: closed"), gently=True)
        if not self._ended.done():
            await asyncio.wait([self._ended], timeout=_CLOSE_SECONDS)
            self._transport.abort()
            await asyncio.wait([self._ended], timeout=_CLOSE_SECONDS)

    def abort(self) -> None:
        """Close at once, without a word."""
        self._closing = True
        self._end(ConnectionLost(f"{self.endpoint}: closed"))

    # Sending

    def _next_id(self) -> int:
        """1 to ``maxInt`` and round again, passing over ids still in use; 0 belongs to the server."""
        self._last_id = self._last_id % MAX_INTEGER + 1
        while self._last_id in self._pending:
            self._last_id = self._last_id % MAX_INTEGER + 1
        self._highest_id = max(self._highest_id, self._last_id)
        return self._last_id

    def _start(self, operation: bytes, final: int, timeout: float) -> tuple[int, _Pending]:
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))
        if self._exclusive:
            raise RuntimeError("a bind is outstanding on this connection")
        message_id = self._next_id()
        timer = self._loop.call_later(timeout, self._expire, message_id)
        pending = _Pending(self._loop.create_future(), final, timer, timeout)
        self._pending[message_id] = pending
        self._send(envelope(message_id, operation))
        return message_id, pending

    async def _alone(self, operation: bytes, final: int, timeout: float) -> Result:
        if self._pending:
            raise RuntimeError("other operations are outstanding on this connection")
        message_id, pending = self._start(operation, final, timeout)
        self._exclusive = True
        try:
            return await self._outcome(message_id, pending)
        finally:
            self._exclusive = False

    async def _outcome(self, message_id: int, pending: _Pending) -> Result:
        try:
            return await pending.future
        finally:
            if message_id in self._pending:
                self._give_up(message_id)

    def _give_up(self, message_id: int) -> None:
        """Nobody waits any more: the waiter was cancelled, the deadline passed, or the answer grew too large."""
        pending = self._pending.pop(message_id)
        pending.timer.cancel()
        self._octets -= pending.octets
        if self._loop.time() - max(self.heard_at, pending.since) >= pending.patience / 2:
            self.silent = True
        if pending.final == SEARCH_DONE:
            self._send(envelope(self._next_id(), abandon_request(message_id)))
        else:
            self._end(ConnectionLost(f"{self.endpoint}: given up during a bind or an extended operation"))

    def _expire(self, message_id: int) -> None:
        pending = self._pending[message_id]
        self._give_up(message_id)
        if not pending.future.done():
            pending.future.set_exception(TimedOut(f"{self.endpoint}: no answer in time"))

    def _send(self, message: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(message)

    def _flush(self) -> None:
        if self._unsent and self._lost is None:
            self._transport.write(b"".join(self._unsent))
            if self._transport.get_write_buffer_size() > _MAX_UNSENT:
                self._end(ConnectionLost(f"{self.endpoint}: the directory does not read"))
        self._unsent.clear()

    # Receiving

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for the next read; doubled when a long message fills what there is."""
        if self._filled == len(self._buffer):
            self._buffer = self._buffer + bytearray(len(self._buffer))
        return memoryview(self._buffer)[self._filled : max(self._filled + _AT_ONCE, self._wanted)]

    def buffer_updated(self, nbytes: int) -> None:
        """Take all complete messages from the buffer."""
        self.heard_at = self._loop.time()
        self.silent = False
        self._filled += nbytes
        if self._filled < self._wanted:
            return
        try:
            self._take_messages()
        except ProtocolError as error:
            self._end(ProtocolError(f"{self.endpoint}: {error}"))

    def _take_messages(self) -> None:
        position, filled = 0, self._filled
        data = bytes(memoryview(self._buffer)[:filled])
        self._wanted = 0
        while position < filled and self._lost is None:
            begin, end = frame(data, position, filled, self._max_message)
            if not 0 < end <= filled:
                self._wanted = max(0, end - position)
                break
            self._dispatch(data, begin, end)
            position = end
        rest = filled - position
        if position:
            if len(self._buffer) > _BUFFER >= self._wanted:
                self._buffer = bytearray(_BUFFER)
            self._buffer[:rest] = data[position:]
        self._filled = rest
        if position > 2 * _AT_ONCE and self._lost is None and not self._exclusive:
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on, self._transport)

    def _read_on(self, transport: asyncio.Transport) -> None:
        """A long message was taken: others had their turn before the next."""
        if self._lost is None:
            transport.resume_reading()

    def _dispatch(self, data: bytes, start: int, stop: int) -> None:
        message_id, tag, begin, end = open_envelope(data, start, stop)
        pending = self._pending.get(message_id)
        if pending is None:
            self._read_over(message_id, tag, data, begin, end)
            return
        self._late_octets = 0
        operation = decode_operation(data, tag, begin, end)
        if tag == pending.final and isinstance(operation, Result):
            found = read_controls(data, end, stop)
            if tag == EXTENDED_RESPONSE and self._exclusive:
                self._transport.pause_reading()
            del self._pending[message_id]
            pending.timer.cancel()
            self._octets -= pending.octets
            if not pending.future.done():
                pending.future.set_result(operation._replace(controls=found) if found else operation)
        elif pending.final != SEARCH_DONE or isinstance(operation, Result):
            raise ProtocolError("an answer of another kind than the question")
        else:
            self._add(message_id, pending, operation, stop - start)

    def _add(self, message_id: int, pending: _Pending, entry: Entry | None, size: int) -> None:
        """An entry, or what is read over, counts against the limits."""
        if entry is not None:
            pending.entries.append(entry)
            size += _VALUE_OCTETS * sum(map(len, entry.attributes.values()))
        size += _VALUE_OCTETS
        pending.octets += size
        self._octets += size
        if (
            len(pending.entries) <= pending.entries_at_most
            and pending.octets <= pending.octets_at_most
            and self._octets <= 2 * self._max_octets
        ):
            return
        pending.entries.clear()
        self._give_up(message_id)
        if not pending.future.done():
            pending.future.set_exception(AnswerTooLarge(f"{self.endpoint}: a search found more than the limits allow"))

    def _read_over(self, message_id: int, tag: int, data: bytes, begin: int, end: int) -> None:
        """A late answer to something given up, or a message of the server's own (RFC 4511 section 4.4)."""
        if message_id > self._highest_id:
            raise ProtocolError("an answer to a question that was not asked")
        self._late_octets += end - begin
        if self._late_octets > _MAX_LATE:
            self._end(ConnectionLost(f"{self.endpoint}: the directory does not heed that a search was abandoned"))
        if message_id == 0 and tag == EXTENDED_RESPONSE:
            notice = decode_operation(data, tag, begin, end)
            if isinstance(notice, Result) and notice.name == NOTICE_OF_DISCONNECTION:
                self._end(ConnectionLost(f"{self.endpoint}: disconnected by the directory: {answer_of(notice)}"))

    # The end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop. A dead peer behind a silent network is noticed within two minutes."""
        self._transport = cast(asyncio.Transport, transport)
        _keep_alive(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, also after ``abort``."""
        told = f"connection lost: {reason_of(exc)}" if exc else "connection closed by the directory"
        self._end(ConnectionLost(f"{self.endpoint}: {told}"))
        self._finished()

    def _finished(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _end(self, error: DirectoryError, *, gently: bool = False) -> None:
        """The first call counts: everything outstanding fails with its own copy of ``error``."""
        if self._lost is not None:
            return
        self._lost = error
        waiting, self._pending = self._pending, {}
        for pending in waiting.values():
            pending.timer.cancel()
            if not pending.future.done():
                pending.future.set_exception(type(error)(str(error)))
        if gently:
            self._transport.close()
        else:
            self._transport.abort()
        if self.on_lost is not None and not self._closing:
            self.on_lost(self)


def require_password(dn: str, password: str) -> None:
    """Refuse what a directory may take for an anonymous or unauthenticated bind and answer with success.

    A password that begins with NUL counts as empty: servers that keep it as a C string see nothing else.
    """
    if not password or password[0] == "\0":
        raise EmptyPassword("a bind without a password proves nothing")
    if not dn:
        raise ValueError("a bind without a name proves nothing")


def _keep_alive(sock: socket.socket | None) -> None:
    if sock is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
