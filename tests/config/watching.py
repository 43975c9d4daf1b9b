"""Runs a watcher over changes of files and counts its reports.

``python watching.py ROW DIRECTORY MODE`` runs one row, for those that need a mount namespace of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from gateway.config.watch import Watcher

SETTLE = 0.2
GRACE = 0.6
QUIET = 2.5 * SETTLE
NEVER = 60.0
"""A poll that a test does not live to see."""
DEADLINE = 25.0


class Reports:
    """Counts the calls, and reads the files as a reload does."""

    def __init__(self) -> None:
        self.count = 0
        self.paths: list[Path] = []
        self.act: Callable[[], None] = lambda: None
        """What else happens in a call."""
        self._more = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self._more.set()
        for path in self.paths:
            with contextlib.suppress(OSError):
                path.read_bytes()
        self.act()

    async def reaches(self, count: int, quiet: float = QUIET) -> None:
        """There are ``count`` reports, and for ``quiet`` seconds no more."""
        async with asyncio.timeout(DEADLINE):
            while self.count < count:
                self._more.clear()
                await self._more.wait()
        await asyncio.sleep(quiet)
        assert self.count == count


@contextlib.asynccontextmanager
async def watching(paths: Iterable[Path], **settings: Any) -> AsyncIterator[tuple[Watcher, Reports]]:
    """A running watcher that has made its first report."""
    reports = Reports()
    reports.paths = list(paths)
    usual = {"poll": 0.05, "settle": SETTLE, "missing_grace": GRACE, "events": True}
    watcher = Watcher(reports, **{**usual, **settings})
    watcher.watch(reports.paths)
    task = asyncio.create_task(watcher.run())
    try:
        await reports.reaches(1, quiet=0)
        yield watcher, reports
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def one_report_each(
    place: Path,
    watched: Callable[[Path], list[Path]],
    change: Callable[[Path], None],
    **settings: Any,
) -> None:
    """A change is reported once, and so is the one after it."""
    place.mkdir()
    paths = await asyncio.to_thread(watched, place)
    async with watching(paths, **settings) as (watcher, reports):
        assert watcher.mode == ("events" if settings.get("events", True) else "poll")
        await asyncio.to_thread(change, place)
        await reports.reaches(2)
        await asyncio.to_thread(paths[0].write_text, "next = 1\n")
        await reports.reaches(3, quiet=0)


def settings_for(mode: str, heard: bool) -> dict[str, Any]:
    """``events`` without a poll where the directories tell."""
    return {"events": mode == "events"} | ({"poll": NEVER} if mode == "events" and heard else {})


if __name__ == "__main__":
    from file_changes import ROWS

    row = next(row for row in ROWS if str(row) == sys.argv[1])
    one = one_report_each(Path(sys.argv[2]), row.watched, row.change, **settings_for(sys.argv[3], row.heard))
    asyncio.run(asyncio.wait_for(one, 2 * DEADLINE))
