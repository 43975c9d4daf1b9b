"""The key ring (DECISIONS 19; configuration.md 2, ``keys``)."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.interface import KeyRow
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens.keys import KeyRing, KeyRingError

NOW = 1_700_000_000
SEALER = Sealer(bytes(range(32)))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "gateway.db", sealer=SEALER)
    await store.migrate()
    yield store
    await store.close()


async def test_first_key_is_made_once_and_stays(store: SqliteStore) -> None:
    ring = await KeyRing.load(store, NOW)
    assert len(ring.clearml_secret(NOW)) == 64
    again = await KeyRing.load(store, NOW + 10**9)
    assert again.clearml_secrets(NOW) == (ring.clearml_secret(NOW),)
    assert again.clearml_secret(NOW - 10**9) == ring.clearml_secret(NOW), "a clock set back leaves the ring usable"


async def test_processes_starting_at_once_end_with_one_secret(store: SqliteStore, tmp_path: Path) -> None:
    other = SqliteStore.open(tmp_path / "gateway.db", sealer=SEALER)
    rings = await asyncio.gather(*(KeyRing.load(each, NOW) for each in (store, other) * 8))
    await other.close()
    assert len({ring.clearml_secret(NOW) for ring in rings}) == 1
    assert len(await store.keys()) == 1


async def test_a_given_secret_wins_and_makes_no_key(store: SqliteStore) -> None:
    ring = await KeyRing.load(store, NOW, "operator's ü")
    assert ring.clearml_secrets(NOW) == ("operator's ü".encode(),)
    assert await store.keys() == []
    with pytest.raises(KeyRingError, match=r"clearml\.token_secret is empty"):
        await KeyRing.load(store, NOW, "")


async def test_the_newest_live_key_signs_and_all_live_ones_verify(store: SqliteStore) -> None:
    def key(name: str, not_before: int, **ends: int) -> KeyRow:
        return KeyRow(name, "clearml", "HS256", name.encode(), b"", not_before, **ends)

    for row in (
        key("old", 0, not_after=NOW + 10),
        key("new", NOW - 5),
        key("next", NOW + 5),
        key("gone", NOW - 1, retired_at=NOW),
        KeyRow("other", "jwks", "ES256", b"other", b"", NOW),
        KeyRow("strange", "clearml", "HS512", b"strange", b"", NOW),
    ):
        await store.key_add(row)
    ring = await KeyRing.load(store, NOW)
    assert ring.clearml_secrets(NOW) == (b"new", b"old")
    assert ring.clearml_secret(NOW + 5) == b"next"
    assert ring.clearml_secrets(NOW + 10) == (b"next", b"new")


async def test_a_new_key_is_made_when_all_have_ended(store: SqliteStore) -> None:
    first = await KeyRing.load(store, NOW)
    [row] = await store.keys()
    await store.key_retire(row.id, NOW + 1)
    ended = await KeyRing.load(store, NOW)
    with pytest.raises(KeyRingError, match="no live key"):
        ended.clearml_secret(NOW + 1)
    second = await KeyRing.load(store, NOW + 1)
    assert second.clearml_secret(NOW + 1) != first.clearml_secret(NOW)


async def test_another_master_key_says_what_to_do(store: SqliteStore, tmp_path: Path) -> None:
    secret = (await KeyRing.load(store, NOW)).clearml_secret(NOW)
    other = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(bytes(32)))
    with pytest.raises(KeyRingError, match=r"put back the tokens\.master_key") as caught:
        await KeyRing.load(other, NOW)
    text = "".join(traceback.format_exception(caught.value, chain=True))
    assert secret.hex() not in text
    assert repr(secret) not in text
    with pytest.raises(KeyRingError):
        await KeyRing.load(other, NOW, "given")
    await other.close()
    assert (await KeyRing.load(store, NOW)).clearml_secret(NOW) == secret, "nothing was overwritten"


async def test_the_ring_does_not_show_its_secrets(store: SqliteStore) -> None:
    """DECISIONS 40."""
    ring = await KeyRing.load(store, NOW, "planted-secret")
    assert "planted" not in repr(ring)
