"""Names to addresses (RFC 8305 section 4), and what a resolver that hangs can hold up."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from gateway.directory.addresses import addresses, interleaved

V4, V6 = socket.AF_INET, socket.AF_INET6
SECONDS = 10.0

# What the resolver answers, and the order in which it is tried.
ORDERS: list[tuple[list[tuple[Any, str]], list[str]]] = [
    ([(V4, "192.0.2.1")], ["192.0.2.1"]),
    ([(V6, "::1"), (V6, "::2"), (V4, "192.0.2.1"), (V4, "192.0.2.2")], ["::1", "192.0.2.1", "::2", "192.0.2.2"]),
    ([(V4, "192.0.2.1"), (V4, "192.0.2.2"), (V4, "192.0.2.3"), (V6, "::1")], ["192.0.2.1", "::1", "192.0.2.2", "192.0.2.3"]),
    ([(V6, "::1"), (V4, "192.0.2.1"), (V4, "192.0.2.2"), (V4, "192.0.2.3")], ["::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]),
    ([(V4, "192.0.2.1"), (V4, "192.0.2.1"), (V6, "::1"), (V6, "::1")], ["192.0.2.1", "::1"]),
]  # fmt: skip


@pytest.mark.parametrize(("found", "expected"), ORDERS)
def test_families_take_turns(found: list[tuple[Any, str]], expected: list[str]) -> None:
    """RFC 8305 section 4: the address family of the resolver's first address leads."""
    assert interleaved(found) == expected


class Resolver:
    """One that hangs until ``let_go``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._go = threading.Event()

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        self._go.wait(SECONDS)
        return [(V4, 1, 6, "", ("192.0.2.7", port))]

    def let_go(self) -> None:
        self._go.set()


async def test_addresses_are_not_looked_up() -> None:
    resolver = Resolver()
    for host in ("192.0.2.1", "::1", "2001:db8::1"):
        assert await addresses(host, 389, resolver) == [host]
    assert resolver.asked == []


async def test_one_look_up_at_a_time_for_a_name() -> None:
    resolver = Resolver()
    waiting = [asyncio.create_task(addresses("dc1.example", 389, resolver)) for _ in range(50)]
    for task in waiting[::2]:
        await asyncio.sleep(0)
        task.cancel()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await addresses("dc1.example", 389, resolver)
    resolver.let_go()
    assert [await task for task in waiting[1::2]] == [["192.0.2.7"]] * 25
    assert resolver.asked == ["dc1.example"]
    assert await addresses("dc1.example", 389, resolver) == ["192.0.2.7"]
    assert len(resolver.asked) == 2, "an answer is not kept"


async def test_names_that_hang_keep_nobody_else_waiting() -> None:
    resolver = Resolver()
    hung = [asyncio.create_task(addresses(f"dc{number}.example", 389, resolver)) for number in range(60)]
    try:
        async with asyncio.timeout(SECONDS / 2):
            assert await addresses("localhost", 389)
            assert await asyncio.to_thread(len, "abc") == 3
            await asyncio.get_running_loop().getaddrinfo("localhost", 389)
        assert not any(task.done() for task in hung)
    finally:
        resolver.let_go()
    assert await asyncio.gather(*hung) == [["192.0.2.7"]] * 60


def test_a_loop_ends_while_a_name_hangs() -> None:
    resolver = Resolver()

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await addresses("dc1.example", 389, resolver)

    try:
        asyncio.run(asyncio.wait_for(ask(), SECONDS / 2))
        asyncio.run(asyncio.wait_for(ask(), SECONDS / 2))
        assert len(resolver.asked) == 2, "another loop cannot wait for the first one's answer"
    finally:
        resolver.let_go()


async def test_each_waiter_gets_an_error_of_its_own() -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    errors = await asyncio.gather(*(addresses("x.example", 1, fail) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in errors] == [socket.gaierror] * 2
    assert errors[0] is not errors[1]
