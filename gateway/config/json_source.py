"""JSON as RFC 8259 has it, with the position of every key and item.

The standard library's reader judges the text; the positions come from a second pass over its tokens. Stricter than
that reader: a key given twice, ``NaN`` and ``Infinity``, and half a surrogate pair are errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from .origin import DEFAULT, Given, Origin, plain_value
from .position import DEPTH, Lines
from .reading import TOO_DEEP, SourceError

_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{\[]|[^\s,:{}\[\]"]++')
"""Strings, what opens a table or list, and numbers and words."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Pairs(list[tuple[str, Any]]):
    """A table as it is written, a key given twice included."""


class _Constant(str):
    """``NaN``, ``Infinity`` or ``-Infinity``."""


def parse_json(text: str, origin: Origin) -> Given:
    """The value of a text, as a tree of ``Given``.

    :raises SourceError: for anything but JSON, saying why and where; never quoting the text.
    """
    lines = Lines(text, origin)
    try:
        raw = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_Constant)
    except json.JSONDecodeError as error:
        # Some messages end in a character of the text, or in words that lead to a position.
        reason = error.msg.partition(":")[0].removesuffix(" at").removesuffix(" starting")
        raise _error(reason, lines.at(error.pos)) from None
    except RecursionError:
        raise SourceError(TOO_DEEP) from None
    except ValueError:
        raise SourceError("not valid JSON: a number of too many digits") from None
    return Given(_Placing(text, lines).value(raw, DEPTH), origin)


def read_json(text: str) -> Any:
    """The plain value of a text that is no file: lists, dicts and scalars.

    :raises SourceError: as ``parse_json``, with the position in its text.
    """
    try:
        return plain_value(parse_json(text, DEFAULT))
    except SourceError as error:
        raise SourceError(f"{error} (line {error.line}, column {error.column})" if error.line else str(error)) from None


def _error(reason: str, place: Origin) -> SourceError:
    return SourceError(f"not valid JSON: {reason}", place.line, place.column)


class _Placing:
    """Walks what was read along the tokens of its text: both have the same order."""

    def __init__(self, text: str, lines: Lines) -> None:
        self._tokens: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self._lines = lines

    def value(self, raw: Any, depth: int) -> Any:
        """``raw``, whose first token is the next one, with the items in it as ``Given``."""
        return self._value(raw, depth, next(self._tokens).start())

    def _value(self, raw: Any, depth: int, start: int) -> Any:
        if isinstance(raw, _Pairs | list):
            if depth == 0:
                raise _error(TOO_DEEP, self._lines.at(start))
            return self._table(raw, depth) if isinstance(raw, _Pairs) else self._list(raw, depth)
        if isinstance(raw, _Constant):
            raise _error(f"{raw} is not a number", self._lines.at(start))
        if isinstance(raw, str):
            self._check(raw, start)
        return raw

    def _table(self, pairs: _Pairs, depth: int) -> dict[str, Given]:
        table: dict[str, Given] = {}
        for key, raw in pairs:
            start = next(self._tokens).start()
            place = self._lines.at(start)
            self._check(key, start)
            if key in table:
                raise _error(f"a key is given twice, first in line {table[key].origin.line}", place)
            table[key] = Given(self.value(raw, depth - 1), place)
        return table

    def _list(self, items: list[Any], depth: int) -> list[Given]:
        found: list[Given] = []
        for raw in items:
            start = next(self._tokens).start()
            found.append(Given(self._value(raw, depth - 1, start), self._lines.at(start)))
        return found

    def _check(self, text: str, start: int) -> None:
        if _SURROGATE.search(text):
            raise _error("half of a surrogate pair", self._lines.at(start))
