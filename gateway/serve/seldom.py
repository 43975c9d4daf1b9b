"""Which of many like refusals are told: strangers can cause any number, and each line of the audit trail costs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.bounded import keep

SECONDS: Final = 60
"""Between two tellings of one source."""
MOST: Final = 10_000
"""Sources that are remembered, those of the longest silence are forgotten first."""


class Seldom:
    """Remembers what was told of whom."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, ...], tuple[int, int]] = OrderedDict()

    def untold(self, source: tuple[str, ...], now: int) -> int | None:
        """How many were not told since the last one, now that one is due; None: it is not. ``now`` is in seconds."""
        at, count = self._told.get(source, (now - SECONDS, 0))
        due = not at <= now < at + SECONDS
        keep(self._told, source, (now, 0) if due else (at, count + 1), MOST)
        return count if due else None
