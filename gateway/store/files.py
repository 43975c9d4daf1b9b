"""Files that only the daemon's user may read: made so from their first byte, never narrowed afterwards."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700


def make_private_directory(path: Path) -> None:
    """Make ``path`` with mode 0700 where it is missing; an existing directory stays as it is. ``OSError``."""
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)


def open_new(path: Path) -> int:
    """A descriptor of a new empty file with mode 0600, whatever the umask. ``FileExistsError`` when it exists."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE)
    os.fchmod(descriptor, PRIVATE_FILE)
    return descriptor


def write_atomically(path: Path, content: bytes) -> None:
    """Make ``path`` appear whole and durable, mode 0600. Callers hold ``locked(path.parent)``. ``OSError``."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(open_new(temporary), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's advisory lock, so that of several starting processes one makes a file. ``OSError``."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
