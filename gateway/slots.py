"""Room for some work at once, and for some more that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

Asking = Callable[[], AbstractAsyncContextManager[object]]
"""``async with asking()``: around any question to a directory that may have to wait for its turn. May raise Full."""


class Full(Exception):
    """As much waits as may."""


class Slots:
    """``async with slots``: ``at_once`` at a time, while at most ``waiting`` wait, in the order in which they came."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._may_wait = waiting
        self._waiting = 0

    async def __aenter__(self) -> None:
        """Raises Full at once where it would have to wait, and as many do as may."""
        if self._free.locked() and self._waiting >= self._may_wait:
            raise Full
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
