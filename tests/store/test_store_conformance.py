"""What every engine of the store does, verb by verb (configuration.md 2)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import NOW, LockoutSettings, account, save, signing_key, token

from gateway.grants import lockout
from gateway.identity import Account, Group
from gateway.store import rows
from gateway.store.interface import (
    PURGE_KEY_SECONDS,
    Conflict,
    Layer,
    RevokeBy,
    Setting,
    SettingChange,
    Store,
    StoreError,
    StoreUnavailable,
    TokenRow,
    Touch,
)
from gateway.store.sealing import Sealer

OpenStore = Callable[[], Awaitable[Store]]


async def test_engine_has_every_verb_with_the_same_parameters(store: Store) -> None:
    for name, verb in inspect.getmembers(Store, inspect.isfunction):
        if not name.startswith("_"):
            ours = getattr(type(store), name)
            assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(verb), name
            assert inspect.signature(ours).parameters == inspect.signature(verb).parameters, name


# identities


async def test_identity_comes_back_as_it_was_saved(store: Store) -> None:
    saved = await save(store, account())
    assert len(saved.id) == 32
    assert int(saved.id, 16) >= 0
    assert saved.groups == account().groups
    assert saved.attributes == account().attributes
    assert saved.granted == {"roles": {"1": "Editor"}}
    assert (saved.valid_after, saved.created_at, saved.checked_at, saved.gone_at) == (0, NOW, NOW, None)
    assert await store.identity(saved.id) == saved
    assert await store.identity_of("corp", "entry-1") == saved
    assert await store.identity_of("corp", "entry-2") is None
    assert await store.identity("") is None


async def test_saving_again_keeps_what_belongs_to_the_row(store: Store) -> None:
    first = await save(store, account())
    assert await store.identity_invalidate(first.id, NOW + 5)
    assert await store.identity_gone(first.id, NOW + 6)
    again = await save(
        store, account(username="renamed", groups=()), NOW + 9, role="admin", company="c2", backend_id="b2", granted={}
    )
    assert again == replace(
        first, username="renamed", groups=(), role="admin", company="c2", backend_id="b2", granted={},
        valid_after=NOW + 5, checked_at=NOW + 9, gone_at=None,
    )  # fmt: skip


async def test_one_external_id_on_two_servers_is_two_people(store: Store) -> None:
    """DECISIONS 1."""
    here, there = await save(store, account()), await save(store, account(server="other"))
    assert here.id != there.id


async def test_two_first_logins_at_once_make_one_identity(store: Store, open_store: OpenStore) -> None:
    stores = [store, await open_store()]
    saved = await asyncio.gather(*(save(stores[number % 2], account()) for number in range(20)))
    assert len({row.id for row in saved}) == 1


async def test_valid_after_always_moves_on(store: Store) -> None:
    """configuration.md 3: what was derived from it between two calls of one second ends with the second, too."""
    row = await save(store, account())
    for asked, stored in ((20, 20), (20, 21), (10, 22), (40, 40)):
        await store.identity_invalidate(row.id, asked)
        found = await store.identity(row.id)
        assert found is not None
        assert found.valid_after == stored
    assert not await store.identity_invalidate("unknown", 5)
    assert not await store.identity_gone("unknown", 5)


async def test_identities_of_a_server_who_are_not_gone(store: Store) -> None:
    kept = [await save(store, account(number)) for number in range(5)]
    await save(store, account(9, server="other"))
    await store.identity_gone(kept[1].id, NOW)
    first = await store.identities_of_server("corp", limit=3)
    rest = await store.identities_of_server("corp", after=first[-1].external_id, limit=3)
    assert [row.id for row in (*first, *rest)] == [row.id for row in kept if row is not kept[1]]
    assert await store.identities_of_server("nowhere") == []


async def test_identities_in_pages_and_by_filter(store: Store) -> None:
    everybody = [await save(store, account(number)) for number in range(7)]
    first = await store.identities(limit=4)
    second = await store.identities(after=first[-1].id, limit=4)
    assert len(first) == 4
    assert [row.id for row in first + second] == sorted(row.id for row in everybody)
    assert [row.username for row in await store.identities(username="  uSER3 ")] == ["User3"]
    assert [row.username for row in await store.identities(backend_id="b-User5")] == ["User5"]
    assert await store.identities(backend_id="b-User5", username="user4") == []


def _text() -> st.SearchStrategy[str]:
    return st.text(max_size=20) | st.sampled_from(["'; DROP TABLE tokens; --", "\0", "a\0b", "\u202e", "𝕬", "NULL"])


@given(
    name=_text(),
    groups=st.lists(st.builds(Group, _text(), _text(), _text()), max_size=3),
    attributes=st.dictionaries(_text(), st.lists(_text(), max_size=3).map(tuple), max_size=3),
)
def test_any_text_survives_the_columns(name: str, groups: list[Group], attributes: dict[str, tuple[str, ...]]) -> None:
    who = Account("corp", "e", name, groups=tuple(groups), attributes=attributes)
    values = rows.account_values(who, {name: name})
    fixed = {"id": "i", "company": "", "role": "", "backend_id": "", "valid_after": 0, "created_at": 0, "checked_at": 0}
    row = rows.identity([(values | fixed | {"gone_at": None})[column] for column in rows.IDENTITY.split(", ")])
    assert (row.username, row.groups, row.attributes, row.granted) == (name, tuple(groups), attributes, {name: name})


@pytest.mark.parametrize("name", ["", "a\0b", "'; DROP TABLE identities; --", "Zoë 𝕬 \u202e", "x" * 100_000])
async def test_odd_names_are_stored_and_found(store: Store, name: str) -> None:
    saved = await save(store, account(username=name))
    assert saved.username == name
    assert [row.id for row in await store.identities(username=name)] == [saved.id]


async def test_what_cannot_be_stored_is_refused_without_showing_it(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        await save(store, account(username="planted\udcff"))
    assert "planted" not in repr(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(StoreError):
        await store.identity_of("corp", "\ud800")
    with pytest.raises(StoreError):
        await store.identity_invalidate("x", 2**64)
    assert await store.identities() == []


# tokens


FULL_TOKEN = token(
    1, parent="p", path="auth/corp/login/ada", policies=("admins", "default"), meta={"username": "ada"},
    limits={"hosts": ["a.example"], "cidrs": []}, label="laptop ü", max_expires_at=NOW + 9000, period=60, uses_left=3,
    renewable=True, orphan=True, last_used_at=NOW, last_used_from="10.0.0.1", domain="example.com", remember=True,
)  # fmt: skip


@pytest.mark.parametrize("row", [FULL_TOKEN, token(2), token(3, identity=None, expires_at=None)])
async def test_token_comes_back_as_it_was_added(store: Store, row: TokenRow) -> None:
    await store.token_add(row)
    assert await store.token(row.hash) == row
    assert await store.token_by_accessor(row.accessor) == row
    assert await store.tokens() == [row]
    assert await store.token(b"") is None
    assert await store.token_by_accessor("") is None


async def test_a_repeated_hash_or_accessor_conflicts_alone(store: Store) -> None:
    await store.token_add(token(1))
    added = await asyncio.gather(
        store.token_add(token(2)),
        store.token_add(token(3, hash=token(1).hash)),
        store.token_add(token(4, accessor=token(1).accessor)),
        store.token_add(token(5)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in added] == [type(None), Conflict, Conflict, type(None)]
    assert [row.accessor for row in await store.tokens()] == [token(n).accessor for n in (1, 2, 5)]


async def test_tokens_in_pages_and_by_filter(store: Store) -> None:
    for number in range(9):
        kind = "access_key" if number % 2 else "session"
        await store.token_add(token(number, kind=kind, identity=f"i{number % 3}", server=f"s{number % 2}"))
    pages: list[str] = []
    while found := await store.tokens(after=pages[-1] if pages else "", limit=2):
        pages += [row.accessor for row in found]
    assert pages == [token(number).accessor for number in range(9)]
    assert len(await store.tokens(kind="access_key")) == 4
    assert [row.accessor for row in await store.tokens(kind="session", identity="i0")] == [
        token(0).accessor, token(6).accessor
    ]  # fmt: skip
    assert len(await store.tokens(server="s1", after=token(3).accessor)) == 2


async def test_uses_are_counted_down_once_each(store: Store, open_store: OpenStore) -> None:
    await store.token_add(token(1, uses_left=5))
    stores = [store, await open_store()]
    uses = await asyncio.gather(*(stores[n % 2].token_use(token(1).hash) for n in range(12)), return_exceptions=True)
    assert sorted(left for left in uses if isinstance(left, int)) == [0, 1, 2, 3, 4]
    assert sum(isinstance(left, Conflict) for left in uses) == 7
    found = await store.token(token(1).hash)
    assert found is not None
    assert not found.alive(NOW)


async def test_no_use_of_unlimited_unknown_or_revoked_tokens(store: Store) -> None:
    await store.token_add(token(1))
    await store.token_add(token(2, uses_left=5))
    await store.tokens_revoke(RevokeBy.ACCESSOR, token(2).accessor, NOW)
    for number in (1, 2, 3):
        with pytest.raises(Conflict):
            await store.token_use(token(number).hash)


async def test_renewal_stops_at_the_maximum_and_at_revocation(store: Store) -> None:
    await store.token_add(token(1, max_expires_at=NOW + 5000))
    await store.token_add(token(2))
    assert await store.token_renew(token(1).accessor, NOW + 9000)
    assert await store.token_renew(token(2).accessor, NOW + 9000)
    ends = [row.expires_at for row in await store.tokens()]
    assert ends == [NOW + 5000, NOW + 9000]
    await store.tokens_revoke(RevokeBy.ACCESSOR, token(2).accessor, NOW)
    assert not await store.token_renew(token(2).accessor, NOW + 9999)
    assert not await store.token_renew("unknown", NOW)


async def test_last_use_is_written_once_a_minute(store: Store) -> None:
    await store.token_add(token(1))
    seen = []
    for at in (NOW, NOW + 59, NOW + 60, NOW + 30):
        await store.tokens_touch([Touch(token(1).hash, at, f"at {at - NOW}"), Touch(b"unknown", at)])
        found = await store.token(token(1).hash)
        assert found is not None
        seen.append((found.last_used_at, found.last_used_from))
    assert seen == [(NOW, "at 0"), (NOW, "at 0"), (NOW + 60, "at 60"), (NOW + 60, "at 60")]
    await store.tokens_touch([])


async def _family(store: Store) -> None:
    """1 -> 2 -> 3, 1 -> 4; 5 stands alone; 6 and 7 are each other's parent, which no client can make."""
    parents = {2: 1, 3: 2, 4: 1, 6: 7, 7: 6}
    for number in range(1, 8):
        parent = f"accessor-{parents[number]:06}" if number in parents else None
        who = {"identity": f"i{number % 2}", "server": "corp" if number < 4 else "other"}
        await store.token_add(token(number, parent=parent, **who))


