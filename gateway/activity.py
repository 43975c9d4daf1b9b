"""When tokens and sessions were last used: known here at once, written to the store at most once a minute each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.store.interface import TOUCH_SECONDS, StoreError, Touch

if TYPE_CHECKING:
    from gateway.store.interface import Store

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 10.0
"""How often uses are written."""
MOST: Final = 50_000
"""Uses that are known at one time; beyond, the oldest are written and forgotten."""


class Use:
    """The last use of one token. Whoever holds it may set ``at``."""

    __slots__ = ("address", "at", "written")

    def __init__(self, at: int, address: str) -> None:
        self.at = at
        """Seconds since 1970."""
        self.address = address
        self.written = at - TOUCH_SECONDS
        """The use that the store knows of."""


class Activity:
    """Last uses by the hash of the token, for all of a process: it outlives reloads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uses: dict[bytes, Use] = {}

    def note(self, token_hash: bytes, now: int, address: str = "") -> Use:
        """Note a use."""
        use = self._uses.get(token_hash)
        if use is None:
            use = self._uses[token_hash] = Use(now, address)
        use.at, use.address = now, address
        return use

    def last(self, token_hash: bytes) -> int:
        """When the token was last used in this process, in seconds since 1970; 0 where that is not known."""
        use = self._uses.get(token_hash)
        return use.at if use else 0

    async def write(self) -> bool:
        """Write what is due; whether it could be done, which is logged where not."""
        due = [(token, use) for token, use in self._uses.items() if use.at - use.written >= TOUCH_SECONDS]
        batch = [Touch(token, use.at, use.address) for token, use in due]
        try:
            if batch:
                await self._store.tokens_touch(batch)
        except StoreError as error:
            log.warning("last uses of %d tokens could not be written; they will be: %s", len(batch), error)
            return False
        for touch, (_, use) in zip(batch, due, strict=True):
            use.written = touch.at
        return True

    async def flush(self, now: int, keep_seconds: float) -> None:
        """Write what is due, and forget uses that are older than ``keep_seconds``."""
        if not await self.write():
            return
        oldest = now - max(keep_seconds, TOUCH_SECONDS)
        for token in [token for token, use in self._uses.items() if use.at < oldest]:
            del self._uses[token]
        for token in list(self._uses)[: max(len(self._uses) - MOST, 0)]:
            del self._uses[token]
