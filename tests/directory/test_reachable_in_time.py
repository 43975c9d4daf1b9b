"""The connection test of the diagnostic API (grafana.md 3) against a server that takes connections and says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config.schema import Server
from gateway.directory.reachable import unreachable_because


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """Its port."""
    taken: set[asyncio.StreamWriter] = set()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.add(writer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]
        for writer in taken:
            writer.transport.abort()


# timeout, login_timeout, what is said
TIMES = [
    (60, 0.2, "no connection within login_timeout (0.2 s)"),  # configuration.md 1.3: of all hosts together
    (0.2, 60, "127.0.0.1:PORT"),  # grafana.md 1.2: of each
]


@pytest.mark.parametrize(("timeout", "login_timeout", "said"), TIMES, ids=["login_timeout", "timeout"])
async def test_no_longer_than_either(timeout: float, login_timeout: float, said: str) -> None:
    async with silent() as port, asyncio.timeout(20):
        server = Server.model_validate({
            "name": "corp", "urls": [f"ldaps://127.0.0.1:{port}", f"ldaps://localhost:{port}"],
            "search_base_dns": ["dc=x"], "timeout": timeout, "login_timeout": login_timeout,
        })  # fmt: skip
        told = await unreachable_because(server)
    assert told.startswith(said.replace("PORT", str(port))), told
