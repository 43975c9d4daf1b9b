"""Attempts with head starts (RFC 8305 section 5), without a network: order, the moment each starts, who is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from gateway.directory.race import first_to_succeed

SECONDS = 10.0
NEVER = 1000.0


class Track:
    """Attempts that a test ends by hand. ``log`` tells what became of each."""

    def __init__(self, count: int) -> None:
        self.log: list[str] = []
        self.ends = [asyncio.get_running_loop().create_future() for _ in range(count)]
        self.discarded: list[str] = []
        self._started = [asyncio.Event() for _ in range(count)]

    def attempts(self) -> list[Callable[[], Coroutine[Any, Any, str]]]:
        return [partial(self._run, number) for number in range(len(self.ends))]

    async def started(self, number: int) -> None:
        async with asyncio.timeout(SECONDS):
            await self._started[number].wait()

    async def _run(self, number: int) -> str:
        self.log.append(f"{number} started")
        self._started[number].set()
        try:
            return str(await self.ends[number])
        except asyncio.CancelledError:
            self.log.append(f"{number} cancelled")
            raise

    def race(self, head_start: float) -> asyncio.Task[str]:
        return asyncio.create_task(first_to_succeed(self.attempts(), head_start, self.discarded.append))


async def test_the_next_one_starts_at_once_when_one_fails() -> None:
    track = Track(3)
    race = track.race(NEVER)
    await track.started(0)
    track.ends[0].set_exception(OSError("refused"))
    await track.started(1)
    track.ends[1].set_result("second")
    assert await race == "second"
    assert track.log == ["0 started", "1 started"]


async def test_the_next_one_starts_after_the_head_start_and_losers_are_cancelled() -> None:
    track = Track(3)
    race = track.race(0.01)
    await track.started(2)
    track.ends[1].set_result("second")
    assert await race == "second"
    assert track.log == ["0 started", "1 started", "2 started", "0 cancelled", "2 cancelled"]


async def test_nobody_else_starts_within_the_head_start() -> None:
    track = Track(2)
    race = track.race(NEVER)
    await track.started(0)
    await asyncio.sleep(0.02)
    assert track.log == ["0 started"]
    track.ends[0].set_result("first")
    assert await race == "first"


async def test_of_two_at_the_same_moment_the_first_wins_and_the_other_is_discarded() -> None:
    track = Track(2)
    race = track.race(0.0)
    await track.started(1)
    track.ends[1].set_result("second")
    track.ends[0].set_result("first")
    assert await race == "first"
    assert track.discarded == ["second"]


async def test_a_late_failure_of_one_keeps_the_others_running() -> None:
    track = Track(2)
    race = track.race(0.0)
    await track.started(1)
    track.ends[1].set_exception(OSError("refused"))
    await asyncio.sleep(0)
    track.ends[0].set_result("first")
    assert await race == "first"


async def test_all_failures_are_told_in_order() -> None:
    track = Track(3)
    race = track.race(0.0)
    await track.started(2)
    for number in (2, 0, 1):
        track.ends[number].set_exception(OSError(f"error {number}"))
        await asyncio.sleep(0)
    with pytest.raises(ExceptionGroup) as caught:
        await race
    assert [str(error) for error in caught.value.exceptions] == ["error 0", "error 1", "error 2"]


@pytest.mark.parametrize("made", [False, True], ids=["in the middle", "when one had succeeded already"])
async def test_cancelled_with_all_attempts(made: bool) -> None:
    track = Track(2)
    race = track.race(0.0)
    await track.started(1)
    if made:
        track.ends[1].set_result("second")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert track.discarded == (["second"] if made else [])
    assert track.log[2:] == (["0 cancelled"] if made else ["0 cancelled", "1 cancelled"])


async def test_cancelled_while_the_losers_end() -> None:
    """Nobody gets what the winner made, so it is not left lying about."""
    track = Track(2)
    race = track.race(0.0)
    await track.started(1)
    track.ends[0].set_result("first")
    while "1 cancelled" not in track.log:
        await asyncio.sleep(0)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert track.discarded == ["first"]
