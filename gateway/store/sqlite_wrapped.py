"""Wrapped answers, and the ends of paths, in the embedded engine; ``sqlite.py`` has the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from gateway.store import rows
from gateway.store.interface import OverLimit
from gateway.store.sealing import Sealer
from gateway.store.wrapped import MOST_WRAPPED, MOST_WRAPPED_BYTES, WrappedRow
from gateway.store.writer import Writer

_WAITING: Final = "SELECT count(*), total(length(response_sealed)) FROM wrapped WHERE holder = ? AND expires_at > ?"
_PUT: Final = f"INSERT INTO wrapped ({rows.WRAPPED}, response_sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_TAKE: Final = f"DELETE FROM wrapped WHERE hash = ? RETURNING {rows.WRAPPED}, response_sealed"  # noqa: S608
# What was below has ended with it. "0" follows "/" in ASCII.
_END_BELOW: Final = "DELETE FROM path_ends WHERE path > ?1 || '/' AND path < ?1 || '0'"
_END: Final = "INSERT OR REPLACE INTO path_ends SELECT ?, coalesce(max(number), 0) + 1 FROM path_ends"


class WrappedTables:
    """The part of ``interface.Store`` that is about wrapped answers, and tokens that are in no store."""

    _sealer: Sealer
    _writer: Writer
    _read: Callable[..., list[rows.Values]]

    async def wrap_put(self, row: WrappedRow, response: bytes) -> None:
        values = rows.wrapped_values(row, response, self._sealer)

        def job(connection: sqlite3.Connection) -> None:
            if row.holder:
                [[number, size]] = connection.execute(_WAITING, (row.holder, row.created_at)).fetchall()
                if number >= MOST_WRAPPED or size + len(response) > MOST_WRAPPED_BYTES:
                    raise OverLimit("too many wrapped answers wait for whoever unwraps them")
            connection.execute(_PUT, values)

        await self._writer.run(job)

    async def wrap_peek(self, token_hash: bytes) -> WrappedRow | None:
        found = self._read(f"SELECT {rows.WRAPPED} FROM wrapped WHERE hash = ?", token_hash)  # noqa: S608
        return rows.one(found, rows.wrapped)

    async def wrap_take(self, token_hash: bytes) -> tuple[WrappedRow, bytes] | None:
        def job(connection: sqlite3.Connection) -> list[rows.Values]:
            return connection.execute(_TAKE, (token_hash,)).fetchall()

        taken = await self._writer.run(job)
        if not taken:
            return None
        *values, sealed = taken[0]
        return rows.wrapped(values), self._sealer.open(sealed, rows.WRAPPED_TABLE, token_hash.hex())

    async def path_ends(self, path: str) -> int:
        parts = path.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        marks = ", ".join("?" * len(above))
        [[number]] = self._read(f"SELECT coalesce(max(number), 0) FROM path_ends WHERE path IN ({marks})", *above)  # noqa: S608
        return int(number)


def end_path(connection: sqlite3.Connection, path: str) -> None:
    """Note that all that was made at a path or below it has ended."""
    connection.execute(_END, (path,))
    connection.execute(_END_BELOW, (path,))  # not before: its numbers must not be given again
