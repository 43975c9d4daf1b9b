"""Saving when others save too: a text is read once, whoever is faster, and personal vaults have their limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.config.schema import Configuration
from gateway.identity import Account, Grant, Identity
from gateway.store.interface import OWN_VAULTS
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.vaults.book import OWN_TEXTS, Book, NothingToUndo
from gateway.vaults.model import Edit, InvalidField, Wanted, user_vault_id
from gateway.vaults.turns import Turns

T = TypeVar("T")
MAX_SIZE = 1024


class CountingTurns(Turns):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    async def run(self, person: str, work: Callable[[], Awaitable[T]]) -> T:
        self.runs.append(person)
        return await super().run(person, work)


def person(name: str, role: str = "user") -> Identity:
    return Identity(name, name, Account("local", name, name), Grant("c", "c", role), 0)


ADA, JANE = person("ada", "admin"), person("jane")


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    store = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(bytes(32)))
    await store.migrate()
    yield Book(store, Configuration.model_validate({"vaults": {"max_size": MAX_SIZE}}))
    await store.close()


async def save(book: Book, editor: Identity, **edit: object) -> str:
    return (await book.save(editor, Edit(**edit), by=editor.label, now=5)).id  # type: ignore[arg-type]


async def test_a_text_is_read_once_however_often_others_are_faster(book: Book) -> None:
    vault = await save(book, ADA, scope="organization", text="n = 0")
    book.turns = counting = CountingTurns()
    editors = [person(f"ada{number}", "admin") for number in range(8)]
    await asyncio.gather(*(save(book, editor, id=vault, text=f"n = {editor.id}") for editor in editors))
    assert sorted(counting.runs) == [editor.id for editor in editors]
    assert (await book.history(vault))[0].version == 9  # type: ignore[union-attr]


async def test_personal_vaults_are_limited(book: Book) -> None:
    for number in range(OWN_VAULTS):
        await save(book, JANE, type=f"t{number}", text="x")
    with pytest.raises(InvalidField, match=f"vault: there are {OWN_VAULTS} of this user"):
        await save(book, JANE, type="one more", text="x")
    await save(book, JANE, type="t0", text="y" * MAX_SIZE)
    await save(book, ADA, person=JANE, type="t1", text="y" * MAX_SIZE)
    with pytest.raises(InvalidField, match=f"more than {OWN_TEXTS * MAX_SIZE} bytes"):
        for number in range(2, 10):
            await save(book, JANE, type=f"t{number}", text="y" * MAX_SIZE)
    await save(book, person("bob"), text="x = 1")


async def test_an_emptied_vault_of_another_type_goes(book: Book) -> None:
    config, ssh = await save(book, JANE, text="x = 1"), await save(book, JANE, type="ssh", text="x")
    for left in ({"config", "ssh"}, {"config"}):
        assert await book.delete(JANE, [config, ssh], by="jane", now=5) == [config, ssh]
        assert {row.type for row in await book.applied(JANE, Wanted())} == left
    versions = [row.version for row in (await book.history(config))[1]]
    assert versions == [1], "emptying what is empty is no new version"
    assert (await book.undo(ssh, 1, by="op", now=6)).restored == 1


async def test_undo_says_what_came_back(book: Book) -> None:
    first = await save(book, ADA, scope="organization", text="n = 1")
    second = await save(book, ADA, scope="organization", text="n = 2")
    await book.delete(ADA, [first], by="ada", now=6)
    undone = await book.undo(first, None, by="op", now=9)
    assert (undone.restored, undone.version, undone.deleted) == (1, 2, True)
    assert [row.id for row in await book.applied(JANE)][:2] == [first, second], "the order in which clients merge"
    await save(book, ADA, id=first, enabled=True)
    with pytest.raises(NothingToUndo, match="version 2"):
        await book.undo(first, None, by="op", now=9)
    with pytest.raises(NothingToUndo, match="version 3"):
        await book.undo(first, 3, by="op", now=9)


async def test_texts_of_one_person_wait_behind_the_first_of_another(book: Book) -> None:
    book.turns = counting = CountingTurns()
    order: list[str] = []

    async def write(editor: Identity, number: int) -> None:
        await save(book, editor, type="config", text=f"n = {number}")
        order.append(editor.id)

    bob = person("bob")
    await asyncio.gather(*(write(JANE, number) for number in range(6)), write(bob, 0))
    assert len(counting.runs) == 7
    assert order.index("bob") <= 2
    assert (await book.history(user_vault_id("jane")))[0].version == 6  # type: ignore[union-attr]
