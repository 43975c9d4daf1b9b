"""Notices when one of the files that the configuration is made of changes.

No watcher of files sees everything (``ops.md 1.3``). So the truth is a look at the files themselves every ``poll``
seconds, and events of their directories only bring the next look forward. A change is reported when everything has
kept still for ``settle`` seconds, because what was written so far may be a valid configuration with the last rule
missing; a file that is gone, only after ``missing_grace``, because editors take it away before they put a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Final, Literal

from .directory_events import DirectoryEvents
from .fingerprint import Fingerprint, Look, identities, look, mount_points

log = logging.getLogger(__name__)

_LOOKS_PER_SETTLE: Final = 8
_SHORTEST_STEP: Final = 0.01
_LONGEST_STEP: Final = 0.25


@dataclass(slots=True)
class _File:
    """What is known of one file: a fingerprint, None while it is absent, ``...`` before the first look."""

    seen: Fingerprint | EllipsisType | None = ...
    since: float = 0.0
    """When it was first seen so, by the loop's clock."""
    reported: Fingerprint | EllipsisType | None = ...
    """What it was at the last report."""


class Watcher:
    """Calls ``changed`` once for each settled change of the files it watches.

    It may call without one: after each new set of files, which may have changed since they were read, and when only
    owner or times did. Whether the bytes are others is for ``changed`` to say. What it raises is logged; a change that
    happens while it runs is reported afterwards. Durations are seconds; ``events`` false means polling alone.
    """

    def __init__(
        self,
        changed: Callable[[], Awaitable[None]],
        *,
        poll: float,
        settle: float,
        missing_grace: float,
        events: bool,
    ) -> None:
        self._changed = changed
        self._files: dict[Path, _File] = {}
        self._moved_at = 0.0
        self._warned: set[Path] = set()
        self._failures = 0
        self._afresh = False
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events = DirectoryEvents(self._wake_from_thread)
        self.configure(poll=poll, settle=settle, missing_grace=missing_grace, events=events)

    @property
    def mode(self) -> Literal["events", "poll"]:
        """Whether events wake it, or only the clock: by configuration, or because there are none to be had."""
        return "events" if self._events.active else "poll"

    @property
    def errors(self) -> int:
        """How often events could not be had, or files not be looked at."""
        return self._failures + self._events.errors

    def configure(self, *, poll: float, settle: float, missing_grace: float, events: bool) -> None:
        """Change the settings. They hold at once, for a change that has not settled yet too."""
        self._step = min(max(settle / _LOOKS_PER_SETTLE, _SHORTEST_STEP), _LONGEST_STEP)
        self._poll = max(poll, self._step)
        self._settle = settle
        self._missing_grace = missing_grace
        self._with_events = events
        self._wake.set()

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch these files from now on and no others: absolute paths of what may be absent, or behind links."""
        self._files = {path: self._files.get(path) or _File() for path in paths}
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled. Once only."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                due = await self._look()
                if due is None:
                    await self._rest()
                elif due > 0:
                    await asyncio.sleep(min(due, self._step))
                else:
                    await self._report()
        finally:
            await asyncio.to_thread(self._events.close)

    def _wake_from_thread(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _rest(self) -> None:
        """Wait for an event or the next look. All events of one step are one, so that a busy directory costs little."""
        try:
            async with asyncio.timeout(self._poll):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._step)
        self._wake.clear()

    async def _look(self) -> float | None:
        """Seconds until a change is to be reported; None when there is none."""
        try:
            looks = await asyncio.to_thread(self._look_at, tuple(self._files))
        except Exception as error:
            self._failures += 1
            log.warning("files cannot be looked at: %s", error)
            return None
        now = asyncio.get_running_loop().time()
        for path, file in self._files.items():
            if path in looks and file.seen != looks[path].fingerprint:
                file.seen, file.since = looks[path].fingerprint, now
                self._moved_at = now
        return self._due(now)

    def _look_at(self, paths: tuple[Path, ...]) -> dict[Path, Look]:
        """In a thread. New watches are followed by another look, so that no change falls in between."""
        looks = {path: look(path) for path in paths}
        self._warn_of_mounts(looks)
        if not self._with_events:
            self._events.stop()
            return looks
        afresh, self._afresh = self._afresh, False
        directories = identities(name for found in looks.values() for name in found.directories)
        if self._events.follow(directories, afresh=afresh):
            looks = {path: look(path) for path in paths}
        return looks

    def _warn_of_mounts(self, looks: dict[Path, Look]) -> None:
        found = {path: seen.fingerprint.real_path for path, seen in looks.items() if seen.fingerprint}
        new = {path: real_path for path, real_path in found.items() if path not in self._warned}
        points = mount_points() if new else frozenset()
        for path, real_path in new.items():
            if real_path in points and not real_path.is_dir():
                log.warning("%s is mounted by itself: nobody sees it replaced; mount its directory instead", path)
        self._warned.update(new)

    def _due(self, now: float) -> float | None:
        changed = [file for file in self._files.values() if file.seen != file.reported]
        if not changed:
            return None
        waits = [file.since + self._missing_grace for file in changed if file.seen is None]
        return max(self._moved_at + self._settle, *waits, now) - now

    async def _report(self) -> None:
        for file in self._files.values():
            file.reported = file.seen
        self._afresh = True
        try:
            await self._changed()
        except Exception:
            log.exception("a change of files could not be acted upon")
