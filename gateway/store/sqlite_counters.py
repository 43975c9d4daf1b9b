"""Counters, and keys that follow from the master key, in the embedded engine; ``sqlite.py`` has the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.store import rows
from gateway.store.interface import Conflict
from gateway.store.sealing import Sealer
from gateway.store.writer import Writer

_NEXT: Final = """
    INSERT INTO counters (name, value) SELECT ?1, 1
    WHERE ?2 IS NULL OR ?2 = coalesce((SELECT value FROM counters WHERE name = ?1), 0)
    ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"""


class CounterTables:
    """The part of ``interface.Store`` that is about secrets which are derived instead of stored."""

    _sealer: Sealer
    _writer: Writer
    _read: Callable[..., list[rows.Values]]

    async def counter(self, name: str) -> int:
        found = self._read("SELECT value FROM counters WHERE name = ?", name)
        return int(found[0][0]) if found else 0

    async def counter_next(self, name: str, expected: int | None = None) -> int:
        found = await self._writer.run(lambda connection: connection.execute(_NEXT, (name, expected)).fetchall())
        if not found:
            raise Conflict("the counter was moved by somebody else")
        return int(found[0][0])

    def derived_key(self, purpose: str) -> bytes:
        return self._sealer.derive(purpose)