@pytest.mark.parametrize(
    ("by", "value", "gone"),
    [
        (RevokeBy.ACCESSOR, "accessor-000001", {1}),
        (RevokeBy.TREE, "accessor-000001", {1, 2, 3, 4}),
        (RevokeBy.TREE, "accessor-000002", {2, 3}),
        (RevokeBy.TREE, "accessor-000005", {5}),
        (RevokeBy.TREE, "accessor-000006", {6, 7}),
        (RevokeBy.IDENTITY, "i0", {2, 4, 6}),
        (RevokeBy.SERVER, "corp", {1, 2, 3}),
        (RevokeBy.SERVER, "", set()),
        (RevokeBy.ACCESSOR, "%", set()),
    ],
)
async def test_revocation_reaches_what_it_names(store: Store, by: RevokeBy, value: str, gone: set[int]) -> None:
    await _family(store)
    assert await store.tokens_revoke(by, value, NOW + 1) == len(gone)
    assert {int(row.accessor[-6:]) for row in await store.tokens() if not row.alive(NOW + 2)} == gone
    assert await store.tokens_revoke(by, value, NOW + 3) == 0, "counted once, and the first time stays"
    assert {row.revoked_at for row in await store.tokens()} <= {None, NOW + 1}


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"expires_at": None}, True),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW + 1}, True),
        ({"revoked_at": NOW + 5}, False),
        ({"uses_left": 0}, False),
        ({"uses_left": 1}, True),
    ],
)
def test_alive(changes: dict[str, Any], alive: bool) -> None:
    assert token(1, **changes).alive(NOW) is alive


