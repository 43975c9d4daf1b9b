"""A directory of one person that breaks at a step of the login, byte by byte, and can be healed.

    directory = await Faulty.start(USER_SEARCH, silence)
    directory.heal()
    directory.binds[DN]             how often each name was bound
    directory.open                  connections that are open
    await directory.close()

It shares no code with the gateway: it reads with ``small_directory`` and writes with ldap3.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.directory import ldap3_oracle
from tests.directory.small_directory import elements

BASE = "dc=example,dc=com"
SERVICE, SERVICE_PASSWORD = f"cn=svc,{BASE}", "svc-secret"
ADA, ADA_PASSWORD = f"uid=ada,ou=people,{BASE}", "analytical-engine"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"

CONNECT, START_TLS, SERVICE_BIND, USER_SEARCH, USER_BIND, GROUP_SEARCH = (
    "connect", "StartTLS", "the service's bind", "the search for the user", "the user's bind", "the search for groups",
)  # fmt: skip
ANYWHERE = "anywhere"


@dataclass
class Question:
    """What a fault has to do with."""

    writer: asyncio.StreamWriter
    number: int
    """Message id."""
    kind: str
    """ldap3's name of the result."""
    answer: bytes
    """What a healthy directory would say."""


Fault = Callable[[Question], Awaitable[None]]


async def silence(question: Question) -> None:
    """Say nothing."""


async def one_octet_at_a_time(question: Question) -> None:
    for position in range(len(question.answer)):
        question.writer.write(question.answer[position : position + 1])
        await question.writer.drain()
        await asyncio.sleep(0)


