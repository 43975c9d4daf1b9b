"""Whether people are still who they were at login, asked behind the answers that rest on it (forward-auth.md 9).

An answer that rests on what a directory said within ``session.max_stale`` does not wait for it: what comes of asking
counts from then on. If that is older than two ``refresh_interval`` it waits for a moment, because whoever comes back
after a long while may be gone; each look-up holds answers up for that moment once, however silent the directory is.
Only with nothing younger than ``max_stale``, or with ``refresh_interval = always``, answers wait until they know.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.bounded import keep
from gateway.directory.recheck import Recheck, Standing
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.config.schema import Session
    from gateway.identity import Identity
    from gateway.store.interface import Store

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5.0
"""How long after a question its answer counts, whatever it was."""
PATIENCE_SECONDS: Final = 0.15
"""How old a look-up is when answers no longer wait for it; the one who asks may give us 200 ms (Envoy's default)."""
REMEMBERED: Final = 10_000
"""Answers that are remembered, one for each person."""


class Freshness:
    """Asks about each person at most once at a time, under one configuration."""

    def __init__(self, recheck: Recheck, store: Store, settings: Session) -> None:
        self._recheck = recheck
        self._store = store
        self._interval = settings.refresh_interval
        self._max_stale = settings.max_stale
        self._asking: dict[str, asyncio.Task[Standing]] = {}
        self._begun: dict[str, float] = {}
        self._answers: OrderedDict[str, tuple[float, Standing]] = OrderedDict()

    def can_ask(self, identity: Identity) -> bool:
        """Whether what outlives a login may be given: the person is local, or can be looked up (DECISIONS 11)."""
        return self._recheck.can_ask(identity)

    async def good_until(self, identity: Identity) -> float:
        """Until when, in seconds since 1970, nobody need be asked about the person; infinite: ever. Inline."""
        row = await self._store.identity(identity.id) if self._recheck.asks(identity) else None
        return row.checked_at + self._interval if row else math.inf

    async def standing(self, identity: Identity, now: int) -> Standing:
        """GOOD, GONE, or UNKNOWN where the directory cannot be asked and its last answer is too old.

        Raises StoreError.
        """
        due = await self.good_until(identity)
        if now < due:
            return Standing.GOOD
        in_time = now < due - self._interval + self._max_stale
        at, last = self._answers.get(identity.id, (-math.inf, Standing.GOOD))
        if self._interval and time.monotonic() - at < RETRY_SECONDS:
            return last
        asking = self._ask(identity, now, Standing.GOOD if in_time else Standing.UNKNOWN)
        if not (self._interval and in_time) or last is Standing.GONE:
            return await asyncio.shield(asking)
        if now >= due + self._interval:
            patience = self._begun[identity.id] + PATIENCE_SECONDS - time.monotonic()
            await asyncio.wait((asking,), timeout=max(patience, 0))
        return asking.result() if asking.done() and not asking.cancelled() else Standing.GOOD

    async def close(self) -> None:
        """Ask no more."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _ask(self, identity: Identity, now: int, otherwise: Standing) -> asyncio.Task[Standing]:
        """Ask, or join who asks; ``otherwise``: what counts where it cannot be done."""
        task = self._asking.get(identity.id)
        if task is None:
            task = self._asking[identity.id] = asyncio.create_task(self._asked(identity, now, otherwise))
            self._begun[identity.id] = time.monotonic()
            task.add_done_callback(lambda _: self._forget(identity.id))
        return task

    def _forget(self, identity_id: str) -> None:
        del self._asking[identity_id], self._begun[identity_id]

    async def _asked(self, identity: Identity, now: int, otherwise: Standing) -> Standing:
        try:
            standing = await self._recheck.standing(identity.id, now)
        except StoreError as error:
            log.error("%s: what a directory said could not be stored: %s", identity.label, error)
            standing = otherwise
        except Exception:
            log.exception("%s could not be looked up again, in an unforeseen way", identity.label)
            standing = otherwise
        keep(self._answers, identity.id, (time.monotonic(), standing), REMEMBERED)
        return standing
