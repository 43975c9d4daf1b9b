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
from collections.abc import Sequence
from typing import Final

from gateway.directory.connection import (
    Connection,
    DirectoryError,
    Endpoint,
    ServiceBindFailed,
    Unreachable,
    answer_of,
    reason_of,
)
from gateway.directory.messages import Result

_FIRST_BACKOFF: Final = 0.1
_QUICK_BACKOFF: Final = 1.0
"""Longest pause, in seconds, before asking a host again that refused without keeping anybody waiting."""
HOST_TROUBLE: Final = frozenset({51, 52})
"""Result codes busy and unavailable: another host may do better."""
_WANTS_TLS: Final = frozenset({8, 13})
"""Result codes strongerAuthRequired and confidentialityRequired."""


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


def candidates(hosts: Sequence[Host], now: float) -> list[Host]:
    """The hosts that are well, in order, then those that failed and may be asked again."""
    well = [host for host in hosts if not host.failures]
    return well + [host for host in hosts if host.failures and host.retry_at <= now]


def why_none(hosts: Sequence[Host]) -> DirectoryError:
    """Why no host gave a connection; a refused service account comes before all else."""
    errors = [host.error for host in hosts if host.error is not None]
    refused = next((error for error in errors if isinstance(error, ServiceBindFailed)), None)
    return copy.copy(refused) if refused else Unreachable("; ".join(map(str, errors)) or "no host could be asked")


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


async def bind_service(connection: Connection, dn: str, password: str, timeout: float) -> None:
    """Bind as the service, without a password if there is none; closes the connection when that does not succeed.

    Raises ``ServiceBindFailed``, ``Unreachable`` or ``ProtocolError``.
    """
    try:
        if password:
            result = await connection.bind(dn, password, timeout)
        else:
            result = await connection.bind_without_password(dn, timeout)
        require_service(result, connection.endpoint, dn, password)
    except BaseException:
        connection.abort()
        await connection.close()
        raise


def require_service(result: Result, endpoint: Endpoint, dn: str = "", password: str = "") -> None:
    """Raise ``ServiceBindFailed`` where the bind with which the service searches was refused."""
    if result.code:
        raise ServiceBindFailed(f"{endpoint}: {_refusal(result, dn, password)}", result.code)


def _refusal(result: Result, dn: str, password: str) -> str:
    """What happened, in the directory's words too, and which keys of the configuration to look at."""
    if not dn:
        who, advice = "an anonymous bind", "set bind_dn and bind_password, or unset anonymous_group_search"
    elif not password:
        who, advice = f"the service account {dn} without a password", "set bind_password"
    else:
        who, advice = f"the service account {dn}", "check bind_dn and bind_password"
    if result.code in _WANTS_TLS:
        advice = "set start_tls or use_ssl"
    told = f"{who} was refused: {answer_of(result)}"
    return told if result.code in HOST_TROUBLE else f"{told}; {advice}"
