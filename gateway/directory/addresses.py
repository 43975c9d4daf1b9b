"""The addresses of a host, in the order in which they are tried.

Names are looked up in threads of their own, because a resolver may hang for longer than anybody waits, and a thread
that hangs there cannot be ended: in the executor of the loop, or in uvloop's four threads, a few such names would keep
everything else waiting, the end of the process included. There is one look-up at a time for a name, whoever asks.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Final

LookUp = Callable[..., Sequence[tuple[Any, ...]]]
"""Such as ``socket.getaddrinfo``."""

_Found = list[str] | Exception
_Key = tuple[asyncio.AbstractEventLoop, str, int]
_running: Final[dict[_Key, asyncio.Future[_Found]]] = {}


async def addresses(host: str, port: int, look_up: LookUp = socket.getaddrinfo) -> list[str]:
    """The addresses of ``host``, a name or an address without brackets, for ``interleaved`` attempts.

    Takes as long as the resolver does: whoever calls sets the time. Raises OSError, ValueError (no possible name).
    """
    if _is_address(host):
        return [host]
    key = asyncio.get_running_loop(), host, port
    future = _running.get(key)
    if future is None:
        future = key[0].create_future()
        threading.Thread(target=_run, args=(key, future, look_up), name="resolve", daemon=True).start()
        _running[key] = future
    found = await asyncio.shield(future)
    if isinstance(found, Exception):
        raise copy.copy(found)  # each waiter has a traceback of its own
    return found


def interleaved(found: Sequence[tuple[Any, str]]) -> list[str]:
    """Addresses, each with its family, so that families take turns (RFC 8305 section 4); the resolver's first leads."""
    distinct = list(dict.fromkeys(found))
    leading = [address for family, address in distinct if family == distinct[0][0]]
    others = [address for family, address in distinct if family != distinct[0][0]]
    return [address for pair in zip_longest(leading, others) for address in pair if address]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _run(key: _Key, future: asyncio.Future[_Found], look_up: LookUp) -> None:
    loop, host, port = key
    found: _Found
    try:
        rows = look_up(host, port, type=socket.SOCK_STREAM)
        found = interleaved([(family, str(address[0])) for family, *_, address in rows])
    except Exception as error:
        found = error

    def tell() -> None:
        _running.pop(key, None)
        future.set_result(found)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:  # the loop was closed in the meantime
        _running.pop(key, None)
