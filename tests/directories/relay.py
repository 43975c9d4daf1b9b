"""A small TCP relay in front of a real directory, to record, hold up, spoil or cut what passes.

    relay = await Relay.start("127.0.0.1", slapd.port)
    relay.sent                      every octet a client has sent
    relay.hold() / relay.let_go()   nothing reaches the client
    relay.forget()                  the present connections go silent for good
    relay.cut_after = 20            the connection ends behind that many more octets to the client
    relay.spoil = bytes.swapcase    answers go through a function
    relay.inject(b"...")            to every client, as if the directory had said it
    await relay.close()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Relay:
    """Made by ``start``; listens on ``port`` of 127.0.0.1."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = 0
        self.sent = bytearray()
        self.answered = bytearray()
        self.connections = 0
        self.cut_after: int | None = None
        self.spoil: Callable[[bytes], bytes] | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @classmethod
    async def start(cls, host: str, port: int, listen_port: int = 0) -> Relay:
        relay = cls(host, port)
        await relay.listen(listen_port)
        return relay

    async def listen(self, port: int = 0) -> None:
        """Begin to accept, after ``refuse`` on the same port as before."""
        await self.listen_on("127.0.0.1", port)

    async def listen_on(self, address: str, port: int = 0) -> None:
        """The same on another address of this machine."""
        self._server = await asyncio.start_server(self._accept, address, port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Accept no more and drop every connection."""
        self._server.close()
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def hold(self) -> None:
        """Keep answers back."""
        self._open.clear()

    def let_go(self) -> None:
        """Pass on what was kept back."""
        self._open.set()

    def forget(self) -> None:
        """From now on nothing passes on the present connections, as behind a firewall that has forgotten them."""
        self._forgotten |= self._clients

    def drop(self) -> None:
        """End all connections at once."""
        for client in tuple(self._clients):
            client.transport.abort()

    def inject(self, data: bytes) -> None:
        """Send ``data`` to every client."""
        for client in self._clients:
            client.write(data)

    async def close(self) -> None:
        """End everything."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.refuse()

    async def _accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self._clients.add(client)
        directory: asyncio.StreamWriter | None = None
        try:
            reader, directory = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(client_reader, client, directory))
                group.create_task(self._answer(reader, client))
        except* (OSError, RuntimeError, asyncio.CancelledError):  # uvloop: RuntimeError for a closed transport
            pass
        finally:
            self._clients.discard(client)
            self._forgotten.discard(client)
            for writer in (client, directory):
                if writer is not None:
                    writer.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, directory: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            self.sent += data
            if client not in self._forgotten:
                directory.write(data)
        raise ConnectionResetError

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            if writer in self._forgotten:
                continue
            if self.spoil is not None:
                data = self.spoil(data)
            if self.cut_after is not None and len(data) >= self.cut_after:
                writer.write(data[: self.cut_after])
                await writer.drain()
                writer.close()
                self.cut_after = None
                raise ConnectionResetError
            self.answered += data
            writer.write(data)
        raise ConnectionResetError
