"""What moves the store's version: whatever known tokens and answers rest on (DECISIONS 18), and nothing that happens at
every login, or each of them would have everybody looked up again (forward-auth.md 6, the budget)."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import NOW, LockoutSettings, account, save, signing_key, token, vault

from gateway.grants import lockout
from gateway.identity import Group
from gateway.store.interface import GroupRow, RevokeBy, SettingChange, Store, Touch

OpenStore = Callable[[], Awaitable[Store]]
Write = Callable[[Store, str], Awaitable[object]]

KEY = lockout.name_key("corp", "ada")
ACCESSOR = token(1).accessor
MOVES: list[tuple[str, Write]] = [
    ("a token is revoked", lambda store, _: store.tokens_revoke(RevokeBy.ACCESSOR, ACCESSOR, NOW)),
    ("a person's tokens are revoked", lambda store, _: store.tokens_revoke(RevokeBy.IDENTITY, "i1", NOW)),
    ("a token is renewed", lambda store, _: store.token_renew(ACCESSOR, NOW + 9)),
    ("a use is taken", lambda store, _: store.token_use(token(2).hash)),
    ("a token gets another name, which rules may want", lambda store, _: store.token_label(ACCESSOR, "other")),
    ("a ClearML session ends", lambda store, _: store.revoke_session("s", "i1", NOW)),
    ("a ClearML session ends later", lambda store, _: store.revoke_session("known", "i1", NOW + 99)),
    ("tokens of a person end", lambda store, person: store.identity_invalidate(person, NOW + 1)),
    ("a person is gone", lambda store, person: store.identity_gone(person, NOW)),
    ("a person left a group", lambda store, _: save(store, account(groups=()))),
    ("a group was renamed", lambda store, _: save(store, account(groups=(Group("x", "cn=admins,dc=example", "y"),)))),
    ("a person has another name", lambda store, _: save(store, account(name="Zoë Meier"))),
    ("another address", lambda store, _: save(store, account(email="other@example.com"))),
    ("another attribute", lambda store, _: save(store, account(attributes={"phone": ("2",)}))),
    ("another user name", lambda store, _: save(store, account(username="renamed"), backend_id="b-User1")),
    ("another DN", lambda store, _: save(store, account(dn="cn=x,dc=example"))),
    ("another role", lambda store, _: save(store, account(), role="admin")),
    ("another company", lambda store, _: save(store, account(), company="c2")),
    ("another id at ClearML", lambda store, _: save(store, account(), backend_id="b2")),
    ("an invitation", lambda store, _: store.whitelist_add({"new@example.com": "user"}, NOW, "ada")),
    ("an invitation is taken back", lambda store, _: store.whitelist_remove(["open@example.com"])),
    ("an invitation is accepted", lambda store, _: save(store, account(), accepts="open@example.com")),
    ("invited domains", lambda store, _: store.domains_set(["example.org"])),
    ("no invited domain", lambda store, _: store.domains_set([])),
    ("a vault", lambda store, _: store.vault_save(vault("new"), 0, keep=5)),
    ("a vault changes", lambda store, _: store.vault_save(vault("v"), 1, keep=5)),
    ("a vault is deleted", lambda store, _: store.vaults_delete(["v"], NOW)),
    ("a group", lambda store, _: store.group_save(GroupRow("new", "c1", "new", "", frozenset()))),
    ("somebody in a group", lambda store, _: store.group_save(GroupRow("g1", "c1", "one", "", frozenset({"i1"})))),
    ("a group is deleted", lambda store, _: store.groups_delete(["g1"])),
    ("all tokens of a mount end, those that are not stored too", lambda store, _: store.tokens_revoke(RevokeBy.PATH, "auth/x", NOW)),
    ("a key for signing, as answers hold what one has signed", lambda store, _: store.key_add(signing_key("new"))),
    ("a key ends", lambda store, _: store.key_retire("known", NOW)),
    ("an API key is rotated for the first time", lambda store, _: store.counter_next("new")),
    ("an API key is rotated", lambda store, _: store.counter_next("known")),
    ("what has ended is removed", lambda store, _: store.prune(NOW + 10**6)),
]
STAYS: list[tuple[str, Write]] = [
    ("somebody's first login", lambda store, _: save(store, account(2))),
    ("a login that finds nothing new", lambda store, _: save(store, account(), NOW + 60)),
    ("another login of who was invited", lambda store, _: save(store, account(3), NOW + 60, accepts="taken@example.com")),
    ("a session begins", lambda store, _: store.token_add(token(3))),
    ("tokens were used", lambda store, _: store.tokens_touch([Touch(token(1).hash, NOW + 500, "192.0.2.1")])),
    ("a wrong password", lambda store, _: store.failure_add((KEY,), NOW, LockoutSettings())),
    ("failures are forgotten", lambda store, _: store.failures_clear((KEY,))),
    ("a preference", lambda store, person: store.preferences_set(person, {"a": 1})),
    ("a setting", lambda store, _: store.layer_write([SettingChange(("a",), "1")], 0, at=NOW, by="ada")),
    ("nothing had ended", lambda store, _: store.prune(NOW)),
    ("nobody of that name", lambda store, _: store.tokens_revoke(RevokeBy.IDENTITY, "nobody", NOW)),
]  # fmt: skip


async def before(store: Store) -> str:
    """A store in which there is something of each kind; the id of a person."""
    person = await save(store, account())
    await store.token_add(token(1))
    await store.token_add(replace(token(2), uses_left=3))
    await store.revoke_session("known", "i1", NOW + 9)
    await store.whitelist_add({"open@example.com": "user", "taken@example.com": "user"}, NOW, "ada")
    await save(store, account(3), accepts="taken@example.com")
    await store.domains_set(["example.com"])
    await store.group_save(GroupRow("g1", "c1", "one", "", frozenset()))
    await store.vault_save(vault("v"), 0, keep=5)
    await store.failure_add((KEY,), NOW, LockoutSettings())
    await store.counter_next("known")
    await store.key_add(signing_key("known"))
    return person.id


@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in MOVES])
async def test_it_moves_for_everybody(store: Store, open_store: OpenStore, write: Write) -> None:
    person, other = await before(store), await open_store()
    known = store.version(), other.version()
    assert (store.version(), other.version()) == known
    await write(store, person)
    assert store.version() != known[0]
    assert other.version() != known[1]


@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in STAYS])
async def test_it_stays(store: Store, open_store: OpenStore, write: Write) -> None:
    person, other = await before(store), await open_store()
    known = store.version(), other.version()
    await write(store, person)
    assert (store.version(), other.version()) == known


ALL = frozenset({"insert", "update", "delete"})
WITHOUT = {
    "identities": {"insert"},
    "tokens": {"insert"},
    "vaults_revision": {"insert", "delete"},
    **dict.fromkeys(("failures", "preferences", "settings", "settings_generation"), ALL),
    "wrapped": ALL,
    "path_ends": {"delete"},  # those below one that was just noted
    "counters": {"delete"},  # there is none
    **dict.fromkeys(("vaults", "vault_versions", "groups", "group_members"), ALL),  # vaults_revision moves with them
    **dict.fromkeys(("changes", "schema_version", "sqlite_sequence"), ALL),
}
"""Kinds of writes to a table that change nothing of what is known."""


@pytest.mark.usefixtures("store")
def test_every_table_was_thought_of(tmp_path: Path) -> None:
    """So that whoever adds one decides."""
    with closing(sqlite3.connect(tmp_path / "state" / "gateway.db")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    watched = {tuple(name.rsplit("_", 1)) for (name,) in triggers}
    expected = {
        (table, f"{kind.removesuffix('e')}ed")
        for table in tables
        for kind in ALL - WITHOUT.get(table, frozenset())
    }
    assert watched == expected
