"""What a file looks like without opening it, and which directories decide that. Calls block: for threads only.

A fingerprint tells all that can be told from outside: ``ops.md 1.3`` found no kind of change that it misses, but the
replacement of a file that is a mount point of its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_MOST_LINKS: Final = 40
"""Links that Linux follows in one path (path_resolution(7))."""
_MOUNTS: Final = Path("/proc/self/mountinfo")


class Fingerprint(NamedTuple):
    """Of a file that is there. The time of change (ctime) betrays an equal size with the modification time put back."""

    real_path: Path
    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class Look(NamedTuple):
    """What a path led to."""

    fingerprint: Fingerprint | None
    """None where there is nothing, or nothing that may be looked at."""
    directories: frozenset[Path]
    """Real paths of the directories in which an entry decides what the path means."""


def look(path: Path) -> Look:
    """Fingerprint of the file that an absolute path means, and the directories that decide it."""
    try:
        real_path, directories = _resolve(path)
    except ValueError:  # a zero byte, or a letter that no file name has
        return Look(None, frozenset())
    try:
        status = path.stat()
    except OSError:
        return Look(None, directories)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return Look(Fingerprint(real_path, status.st_dev, status.st_ino, status.st_size, *times), directories)


def _resolve(path: Path) -> tuple[Path, frozenset[Path]]:
    """The real path as far as it exists, and the directories of each link on the way and of its end."""
    deciding = set()
    rest = list(reversed(path.parts))
    real, links = Path("/"), 0
    while rest and links < _MOST_LINKS:
        name = rest.pop()
        if name in ("/", ".."):
            real = real.parent if name == ".." else Path("/")
            continue
        try:
            target = (real / name).readlink()
        except OSError as error:
            if error.errno == errno.EINVAL and rest:  # no link
                real /= name
                continue
            deciding.add(real.parent if error.errno == errno.ENOTDIR else real)
            return real.joinpath(name, *reversed(rest)), frozenset(deciding)
        deciding.add(real)
        links += 1
        rest.extend(reversed(target.parts))
    return real, frozenset(deciding)


def identities(directories: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Device and inode of each directory that is there: another one under the same name needs another watch."""
    found = {}
    for name in directories:
        with contextlib.suppress(OSError):
            status = name.stat()
            if stat.S_ISDIR(status.st_mode):
                found[name] = (status.st_dev, status.st_ino)
    return found


def mount_points() -> frozenset[Path]:
    """Where something is mounted. A file among these is never seen replaced: a container keeps its first one."""
    with contextlib.suppress(OSError):
        lines = os.fsdecode(_MOUNTS.read_bytes()).split("\n")
        return frozenset(Path(_unescaped(line.split(" ")[4])) for line in lines if line)
    return frozenset()


def _unescaped(text: str) -> str:
    """A path as proc(5) writes it: blank, tab, newline and backslash in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