def test_rows_do_not_print_hashes_or_keys() -> None:
    """DECISIONS 40."""
    assert repr(token(1).hash) not in repr(token(1))
    assert "planted" not in repr(signing_key("k"))
    assert repr(token(1).hash) not in repr(Touch(token(1).hash, NOW))


async def test_revoked_sessions(store: Store, open_store: OpenStore) -> None:
    """configuration.md 2, table ``revoked``."""
    other = await open_store()
    assert not await store.session_revoked("s1")
    await store.revoke_session("s1", "i1", NOW + 10)
    assert await store.session_revoked("s1")
    assert await other.session_revoked("s1")
    assert not await store.session_revoked("s2")
    await store.revoke_session("s1", "i1", NOW + 5)
    await store.revoke_session("s2", "i1", None)
    await store.prune(NOW + 7)
    assert await store.session_revoked("s1"), "the later end counts"
    await store.prune(NOW + 10)
    assert not await store.session_revoked("s1")
    await store.revoke_session("s2", "i1", NOW)
    await store.prune(NOW + 10**9)
    assert await store.session_revoked("s2"), "a token without end stays revoked"


async def test_version_moves_with_every_write_of_anybody(store: Store, open_store: OpenStore) -> None:
    """DECISIONS 18."""
    other = await open_store()
    before = store.version(), other.version()
    assert (store.version(), other.version()) == before
    await store.revoke_session("s", "i", NOW)
    middle = store.version(), other.version()
    assert middle[0] != before[0]
    assert middle[1] != before[1]
    await other.revoke_session("t", "i", NOW)
    assert store.version() != middle[0]
    assert other.version() != middle[1]


