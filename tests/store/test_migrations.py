"""Numbered migrations (configuration.md 2, ``migrate``)."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import account, save

from gateway.store import schema
from gateway.store.interface import Layer, SettingChange, StoreError, StoreUnavailable
from gateway.store.schema import Migration
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore

LATER = Migration(
    len(schema.packaged()) + 1,
    "later",
    """-- a comment; with a semicolon
ALTER TABLE identities ADD COLUMN nick TEXT NOT NULL DEFAULT 'none;';
CREATE TRIGGER a AFTER INSERT ON domains BEGIN
    DELETE FROM whitelist;
    DELETE FROM preferences;
END;
""",
)

NOW = [migration.number for migration in schema.packaged()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


def applied(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM schema_version ORDER BY number")]


def migrate(path: Path, *migrations: Migration) -> None:
    schema.create(path)
    schema.migrate(path, migrations, busy_timeout=5)


def test_packaged_migrations_are_numbered_without_gaps() -> None:
    packaged = schema.packaged()
    assert [migration.number for migration in packaged] == list(range(1, len(packaged) + 1))
    assert all("CREATE" in migration.sql for migration in packaged)


async def test_an_older_schema_is_brought_up_with_its_rows(path: Path, sealer: Sealer) -> None:
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    saved = await save(store, account())
    await store.close()
    migrate(path, *schema.packaged(), LATER)
    migrate(path, *schema.packaged(), LATER)
    assert applied(path) == [*NOW, LATER.number]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, nick FROM identities").fetchall() == [(saved.id, "none;")]
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = 'a'").fetchall() == [(1,)]


async def test_settings_come_to_a_database_of_the_first_version(path: Path, sealer: Sealer) -> None:
    """configuration.md 2: what was there stays, and the layer begins empty."""
    migrate(path, schema.packaged()[0])
    assert applied(path) == [1]
    store = SqliteStore.open(path, sealer=sealer)
    saved = await save(store, account())
    with pytest.raises(StoreUnavailable, match=r"expected schema \(no such table.*: run ldap-gateway store migrate"):
        await store.layer()
    await store.migrate()
    assert applied(path) == NOW
    assert await store.layer() == Layer(0, ())
    assert await store.layer_write([SettingChange(("a",), 1)], 0, at=0, by="root") == 1
    assert await store.identity(saved.id) == saved
    await store.close()


async def test_a_newer_schema_is_refused_untouched(path: Path, sealer: Sealer) -> None:
    migrate(path, *schema.packaged(), LATER)
    store = SqliteStore.open(path, sealer=sealer)
    with pytest.raises(StoreError, match=f"has schema {LATER.number} and this program knows {NOW[-1]}: it was used by a newer version"):
        await store.migrate()
    await store.close()
    assert applied(path) == [*NOW, LATER.number]


def test_a_failing_migration_leaves_nothing_behind(path: Path) -> None:
    broken = replace(LATER, sql=LATER.sql + "CREATE TABLE identities (x);\n")
    with pytest.raises(StoreUnavailable, match="already exists"):
        migrate(path, *schema.packaged(), broken)
    assert applied(path) == NOW
    migrate(path, *schema.packaged(), LATER)
    assert applied(path) == [*NOW, LATER.number]


async def test_migrating_at_once_is_safe(path: Path) -> None:
    many = (Migration(number, "more", f"CREATE TABLE more{number} (x);\n") for number in range(LATER.number + 1, 40))
    migrations = (*schema.packaged(), LATER, *many)
    schema.create(path)
    each = (asyncio.to_thread(schema.migrate, path, migrations, busy_timeout=10) for _ in range(6))
    await asyncio.gather(*each)
    assert applied(path) == list(range(1, 40))


def test_an_empty_file_with_another_mode_becomes_the_database(path: Path) -> None:
    path.touch(0o644)
    migrate(path, *schema.packaged())
    assert applied(path) == NOW
    assert path.stat().st_mode & 0o777 == 0o600
