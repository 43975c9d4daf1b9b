"""Vaults, their versions and groups in every engine of the store (configuration.md 2)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_samples import NOW, vault

from gateway.store.interface import (
    OWN_VAULTS,
    PURGE_SECONDS,
    Conflict,
    GroupRow,
    OverLimit,
    OwnersRoom,
    Store,
    StoreError,
    StoreUnavailable,
)
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore

OpenStore = Callable[[], Awaitable[Store]]


async def save(store: Store, name: str, expected: int = 0, keep: int = 20, **changes: Any) -> int:
    return await store.vault_save(vault(name, **changes), expected, keep=keep)


async def test_a_vault_comes_back_as_it_was_saved(store: Store, open_store: OpenStore) -> None:
    assert await save(store, "a") == 1
    assert await store.vault("a") == vault("a", version=1)
    assert await (await open_store()).vault("a") == vault("a", version=1)
    assert await store.vault("b") is None
    assert await store.vault_versions("a") == []


async def test_an_update_keeps_place_scope_and_creation(store: Store) -> None:
    for name in ("a", "b"):
        await save(store, name)
    later: dict[str, Any] = {"owner": "g2", "type": "t", "format": "json", "enabled": False, "description": "new"}
    later |= {"text": "t2", "delivered": "d2", "updated_at": NOW + 9, "updated_by": "bob"}
    assert await save(store, "a", 1, scope="user", created_at=NOW + 9, **later) == 2
    changed = vault("a", version=2, **later)
    assert await store.vaults(["group"]) == [changed, vault("b", version=1)]


async def test_each_save_keeps_what_was_before(store: Store) -> None:
    """clearml issue: who, when, what; the newest ``keep`` versions stay."""
    for number in range(5):
        await save(store, "a", number, keep=3, text=f"text {number}", updated_at=NOW + number, updated_by=f"w{number}")
    kept = await store.vault_versions("a")
    assert [(version.version, version.text, version.at, version.by) for version in kept] == [
        (4, "text 3", NOW + 3, "w3"), (3, "text 2", NOW + 2, "w2"), (2, "text 1", NOW + 1, "w1"),
    ]  # fmt: skip
    assert (kept[0].scope, kept[0].owner, kept[0].format, kept[0].description) == ("group", "g1", "yaml", "about a")
    assert "text 3" not in repr(kept)
    await save(store, "a", 5, keep=0)
    assert await store.vault_versions("a") == []


@pytest.mark.parametrize("expected", [0, 2, -1])
async def test_a_lost_race_is_a_conflict_and_changes_nothing(store: Store, expected: int) -> None:
    await save(store, "a")
    before = store.vaults_revision()
    with pytest.raises(Conflict):
        await save(store, "a", expected, text="lost")
    assert await store.vault("a") == vault("a", version=1)
    assert await store.vault_versions("a") == []
    assert store.vaults_revision() == before
    with pytest.raises(Conflict):
        await save(store, "unknown", 1)


async def test_of_writers_at_once_one_wins_each_version(store: Store, open_store: OpenStore) -> None:
    """Acceptance: two writers at once, no lost version."""
    stores = [store, await open_store()]
    await save(store, "a", text="first")

    async def writer(number: int) -> None:
        while True:
            current = await stores[number % 2].vault("a")
            assert current is not None
            try:
                await save(stores[number % 2], "a", current.version, text=f"by {number}")
            except Conflict:
                continue
            return

    await asyncio.gather(*(writer(number) for number in range(12)))
    last = await store.vault("a")
    assert last is not None
    texts = [last.text, *(version.text for version in await store.vault_versions("a"))]
    assert last.version == 13
    assert texts[-1] == "first"
    assert sorted(texts[:-1]) == sorted(f"by {number}" for number in range(12))


async def test_vaults_by_scope_and_owner_in_order_of_creation(store: Store) -> None:
    await save(store, "z", scope="organization", owner="")
    await save(store, "m", owner="g2")
    await save(store, "a", scope="user", owner="i1")
    await save(store, "b", scope="user", owner="i2")
    await save(store, "z", 1)
    assert [row.id for row in await store.vaults(["organization", "group"])] == ["z", "m"]
    assert [row.id for row in await store.vaults(["user"], "i2")] == ["b"]
    assert [row.id for row in await store.vaults(["user", "group", "organization"])] == ["z", "m", "a", "b"]
    assert await store.vaults([]) == []


async def test_a_deleted_vault_can_be_brought_back_until_it_is_purged(store: Store) -> None:
    await save(store, "a")
    await save(store, "a", 1, text="second")
    await save(store, "b")
    assert await store.vaults_delete(["a", "a", "unknown"], NOW) == 1
    assert await store.vault("a") is None
    assert [version.text for version in await store.vault_versions("a")] == ["second", "planted: a"]
    assert await save(store, "a", text="third") == 3, "versions go on counting"
    assert await store.prune(NOW + PURGE_SECONDS) == 0, "it is back"
    assert len(await store.vault_versions("a")) == 2
    await store.vaults_delete(["a"], NOW)
    assert await store.prune(NOW + PURGE_SECONDS - 1) == 0
    assert [await store.prune(NOW + PURGE_SECONDS, limit=2) for _ in range(3)] == [2, 1, 0]
    assert await store.vault_versions("a") == []
    assert await store.vaults_delete([], NOW) == 0
    assert [row.id for row in await store.vaults(["group"])] == ["b"]


async def test_a_vault_that_comes_back_takes_its_old_place(store: Store) -> None:
    """Clients merge in the order of creation; an undone deletion must not turn it round."""
    for name in "abc":
        await save(store, name)
    await store.vaults_delete(["a", "c"], NOW)
    await save(store, "d", created_at=NOW + 1)
    await save(store, "c", created_at=NOW + 2)
    await save(store, "a", created_at=NOW + 2)
    assert [(row.id, row.created_at) for row in await store.vaults(["group"])] == [
        ("a", NOW), ("b", NOW), ("c", NOW), ("d", NOW + 1),
    ]  # fmt: skip


async def test_an_owner_has_only_so_much_room(store: Store) -> None:
    room = OwnersRoom(vaults=2, bytes=1000)

    async def add(name: str, size: int, expected: int = 0, owner: str = "i1") -> int:
        changes = {"scope": "user", "owner": owner, "text": "x" * size}
        return await store.vault_save(vault(name, **changes), expected, keep=20, room=room)

    assert await add("a", 400) == 1
    with pytest.raises(OverLimit, match="more than 1000 bytes"):
        await add("b", 600)
    assert await add("b", 500) == 1
    for expected in (0, 0):
        with pytest.raises(OverLimit, match="there are 2 of this user"):
            await add("c", 1, expected)
    assert await store.vault("c") is None
    assert await add("c", 900, owner="i2") == 1
    with pytest.raises(OverLimit):
        await add("a", 600, 1)
    assert await add("a", 0, 1) == 2, "what takes less is never refused"
    added = await asyncio.gather(*(add(f"p{n}", 1, owner="i3") for n in range(9)), return_exceptions=True)
    assert sum(result == 1 for result in added) == 2


async def test_of_deleted_personal_vaults_the_last_remain(store: Store) -> None:
    """Making and deleting in turn must not fill the disk."""
    for number in range(OWN_VAULTS + 5):
        await save(store, f"v{number}", scope="user", owner="i1")
        await store.vaults_delete([f"v{number}"], NOW + number // 10)
    await save(store, "other", scope="user", owner="i2")
    await store.vaults_delete(["other"], NOW)
    kept = [row.vault for row in await store.vaults_deleted()]
    assert sorted(kept) == sorted(["other", *(f"v{number}" for number in range(5, OWN_VAULTS + 5))])
    assert kept[0] == f"v{OWN_VAULTS + 4}", "the last deleted first"
    await save(store, "v7", scope="user", owner="i1")
    assert "v7" not in [row.vault for row in await store.vaults_deleted()]


async def test_groups_of_two_companies_may_have_one_name(store: Store) -> None:
    await store.group_save(GroupRow("g1", "c1", "Team", "", frozenset({"i1"})))
    await store.group_save(GroupRow("g2", "c2", "team", "", frozenset({"i2"})))
    assert [(group.id, group.company) for group in await store.groups()] == [("g1", "c1"), ("g2", "c2")]
    with pytest.raises(Conflict):
        await store.group_save(GroupRow("g3", "c2", "TEAM", "", frozenset()))


async def test_the_revision_moves_with_every_write(store: Store, open_store: OpenStore) -> None:
    other = await open_store()
    seen = [store.vaults_revision()]
    await save(store, "a")
    seen.append(other.vaults_revision())
    await save(other, "a", 1)
    seen.append(store.vaults_revision())
    await other.vaults_delete(["a"], NOW)
    seen.append(store.vaults_revision())
    await store.group_save(GroupRow("g", "c1", "g", "", frozenset()))
    seen.append(store.vaults_revision())
    await store.groups_delete(["g"])
    seen.append(store.vaults_revision())
    assert len(set(seen)) == 6
    await store.domains_set(["x.org"])
    assert store.vaults_revision() == seen[-1]


async def test_groups(store: Store, open_store: OpenStore) -> None:
    await store.group_save(GroupRow("g2", "c1", "Data Science", "models", frozenset({"i1", "i2"})))
    await store.group_save(GroupRow("g1", "c1", "Ops", "", frozenset()))
    await store.group_save(GroupRow("g2", "c1", "Data", "", frozenset({"i2"})))
    expected = [GroupRow("g2", "c1", "Data", "", frozenset({"i2"})), GroupRow("g1", "c1", "Ops", "", frozenset())]
    assert await store.groups() == expected
    for duplicate in ("OPS", " ops "):
        with pytest.raises(Conflict):
            await store.group_save(GroupRow("g3", "c1", duplicate, "", frozenset({"i9"})))
    assert await (await open_store()).groups() == expected
    assert await store.groups_delete(["g2", "g2", "unknown"]) == 1
    assert await store.groups() == expected[1:]
    await store.group_save(GroupRow("g2", "c1", "Data", "", frozenset()))
    assert (await store.groups())[1].members == frozenset()


async def test_no_text_is_on_disk_and_none_opens_elsewhere(tmp_path: Path, sealer: Sealer) -> None:
    """DECISIONS 19, 40: sealed for its vault and version; swapped or older ones do not open."""
    path = tmp_path / "gateway.db"
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    for name in ("a", "b"):
        await save(store, name)
        await save(store, name, 1, text=f"planted: {name} again")
    await store.close()
    assert b"planted" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    swaps = (
        "UPDATE vaults SET text_sealed = (SELECT text_sealed FROM vaults WHERE id = 'b')",
        "UPDATE vaults SET text_sealed = delivered_sealed",
        "UPDATE vaults SET text_sealed = (SELECT text_sealed FROM vault_versions WHERE vault = 'a')",
    )
    for swap in swaps:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM vaults")
            connection.execute(f"{swap} WHERE id = 'a'")
            connection.commit()
        store = SqliteStore.open(path, sealer=sealer)
        damaged = await store.vault("a")
        assert damaged is not None
        assert (damaged.damaged, damaged.text, damaged.delivered) == (True, "", "")
        assert [row.damaged for row in await store.vaults(["group"])] == [True, False], "it costs nobody the others"
        assert await save(store, "a", damaged.version, text="mended") == damaged.version + 1
        mended = await store.vault("a")
        assert mended is not None
        assert (mended.damaged, mended.text) == (False, "mended")
        await store.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DELETE FROM vaults")
            connection.execute("INSERT INTO vaults SELECT * FROM kept")
            connection.execute("DELETE FROM vault_versions WHERE version > 1")
            connection.commit()


async def test_another_master_key_opens_nothing(tmp_path: Path, sealer: Sealer) -> None:
    for key in (sealer, Sealer(bytes(32))):
        store = SqliteStore.open(tmp_path / "gateway.db", sealer=key)
        await store.migrate()
        if key is sealer:
            await save(store, "a")
            await save(store, "a", 1)
        else:
            found = await store.vault("a")
            assert found is not None
            versions = await store.vault_versions("a")
            assert [(row.damaged, row.text) for row in (found, *versions)] == [(True, "")] * 2
        await store.close()


async def test_what_cannot_be_stored_is_refused_without_showing_it(store: Store) -> None:
    for change in ({"text": "planted\udcff"}, {"description": "planted\ud800"}, {"created_at": 2**64}):
        with pytest.raises(StoreError) as caught:
            await save(store, "a", **change)
        assert "planted" not in repr(caught.value)
    assert await store.vault("a") is None
    assert "planted" not in repr(vault("a"))
    assert await save(store, "a", text="a\0b 𝕬" * 1000) == 1
    found = await store.vault("a")
    assert found is not None
    assert found.text == "a\0b 𝕬" * 1000


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    for call in (store.vault("a"), store.vaults(["group"]), save(store, "a"), store.groups(), store.vault_versions("a")):
        with pytest.raises(StoreUnavailable):
            await call
    assert replace(vault("a"), version=1) != vault("a")
