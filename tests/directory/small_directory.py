"""A directory of a few lines, for what no real one can be made to do. It shares no code with our codec: it answers
through ldap3, and reads by itself, because ldap3 cannot read its own filters.

    directory = await SmallDirectory.start(answer)
    directory.searches              what it was asked, in order
    await directory.close()

``answer`` gets each search and gives an ``Answer``; None is silence. Binds succeed but of the names in ``refused``, with
the text ``told``. "Who am I?" is answered with ``who``; refused while that is None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.directory import ldap3_oracle


class Search(NamedTuple):
    """One search request."""

    base: str
    scope: int
    pairs: tuple[tuple[str, bytes], ...]
    """Attribute and value of each equality in the filter."""
    attributes: tuple[str, ...]
    page: tuple[int, bytes] | None
    """Size and cookie."""
    connection: int


class Answer(NamedTuple):
    """Entries, then a result. ``cookie`` None: no control."""

    entries: Sequence[tuple[str, Mapping[str, Sequence[bytes]]]] = ()
    code: int = 0
    cookie: bytes | None = None
    raw_controls: Sequence[Any] = ()


class SmallDirectory:
    """Made by ``start``; listens on ``port`` of 127.0.0.1."""

    def __init__(self, answer: Callable[[Search], Answer | None]) -> None:
        self._answer = answer
        self.searches: list[Search] = []
        self.binds: list[str] = []
        self.refused: set[str] = set()
        self.told = ""
        self.who: str | None = None
        self.who_code = 2
        self.asked_who = 0
        self.abandoned = 0
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0

    @classmethod
    async def start(cls, answer: Callable[[Search], Answer | None]) -> SmallDirectory:
        directory = cls(answer)
        directory._server = await asyncio.start_server(directory._serve, "127.0.0.1", 0)
        directory.port = directory._server.sockets[0].getsockname()[1]
        return directory

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number, data = self.connections, b""
        try:
            while more := await reader.read(65536):
                data += more
                while len(data) >= _length(data) > 0:
                    whole, data = data[: _length(data)], data[_length(data) :]
                    writer.write(self._answers(whole, number))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def _answers(self, data: bytes, connection: int) -> bytes:
        (_, message), *_ = elements(data)
        (_, number), (kind, operation), *rest = elements(message)
        message_id = int.from_bytes(number, "big")
        if kind == 0x60:
            self.binds.append(elements(operation)[1][1].decode())
            code = 49 if self.binds[-1] in self.refused else 0
            return ldap3_oracle.message(message_id, ldap3_oracle.result("BindResponse", code, "", self.told))
        if kind == 0x77 and elements(operation)[0][1] == b"1.3.6.1.4.1.4203.1.11.3":
            self.asked_who += 1
            return ldap3_oracle.message(message_id, ldap3_oracle.who_am_i(self.who_code, self.who))
        if kind != 0x63:
            self.abandoned += kind == 0x50
            return b""
        search = _search(elements(operation), rest, connection)
        self.searches.append(search)
        answer = self._answer(search)
        if answer is None:
            return b""
        entries = [ldap3_oracle.message(message_id, ldap3_oracle.entry(dn, found)) for dn, found in answer.entries]
        controls = list(answer.raw_controls)
        if answer.cookie is not None:
            controls.append(ldap3_oracle.page_answer(answer.cookie))
        done = ldap3_oracle.result("SearchResultDone", answer.code, "", "")
        return b"".join((*entries, ldap3_oracle.message(message_id, done, *controls)))


def _length(data: bytes) -> int:
    """Of the message that begins here; 0 while that is not known."""
    if len(data) < 2:
        return 0
    count = data[1] & 0x7F if data[1] >= 0x80 else 0
    if len(data) < 2 + count:
        return 0
    return 2 + count + (int.from_bytes(data[2 : 2 + count], "big") if count else data[1])


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each BER element in ``data``."""
    found = []
    while data:
        size = _length(data)
        content = data[2 + (data[1] & 0x7F if data[1] >= 0x80 else 0) : size]
        found.append((data[0], content))
        data = data[size:]
    return found


def _search(fields: list[tuple[int, bytes]], rest: list[tuple[int, bytes]], connection: int) -> Search:
    page = None
    for _, field in rest:
        for _, control in elements(field):
            (_, oid), *_, (_, value) = elements(control)
            if oid == b"1.2.840.113556.1.4.319":
                (_, size), (_, cookie) = elements(elements(value)[0][1])
                page = (int.from_bytes(size, "big"), cookie)
    attributes = tuple(name.decode() for _, name in elements(fields[7][1]))
    return Search(fields[0][1].decode(), fields[1][1][0], tuple(_pairs(*fields[6])), attributes, page, connection)


def _pairs(tag: int, content: bytes) -> list[tuple[str, bytes]]:
    if tag in (0xA0, 0xA1):
        return [pair for inner, part in elements(content) for pair in _pairs(inner, part)]
    if tag == 0xA3:
        (_, name), (_, value) = elements(content)
        return [(name.decode(), value)]
    return []
