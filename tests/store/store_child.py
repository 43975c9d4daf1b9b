"""A second process on the same file: ``python store_child.py ACTION PATH``; it talks over its standard streams."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sqlite3
import sys
from pathlib import Path

from store_samples import NOW, account, save, token, vault

from gateway.store.interface import Conflict, StoreError
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore

SEALER = Sealer(bytes(range(32)))


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


async def acknowledge(path: Path) -> None:
    """Add tokens for ever from eight tasks and print the number of each one as soon as it is durable."""
    store = SqliteStore.open(path, sealer=SEALER)
    await store.migrate()
    numbers = itertools.count(len(await store.tokens(limit=10**6)))

    async def client() -> None:
        for number in numbers:
            await store.token_add(token(number))
            say(number)

    await asyncio.gather(*(client() for _ in range(8)))


async def acknowledge_vaults(path: Path) -> None:
    """Save one vault for ever from eight tasks and print what was saved as soon as it is durable."""
    store = SqliteStore.open(path, sealer=SEALER)
    await store.migrate()

    async def client() -> None:
        while True:
            current = await store.vault("a")
            expected = current.version if current is not None else 0
            try:
                version = await store.vault_save(vault("a", text=f"text {expected + 1}"), expected, keep=10**6)
            except Conflict:
                continue
            say(version)

    await asyncio.gather(*(client() for _ in range(8)))


async def acknowledge_counts(path: Path) -> None:
    """Count on for ever from eight tasks and print each number as soon as it is durable."""
    store = SqliteStore.open(path, sealer=SEALER)
    await store.migrate()

    async def client() -> None:
        while True:
            say(await store.counter_next("a"))

    await asyncio.gather(*(client() for _ in range(8)))


def hold(path: Path) -> None:
    """Keep the write lock until a line arrives."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO revoked VALUES ('held', 'i', 1)")
    say("held")
    sys.stdin.readline()
    connection.execute("COMMIT")
    connection.close()
    say("released")


async def write(path: Path) -> None:
    """For each line that arrives, revoke the session it names."""
    store = SqliteStore.open(path, sealer=SEALER)
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        await store.revoke_session(line.strip(), "i", NOW)
        say("written")
    await store.close()


async def start(path: Path) -> None:
    """Start as a daemon does, at the same moment as others, and print the master key's fingerprint and the identity."""
    say("ready")
    sys.stdin.readline()
    key = load_master_key(path.parent, None)
    store = SqliteStore.open(path, sealer=Sealer(key))
    await store.migrate()
    saved = await save(store, account())
    await store.close()
    say(f"{hash(key)} {saved.id}")


async def fill(path: Path) -> None:
    """Write until no file may grow further, report the error, then write again when they may."""
    store = SqliteStore.open(path, sealer=SEALER)
    await store.migrate()
    await store.token_add(token(0))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    added = 1
    try:
        while True:
            outcomes = await asyncio.gather(
                *(store.token_add(token(added + n, label="planted" * 100)) for n in range(8)), return_exceptions=True
            )
            added += sum(outcome is None for outcome in outcomes)
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome
    except StoreError as error:
        say(f"{type(error).__name__}: {error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.token_add(token(10**6))
    say(f"{added + 1} {len(await store.tokens(limit=10**6))}")
    await store.close()


async def unprivileged(path: Path) -> None:
    """Open as a user whom the file system does not let write there."""
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    try:
        store = SqliteStore.open(path, sealer=SEALER)
        await store.migrate()
        await store.revoke_session("s", "i", NOW)
        say("no error")
    except StoreError as error:
        say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    action = globals()[sys.argv[1]](Path(sys.argv[2]))
    if asyncio.iscoroutine(action):
        asyncio.run(action)
