"""One server as ``explain`` asks it: the same engine as a login's, over connections of its own with a trace."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from gateway.directory.bind import DirectoryServer
from gateway.directory.escape import DnError
from gateway.directory.pools import make_pool, service_dn
from gateway.directory.realm import Gate, Outcome, Rule, Verdict
from gateway.directory.tls import TlsSettingsError
from gateway.directory.traced import TracedPool

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.traced import Operation

_POOL_LOG = "gateway.directory.pool"
"""What the pool logs of a connection that fails stands in the verdict as well."""


class AskedServer:
    """A member of the realm that connects when it is asked, and keeps what happened."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self.in_realm = server.realm
        self.server = server
        self.was_asked = False
        self.endpoint = ""
        """``host:port`` that is connected to, or was tried last."""
        self.connect_milliseconds: float | None = None
        """How long that took, the service's bind included; None where it did not succeed."""
        self.would_bind = ""
        """The name that only a password can try."""
        self.operations: list[Operation] = []
        self.warnings: list[str] = []
        """What a daemon would log besides the verdict."""

    @property
    def sent(self) -> list[Operation]:
        """The operations that reached a directory, as far as anybody knows: none without a connection."""
        connected = self.connect_milliseconds is not None
        return [one for one in self.operations if connected or one.result or one.new_connection]

    async def authenticate(self, username: str, password: str, gate: Gate, rule: Rule | None = None) -> Verdict:
        """As ``DirectoryServer.authenticate``."""
        try:
            async with self.directory() as directory:
                return await directory.authenticate(username, password, gate, rule)
        except TlsSettingsError as error:
            return Verdict(self.name, Outcome.ERROR, str(error))

    async def look_up(self, username: str) -> Verdict | None:
        """As ``DirectoryServer.look_up``; None where this server binds first, as what ``would_bind`` then is."""
        try:
            async with self.directory() as directory:
                if directory.searches_first:
                    return await directory.look_up(username)
                self.would_bind = directory.bind_name(username)
                if not directory.pool.state.up:
                    return Verdict(self.name, Outcome.UNREACHABLE, directory.pool.state.error)
        except TlsSettingsError as error:
            return Verdict(self.name, Outcome.ERROR, str(error))
        except DnError as error:
            return Verdict(self.name, Outcome.INVALID, str(error))
        return None

    @contextlib.asynccontextmanager
    async def directory(self) -> AsyncIterator[DirectoryServer]:
        """The engine, connected where that is possible. Raises ``TlsSettingsError``."""
        self.was_asked = True
        with self._listening():
            pool = await make_pool(self.server)
            traced = TracedPool(pool, service_dn(self.server))
            self.operations = traced.operations
            try:
                started = time.perf_counter()
                await pool.start()
                if pool.state.up:
                    self.connect_milliseconds = round((time.perf_counter() - started) * 1000, 3)
                yield DirectoryServer(self.server, pool, traced)
            finally:
                self.endpoint = str(pool.state.endpoint or "")
                await pool.close(0)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Keep the warnings of the engine, which nobody would connect with the answer on another stream."""
        handler = _Keeper(self.warnings)
        logger = logging.getLogger("gateway")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _Keeper(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _POOL_LOG:
            self._kept.append(record.getMessage())
