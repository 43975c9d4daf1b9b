"""The verbs of the store for secrets that are derived instead of stored; ``interface.Store`` has them all."""

from __future__ import annotations

from typing import Protocol


class Counters(Protocol):
    """What every engine does about them. Any coroutine may raise ``StoreUnavailable``."""

    async def counter(self, name: str) -> int:
        """How often ``counter_next`` was called for the name. Inline."""

    async def counter_next(self, name: str, expected: int | None = None) -> int:
        """Count on; the new value, which nobody else is given.

        ``Conflict``, and nothing is counted, where ``expected`` is given and the counter has another value by now.
        """

    def derived_key(self, purpose: str) -> bytes:
        """32 bytes that follow from the master key and the purpose: the same for every process of this store."""
