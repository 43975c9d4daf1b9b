"""Turns at the thread that reads texts: nobody waits for more than one work of each other person."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.vaults.turns import MOST_WAITING, TooManyWaiting, Turns


class Works:
    """Works that end when they are told to, and the order in which they began."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.begun: list[str] = []
        self.begins = asyncio.Event()
        self.gates: list[asyncio.Event] = []

    def ask(self, person: str) -> asyncio.Task[str]:
        gate = asyncio.Event()

        async def work() -> str:
            self.begun.append(person)
            self.gates.append(gate)
            self.begins.set()
            await gate.wait()
            return person

        return asyncio.ensure_future(self.turns.run(person, work))

    async def one_begins(self) -> None:
        async with asyncio.timeout(10):
            await self.begins.wait()
        self.begins.clear()

    async def all_end(self, number: int) -> None:
        for _ in range(number):
            await self.one_begins()
            self.gates[-1].set()


async def test_everybodys_first_comes_before_anybodys_second() -> None:
    works = Works()
    tasks = [works.ask(person) for person in "aaaabbc"]
    await works.all_end(len(tasks))
    assert await asyncio.gather(*tasks) == list("aaaabbc")
    assert works.begun == list("aabcaba")


async def test_what_one_person_may_have_waiting_is_bounded() -> None:
    works = Works()
    tasks = [works.ask("a") for _ in range(MOST_WAITING + 2)]
    with pytest.raises(TooManyWaiting):
        await tasks.pop()
    tasks.append(works.ask("b"))
    await works.all_end(len(tasks))
    assert len(await asyncio.gather(*tasks)) == MOST_WAITING + 2
    again = works.ask("a")
    await works.all_end(1)
    assert await again == "a"


async def test_who_goes_away_keeps_the_turn_until_the_work_has_ended() -> None:
    """A thread cannot be told to stop: else asking and going away would fill its queue past all bounds."""
    works = Works()
    tasks = [works.ask(person) for person in "abbc"]
    await works.one_begins()
    tasks[0].cancel()
    tasks[1].cancel()
    for task in tasks[:2]:
        with suppress(asyncio.CancelledError):
            await task
    for _ in range(20):
        await asyncio.sleep(0)
    assert works.begun == ["a"]
    works.gates[0].set()
    await works.all_end(2)
    assert await asyncio.gather(*tasks[2:]) == ["b", "c"]


async def test_the_turn_passes_on_from_who_goes_away_when_called() -> None:
    turns, waiting = Turns(), []

    async def work() -> str:
        inner = asyncio.current_task()
        assert inner is not None
        inner.add_done_callback(lambda _: waiting[0].cancel())  # after the next is called, before it goes on
        return "a"

    async def next_work(name: str) -> str:
        return name

    first = asyncio.ensure_future(turns.run("a", work))
    await asyncio.sleep(0)
    waiting += [asyncio.ensure_future(turns.run(name, lambda name=name: next_work(name))) for name in "bc"]
    assert await first == "a"
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    async with asyncio.timeout(10):
        assert await waiting[1] == "c"


async def test_a_work_that_fails_ends_its_turn() -> None:
    turns = Turns()

    async def fails() -> None:
        raise ValueError

    for _ in range(3):
        with pytest.raises(ValueError):
            await turns.run("a", fails)
