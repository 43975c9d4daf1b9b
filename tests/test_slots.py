"""So much at once, so much that waits, the rest refused at once: logins (configuration.md 1.3) and look-ups."""

from __future__ import annotations

import asyncio

import pytest

from gateway.slots import Full, Slots


async def test_the_first_work_the_next_wait_in_turn_and_the_rest_is_refused() -> None:
    slots, done, end = Slots(2, 2), list[int](), asyncio.Event()

    async def work(number: int) -> None:
        async with slots:
            await end.wait()
            done.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    with pytest.raises(Full):
        await tasks[4]
    assert not any(task.done() for task in tasks[:4])
    end.set()
    await asyncio.gather(*tasks[:4])
    assert done == [0, 1, 2, 3]


async def test_with_nothing_that_may_wait_free_slots_are_still_given() -> None:
    """1.3: ``login.queue = 0``."""
    slots = Slots(1, 0)
    async with slots:
        with pytest.raises(Full):
            async with slots:
                pass
    async with slots:
        pass


async def test_who_gives_up_waiting_or_fails_keeps_no_place() -> None:
    slots = Slots(1, 1)

    async def enter() -> None:
        async with slots:
            raise ValueError

    async with slots:
        for _ in range(2):
            task = asyncio.create_task(enter())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    for _ in range(2):
        with pytest.raises(ValueError):
            await enter()
