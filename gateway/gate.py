"""The lockout at work: counters of the store before and during one attempt, and turns between attempts at once.

Without turns a hundred guesses sent at the same moment would all pass the check before the first is counted, and the
directory's own lock would fall on the person (DECISIONS 13).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from gateway.access.client_address import Address
from gateway.directory.realm import Outcome, Verdict
from gateway.grants import lockout

if TYPE_CHECKING:
    from gateway.store.interface import Store


TURN_SECONDS: Final = 30.0
"""How long an attempt waits for others on the same account or from the same address; TimeoutError after that."""


class Turns:
    """How many attempts on each counter are under way in this process, and a bell for those that wait."""

    def __init__(self) -> None:
        self.under_way: Counter[bytes] = Counter()
        self._ended = asyncio.Condition()

    async def wait(self) -> None:
        """Wait until some attempt has ended."""
        async with self._ended:
            await self._ended.wait()

    async def end(self, hashes: Sequence[bytes]) -> None:
        """Give turns back."""
        self.under_way.subtract(hashes)
        for key_hash in hashes:
            if self.under_way[key_hash] <= 0:
                del self.under_way[key_hash]
        async with self._ended:
            self._ended.notify_all()


class AttemptGate:
    """The lockout as one attempt meets it; ``async with`` gives its turns back."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        settings: lockout.Settings,
        username: str,
        client: Address | None,
        own: Mapping[str, lockout.Settings] | None = None,
    ) -> None:
        """``own`` are the settings of servers that have others than ``settings``."""
        self._store = store
        self._turns = turns
        self._settings = settings
        self._own = own or {}
        self._username = username
        self._address = lockout.address_key(client) if client else None
        self._taken: list[bytes] = []
        self._with_failures: dict[str, list[lockout.Key]] = {}

    async def __aenter__(self) -> AttemptGate:
        return self

    async def __aexit__(self, *exception: object) -> None:
        taken, self._taken = self._taken, []
        if taken:
            await self._turns.end(taken)

    async def throttled_seconds(self) -> int:
        """Seconds until this address may try again, waiting for a turn; 0 where it may now."""
        if self._address is None:
            return 0
        return await self._wait_for_turn("", self._address, self._settings, self._settings.address_failures)

    async def locked_seconds(self) -> int:
        """As ``throttled_seconds``, without waiting for a turn or taking one."""
        if self._address is None:
            return 0
        counters = await self._store.failures((self._address,))
        decision = lockout.check(counters, int(time.time()), self._settings)
        return 0 if decision.verdict is lockout.Verdict.ALLOWED else max(decision.retry_after, 1)

    async def admits_name(self, server: str) -> bool:
        """Say whether the typed name may be tried on this server, waiting for a turn."""
        return await self._admits(server, lockout.name_key(server, self._username))

    async def admits_entry(self, server: str, entry: str) -> bool:
        """Say whether a bind as the entry that was found may be tried, waiting for a turn."""
        return await self._admits(server, lockout.entry_key(server, entry, self._username))

    async def count(self, verdicts: Sequence[Verdict]) -> None:
        """Count a failed login: on the typed name and the entry of each server that refused, once on the address."""
        address = () if self._address is None else (self._address,)
        for verdict in verdicts:
            if verdict.outcome not in (Outcome.INVALID, Outcome.NOT_FOUND):
                continue
            keys = (lockout.name_key(verdict.server, self._username), *address)
            address = ()
            if verdict.entry:
                keys += (lockout.entry_key(verdict.server, verdict.entry, self._username),)
            await self._store.failure_add(keys, int(time.time()), self._settings_of(verdict.server))

    async def count_for_address(self) -> None:
        """Count a failure that concerns no account of a server."""
        if self._address is not None:
            await self._store.failure_add((self._address,), int(time.time()), self._settings)

    async def clear(self, server: str) -> None:
        """Forget the failures seen on the way to a right password; nothing is written where there were none.

        Only those of the server that accepted it: who owns a name on one server must not wipe off the guesses at the
        same name on another.
        """
        if seen := self._with_failures.get(server):
            await self._store.failures_clear(seen)

    async def _admits(self, server: str, key: lockout.Key) -> bool:
        settings = self._settings_of(server)
        return not settings.failures or not await self._wait_for_turn(server, key, settings, settings.failures)

    def _settings_of(self, server: str) -> lockout.Settings:
        return self._own.get(server, self._settings)

    async def _wait_for_turn(self, server: str, key: lockout.Key, settings: lockout.Settings, limit: int) -> int:
        """Wait until this attempt's failure could no more pass the limit; seconds where a lock stands in the way."""
        async with asyncio.timeout(TURN_SECONDS):
            while key.hash not in self._taken:
                counters = await self._store.failures((key,))
                decision = lockout.check(counters, int(time.time()), settings)
                if decision.verdict is not lockout.Verdict.ALLOWED:
                    return max(decision.retry_after, 1)
                counted = counters[key.hash].count if key.hash in counters else 0
                if self._turns.under_way[key.hash] < max(limit - counted, 1):
                    self._take(server, key, counted)
                    break
                await self._turns.wait()
        return 0

    def _take(self, server: str, key: lockout.Key, counted: int) -> None:
        self._turns.under_way[key.hash] += 1
        self._taken.append(key.hash)
        if counted:
            self._with_failures.setdefault(server, []).append(key)
