"""One thread that writes: everything queued while it was busy shares one transaction and one fsync (group commit).

Each job runs in its own SAVEPOINT, so a failing one does not fail its neighbours. A waiter is answered after COMMIT,
by one wake-up of its loop per batch. A job whose waiter was cancelled is still done.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from gateway.store.interface import StoreUnavailable

QUEUE_LIMIT: Final = 10_000
"""Writes that may wait; beyond, ``StoreUnavailable``."""
_BATCH_LIMIT: Final = 500

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
Translate = Callable[[Exception], Exception]
"""From what the engine raised to what callers are told."""


class _TransactionLost(Exception):
    """SQLite gave up the whole transaction inside one job (disk full, I/O error), and with it the jobs before."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class _Pending:
    """A job, who waits for it, and how it ended."""

    __slots__ = ("error", "future", "job", "loop", "result")

    def __init__(self, job: Job[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Owns ``connection`` from now on; it must be in autocommit mode and usable from another thread."""

    def __init__(self, connection: sqlite3.Connection, translate: Translate, queue_limit: int = QUEUE_LIMIT) -> None:
        self._connection = connection
        self._translate = translate
        self._queue_limit = queue_limit
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._main, name="store-writer", daemon=True)
        self._thread.start()

    async def run(self, job: Job[T]) -> T:
        """The result of ``job`` once it is durable; what it raised, translated, when it was rolled back."""
        self.check_open()
        if self._queue.qsize() >= self._queue_limit:
            raise StoreUnavailable(f"the store is overloaded: {self._queue_limit} writes are waiting")
        pending = _Pending(job, asyncio.get_running_loop())
        self._queue.put(pending)
        result: T = await pending.future
        return result

    def check_open(self) -> None:
        """``StoreUnavailable`` once ``close`` was called."""
        if self._closing:
            raise StoreUnavailable("the store is closed")

    async def close(self) -> None:
        """Do what is queued, close the connection, end the thread. May be called again."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _main(self) -> None:
        try:
            while batch := self._next_batch():
                self._commit(batch)
                _deliver(batch)
        finally:
            self._connection.close()

    def _next_batch(self) -> list[_Pending]:
        """Wait for work and take all there is; empty at the end."""
        batch: list[_Pending] = []
        with suppress(Empty):
            pending = self._queue.get()
            while pending is not None:
                batch.append(pending)
                if len(batch) == _BATCH_LIMIT:
                    return batch
                pending = self._queue.get_nowait()
            if batch:
                self._queue.put(None)
        return batch

    def _commit(self, batch: list[_Pending]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for pending in batch:
                self._attempt(pending)
            self._connection.execute("COMMIT")
        except Exception as error:
            cause = error.cause if isinstance(error, _TransactionLost) else error
            with suppress(sqlite3.Error):
                self._connection.rollback()
            for pending in batch:
                pending.error = self._translate(cause)  # one each: a raised exception collects its own traceback

    def _attempt(self, pending: _Pending) -> None:
        self._connection.execute("SAVEPOINT job")
        try:
            pending.result = pending.job(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise _TransactionLost(error) from error
            self._connection.execute("ROLLBACK TO job")
            pending.error = self._translate(error)
        self._connection.execute("RELEASE job")


def _deliver(batch: list[_Pending]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Pending]] = {}
    for pending in batch:
        by_loop.setdefault(pending.loop, []).append(pending)
    for loop, waiting in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(waiting: list[_Pending]) -> None:
    for pending in waiting:
        if pending.future.done():
            continue
        if pending.error is None:
            pending.future.set_result(pending.result)
        else:
            pending.future.set_exception(pending.error)
