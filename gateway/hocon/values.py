"""What a text becomes: values that know where they stand, and the error for a text that becomes nothing."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NamedTuple

BYTE_ORDER_MARK: Final = "\ufeff"


class Position(NamedTuple):
    """A place in a text. Lines and columns count from 1, columns in characters, a byte order mark not counted."""

    name: str
    """What the caller of ``parse`` named the text, or the path of an included file."""
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.name or '-'}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a text may ask for. The defaults hold against hostile text."""

    size: int = 1024 * 1024
    """Bytes of the text in UTF-8, together with every text that it includes."""
    depth: int = 100
    """Objects and lists within each other, and substitutions that wait for each other. Python sets a bound near 150."""
    values: int = 50_000
    """Entries of objects, items of lists, parts of concatenations."""
    pieces: int = 250
    """Values joined onto one key, in the dialect ``pyhocon``: the client's time grows with their square."""
    includes: int = 1000
    """Include statements, those that find nothing too."""
    expansion: int = 2 * 1024 * 1024
    """What substitutions may add: one for each character, eight for each value."""


class HoconError(ValueError):
    """A text that cannot be read. Neither its text nor ``message`` quotes it: what stands there may be a password."""

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(f"{position}: {message}")
        self.message = message
        self.position = position


class Source:
    """One text. Lines are counted when somebody asks for a position, because hardly anybody does."""

    __slots__ = ("_starts", "name", "text")

    def __init__(self, text: str, name: str = "") -> None:
        self.text = text
        self.name = name
        self._starts: list[int] | None = None

    def position(self, offset: int) -> Position:
        """The place of a character."""
        if self._starts is None:
            self._starts = [0, *accumulate(len(line) + 1 for line in self.text.split("\n"))]
            self._starts[0] = int(self.text.startswith(BYTE_ORDER_MARK))
        line = max(1, bisect_right(self._starts, offset))
        return Position(self.name, line, max(1, offset - self._starts[line - 1] + 1))

    def error(self, message: str, offset: int) -> HoconError:
        """An error at a character."""
        return HoconError(message, self.position(offset))


class Value:
    """One value with its place.

    ``value`` is a ``dict[str, Value]``, a ``list[Value]``, ``str``, ``int``, ``float``, ``bool`` or None. After
    ``parse(..., resolve=False)``, and in what lost (``overridden``), it may also be an ``Unresolved``.
    Treat it as frozen: a value that two substitutions name is one object.
    """

    __slots__ = ("_offset", "_source", "overridden", "text", "value")

    def __init__(
        self, value: Any, source: Source, offset: int, text: str | None = None, overridden: Value | None = None
    ) -> None:
        self.value = value
        self.text = text
        """A scalar without quotes as it is written (``1.50``, ``007``); None for everything else."""
        self.overridden = overridden
        """What would hold without it; objects that merge override nothing, only their entries do.

        An object that replaced null or another value has that here: ``a = null, a { b = 1 }`` hides every ``a`` of
        what is merged below. Not in the dialect ``pyhocon``, whose objects merge with whatever object comes before.
        """
        self._source = source
        self._offset = offset

    @property
    def position(self) -> Position:
        """Of the key for an entry of an object (each element of a dotted key its own), of the item in a list."""
        return self._source.position(self._offset)

    def error(self, message: str) -> HoconError:
        """An error about this value."""
        return self._source.error(message, self._offset)

    def replaced(self, value: Any, text: str | None = None) -> Value:
        """The same place with other content."""
        return Value(value, self._source, self._offset, text, self.overridden)

    def over(self, old: Value) -> Value:
        """A copy that has overridden another value, after whatever it has overridden already."""
        copy = result = Value(self.value, self._source, self._offset, self.text)
        lost = self.overridden
        while lost is not None:
            copy.overridden = Value(lost.value, lost._source, lost._offset, lost.text)
            copy, lost = copy.overridden, lost.overridden
        copy.overridden = old
        return result

    def __repr__(self) -> str:
        return f"Value(..., {str(self.position)!r})"


class Unresolved:
    """A value that waits for substitutions. Only ``merge`` and ``render`` know what to do with it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


def plain(value: Value) -> Any:
    """Ordinary dictionaries, lists and scalars.

    :raises HoconError: for a value that waits for substitutions.
    """
    content = value.value
    if isinstance(content, dict):
        return {key: plain(item) for key, item in content.items()}
    if isinstance(content, list):
        return [plain(item) for item in content]
    if isinstance(content, Unresolved):
        raise value.error("substitutions are not resolved")
    return content
