"""Last uses are written in batches, and at most once a minute for each token (configuration.md 2, tokens_touch)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.activity import Activity
from gateway.store.interface import TokenRow
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
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


async def test_the_last_use_of_a_batch_is_written(store: SqliteStore) -> None:
    activity = Activity(store)
    activity.note(ROW.hash, 2000, "node-1")
    activity.note(ROW.hash, 2001, "node-2")
    assert await last_use(store) == (None, "")
    assert await activity.write()
    assert await last_use(store) == (2001, "node-2")


@pytest.mark.parametrize(("later", "written"), [(59, 2000), (60, 2060)])
async def test_once_a_minute(store: SqliteStore, later: int, written: int) -> None:
    activity = Activity(store)
    activity.note(ROW.hash, 2000)
    await activity.write()
    activity.note(ROW.hash, 2000 + later)
    assert activity.last(ROW.hash) == 2000 + later, "known here at once"
    await activity.write()
    assert (await last_use(store))[0] == written


async def test_old_uses_are_forgotten_once_written(store: SqliteStore) -> None:
    activity = Activity(store)
    activity.note(ROW.hash, 2000)
    await activity.flush(2299, 300)
    assert activity.last(ROW.hash) == 2000
    await activity.flush(2301, 300)
    assert activity.last(ROW.hash) == 0
    assert (await last_use(store))[0] == 2000


async def test_what_could_not_be_written_is_kept(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    activity = Activity(store)
    activity.note(ROW.hash, 2000)
    await store.close()
    await activity.flush(9999, 300)
    assert "could not be written" in caplog.text
    assert activity.last(ROW.hash) == 2000
