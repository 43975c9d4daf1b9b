"""``sys/locked-users``: unlocking a name lets its owner in at once (vault.md 7)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_vault_login import DENIED, GRACE, REFUSED, corp, log_in

from gateway.grants.lockout import Kind, name_key
from tests.directories.slapd import COMPANY, Slapd
from tests.serve.gateway_room import Room, parsed
from tests.serve.vault.vault_site import ROOT, request

VAULT: dict[str, Any] = {"vault": {"root_token": ROOT}}
LOCKED = (403, DENIED)


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "company") as started:
        yield started


async def unlock(room: Room, name: str, mount: str = "corp", accessor: str = "") -> int:
    accessor = accessor or room.live.vault.mounts.all[mount].accessor
    target = f"/v1/sys/locked-users/{accessor}/unlock/{name}"
    status, _, body = parsed(await room.raw(request("POST", target, f"X-Vault-Token: {ROOT}", body=b"")))
    assert status == 204 or json.loads(body)["errors"]
    return status


async def lock(room: Room, name: str) -> None:
    for _ in range(5):
        assert await log_in(room, name, "wrong") == (400, REFUSED)
    assert await log_in(room, name, GRACE) == LOCKED


@pytest.mark.parametrize("unlocked", ["grace", "GRACE", "Grace%20"])
async def test_unlocked_among_many(slapd: Slapd, tmp_path: Path, unlocked: str) -> None:
    """By any spelling of the name, and only that one, however many counters there are."""
    async with corp(tmp_path, slapd, **VAULT) as (room, _):
        await lock(room, "grace")
        await lock(room, "nobody-at-all")
        settings, others = room.live.configuration.lockout, 0
        while any(each.kind is Kind.ENTRY for each in await room.live.store.failures_list()):
            others += 1  # until it is not on the first page any more
            await room.live.store.failure_add([name_key("corp", f"other{others}")], int(time.time()), settings)
        assert await unlock(room, unlocked) == 204
        assert (await log_in(room, "grace", GRACE))[0] == 200
        assert await log_in(room, "nobody-at-all", "x") == LOCKED
        assert await unlock(room, unlocked) == 204, "where nothing is locked, too"


async def test_who_stays_locked(slapd: Slapd, tmp_path: Path) -> None:
    """The same name of another mount is another one; an unknown accessor is told so; without rights nothing happens."""
    async with corp(tmp_path, slapd, **VAULT) as (room, _):
        await lock(room, "grace")
        assert await unlock(room, "grace", "local") == 204
        assert await unlock(room, "grace", accessor="auth_ldap_00000000") == 400
        accessor = room.live.vault.mounts.all["corp"].accessor
        target = f"/v1/sys/locked-users/{accessor}/unlock/grace"
        assert parsed(await room.raw(request("POST", target, body=b"")))[0] == 403
        assert await log_in(room, "grace", GRACE) == LOCKED


async def test_a_lock_reached_by_several_spellings(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 7 G: the entry is locked by mail and uid together; its own name unlocks it."""
    async with corp(tmp_path, slapd, {"search_filter": "(|(uid=%s)(mail=%s))"}, **VAULT) as (room, _):
        for name in ("grace", "grace@example.com", "grace", "grace@example.com", "grace"):
            assert await log_in(room, name, "wrong") == (400, REFUSED)
        assert await log_in(room, "grace@example.com", GRACE) == LOCKED
        assert await unlock(room, "grace") == 204
        assert (await log_in(room, "grace@example.com", GRACE))[0] == 200
