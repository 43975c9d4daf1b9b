"""Tests of connections are shared, so that nobody multiplies what a directory is asked (grafana.md 3, conjur.md 2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config.schema import Configuration, Server
from gateway.directory.reachable import CONNECTS, SHARED_SECONDS, Reachability


def servers(*ports: int) -> tuple[Server, ...]:
    given = [{"name": f"s{place}", "host": "127.0.0.1", "port": port, "search_base_dns": ["dc=x"], "bind_dn": "cn=s",
              "bind_password": "p"} for place, port in enumerate(ports)]  # fmt: skip
    return Configuration.model_validate({"servers": given}).servers


class Counting:
    """A listener that takes connections and says nothing."""

    def __init__(self) -> None:
        self.taken = self.open = self.most = self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.open += 1
        self.most = max(self.most, self.open)
        await reader.read()
        self.open -= 1
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def counting() -> AsyncIterator[Counting]:
    counter = Counting()
    listener = await asyncio.start_server(counter.answer, "127.0.0.1", 0)
    counter.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield counter


async def test_many_who_ask_share_one_connection() -> None:
    async with counting() as counter:
        [server] = servers(counter.port)
        reachability = Reachability()
        assert set(await asyncio.gather(*(reachability.unreachable_because(server) for _ in range(100)))) == {""}
        assert await reachability.unreachable_because(server) == ""
        assert counter.taken == 1, "now, and a moment later"
        await asyncio.sleep(SHARED_SECONDS)
        assert await reachability.unreachable_because(server) == ""
        assert counter.taken == 2
        await reachability.close()


async def test_each_server_has_its_own_answer_and_not_too_many_are_tested_at_once() -> None:
    async with counting() as counter:
        closed = await asyncio.start_server(counter.answer, "127.0.0.1", 0)
        dead = closed.sockets[0].getsockname()[1]
        closed.close()
        await closed.wait_closed()
        asked = servers(dead, *[counter.port] * (2 * CONNECTS))
        reachability = Reachability()
        first, *others = await asyncio.gather(*map(reachability.unreachable_because, asked))
        assert first
        assert set(others) == {""}
        assert counter.taken == 2 * CONNECTS
        assert counter.most <= CONNECTS
        await reachability.close()


async def test_who_leaves_takes_no_answer_along_and_closing_ends_all() -> None:
    started, never = asyncio.Event(), asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started.set()
        await never.wait()
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listener:
        [plain] = servers(listener.sockets[0].getsockname()[1])
        server = plain.model_copy(update={"use_ssl": True})
        reachability = Reachability()
        asked = [asyncio.create_task(reachability.unreachable_because(server)) for _ in range(3)]
        async with asyncio.timeout(10):
            await started.wait()
        asked[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked[0]
        assert not asked[1].done()
        await reachability.close()
        assert all(isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*asked, return_exceptions=True))
        never.set()
