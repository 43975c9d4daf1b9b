"""The hosts of one server: which to ask, in which order, and which to leave alone for now.

- A connection goes to the first host, in the order given, that gives one. The next is tried as well when a host fails
  or has not answered for ``HEAD_START`` seconds; a host that was overtaken so counts as failed.
- Only setting up a connection fails over, the bind as the service included. Whatever a directory answers afterwards,
  a wrong password above all, is never asked of another host (vault.md 4.1).
- A service account that was refused is asked of no other host either, and not again for ``pool.backoff``; then of one
  host, of another each time. Each time counts towards a lock of the account, so the pause grows (``_rest``) until one
  takes it; a reload cuts it short. Where another host goes on serving, only the one that refused rests.
- A host that failed is left alone for a growing while. One that refuses quickly is asked again within a second, since
  asking costs nothing; one that kept somebody waiting, after up to ``pool.backoff``.
- While a host is well, those that failed are asked in the background only.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from gateway.directory.connection import (
    Connection,
    DirectoryError,
    Endpoint,
    ServiceBindFailed,
    TimedOut,
    Unreachable,
)
from gateway.directory.hosts import HOST_TROUBLE
from gateway.directory.race import first_to_succeed

HEAD_START: Final = 1.5
"""Seconds that a host is waited for alone: enough for a lost packet, which is sent again after one."""
_FIRST_BACKOFF: Final = 0.1
_QUICK_BACKOFF: Final = 1.0
"""Longest pause, in seconds, before asking a host again that refused without keeping anybody waiting."""
_COUNTED: Final = frozenset({
    19,  # constraintViolation: how some servers say that an account is locked
    49,  # invalidCredentials
    53,  # unwillingToPerform: the account may not log in, or not now
})  # fmt: skip
"""Result codes of the service's bind that servers count, and that time alone hardly mends."""
_LONGEST_REST: Final = 1800.0
"""Seconds; where servers lock accounts at all, it is usually for so many wrong passwords within half an hour."""


@dataclass(frozen=True, slots=True)
class HostState:
    """How a host fares, for status pages and metrics."""

    endpoint: Endpoint
    state: Literal["up", "down", "unknown"]
    """Unknown: nobody has needed it so far."""
    error: str
    """Why it is down; empty otherwise."""
    since: float
    """Seconds since 1970 when it came into this state."""
    retry_seconds: float
    """Until it is asked again, at the earliest; 0 where it may be asked now."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """What status pages and metrics show."""

    up: bool
    endpoint: Endpoint | None
    """The host in use, or the last one."""
    error: str
    """Why it is down; empty when it is up."""
    since: float
    """Seconds since 1970."""


class Host:
    """An endpoint and how it fares. Times are those of the event loop, but ``since``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.failures = self.refusals = 0
        """In a row; ``refusals`` are those of the service account."""
        self.failed_at = self.retry_at = 0.0
        self.error: DirectoryError | None = None
        self.answers = False
        """Whether it was heard since the last doubt."""
        self.since = time.time()
        self._asked = False

    def well(self) -> None:
        """It answered."""
        if self.failures or not self._asked:
            self.since = time.time()
        self.failures = 0
        self.error = None
        self.answers = self._asked = True

    def failed(self, error: DirectoryError, now: float, waited: float, longest: float) -> None:
        """Leave it alone for a growing while, at least as long as it kept us waiting, at most ``longest``."""
        if not self.failures:
            self.since = time.time()
        self.failures += 1
        self.answers, self._asked = False, True
        self.error = copy.copy(error)  # without its traceback, whose frames hold a password
        self.failed_at = now
        growing = _FIRST_BACKOFF * 2 ** min(self.failures - 1, 16)
        pause = max(waited, growing) if waited >= _FIRST_BACKOFF else min(growing, _QUICK_BACKOFF)
        self.retry_at = now + min(longest, longest if self.refuses else pause)

    @property
    def refuses(self) -> bool:
        """Whether it is the service account that was wrong, and not the host."""
        return isinstance(self.error, ServiceBindFailed) and self.error.code not in HOST_TROUBLE

    def state(self, now: float) -> HostState:
        """For those who look at it."""
        pause = max(0.0, self.retry_at - now) if self.failures else 0.0
        state: Literal["up", "down", "unknown"] = "down" if self.failures else "up" if self._asked else "unknown"
        return HostState(self.endpoint, state, str(self.error or ""), self.since, pause)


