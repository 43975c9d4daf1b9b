"""Whether anybody takes a connection to a server: a test of its own, beside the pool and without a bind.

So neither a pause of the pool nor a refused service account says anything, and no bind is counted by the directory.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gateway.directory.connection import Connection, DirectoryError, Endpoint
from gateway.directory.failover import HEAD_START
from gateway.directory.hosts import connect
from gateway.directory.pools import make_tls_context
from gateway.directory.race import first_to_succeed
from gateway.directory.tls import TlsSettingsError

if TYPE_CHECKING:
    from gateway.config.schema import Server


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
