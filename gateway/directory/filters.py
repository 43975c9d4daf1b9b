"""RFC 4515 filter text, compiled once to BER (RFC 4511 section 4.5.1.7). Pure.

A template may hold ``%s`` or ``{0}`` anywhere inside an assertion value. The value of a login is put into the encoded
filter as octets, so nothing in it can change the filter: there is nothing to escape.

Accepted beyond the grammar, because directories and their other clients do: blanks and line breaks between the parts, a
filter without its outer parentheses (``uid=%s``), ``(!uid=x)``, ``_`` in attribute names, and ``**``, read as ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.directory.ber import boolean, octets, tlv
from gateway.directory.escape import escape_filter_value

MAX_DEPTH: Final = 64
MAX_CHARACTERS: Final = 16384

_AND, _OR, _NOT, _EQUAL, _SUBSTRINGS = 0xA0, 0xA1, 0xA2, 0xA3, 0xA4
_PRESENT, _EXTENSIBLE = 0x87, 0xA9
_ORDERING: Final = {"=": _EQUAL, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _MATCH_VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84

_PLACEHOLDER: Final = re.compile(r"%s|\{0\}")
_BLANKS: Final = re.compile(r"[ \t\r\n]*+")
_ESCAPED: Final = re.compile(rb"\\([0-9A-Fa-f]{2})")
_BAD_ESCAPE: Final = re.compile(r"\\(?![0-9A-Fa-f]{2})")
_DESCRIPTION: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*+(?:;[A-Za-z0-9._-]++)*+"
_ITEM: Final = re.compile(
    rf"(?P<type>{_DESCRIPTION})?+[ ]*+"
    r"(?:(?P<dn>:[dD][nN](?=:))?+(?::(?P<rule>[A-Za-z0-9][A-Za-z0-9._-]*+))?+(?P<extensible>:=)|(?P<operator>[<>~]?=))"
)


class FilterError(ValueError):
    """Text that is no usable filter: ``reason``, and the ``position`` (offset into the text) where it shows."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} at position {position}")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class _Value:
    """An element whose content is the value between constant pieces."""

    tag: int
    pieces: tuple[bytes, ...]

    def encode(self, value: bytes) -> bytes:
        return tlv(self.tag, value.join(self.pieces))


@dataclass(frozen=True, slots=True)
class _Constructed:
    """An element that holds a ``_Value`` somewhere below."""

    tag: int
    parts: tuple[_Part, ...]

    def encode(self, value: bytes) -> bytes:
        return tlv(self.tag, b"".join([part if isinstance(part, bytes) else part.encode(value) for part in self.parts]))


_Part = bytes | _Value | _Constructed


