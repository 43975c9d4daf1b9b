"""Vaults, their kept versions, and groups in the embedded engine; ``sqlite.py`` has the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from gateway.identity import fold_name
from gateway.store import rows
from gateway.store.interface import (
    OWN_VAULTS,
    PURGE_SECONDS,
    Conflict,
    GroupRow,
    OverLimit,
    OwnersRoom,
    VaultRow,
    VaultVersion,
)
from gateway.store.sealing import Sealer
from gateway.store.writer import Writer

_REVISION: Final = "SELECT number FROM vaults_revision"
_MOVE_REVISION: Final = "UPDATE vaults_revision SET number = number + 1"
_KEPT: Final = "SELECT coalesce(max(version), 0) FROM vault_versions WHERE vault = ?"
_INSERT: Final = f"""
    INSERT INTO vaults ({rows.VAULT}) VALUES ({", ".join("?" * (rows.VAULT.count(",") + 1))})
    ON CONFLICT (id) DO UPDATE SET company = excluded.company, owner = excluded.owner, type = excluded.type,
        format = excluded.format, enabled = excluded.enabled, description = excluded.description,
        text_sealed = excluded.text_sealed, delivered_sealed = excluded.delivered_sealed,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by, version = excluded.version"""  # noqa: S608 - constants
_TAKE_OLD_PLACE: Final = """
    UPDATE vaults SET number = place.number, created_at = place.created_at
    FROM (SELECT number, created_at FROM vault_versions WHERE vault = ?1 LIMIT 1) AS place WHERE id = ?1"""
_KEEP: Final = f"""
    INSERT INTO vault_versions ({rows.VAULT_VERSION}, number, created_at)
    SELECT id, version, company, scope, owner, type, format, enabled, description, text_sealed, updated_at, updated_by,
        NULL, number, created_at
    FROM vaults WHERE id = ?"""  # noqa: S608
_TAKEN: Final = "SELECT count(*), total(length(text_sealed)) FROM vaults WHERE scope = ? AND owner = ? AND id <> ?"
_TRIM_OWNERS: Final = """
    DELETE FROM vault_versions WHERE scope = 'user' AND owner = ?1 AND purge_at IS NOT NULL AND vault NOT IN (
        SELECT vault FROM vault_versions WHERE scope = 'user' AND owner = ?1 AND purge_at IS NOT NULL
        GROUP BY vault ORDER BY max(purge_at) DESC, max(number) DESC LIMIT ?2)"""
_LAST_DELETED: Final = f"""
    SELECT {rows.VAULT_VERSION} FROM vault_versions AS each WHERE purge_at IS NOT NULL
    AND version = (SELECT max(version) FROM vault_versions WHERE vault = each.vault)
    ORDER BY purge_at DESC, number DESC"""  # noqa: S608
_TRIM: Final = """
    DELETE FROM vault_versions WHERE vault = ?1 AND version NOT IN (
        SELECT version FROM vault_versions WHERE vault = ?1 ORDER BY version DESC LIMIT ?2)"""
_GROUP_SAVE: Final = """
    INSERT INTO groups (id, company, name, name_key, description) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key,
        description = excluded.description"""


class VaultTables:
    """The part of ``interface.Store`` that is about vaults and groups."""

    _sealer: Sealer
    _writer: Writer
    _read: Callable[..., list[rows.Values]]
    _scan: Callable[..., Awaitable[list[Any]]]

    def vaults_revision(self) -> int:
        return int(self._read(_REVISION)[0][0])

    async def vault(self, vault_id: str) -> VaultRow | None:
        found = self._read(f"SELECT {rows.VAULT} FROM vaults WHERE id = ?", vault_id)  # noqa: S608
        return rows.vault(found[0], self._sealer) if found else None

    async def vaults(self, scopes: Sequence[str], owner: str | None = None) -> list[VaultRow]:
        marks = ", ".join("?" * len(scopes))
        sql = f"""SELECT {rows.VAULT} FROM vaults WHERE scope IN ({marks}) AND (? IS NULL OR owner = ?)
                  ORDER BY number"""  # noqa: S608
        return await self._scan(sql, (*scopes, owner, owner), partial(rows.vault, sealer=self._sealer))

    async def vault_save(
        self, vault: VaultRow, expected_version: int, *, keep: int, room: OwnersRoom | None = None
    ) -> int:
        def job(connection: sqlite3.Connection) -> int:
            current = connection.execute("SELECT version FROM vaults WHERE id = ?", (vault.id,)).fetchall()
            if (current[0][0] if current else 0) != expected_version:
                raise Conflict("the vault was changed by somebody else in the meantime")
            if room is not None:
                _check_room(connection, vault, room, new=not current)
            [[kept]] = connection.execute(_KEPT, (vault.id,)).fetchall()
            version: int = max(expected_version, kept) + 1
            connection.execute(_KEEP, (vault.id,))
            connection.execute(_TRIM, (vault.id, keep))
            connection.execute("UPDATE vault_versions SET purge_at = NULL WHERE vault = ?", (vault.id,))
            connection.execute(_INSERT, rows.vault_values(vault, version, self._sealer))
            if not current:
                connection.execute(_TAKE_OLD_PLACE, (vault.id,))
            connection.execute(_MOVE_REVISION)
            return version

        return await self._writer.run(job)

    async def vaults_delete(self, vault_ids: Sequence[str], at: int) -> int:
        def job(connection: sqlite3.Connection) -> int:
            deleted = 0
            owners = set()
            for vault_id in dict.fromkeys(vault_ids):
                connection.execute(_KEEP, (vault_id,))
                gone = "DELETE FROM vaults WHERE id = ? RETURNING owner"
                if found := connection.execute(gone, (vault_id,)).fetchall():
                    owners.add(found[0][0])
                    purge = "UPDATE vault_versions SET purge_at = ? WHERE vault = ?"
                    connection.execute(purge, (at + PURGE_SECONDS, vault_id))
                    deleted += 1
            connection.executemany(_TRIM_OWNERS, [(owner, OWN_VAULTS) for owner in owners])
            connection.execute(_MOVE_REVISION)
            return deleted

        return await self._writer.run(job)

    async def vault_versions(self, vault_id: str) -> list[VaultVersion]:
        sql = f"SELECT {rows.VAULT_VERSION} FROM vault_versions WHERE vault = ? ORDER BY version DESC"  # noqa: S608
        return await self._scan(sql, (vault_id,), partial(rows.vault_version, sealer=self._sealer))

    async def vaults_deleted(self) -> list[VaultVersion]:
        return await self._scan(_LAST_DELETED, (), partial(rows.vault_version, sealer=self._sealer))

    async def groups(self) -> list[GroupRow]:
        members: dict[str, list[str]] = {}
        for group, identity in self._read("SELECT group_id, identity FROM group_members"):
            members.setdefault(group, []).append(identity)
        found = self._read("SELECT id, company, name, description FROM groups ORDER BY number")
        return [
            GroupRow(group_id, company, name, description, frozenset(members.get(group_id, ())))
            for group_id, company, name, description in found
        ]

    async def group_save(self, group: GroupRow) -> None:
        values = (group.id, group.company, group.name, fold_name(group.name), group.description)
        members = [(group.id, identity) for identity in group.members]

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_GROUP_SAVE, values)
            connection.execute("DELETE FROM group_members WHERE group_id = ?", (group.id,))
            connection.executemany("INSERT INTO group_members VALUES (?, ?)", members)
            connection.execute(_MOVE_REVISION)

        await self._writer.run(job)

    async def groups_delete(self, group_ids: Sequence[str]) -> int:
        ids = [(group_id,) for group_id in dict.fromkeys(group_ids)]

        def job(connection: sqlite3.Connection) -> int:
            connection.executemany("DELETE FROM group_members WHERE group_id = ?", ids)
            connection.execute(_MOVE_REVISION)
            return connection.executemany("DELETE FROM groups WHERE id = ?", ids).rowcount

        return await self._writer.run(job)


def _check_room(connection: sqlite3.Connection, vault: VaultRow, room: OwnersRoom, *, new: bool) -> None:
    """Raise OverLimit where an owner's vaults would take more than they may, counted as they are stored."""
    [[count, size]] = connection.execute(_TAKEN, (vault.scope, vault.owner, vault.id)).fetchall()
    if new and count >= room.vaults:
        raise OverLimit(f"there are {room.vaults} of this user already, and may not be more: delete one")
    if vault.text and size + len(vault.text.encode()) > room.bytes:
        raise OverLimit(f"all of this user would have more than {room.bytes} bytes together")
