# ruff: noqa: ASYNC109 - setting up a connection has a deadline of its own
"""One host of a server: how it fares, whom to leave alone for now, and how to connect to it.

A host that fails is left alone for a growing while. One that refuses quickly is asked again within a second, since
asking costs nothing; one that kept somebody waiting, or refused the service's password, after up to the configured
``pool.backoff``.
"""

from __future__ import annotations

import asyncio
import copy
import socket
import ssl
from typing import Final

from gateway.directory.connection import (
    Connection,
    DirectoryError,
    Endpoint,
    ServiceBindFailed,
    Unreachable,
    reason_of,
)

_FIRST_BACKOFF: Final = 0.1
_QUICK_BACKOFF: Final = 1.0
"""Longest pause, in seconds, before asking a host again that refused without keeping anybody waiting."""


class Host:
    """An endpoint and how it fares. Times are those of the event loop."""

    __slots__ = ("endpoint", "error", "failed_at", "failures", "retry_at")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.well()

    def well(self) -> None:
        """It answered."""
        self.failures = 0
        self.failed_at = self.retry_at = 0.0
        self.error: DirectoryError | None = None

    def failed(self, error: DirectoryError, now: float, waited: float, longest: float) -> None:
        """Leave it alone for a growing while, at least as long as it kept us waiting, at most ``longest``."""
        self.failures += 1
        quick = waited < _FIRST_BACKOFF and not isinstance(error, ServiceBindFailed)
        growing = _FIRST_BACKOFF * 2 ** min(self.failures - 1, 16)
        self.error = copy.copy(error)  # without its traceback, whose frames hold a password
        self.failed_at = now
        self.retry_at = now + min(longest, max(waited, growing), _QUICK_BACKOFF if quick else longest)


async def connect(
    endpoint: Endpoint,
    tls_context: ssl.SSLContext | None,
    *,
    timeout: float,
    max_message: int = 8 * 1024 * 1024,
    max_entries: int = 20_000,
) -> Connection:
    """Connect to the first address of the endpoint that works; each may take ``timeout`` seconds, TLS included.

    Raises ``Unreachable`` with one reason per address, or ``ProtocolError`` (not an LDAP server).
    """
    reasons = []
    for address in await _resolve(endpoint, timeout):
        connection = Connection(endpoint, max_message=max_message, max_entries=max_entries)
        try:
            await _open(connection, address, tls_context, timeout)
        except Unreachable as error:
            reasons.append(str(error).removeprefix(f"{endpoint}: "))
        except OSError as error:
            reasons.append(reason_of(error))
        else:
            return connection
    raise Unreachable(f"{endpoint}: {'; '.join(dict.fromkeys(reasons))}")


async def _resolve(endpoint: Endpoint, timeout: float) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Unreachable(f"{endpoint}: its name was not resolved in time") from None
    except (OSError, ValueError) as error:
        raise Unreachable(f"{endpoint}: its name cannot be resolved: {reason_of(error)}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _open(connection: Connection, address: str, context: ssl.SSLContext | None, timeout: float) -> None:
    endpoint = connection.endpoint
    ldaps = endpoint.tls == "ldaps"
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        await loop.create_connection(
            lambda: connection,
            address,
            endpoint.port,
            ssl=context if ldaps else None,
            server_hostname=endpoint.address if ldaps else None,
        )
        if endpoint.tls == "starttls" and context is not None:
            try:
                await connection.start_tls(context, timeout)
            finally:
                if not connection.usable:
                    await connection.close()


