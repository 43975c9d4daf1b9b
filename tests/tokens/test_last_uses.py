"""Last uses are written in batches, and not at all where they say nothing new (configuration.md 2, tokens_touch)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.store.interface import TokenRow
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens.last_uses import LastUses
from gateway.tokens.opaque import digest

ROW = TokenRow(hash=digest("secret"), accessor="A" * 30, kind="access_key", identity="i", created_at=1000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(b"k" * 32))
    await opened.migrate()
    await opened.token_add(ROW)
    yield opened
    await opened.close()


async def last_use(store: SqliteStore) -> tuple[int | None, str]:
    row = await store.token(ROW.hash)
    assert row is not None
    return row.last_used_at, row.last_used_from


async def test_the_first_use_of_a_batch_is_written(store: SqliteStore) -> None:
    uses = LastUses(store)
    uses.note(ROW, 2000, "node-1")
    uses.note(ROW, 2001, "node-2")
    assert await last_use(store) == (None, "")
    await uses.flush()
    assert await last_use(store) == (2000, "node-1")
    await uses.close()


async def test_close_writes_what_is_left(store: SqliteStore) -> None:
    uses = LastUses(store)
    uses.note(ROW, 2000, "node-1")
    await uses.close()
    assert await last_use(store) == (2000, "node-1")


async def test_what_is_not_new_makes_no_work(store: SqliteStore) -> None:
    uses = LastUses(store)
    uses.note(replace(ROW, last_used_at=2000), 2059, "node-2")
    assert uses._timer is None
    uses.note(replace(ROW, last_used_at=2000), 2060, "node-2")
    await uses.close()
    assert await last_use(store) == (2060, "node-2")


async def test_a_store_that_cannot_be_written_costs_the_use_alone(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    uses = LastUses(store)
    uses.note(ROW, 2000, "node-1")
    await store.close()
    await uses.close()
    assert "last uses of keys are lost" in caplog.text
