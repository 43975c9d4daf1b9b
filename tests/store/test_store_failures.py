"""The lockout's counters in every engine of the store (DECISIONS 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from store_samples import NOW, LockoutSettings

from gateway.grants import lockout
from gateway.store.interface import Store

OpenStore = Callable[[], Awaitable[Store]]


def _keys(name: str, address: str | None = "192.0.2.1", entry: str = "") -> tuple[lockout.Key, ...]:
    keys = [lockout.name_key("corp", name)]
    if address is not None:
        keys.append(lockout.address_key(ip_address(address)))
    if entry:
        keys.append(lockout.entry_key("corp", entry, name))
    return tuple(keys)


async def test_failures_are_counted_on_all_keys_in_one_step(store: Store, open_store: OpenStore) -> None:
    """DECISIONS 13; the fifth failure locks, whoever counts it."""
    settings = LockoutSettings()
    stores = [store, await open_store()]
    keys = _keys("ada", entry="e1")
    for number in range(4):
        await stores[number % 2].failure_add(keys, NOW + number, settings)
    assert lockout.check(await store.failures(keys), NOW + 4, settings) == lockout.ALLOWED
    counted = await asyncio.gather(*(stores[n % 2].failure_add(keys, NOW + 4, settings) for n in range(6)))
    assert sorted(counters[keys[0].hash].count for counters in counted) == [5, 6, 7, 8, 9, 10]
    verdict = lockout.check(await store.failures(keys), NOW + 4, settings)
    assert (verdict.verdict, verdict.retry_after) == (lockout.Verdict.LOCKED, 900)
    assert set(await store.failures(keys)) == {key.hash for key in keys}
    assert await store.failures(_keys("grace", None)) == {}
    assert await store.failures([]) == {}


async def test_success_clears_the_account_and_not_the_address(store: Store) -> None:
    keys = _keys("ada", entry="e1")
    await store.failure_add(keys, NOW, LockoutSettings())
    assert await store.failures_clear((keys[0], keys[2])) == 2
    [left] = (await store.failures(keys)).values()
    assert left.kind is lockout.Kind.ADDRESS
    assert await store.failures_clear([]) == 0


async def test_failures_list_in_pages(store: Store) -> None:
    for number in range(5):
        await store.failure_add(_keys(f"n{number}", None), NOW, LockoutSettings())
    first = await store.failures_list(limit=3)
    second = await store.failures_list(after=first[-1].hash, limit=3)
    assert sorted(counter.shown for counter in first + second) == [f"corp/n{number}" for number in range(5)]


async def test_a_flood_of_unknown_names_evicts_only_itself(store: Store) -> None:
    """DECISIONS 13: eviction at the cap never drops a real lock; names without an entry go first."""
    settings = LockoutSettings(max_entries=128, failures=3)
    locked, counting = _keys("ada", None, "e1"), _keys("grace", None, "e2")
    for _ in range(3):
        await store.failure_add(locked, NOW, settings)
    await store.failure_add(counting, NOW, settings)
    await store.failure_add(_keys("nobody", "2001:db8:ffff::1"), NOW, settings)
    for start in range(0, 2000, 100):
        flood = (_keys(f"bot{n}", f"2001:db8:{n:x}::1") for n in range(start, start + 100))
        await asyncio.gather(*(store.failure_add(keys, NOW + 1, settings) for keys in flood))
        assert len(await store.failures_list(limit=1000)) <= 128 + 6
    assert lockout.check(await store.failures(locked), NOW + 1, settings).verdict is lockout.Verdict.LOCKED
    assert len(await store.failures(counting)) == 2


async def test_order_of_eviction(store: Store) -> None:
    """DECISIONS 13: names without an entry go first; here each step of the order is one row short of room."""
    settings = LockoutSettings(max_entries=60, failures=2, address_failures=2)
    dear_last = [
        (_keys("unknown", None), 1),
        (_keys("unknown-locked", None), 2),
        (_keys("x", "192.0.2.1")[1:], 1),
        (_keys("known", None, "e1")[1:], 1),
        (_keys("x", "192.0.2.2")[1:], 2),
        (_keys("known-locked", None, "e2")[1:], 2),
    ]
    for age, (keys, times) in enumerate(reversed(dear_last)):
        for _ in range(times):
            await store.failure_add(keys, NOW + age, settings)
    newest = _keys("newest", None, "e3")[1:]
    for room in range(6, 1, -1):
        await store.failure_add(newest, NOW + 10, LockoutSettings(max_entries=room, failures=1))
        left = [len(await store.failures(keys)) for keys, _ in dear_last]
        assert left == [0] * (7 - room) + [1] * (room - 1)


async def test_real_locks_stay_even_above_the_cap(store: Store) -> None:
    settings = LockoutSettings(max_entries=10, failures=1)
    for number in range(30):
        await store.failure_add(_keys(f"n{number}", None, f"e{number}"), NOW, settings)
    assert len(await store.failures_list()) == 60
    await store.failure_add(_keys("later", None, "later"), NOW + 900, settings)
    assert len(await store.failures_list()) <= 10, "ended locks go"
