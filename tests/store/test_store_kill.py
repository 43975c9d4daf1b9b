"""A process killed with SIGKILL keeps every promise it made (DESIGN 5): what was acknowledged is there afterwards."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

from store_samples import token

from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore

KILLS = 200 if os.environ.get("GATEWAY_SOAK") == "1" else 20


def acknowledged_before_kill(process: subprocess.Popen[bytes], lines: int) -> set[int]:
    """Numbers printed until the kill, which falls after ``lines`` lines; a last line cut short is not a promise."""
    assert process.stdout is not None
    promised = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    promised += process.stdout.readlines()
    process.wait()
    return {int(line) for line in promised if line.endswith(b"\n")}


def test_every_acknowledged_write_survives_sigkill(
    tmp_path: Path, child: Callable[[str, Path], subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "gateway.db"
    chance = random.Random(2)
    promised: set[int] = set()
    for _ in range(KILLS):
        promised |= acknowledged_before_kill(child("acknowledge", path), chance.randrange(1, 200))
        connection = sqlite3.connect(path)
        stored = {accessor for (accessor,) in connection.execute("SELECT accessor FROM tokens")}
        [[check]] = connection.execute("PRAGMA integrity_check").fetchall()
        connection.close()
        assert check == "ok"
        assert {token(number).accessor for number in promised} <= stored
    assert len(promised) > KILLS


async def test_every_acknowledged_version_of_a_vault_survives_sigkill(
    tmp_path: Path, child: Callable[[str, Path], subprocess.Popen[bytes]], sealer: Sealer
) -> None:
    """Acceptance of vaults: two writers at once, killed at any moment, lose no acknowledged write."""
    path, chance = tmp_path / "gateway.db", random.Random(3)
    promised: set[int] = set()
    for _ in range(KILLS // 4):
        promised |= acknowledged_before_kill(child("acknowledge_vaults", path), chance.randrange(1, 100))
        store = SqliteStore.open(path, sealer=sealer)
        current, versions = await store.vault("a"), await store.vault_versions("a")
        await store.close()
        assert current is not None
        stored = {current.version: current.text} | {version.version: version.text for version in versions}
        assert promised <= set(stored)
        assert stored == {number: f"text {number}" for number in range(1, current.version + 1)}


async def test_every_acknowledged_count_survives_sigkill(
    tmp_path: Path, child: Callable[[str, Path], subprocess.Popen[bytes]], sealer: Sealer
) -> None:
    """An API key that was rotated away never comes back: no number is given twice (configuration.md 3)."""
    path, chance = tmp_path / "gateway.db", random.Random(4)
    last = 0
    for _ in range(KILLS // 4):
        promised = acknowledged_before_kill(child("acknowledge_counts", path), chance.randrange(1, 100))
        assert min(promised) > last
        store = SqliteStore.open(path, sealer=sealer)
        last = await store.counter("a")
        await store.close()
        assert last >= max(promised)
