"""One section of a ``grafana.ini``, read as Grafana's own library reads it (gopkg.in/ini.v1 with its defaults).

Other sections are stepped over, never judged. Comments begin with ``;`` or ``#``, behind a value as well; a value that
holds one stands in backquotes or three double quotes, which may go on over lines; a backslash at its end continues it.
"""

from __future__ import annotations

import re
from typing import Final

from .origin import Given, Origin
from .reading import SourceError

_DELIMITER: Final = re.compile("[=:]")
_COMMENT: Final = re.compile("[;#]")
_LONG_QUOTES: Final = ('"""', "`")


def read_section(text: str, section: str, origin: Origin) -> dict[str, Given] | None:
    """The values of a section as text, each with the place of its key; the last of equal keys counts. None where there
    is no such section.

    :raises SourceError: for a line of that section that gives no value.
    """
    reader = _Reader(text, origin)
    found: dict[str, Given] | None = None
    inside = False
    while (line := reader.next_line()) is not None:
        stripped = line.strip()
        if not stripped or stripped[0] in ";#":
            continue
        if stripped[0] == "[":
            name, closed, _ = stripped[1:].rpartition("]")
            if not closed and _COMMENT.split(stripped[1:])[0].strip() == section:
                raise reader.error("the name of the section has no ] behind it", line)
            inside = name.strip() == section
            found = {} if inside and found is None else found
            continue
        delimiter = _DELIMITER.search(line)
        if delimiter is None:
            if inside:
                raise reader.error("expected KEY = VALUE", line)
            continue
        place = reader.place(line)
        value = reader.value(line[delimiter.end() :], strict=inside)
        if inside and found is not None:
            name = line[: delimiter.start()].strip().strip('"`')
            if not name:
                raise SourceError("expected a key in front of the =", place.line, place.column)
            found[name] = Given(value, place, found.get(name))
    return found


class _Reader:
    """Takes one line, or one value of several lines, after the other."""

    def __init__(self, text: str, origin: Origin) -> None:
        self._lines = text.split("\n")
        self._origin = origin
        self._next = 0

    def next_line(self) -> str | None:
        """The next line; None behind the last one."""
        if self._next == len(self._lines):
            return None
        self._next += 1
        return self._lines[self._next - 1]

    def place(self, line: str) -> Origin:
        """Where the line that was taken last begins to say something."""
        return self._origin.at(self._next, len(line) - len(line.lstrip()) + 1)

    def error(self, message: str, line: str) -> SourceError:
        """An error in the line that was taken last."""
        place = self.place(line)
        return SourceError(message, place.line, place.column)

    def value(self, rest: str, *, strict: bool) -> str:
        """The value that begins with the rest of a line. Raises ``SourceError`` for quotes without end, if strict."""
        text = rest.lstrip()
        for quote in _LONG_QUOTES:
            if text.startswith(quote):
                return self._quoted(text[len(quote) :], quote, strict=strict)
        text = text.rstrip()
        if text.endswith("\\"):
            return self._continued(text[:-1])
        text = _COMMENT.split(text, maxsplit=1)[0].rstrip()
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text

    def _quoted(self, text: str, quote: str, *, strict: bool) -> str:
        """Up to the last such quotes of the line that has some."""
        first, begun = self._next, text
        pieces: list[str] = []
        line: str | None = text
        while line is not None:
            before, end, _ = line.rpartition(quote)
            if end:
                return "\n".join([*pieces, before])
            pieces.append(line)
            line = self.next_line()
        if strict:
            raise SourceError(f"the value has no {quote} at its end", first)
        # Not for us to judge: what follows is looked at as if the quotes had been closed.
        self._next = first
        return begun

    def _continued(self, text: str) -> str:
        while (line := self.next_line()) is not None and (more := line.strip()):
            if not more.endswith("\\"):
                return text + more
            text += more[:-1]
        return text