# whitelist, domains, preferences


async def test_whitelist(store: Store) -> None:
    """clearml.md 8."""
    entries = {"Ada@Example.com": "admin", "bob@example.com": "user", "ada@example.COM": "user"}
    assert await store.whitelist_add(entries, NOW, "root") == ["ada@example.com", "bob@example.com"]
    assert await store.whitelist_add({"ADA@example.com": "guest", "eve@example.com": "user"}, NOW + 1, "root") == [
        "eve@example.com"
    ]
    assert [(row.email, row.role) for row in await store.whitelist()] == [
        ("ada@example.com", "user"), ("bob@example.com", "user"), ("eve@example.com", "user")
    ]  # fmt: skip
    first = await save(store, account(external_id="first"), now=NOW + 2, accepts="ADA@EXAMPLE.COM")
    assert (await save(store, account(external_id="first"), now=NOW + 3, accepts="ada@example.com")).id == first.id
    for address in ("ada@example.com", "unknown@example.com"):
        with pytest.raises(Conflict):
            await save(store, account(external_id="second"), now=NOW + 3, accepts=address)
    assert await store.identity_of(first.server, "second") is None
    [ada] = await store.whitelist("ada@example.com ")
    assert (ada.accepted_at, ada.identity, ada.added_by, ada.added_at) == (NOW + 2, first.id, "root", NOW)
    assert await store.whitelist_remove(["ada@example.com", "BOB@example.com", "bob@example.com", "x@y"]) == [
        "bob@example.com"
    ]
    assert await store.whitelist("bob@example.com") == []


