"""Vault tokens made, used, renewed and revoked over a real store (vault.md 6, 8, 14; configuration.md 3)."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from vault_room import NOW, ROOT, Room, login

from gateway.store.interface import RevokeBy, TokenRow
from gateway.tokens.opaque import digest
from gateway.tokens.vault_children import MAX_DEPTH, CreateRequest, NewToken, child
from gateway.tokens.vault_lookup import auth_block, lookup_data
from gateway.tokens.vault_tokens import Denied, Issued, Refused
from gateway.tokens.vault_ttl import Terms

KILLS = 20 if os.environ.get("GATEWAY_SOAK") == "1" else 2
HERE = "192.0.2.1"


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path / "gateway.db")
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def other(room: Room, tmp_path: Path) -> AsyncIterator[Room]:
    """Another process on the same file, as far as the store can tell."""
    opened = Room(tmp_path / "gateway.db")
    await opened.start()
    yield opened
    await opened.close()


def below(parent: Issued | TokenRow, **asked: object) -> NewToken:
    row = parent.row if isinstance(parent, Issued) else parent
    return child(row, CreateRequest(**asked), sudo=True)  # type: ignore[arg-type]


async def lives(room: Room, *texts: str, now: int = NOW) -> list[bool]:
    return [await room.tokens.find(text, now) is not None for text in texts]


async def test_a_login(room: Room) -> None:
    """vault.md 2 and 8: the auth block and the look-up, key by key."""
    ada = await room.ada()
    made = await room.tokens.issue(login(ada.id), NOW)
    assert re.fullmatch(r"hvs\.[A-Za-z0-9_-]{43}", made.text)
    assert re.fullmatch(r"[A-Za-z0-9]{24}", made.row.accessor)
    assert auth_block(made.row, NOW, made.text) == {
        "client_token": made.text, "accessor": made.row.accessor, "policies": ["admins", "default"],
        "token_policies": ["admins", "default"], "metadata": {"username": "ada"}, "lease_duration": 3600,
        "renewable": True, "entity_id": ada.id, "token_type": "service", "orphan": True, "mfa_requirement": None,
        "num_uses": 0,
    }  # fmt: skip
    held = await room.tokens.authenticate(made.text, HERE, NOW + 10)
    assert held.identity is not None
    assert held.identity.id == ada.id
    data = lookup_data(held.row, NOW + 10, made.text)
    times = {name: data.pop(name) for name in ("issue_time", "expire_time")}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value) for value in times.values())
    assert data == {
        "id": made.text, "accessor": made.row.accessor, "policies": ["admins", "default"], "path": "auth/corp/login/ada",
        "meta": {"username": "ada"}, "display_name": "corp-ada", "num_uses": 0, "orphan": True, "type": "service",
        "creation_time": NOW, "creation_ttl": 3600, "ttl": 3590, "explicit_max_ttl": 0, "renewable": True,
        "entity_id": ada.id,
    }  # fmt: skip


async def test_optional_fields(room: Room) -> None:
    """vault.md 8: period, role and bounds only where there are some; num_uses as they are left."""
    new = login(terms=Terms(period=1800, explicit_max_ttl=7200), role="r", cidrs=("10.0.0.0",), num_uses=3)
    data = lookup_data((await room.tokens.issue(new, NOW)).row, NOW)
    assert {name: data[name] for name in ("period", "role", "bound_cidrs", "num_uses", "explicit_max_ttl", "ttl", "id")} == {
        "period": 1800, "role": "r", "bound_cidrs": ["10.0.0.0"], "num_uses": 3, "explicit_max_ttl": 7200, "ttl": 1800, "id": "",
    }  # fmt: skip
    assert "token_policies" not in auth_block(replace((await room.tokens.issue(new, NOW)).row, policies=()), NOW, "")


async def test_root(room: Room, other: Room) -> None:
    """vault.md 8, configuration.md 3: nothing is stored until it is revoked, and then it stays revoked."""
    root = await room.tokens.authenticate(ROOT, HERE, NOW)
    data = lookup_data(root.row, NOW, ROOT)
    assert {name: data[name] for name in ("path", "policies", "meta", "ttl", "expire_time", "renewable", "orphan")} == {
        "path": "auth/token/root", "policies": ["root"], "meta": None, "ttl": 0, "expire_time": None, "renewable": False, "orphan": True,
    }  # fmt: skip
    made = await room.tokens.issue(below(root.row), NOW)
    assert (made.row.expires_at, made.row.orphan, made.row.policies) == (None, False, ("root",))
    grandchild = await room.tokens.issue(below(made, policies=["x"]), NOW)
    assert await lives(other, ROOT, made.text, grandchild.text) == [True] * 3
    assert await room.store.tokens(identity="") == []
    assert await room.tokens.revoke(ROOT, NOW)
    while await room.store.prune(NOW + 10**9):
        pass
    for one in (room, other):
        assert await lives(one, ROOT, made.text, grandchild.text) == [False] * 3
    assert await room.tokens.find_accessor(root.row.accessor, NOW) is None
    await room.start(root_token="another")
    assert await lives(room, ROOT, "another") == [False, True]


async def test_what_root_made_ends_when_another_is_configured(room: Room) -> None:
    root = await room.tokens.authenticate(ROOT, None, NOW)
    made = await room.tokens.issue(below(root.row, policies=["x"]), NOW)
    sealed = await room.tokens.issue(below(root.row, policies=["x"], type="batch"), NOW)
    for configured in ("another", ""):
        await room.start(root_token=configured)
        assert await lives(room, made.text, sealed.text, "") == [False] * 3
    await room.start()
    assert await lives(room, made.text, sealed.text) == [True, True]


async def test_root_is_revoked_by_accessor_and_as_orphan(room: Room) -> None:
    accessor = (await room.tokens.authenticate(ROOT, HERE, NOW)).row.accessor
    assert await room.tokens.revoke_accessor(accessor, NOW)
    assert await lives(room, ROOT) == [False]
    await room.start(root_token="another")
    assert await room.tokens.revoke_orphan("another", NOW)
    assert await lives(room, "another") == [False]


async def test_a_tree_dies_together(room: Room, other: Room) -> None:
    """vault.md 8, revoke: children die too; an orphan made by one of them stays."""
    top = await room.tokens.issue(login(), NOW)
    middle = await room.tokens.issue(below(top), NOW)
    leaf = await room.tokens.issue(below(middle), NOW)
    orphan = await room.tokens.issue(below(middle, no_parent=True), NOW)
    sealed = await room.tokens.issue(below(middle, type="batch"), NOW)
    texts = [one.text for one in (top, middle, leaf, orphan, sealed)]
    assert await lives(other, *texts) == [True] * 5
    assert await room.tokens.revoke(middle.text, NOW)
    for one in (room, other):
        assert await lives(one, *texts) == [True, False, False, True, False]
    assert not await room.tokens.revoke(middle.text, NOW)
    assert not await room.tokens.revoke("hvs.unknown", NOW)
    assert not await room.tokens.revoke_accessor("unknown", NOW)


async def test_revoke_orphan_spares_children(room: Room) -> None:
    """vault.md 8."""
    top = await room.tokens.issue(login(), NOW)
    leaf = await room.tokens.issue(below(top), NOW)
    assert await room.tokens.revoke_orphan(top.text, NOW)
    while await room.store.prune(NOW):
        pass
    held = await room.tokens.find(leaf.text, NOW)
    assert held is not None
    assert held.row.orphan
    assert not await room.tokens.revoke_orphan(top.text, NOW)


async def test_a_child_ends_with_its_parent(room: Room) -> None:
    """vault.md 8: expiry takes the tree, too, and a renewal of the parent keeps it."""
    top = await room.tokens.issue(login(terms=Terms(ttl=100)), NOW)
    leaf = await room.tokens.issue(below(top, ttl=1000), NOW)
    assert await lives(room, leaf.text, now=NOW + 99) == [True]
    assert await lives(room, leaf.text, now=NOW + 100) == [False]
    await room.tokens.renew(top.row, NOW + 99)
    assert await lives(room, leaf.text, now=NOW + 100) == [True]
    while await room.store.prune(NOW + 500):
        pass
    assert await lives(room, top.text, leaf.text, now=NOW + 500) == [False, False]


async def test_a_child_of_a_parent_revoked_meanwhile_is_never_given(room: Room) -> None:
    top = await room.tokens.issue(login(), NOW)
    plan = below(top)
    await room.tokens.revoke(top.text, NOW)
    with pytest.raises(Denied):
        await room.tokens.issue(plan, NOW)
    assert await room.tokens.accessors(NOW) == []
    made, _ = await asyncio.gather(room.tokens.issue(login(), NOW), room.tokens.revoke(top.text, NOW))
    racing = [asyncio.create_task(room.tokens.issue(below(made), NOW)) for _ in range(20)]
    await room.tokens.revoke(made.text, NOW)
    for outcome in await asyncio.gather(*racing, return_exceptions=True):
        assert isinstance(outcome, Denied) or not (await lives(room, outcome.text))[0]  # type: ignore[union-attr]


async def test_trees_are_not_too_deep(room: Room) -> None:
    made = await room.tokens.issue(login(), NOW)
    for _ in range(MAX_DEPTH - 1):
        made = await room.tokens.issue(below(made), NOW)
    assert await lives(room, made.text) == [True]
    with pytest.raises(Refused, match="descend"):
        await room.tokens.issue(below(made), NOW)
    sealed = await room.tokens.issue(below(made, type="batch"), NOW)
    assert await lives(room, sealed.text) == [True]


async def test_parents_of_each_other(room: Room) -> None:
    """No client can make them; a damaged store must not hold up the loop."""
    row = replace((await room.tokens.issue(login(), NOW)).row, orphan=False)
    for name, above in (("x", "y"), ("y", "x")):
        await room.store.token_add(replace(row, hash=digest(name), accessor=name, parent=above))
    assert await lives(room, "x", "y") == [False, False]


async def test_uses_are_counted_by_all(room: Room, other: Room) -> None:
    """vault.md 6, ``token_num_uses``: exactly so many, however many ask at once, in whatever process."""
    made = await room.tokens.issue(login(num_uses=10), NOW)
    tries = [one.tokens.authenticate(made.text, HERE, NOW) for one in (room, other) * 15]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    left = sorted(outcome.row.uses_left for outcome in outcomes if not isinstance(outcome, BaseException))  # type: ignore[type-var]
    assert left == list(range(10))
    assert sum(isinstance(outcome, Denied) for outcome in outcomes) == 20
    assert await lives(room, made.text) == [False]


async def test_a_look_up_by_others_costs_no_use(room: Room) -> None:
    made = await room.tokens.issue(login(num_uses=1), NOW)
    for _ in range(3):
        found = await room.tokens.find(made.text, NOW)
        assert found is not None
        assert found.row.uses_left == 1
        assert await room.tokens.find_accessor(made.row.accessor, NOW) == found


@pytest.mark.parametrize(
    ("cidrs", "address", "allowed"),
    [
        ((), HERE, True),
        ((), None, True),
        (("192.0.2.0/24",), HERE, True),
        (("192.0.2.1",), HERE, True),
        (("10.0.0.0", "192.0.2.7/24"), HERE, True),
        (("10.0.0.0/8",), HERE, False),
        (("192.0.2.0/24",), f"::ffff:{HERE}", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), HERE, False),
        (("192.0.2.0/24",), None, False),
        (("192.0.2.0/24",), "unix", False),
        (("nonsense",), HERE, False),
    ],
)
async def test_bound_addresses(room: Room, cidrs: tuple[str, ...], address: str | None, allowed: bool) -> None:
    """vault.md 1.2, 3, 6: 403, and no use is counted."""
    for kind in ("service", "batch"):
        made = await room.tokens.issue(login(cidrs=cidrs, num_uses=2 if kind == "service" else 0, type=kind), NOW)
        try:
            await room.tokens.authenticate(made.text, address, NOW)
        except Denied:
            assert not allowed
            found = await room.tokens.find(made.text, NOW)
            assert found is not None
            assert found.row.uses_left in (2, None)
        else:
            assert allowed


async def test_renewal(room: Room) -> None:
    """vault.md 6, 8 and 14: within the limits it was made with, and to the second."""
    made = await room.tokens.issue(login(terms=Terms(ttl=100, max_ttl=250)), NOW)
    renewed = await room.tokens.renew(made.row, NOW + 90)
    assert renewed.row.expires_at == NOW + 190
    assert lookup_data(renewed.row, NOW + 90)["creation_ttl"] == 100
    renewed = await room.tokens.renew(renewed.row, NOW + 189)
    assert renewed.row.expires_at == NOW + 250
    assert renewed.warnings == ('TTL of "1m40s" exceeded the effective max_ttl of "1m1s"; TTL value is capped accordingly',)
    wider = await room.tokens.renew(renewed.row, NOW + 249, terms=Terms(ttl=1000))
    assert wider.row.expires_at == NOW + 250, "wider limits of today are not for tokens of yesterday"
    for later in (NOW + 250, NOW + 10**6):
        with pytest.raises(Refused, match="past the max TTL, cannot renew"):
            await room.tokens.renew(renewed.row, later, terms=Terms(ttl=10**9), increment=10**9)
    stored = await room.tokens.find_accessor(made.row.accessor, NOW)
    assert stored is not None
    assert stored.row.expires_at == NOW + 250


@pytest.mark.parametrize(
    ("changes", "increment", "text"),
    [
        ({"type": "batch"}, 0, "batch tokens cannot be renewed"),
        ({"renewable": False}, 0, "lease is not renewable"),
        ({}, -1, "increment cannot be negative"),
        ({"endless": True, "policies": ("root",)}, 0, "lease is not renewable"),
    ],
)
async def test_renewals_refused(room: Room, changes: dict[str, object], increment: int, text: str) -> None:
    """vault.md 8."""
    made = await room.tokens.issue(replace(login(), **changes), NOW)
    with pytest.raises(Refused, match=text):
        await room.tokens.renew(made.row, NOW, increment=increment)


async def test_a_revoked_token_is_not_renewed(room: Room, other: Room) -> None:
    made = await room.tokens.issue(login(), NOW)
    await other.tokens.revoke(made.text, NOW)
    with pytest.raises(Denied):
        await room.tokens.renew(made.row, NOW)


async def test_whoever_is_gone_has_no_token(room: Room) -> None:
    """DECISIONS 20: people and servers that left are refused at once."""
    ada = await room.ada()
    made = await room.tokens.issue(login(ada.id), NOW)
    sealed = await room.tokens.issue(login(ada.id, type="batch"), NOW)
    leaf = await room.tokens.issue(below(made), NOW)
    texts = [one.text for one in (made, sealed, leaf)]
    assert await lives(room, *texts) == [True] * 3
    await room.store.identity_gone(ada.id, NOW)
    assert await lives(room, *texts) == [False] * 3
    await room.ada()
    assert await lives(room, *texts) == [True] * 3
    await room.start(servers=("another",))
    assert await lives(room, *texts) == [False] * 3
    await room.start()
    await room.store.identity_invalidate(ada.id, NOW + 1)
    assert await lives(room, *texts) == [False] * 3


async def test_revocation_by_path(room: Room, other: Room) -> None:
    """vault.md 9, ``leases/revoke-prefix``, and the end of a mount."""
    ada = await room.tokens.issue(login(), NOW)
    bob = await room.tokens.issue(login(path="auth/corp/login/bob"), NOW)
    leaf = await room.tokens.issue(below(ada), NOW)
    assert await room.tokens.revoke_path("auth/corp/login/ada/", NOW) == 2
    assert await lives(other, ada.text, bob.text, leaf.text) == [False, True, False]
    assert await room.tokens.revoke_path("auth/corp", NOW) == 1


async def test_other_kinds_of_tokens_are_left_alone(room: Room) -> None:
    row = TokenRow(hash=digest("lgp_x"), accessor="p", kind="personal", identity=None, created_at=NOW)
    await room.store.token_add(row)
    assert await lives(room, "lgp_x") == [False]
    assert not await room.tokens.revoke("lgp_x", NOW)
    assert not await room.tokens.revoke_orphan("lgp_x", NOW)
    assert not await room.tokens.revoke_accessor("p", NOW)
    assert await room.tokens.find_accessor("p", NOW) is None
    assert await room.tokens.accessors(NOW) == []
    stored = await room.store.token(row.hash)
    assert stored is not None
    assert stored.alive(NOW)


async def test_a_custom_id_is_taken_once(room: Room) -> None:
    """vault.md 8."""
    root = (await room.tokens.authenticate(ROOT, HERE, NOW)).row
    assert (await room.tokens.issue(below(root, id="my-id", policies=["x"]), NOW)).text == "my-id"
    with pytest.raises(Refused, match="duplicate ID"):
        await room.tokens.issue(below(root, id="my-id"), NOW)
    held = await room.tokens.authenticate("my-id", HERE, NOW)
    assert held.row.policies == ("default", "x")


async def test_accessors(room: Room) -> None:
    """vault.md 8: live ones, over as many pages as there are."""
    made = [await room.tokens.issue(login(), NOW) for _ in range(3)]
    await room.tokens.issue(login(terms=Terms(ttl=1)), NOW - 5)
    await room.tokens.revoke(made[0].text, NOW)
    assert await room.tokens.accessors(NOW) == sorted(one.row.accessor for one in made[1:])


async def test_uuids_for_clients_of_0_7(room: Room) -> None:
    """configuration.md 3, vault.md 13."""
    await room.start(uuids=True)
    made = await room.tokens.issue(login(), NOW)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made.text)
    assert await lives(room, made.text) == [True]


async def test_the_cache_keeps_no_more_than_it_may(room: Room) -> None:
    await room.start(cache_size=2)
    made = [await room.tokens.issue(login(), NOW) for _ in range(4)]
    assert await lives(room, *(one.text for one in made)) == [True] * 4
    assert len(room.tokens._cache) == 2


async def test_32_clients_and_a_revocation(room: Room, other: Room) -> None:
    """Once ``revoke`` has returned, no request succeeds, in either process; until then all do."""
    made = await room.tokens.issue(login(), NOW)
    revoked = asyncio.Event()
    before = late = 0

    async def client(one: Room) -> None:
        nonlocal before, late
        for _ in range(300):
            after = revoked.is_set()
            with suppress(Denied):
                await one.tokens.authenticate(made.text, HERE, NOW)
                before += not after
                late += after
            await asyncio.sleep(0)

    async def revoke() -> None:
        while before < 2000:
            await asyncio.sleep(0)
        await other.tokens.revoke(made.text, NOW)
        revoked.set()

    await asyncio.gather(revoke(), *(client(one) for one in (room, other) for _ in range(16)))
    assert late == 0
    assert 2000 <= before < 32 * 300


def test_after_a_kill_every_token_known_is_found_by_accessor(tmp_path: Path) -> None:
    """SIGKILL at any moment: whoever was told a token finds it stored, and every stored one has its accessor."""
    path = tmp_path / "gateway.db"
    told: set[str] = set()
    for _ in range(KILLS):
        program = [sys.executable, Path(__file__).with_name("vault_room.py"), path]
        with subprocess.Popen(program, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(50)]
            process.kill()
            lines += process.stdout.readlines()
        told |= {line.decode().strip() for line in lines if line.endswith(b"\n")}

    async def check() -> None:
        room = Room(path)
        await room.start()
        for text, accessor in (line.split() for line in told):
            found = await room.tokens.find_accessor(accessor, NOW)
            assert found is not None
            assert found == await room.tokens.find(text, NOW)
        assert {line.split()[1] for line in told} <= set(await room.tokens.accessors(NOW))
        await room.close()

    asyncio.run(check())
    assert len(told) >= 50 * KILLS


async def test_no_secret_is_printed(room: Room) -> None:
    """DECISIONS 40."""
    made = await room.tokens.issue(login(), NOW)
    for shown in (repr(made), repr(await room.tokens.find(made.text, NOW)), repr(login(text="planted")), repr(CreateRequest(id="planted"))):
        assert made.text not in shown
        assert "planted" not in shown


async def test_identity_revocation_reaches_vault_tokens(room: Room, other: Room) -> None:
    """configuration.md 2: revocations by identity, as the administrator makes them."""
    ada = await room.ada()
    made = await room.tokens.issue(login(ada.id), NOW)
    assert await lives(other, made.text) == [True]
    assert await room.store.tokens_revoke(RevokeBy.IDENTITY, ada.id, NOW) == 1
    assert await lives(other, made.text) == [False]