def _construct(tag: int, parts: Sequence[_Part]) -> _Part:
    """The element around ``parts``; neighbouring constants are joined, and constants alone make a constant."""
    joined: list[_Part] = []
    for part in parts:
        if joined and isinstance(part, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += part
        else:
            joined.append(part)
    if all(isinstance(part, bytes) for part in joined):
        return tlv(tag, b"".join(part for part in joined if isinstance(part, bytes)))
    return _Constructed(tag, tuple(joined))


def _primitive(tag: int, pieces: tuple[bytes, ...]) -> _Part:
    return tlv(tag, pieces[0]) if len(pieces) == 1 else _Value(tag, pieces)


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter. Immutable; one object serves all requests."""

    template: str
    takes_value: bool
    """Whether the template has a placeholder."""
    _root: _Part

    def encode(self, value: str = "") -> bytes:
        """The BER of the filter with ``value`` at every placeholder, as UTF-8 octets of an assertion value."""
        root = self._root
        return root if isinstance(root, bytes) else root.encode(value.encode())

    def text(self, value: str = "") -> str:
        """RFC 4515 text of what ``encode(value)`` sends, for logs and explain."""
        return escape_filter_value(value).join(_PLACEHOLDER.split(self.template))


def compile_filter(template: str) -> Filter:
    """Compile ``template``. Raises ``FilterError`` for text no directory could be sent, naming position and reason."""
    if len(template) > MAX_CHARACTERS:
        raise FilterError(f"longer than {MAX_CHARACTERS} characters", MAX_CHARACTERS)
    if "\0" in template:
        raise FilterError("a NUL character (write \\00)", template.index("\0"))
    parser = _Parser(template.rstrip(" \t\r\n"))
    bare = parser.skip_blanks() != "("
    shown = parser.text[parser.position :]
    root = parser.body(0) if bare else parser.filter(0)
    if parser.skip_blanks():
        raise FilterError("something follows the filter", parser.position)
    return Filter(f"({shown})" if bare else shown, _PLACEHOLDER.search(template) is not None, root)


class _Parser:
    """A recursive descent over the text, at most ``MAX_DEPTH`` deep."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip_blanks(self) -> str:
        """The next character that is no blank, ``""`` at the end."""
        match = _BLANKS.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def filter(self, depth: int) -> _Part:
        if self.skip_blanks() != "(":
            raise FilterError("an opening parenthesis is missing", self.position)
        if depth > MAX_DEPTH:
            raise FilterError(f"nested deeper than {MAX_DEPTH}", self.position)
        self.position += 1
        part = self.body(depth)
        if self.skip_blanks() != ")":
            raise FilterError("a closing parenthesis is missing", self.position)
        self.position += 1
        return part

    def body(self, depth: int) -> _Part:
        """What stands between one pair of parentheses."""
        kind = self.skip_blanks()
        if kind not in ("&", "|", "!"):
            return self.item()
        self.position += 1
        if kind == "!":
            inner = self.filter(depth + 1) if self.skip_blanks() == "(" else self.item()
            return _construct(_NOT, [inner])
        parts = []
        while self.skip_blanks() == "(":
            parts.append(self.filter(depth + 1))
        return _construct(_AND if kind == "&" else _OR, parts)

    def item(self) -> _Part:
        start = self.position
        match = _ITEM.match(self.text, start)
        if match is None:
            raise FilterError(self._why_no_item(start), start)
        end = self.text.find(")", match.end())
        self.position = len(self.text) if end < 0 else end
        value = self.text[match.end() : self.position]
        if "(" in value:
            raise FilterError("an opening parenthesis in a value (write \\28)", match.end() + value.index("("))
        if match["extensible"]:
            return self._extensible(match, value)
        if match["type"] is None:
            raise FilterError("no attribute before the comparison", start)
        if match["operator"] == "=" and "*" in value:
            return self._substrings(match["type"], value, match.end())
        assertion = _primitive(0x04, self._pieces(value, match.end()))
        return _construct(_ORDERING[match["operator"]], [octets(match["type"]), assertion])

    def _why_no_item(self, start: int) -> str:
        head = re.split(r"[=()]", self.text[start:], maxsplit=1)[0]
        if _PLACEHOLDER.search(head):
            return "a placeholder outside of a value"
        return "no attribute with a comparison (such as uid=...)" if head else "nothing to compare"

    def _extensible(self, match: re.Match[str], value: str) -> _Part:
        if match["type"] is None and match["rule"] is None:
            raise FilterError("an extensible match needs an attribute or a matching rule", match.start())
        parts: list[_Part] = []
        if match["rule"]:
            parts.append(octets(match["rule"], _RULE))
        if match["type"]:
            parts.append(octets(match["type"], _TYPE))
        parts.append(_primitive(_MATCH_VALUE, self._pieces(value, match.end())))
        if match["dn"]:
            parts.append(boolean(True, _DN_ATTRIBUTES))
        return _construct(_EXTENSIBLE, parts)

    def _substrings(self, attribute: str, value: str, offset: int) -> _Part:
        chunks = value.split("*")
        parts: list[_Part] = []
        for index, chunk in enumerate(chunks):
            if chunk:
                tag = _INITIAL if index == 0 else _FINAL if index == len(chunks) - 1 else _ANY
                parts.append(_primitive(tag, self._pieces(chunk, offset)))
            offset += len(chunk) + 1
        if not parts:
            return octets(attribute, _PRESENT)
        return _construct(_SUBSTRINGS, [octets(attribute), _construct(0x30, parts)])

    def _pieces(self, text: str, offset: int) -> tuple[bytes, ...]:
        """The constant octets before, between and behind the placeholders of one value."""
        if (star := text.find("*")) >= 0:
            raise FilterError("an asterisk in a value (write \\2a)", offset + star)
        if bad := _BAD_ESCAPE.search(text):
            raise FilterError("a backslash without two hexadecimal digits (write \\5c)", offset + bad.start())
        return tuple(
            _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), piece.encode())
            for piece in _PLACEHOLDER.split(text)
        )