async def test_domains_are_replaced_whole(store: Store) -> None:
    await store.domains_set(["Example.com", "b.example", "example.COM"])
    assert await store.domains() == ["b.example", "example.com"]
    await store.domains_set([])
    assert await store.domains() == []


async def test_preferences(store: Store) -> None:
    assert await store.preferences("i1") == {}
    assert await store.preferences_set("i1", {"a.b": 1, "c": {"d": [True, None, "ü"]}, "e": ""}) == 3
    assert await store.preferences("i1") == {"a.b": 1, "c": {"d": [True, None, "ü"]}, "e": ""}
    await store.preferences_set("i1", {"a.b": None, "c": 2})
    assert await store.preferences("i1") == {"c": 2, "e": ""}
    assert await store.preferences("i2") == {}
    with pytest.raises((TypeError, ValueError)):
        await store.preferences_set("i1", {"x": float("nan")})


# configuration


async def test_settings_come_back_in_the_order_of_their_paths(store: Store, open_store: OpenStore) -> None:
    """configuration.md 2, ``layer``; DECISIONS 22: a deletion is a tombstone."""
    assert await store.layer() == Layer(0, ())
    values: dict[tuple[str, ...], object] = {
        ("servers", "corp", "urls"): ["ldap://a", "ldap://b"],
        ("lockout",): {"failures": 3, "ü": [None, True, 1.5, 10**30]},
        ("servers", "co\0rp.eu/x", ""): "",
        ("servers",): None,
        ("zero",): 0,
        ("no",): False,
    }
    assert await store.layer_write([SettingChange(path, value) for path, value in values.items()], 0, at=NOW, by="root") == 1
    layer = await store.layer()
    assert layer == Layer(1, tuple(Setting(path, values[path], False, NOW, "root", 1) for path in sorted(values)))
    assert await (await open_store()).layer() == layer


async def test_a_setting_is_replaced_or_forgotten_alone(store: Store) -> None:
    first, second, third = ("a",), ("a", "b"), ("c",)
    changes = [SettingChange(path, "old", secret=path == second) for path in (first, second, third)]
    await store.layer_write(changes, 0, at=NOW, by="root")
    again = [SettingChange(first, "new"), SettingChange(second), SettingChange(third, forget=True)]
    assert await store.layer_write(again, 1, at=NOW + 1, by="ada") == 2
    kept = (Setting(first, "new", False, NOW + 1, "ada", 2), Setting(second, None, False, NOW + 1, "ada", 2))
    assert await store.layer() == Layer(2, kept)
    drop = [SettingChange(path, forget=True) for path in (first, second, ("unknown",))]
    assert await store.layer_write(drop, 2, at=NOW, by="ada") == 3
    assert await store.layer() == Layer(3, ()), "a number is never used twice"


async def test_the_last_change_of_a_setting_counts(store: Store) -> None:
    path = ("a",)
    changes = [SettingChange(path, 1), SettingChange(path, forget=True), SettingChange(path, 2), SettingChange(path, 3)]
    await store.layer_write(changes, 0, at=NOW, by="root")
    assert [setting.value for setting in (await store.layer()).settings] == [3]


async def test_secret_settings_are_sealed_for_their_path(store: Store) -> None:
    """DECISIONS 19, 40."""
    secret = SettingChange(("servers", "corp", "bind_password"), "planted-secret", secret=True)
    await store.layer_write([secret, SettingChange(("x",), {"y": ["planted-secret"]}, secret=True)], 0, at=NOW, by="root")
    layer = await store.layer()
    assert [setting.value for setting in layer.settings] == ["planted-secret", {"y": ["planted-secret"]}]
    assert all(setting.secret for setting in layer.settings)
    assert "planted" not in repr((layer, secret))


