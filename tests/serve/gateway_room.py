"""A whole gateway in the test's own process, listening on loopback and on a unix socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gateway.config.load import load
from gateway.identity import Identity
from gateway.login import Attempt
from gateway.runtime import Runtime
from gateway.serve.application import Application, Runner
from gateway.sessions import NewSession
from gateway.telemetry.audit import Event


class RecordedAudit:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        self.events.append(event)

    def reopen(self) -> None: ...

    def close(self) -> bool:
        return True


@dataclass
class Room:
    directory: Path
    runtime: Runtime
    application: Application
    audit: RecordedAudit
    port: int
    socket: Path

    @property
    def live(self):  # type: ignore[no-untyped-def]
        return self.runtime.current

    async def login(self, username: str, password: str = "lovelace") -> Identity:
        result = await self.live.login.check(Attempt(username, password, None, "test"))
        assert isinstance(result, Identity), result
        return result

    async def session(self, username: str, domain: str = "example.com", *, remember: bool = False) -> NewSession:
        identity = await self.login(username)
        return await self.live.sessions.create(identity, domain, remember=remember, client=None, now=int(time.time()))

    async def reload(self, text: str) -> None:
        (self.directory / "gateway.conf").write_text(text)
        snapshot = await asyncio.to_thread(load, [self.directory / "gateway.conf"], {})
        await self.runtime.reload(snapshot)

    async def raw(self, sent: bytes, *, unix: bool = False, pieces: int = 1) -> bytes:
        """Send bytes on a connection of their own, and read the answer to its end or until the daemon is silent."""
        connect = asyncio.open_unix_connection(self.socket) if unix else asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = await connect
        try:
            step = -(-len(sent) // pieces)
            for start in range(0, len(sent), step):
                writer.write(sent[start : start + step])
                await writer.drain()
                await asyncio.sleep(0)
            return await one_answer(reader, sent.startswith(b"HEAD"))
        finally:
            writer.close()
            await writer.wait_closed()


async def one_answer(reader: asyncio.StreamReader, head_only: bool = False) -> bytes:
    """Read one answer; empty where the connection ended without one."""
    async with asyncio.timeout(20):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        return head + (b"" if head_only else await reader.readexactly(length))


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case (repeated ones joined by ``|``), body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers[name] = f"{headers[name]}|{value.strip()}" if name in headers else value.strip()
    return int(first.split()[1]), headers, body


@asynccontextmanager
async def room_of(
    directory: Path, text: str, environment: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[Room]:
    file = directory / "gateway.conf"
    file.write_text(text)
    state = {"CLEARML__state_dir": str(directory / "state"), **(environment or {})}
    snapshot = await asyncio.to_thread(load, [file], state)
    audit = RecordedAudit()
    runtime = await Runtime.start(snapshot, audit)
    application = Application(runtime, reloader=None)  # type: ignore[arg-type]
    runner = Runner(application.handle, snapshot.configuration.http, application.known)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        socket = directory / "gateway.sock"
        await web.UnixSite(runner, str(socket)).start()
        yield Room(directory, runtime, application, audit, runner.addresses[0][1], socket)
    finally:
        await runner.cleanup()
        await runtime.close()
