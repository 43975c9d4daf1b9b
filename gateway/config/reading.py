"""Reads the files of one load, and remembers what they held: the reload goes by that, not by what they hold later."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

Role = Literal["configuration", "secret", "other"]
"""``configuration``: named with -c, or included. ``secret``: named by a ``k_file``. ``other``: certificates, and what
Grafana's expressions name."""


class SourceError(ValueError):
    """A file that cannot be read, or not as what it should be. The text says why, without quoting it.

    ``line`` and ``column`` count from 1; 0 where they are not known. ``file`` is an included file, else empty.
    """

    def __init__(self, text: str, line: int = 0, column: int = 0, file: str = "") -> None:
        super().__init__(text)
        self.line = line
        self.column = column
        self.file = file


CERTIFICATE_SIZE: Final = 1024 * 1024
"""Largest file of certificates in bytes."""
TOO_DEEP: Final = "nested too deeply"


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held. ``data`` is None where it could not be read, or is larger than ``limit`` bytes."""

    role: Role
    data: bytes | None
    limit: int

    def __repr__(self) -> str:
        return f"Content({self.role!r}, ...)"


class Reading:
    """The files of one load. Also after a failed one it tells which files to watch."""

    def __init__(self, held: Mapping[Path, Content] | None = None) -> None:
        """``held`` is what an earlier load has read: then that counts, and no file is opened."""
        self._contents: dict[Path, Content] = {}
        self._held = held

    @property
    def by_heart(self) -> bool:
        """Whether what was read before counts, and not what the files hold now."""
        return self._held is not None

    def exists(self, path: Path) -> bool:
        """Whether there is a file, or was at that time."""
        if self._held is None:
            return os.path.lexists(path)
        return path in self._held and self._held[path].data is not None

    @property
    def contents(self) -> Mapping[Path, Content]:
        """Every file that was asked for, by absolute path, in the order of asking."""
        return MappingProxyType(self._contents)

    def certificate(self, path: Path) -> None:
        """Remember what a certificate or key held, which the TLS library reads by itself."""
        try:
            data = self._bytes(path, CERTIFICATE_SIZE)
        except SourceError:
            data = None
        self._contents[path] = Content("other", data, CERTIFICATE_SIZE)

    def text(self, path: Path, limit: int, role: Role) -> str:
        """Text of a regular file of at most ``limit`` bytes, in UTF-8, without byte order mark.

        :raises SourceError: for anything else.
        """
        self._contents[path] = Content(role, None, limit)
        data = self._bytes(path, limit)
        self._contents[path] = Content(role, data, limit)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start]
            line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
            raise SourceError(f"not UTF-8 text (byte {error.start})", line, column) from None

    def _bytes(self, path: Path, limit: int) -> bytes:
        if self._held is None:
            return read_bytes(path, limit)
        data = self._held[path].data if path in self._held else None
        if data is None:
            raise SourceError("could not be read when the configuration was loaded")
        return data


def read_bytes(path: Path, limit: int) -> bytes:
    """Content of a regular file of at most ``limit`` bytes.

    :raises SourceError: for anything else.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SourceError("not a regular file")
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a valid path'}") from None
    if len(data) > limit:
        raise SourceError(f"larger than {limit} bytes")
    return data


def anchored(directory: Path, name: str | Path) -> Path:
    """A path that belongs to a directory; without ``..`` where that leads to the same place (links may forbid it)."""
    path = directory / name
    if ".." not in path.parts:
        return path
    plain = Path(os.path.normpath(path))
    try:
        return plain if os.path.realpath(plain) == os.path.realpath(path) else path
    except (OSError, ValueError):
        return path


def real_path(path: Path) -> str:
    """Where a path leads to, by which two names of one file are known; itself for what is no path."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return str(path)


def digest(contents: Mapping[Path, Content]) -> str:
    """A hash over names and bytes of files, in hexadecimal; equal only where nothing has changed."""
    total = hashlib.sha256()
    for path in sorted(contents):
        data = contents[path].data
        held = b"-" if data is None else hashlib.sha256(data).digest()
        total.update(hashlib.sha256(os.fsencode(path)).digest() + held)
    return total.hexdigest()


def _open_at_once(path: str, flags: int) -> int:
    """A FIFO without a writer must not hold a reload for ever."""
    return os.open(path, flags | os.O_NONBLOCK)
