from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gateway.store.interface import Store
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(range(32)))


@pytest.fixture(params=["sqlite"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path, sealer: Sealer) -> AsyncIterator[OpenStore]:
    """Opens the same database as often as it is called, as several processes would; closes all at the end."""
    opened: list[Store] = []
    engines = {"sqlite": lambda: SqliteStore.open(tmp_path / "state" / "gateway.db", sealer=sealer)}

    async def one_more() -> Store:
        store = engines[request.param]()
        opened.append(store)
        await store.migrate()
        return store

    yield one_more
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()


@pytest.fixture
def child() -> Iterator[Callable[[str, Path], subprocess.Popen[bytes]]]:
    """Starts ``store_child.py``; every child is killed and its pipes closed at the end."""
    children: list[subprocess.Popen[bytes]] = []
    here = Path(__file__).parent

    def start(action: str, path: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, here / "store_child.py", action, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )  # fmt: skip
        children.append(process)
        return process

    yield start
    for process in children:
        process.kill()
        process.communicate()
