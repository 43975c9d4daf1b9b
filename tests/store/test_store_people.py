"""The store's listing of people, labels of tokens, and whitelist entries of those who are gone (configuration.md 2)."""

from __future__ import annotations

import pytest

from gateway.store.interface import RevokeBy, Store, StoreUnavailable
from tests.store.store_samples import NOW, account, save, token


async def test_people_of_a_company_by_pages(store: Store) -> None:
    people = [await save(store, account(number)) for number in range(5)]
    await save(store, account(9), company="c2")
    await store.identity_gone(people[0].id, NOW)
    present = sorted(row.id for row in people[1:])
    pages = [await store.identities_of_company("c1", offset=offset, limit=3) for offset in (0, 3, 6)]
    assert [[row.id for row in page] for page in pages] == [present[:3], present[3:], []]
    assert await store.identities_of_company("c3") == []


async def test_labels(store: Store) -> None:
    row = token(1)
    await store.token_add(row)
    assert await store.token_label(row.accessor, "laptop")
    found = await store.token(row.hash)
    assert found is not None and found.label == "laptop"
    assert not await store.token_label("unknown", "x")
    await store.tokens_revoke(RevokeBy.ACCESSOR, row.accessor, NOW)
    assert not await store.token_label(row.accessor, "x")


async def test_an_accepted_entry_can_be_removed_once_its_person_is_gone(store: Store) -> None:
    await store.whitelist_add({"a@x.org": "user"}, NOW, "test")
    person = await save(store, account(), accepts="a@x.org")
    assert await store.whitelist_remove(["a@x.org"]) == []
    await store.identity_gone(person.id, NOW)
    assert await store.whitelist_remove(["a@x.org"]) == ["a@x.org"]


async def test_a_closed_store_lists_nobody(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.identities_of_company("c1")
