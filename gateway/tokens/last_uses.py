"""When and where tokens were last used: gathered for some seconds, then written in one batch."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.store.interface import TOUCH_SECONDS, StoreError, Touch

if TYPE_CHECKING:
    from gateway.store.interface import Store, TokenRow

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 5.0
"""Each write makes every verified token be looked at again, so there must not be one per use."""


class LastUses:
    """Outlives snapshots. ``close`` writes what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[bytes, Touch] = {}
        self._timer: asyncio.Task[None] | None = None

    def note(self, row: TokenRow, now: int, source: str) -> None:
        """Remember a use, where the last one that is stored is older than ``TOUCH_SECONDS``."""
        if row.last_used_at is not None and now - row.last_used_at < TOUCH_SECONDS:
            return
        self._noted.setdefault(row.hash, Touch(row.hash, now, source))
        if self._timer is None:
            self._timer = asyncio.create_task(self._flush_later())

    async def flush(self) -> None:
        """Write now. Raises StoreError, and what was noted is lost then."""
        noted, self._noted = self._noted, {}
        if noted:
            await self._store.tokens_touch(list(noted.values()))

    async def close(self) -> None:
        """Write what is left, and end."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        await self._flush_or_tell()

    async def _flush_later(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        self._timer = None
        await self._flush_or_tell()

    async def _flush_or_tell(self) -> None:
        try:
            await self.flush()
        except StoreError as error:
            log.warning("last uses of keys are lost: %s", error)
