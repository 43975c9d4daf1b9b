"""Includes: files only, below the directory of the configuration, never an address (HOCON, Includes)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

DEEPEST: Final = 20
"""Files that include each other."""
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_PATTERN: Final = re.compile(r"[*?\[]")


class Included(NamedTuple):
    """A text that takes the place of an include statement."""

    text: str
    name: str
    include: Include
    """What answers the include statements of that text."""


class IncludeError(ValueError):
    """A text that must not or cannot be included. The message says why."""


class Include(Protocol):
    """Answers include statements."""

    def open(self, name: str, required: bool) -> Included | None:
        """The text of a name; None where there is none and none is required.

        :raises IncludeError: for what must not be included, or cannot.
        """


class FileIncludes:
    """Includes files, named relative to the directory of the file that includes them.

    :param root: the directory of the first file; nothing outside its tree is read, wherever links lead.
    :param read: reads a file; raises ``FileNotFoundError`` where there is none (the caller may note which were asked
        for), another ``OSError``, or ``ValueError`` with a text that may be shown.
    """

    def __init__(self, root: Path, read: Callable[[Path], str]) -> None:
        self._root = root
        self._read = read
        self._base = root
        self._open: tuple[str, ...] = ()

    def open(self, name: str, required: bool) -> Included | None:
        """See ``Include``."""
        path, real = self._locate(name)
        if real in self._open:
            raise IncludeError("the file includes itself")
        if len(self._open) >= DEEPEST:
            raise IncludeError("too many files include each other")
        try:
            text = self._read(path)
        except FileNotFoundError:
            if required:
                raise IncludeError("there is no such file") from None
            return None
        except OSError as error:
            raise IncludeError(f"the file cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise IncludeError(f"the file cannot be read: {error}") from None
        inner = FileIncludes(self._root, self._read)
        inner._base = path.parent
        inner._open = (*self._open, real)
        return Included(text, str(path), inner)

    def _locate(self, name: str) -> tuple[Path, str]:
        """The path to read, links and all so that the caller can watch them, and where it leads."""
        if not name or "\0" in name or name.startswith("/") or _ADDRESS.match(name):
            raise IncludeError("only files can be included, by a path relative to this one")
        if _PATTERN.search(name):
            # Other readers take it for a pattern; to find no file of that very name would pass over all of them.
            raise IncludeError("only files can be included, each by its name; patterns are not supported")
        path = self._base / name
        real = os.path.realpath(path)
        if Path(os.path.realpath(self._root)) not in Path(real).parents:
            raise IncludeError("the file is outside the directory of the configuration")
        tidy = Path(os.path.normpath(path))
        return (tidy if os.path.realpath(tidy) == real else path), real
