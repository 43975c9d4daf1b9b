"""The embedded engine: one SQLite file in WAL mode.

Writes go through one thread with group commit (``writer.py``). Reads run inline on the loop's thread over a
query-only connection: in WAL mode they never wait for a writer, be it in this process or another, and a point read
costs about 5 us. Listings that may scan run in a thread with a connection of their own. Several processes may
use one file.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from gateway.grants import lockout
from gateway.grants.lockout import Counter, Key, Settings
from gateway.identity import Account, fold_name
from gateway.store import rows, schema
from gateway.store.interface import (
    PAGE,
    PURGE_KEY_SECONDS,
    TOUCH_SECONDS,
    Conflict,
    IdentityRow,
    KeyRow,
    Layer,
    RevokeBy,
    SettingChange,
    TokenRow,
    Touch,
    WhitelistRow,
)
from gateway.store.sealing import Sealer
from gateway.store.sqlite_counters import CounterTables
from gateway.store.sqlite_vaults import VaultTables
from gateway.store.sqlite_wrapped import WrappedTables, end_path
from gateway.store.writer import QUEUE_LIMIT, Writer

R = TypeVar("R")

_READ_TIMEOUT: Final = 0.1
"""Seconds an inline read may wait, which it does only while another process recovers the log after a crash."""
_EVICTION_SLACK: Final = 64
"""The cap is enforced once in ``max_entries / 64`` counts, that far below the cap."""

_ACCOUNT_COLUMNS: Final = (
    "server, external_id, username, username_key, dn, name, email, groups, attributes, granted, "
    "company, role, backend_id, checked_at"
)
_IDENTITY_SAVE: Final = f"""
    INSERT INTO identities (id, valid_after, created_at, {_ACCOUNT_COLUMNS})
    VALUES (:id, 0, :checked_at, {", ".join(f":{name}" for name in _ACCOUNT_COLUMNS.split(", "))})
    ON CONFLICT (server, external_id) DO UPDATE SET gone_at = NULL,
        {", ".join(f"{name} = excluded.{name}" for name in _ACCOUNT_COLUMNS.split(", ")[2:])}
    RETURNING {rows.IDENTITY}"""  # noqa: S608 - constants

_ACCEPT: Final = """
    UPDATE whitelist SET accepted_at = coalesce(accepted_at, ?), identity = ?
    WHERE email = ? AND (identity IS NULL OR identity = ?)"""

_TOKEN_ADD: Final = f"INSERT INTO tokens ({rows.TOKEN}) VALUES ({', '.join('?' * (rows.TOKEN.count(',') + 1))})"  # noqa: S608

_DESCENDANTS: Final = """accessor IN (
        WITH RECURSIVE tree (accessor) AS (
            {seed}
            UNION SELECT tokens.accessor FROM tokens JOIN tree ON tokens.parent = tree.accessor)
        SELECT accessor FROM tree)"""
_REVOKE: Final = {
    RevokeBy.ACCESSOR: "accessor = :value",
    RevokeBy.IDENTITY: "identity = :value",
    RevokeBy.SERVER: "server = :value",
    RevokeBy.TREE: _DESCENDANTS.format(seed="VALUES (:value)"),
    # "0" follows "/" in ASCII.
    RevokeBy.PATH: _DESCENDANTS.format(
        seed="""SELECT accessor FROM tokens WHERE kind = 'vault'
                AND (path = :value OR (path > :value || '/' AND path < :value || '0'))"""
    ),
}
_MAKE_ORPHANS: Final = "UPDATE tokens SET parent = NULL, orphan = 1 WHERE parent = :value"

_COUNTER_SET: Final = f"INSERT OR REPLACE INTO failures ({rows.COUNTER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_EVICT: Final = """
    DELETE FROM failures WHERE key_hash IN (
        SELECT key_hash FROM failures WHERE NOT (known AND locked_until > :now)
        ORDER BY expires_at > :now, CASE
            WHEN kind = 'address' THEN CASE WHEN locked_until > :now THEN 5 ELSE 3 END
            WHEN known THEN 4
            WHEN locked_until > :now THEN 2 ELSE 1 END, last_at
        LIMIT :excess)"""

_KEY_ADD: Final = f"""
    INSERT INTO signing_keys ({rows.KEY}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE ?9 IS NULL OR NOT EXISTS (
        SELECT 1 FROM signing_keys WHERE purpose = ?2 AND not_before <= ?9
        AND (not_after IS NULL OR ?9 < not_after) AND (retired_at IS NULL OR ?9 < retired_at))"""  # noqa: S608

_LAYER: Final = f"""
    SELECT number, {rows.SETTING} FROM settings_generation LEFT JOIN settings"""  # noqa: S608 - both of one moment
_NEXT_GENERATION: Final = "UPDATE settings_generation SET number = number + 1 WHERE number = ?"
_SETTING_SET: Final = f"INSERT OR REPLACE INTO settings ({rows.SETTING}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
_SETTING_FORGET: Final = "DELETE FROM settings WHERE path = ?"

_CHANGES: Final = "SELECT number FROM changes"

_PRUNE: Final = (
    "DELETE FROM revoked WHERE session_id IN (SELECT session_id FROM revoked WHERE until <= :now LIMIT :limit)",
    "DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens WHERE expires_at <= :now LIMIT :limit)",
    "DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens WHERE revoked_at <= :now LIMIT :limit)",
    "DELETE FROM failures WHERE key_hash IN (SELECT key_hash FROM failures WHERE expires_at <= :now LIMIT :limit)",
    "DELETE FROM wrapped WHERE hash IN (SELECT hash FROM wrapped WHERE expires_at <= :now LIMIT :limit)",
    """DELETE FROM vault_versions WHERE (vault, version) IN (
        SELECT vault, version FROM vault_versions WHERE purge_at <= :now LIMIT :limit)""",
    f"""DELETE FROM signing_keys WHERE id IN (SELECT id FROM signing_keys
        WHERE (purpose = 'jwks' OR purpose LIKE 'conjur:%')
        AND (retired_at <= :now - {PURGE_KEY_SECONDS} OR not_after <= :now - {PURGE_KEY_SECONDS}) LIMIT :limit)""",  # noqa: S608 - a constant
)


class SqliteStore(VaultTables, WrappedTables, CounterTables):
    """``interface.Store`` over one file. Made by ``open``; use it from one event loop at a time."""

    def __init__(
        self, path: Path, sealer: Sealer, busy_timeout: float, writer: Writer, reader: sqlite3.Connection
    ) -> None:
        self._path = path
        self._sealer = sealer
        self._busy_timeout = busy_timeout
        self._writer = writer
        self._reader = reader
        self._failures_until_eviction = 0
        self._written = self._changes = -1
        """What SQLite said of writes by anybody when ``changes`` was read, and what that was."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        sealer: Sealer,
        synchronous: Literal["full", "normal"] = "full",
        busy_timeout: float = 5.0,
        queue_limit: int = QUEUE_LIMIT,
    ) -> Self:
        """Open the file, made with mode 0600 where it is missing; then ``migrate``. ``StoreUnavailable``.

        A write waits ``busy_timeout`` seconds at most for writers in other processes. Opening blocks for the few
        milliseconds it takes; it belongs to the start.
        """
        schema.create(path)
        translate = partial(schema.translate, path=path)
        try:
            connection = schema.connect(path, busy_timeout=busy_timeout, synchronous=synchronous)
            try:
                reader = schema.connect(path, busy_timeout=_READ_TIMEOUT, query_only=True)
            except sqlite3.Error:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise translate(error) from None
        return cls(path, sealer, busy_timeout, Writer(connection, translate, queue_limit), reader)

    async def migrate(self) -> None:
        await asyncio.to_thread(schema.migrate, self._path, schema.packaged(), busy_timeout=self._busy_timeout)

    async def close(self) -> None:
        self._reader.close()
        await self._writer.close()

    async def prune(self, now: int, limit: int = 500) -> int:
        def job(connection: sqlite3.Connection) -> int:
            return sum(connection.execute(sql, {"now": now, "limit": limit}).rowcount for sql in _PRUNE)

        return await self._writer.run(job)

    def version(self) -> int:
        [[written]] = self._read("PRAGMA data_version")
        if written != self._written:
            # In this order: what is written in between moves data_version once more.
            self._changes = int(self._read(_CHANGES)[0][0])
            self._written = written
        return self._changes

    # identities

    async def identity_save(
        self,
        account: Account,
        *,
        company: str,
        role: str,
        backend_id: str,
        granted: Mapping[str, object],
        now: int,
        accepts: str = "",
    ) -> IdentityRow:
        values = {
            **rows.account_values(account, granted),
            "id": uuid.uuid4().hex, "company": company, "role": role, "backend_id": backend_id, "checked_at": now,
        }  # fmt: skip

        def job(connection: sqlite3.Connection) -> IdentityRow:
            [saved] = connection.execute(_IDENTITY_SAVE, values).fetchall()
            row = rows.identity(saved)
            if accepts and not connection.execute(_ACCEPT, (now, row.id, fold_name(accepts), row.id)).rowcount:
                raise Conflict("the whitelist's entry was accepted by somebody else, or is gone")
            return row

        return await self._writer.run(job)

    async def identity(self, identity_id: str) -> IdentityRow | None:
        return rows.one(self._select(rows.IDENTITY, "identities WHERE id = ?", identity_id), rows.identity)

    async def identity_of(self, server: str, external_id: str) -> IdentityRow | None:
        where = "identities WHERE server = ? AND external_id = ?"
        return rows.one(self._select(rows.IDENTITY, where, server, external_id), rows.identity)

    async def identities(
        self, *, backend_id: str | None = None, username: str | None = None, after: str = "", limit: int = PAGE
    ) -> list[IdentityRow]:
        equal = {"backend_id": backend_id, "username_key": None if username is None else fold_name(username)}
        where, values = _filter("id", after, equal)
        found = self._select(rows.IDENTITY, f"identities WHERE {where} ORDER BY id LIMIT ?", *values, limit)
        return [rows.identity(values) for values in found]

    async def identities_of_server(self, server: str, *, after: str = "", limit: int = PAGE) -> list[IdentityRow]:
        where = "server = ? AND external_id > ? AND gone_at IS NULL ORDER BY external_id LIMIT ?"
        sql = f"SELECT {rows.IDENTITY} FROM identities WHERE {where}"  # noqa: S608 - constants; values are bound
        return await self._scan(sql, [server, after, limit], rows.identity)

    async def identities_of_company(self, company: str, *, offset: int = 0, limit: int = PAGE) -> list[IdentityRow]:
        where = "company = ? AND gone_at IS NULL ORDER BY id LIMIT ? OFFSET ?"
        sql = f"SELECT {rows.IDENTITY} FROM identities WHERE {where}"  # noqa: S608 - constants; values are bound
        return await self._scan(sql, [company, limit, offset], rows.identity)

    async def identity_invalidate(self, identity_id: str, valid_after: int) -> bool:
        sql = "UPDATE identities SET valid_after = max(valid_after + 1, ?) WHERE id = ?"
        return await self._execute(sql, valid_after, identity_id) > 0

    async def identity_gone(self, identity_id: str, at: int) -> bool:
        return await self._execute("UPDATE identities SET gone_at = ? WHERE id = ?", at, identity_id) > 0

    # tokens

    async def token_add(self, row: TokenRow) -> None:
        await self._execute(_TOKEN_ADD, *rows.token_values(row))

    async def token(self, token_hash: bytes) -> TokenRow | None:
        return rows.one(self._select(rows.TOKEN, "tokens WHERE hash = ?", token_hash), rows.token)

    async def token_by_accessor(self, accessor: str) -> TokenRow | None:
        return rows.one(self._select(rows.TOKEN, "tokens WHERE accessor = ?", accessor), rows.token)

    async def tokens(
        self,
        *,
        kind: str | None = None,
        identity: str | None = None,
        server: str | None = None,
        after: str = "",
        limit: int = PAGE,
    ) -> list[TokenRow]:
        where, values = _filter("accessor", after, {"identity": identity, "server": server, "kind": kind})
        sql = f"SELECT {rows.TOKEN} FROM tokens WHERE {where} ORDER BY accessor LIMIT ?"  # noqa: S608
        return await self._scan(sql, [*values, limit], rows.token)

    async def token_use(self, token_hash: bytes) -> int:
        sql = """UPDATE tokens SET uses_left = uses_left - 1
                 WHERE hash = ? AND uses_left > 0 AND revoked_at IS NULL RETURNING uses_left"""
        left = await self._writer.run(lambda connection: connection.execute(sql, (token_hash,)).fetchall())
        if not left:
            raise Conflict("the token has no use left")
        return int(left[0][0])

    async def token_renew(self, accessor: str, expires_at: int) -> bool:
        sql = """UPDATE tokens SET expires_at = min(?, coalesce(max_expires_at, ?))
                 WHERE accessor = ? AND revoked_at IS NULL"""
        return await self._execute(sql, expires_at, expires_at, accessor) > 0

    async def token_label(self, accessor: str, label: str) -> bool:
        sql = "UPDATE tokens SET label = ? WHERE accessor = ? AND revoked_at IS NULL"
        return await self._execute(sql, label, accessor) > 0

    async def tokens_touch(self, batch: Sequence[Touch]) -> None:
        sql = """UPDATE tokens SET last_used_at = ?1, last_used_from = ?2
                 WHERE hash = ?3 AND (last_used_at IS NULL OR last_used_at <= ?1 - ?4)"""
        values = [(touch.at, touch.address, touch.hash, TOUCH_SECONDS) for touch in batch]
        await self._writer.run(lambda connection: connection.executemany(sql, values).rowcount)

    async def tokens_revoke(self, by: RevokeBy, value: str, at: int) -> int:
        sql = f"UPDATE tokens SET revoked_at = :at WHERE revoked_at IS NULL AND {_REVOKE[by]}"  # noqa: S608
        named = {"at": at, "value": value}

        def job(connection: sqlite3.Connection) -> int:
            revoked = connection.execute(sql, named).rowcount
            if by is RevokeBy.ACCESSOR:
                connection.execute(_MAKE_ORPHANS, {"value": value})
            elif by is RevokeBy.PATH:
                end_path(connection, value)
            return revoked

        return await self._writer.run(job)

    async def revoke_session(self, session_id: str, identity: str, until: int | None) -> None:
        sql = """INSERT INTO revoked (session_id, identity, until) VALUES (?, ?, ?)
                 ON CONFLICT (session_id) DO UPDATE SET until = max(until, excluded.until)"""
        await self._execute(sql, session_id, identity, until)

    async def session_revoked(self, session_id: str) -> bool:
        return bool(self._read("SELECT 1 FROM revoked WHERE session_id = ?", session_id))

    # lockout

    async def failures(self, keys: Sequence[Key]) -> Mapping[bytes, Counter]:
        marks = ", ".join("?" * len(keys))
        found = self._select(rows.COUNTER, f"failures WHERE key_hash IN ({marks})", *(key.hash for key in keys))
        return {counter.hash: counter for counter in map(rows.counter, found)}

    async def failure_add(self, keys: Sequence[Key], now: int, settings: Settings) -> Mapping[bytes, Counter]:
        known = lockout.finds_entry(keys)

        def job(connection: sqlite3.Connection) -> dict[bytes, Counter]:
            counted = {}
            for key in keys:
                sql = f"SELECT {rows.COUNTER} FROM failures WHERE key_hash = ?"  # noqa: S608
                before = rows.one(connection.execute(sql, (key.hash,)).fetchall(), rows.counter)
                counted[key.hash] = after = lockout.count(before, key, known, now, settings)
                connection.execute(_COUNTER_SET, rows.counter_values(after))
            self._evict(connection, len(keys), now, settings.max_entries)
            return counted

        return await self._writer.run(job)

    def _evict(self, connection: sqlite3.Connection, added: int, now: int, cap: int) -> None:
        # On the writer's thread only. Counting all rows at each failure would cost a millisecond of a full table.
        self._failures_until_eviction -= added
        if self._failures_until_eviction > 0:
            return
        slack = self._failures_until_eviction = cap // _EVICTION_SLACK
        [[size]] = connection.execute("SELECT count(*) FROM failures").fetchall()
        if size > cap - slack:
            connection.execute(_EVICT, {"now": now, "excess": size - (cap - slack)})

    async def failures_clear(self, keys: Sequence[Key]) -> int:
        marks = ", ".join("?" * len(keys))
        sql = f"DELETE FROM failures WHERE key_hash IN ({marks})"  # noqa: S608
        return await self._execute(sql, *(key.hash for key in keys))

    async def failures_list(self, after: bytes = b"", limit: int = PAGE) -> list[Counter]:
        found = self._select(rows.COUNTER, "failures WHERE key_hash > ? ORDER BY key_hash LIMIT ?", after, limit)
        return [rows.counter(values) for values in found]

    # whitelist, preferences

    async def whitelist(self, email: str | None = None) -> list[WhitelistRow]:
        if email is None:
            found = self._select(rows.WHITELIST, "whitelist ORDER BY email")
        else:
            found = self._select(rows.WHITELIST, "whitelist WHERE email = ?", fold_name(email))
        return [rows.whitelist(values) for values in found]

    async def whitelist_add(self, entries: Mapping[str, str], now: int, by: str) -> list[str]:
        sql = "INSERT INTO whitelist (email, role, added_at, added_by) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        folded = {fold_name(email): role for email, role in entries.items()}

        def job(connection: sqlite3.Connection) -> list[str]:
            return [email for email, role in folded.items() if connection.execute(sql, (email, role, now, by)).rowcount]

        return await self._writer.run(job)

    async def whitelist_remove(self, emails: Sequence[str]) -> list[str]:
        sql = """DELETE FROM whitelist WHERE email = ? AND (accepted_at IS NULL
                 OR identity IN (SELECT id FROM identities WHERE gone_at IS NOT NULL))"""
        folded = dict.fromkeys(map(fold_name, emails))

        def job(connection: sqlite3.Connection) -> list[str]:
            return [email for email in folded if connection.execute(sql, (email,)).rowcount]

        return await self._writer.run(job)

    async def domains(self) -> list[str]:
        return [domain for (domain,) in self._read("SELECT domain FROM domains ORDER BY domain")]

    async def domains_set(self, domains: Sequence[str]) -> None:
        folded = [(domain,) for domain in dict.fromkeys(map(fold_name, domains))]

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM domains")
            connection.executemany("INSERT INTO domains VALUES (?)", folded)

        await self._writer.run(job)

    async def preferences(self, identity: str) -> dict[str, object]:
        found = self._read("SELECT path, value FROM preferences WHERE identity = ? ORDER BY path", identity)
        return {path: json.loads(value) for path, value in found}

    async def preferences_set(self, identity: str, changes: Mapping[str, object]) -> int:
        removed = [(identity, path) for path, value in changes.items() if value is None]
        written = [(identity, path, rows.dump(value)) for path, value in changes.items() if value is not None]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM preferences WHERE identity = ? AND path = ?", removed)
            connection.executemany("INSERT OR REPLACE INTO preferences VALUES (?, ?, ?)", written)

        await self._writer.run(job)
        return len(changes)

    # configuration

    async def layer(self) -> Layer:
        found = self._read(_LAYER)
        settings = [rows.setting(values, self._sealer) for _, *values in found if values[0] is not None]
        return Layer(found[0][0], tuple(sorted(settings, key=lambda setting: setting.path)))

    async def layer_generation(self) -> int:
        return int(self._read("SELECT number FROM settings_generation")[0][0])

    async def layer_write(
        self, changes: Sequence[SettingChange], expected_generation: int, *, at: int, by: str
    ) -> int:
        written = [
            (_SETTING_FORGET, (rows.setting_path(change.path),))
            if change.forget
            else (_SETTING_SET, (*rows.setting_values(change, self._sealer), expected_generation + 1, at, by))
            for change in changes
        ]

        def job(connection: sqlite3.Connection) -> int:
            if not connection.execute(_NEXT_GENERATION, (expected_generation,)).rowcount:
                raise Conflict("the stored configuration was changed by somebody else in the meantime")
            for sql, values in written:
                connection.execute(sql, values)
            return expected_generation + 1

        return await self._writer.run(job)

    # key ring

    async def keys(self) -> list[KeyRow]:
        found = self._select(rows.KEY, "signing_keys ORDER BY not_before, id")
        return [rows.key(values, self._sealer) for values in found]

    async def key_add(self, key: KeyRow, *, unless_live_at: int | None = None) -> bool:
        values = [*rows.key_values(key, self._sealer), unless_live_at]
        return await self._execute(_KEY_ADD, *values) > 0

    async def key_retire(self, key_id: str, at: int) -> bool:
        sql = "UPDATE signing_keys SET retired_at = ?1 WHERE id = ?2 AND (retired_at IS NULL OR retired_at > ?1)"
        return await self._execute(sql, at, key_id) > 0

    # both ways

    async def _execute(self, sql: str, *values: object) -> int:
        """Write with one statement; how many rows it changed."""
        return await self._writer.run(lambda connection: connection.execute(sql, values).rowcount)

    async def _scan(self, sql: str, values: Sequence[object], make: Callable[[rows.Values], R]) -> list[R]:
        """Read what may take long in a thread, over a connection of its own."""
        self._writer.check_open()

        def job() -> list[R]:
            try:
                reader = schema.connect(self._path, busy_timeout=self._busy_timeout, query_only=True)
                with closing(reader):
                    return [make(found) for found in reader.execute(sql, values)]
            except (sqlite3.Error, ValueError) as error:
                raise schema.translate(error, self._path) from None

        return await asyncio.to_thread(job)

    def _select(self, columns: str, where: str, *values: object) -> list[rows.Values]:
        return self._read(f"SELECT {columns} FROM {where}", *values)  # noqa: S608 - constants; values are bound

    def _read(self, sql: str, *values: object) -> list[rows.Values]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise schema.translate(error, self._path) from None


def _filter(key: str, after: str, equal: Mapping[str, str | None]) -> tuple[str, list[str]]:
    """A keyset condition and its values."""
    given = {column: value for column, value in equal.items() if value is not None}
    return " AND ".join([f"{key} > ?", *(f"{column} = ?" for column in given)]), [after, *given.values()]
