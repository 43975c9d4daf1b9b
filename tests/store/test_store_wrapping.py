"""Wrapped answers, and the revocations that Vault tokens need (vault.md 8, 10; configuration.md 2)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conftest import OpenStore
from store_samples import NOW, token

from gateway.store.interface import Conflict, OverLimit, RevokeBy, Store
from gateway.store.wrapped import MOST_WRAPPED, MOST_WRAPPED_BYTES, WrappedRow

ROW = WrappedRow(b"h" * 32, "w1", "auth/ldap/login/tesla", "a1", "ada", NOW, NOW + 300)


async def test_an_answer_is_taken_once(store: Store, open_store: OpenStore) -> None:
    other = await open_store()
    await store.wrap_put(ROW, b"the answer")
    assert await other.wrap_peek(ROW.hash) == ROW
    assert await other.wrap_peek(b"unknown") is None
    taken = await asyncio.gather(*(one.wrap_take(ROW.hash) for one in (store, other) * 8))
    assert [answer for answer in taken if answer is not None] == [(ROW, b"the answer")]
    assert await store.wrap_peek(ROW.hash) is None


async def test_duplicates_conflict(store: Store) -> None:
    await store.wrap_put(ROW, b"1")
    for row in (ROW, WrappedRow(b"i" * 32, "w1", "", "", "", NOW, NOW)):
        with pytest.raises(Conflict):
            await store.wrap_put(row, b"2")


async def test_ended_answers_are_pruned(store: Store) -> None:
    await store.wrap_put(ROW, b"1")
    assert await store.prune(NOW + 299) == 0
    assert await store.prune(NOW + 300) == 1
    assert await store.wrap_peek(ROW.hash) is None


async def test_answers_are_sealed(store: Store, tmp_path: Path) -> None:
    """DECISIONS 19, 40."""
    await store.wrap_put(ROW, b"PLANTED-ANSWER")
    content = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert b"auth/ldap/login/tesla" in content
    assert b"PLANTED-ANSWER" not in content
    assert repr(ROW.hash) not in repr(ROW)


async def test_the_answers_of_one_holder_are_bounded(store: Store) -> None:
    """vault.md 14: what one token has wrapped cannot fill the disk."""

    def row(number: int, holder: str = "ada", at: int = NOW) -> WrappedRow:
        return WrappedRow(number.to_bytes(32), f"w{number}", "x", "", holder, at, at + 300)

    for number in range(MOST_WRAPPED):
        await store.wrap_put(row(number), b"")
    with pytest.raises(OverLimit):
        await store.wrap_put(row(MOST_WRAPPED), b"")
    assert await store.wrap_peek(row(MOST_WRAPPED).hash) is None
    await store.wrap_put(row(MOST_WRAPPED, "bob"), b"x" * MOST_WRAPPED_BYTES)
    with pytest.raises(OverLimit):
        await store.wrap_put(row(MOST_WRAPPED + 1, "bob"), b"")
    for number in (2, 3):
        await store.wrap_put(row(MOST_WRAPPED + number, ""), b"x" * MOST_WRAPPED_BYTES)
    await store.wrap_put(row(MOST_WRAPPED + 4, at=NOW + 300), b"")  # the others have ended
    assert await store.wrap_take(row(0).hash) is not None


async def test_ends_of_paths(store: Store, open_store: OpenStore) -> None:
    """configuration.md 3: batch tokens are in no store, and end with the path that made them nevertheless."""
    other, path = await open_store(), "auth/ldap/login/ada"
    seen = [await store.path_ends(path)]
    for revoked in (path, "auth/ldap/login/adam", "auth/ldap", "auth/ldap", "auth/ldap2", path, "auth/ldap/login"):
        await store.tokens_revoke(RevokeBy.PATH, revoked, NOW)
        seen.append(await other.path_ends(path))
    assert seen == [0, 1, 1, 3, 4, 4, 6, 7]
    assert [await store.path_ends(each) for each in ("auth/ldap/login/adam", "auth/ldap", "auth/ldap2/x", "auth")] == [7, 4, 5, 0]


PATHS = {
    1: "auth/ldap/login/ada", 2: "auth/ldap/login/ada/x", 3: "auth/ldap/login/adam", 4: "auth/ldap2/login/ada",
    5: "auth/ldap", 6: "auth/ldap/login/%", 7: "auth/token/create", 8: "auth/ldap/login/ada",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("auth/ldap/login/ada", {1, 2, 7}),
        ("auth/ldap/login", {1, 2, 3, 6, 7}),
        ("auth/ldap", {1, 2, 3, 5, 6, 7}),
        ("auth/ldap/login/%", {6}),
        ("auth/l", set()),
        ("", set()),
    ],
)
async def test_revocation_by_path(store: Store, path: str, gone: set[int]) -> None:
    """vault.md 8 and 9, ``revoke-prefix``: 7 was made by 1, and 8 is no Vault token."""
    for number, made_at in PATHS.items():
        parent = token(1).accessor if number == 7 else None
        kind = "personal" if number == 8 else "vault"
        await store.token_add(token(number, kind=kind, path=made_at, parent=parent))
    assert await store.tokens_revoke(RevokeBy.PATH, path, NOW) == len(gone)
    assert {int(row.accessor[-6:]) for row in await store.tokens() if not row.alive(NOW)} == gone


async def test_children_of_one_revoked_alone_become_orphans(store: Store) -> None:
    """vault.md 8, ``revoke-orphan``."""
    await store.token_add(token(1))
    await store.token_add(token(2, parent=token(1).accessor))
    await store.token_add(token(3, parent=token(2).accessor))
    assert await store.tokens_revoke(RevokeBy.ACCESSOR, token(1).accessor, NOW) == 1
    found = await store.tokens()
    assert [(row.parent, row.orphan) for row in found[1:]] == [(None, True), (token(2).accessor, False)]
