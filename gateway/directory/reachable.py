"""Whether anybody takes a connection to a server: a test of its own, beside the pool and without a bind.

So neither a pause of the pool nor a refused service account says anything, and no bind is counted by the directory.
However many ask, one connection to a server is tested at a time, ``CONNECTS`` in all, and the answer is everybody's for
``SHARED_SECONDS``.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.directory.connection import Connection, DirectoryError, Endpoint
from gateway.directory.failover import HEAD_START
from gateway.directory.hosts import connect
from gateway.directory.pools import make_tls_context
from gateway.directory.race import first_to_succeed
from gateway.directory.tls import TlsSettingsError

if TYPE_CHECKING:
    from gateway.config.schema import Server

CONNECTS: Final = 16
SHARED_SECONDS: Final = 1.0


class Reachability:
    """The tests of the servers of one snapshot."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(CONNECTS)
        self._tests: dict[str, asyncio.Task[str]] = {}
        """Under way, by server."""
        self._answers: dict[str, tuple[float, str]] = {}
        """By server: until when it counts, and what it is."""

    async def unreachable_because(self, server: Server) -> str:
        """Why nobody takes a connection, now or a moment ago; empty where somebody does."""
        until, answer = self._answers.get(server.name, (0.0, ""))
        if time.monotonic() < until:
            return answer
        test = self._tests.get(server.name)
        if test is None:
            test = self._tests[server.name] = asyncio.create_task(self._test(server))
            test.add_done_callback(lambda done: self._forget(server.name, done))
        return await asyncio.shield(test)

    async def close(self) -> None:
        """End the tests that are under way."""
        tests = list(self._tests.values())
        for test in tests:
            test.cancel()
        await asyncio.gather(*tests, return_exceptions=True)

    def _forget(self, server: str, test: asyncio.Task[str]) -> None:
        del self._tests[server]
        if not test.cancelled():
            test.exception()  # told to those who wait, if there still are any

    async def _test(self, server: Server) -> str:
        async with self._slots:
            answer = await unreachable_because(server)
        self._answers[server.name] = time.monotonic() + SHARED_SECONDS, answer
        return answer


async def unreachable_because(server: Server) -> str:
    """Connect as a login would, TLS included, within ``login_timeout``: why no host takes it; empty where one does."""
    try:
        async with asyncio.timeout(server.login_timeout):
            context = await make_tls_context(server)
            attempts = [
                partial(connect, Endpoint(*endpoint), context, timeout=server.timeout or 10.0)
                for endpoint in server.endpoints
            ]
            connection = await first_to_succeed(attempts, HEAD_START, Connection.abort)
    except TimeoutError:
        return f"no connection within login_timeout ({server.login_timeout:g} s)"
    except TlsSettingsError as error:
        return str(error)
    except ExceptionGroup as failures:
        if failures.split(DirectoryError)[1]:
            raise
        return "; ".join(map(str, failures.exceptions))
    await connection.close()
    return ""
