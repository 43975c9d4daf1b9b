"""What is particular to the SQLite engine: files, threads, several processes, faults."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from store_samples import NOW, LockoutSettings, account, save, signing_key, token

from gateway.grants import lockout
from gateway.store import schema
from gateway.store.interface import Conflict, SettingChange, StoreError, StoreUnavailable
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.store.writer import Writer

Child = Callable[[str, Path], subprocess.Popen[bytes]]
DEADLINE = 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "gateway.db"


async def line(process: subprocess.Popen[bytes]) -> str:
    """The next line of a child, or "" at its end."""
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).decode().rstrip("\n")


def tell(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n".encode())
    process.stdin.flush()


# files


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
async def test_files_are_private_whatever_the_umask(path: Path, sealer: Sealer, mask: int) -> None:
    path.parent.mkdir()
    before = os.umask(mask)
    try:
        store = SqliteStore.open(path, sealer=sealer)
        await store.migrate()
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert modes == {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}


async def test_directory_is_made_private_and_a_wide_file_is_narrowed(path: Path, sealer: Sealer) -> None:
    store = SqliteStore.open(path, sealer=sealer)
    await store.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    await SqliteStore.open(path, sealer=sealer).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_secrets_are_not_in_the_files(path: Path, sealer: Sealer) -> None:
    """DECISIONS 19, 40: keys are sealed, tokens are hashes."""
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    await store.key_add(signing_key("planted-key", private=b"PLANTED-SECRET-BYTES"))
    secret = SettingChange(("planted-path",), "PLANTED-SECRET-BYTES", secret=True)
    await store.layer_write([secret], 0, at=NOW, by="root")
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    await store.close()
    assert b"planted-key" in content
    assert b"planted-path" in content
    assert b"PLANTED-SECRET-BYTES" not in content


async def test_moved_sealed_rows_do_not_open(path: Path, sealer: Sealer) -> None:
    """DECISIONS 19."""
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    await store.key_add(signing_key("a"))
    await store.key_add(signing_key("b"))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE signing_keys SET private_sealed = (SELECT private_sealed FROM signing_keys WHERE id = 'b')"
        )
    connection.close()
    with pytest.raises(StoreError, match="signing_keys does not open") as caught:
        await store.keys()
    assert "planted" not in str(caught.value)
    await store.close()


async def test_a_moved_secret_setting_does_not_open(path: Path, sealer: Sealer) -> None:
    """DECISIONS 19: a password cannot be turned into one of another server."""
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    secret = SettingChange(("servers", "corp", "bind_password"), "planted", secret=True)
    await store.layer_write([secret], 0, at=NOW, by="root")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE settings SET path = replace(path, 'corp', 'evil')")
    connection.close()
    with pytest.raises(StoreError, match="settings does not open") as caught:
        await store.layer()
    assert "planted" not in str(caught.value)
    await store.close()


@pytest.mark.parametrize("synchronous", ["full", "normal"])
async def test_synchronous_is_as_configured(path: Path, sealer: Sealer, synchronous: str) -> None:
    """configuration.md 1.2 store.synchronous."""
    schema.create(path)
    connection = schema.connect(path, busy_timeout=1, synchronous=synchronous)
    [[level]] = connection.execute("PRAGMA synchronous").fetchall()
    [[mode]] = connection.execute("PRAGMA journal_mode").fetchall()
    connection.close()
    assert (level, mode) == ({"full": 2, "normal": 1}[synchronous], "wal")


# the writer


@dataclass
class Bench:
    """A writer, its connection, and what ends the job that occupies it."""

    writer: Writer
    connection: sqlite3.Connection
    gate: threading.Event

    async def together(self, *jobs: Callable[[sqlite3.Connection], Any]) -> list[Any]:
        """The outcomes of jobs that queued while the writer was busy, so that they share a batch."""
        self.gate.clear()
        entered = threading.Event()

        def occupy(connection: sqlite3.Connection) -> None:
            entered.set()
            self.gate.wait(DEADLINE)

        tasks = [asyncio.create_task(self.writer.run(occupy))]
        await asyncio.to_thread(entered.wait, DEADLINE)
        tasks += [asyncio.create_task(self.writer.run(job)) for job in jobs]
        await asyncio.sleep(0)
        self.gate.set()
        return (await asyncio.gather(*tasks, return_exceptions=True))[1:]


@pytest.fixture
async def bench(path: Path) -> AsyncIterator[Bench]:
    schema.create(path)
    connection = schema.connect(path, busy_timeout=1)
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    made = Bench(Writer(connection, lambda error: schema.translate(error, path)), connection, threading.Event())
    yield made
    made.gate.set()
    await made.writer.close()


def stored(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT x FROM t ORDER BY x")]


async def test_what_waits_shares_one_transaction_and_fails_alone(bench: Bench) -> None:
    commits: list[str] = []
    bench.connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    def add(number: int) -> Callable[[sqlite3.Connection], int]:
        def job(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO t VALUES (?)", (number + 1000,))
            connection.execute("INSERT INTO t VALUES (?)", (number,))
            if number == 13:
                raise RuntimeError("a job that fails half-way")
            return number

        return job

    outcomes = await bench.together(*(add(number) for number in [*range(11, 31), 21]))
    assert len(commits) == 2, "the one that occupied the writer, and all that waited meanwhile"
    assert isinstance(outcomes[2], RuntimeError)
    assert isinstance(outcomes[-1], Conflict), "21 is there already"
    good = [number for number in range(11, 31) if number != 13]
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == good
    assert await bench.writer.run(stored) == good + [number + 1000 for number in good]


async def test_neighbours_are_not_acknowledged_when_the_transaction_is_lost(bench: Bench) -> None:
    """On some errors SQLite rolls back everything, not the statement alone (sqlite.org/lang_transaction.html 3)."""

    def add(number: int) -> Callable[[sqlite3.Connection], int]:
        return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (number,)).rowcount

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("the disk is on fire")

    for outcome in await bench.together(add(1), lose, add(2)):
        assert isinstance(outcome, StoreUnavailable)
        assert "the disk is on fire" in str(outcome)
    assert await bench.writer.run(add(3)) == 1
    assert await bench.writer.run(stored) == [3]


async def test_queue_is_bounded(path: Path, sealer: Sealer, child: Child) -> None:
    store = SqliteStore.open(path, sealer=sealer, queue_limit=5, busy_timeout=DEADLINE)
    await store.migrate()
    holder = child("hold", path)
    assert await line(holder) == "held"
    adding = [asyncio.create_task(store.token_add(token(number))) for number in range(50)]
    await asyncio.sleep(0)
    refused = [task for task in adding if task.done()]
    assert 40 <= len(refused) < 50
    assert "overloaded: 5 writes are waiting" in str(refused[0].exception())
    tell(holder, "go")
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert sum(isinstance(outcome, StoreUnavailable) for outcome in outcomes) == len(refused)
    assert len(await store.tokens()) == 50 - len(refused)
    await store.close()


async def test_close_leaves_no_thread(path: Path, sealer: Sealer) -> None:
    store = SqliteStore.open(path, sealer=sealer)
    assert any(thread.name == "store-writer" for thread in threading.enumerate())
    await asyncio.gather(store.close(), store.close())
    assert not any(thread.name == "store-writer" for thread in threading.enumerate())
    assert [file.name for file in path.parent.iterdir()] == ["gateway.db"], "the log was folded in"


def test_a_loop_that_died_leaves_the_writer_alive(path: Path, sealer: Sealer) -> None:
    store = SqliteStore.open(path, sealer=sealer)

    async def begin() -> None:
        await store.migrate()
        tasks = [asyncio.create_task(store.token_add(token(number))) for number in range(100)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    async def finish() -> int:
        await store.token_add(token(1000))
        count = len(await store.tokens(limit=1000))
        await store.close()
        return count

    asyncio.run(begin())
    assert asyncio.run(finish()) == 101


# several processes


async def test_reads_never_wait_for_another_process_and_writes_do(path: Path, sealer: Sealer, child: Child) -> None:
    """DESIGN 4.3: in WAL mode a reader is not blocked by a writer."""
    store = SqliteStore.open(path, sealer=sealer, busy_timeout=DEADLINE)
    await store.migrate()
    await store.token_add(token(1))
    holder = child("hold", path)
    assert await line(holder) == "held"
    writing = asyncio.create_task(store.token_add(token(2)))
    for _ in range(200):
        assert await store.token(token(1).hash) is not None
        assert not await store.session_revoked("held"), "not committed yet"
        store.version()
        assert len(await store.tokens()) == 1
    assert not writing.done()
    version = store.version()
    tell(holder, "go")
    assert await line(holder) == "released"
    await writing
    assert store.version() != version
    assert await store.session_revoked("held")
    await store.close()


async def test_a_lock_held_too_long_is_a_clear_error_and_passes(path: Path, sealer: Sealer, child: Child) -> None:
    store = SqliteStore.open(path, sealer=sealer, busy_timeout=0.2)
    await store.migrate()
    holder = child("hold", path)
    assert await line(holder) == "held"
    outcomes = await asyncio.gather(*(store.token_add(token(n)) for n in range(3)), return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, StoreUnavailable)
        assert str(outcome) == f"the database {path} stayed locked by another process for too long"
    tell(holder, "go")
    assert await line(holder) == "released"
    await store.token_add(token(1))
    await store.close()


async def test_close_ends_while_another_process_holds_the_lock(path: Path, sealer: Sealer, child: Child) -> None:
    store = SqliteStore.open(path, sealer=sealer, busy_timeout=0.2)
    await store.migrate()
    holder = child("hold", path)
    assert await line(holder) == "held"
    adding = [asyncio.create_task(store.token_add(token(number))) for number in range(5)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 5


async def test_version_tells_of_each_write_of_another_process(path: Path, sealer: Sealer, child: Child) -> None:
    """DECISIONS 18: a revocation is seen at the next request."""
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    writer = child("write", path)
    assert await line(writer) == "ready"
    for number in range(20):
        version = store.version()
        assert store.version() == version
        tell(writer, f"s{number}")
        assert await line(writer) == "written"
        assert store.version() != version
        assert await store.session_revoked(f"s{number}")
    await store.close()


async def test_processes_starting_at_once_agree(path: Path, child: Child) -> None:
    """One master key, one schema, one identity, from an empty directory."""
    starting = [child("start", path) for _ in range(6)]
    for process in starting:
        assert await line(process) == "ready"
    for process in starting:
        tell(process, "go")
    answers = [await line(process) for process in starting]
    assert len(set(answers)) == 1
    assert answers[0]
    assert {file.name for file in path.parent.iterdir()} == {"gateway.db", "master.key"}


async def test_a_failure_counted_in_two_processes_is_one_count(path: Path, sealer: Sealer) -> None:
    """Two engines on one file are two connections with their own locks, as in two processes."""
    stores = [SqliteStore.open(path, sealer=sealer) for _ in range(2)]
    await asyncio.gather(*(store.migrate() for store in stores))
    keys = (lockout.name_key("corp", "ada"),)
    await asyncio.gather(*(stores[n % 2].failure_add(keys, NOW, LockoutSettings()) for n in range(40)))
    [counter] = (await stores[0].failures(keys)).values()
    assert counter.count == 40
    for store in stores:
        await store.close()


# faults


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"this is no database, planted" * 300, "is not a SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "is not a SQLite database"),
    ],
)
async def test_a_foreign_file_is_refused_untouched(path: Path, sealer: Sealer, content: bytes, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=text) as caught:
        SqliteStore.open(path, sealer=sealer)
    assert str(path) in str(caught.value)
    assert "planted" not in str(caught.value)
    assert path.read_bytes() == content
    assert not any(thread.name == "store-writer" for thread in threading.enumerate())


async def test_a_damaged_file_is_a_clear_error_on_every_verb(path: Path, sealer: Sealer) -> None:
    store = SqliteStore.open(path, sealer=sealer)
    await store.migrate()
    for number in range(200):
        await save(store, account(number))
    await store.close()
    with sqlite3.connect(path) as connection:
        pages = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('identities', 'tokens')")
        content = bytearray(path.read_bytes())
        for (page,) in pages:
            content[4096 * (page - 1) : 4096 * page] = b"\xa5" * 4096
    connection.close()
    path.write_bytes(content)
    store = SqliteStore.open(path, sealer=sealer)
    reads = store.identity("x"), store.identities(), store.tokens()
    writes = store.token_add(token(1)), save(store, account(999))
    for call in reads + writes:
        with pytest.raises(StoreUnavailable, match="is damaged: stop the daemon"):
            await call
    await store.close()


async def test_a_missing_schema_says_what_to_do(path: Path, sealer: Sealer) -> None:
    store = SqliteStore.open(path, sealer=sealer)
    for call in (store.token(b"x"), store.token_add(token(1)), store.tokens()):
        with pytest.raises(StoreUnavailable, match="run ldap-gateway store migrate"):
            await call
    await store.close()


async def test_a_full_disk_loses_nothing_acknowledged_and_passes(path: Path, child: Child) -> None:
    process = child("fill", path)
    error, count = await line(process), await line(process)
    assert error.startswith(f"StoreUnavailable: the database {path} cannot ")
    assert "disk" in error
    acknowledged, stored = count.split()
    assert acknowledged == stored


@pytest.mark.parametrize("existing", [False, True])
async def test_a_read_only_directory_is_a_clear_error(tmp_path: Path, child: Child, existing: bool) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    path = directory / "gateway.db"
    if existing:
        schema.create(path)
        path.chmod(0o400)
    directory.chmod(0o500)
    message = await line(child("unprivileged", path))
    assert message.startswith(f"StoreUnavailable: the database {path} ")
    assert "denied" in message or "read-only" in message or "cannot be opened" in message


async def test_a_directory_in_place_of_the_file(path: Path, sealer: Sealer) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match="cannot be"):
        SqliteStore.open(path, sealer=sealer)


async def test_the_database_stops_growing(path: Path, sealer: Sealer) -> None:
    """DECISIONS 16: what expires is purged and its space used again."""
    store = SqliteStore.open(path, sealer=sealer, synchronous="normal")
    await store.migrate()
    settings = LockoutSettings(max_entries=300)
    sizes = []
    for day in range(12):
        now = NOW + day * 86_400
        for start in range(0, 300, 50):
            numbers = range(day * 300 + start, day * 300 + start + 50)
            await asyncio.gather(
                *(store.token_add(token(n, expires_at=now + 60, label="x" * 100)) for n in numbers),
                *(store.revoke_session(f"{n:032x}", "i", now + 60) for n in numbers),
                *(store.failure_add((lockout.name_key("corp", f"n{n}"),), now, settings) for n in numbers),
                save(store, account(), now),
            )
        while await store.prune(now + 3600, limit=200):
            pass
        with sqlite3.connect(path) as connection:
            [[pages]] = connection.execute("PRAGMA page_count").fetchall()
        connection.close()
        sizes.append(pages)
    log = path.with_name("gateway.db-wal").stat().st_size
    await store.close()
    assert max(sizes[6:]) <= max(sizes[:6]) * 1.1, sizes
    assert log < 20_000_000
