"""Connections that serve one task at a time: what a bind needs (RFC 4511 section 4.2.1). The lower half of ``pool``.

At most ``size`` connections, last used first, so that a quiet server keeps few of them. Who must wait for one is served
in order. A slot is held from ``take`` to ``give_back``, and by a connection that is still being set up after its waiter
has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.directory.connection import Connection, TimedOut, Unreachable


class ExclusiveConnections:
    """``dial`` sets up a connection; ``keep`` says of one that nobody uses whether it is still good for the next."""

    def __init__(
        self,
        size: int,
        name: str,
        dial: Callable[[], Coroutine[Any, Any, Connection]],
        keep: Callable[[Connection], bool],
    ) -> None:
        self._size = size
        self._name = name
        self._dial = dial
        self._keep = keep
        self._slots = asyncio.Semaphore(size)
        self._closed = False
        self._idle: list[tuple[Connection, float]] = []
        self._taken: set[Connection] = set()
        self._dialling: set[asyncio.Task[Connection]] = set()
        self._farewells: set[asyncio.Task[None]] = set()

    @property
    def idle_since(self) -> float | None:
        """Loop time since when the oldest idle connection is unused."""
        return self._idle[0][1] if self._idle else None

    async def take(self, deadline: float) -> Connection | None:
        """A slot, with the connection used last where one is idle; else ``dial`` next. May raise ``Unreachable``."""
        await acquire(self._slots, deadline, f"{self._name}: no connection in time, {self._size} binds are running")
        self._refuse_when_closed()
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.usable and self._keep(connection):
                self._taken.add(connection)
                return connection
            self.dismiss(connection)
        return None

    async def dial(self, deadline: float) -> Connection:
        """A new connection for the slot that is held; without one the slot is given back.

        It is set up in a task of its own: when our time is up that goes on, and learns how the host fares.
        """
        self._refuse_when_closed()
        task = asyncio.create_task(self._dial(), name=f"connect {self._name}")
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        try:
            await asyncio.wait([task], timeout=deadline - _now())
        except asyncio.CancelledError:
            task.add_done_callback(self._dialled_late)
            raise
        if not task.done():
            task.add_done_callback(self._dialled_late)
            raise TimedOut(f"{self._name}: no connection in time")
        if task.cancelled():
            self._slots.release()
            raise Unreachable(f"{self._name}: closed")
        if error := task.exception():
            self._slots.release()
            raise error
        self._taken.add(task.result())
        return task.result()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            self._slots.release()
            raise Unreachable(f"{self._name}: closed")

    def _dialled_late(self, task: asyncio.Task[Connection]) -> None:
        self._slots.release()
        if not task.cancelled() and not task.exception():
            self.put(task.result())

    def give_back(self, connection: Connection) -> None:
        """Release the slot; the connection serves the next if it is good."""
        self._slots.release()
        self._taken.discard(connection)
        self.put(connection)

    def put(self, connection: Connection) -> None:
        """Keep a connection that nobody uses, or close it."""
        good = connection.usable and not connection.outstanding
        if good and len(self._idle) < self._size and self._keep(connection):
            self._idle.append((connection, _now()))
        else:
            self.dismiss(connection)

    def drop(self, connection: Connection) -> None:
        """``connection`` was dead, so the idle ones are suspect too; the slot is kept for a new one."""
        self._taken.discard(connection)
        self.close_idle(_now())

    def forget(self, connection: Connection) -> None:
        """``connection`` ended while nobody used it."""
        self._idle = [idle for idle in self._idle if idle[0] is not connection]

    def close_idle(self, unused_since: float) -> None:
        """Close what nobody has used since then (loop time)."""
        kept = [idle for idle in self._idle if idle[1] > unused_since]
        for connection, since in self._idle:
            if since <= unused_since:
                self.dismiss(connection)
        self._idle = kept

    def dismiss(self, connection: Connection, drain_seconds: float = 0.0) -> None:
        """Close ``connection`` in the background."""
        task = asyncio.create_task(connection.close(drain_seconds))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def close(self, deadline: float) -> None:
        """Let those who hold a slot finish until ``deadline`` (loop time), then close every connection."""
        self._closed = True
        dialling = tuple(self._dialling)
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                for _ in range(self._size):
                    await self._slots.acquire()
        for connection in tuple(self._taken):
            connection.abort()
            self.dismiss(connection)
        self.close_idle(_now())
        await asyncio.gather(*self._farewells)


async def acquire(slots: asyncio.Semaphore, deadline: float, told: str) -> None:
    """Take a slot, in order of asking; ``TimedOut`` with the text ``told`` when ``deadline`` (loop time) passes."""
    if not slots.locked():
        await slots.acquire()
        return
    try:
        async with asyncio.timeout_at(deadline):
            await slots.acquire()
    except TimeoutError:
        raise TimedOut(told) from None


def _now() -> float:
    return asyncio.get_running_loop().time()
