"""Wake-ups from directories, by watchdog. They may come too often, late or never: only a fingerprint is believed.

What watchdog misses is in ``ops.md 1.3``: a directory renamed away, changes through another link or mount, a network's
far side, and more. Calls block, and may do so for long on network file systems: for threads only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)
logging.getLogger("watchdog").setLevel(logging.CRITICAL)
"""It calls a watch that ends while it is read an error, and an overflow a loss; neither is one to us."""

_WAKING: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent,
    FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileMovedEvent,
]  # fmt: skip
"""A file is whole when it is closed after writing. Not each write to it: a log or a database in the same directory has
thousands. Not opening, nor closing after a read: our own reading would wake us for ever."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0


class DirectoryEvents(FileSystemEventHandler):
    """Calls ``wake`` from a thread of its own whenever something happens in the directories it follows."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.errors = 0
        """Failures to follow: no inotify instances or watches left, no threads."""
        self.active = False
        """Whether there are wake-ups."""
        self._wake = wake
        self._lock = threading.Lock()
        self._closed = False
        self._observer: BaseObserver | None = None
        self._followed: Mapping[Path, tuple[int, int]] = {}
        self._pause = 0.0
        self._retry_at = 0.0

    def on_any_event(self, _event: FileSystemEvent) -> None:
        """What watchdog calls."""
        self._wake()

    def follow(self, directories: Mapping[Path, tuple[int, int]], *, afresh: bool = False) -> bool:
        """Follow these directories (real path: device and inode) and no others; whether the watches are new ones.

        They stay where that is so already, unless ``afresh``. A failure is logged once and counted; the next attempt
        is made by a later call, after a growing pause.
        """
        with self._lock:
            if self._closed or time.monotonic() < self._retry_at:
                return False
            if self._whole() and directories == self._followed and not afresh:
                return False
            self._stop()
            try:
                self._start(directories)
            except Exception as error:
                self._stop()
                self._failed(error)
                return False
            self.active = True
            self._pause = 0.0
            return True

    def stop(self) -> None:
        """Follow nothing, until the next ``follow``."""
        with self._lock:
            self._stop()
            self.active = False
            self._pause = self._retry_at = 0.0

    def close(self) -> None:
        """Stop for good: a ``follow`` that another thread has begun does nothing any more."""
        with self._lock:
            self._closed = True
            self.active = False
            self._stop()

    def _whole(self) -> bool:
        """Whether nothing has stopped: the watch of a directory that was removed ends with it."""
        observer = self._observer
        return observer is not None and observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def _start(self, directories: Mapping[Path, tuple[int, int]]) -> None:
        self._observer = observer = Observer()
        observer.start()
        followed = {}
        for name, identity in directories.items():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it went since it was looked at
                observer.schedule(self, str(name), event_filter=_WAKING)
                followed[name] = identity
        self._followed = followed

    def _stop(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join()

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self.active = False
        if not self._pause:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            log.warning("changes of files are found by polling alone: %s", reason)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE) or _FIRST_PAUSE
        self._retry_at = time.monotonic() + self._pause
