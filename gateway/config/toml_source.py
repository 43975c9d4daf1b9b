"""TOML with the position of every key and item.

The standard library's reader judges the text and gives the values; it keeps no positions, so a scanner finds them. The
scanner is lenient: on text that is no TOML it stops or goes astray, and the reader then says what is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

from .origin import Given, Origin
from .position import DEPTH, Lines, Places
from .reading import TOO_DEEP, SourceError

_PART: Final = r'(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\.)*+"|\'[^\'\n]*+\')'
_KEY: Final = rf"{_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+"
_SCALAR: Final = r"""(?:
    "{3} (?: [^"\\]++ | \\. | "(?!"") )*+ "{3,5}+
  | '{3} (?: [^']++ | '(?!'') )*+ '{3,5}+
  | " (?: [^"\\\n]++ | \\. )*+ "
  | ' [^'\n]*+ '
  | \d{4}-\d\d-\d\d[ ]\d\d:[0-9A-Za-z.:+-]++
  | [0-9A-Za-z_.:+-]++
)"""
_BLANK: Final = r"(?:[ \t\r\n]++|\#[^\n]*+)*+"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.VERBOSE | re.DOTALL)


_PAIR: Final = _compiled(rf"({_KEY})[ \t]*+=[ \t]*+({_SCALAR}?)")
_STATEMENT: Final = _compiled(rf"{_BLANK}(?:(\[\[?)[ \t]*+({_KEY})[ \t]*+\]\]?|{_PAIR.pattern}|\Z)")
_ITEM: Final = _compiled(_SCALAR)
_BETWEEN: Final = _compiled(rf"{_BLANK},?{_BLANK}")
_UNREAD: Final = _compiled(rf"{_BLANK}\[{{0,2}}[ \t]*+({_KEY})")
_KEY_PART: Final = _compiled(_PART)

_POSITION: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_SAFE: Final = frozenset({
    "Cannot overwrite a value",
    "Escaped character is not a Unicode scalar value",
    "Expected '=' after a key in a key/value pair",
    "Expected ']' at the end of a table declaration",
    "Expected ']]' at the end of an array declaration",
    "Expected newline or end of document after a statement",
    "Invalid date or datetime",
    "Invalid hex value",
    "Invalid initial character for a key part",
    "Invalid statement",
    "Invalid value",
    "Unclosed array",
    "Unclosed inline table",
    "Unescaped '\\' in a string",
    "Unterminated string",
})
"""What tomllib (3.11 to 3.14) says without quoting the text."""
_ESCAPES: Final = frozenset({"Unescaped '\\' in a string", "Invalid hex value"})
"""Of these, what a backslash comes to that was meant as it stands (``EXAMPLE\\svc``)."""
_REWORDED: Final = {
    "Cannot declare ": "a table is declared twice",
    "Cannot mutate ": "a list or inline table cannot be added to",
    "Cannot redefine ": "a table is defined twice",
    "Duplicate inline ": "a key is given twice",
    "Expected ": "Unterminated string",
    "Found invalid ": "a control character",
    "Illegal ": "a control character",
}
"""What it says with a quotation, by how that begins."""


def parse_toml(text: str, origin: Origin) -> Given:
    """The tree of a text. Dates and times stay ``datetime`` objects, which no key accepts.

    :raises SourceError: for anything but TOML, saying why and where; never quoting the text.
    """
    return parse_toml_at(text, Lines(text, origin))


_MOST_TABLES: Final = 1_000_000
_MOST_COMMAS: Final = 2_000_000
"""Signs in a text, wherever they stand: a bound for what a text of a few signs an item can become."""


def parse_toml_at(text: str, places: Places) -> Given:
    """The same for a text whose characters are written elsewhere."""
    if sum(map(text.count, "=[{")) > _MOST_TABLES or text.count(",") > _MOST_COMMAS:
        raise SourceError("too many values")
    tree = _Scanner(text, places).scan()
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise SourceError(TOO_DEEP) from None
    except ValueError as error:
        raise _error(str(error), text, places) from None
    _fill(tree, values)
    return tree


def _fill(given: Given, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _fill(given.value[key], item)
    elif isinstance(value, list):
        for place, item in zip(given.value, value, strict=True):
            _fill(place, item)
    else:
        given.value = value


def _error(said: str, text: str, places: Places) -> SourceError:
    found = _POSITION.search(said)
    reason = said[: found.start()] if found else said
    if reason not in _SAFE:
        reason = next((words for begin, words in _REWORDED.items() if reason.startswith(begin)), "")
    if reason in _ESCAPES:
        reason += ": write \\\\ for one backslash, or use single quotes"
    end = " (at end of document)" if found and not found[1] else ""
    message = f"not valid TOML: {reason}{end}" if reason else "not valid TOML"
    if not found:
        return SourceError(message)
    offset = Lines(text, places.origin).offset(int(found[1]), int(found[2])) if found[1] else len(text)
    place = places.at(offset)
    return SourceError(message, place.line, place.column)


class _Stop(Exception):
    """The text is no TOML from here on."""


class _Part(NamedTuple):
    """One name of a dotted key, and where in the key it begins."""

    name: str
    offset: int


class _Scanner:
    """Builds the tree of a text, with None for each scalar."""

    def __init__(self, text: str, places: Places) -> None:
        self._text = text
        self._places = places
        self._offset = 0
        self._keys: dict[str, tuple[_Part, ...]] = {}

    def scan(self) -> Given:
        """The tree as far as the text is TOML."""
        root = table = Given({}, self._places.origin)
        try:
            while (found := self._take(_STATEMENT)).lastindex:
                if found[1]:
                    table = self._header(root, found)
                else:
                    self._pair(table, found, 3, DEPTH)
        except _Stop:
            # The reader would read this key first, in a time that grows with the square of its length.
            if unread := _UNREAD.match(self._text, self._offset):
                self._parts(unread[1], unread.start(1))
        return root

    def _header(self, root: Given, header: re.Match[str]) -> Given:
        *parents, last = self._key(header, 2)
        start = header.start(2)
        table = self._descend(root, parents, start)
        if header[1] == "[":
            return self._descend(table, [last], start)
        listed = table.value.get(last.name)
        if listed is None:
            listed = table.value[last.name] = Given([], self._places.at(start + last.offset))
        if not isinstance(listed.value, list):
            raise _Stop
        item = Given({}, self._places.at(header.start(1)))
        listed.value.append(item)
        return item

    def _descend(self, table: Given, parts: Iterable[_Part], start: int) -> Given:
        """The table that a key names, made where it is not there; of a list the last item."""
        for name, offset in parts:
            child = table.value.get(name)
            if child is None:
                child = table.value[name] = Given({}, self._places.at(start + offset))
            table = child.value[-1] if isinstance(child.value, list) and child.value else child
            if not isinstance(table.value, dict):
                raise _Stop
        return table

    def _pair(self, table: Given, pair: re.Match[str], group: int, depth: int) -> None:
        """Take a key, which ``group`` of the match holds, and its value, which the next one holds if it is a scalar."""
        *parents, (name, offset) = self._key(pair, group)
        start = pair.start(group)
        if parents:
            table = self._descend(table, parents, start)
        place = self._places.at(start + offset)
        if name in table.value:
            first = table.value[name].origin.line
            raise SourceError(f"not valid TOML: a key is given twice, first in line {first}", place.line, place.column)
        value = None if pair[group + 1] else self._value(depth - len(parents) - 1)
        table.value[name] = Given(value, place)

    def _value(self, depth: int) -> Any:
        opened = self._text[self._offset : self._offset + 1]
        if opened not in ("[", "{"):
            self._take(_ITEM)
            return None
        if depth <= 0:
            raise self._too_deep(self._offset)
        self._offset += 1
        return self._list(depth) if opened == "[" else self._inline(depth)

    def _list(self, depth: int) -> list[Given]:
        items: list[Given] = []
        while not self._closes("]"):
            place = self._places.at(self._offset)
            items.append(Given(self._value(depth - 1), place))
        return items

    def _inline(self, depth: int) -> dict[str, Given]:
        items: dict[str, Given] = {}
        table = Given(items, self._places.origin)
        while not self._closes("}"):
            self._pair(table, self._take(_PAIR), 1, depth)
        return items

    def _closes(self, sign: str) -> bool:
        """Step over blanks and a comma, then over ``sign`` if that comes next."""
        self._take(_BETWEEN)
        closes = self._text.startswith(sign, self._offset)
        self._offset += closes
        return closes

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._offset)
        if found is None:
            raise _Stop
        self._offset = found.end()
        return found

    def _key(self, found: re.Match[str], group: int) -> tuple[_Part, ...]:
        text = found[group]
        if text not in self._keys:
            parts = self._parts(text, found.start(group))
            self._keys[text] = tuple(_Part(_name(part[0]), part.start()) for part in parts)
        return self._keys[text]

    def _parts(self, key: str, start: int) -> list[re.Match[str]]:
        parts = list(islice(_KEY_PART.finditer(key), DEPTH + 1))
        if len(parts) > DEPTH:
            raise self._too_deep(start)
        return parts

    def _too_deep(self, offset: int) -> SourceError:
        place = self._places.at(offset)
        return SourceError(TOO_DEEP, place.line, place.column)


def _name(part: str) -> str:
    if part[0] not in "\"'":
        return part
    if "\\" not in part:
        return part[1:-1]
    try:
        return str(tomllib.loads(f"name = {part}")["name"])
    except ValueError:
        raise _Stop from None
