"""Opening a SQLite file and bringing its schema up to date.

Migrations are ``migrations/NNNN_name.sqlite.sql``, each applied once, in order, in a transaction of its own together
with its row in ``schema_version``. Several processes may migrate at once: the write lock makes them take turns.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.store import files
from gateway.store.interface import Conflict, StoreError, StoreUnavailable

OLDEST_SQLITE: Final = (3, 37, 0)
"""The first with STRICT tables (RETURNING came in 3.35)."""
_SUFFIX: Final = ".sqlite.sql"
_WAL_SIZE_LIMIT: Final = 16 * 1024 * 1024
_SYNCHRONOUS: Final = {"full": "FULL", "normal": "NORMAL"}

_REASONS: Final = {
    sqlite3.SQLITE_BUSY: "stayed locked by another process for too long",
    sqlite3.SQLITE_LOCKED: "stayed locked by another process for too long",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    sqlite3.SQLITE_READONLY: "cannot be written: the file, its directory or the file system is read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its directory exists and belongs to the daemon's user",
    sqlite3.SQLITE_PERM: "cannot be opened: permission denied",
    sqlite3.SQLITE_IOERR: "cannot be read or written: input/output error (disk full, quota, or failing disk)",
    sqlite3.SQLITE_CORRUPT: "is damaged: stop the daemon and restore a backup, or move the file away to start afresh",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database: restore a backup, or move the file away to start afresh",
}


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    number: int
    name: str
    sql: str


def packaged() -> tuple[Migration, ...]:
    """The migrations that come with this program, in order."""
    found = []
    for file in (resources.files("gateway.store") / "migrations").iterdir():
        if file.name.endswith(_SUFFIX):
            number, _, name = file.name.removesuffix(_SUFFIX).partition("_")
            found.append(Migration(int(number), name, file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def create(path: Path) -> None:
    """Make an empty database file, mode 0600, where there is none, and narrow one that is wider.

    SQLite gives ``-wal`` and ``-shm`` the mode of the file. ``StoreUnavailable`` when it cannot be made.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is needed")
    try:
        files.make_private_directory(path.parent)
        try:
            os.close(files.open_new(path))
        except FileExistsError:
            _narrow(path)
    except OSError as error:
        raise StoreUnavailable(f"the database {path} cannot be made or opened: {error.strerror}") from None


def _narrow(path: Path) -> None:
    # By path: closing a descriptor of its own would drop the locks that SQLite holds for this process (fcntl).
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if name.exists() and name.stat().st_mode & 0o077:
            name.chmod(files.PRIVATE_FILE)


def connect(
    path: Path, *, busy_timeout: float, synchronous: str = "full", query_only: bool = False
) -> sqlite3.Connection:
    """A connection in autocommit mode on an existing file, in WAL mode, usable from any one thread at a time.

    ``busy_timeout`` is in seconds. Errors are those of sqlite3; see ``translate``.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256,
    )  # fmt: skip
    try:
        _switch_to_wal(connection, busy_timeout)
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[synchronous]}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE_LIMIT}")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA query_only = {int(query_only)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    # The first switch needs the file alone, and SQLite does not call the busy handler for it.
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def migrate(path: Path, migrations: Sequence[Migration], *, busy_timeout: float) -> None:
    """Apply what is missing. ``StoreError`` when the file's schema is newer than the last of ``migrations``."""
    try:
        with closing(connect(path, busy_timeout=busy_timeout)) as connection:
            while _apply_next(connection, migrations, path):
                pass
    except sqlite3.Error as error:
        raise translate(error, path) from None


def _apply_next(connection: sqlite3.Connection, migrations: Sequence[Migration], path: Path) -> bool:
    """Apply one migration; False when there is none left."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY, applied_at INTEGER)")
        [[current]] = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchall()
        newest = migrations[-1].number
        if current > newest:
            raise StoreError(
                f"the database {path} has schema {current} and this program knows {newest}: "
                f"it was used by a newer version; run that one, or restore a backup made before"
            )
        following = next((migration for migration in migrations if migration.number > current), None)
        if following is not None:
            for statement in _statements(following.sql):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", (following.number, int(time.time())))
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return following is not None


def _statements(sql: str) -> list[str]:
    """The statements of a script; ``executescript`` would commit behind our back."""
    found, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def translate(error: Exception, path: Path) -> Exception:
    """What callers are told: a new exception without cause, so that no stored value travels in it."""
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(str(error))
    if isinstance(error, sqlite3.Error):
        return StoreUnavailable(f"the database {path} {_reason(error)}")
    if isinstance(error, UnicodeEncodeError):
        return StoreError("a text that is not valid Unicode cannot be stored or looked up")
    if isinstance(error, OverflowError):
        return StoreError("a number beyond 64 bits cannot be stored or looked up")
    return error


def _reason(error: sqlite3.Error) -> str:
    if "closed database" in str(error):
        return "is closed"
    if "no such table" in str(error) or "no such column" in str(error):
        return f"does not have the expected schema ({error}): run ldap-gateway store migrate"
    return _REASONS.get(_code(error), f"reports: {error}")


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code; 0 stands for errors of the module itself, which have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
