# ruff: noqa: ASYNC109 - setting up a connection has a deadline of its own
"""How to connect to one host of a server, over whichever of its addresses works, and how to bind there as the service.

``timeout`` is for the whole of it: resolving the name, all addresses, and TLS (vault.md 4.1). The addresses are tried
as RFC 8305 says. An attempt counts as successful only when TLS stands, so that an address with a wrong certificate, or
one that accepts and stays silent, does not hide the others.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Final

from gateway.directory.account_state import bind_restriction
from gateway.directory.addresses import addresses
from gateway.directory.connection import (
    Connection,
    DirectoryError,
    Endpoint,
    ServiceBindFailed,
    Unreachable,
    answer_of,
    reason_of,
)
from gateway.directory.filters import compile_filter
from gateway.directory.messages import Result, Scope, SearchRequest
from gateway.directory.race import first_to_succeed
from gateway.directory.searches import GENERAL_ADVICE, PASSING

HEAD_START: Final = 0.25
"""Seconds before the next address is tried as well (RFC 8305 section 8, Connection Attempt Delay)."""
HOST_TROUBLE: Final = PASSING
"""Result codes of the service's bind that are the host's trouble and not the account's: another may do better."""

_ROOT: Final = SearchRequest("", compile_filter("(objectClass=*)"), ["1.1"], scope=Scope.BASE)


async def connect(
    endpoint: Endpoint,
    tls_context: ssl.SSLContext | None,
    *,
    timeout: float,
    max_message: int = 8 * 1024 * 1024,
    max_entries: int = 20_000,
) -> Connection:
    """Connect within ``timeout`` seconds to the first address of the endpoint that works, TLS included.

    Raises ``Unreachable``, with a reason for each address.
    """
    begun = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(timeout):
            found = await addresses(endpoint.address, endpoint.port)
    except TimeoutError:
        raise Unreachable(f"{endpoint}: its name was not resolved in time") from None
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: no more threads
        raise Unreachable(f"{endpoint}: its name cannot be resolved: {reason_of(error)}") from error
    left = begun + timeout - asyncio.get_running_loop().time()
    return await connect_to(
        found, endpoint, tls_context, timeout=left, max_message=max_message, max_entries=max_entries
    )


async def connect_to(
    found: Sequence[str],
    endpoint: Endpoint,
    tls_context: ssl.SSLContext | None,
    *,
    timeout: float,
    max_message: int = 8 * 1024 * 1024,
    max_entries: int = 20_000,
) -> Connection:
    """As ``connect``, to these addresses."""
    reasons = {}

    async def attempt(address: str) -> Connection:
        reasons[address] = "no connection in time"
        connection = Connection(endpoint, max_message=max_message, max_entries=max_entries)
        try:
            await _open(connection, address, tls_context, timeout)
        except (DirectoryError, OSError) as error:
            reasons[address] = _reason(error, endpoint)
            raise
        return connection

    try:
        async with asyncio.timeout(timeout):
            attempts = [partial(attempt, address) for address in found]
            return await first_to_succeed(attempts, HEAD_START, Connection.abort)
    except TimeoutError:
        pass
    except ExceptionGroup as failures:
        if failures.split((DirectoryError, OSError))[1]:
            raise
    told = [f"{address}: {reason}" for address, reason in reasons.items()]
    raise Unreachable(f"{endpoint}: {'; '.join(told if len(set(reasons.values())) > 1 else set(reasons.values()))}")


def _reason(error: DirectoryError | OSError, endpoint: Endpoint) -> str:
    if isinstance(error, OSError):
        return reason_of(error, in_tls=endpoint.tls == "ldaps")
    return str(error).removeprefix(f"{endpoint}: ")


async def _open(connection: Connection, address: str, context: ssl.SSLContext | None, timeout: float) -> None:
    endpoint = connection.endpoint
    ldaps = endpoint.tls == "ldaps"
    await asyncio.get_running_loop().create_connection(
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


async def greet(connection: Connection, timeout: float) -> None:
    """Wait for a word of the directory: any answer to a search for the root entry will do (RFC 4512 section 5.1).

    Whoever only accepts connections (a balancer, a process that hangs) is found out before a password depends on it.
    Closes the connection when there is none. Raises ``Unreachable``, ``AnswerTooLarge`` or ``ProtocolError``.
    """
    try:
        await connection.search(_ROOT, "", timeout)
    except BaseException:
        connection.abort()
        await connection.close()
        raise


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
    if barred := bind_restriction(result):
        advice = f"{barred.text}: mend that account, or give another in bind_dn"
    told = f"{who} was refused: {answer_of(result)}"
    return told if result.code in HOST_TROUBLE else f"{told}{GENERAL_ADVICE.get(result.code, f'; {advice}')}"
