"""Positions in the text of one file."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final, Protocol

from .origin import Origin

DEPTH: Final = 64
"""Deepest nesting of tables and lists that the readers of TOML, YAML and JSON accept."""

_LINE_END: Final = re.compile("\n")


class Places(Protocol):
    """Where the characters of a text are written."""

    @property
    def origin(self) -> Origin:
        """The text as a whole."""

    def at(self, offset: int) -> Origin:
        """The character at an offset, which counts from 0."""


class Lines:
    """Places of a text that is a file's own. A line ends with a line feed, as editors count."""

    def __init__(self, text: str, origin: Origin) -> None:
        self.origin = origin
        self._starts = [0, *(found.end() for found in _LINE_END.finditer(text))]

    def at(self, offset: int) -> Origin:
        """Line and column of the character at an offset."""
        line = bisect_right(self._starts, offset)
        return Origin(self.origin.kind, self.origin.place, line, offset - self._starts[line - 1] + 1)

    def start(self, offset: int) -> int:
        """Offset at which the line begins that holds the character at an offset."""
        return self._starts[bisect_right(self._starts, offset) - 1]

    def offset(self, line: int, column: int) -> int:
        """Offset of a line and column, both counted from 1."""
        return self._starts[line - 1] + column - 1