async def reset_in_mid_message(question: Question) -> None:
    """Half of the answer, then RST."""
    question.writer.write(question.answer[: len(question.answer) // 2])
    await question.writer.drain()
    question.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    question.writer.transport.abort()


async def end_in_mid_message(question: Question) -> None:
    """Half of the answer, then FIN."""
    question.writer.write(question.answer[: len(question.answer) // 2])
    question.writer.close()


async def garbage(question: Question) -> None:
    question.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def wrong_id(question: Question) -> None:
    done = ldap3_oracle.result(question.kind, 0, "", "")
    question.writer.write(ldap3_oracle.message(question.number + 1000, done))


async def hundred_megabytes(question: Question) -> None:
    question.writer.write(b"\x30\x84\x06\x40\x00\x00\x02\x01\x01")


async def endless_entries(question: Question) -> None:
    entry = ldap3_oracle.entry(f"uid=someone,{PEOPLE}", {"uid": [b"someone"]})
    some = ldap3_oracle.message(question.number, entry) * 100
    with contextlib.suppress(OSError):
        while not question.writer.is_closing():
            question.writer.write(some)
            await question.writer.drain()


def code(number: int, message: str = "") -> Fault:
    """A result with this code and no entries."""

    async def answer(question: Question) -> None:
        result = ldap3_oracle.result(question.kind, number, "", message)
        question.writer.write(ldap3_oracle.message(question.number, result))

    return answer


def cut_short(count: int) -> Fault:
    """So many different people, and more that a size limit keeps back (RFC 4511 section 4.5.1.4)."""

    async def answer(question: Question) -> None:
        for number in range(count):
            entry = ldap3_oracle.entry(f"uid=ada,ou={number},{PEOPLE}", {"uid": [b"ada"]})
            question.writer.write(ldap3_oracle.message(question.number, entry))
        await code(4)(question)

    return answer


def referral(url: str) -> Fault:
    """A result that names another directory (RFC 4511 section 4.1.10)."""

    async def answer(question: Question) -> None:
        result = ldap3_oracle.result(question.kind, 10, "", "")
        result["referral"].append(ldap3_oracle.rfc4511.URI(url))
        question.writer.write(ldap3_oracle.message(question.number, result))

    return answer


def continuation(url: str) -> Fault:
    """A continuation reference in front of a healthy answer (RFC 4511 section 4.5.3)."""

    async def answer(question: Question) -> None:
        reference = ldap3_oracle.rfc4511.SearchResultReference()
        reference.append(ldap3_oracle.rfc4511.URI(url))
        question.writer.write(ldap3_oracle.message(question.number, reference) + question.answer)

    return answer


class Faulty:
    """Made by ``start``; listens on ``port`` of 127.0.0.1."""

    def __init__(self, step: str, fault: Fault | None) -> None:
        self._step = step
        self._fault = fault
        self.binds: Counter[str] = Counter()
        self.received = bytearray()
        """What clients sent, in clear or decrypted."""
        self.connections = 0
        self.abandoned = 0
        self.service_password = SERVICE_PASSWORD
        self.open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    @classmethod
    async def start(cls, step: str = "", fault: Fault | None = None, tls: ssl.SSLContext | None = None) -> Faulty:
        """``tls`` makes it speak TLS from the first octet."""
        directory = cls(step, fault)
        directory._tls = tls
        await directory.listen()
        return directory

    async def listen(self) -> None:
        """Begin to accept, after ``refuse`` on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Accept no more and drop every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in tuple(self.open):
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    def heal(self) -> None:
        """From now on everything works."""
        self._fault = None

    def fall_silent(self) -> None:
        """Accept and read, and never say a word."""
        self._step, self._fault = ANYWHERE, silence

    close = refuse

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self.open.add(writer)
        data = b""
        try:
            while more := await reader.read(65536):
                self.received += more
                data += more
                try:
                    while len(data) > 1 and len(data) >= (size := _size(data)):
                        await self._take(data[:size], writer)
                        data = data[size:]
                except (ValueError, IndexError):  # no LDAP, such as the beginning of TLS: wait for something better
                    data = b""
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(writer)
            writer.transport.abort()

    async def _take(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        (_, number), (kind, operation), *_ = elements(elements(data)[0][1])
        question = Question(writer, int.from_bytes(number, "big"), "", b"")
        self.abandoned += kind == 0x50
        if kind == 0x60:
            step = self._bind(question, elements(operation))
        elif kind == 0x63:
            step = self._search(question, elements(operation))
        elif kind == 0x77:
            step, question.kind = START_TLS, "ExtendedResponse"
            question.answer = _message(question, code=2)
        else:
            return
        if self._fault is not None and self._step in (step, ANYWHERE):
            await self._fault(question)
        else:
            writer.write(question.answer)

    def _bind(self, question: Question, parts: list[tuple[int, bytes]]) -> str:
        name, password = parts[1][1].decode(), parts[2][1].decode()
        self.binds[name] += 1
        question.kind = "BindResponse"
        right = {SERVICE: self.service_password, ADA: ADA_PASSWORD, "": ""}
        question.answer = _message(question, code=0 if right.get(name) == password else 49)
        return SERVICE_BIND if name in (SERVICE, "") else USER_BIND

    def _search(self, question: Question, parts: list[tuple[int, bytes]]) -> str:
        base = parts[0][1].decode()
        question.kind = "SearchResultDone"
        found: dict[str, Any] = {
            PEOPLE: ldap3_oracle.entry(ADA, {"uid": [b"ada"], "mail": [b"ada@example.com"]}),
            GROUPS: ldap3_oracle.entry(f"cn=admins,{GROUPS}", {"cn": [b"admins"]}),
        }
        entries = [ldap3_oracle.message(question.number, found[base])] if base in found else []
        question.answer = b"".join(entries) + _message(question)
        return {PEOPLE: USER_SEARCH, GROUPS: GROUP_SEARCH}.get(base, CONNECT)


def _message(question: Question, code: int = 0) -> bytes:
    return ldap3_oracle.message(question.number, ldap3_oracle.result(question.kind, code, "", ""))


def _size(data: bytes) -> int:
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")
