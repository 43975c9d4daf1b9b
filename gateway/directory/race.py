"""Attempts that start one after the other, each with a head start over the next, until one succeeds.

The scheme of RFC 8305 section 5 for the addresses of a host, and likewise for the hosts of a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


async def first_to_succeed(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, _T]]], head_start: float, discard: Callable[[_T], None]
) -> _T:
    """What the first attempt to succeed returns; of several at the same moment, the one that started first.

    The next one starts after ``head_start`` seconds, or at once when one fails. The others are cancelled, and have
    ended when this returns or raises; ``discard`` gets what one of them made all the same. Raises ``ExceptionGroup``
    with the exception of each attempt, in order, when none succeeds.
    """
    tasks: list[asyncio.Task[_T]] = []
    winner = None
    try:
        winner = await _winner(attempts, head_start, tasks)
        await _end(tasks)
        return winner.result()
    except BaseException:
        winner = None
        await _end(tasks)
        raise
    finally:
        for task in tasks:
            if task is not winner and _succeeded(task):
                discard(task.result())


async def _winner(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, _T]]], head_start: float, tasks: list[asyncio.Task[_T]]
) -> asyncio.Task[_T]:
    while True:
        if len(tasks) < len(attempts):
            tasks.append(asyncio.create_task(attempts[len(tasks)]()))
        running = [task for task in tasks if not task.done()]
        if not running:
            raise ExceptionGroup("every attempt failed", [_error(task) for task in tasks])
        patience = head_start if len(tasks) < len(attempts) else None
        await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if winner := next(filter(_succeeded, tasks), None):
            return winner


async def _end(tasks: Sequence[asyncio.Task[_T]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _succeeded(task: asyncio.Task[_T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _error(task: asyncio.Task[_T]) -> Exception:
    error = None if task.cancelled() else task.exception()
    return error if isinstance(error, Exception) else RuntimeError("an attempt was cancelled")
