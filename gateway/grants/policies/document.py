"""Reads the syntax of policy documents: HCL 1, or the same structure as JSON (vault.md 9.1).

The reader is our own. ``pyhcl`` has had no release since 2023, loses repeated blocks and knows no positions;
``python-hcl2`` reads another language, HCL 2. Grammar and escapes follow the ``hcl/scanner`` and ``hcl/parser``
packages of github.com/hashicorp/hcl at version 1. Stricter than those: numbers with leading zeros and ``\\x`` or octal
escapes beyond ASCII are refused, and ``${`` is ordinary text, which no path contains.

Time is linear in the size of the text, and size, nesting and number of values are limited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

MAX_SIZE: Final = 256 * 1024
"""Characters of a document."""
MAX_DEPTH: Final = 16
"""Blocks and lists inside one another."""
MAX_VALUES: Final = 20_000
"""Values in a document, blocks and lists included."""


class PolicyError(ValueError):
    """Why a policy is refused, with line and column where they are known."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a document; both count from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Item:
    """``keys value`` or ``key = value``; a key of JSON has no position."""

    keys: tuple[str, ...]
    value: Value
    at: Position | None


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between braces, in its order and with its repetitions."""

    items: tuple[Item, ...]


Value = str | int | float | bool | None | list[Any] | Block
"""Of a list, the elements are values too."""


def read(text: str) -> Block:
    """The top level of a document. Raises ``PolicyError``."""
    if len(text) > MAX_SIZE:
        raise PolicyError(f"the document is larger than {MAX_SIZE} characters")
    return _read_json(text) if text.lstrip().startswith("{") else _Reader(text).document()


_TOKEN: Final = re.compile(
    r"""
    (?P<blank>   [ \t\r\n]+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )
  | (?P<heredoc> <<-?[^\W\d][\w.-]*\r?\n )
  | (?P<string>  "[^"\\\n]*(?:\\[^\n][^"\\\n]*)*" )
  | (?P<number>  -?(?:0[xX][0-9a-fA-F]{1,15}|(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)(?![\w.]) )
  | (?P<name>    [^\W\d][\w.-]* )
  | (?P<mark>    [{}\[\]=,] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:([abfnrtv\\\"])|([0-7]{3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))")
_SIMPLE_ESCAPES: Final = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))
_LITERALS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """``mark``, ``name``, ``string``, ``number``, or ``end``."""
    text: str
    """As written; of a string or heredoc, its value."""
    start: int

    def __str__(self) -> str:
        return {"string": "a string", "end": "the end"}.get(self.kind) or repr(self.text)


class _Reader:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix("\ufeff")
        self._tokens = self._scan()
        self._next = next(self._tokens)
        self._values = 0
        # Positions are asked for in rising order of their offsets, so that lines are counted once.
        self._line, self._line_start, self._counted = 1, 0, 0

    def document(self) -> Block:
        block = Block(tuple(self._items(0)))
        if self._next.kind != "end":
            raise self._error(f"unexpected {self._next}")
        return block

    def _items(self, depth: int) -> Iterator[Item]:
        while self._next.kind in ("name", "string"):
            at = self._position(self._next.start)
            keys = []
            while self._next.kind in ("name", "string"):
                keys.append(self._take().text)
            if not self._at("{"):
                if len(keys) > 1:
                    raise self._error(f"expected {{ after several keys, found {self._next}")
                if not self._skip("="):
                    raise self._error(f"expected = or {{ after {keys[0]!r}, found {self._next}")
            yield Item(tuple(keys), self._value(depth + 1), at)
            self._skip(",")

    def _value(self, depth: int) -> Value:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels")
        token = self._take()
        match token.kind, token.text:
            case "string", text:
                return text
            case "number", text:
                return _number(text)
            case "name", ("true" | "false") as text:
                return _LITERALS[text]
            case "mark", "{":
                block = Block(tuple(self._items(depth)))
                self._close("}")
                return block
            case "mark", "[":
                return self._list(depth)
        raise self._error(f"expected a value, found {token}", token.start)

    def _list(self, depth: int) -> list[Value]:
        elements: list[Value] = []
        while not self._at("]"):
            elements.append(self._value(depth + 1))
            if not self._skip(","):
                break
        self._close("]")
        return elements

    def _close(self, mark: str) -> None:
        if not self._skip(mark):
            raise self._error(f"expected {mark}, found {self._next}")

    def _at(self, mark: str) -> bool:
        return self._next.kind == "mark" and self._next.text == mark

    def _skip(self, mark: str) -> bool:
        found = self._at(mark)
        if found:
            self._take()
        return found

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _scan(self) -> Iterator[_Token]:
        offset = 0
        while match := _TOKEN.match(self._text, offset):
            start, offset = offset, match.end()
            kind, text = str(match.lastgroup), match[0]
            if kind == "heredoc":
                text, offset = self._heredoc(match)
                kind = "string"
            elif kind == "string":
                text = self._unquote(text, start)
            if kind != "blank":
                yield _Token(kind, text, start)
        if offset < len(self._text):
            raise self._error(_stray(self._text, offset), offset)
        yield _Token("end", "", offset)

    def _heredoc(self, match: re.Match[str]) -> tuple[str, int]:
        """The text up to the line with the marker, and where the rest begins.

        ``<<-`` takes the indentation of the closing line from every line, if all have it.
        """
        marker = match[0].strip("<\r\n").removeprefix("-")
        lines: list[str] = []
        start = match.end()
        while start < len(self._text):
            end = self._text.find("\n", start)
            end = len(self._text) if end < 0 else end
            line = self._text[start:end]
            if line.strip() == marker:
                indent = line[: len(line) - len(line.lstrip())]
                if match[0].startswith("<<-") and all(line.startswith(indent) for line in lines):
                    lines = [line[len(indent) :] for line in lines]
                return "".join(f"{line}\n" for line in lines), end
            lines.append(line)
            start = end + 1
        raise self._error("heredoc not terminated", match.start())

    def _unquote(self, quoted: str, start: int) -> str:
        def character(match: re.Match[str]) -> str:
            simple, octal, byte, short, long, _ = match.groups()
            if simple:
                return _SIMPLE_ESCAPES[simple]
            narrow, wide = octal or byte, short or long
            code = int(narrow or wide or "110000", 8 if octal else 16)
            if code > (0x7F if narrow else 0x10FFFF) or 0xD800 <= code < 0xE000:
                raise self._error(f"invalid escape {match[0]}", start + 1 + match.start())
            return chr(code)

        return _ESCAPE.sub(character, quoted[1:-1]) if "\\" in quoted else quoted[1:-1]

    def _position(self, offset: int) -> Position:
        lines = self._text.count("\n", self._counted, offset)
        if lines:
            self._line += lines
            self._line_start = self._text.rfind("\n", self._counted, offset) + 1
        self._counted = offset
        return Position(self._line, offset - self._line_start + 1)

    def _error(self, reason: str, offset: int | None = None) -> PolicyError:
        offset = self._next.start if offset is None else offset
        line = self._text.count("\n", 0, offset) + 1
        return PolicyError(f"at {Position(line, offset - self._text.rfind(chr(10), 0, offset))}: {reason}")


def _number(text: str) -> int | float:
    if "x" in text or "X" in text:
        return int(text, 16)
    return float(text) if any(mark in text for mark in ".eE") else int(text)


def _stray(text: str, offset: int) -> str:
    if text.startswith("/*", offset):
        return "comment not terminated"
    if text[offset] == '"':
        return "string not terminated"
    return f"unexpected character {text[offset]!r}"


def _read_json(text: str) -> Block:
    try:
        parsed = _JSON.decode(text)
    except RecursionError:
        raise PolicyError(f"more than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise PolicyError(f"at {error.lineno}:{error.colno}: {error.msg}") from None
    except ValueError as error:
        raise PolicyError(str(error)) from None
    _check_limits(parsed)
    return parsed  # type: ignore[no-any-return]  # it begins with a brace


def _refuse_constant(name: str) -> NoReturn:
    raise PolicyError(f"{name} is not JSON")


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=lambda pairs: Block(tuple(Item((key,), value, None) for key, value in pairs)),
    parse_constant=_refuse_constant,
)


def _check_limits(root: Value) -> None:
    values, pending = 0, [(root, 0)]
    while pending:
        value, depth = pending.pop()
        values += 1
        inner = [item.value for item in value.items] if isinstance(value, Block) else value
        if isinstance(inner, list):
            pending += [(one, depth + 1) for one in inner]
        if values > MAX_VALUES or depth > MAX_DEPTH:
            raise PolicyError(f"more than {MAX_VALUES} values, or more than {MAX_DEPTH} levels")