async def test_of_two_writers_one_is_told(store: Store, open_store: OpenStore) -> None:
    """configuration.md 2, ``layer_write``: a lost race is a conflict, and changes nothing."""
    stores = [store, await open_store()]
    writes = [stores[n % 2].layer_write([SettingChange((f"k{n}",), n)], 0, at=NOW, by=f"w{n}") for n in range(8)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert outcomes.count(1) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    [setting] = (await store.layer()).settings
    assert setting.path == (f"k{outcomes.index(1)}",)
    for expected in (0, 2, -1):
        with pytest.raises(Conflict):
            await store.layer_write([], expected, at=NOW, by="root")


@pytest.mark.parametrize(
    "bad",
    [
        SettingChange((), "planted"),
        SettingChange((), forget=True),
        SettingChange(("a",), {"planted": float("nan")}),
        SettingChange(("a",), [b"planted"]),
        SettingChange(("a",), {"planted"}, secret=True),
    ],
)
async def test_what_is_no_setting_changes_nothing(store: Store, bad: SettingChange) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        await store.layer_write([SettingChange(("good",), 1), bad], 0, at=NOW, by="root")
    assert "planted" not in repr(caught.value)
    with pytest.raises(StoreError):
        await store.layer_write([SettingChange(("good",), 1)], 0, at=NOW, by="\udcff")
    assert await store.layer() == Layer(0, ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(path=st.lists(st.text(), min_size=1, max_size=4).map(tuple), value=JSON, secret=st.booleans())
def test_any_setting_survives_the_columns(path: tuple[str, ...], value: object, secret: bool) -> None:
    sealer = Sealer(bytes(32))
    values = rows.setting_values(SettingChange(path, value, secret), sealer)
    back = rows.setting((*values, 1, NOW, "root"), sealer)
    assert back == Setting(path, value, secret and value is not None, NOW, "root", 1)


# key ring


async def test_keys_come_back_opened_and_in_order(store: Store, open_store: OpenStore) -> None:
    newer, older = signing_key("a", not_before=20), signing_key("b", not_before=10, not_after=99, public=b"pub")
    assert await store.key_add(newer)
    assert await store.key_add(older)
    assert await store.keys() == [older, newer]
    assert await (await open_store()).keys() == [older, newer]
    with pytest.raises(Conflict):
        await store.key_add(newer)
    assert await store.key_retire("a", 30)
    assert not await store.key_retire("a", 40)
    assert not await store.key_retire("unknown", 40)
    assert [key.retired_at for key in await store.keys()] == [None, 30]
    assert await store.key_retire("a", 25), "what was stolen may end before it would have"
    assert [key.retired_at for key in await store.keys()] == [None, 25]


async def test_keys_that_tokens_are_verified_with_elsewhere_go_a_day_after_their_end(store: Store) -> None:
    """Others stay: what they have signed is refused by their name."""
    ends: list[tuple[str, dict[str, Any]]] = [
        ("lives", {}), ("retired", {"retired_at": NOW}), ("ended", {"not_after": NOW}), ("leaves", {"retired_at": NOW + 1}),
        ("both", {"not_after": NOW + 9, "retired_at": NOW}), ("conjur", {"purpose": "conjur:a", "retired_at": NOW}), ("stolen", {"retired_at": 0}),
        ("clearml", {"purpose": "clearml", "retired_at": NOW}), ("signs", {"purpose": "conjur:a"}),
    ]  # fmt: skip
    for name, end in ends:
        await store.key_add(signing_key(name, **{"purpose": "jwks", **end}))
    assert await store.prune(NOW) == 1
    assert await store.prune(NOW + PURGE_KEY_SECONDS - 1) == 0
    assert [await store.prune(NOW + PURGE_KEY_SECONDS, limit=2) for _ in range(3)] == [2, 2, 0]
    assert {key.id for key in await store.keys()} == {"lives", "leaves", "clearml", "signs"}


async def test_only_one_first_key(store: Store, open_store: OpenStore) -> None:
    stores = [store, await open_store()]
    added = await asyncio.gather(*(stores[n % 2].key_add(signing_key(f"k{n}"), unless_live_at=NOW) for n in range(8)))
    assert sum(added) == 1
    assert len(await store.keys()) == 1


@pytest.mark.parametrize(
    ("existing", "added"),
    [
        ({}, False),
        ({"purpose": "jwks"}, True),
        ({"not_before": NOW + 1}, True),
        ({"not_after": NOW}, True),
        ({"not_after": NOW + 1}, False),
        ({"retired_at": NOW}, True),
        ({"retired_at": NOW + 1}, False),
    ],
)
async def test_what_counts_as_a_live_key(store: Store, existing: dict[str, Any], added: bool) -> None:
    old = signing_key("old", **existing)
    await store.key_add(old)
    assert await store.key_add(signing_key("new"), unless_live_at=NOW) is added
    assert (old.purpose == "clearml" and old.live(NOW)) is not added


# the end of things


async def test_counters(store: Store, open_store: OpenStore) -> None:
    """configuration.md 2: each has its own number, which nobody is given twice; other processes see it at once."""
    other = await open_store()
    assert (await store.counter("a"), await other.counter("a")) == (0, 0)
    given = await asyncio.gather(*(each.counter_next("a") for each in (store, other) * 20))
    assert sorted(given) == list(range(1, 41))
    assert (await store.counter("a"), await other.counter("a"), await store.counter("b")) == (40, 40, 0)


async def test_a_counter_that_is_expected_to_stand(store: Store, open_store: OpenStore) -> None:
    """Of all who expect the same value one counts on, whatever process they are of; it may be the first to count."""
    other = await open_store()
    for expected in (0, 1):
        tries = (each.counter_next("a", expected) for each in (store, other) * 8)
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert [result for result in done if not isinstance(result, Conflict)] == [expected + 1]
    for unlike in (0, 1, 3):
        with pytest.raises(Conflict):
            await store.counter_next("a", unlike)
    with pytest.raises(Conflict):
        await store.counter_next("b", 1)
    assert (await store.counter("a"), await store.counter("b"), await store.counter_next("a")) == (2, 0, 3)


async def test_derived_keys(store: Store, open_store: OpenStore) -> None:
    """The same in each process, another one for each purpose and master key, and never the master key."""
    other, master_key = await open_store(), bytes(range(32))
    assert store.derived_key("a 1") == other.derived_key("a 1")
    assert len({master_key, store.derived_key("a 1"), store.derived_key("a 2"), Sealer(bytes(32)).derive("a 1")}) == 4
    assert len(store.derived_key("a 1")) == 32



async def test_prune_takes_what_has_ended_in_small_batches(store: Store) -> None:
    """DECISIONS 16."""
    for number in range(10):
        await store.token_add(token(number, expires_at=NOW))
        await store.revoke_session(f"s{number}", "i", NOW)
        await store.failure_add((lockout.name_key("corp", f"n{number}"),), NOW - 900, LockoutSettings())
    await store.token_add(token(10, expires_at=None))
    await store.token_add(token(11, expires_at=None))
    await store.tokens_revoke(RevokeBy.ACCESSOR, token(11).accessor, NOW)
    assert await store.prune(NOW - 1, limit=4) == 0
    counts = [await store.prune(NOW, limit=4) for _ in range(4)]
    assert counts == [13, 12, 6, 0]
    assert [row.accessor for row in await store.tokens()] == [token(10).accessor]
    assert await store.failures_list() == []


async def test_a_cancelled_write_is_still_done(store: Store) -> None:
    task = asyncio.create_task(store.token_add(token(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.token_add(token(2))
    assert len(await store.tokens()) == 2


async def test_close_finishes_what_was_queued(open_store: OpenStore) -> None:
    store, other = await open_store(), await open_store()
    adding = [asyncio.create_task(store.token_add(token(number))) for number in range(1777)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*adding)
    assert len(await other.tokens(limit=5000)) == 1777
    for call in (store.token(b"x"), store.token_add(token(1)), store.prune(0), store.tokens()):
        with pytest.raises(StoreUnavailable):
            await call
    with pytest.raises(StoreUnavailable):
        store.version()
    await store.close()
