"""JSON and YAML to a text that the ClearML client's parser reads as the same tree (clearml.md 7.2, 7.3).

That parser is no JSON parser: ``\\uXXXX`` stays as it is, keys are never unescaped, empty strings in lists vanish. So
the tree is written anew, in the JSON that the client understands; each key and item stays on its line, and at its
column where there is room, so that positions in the new text are those of the old one.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NamedTuple

from gateway.config.json_source import parse_json
from gateway.config.origin import DEFAULT, Given, plain_value
from gateway.config.reading import SourceError
from gateway.config.yaml_source import parse_yaml

from .problems import Remark, UnusableText
from .reading import LIMITS

VALUES: Final = 50_000
"""Most values of a YAML text, those that aliases repeat counted each time; as many as the reader of HOCON takes."""
KEPT_QUOTES: Final = re.compile(r"[$}\[\]:=+#`^?!@*&.]").search
"""In a key: signs for which the client keeps its quotation marks as part of it."""
QUOTED_KEY: Final = "the client keeps the quotation marks of this key, because of a sign in it"
_unwritable = re.compile(r'["\\\x00-\x1f]').search
_escaped = re.compile(r'[\\"\n\r\t]')
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Converted(NamedTuple):
    """A text for clients."""

    text: str
    """Empty where there is nothing to say."""
    meant: dict[str, Any]
    remarks: list[Remark]


def converted(text: str, format: str) -> Converted:  # noqa: A002 - the field's name in the API
    """Write a text for clients, with what it means and what its author should know.

    :param format: ``json`` or ``yaml``.
    :raises UnusableText: for what cannot be read, is no object, or cannot be said to the client.
    """
    try:
        given = parse_json(text, DEFAULT) if format == "json" else parse_yaml(text, DEFAULT, values=VALUES)
    except SourceError as error:
        raise UnusableText(str(error), error.line, error.column) from None
    if not isinstance(given.value, dict):
        raise UnusableText("expected an object (keys and values) at the top level", 1, 1)
    writer = _Writer()
    if given.value:
        writer.write(given)
    return Converted(writer.text, plain_value(given), writer.remarks)


def same(meant: Any, read: Any) -> bool:
    """Whether a tree that the client read is the one that was meant: quotation marks around keys and empty strings in
    lists apart, of which there are remarks.
    """
    if isinstance(meant, dict) and isinstance(read, dict):
        keys = {f'"{key}"' if KEPT_QUOTES(key) else key: value for key, value in meant.items()}
        return keys.keys() == read.keys() and all(same(value, read[key]) for key, value in keys.items())
    if isinstance(meant, list) and isinstance(read, list):
        left = [item for item in meant if item != ""]
        return len(left) == len(read) and all(map(same, left, read))
    return type(meant) is type(read) and bool(meant == read)


def quoted(text: str) -> str:
    """A quoted string as the client reads it."""
    return '"' + _escaped.sub(lambda found: _ESCAPES[found[0]], text) + '"'


class _Writer:
    """Writes a tree, each part where it was."""

    def __init__(self) -> None:
        self.remarks: list[Remark] = []
        self._pieces: list[str] = []
        self._line = 1
        self._column = 1
        self._left = LIMITS.size
        """Bytes that may still be written: what aliases repeat is small only as long as it is not written."""

    @property
    def text(self) -> str:
        """What was written."""
        return "".join(self._pieces)

    def write(self, given: Given) -> None:
        """Write a value."""
        value = given.value
        if isinstance(value, dict):
            self._put("{")
            for number, (key, item) in enumerate(value.items()):
                self._next(number, item)
                self._check_key(key, item)
                self._put(quoted(key) + ": ")
                self.write(item)
            self._put("}")
        elif isinstance(value, list):
            self._put("[")
            for number, item in enumerate(value):
                self._next(number, item)
                if item.value == "":
                    self._remark(item, "the ClearML client drops empty strings from lists")
                self.write(item)
            self._put("]")
        else:
            self._put(self._scalar(given))

    def _next(self, number: int, item: Given) -> None:
        """A comma except before the first, and white space up to where the item was."""
        self._put("," if number else "")
        line, column = item.origin.line, item.origin.column
        if line > self._line:
            self._pieces.append("\n" * (line - self._line))
            self._line, self._column = line, 1
        if line == self._line and column > self._column:
            self._put(" " * (column - self._column))

    def _put(self, piece: str) -> None:
        self._left -= len(piece) if piece.isascii() else len(piece.encode())
        if self._left < 0:
            raise UnusableText(f"more than {LIMITS.size} bytes of text for clients: aliases (*) repeat too much")
        self._pieces.append(piece)
        self._column += len(piece)

    def _remark(self, given: Given, message: str) -> None:
        self.remarks.append(Remark(message, given.origin.line, given.origin.column))

    def _check_key(self, key: str, item: Given) -> None:
        place = item.origin
        if not key:
            raise UnusableText("an empty key: the ClearML client loses the whole vault", place.line, place.column)
        if _unwritable(key):
            message = "a key with a quotation mark, backslash or control character cannot be said to the ClearML client"
            raise UnusableText(message, place.line, place.column)
        if KEPT_QUOTES(key):
            self._remark(item, QUOTED_KEY)

    def _scalar(self, given: Given) -> str:
        value = given.value
        if isinstance(value, str):
            if "${" in value:
                self._remark(given, "in JSON and YAML ${...} is ordinary text; write the vault in HOCON to use it")
            return quoted(value)
        if isinstance(value, float) and not math.isfinite(value):
            return "-1e999" if value < 0 else "1e999"
        return json.dumps(value)
