"""Turns at what takes seconds: everybody's first work comes before anybody's second."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

MOST_WAITING: Final = 16
"""Works of one person that may wait."""


class TooManyWaiting(Exception):
    """One person has as much waiting as one may."""


class Turns:
    """One work at a time, for those who wait in rotation: who has had a turn goes behind all others."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._busy = False

    async def run(self, person: str, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` returns, once it is the turn of this person. Raises TooManyWaiting, and what it raises.

        Whoever goes away keeps the turn until the work has ended: a thread cannot be told to stop.
        """
        await self._turn(person)
        task = asyncio.ensure_future(_awaited(work))
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _turn(self, person: str) -> None:
        if not self._busy:
            self._busy = True
            return
        waiting = self._waiting.setdefault(person, deque())
        if len(waiting) >= MOST_WAITING:
            raise TooManyWaiting
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._next()
            raise

    def _ended(self, task: asyncio.Future[T]) -> None:
        if not task.cancelled():
            task.exception()  # heard, also where nobody waits any more
        self._next()

    def _next(self) -> None:
        while self._waiting:
            person, waiting = self._waiting.popitem(last=False)
            called = waiting.popleft()
            if waiting:
                self._waiting[person] = waiting
            if not called.done():
                called.set_result(None)
                return
        self._busy = False


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