class Hosts:
    """The hosts of a server, in the order given.

    ``dial`` sets up a connection. ``log_in`` binds it as the service, ``greet`` makes sure that somebody answers; both
    close a connection of which nothing comes. ``asking_seconds`` is the most that all this may take, ``longest_pause``
    the longest for which a host is left alone.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        dial: Callable[[Endpoint], Awaitable[Connection]],
        log_in: Callable[[Connection], Awaitable[None]],
        greet: Callable[[Connection], Awaitable[None]],
        *,
        asking_seconds: float,
        longest_pause: float,
    ) -> None:
        self._hosts = [Host(endpoint) for endpoint in endpoints]
        self._dial = dial
        self._log_in = log_in
        self._greet = greet
        self._asking_seconds = asking_seconds
        self._longest_pause = max(longest_pause, _FIRST_BACKOFF)
        self._refused: DirectoryError | None = None
        self._refusals = 0
        self._refused_at = self.refused_until = 0.0
        """Loop time until which the service account is left alone, whatever the host."""

    @property
    def states(self) -> tuple[HostState, ...]:
        """How each fares, in order."""
        now = _now()
        return tuple(host.state(now) for host in self._hosts)

    @property
    def refusal(self) -> DirectoryError | None:
        """Why the service account is to be left alone for now; None where it is not."""
        return copy.copy(self._refused) if self.refused_until > _now() else None

    def may_ask(self, *, service: bool) -> bool:
        """Whether ``connect`` would ask any host."""
        return bool(self._to_ask(service=service))

    def accepted(self) -> None:
        """A host takes the service account: refusals of others say something of those hosts only."""
        self._refused, self._refusals, self.refused_until = None, 0, 0.0

    def try_again(self) -> None:
        """The service account may be mended by now: wait no longer than the first pause; the next stays as it is."""
        for host in self._hosts:
            if host.refuses:
                host.retry_at = min(host.retry_at, host.failed_at + self._longest_pause)
        self.refused_until = min(self.refused_until, self._refused_at + self._longest_pause)

    @property
    def down(self) -> list[Host]:
        """Those that failed, in order."""
        return [host for host in self._hosts if host.failures]

    def precedes(self, endpoint: Endpoint, other: Endpoint) -> bool:
        """Whether it comes before the other one, or is it."""
        order = [host.endpoint for host in self._hosts]
        return order.index(endpoint) <= order.index(other)

    async def connect(self, *, service: bool) -> Connection:
        """A new connection to the first host that gives one. Fails at once when all are to be left alone.

        Raises ``ServiceBindFailed`` or ``Unreachable``.
        """
        if asked := self._to_ask(service=service):
            attempts = [partial(self._attempt, host, service=service) for host in asked]
            try:
                connection = await first_to_succeed(attempts, HEAD_START, _discard)
            except ExceptionGroup as failures:
                if failures.split(DirectoryError)[1]:
                    raise
            else:
                if connection is not None:
                    return connection
        raise self._why_none()

    def _to_ask(self, *, service: bool) -> list[Host]:
        """The hosts that are well, then those that failed and may be asked again; last who refused the account last."""
        now = _now()
        if service and self.refusal:
            return []
        well = [host for host in self._hosts if not host.failures]
        again = [host for host in self.down if host.retry_at <= now]
        return well + sorted(again, key=lambda host: host.failed_at if host.refuses else 0.0)

    async def _attempt(self, host: Host, *, service: bool) -> Connection | None:
        """None where no other host is to be tried either."""
        try:
            return await self.ask(host, service=service)
        except ServiceBindFailed:
            if host.refuses:
                return None
            raise

    async def ask(self, host: Host, *, service: bool) -> Connection:
        """A connection to this host, bound as the service where that is wanted. Raises DirectoryError."""
        begun = _now()
        if service and (refusal := self.refusal):
            raise refusal
        if host.failures:
            if host.retry_at > begun:
                raise copy.copy(host.error or Unreachable(f"{host.endpoint}: down"))
            # Only one at a time asks a host that may still be dead.
            host.retry_at = begun + self._asking_seconds
        try:
            connection = await self._dial(host.endpoint)
            if service:
                await self._log_in(connection)
            elif not host.answers:
                await self._greet(connection)
        except DirectoryError as error:
            self._failed(host, error, _now() - begun)
            raise
        except asyncio.CancelledError:
            if (waited := _now() - begun) >= HEAD_START:
                overtaken = TimedOut(f"{host.endpoint}: no connection within {waited:.1f} s, another host was faster")
                self._failed(host, overtaken, waited)
            raise
        host.well()
        if service:
            host.refusals = 0
            self.accepted()
        return connection

    def failed(self, endpoint: Endpoint, error: DirectoryError, waited: float = 0.0) -> None:
        """Connections to it are of no use: leave it alone for a while."""
        self._failed(self._of(endpoint), error, waited)

    def _failed(self, host: Host, error: DirectoryError, waited: float) -> None:
        now = _now()
        host.failed(error, now, waited, self._longest_pause)
        if host.refuses:
            self._refusals += 1
            host.refusals += 1
            if isinstance(error, ServiceBindFailed) and error.code in _COUNTED:
                host.retry_at = now + _rest(max(host.refusals, self._refusals), self._longest_pause)
            self._refused, self._refused_at, self.refused_until = host.error, now, host.retry_at

    def doubt(self, endpoint: Endpoint) -> None:
        """A connection to it went silent: the next one must show that somebody answers."""
        self._of(endpoint).answers = False

    def _of(self, endpoint: Endpoint) -> Host:
        return next(host for host in self._hosts if host.endpoint == endpoint)

    def _why_none(self) -> DirectoryError:
        """A refused service account comes before all else."""
        errors = [host.error for host in self._hosts if host.error is not None]
        refused = next((error for error in errors if isinstance(error, ServiceBindFailed)), None)
        return copy.copy(refused) if refused else Unreachable("; ".join(map(str, errors)) or "no host could be asked")


def _rest(refusals: int, first: float) -> float:
    """Seconds for which the service account is left alone: four times as long each time, half an hour at most."""
    return max(first, min(_LONGEST_REST, first * 4.0 ** min(refusals - 1, 8)))


def _discard(connection: Connection | None) -> None:
    if connection is not None:
        connection.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()
