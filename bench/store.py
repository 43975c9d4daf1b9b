"""``token_add`` per second at concurrency 32, against one thread that commits each row (perf.md F).

The baseline is plain sqlite3 with the same file settings and the same statement, called the way an asyncio program
calls it: through a single-thread executor. Run: ``python bench/store.py``. Takes about ten seconds.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.store import rows, schema
from gateway.store.interface import TokenRow
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens import opaque

CONCURRENCY = 32
ROUNDS = 3
ROWS = 10_000
INSERT = f"INSERT INTO tokens ({rows.TOKEN}) VALUES ({', '.join('?' * (rows.TOKEN.count(',') + 1))})"


def new_row() -> TokenRow:
    """A session as a login makes it."""
    return TokenRow(
        hash=opaque.digest(opaque.mint()), accessor=opaque.mint_accessor(), kind="session",
        identity="0" * 32, server="corp", created_at=1_700_000_000, expires_at=1_700_003_600,
    )  # fmt: skip


async def rate(add: Callable[[TokenRow], Awaitable[object]]) -> float:
    """Rows a second that ``CONCURRENCY`` tasks add."""
    todo = iter([new_row() for _ in range(ROWS)])

    async def client() -> None:
        for row in todo:
            await add(row)

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))
    return ROWS / (time.perf_counter() - started)


async def group_commit(path: Path) -> float:
    """The store."""
    store = SqliteStore.open(path, sealer=Sealer(bytes(32)))
    try:
        await store.migrate()
        return await rate(store.token_add)
    finally:
        await store.close()


async def commit_per_row(path: Path) -> float:
    """The rival: one thread, one connection, one commit for each row."""
    schema.create(path)
    schema.migrate(path, schema.packaged(), busy_timeout=5)
    connection = schema.connect(path, busy_timeout=5)
    loop = asyncio.get_running_loop()
    try:
        with ThreadPoolExecutor(1) as thread:

            def add(row: TokenRow) -> Awaitable[object]:
                return loop.run_in_executor(thread, lambda: connection.execute(INSERT, rows.token_values(row)).rowcount)

            return await rate(add)
    finally:
        connection.close()


async def measure() -> None:
    """Both, in turns, and the ratio of their best rounds."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(ROUNDS):
            theirs.append(await commit_per_row(Path(directory, f"row{number}.db")))
            ours.append(await group_commit(Path(directory, f"group{number}.db")))
    print(f"group commit    {max(ours):10,.0f} token_add/s at concurrency {CONCURRENCY}, synchronous=full")
    print(f"commit per row  {max(theirs):10,.0f} token_add/s")
    print(f"ratio           {max(ours) / max(theirs):10.1f}")


def main() -> None:
    asyncio.run(measure())
