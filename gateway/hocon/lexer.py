"""The words of HOCON as regular expressions, all possessive: none goes back into what it took, so time is linear."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .values import Source

Matcher = Callable[[str, int], re.Match[str] | None]

_WHITE = r"[ \t\r\v\f\x1c-\x1f\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
"""White space but newlines: Zs, Zl, Zp, the byte order mark and eight control characters (HOCON, Whitespace)."""
_ANY_WHITE = _WHITE.replace(r"[ ", r"[ \n")
_BLANK = rf"(?:{_ANY_WHITE}++|(?:\#|//)[^\n]*+)*+"
_RESERVED = r"$\"{}\[\]:=,+\#`^?!@*&\\" + _WHITE[1:-1] + r"\n"
_INTEGER = r"-?+(?:0|[1-9][0-9]*+)"
_PLUS = rf"{_INTEGER}(?:\.[0-9]++)?+[eE]\+[0-9]++"
_FLOAT = rf"{_INTEGER}(?:\.[0-9]++)?+(?:[eE][+\-]?+[0-9]++)?+"
_WORD = rf"(?:{_PLUS}(?:[^/{_RESERVED}]|/(?!/))*+|(?:[^/{_RESERVED}]++|/(?!/))++)"
_QUOTED = r'"([^"\\\x00-\x1f]*+)"'
_NAME = r"[^\W\d][\w\-]*+"
_SUBSTITUTION = rf"\$\{{\??+{_NAME}(?:\.{_NAME})*+\}}"


def _end(bracket: str) -> str:
    """What may follow a value: one comma, a newline, the end, or the closing bracket (which stays)."""
    return rf"{_WHITE}*+(?:,|(?={bracket})|(?:(?:\#|//)[^\n]*+)?+(?:\Z|\n{_BLANK},?+))"


def _simple(bracket: str) -> str:
    """Groups: plain quoted string, integer, float, word, substitution; or an opening bracket, which has no end here."""
    scalar = rf"{_QUOTED}|({_INTEGER})|({_FLOAT})|([A-Za-z_](?:[\w.\-]|/(?!/))*+)|({_SUBSTITUTION})"
    return rf"(?:(?:{scalar}){_end(bracket)}|([{{\[]))"


_KEY = rf"(?:(?!include[^\w\-])({_NAME})|{_QUOTED})"
FIELD: Final = re.compile(
    rf"{_BLANK}{_KEY}{_BLANK}(?:[=:]{_BLANK}{_simple('[}]')}|([{{]))", re.ASCII
).match
"""A field as nearly all are: name, quoted name, then the groups of a simple value, then a brace without separator."""
ITEM: Final = re.compile(_BLANK + _simple(r"\]"), re.ASCII).match
"""A simple item of a list."""
STRING, INTEGER, FLOAT, WORD, SUBSTITUTION, OPENER = range(3, 9)
"""Groups of ``FIELD``; those of ``ITEM`` are two less."""
BRACE: Final = 9

END_OF_FIELD: Final = re.compile(_end(r"[}]")).match
END_OF_ITEM: Final = re.compile(_end(r"\]")).match
blank: Final = re.compile(_BLANK).match
"""White space, newlines and comments; always matches."""
white: Final = re.compile(_WHITE + "*+").match
"""White space within a line; always matches."""
number: Final = re.compile(_FLOAT).fullmatch
unquoted: Final = re.compile(rf"{_WORD}(?:{_WHITE}++{_WORD})*+").match
"""Unquoted strings, numbers, booleans or nulls, and the white space between. Only an exponent may hold a ``+``."""
substitution: Final = re.compile(rf"\$\{{(\?)?+({_NAME}(?:\.{_NAME})*+)\}}", re.ASCII).match
"""A substitution of names only."""
element: Final = re.compile(rf"(?:[^/.{_RESERVED}]++|/(?!/))++").match
"""Part of an element of a path."""
_SEPARATOR = rf"{_BLANK}(\+=|[=:]|(?=\{{)){_BLANK}"
separator: Final = re.compile(_SEPARATOR).match
"""What is between a key and its value; nothing is enough before a brace."""
path: Final = re.compile(rf"(?!include[^\w\-])({_NAME}(?:\.[\w\-]++)*+){_SEPARATOR}", re.ASCII).match
"""A path of names only, and the separator after it."""
include: Final = re.compile(rf"include(?:(?={_ANY_WHITE}|[\"{{\[\]}}:=,+\#`^?!@*&\\$]|\Z)){_BLANK}").match
include_call: Final = re.compile(rf"([a-z]++)\({_BLANK}").match
"""``file(`` and such."""

_quoted = re.compile(r'"((?:[^"\\\x00-\x1f]|\\.)*+)"').match
_escape = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))")
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
LONGEST_NUMBER: Final = 1000
"""Digits; a longer one stays text: Python needs quadratic time for it, and refuses it above 4300."""


def quoted(source: Source, offset: int) -> tuple[str, int]:
    """The text of a string that begins with a quotation mark, and where it ends.

    :raises HoconError: where it does not end, or holds what JSON does not allow in strings.
    """
    text = source.text
    if text.startswith('"""', offset):
        end = text.find('"""', offset + 3)
        if end < 0:
            raise source.error("the string in triple quotes does not end", offset)
        while text.startswith('"', end + 3):
            end += 1
        return text[offset + 3 : end], end + 3
    match = _quoted(text, offset)
    if match is None:
        raise source.error("the quoted string does not end on its line, or holds a control character", offset)
    content = match[1]
    if "\\" in content:
        content = _unescaped(source, content, offset + 1)
    return content, match.end()


def _unescaped(source: Source, content: str, offset: int) -> str:
    """RFC 8259 7: the escapes of JSON, and no half of a surrogate pair."""

    def replace(match: re.Match[str]) -> str:
        high, low, code, letter = match.groups()
        if high:
            return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
        found = chr(int(code, 16)) if code else _ESCAPES.get(letter)
        if found is None or "\ud800" <= found <= "\udfff":
            raise source.error("not an escape that JSON has: write \\\\ for one backslash", offset + match.start())
        return found

    return _escape.sub(replace, content)


def scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted text stands for: a number of JSON, true, false, null, or else itself.

    Numbers with leading zeros, beyond the range of a float or of more than 1000 digits are texts: ``007`` and a
    commit's ``12e4567`` would lose what they are.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text and text[0] in "-0123456789" and number(text):
        return numeric(text)
    return text


def simple(kind: int, written: str) -> str | int | float | bool | None:
    """What ``scalar`` says, for a text whose group of ``FIELD`` is known."""
    if kind == WORD:
        return _CONSTANTS.get(written, written)
    return int(written) if kind == INTEGER and len(written) <= LONGEST_NUMBER else numeric(written)


def numeric(text: str) -> str | int | float:
    """The number of a text that is one in JSON, or the text itself where it is too great."""
    if len(text) > LONGEST_NUMBER:
        return text
    if text.lstrip("-").isdigit():
        return int(text)
    result = float(text)
    return text if result in (float("inf"), float("-inf")) else result
