"""Logins against one server as the configuration has it, with its round trips counted and its octets read."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway.config.load import load
from gateway.config.schema import Server
from gateway.directory.bind import DirectoryServer
from gateway.directory.pools import make_pool
from gateway.directory.realm import Verdict
from tests.daemon import Answer, Daemon
from tests.directories.relay import Relay

BIND, SEARCH = 0x60, 0x63
TRANSPORTS = ("ldap", "starttls", "ldaps")


class Directory(Protocol):
    """What the real directories of these tests have in common."""

    ca_file: Path

    @property
    def url(self) -> str: ...
    @property
    def ldaps_url(self) -> str: ...


def over(directory: Directory, transport: str) -> dict[str, object]:
    """The settings of a server that make it speak over one of ``TRANSPORTS``."""
    trusted: dict[str, object] = {"root_ca_cert": [str(directory.ca_file)]}
    match transport:
        case "starttls":
            return {"urls": [directory.url.replace("127.0.0.1", "localhost")], "start_tls": True, **trusted}
        case "ldaps":
            return {"urls": [directory.ldaps_url], **trusted}
    return {"urls": [directory.url]}


def one_server(server: dict[str, object], **more: str) -> dict[str, str]:
    """The environment of a daemon that asks this server each time, without delays and without a lockout of its own."""
    return {
        "CLEARML__servers": json.dumps([server]),
        "CLEARML__login__floor": "0",
        "CLEARML__login__cache": "0",
        "CLEARML__lockout__failures": "1000",
        "CLEARML__session__refresh_interval": "0",
        **{f"CLEARML__{key}": value for key, value in more.items()},
    }


def outward(answer: Answer) -> object:
    """What a caller can tell apart: status, headers and body, but for the time and the number of the request."""
    headers = [(name, value) for name, value in answer.headers.items() if name != "Date"]
    body = answer.json
    assert body["meta"].pop("id") == body["meta"].pop("trx")
    return answer.status, headers, body


def renewal(daemon: Daemon, token: str) -> tuple[int, int]:
    """Status and subcode of the request for a new token."""
    return daemon.call("/auth.login", bearer=token).verdict


def use(daemon: Daemon, token: str) -> tuple[int, int]:
    """Status and subcode of a request with a token."""
    return daemon.call("/users.get_current_user", bearer=token).verdict


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
    """The server that these keys, ours or Vault's, make; one that is None is not given."""
    given = {name: value for name, value in settings.items() if value is not None}
    variables = {"CLEARML__servers": json.dumps([{"name": "corp", **given}])}
    return load([], variables).configuration.servers[0]


@asynccontextmanager
async def logins(server: Server) -> AsyncIterator[Logins]:
    pool = await make_pool(server)
    await pool.start()
    try:
        yield Logins(DirectoryServer(server, pool))
    finally:
        await pool.close()


class Watched:
    """A daemon whose server is behind a relay; see ``watched``."""

    def __init__(self, daemon: Daemon, relay: Relay) -> None:
        self.daemon = daemon
        self.relay = relay
        self.sent = b""
        """What reached the directory during the last login."""

    async def login(self, username: str, password: str) -> tuple[Answer, list[int]]:
        """The answer, and the tags of the operations that the directory saw meanwhile."""
        before = len(self.relay.sent)
        # Names that are no UTF-8 are sent all the same, as a hostile client would.
        credentials = base64.b64encode(f"{username}:{password}".encode("utf-8", "surrogatepass")).decode()
        headers = {"Authorization": f"Basic {credentials}"}
        answer = await asyncio.to_thread(self.daemon.call, "/auth.login", headers=headers)
        self.sent = bytes(self.relay.sent[before:])
        return answer, [tag for tag, _ in requests(self.sent) if tag in (BIND, SEARCH)]


@asynccontextmanager
async def watched(
    folder: Path, host: str, port: int, settings: dict[str, object], **more: str
) -> AsyncIterator[Watched]:
    """A daemon with one server, which ``settings`` describe but for its address."""
    relay = await Relay.start(host, port)
    server = {"name": "corp", "urls": [f"ldap://127.0.0.1:{relay.port}"], **settings}
    daemon = Daemon(folder, environment=one_server(server, **more))
    try:
        await asyncio.to_thread(daemon.start)
        yield Watched(daemon, relay)
    finally:
        await asyncio.to_thread(daemon.stop)
        await relay.close()
    assert "Traceback" not in daemon.log


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


def requests(sent: bytes | bytearray) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    """Tag and parts of the operation of every message in the octets that a client sent (RFC 4511 4.1.1)."""
    for _, message in elements(bytes(sent)):
        tag, operation = list(elements(message))[1]
        yield tag, list(elements(operation)) if tag in (BIND, SEARCH) else []


def bound_names(sent: bytes | bytearray) -> list[bytes]:
    """The names of all binds."""
    return [parts[1][1] for tag, parts in requests(sent) if tag == BIND]


def filters(sent: bytes | bytearray) -> list[Any]:
    """The filters of all searches (RFC 4511 4.5.1): and, or, not as lists with their tag in front, else octets."""
    return [_plain(*parts[6]) for tag, parts in requests(sent) if tag == SEARCH]


def _plain(tag: int, content: bytes) -> Any:
    if tag in (0xA0, 0xA1, 0xA2):
        return [tag, *(_plain(*part) for part in elements(content))]
    if tag in (0xA3, 0xA4, 0xA9):
        return [tag, *(value for _, value in elements(content))]
    return [tag, content]
