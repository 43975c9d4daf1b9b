"""Each way in which a file changes: reloaded exactly once, or not at all where the bytes are equal (ops.md 1.3).

Watcher and reloader together on a real runtime; that the watcher alone hears each of them is tested beside it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from file_changes import NEW, OLD, ROWS, Row, conf, config_map, mode_changed, plain, touched

from gateway.config.load import load
from gateway.config.watch import Watcher
from gateway.reload import Reloader
from gateway.runtime import Runtime
from gateway.telemetry.audit import SwitchedAudit

SETTLE, GRACE, QUIET = 0.2, 0.6, 0.6
AT_START = ("absent at first", "absent at first with its directories", "certificate, then key")
"""Rows of files that no running configuration was made of."""
CHANGING = [row for row in ROWS if not row.mounts and row.number != 25 and row.name not in AT_START]


@asynccontextmanager
async def reloading(directory: Path, file: Path, mode: str) -> AsyncIterator[Reloader]:
    environment = {"CLEARML__state_dir": str(directory / "state"), "CLEARML__audit__to": "off"}
    snapshot = load([file], environment)
    audit = SwitchedAudit("off")
    runtime = await Runtime.start(snapshot, audit)
    reloader = Reloader([file], environment, snapshot, runtime, audit, lambda _: None)
    watcher = Watcher(
        reloader.files_changed, poll=0.05, settle=SETTLE, missing_grace=GRACE, events=mode == "events"
    )
    reloader.follow(watcher)
    tasks = [asyncio.create_task(part) for part in (reloader.run(), watcher.run())]
    try:
        await asyncio.sleep(2 * SETTLE)
        assert not reloader.counts, "nothing has changed yet"
        yield reloader
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runtime.close()
        audit.close()


def outcomes(reloader: Reloader) -> dict[tuple[str, str], int]:
    return {(str(trigger), str(outcome)): count for (trigger, outcome), count in reloader.counts.items()}


async def check_one_reload(row: Row, place: Path, mode: str) -> None:
    place.mkdir()
    (file,) = await asyncio.to_thread(row.watched, place)
    async with reloading(place, file, mode) as reloader:
        await asyncio.to_thread(row.change, place)
        async with asyncio.timeout(20):
            while not reloader.counts:
                await asyncio.sleep(0.02)
        await asyncio.sleep(QUIET)
        assert outcomes(reloader) == {("file", "applied"): 1}
        assert reloader.snapshot.generation == 2
        assert reloader.snapshot.configuration == load([file], reloader._environment).configuration
        assert file.read_text() != OLD


@pytest.mark.parametrize("row", CHANGING, ids=str)
async def test_reloaded_exactly_once(row: Row, tmp_path: Path) -> None:
    await asyncio.gather(*(check_one_reload(row, tmp_path / mode, mode) for mode in ("events", "poll")))


def written_again(place: Path) -> None:
    conf(place).write_text(OLD)


def replaced_by_its_like(place: Path) -> None:
    other = conf(place).with_name("new")
    other.write_text(OLD)
    other.replace(conf(place))


def emptied_and_restored(place: Path) -> None:
    conf(place).write_text("")
    conf(place).write_text(OLD)


def swapped_for_its_like(place: Path) -> None:
    """A ConfigMap whose other entries changed."""
    volume = next(place.rglob("..data")).parent
    (volume / "..2026_2").mkdir()
    (volume / "..2026_2" / "gateway.conf").write_text(OLD)
    os.symlink("..2026_2", volume / "..data_tmp")
    (volume / "..data_tmp").replace(volume / "..data")


def changed_and_back(place: Path) -> None:
    conf(place).write_text(NEW)
    conf(place).write_text(OLD)


EQUAL: list[tuple[Callable[[Path], None], Callable[[Path], list[Path]]]] = [
    (touched, plain),
    (mode_changed, plain),
    (written_again, plain),
    (replaced_by_its_like, plain),
    (emptied_and_restored, plain),
    (changed_and_back, plain),
    (swapped_for_its_like, config_map),
]


@pytest.mark.parametrize(("change", "watched"), EQUAL, ids=lambda value: getattr(value, "__name__", ""))
async def test_equal_bytes_reload_nothing(
    change: Callable[[Path], None], watched: Callable[[Path], list[Path]], tmp_path: Path
) -> None:
    (file,) = watched(tmp_path)
    async with reloading(tmp_path, file, "events") as reloader:
        await asyncio.to_thread(change, tmp_path)
        await asyncio.sleep(SETTLE + QUIET)
        assert outcomes(reloader) == {}
        assert reloader.snapshot.generation == 1


async def test_what_it_is_made_of_counts_too(tmp_path: Path) -> None:
    """ops.md 1.3, 34: an included file, a secret file, one that comes to be included."""
    file = tmp_path / "gateway.conf"
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "key").write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n")
    (tmp_path / "conf.d" / "more.conf").write_text("lockout.failures = 2\n")
    file.write_text('include "conf.d/more.conf"\ninclude "conf.d/later.conf"\nclearml.token_secret_file = key\n')
    steps: list[tuple[str, str, Callable[[Reloader], object], object]] = [
        ("conf.d/more.conf", "lockout.failures = 3\n", lambda it: it.snapshot.configuration.lockout.failures, 3),
        ("conf.d/later.conf", "lockout.failures = 4\n", lambda it: it.snapshot.configuration.lockout.failures, 4),
        ("key", "another secret of enough bytes\n",
            lambda it: it.snapshot.configuration.clearml.token_secret.reveal(), "another secret of enough bytes"),
    ]  # fmt: skip
    async with reloading(tmp_path, file, "events") as reloader:
        for number, (name, text, found, expected) in enumerate(steps, 1):
            (tmp_path / name).write_text(text)
            async with asyncio.timeout(20):
                while reloader.snapshot.generation < number + 1:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(QUIET)
            assert found(reloader) == expected
            assert outcomes(reloader) == {("file", "applied"): number}
        (tmp_path / "conf.d" / "later.conf").unlink()
        async with asyncio.timeout(20):
            while reloader.held is None:
                await asyncio.sleep(0.02)
        assert "later.conf is gone" in reloader.held.reason
        assert reloader.snapshot.configuration.lockout.failures == 4
