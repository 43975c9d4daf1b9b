"""The sockets that requests come in by."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from gateway.config.schema import Address, UnixAddress

SHARED_MODE: Final = 0o660
"""Of a unix socket that proxies of our group use (DECISIONS 27)."""
HANDSHAKE_SECONDS: Final = 10.0
"""How long a client may take to begin TLS."""
SHUTDOWN_SECONDS: Final = 3.0
"""How long a client may take to end TLS, when we have."""


async def listen(runner: web.ServerRunner, addresses: Sequence[Address], tls: ssl.SSLContext) -> list[str]:
    """Open every listener, those of HTTPS with ``tls``; returns their addresses. Raises OSError."""
    shown = []
    for address in addresses:
        site: web.BaseSite
        if isinstance(address, UnixAddress):
            site = UnixSite(runner, address.path, SHARED_MODE)
        elif address.tls:
            site = HttpsSite(runner, address.host or None, address.port, tls)
        else:
            site = web.TCPSite(runner, address.host or None, address.port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or "no such address"
            raise OSError(error.errno, f"{address}: {why} (listen)") from error
        if isinstance(address, UnixAddress):
            shown.append(str(address))
        else:
            shown.append(f"{'https' if address.tls else 'http'}://{_bound(runner)}")
    return shown


class CurrentContext(ssl.SSLContext):
    """Makes each handshake with what ``current`` gives at that moment, so that a new certificate needs no new listener.

    Loading one into a context that is in use would not do: it keeps one pair for each kind of key, and half of a broken
    one. Both event loops begin a connection with ``wrap_bio``, and handshakes fail where one did not.
    """

    def __new__(cls, _current: Callable[[], ssl.SSLContext | None]) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, current: Callable[[], ssl.SSLContext | None]) -> None:
        self._current = current

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection."""
        context = self._current()
        return super().wrap_bio(*arguments, **options) if context is None else context.wrap_bio(*arguments, **options)


class HttpsSite(web.TCPSite):
    """A TCP listener with TLS, on which a handshake has an end, and so has waiting for the other side's farewell."""

    def __init__(
        self, runner: web.ServerRunner, host: str | None, port: int, tls: ssl.SSLContext,
        *, handshake_seconds: float = HANDSHAKE_SECONDS, shutdown_seconds: float = SHUTDOWN_SECONDS,
    ) -> None:  # fmt: skip
        super().__init__(runner, host, port, ssl_context=tls)
        self._address = (host, port)
        self._handshake_seconds = handshake_seconds
        self._shutdown_seconds = shutdown_seconds

    async def start(self) -> None:
        """Open the socket. Raises OSError."""
        await web.BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner was not set up")
        self._server = await asyncio.get_running_loop().create_server(
            server, *self._address,
            ssl=self._ssl_context, backlog=self._backlog, reuse_address=True,
            ssl_handshake_timeout=self._handshake_seconds, ssl_shutdown_timeout=self._shutdown_seconds,
        )  # fmt: skip


class UnixSite(web.UnixSite):
    """A unix socket with a mode of its own, removed when we stop.

    A socket that a killed process left behind is replaced; one that somebody answers on, and a file that is none, are
    not: the event loop would remove either without asking.
    """

    def __init__(self, runner: web.ServerRunner, path: Path, mode: int) -> None:
        super().__init__(runner, str(path))
        self._file = path
        self._mode = mode
        self._own: tuple[int, int] | None = None

    async def start(self) -> None:
        """Open the socket. Raises OSError."""
        if self._file.exists() and (not self._file.is_socket() or await asyncio.to_thread(_answers, self._file)):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(self._file))
        before = os.umask(0o777 & ~self._mode)
        try:
            await super().start()
        finally:
            os.umask(before)
        self._own = _file_id(self._file)

    async def stop(self) -> None:
        """Close the socket, and remove it where it is still ours."""
        await super().stop()
        if self._own is not None and _file_id(self._file) == self._own:
            self._file.unlink()


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _bound(runner: web.ServerRunner) -> str:
    """Address of the listener opened last, with the port the system chose where 0 was asked for."""
    name = runner.addresses[-1]
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
