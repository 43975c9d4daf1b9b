"""The client's reading of tabs: it replaces them before it reads (clearml.md 7.3)."""

from __future__ import annotations

import re
from bisect import bisect_left

from .values import Position, Source


class TabbedSource(Source):
    """A text whose tabs the client has replaced by blanks, up to the next of its 8-column stops."""

    __slots__ = ("_added", "_original", "_tabs")

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text.expandtabs(), name)
        self._original = Source(text, name)
        self._tabs: list[int] = []
        """Where the blanks of each tab begin."""
        self._added: list[int] = [0]
        """By how many characters the tabs before the first, the second, ... have made the text longer."""
        pos, added = 0, 0
        for line in re.split(r"(?<=[\n\r])", text) if "\t" in text else ():
            column = 0
            for word in line.split("\t")[:-1]:
                column += len(word)
                self._tabs.append(pos + column)
                blanks = 8 - column % 8
                column += blanks
                added += blanks - 1
                self._added.append(added)
            pos += column + len(line.rpartition("\t")[2])

    def position(self, offset: int) -> Position:
        """Where it stands in the text as it was before."""
        return self._original.position(offset - self._added[bisect_left(self._tabs, offset)])
