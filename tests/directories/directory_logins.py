"""Logins against one server as the configuration has it, with its round trips counted and its octets read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.config.load import load
from gateway.config.schema import Server
from gateway.directory.bind import DirectoryServer
from gateway.directory.pools import make_pool
from gateway.directory.realm import Verdict

BIND, SEARCH = 0x60, 0x63


class Open:
    """A gate that lets everybody through."""

    async def admits_name(self, server: str) -> bool:
        return True

    async def admits_entry(self, server: str, entry: str) -> bool:
        return True


@dataclass
class Logins:
    """Logs in to one server."""

    directory: DirectoryServer
    searches: int = 0
    """Of the last login."""
    binds: int = 0

    async def verdict(self, login: str, password: str) -> Verdict:
        pool = self.directory.pool
        before = pool.searches, pool.binds
        verdict = await self.directory.authenticate(login, password, Open())
        self.searches, self.binds = pool.searches - before[0], pool.binds - before[1]
        return verdict


def configured(**settings: object) -> Server:
    """The server that these keys, ours or Vault's, make."""
    variables = {"CLEARML__servers": json.dumps([{"name": "corp", **settings}])}
    return load([], variables).configuration.servers[0]


@asynccontextmanager
async def logins(server: Server) -> AsyncIterator[Logins]:
    pool = await make_pool(server)
    await pool.start()
    try:
        yield Logins(DirectoryServer(server, pool))
    finally:
        await pool.close()


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each BER element, one after the other (X.690 8.1, definite lengths)."""
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        assert len(data) >= start + length
        yield tag, data[start : start + length]
        data = data[start + length :]


def requests(sent: bytes) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    """Tag and parts of the operation of every message in the octets that a client sent (RFC 4511 4.1.1)."""
    for _, message in elements(bytes(sent)):
        tag, operation = list(elements(message))[1]
        yield tag, list(elements(operation)) if tag in (BIND, SEARCH) else []


def bound_names(sent: bytes) -> list[bytes]:
    """The names of all binds."""
    return [parts[1][1] for tag, parts in requests(sent) if tag == BIND]


def filters(sent: bytes) -> list[Any]:
    """The filters of all searches (RFC 4511 4.5.1): and, or, not as lists with their tag in front, else octets."""
    return [_plain(*parts[6]) for tag, parts in requests(sent) if tag == SEARCH]


def _plain(tag: int, content: bytes) -> Any:
    if tag in (0xA0, 0xA1, 0xA2):
        return [tag, *(_plain(*part) for part in elements(content))]
    if tag in (0xA3, 0xA4, 0xA9):
        return [tag, *(value for _, value in elements(content))]
    return [tag, content]
