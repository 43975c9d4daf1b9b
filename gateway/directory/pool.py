# ruff: noqa: ASYNC109 - each operation of LDAP has a deadline of its own
"""The connections to one server: one for searches as the service, some for the password checks of people.

- Searches of all logins share the service connection. When it is lost underneath a search, that search is sent once
  more on a new one. Binds take a connection each, last used first, at most ``binds`` of them; who must wait is served
  in order, within the own deadline.
- Which host a connection goes to is said in ``failover``. Hosts that failed are asked again in the background, and an
  earlier host that is well again takes over. With every host down, operations fail at once until one may be asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final

from gateway.directory.bound import Bound
from gateway.directory.connection import (
    Connection,
    ConnectionLost,
    DirectoryError,
    Endpoint,
    ServiceBindFailed,
    TimedOut,
    Unreachable,
    require_password,
)
from gateway.directory.exclusive import ExclusiveConnections, acquire
from gateway.directory.failover import Host, Hosts, HostState, PoolState
from gateway.directory.filters import Filling
from gateway.directory.hosts import bind_service, connect, greet, require_service
from gateway.directory.messages import Entry, Result, SearchRequest

__all__ = ["Bound", "Endpoint", "HostState", "Pool", "PoolState", "ServiceBindFailed"]

log = logging.getLogger(__name__)

_SEARCHES: Final = 64
"""Searches at once on the service connection: slapd closes one with 100 (anonymous) or 1000 waiting operations."""
_NOT_YET: Final = "not connected yet"
_START_SECONDS: Final = 2.0
"""``start`` waits no longer for the first connection, whatever the timeouts: a directory may accept and stay silent."""
_SHORT_LIFE: Final = 1.0
_SHORT_LIVES: Final = 3
"""So many service connections in a row, lost within ``_SHORT_LIFE`` seconds and of no use to anybody, are a failure."""
_DRAIN_SECONDS: Final = 5.0

_Bind = Callable[[Connection, float], Awaitable[Result]]
"""Binds on a connection within so many seconds."""


class Pool:
    """All connections to one server. Belongs to one event loop; ``start`` and ``close`` frame its use.

    Durations are seconds. ``bind_password`` empty means an anonymous service, or with a ``bind_dn`` the unauthenticated
    bind. ``service`` false means that nothing is ever searched but by ``bound_as`` (single bind).
    Each operation may take ``timeout``, by default ``request_timeout``, waiting for a connection included.
    Raises ``ValueError`` for settings that cannot work: no endpoint, TLS without a context, a password without a name.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        tls_context: ssl.SSLContext | None = None,
        *,
        bind_dn: str = "",
        bind_password: str = "",
        service: bool = True,
        binds: int = 16,
        idle_seconds: float = 300.0,
        backoff_seconds: float = 30.0,
        probe_seconds: float = 10.0,
        connect_timeout: float = 10.0,
        request_timeout: float = 10.0,
        max_message: int = 8 * 1024 * 1024,
        max_entries: int = 20_000,
        name: str = "ldap",
    ) -> None:
        if not endpoints:
            raise ValueError("a pool needs an endpoint")
        if tls_context is None and any(endpoint.tls != "none" for endpoint in endpoints):
            raise ValueError("an endpoint with TLS needs a TLS context")
        if bind_password:
            require_password(bind_dn, bind_password)
        self.name = name
        self.connects = 0
        """Connections that were set up, their service bind included."""
        self.binds = 0
        """Binds sent for people."""
        self.searches = 0
        """Searches sent, second tries included."""
        self.lost = 0
        """Connections that ended by any way but our own closing."""
        self._hosts = Hosts(
            endpoints, self._dial, self._log_in, self._greet,
            asking_seconds=connect_timeout + request_timeout, longest_pause=backoff_seconds,
        )  # fmt: skip
        self._tls_context = tls_context
        self._bind_dn = bind_dn
        self._bind_password = bind_password
        self._with_service = service
        self._idle_seconds = idle_seconds
        self._probe_seconds = probe_seconds
        self._connect_timeout = connect_timeout
        self._request_timeout = request_timeout
        self._limits = {"max_message": max_message, "max_entries": max_entries}
        self._exclusive = ExclusiveConnections(binds, name, self._connect, self._worth_keeping)
        self._searching = asyncio.Semaphore(_SEARCHES)
        self._crowded = f"{name}: no connection in time, {_SEARCHES} searches are running"
        self._service: Connection | None = None
        self._service_since = 0.0
        self._short_lives = 0
        self._connecting: asyncio.Task[Connection] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._state = PoolState(False, None, _NOT_YET, time.time())

    # Operations

    async def search(
        self, request: SearchRequest, value: Filling = "", timeout: float | None = None
    ) -> tuple[list[Entry], Result]:
        """Entries and result of ``request`` for ``value``, searched as the service.

        Raises ``Unreachable``, ``ServiceBindFailed``, ``AnswerTooLarge`` or ``ProtocolError``.
        """
        deadline = self._deadline(timeout)
        await acquire(self._searching, deadline, self._crowded)
        try:
            try:
                return await self._search(request, value, deadline)
            except ConnectionLost:
                return await self._search(request, value, deadline)
        finally:
            self._searching.release()

    async def _search(self, request: SearchRequest, value: Filling, deadline: float) -> tuple[list[Entry], Result]:
        connection = await self._service_connection(deadline)
        self.searches += 1
        with self.listening(connection):
            answer = await connection.search(request, value, self.remaining(deadline))
        self._short_lives = 0
        return answer

    async def bind(self, dn: str, password: str, timeout: float | None = None) -> Result:
        """Check a password: 0 is right, 49 wrong, other codes are the directory's trouble.

        Raises ``EmptyPassword`` before anything is sent, ``Unreachable`` or ``ProtocolError``.
        """
        connection, result = await self._bind(dn, password, self._deadline(timeout))
        self._exclusive.give_back(connection)
        return result

    @contextlib.asynccontextmanager
    async def bound_as(self, dn: str, password: str, timeout: float | None = None) -> AsyncIterator[Bound]:
        """A connection bound as ``dn``, for the single-bind mode: look at ``result``, then search. Errors as ``bind``.

        ``timeout`` counts from here to the last search.
        """
        deadline = self._deadline(timeout)
        connection, result = await self._bind(dn, password, deadline)
        try:
            yield Bound(self, connection, result, deadline)
        finally:
            self._exclusive.give_back(connection)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[Bound]:
        """A connection bound as the service that nobody shares, for several searches that belong together.

        Its bind is one more round trip. Each operation has its own ``request_timeout``. Errors as ``search``.
        """
        async with self._as_service(self._bind_dn, self._bind_password) as bound:
            yield bound

    @contextlib.asynccontextmanager
    async def anonymous(self) -> AsyncIterator[Bound]:
        """As ``alone``, but as nobody in particular: bound with neither name nor password."""
        async with self._as_service("", "") as bound:
            yield bound

    @contextlib.asynccontextmanager
    async def _as_service(self, dn: str, password: str) -> AsyncIterator[Bound]:
        def bind(connection: Connection, seconds: float) -> Awaitable[Result]:
            if password:
                return connection.bind(dn, password, seconds)
            return connection.bind_without_password(dn, seconds)

        if password and (refusal := self._hosts.refusal):
            raise refusal
        connection, result = await self._exclusively(bind, self._deadline(None))
        try:
            require_service(result, connection.endpoint, dn, password)
            yield Bound(self, connection, result, math.inf)
        except ServiceBindFailed as error:
            if password:
                self._no_longer_welcome(connection.endpoint, error)
            raise
        finally:
            self._exclusive.give_back(connection)

    def _no_longer_welcome(self, endpoint: Endpoint, error: ServiceBindFailed) -> None:
        """The service's password was changed underneath the connection that is still bound with it.

        Others would go on to try it there, login by login, and lock the account.
        """
        self._hosts.failed(endpoint, error)
        if self._service is not None:
            self._exclusive.dismiss(self._service, self._request_timeout)
            self._service = None
        self._changed(endpoint, error)
        self._wake.set()

    def remaining(self, deadline: float) -> float:
        """Seconds an operation may still take. Raises ``TimedOut`` when there are none."""
        left = deadline - self._now()
        if left <= 0:
            raise TimedOut(f"{self.name}: no connection in time")
        return min(left, self._request_timeout)

    @contextlib.contextmanager
    def listening(self, connection: Connection) -> Iterator[None]:
        """Around an operation. When it ends in silence, connections that were not used in the meantime are not trusted.

        A firewall that forgets idle connections drops what they send without a word, from all of them alike.
        """
        begun, heard_at = self._now(), connection.heard_at
        try:
            yield
        except BaseException:
            if connection.silent:
                self._exclusive.close_idle(begun)
                if self._service is not None and self._service.heard_at <= heard_at:
                    self._service.silent = True
                self._hosts.doubt(connection.endpoint)
                self._wake.set()
            raise

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _deadline(self, timeout: float | None) -> float:
        if self._closing:
            raise Unreachable(f"{self.name}: closed")
        return self._now() + (self._request_timeout if timeout is None else timeout)

    # Life

    @property
    def state(self) -> PoolState:
        """Up or down, and why."""
        return self._state

    @property
    def hosts(self) -> tuple[HostState, ...]:
        """Each host, in order."""
        return self._hosts.states

    async def start(self, seconds: float = _START_SECONDS) -> None:
        """Try each host once, and watch over the connections from now on. A directory that is down is no error.

        Returns after so many seconds at the latest; the attempt then goes on by itself.
        """
        if self._keeper is not None:
            return
        self._keeper = asyncio.create_task(self._keep(), name=f"pool {self.name}")
        deadline = self._now() + seconds
        with contextlib.suppress(DirectoryError):
            if self._with_service:
                await self._service_connection(deadline)
            else:
                connection = await self._exclusive.take(deadline) or await self._exclusive.dial(deadline)
                self._exclusive.give_back(connection)

    def try_again(self) -> None:
        """After a reload: a refused service account may be mended by now, so it rests for ``backoff_seconds`` only."""
        self._hosts.try_again()
        self._wake.set()

    async def close(self, drain_seconds: float = _DRAIN_SECONDS) -> None:
        """Refuse new operations, let running ones end for up to ``drain_seconds``, close everything. Once is enough."""
        if self._closing:
            return
        self._closing = True
        deadline = self._now() + drain_seconds
        await _cancel(self._keeper, self._connecting)
        if self._service is not None:
            await self._service.close(drain_seconds)
        await self._exclusive.close(deadline)
        self._changed(None, Unreachable(f"{self.name}: closed"))

    def _changed(self, endpoint: Endpoint | None, error: DirectoryError | None) -> None:
        if error is None and not (self._state.up and self._state.endpoint == endpoint):
            log.info("directory %s: connected to %s", self.name, endpoint)
            self._state = PoolState(True, endpoint, "", time.time())
        elif error is not None and (self._state.up or self._state.error != str(error)):
            if (self._state.up or self._state.error == _NOT_YET) and not self._closing:
                log.warning("directory %s: %s", self.name, error)
            since = time.time() if self._state.up else self._state.since
            self._state = PoolState(False, endpoint or self._state.endpoint, str(error), since)

    # Connecting

    async def _connect(self, *, service: bool = False) -> Connection:
        """A new connection to the first host that gives one. Fails at once when all are to be left alone."""
        try:
            connection = await self._hosts.connect(service=service)
        except DirectoryError as error:
            if not (service and self._usable_service):
                self._changed(None, error)
            self._wake.set()
            raise
        if self._hosts.down:
            self._wake.set()
        self._changed(connection.endpoint, None)
        return self._counted(connection)

    def _counted(self, connection: Connection) -> Connection:
        self.connects += 1
        connection.on_lost = self._lost
        return connection

    async def _dial(self, endpoint: Endpoint) -> Connection:
        return await connect(endpoint, self._tls_context, timeout=self._connect_timeout, **self._limits)

    async def _log_in(self, connection: Connection) -> None:
        await bind_service(connection, self._bind_dn, self._bind_password, self._request_timeout)

    async def _greet(self, connection: Connection) -> None:
        await greet(connection, self._connect_timeout)

    def _lost(self, connection: Connection) -> None:
        """Called once for each connection that ends by itself."""
        self.lost += 1
        self._exclusive.forget(connection)
        if connection is not self._service:
            return
        self._service = None
        error = Unreachable(connection.ending)
        self._short_lives = self._short_lives + 1 if self._now() - self._service_since < _SHORT_LIFE else 0
        if self._short_lives >= _SHORT_LIVES:
            self._hosts.failed(connection.endpoint, error, _SHORT_LIFE)
        self._changed(connection.endpoint, error)
        self._wake.set()

    # The service connection

    @property
    def _usable_service(self) -> Connection | None:
        return self._service if self._service is not None and self._service.usable else None

    async def _service_connection(self, deadline: float) -> Connection:
        """The connection for searches; all who need a new one wait for the same attempt."""
        if connection := self._usable_service:
            return connection
        if self._closing:
            raise Unreachable(f"{self.name}: closed")
        if not self._with_service:
            raise DirectoryError(f"{self.name}: no service account, people can be searched only as they log in")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._renew_service(), name=f"connect {self.name}")
            self._connecting.add_done_callback(self._renewed)
        task = self._connecting
        await asyncio.wait([task], timeout=deadline - self._now())
        if not task.done():
            raise TimedOut(f"{self.name}: no connection in time")
        return _outcome(task, self.name)

    def _renewed(self, task: asyncio.Task[Connection]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()

    async def _renew_service(self) -> Connection:
        connection = await self._connect(service=True)
        self._adopt(connection)
        return connection

    def _adopt(self, connection: Connection) -> None:
        """Make this the service connection; the old one may finish what it is at."""
        old, self._service = self._service, connection
        self._service_since = self._now()
        self._changed(connection.endpoint, None)
        if old is not None:
            self._exclusive.dismiss(old, self._request_timeout if old.usable else 0.0)

    # Binds

    async def _bind(self, dn: str, password: str, deadline: float) -> tuple[Connection, Result]:
        require_password(dn, password)

        def bind(connection: Connection, seconds: float) -> Awaitable[Result]:
            self.binds += 1
            return connection.bind(dn, password, seconds)

        return await self._exclusively(bind, deadline)

    async def _exclusively(self, bind: _Bind, deadline: float) -> tuple[Connection, Result]:
        """Bind on a connection of our own; whoever gets it must give it back.

        A connection that was idle may turn out to be dead at the first word (idle limits of servers and balancers), so
        the bind is then tried once more on a new one. On a new connection it is never repeated.
        """
        connection = await self._exclusive.take(deadline)
        if connection is not None:
            try:
                return connection, await self._bind_on(connection, bind, deadline)
            except ConnectionLost:
                self._exclusive.drop(connection)
            except BaseException:
                self._exclusive.give_back(connection)
                raise
        connection = await self._exclusive.dial(deadline)
        try:
            return connection, await self._bind_on(connection, bind, deadline)
        except BaseException:
            self._exclusive.give_back(connection)
            raise

    async def _bind_on(self, connection: Connection, bind: _Bind, deadline: float) -> Result:
        with self.listening(connection):
            return await bind(connection, self.remaining(deadline))

    def _worth_keeping(self, connection: Connection) -> bool:
        return connection.endpoint == self._state.endpoint and not self._closing

    # Chores

    async def _keep(self) -> None:
        """Reconnect, return to earlier hosts, close what is idle; sleeps until the next of these is due."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_next_chore(self._now())):
                    await self._wake.wait()
            self._wake.clear()
            self._exclusive.close_idle(self._now() - self._idle_seconds)
            await self._probe_hosts()

    def _until_next_chore(self, now: float) -> float:
        due = [self._probe_at(host) for host in self._hosts.down]
        if self._exclusive.idle_since is not None:
            due.append(self._exclusive.idle_since + self._idle_seconds)
        return max(0.01, min([*due, now + self._probe_seconds]) - now)

    def _probe_at(self, host: Host) -> float:
        """With another host in use there is no hurry."""
        earliest = max(host.retry_at, self._hosts.refused_until if self._with_service else 0.0)
        return max(earliest, host.failed_at + self._probe_seconds) if self._state.up else earliest

    async def _probe_hosts(self) -> None:
        """See to it that there is a service connection, if any host may be asked; then ask those again that failed."""
        if self._with_service and self._usable_service is None and self._hosts.may_ask(service=True):
            with contextlib.suppress(DirectoryError):
                await self._service_connection(self._now() + self._connect_timeout)
        for host in self._hosts.down:
            if self._probe_at(host) <= self._now():
                with contextlib.suppress(DirectoryError):
                    connection = await self._hosts.ask(host, service=self._with_service)
                    self._welcome_back(host.endpoint, self._counted(connection))
            if self._usable_service is not None:
                self._hosts.accepted()

    def _welcome_back(self, endpoint: Endpoint, connection: Connection) -> None:
        """Return to a host when it comes before the one in use, or when there is none."""
        in_use = self._state.endpoint
        if self._state.up and in_use is not None and not self._hosts.precedes(endpoint, in_use):
            self._exclusive.dismiss(connection)
        elif self._with_service:
            self._adopt(connection)
        else:
            self._changed(endpoint, None)
            self._exclusive.put(connection)


async def _cancel(*tasks: asyncio.Task[Connection] | asyncio.Task[None] | None) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _outcome(task: asyncio.Task[Connection], name: str) -> Connection:
    """What a finished task connected. Each of those who waited for it gets an exception of its own."""
    if task.cancelled():
        raise Unreachable(f"{name}: closed")
    if error := task.exception():
        raise copy.copy(error)
    return task.result()
