"""A service account that the directory refuses: asked seldom, of one host at a time, until one takes it.

Each refusal counts towards a lock of the account (``docs/directories.md``, Several hosts).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.config.schema import Server
from gateway.directory.failover import Hosts, _rest
from gateway.directory.filters import compile_filter
from gateway.directory.messages import SearchRequest
from gateway.directory.pool import Endpoint, Pool, ServiceBindFailed
from gateway.directory.pools import Pools
from tests.directory.small_directory import Answer, SmallDirectory

SERVICE = "cn=svc"
SECONDS = 10.0
ANYBODY = SearchRequest("dc=x", compile_filter("(uid=ada)"))


class Counted(Pool):
    """Counts what its keeper does."""

    rounds = 0

    async def _probe_hosts(self) -> None:
        self.rounds += 1
        await super()._probe_hosts()


@asynccontextmanager
async def hosts_and_pool(count: int, refusing: int, **settings: Any) -> AsyncIterator[tuple[list[SmallDirectory], Counted]]:
    """So many hosts, the first of which refuse the account, and a pool that has asked once."""
    hosts = [await SmallDirectory.start(lambda search: Answer()) for _ in range(count)]
    for host in hosts[:refusing]:
        host.refused.add(SERVICE)
    endpoints = [Endpoint("127.0.0.1", host.port) for host in hosts]
    pool = Counted(endpoints, bind_dn=SERVICE, bind_password="old", **settings)
    await pool.start()
    try:
        yield hosts, pool
    finally:
        await pool.close()
        for host in hosts:
            await host.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def binds(hosts: list[SmallDirectory]) -> list[int]:
    return [len(host.binds) for host in hosts]


async def test_the_keeper_sleeps_while_the_account_rests() -> None:
    """With a host that has not been asked yet there seems to be something to do."""
    async with hosts_and_pool(2, 2, backoff_seconds=SECONDS) as (hosts, pool):
        await asyncio.sleep(0.5)
        assert pool.rounds <= 5
        assert binds(hosts) == [1, 0]
        assert SECONDS / 2 < pool.hosts[0].retry_seconds <= SECONDS


async def test_logins_do_not_ask_either() -> None:
    async with hosts_and_pool(3, 3, backoff_seconds=SECONDS) as (hosts, pool):
        for _ in range(50):
            with pytest.raises(ServiceBindFailed):
                await pool.search(ANYBODY)
            with pytest.raises(ServiceBindFailed):
                async with pool.alone():
                    pass
        await asyncio.sleep(0.3)
        assert binds(hosts) == [1, 0, 0]
        assert pool.rounds <= 60


async def test_one_host_each_time_and_ever_longer_pauses() -> None:
    """0, then after 0.2, 0.8 and 3.2 s, each time another host; before it was each host every 0.2 s."""
    async with hosts_and_pool(3, 3, backoff_seconds=0.2) as (hosts, pool):
        await until(lambda: sum(binds(hosts)) == 3)
        assert binds(hosts) == [1, 1, 1]
        await until(lambda: pool.hosts[2].retry_seconds > 0)
        assert 1.6 < pool.hosts[2].retry_seconds <= 3.2
        rounds = pool.rounds
        await asyncio.sleep(0.5)
        assert sum(binds(hosts)) == 3
        assert pool.rounds <= rounds + 5
        # A reload leaves it with the first pause; the one after that goes on growing.
        pool.try_again()
        assert pool.hosts[2].retry_seconds == 0
        await until(lambda: sum(binds(hosts)) == 4)
        await until(lambda: pool.hosts[0].retry_seconds > 3.2)
        assert binds(hosts) == [2, 1, 1]
        assert pool.hosts[0].retry_seconds <= 12.8
        pool.try_again()
        assert pool.hosts[0].retry_seconds <= 0.2
        await until(lambda: sum(binds(hosts)) == 5)
        assert binds(hosts) == [2, 2, 1]


async def test_mended_and_up_again_by_itself() -> None:
    async with hosts_and_pool(2, 2, backoff_seconds=0.1) as (hosts, pool):
        await until(lambda: sum(binds(hosts)) == 2)
        for host in hosts:
            host.refused.clear()
        await until(lambda: pool.state.up)
        hosts[0].refused.add(SERVICE)
        hosts[1].refused.add(SERVICE)
        with pytest.raises(ServiceBindFailed):
            async with pool.alone():
                pass
        # From the beginning: a success in between has ended the row.
        assert max(host.retry_seconds for host in pool.hosts) <= 0.1


async def test_one_host_that_refuses_does_not_disturb_the_other() -> None:
    """A replica that was left behind is asked ever more seldom, and what it says counts for itself alone."""
    async with hosts_and_pool(2, 1, backoff_seconds=0.1, probe_seconds=0.1) as (hosts, pool):
        await until(lambda: len(hosts[0].binds) == 3)
        await until(lambda: pool.hosts[0].retry_seconds > 0.8)
        assert (pool.state.up, pool.state.endpoint) == (True, Endpoint("127.0.0.1", hosts[1].port))
        async with pool.alone() as bound:
            assert bound.result.code == 0


async def test_a_reload_cuts_the_pause_short() -> None:
    """A reload asks for the same pool, for whose account something may have been mended over there."""
    directory = await SmallDirectory.start(lambda search: Answer())
    directory.refused.add(SERVICE)
    server = Server.model_validate({
        "name": "corp", "host": "127.0.0.1", "port": directory.port, "bind_dn": SERVICE, "bind_password": "old",
        "search_base_dns": ["dc=x"], "pool": {"backoff": 0.2},
    })  # fmt: skip
    pools = Pools()
    pool = await pools.acquire(server)
    await pool.start()
    await until(lambda: pool.hosts[0].retry_seconds > 1)
    assert await pools.acquire(server) is pool
    assert pool.hosts[0].retry_seconds <= 0.2
    for _ in range(2):
        await pools.release(pool)
    await directory.close()


@pytest.mark.parametrize(
    ("refusals", "first", "seconds"),
    [(1, 30, 30), (2, 30, 120), (3, 30, 480), (4, 30, 1800), (500, 30, 1800), (1, 3600, 3600), (9, 3600, 3600)],
)
def test_pauses(refusals: int, first: float, seconds: float) -> None:
    assert _rest(refusals, first) == seconds


@pytest.mark.parametrize(("code", "grows"), [(49, True), (19, True), (53, True), (8, False), (80, False)])
async def test_only_what_counts_towards_a_lock_rests_longer(code: int, grows: bool) -> None:
    dialled = []

    async def dial(endpoint: Endpoint) -> Any:
        dialled.append(endpoint)

    first, second = Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)
    hosts = Hosts([first, second], dial, dial, dial, asking_seconds=1, longest_pause=30)  # type: ignore[arg-type]
    for _ in range(3):
        hosts.failed(first, ServiceBindFailed("refused", code))
    state, _ = hosts.states
    assert round(state.retry_seconds) == (480 if grows else 30)
    assert (hosts.may_ask(service=True), hosts.may_ask(service=False)) == (False, True)
    with pytest.raises(ServiceBindFailed):
        await hosts.ask(hosts._hosts[1], service=True)
    assert dialled == []
