"""RFC 4515 filter text, compiled once to BER (RFC 4511 section 4.5.1.7). Pure.

A template may hold ``%s`` or ``{0}``, and Go's ``{{.Username}}`` or ``{{.UserDN}}``, anywhere inside an assertion
value. The values of a login are put into the encoded filter as octets, so nothing in them can change the filter: there
is nothing to escape. ``{{.UserAttr}}``, the name of an attribute from the configuration, may stand anywhere. Of Go's
templates this is all that is in practical use (vault.md 3), with its blanks and trim markers (``{{- .Username -}}``).

Accepted beyond the grammar, because directories and their other clients do: blanks and line breaks between the parts, a
filter without its outer parentheses (``uid=%s``), ``(!uid=x)``, ``_`` in attribute names, and ``**``, read as ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.directory.ber import boolean, octets, tlv
from gateway.directory.escape import escape_filter_value

VALUE: Final = "%s"
"""The name of what ``%s`` and ``{0}`` stand for."""
USERNAME: Final = "Username"
USER_DN: Final = "UserDN"
USER_ATTR: Final = "UserAttr"

Filling = str | Mapping[str, str]
"""One text for all placeholders, or a text for each of the names ``VALUE``, ``USERNAME`` and ``USER_DN`` in use."""

MAX_DEPTH: Final = 64
MAX_CHARACTERS: Final = 16384

_AND, _OR, _NOT, _EQUAL, _SUBSTRINGS = 0xA0, 0xA1, 0xA2, 0xA3, 0xA4
_PRESENT, _EXTENSIBLE = 0x87, 0xA9
_ORDERING: Final = {"=": _EQUAL, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _MATCH_VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84

# The one group is the name of a Go variable. A trim marker takes the white space on its side with it.
_PLACEHOLDER: Final = re.compile(
    r"%s|\{0\}|(?:(?<![ \t\r\n])[ \t\r\n]*+\{\{-[ \t\r\n]++|\{\{[ \t\r\n]*+)\.([A-Za-z]\w*+)"
    r"(?:[ \t\r\n]++-\}\}[ \t\r\n]*+|[ \t\r\n]*+\}\})",
    re.ASCII,
)
_BLANKS: Final = re.compile(r"[ \t\r\n]*+")
_ESCAPED: Final = re.compile(rb"\\([0-9A-Fa-f]{2})")
_BAD_ESCAPE: Final = re.compile(r"\\(?![0-9A-Fa-f]{2})")
_UNSAFE: Final = re.compile(rb"[^ -'+-\[\]-~]")
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
    """An element whose content is constant pieces with the values of ``names`` between them."""

    tag: int
    pieces: tuple[bytes, ...]
    names: tuple[str, ...]

    def encode(self, filling: _Octets) -> bytes:
        if isinstance(filling, bytes):
            return tlv(self.tag, filling.join(self.pieces))
        filled = [filling[name] + piece for name, piece in zip(self.names, self.pieces[1:], strict=True)]
        return tlv(self.tag, b"".join((self.pieces[0], *filled)))


@dataclass(frozen=True, slots=True)
class _Constructed:
    """An element that holds a ``_Value`` somewhere below."""

    tag: int
    parts: tuple[_Part, ...]

    def encode(self, filling: _Octets) -> bytes:
        parts = [part if isinstance(part, bytes) else part.encode(filling) for part in self.parts]
        return tlv(self.tag, b"".join(parts))


_Part = bytes | _Value | _Constructed
_Octets = bytes | Mapping[str, bytes]


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


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter. Immutable; one object serves all requests."""

    template: str
    variables: frozenset[str]
    """Names of its placeholders."""
    _root: _Part

    def encode(self, filling: Filling = "") -> bytes:
        """The BER of the filter with its placeholders filled, as UTF-8 octets of assertion values.

        Raises ``UnicodeEncodeError`` (a ``ValueError``) for a lone surrogate, ``KeyError`` for a variable left out.
        """
        root = self._root
        if isinstance(root, bytes):
            return root
        if isinstance(filling, str):
            return root.encode(filling.encode())
        return root.encode({name: text.encode() for name, text in filling.items()})

    def text(self, filling: Filling = "") -> str:
        """RFC 4515 text of what ``encode(filling)`` sends, for logs and explain."""

        def fill(match: re.Match[str]) -> str:
            return escape_filter_value(filling if isinstance(filling, str) else filling[match[1] or VALUE])

        # What ``any_of`` shows may hold a ``%s`` that is part of a value.
        return _PLACEHOLDER.sub(fill, self.template) if self.variables else self.template


def compile_filter(template: str, variables: Collection[str] = (USERNAME,), user_attr: str = "") -> Filter:
    """Compile ``template``, in which Go's ``variables`` may stand, and ``{{.UserAttr}}`` where ``user_attr`` is given.

    Raises ``FilterError`` for text no directory could be sent, naming position and reason.
    """
    if len(template) > MAX_CHARACTERS:
        raise FilterError(f"longer than {MAX_CHARACTERS} characters", MAX_CHARACTERS)
    if "\0" in template:
        raise FilterError("a NUL character (write \\00)", template.index("\0"))
    check_variables(template, (*variables, *([USER_ATTR] if user_attr else [])))
    expanded = _PLACEHOLDER.sub(lambda match: user_attr if match[1] == USER_ATTR else match[0], template)
    try:
        return _compile(expanded)
    except FilterError as error:
        raise FilterError(error.reason, _place_before(template, error.position, len(user_attr))) from None


def for_any_name(template: str) -> str:
    """The filter text that finds what ``template`` finds for one name or another: ``*`` is in place of the name."""
    return _PLACEHOLDER.sub(lambda match: match[0] if match[1] == USER_ATTR else "*", template)


def check_variables(template: str, known: Collection[str]) -> None:
    """Refuse what Go's templates can do beyond the variables that are known; whether it is a filter does not matter.

    Raises ``FilterError``.
    """
    for match in _PLACEHOLDER.finditer(template):
        if match[1] and match[1] not in known:
            names = " and ".join(f"{{{{.{name}}}}}" for name in known)
            raise FilterError(f"an unknown variable (here there are {names})", match.start())
    rest = _PLACEHOLDER.sub(lambda match: " " * len(match[0]), template)
    if (position := rest.find("{{")) >= 0:
        raise FilterError("a template action other than a variable such as {{.Username}}", position)


def _place_before(template: str, position: int, length: int) -> int:
    """What ``position`` was before each ``{{.UserAttr}}`` became ``length`` characters."""
    for match in _PLACEHOLDER.finditer(template):
        if match[1] == USER_ATTR and match.start() < position:
            position = max(match.start(), position + len(match[0]) - length)
    return position


def _compile(template: str) -> Filter:
    parser = _Parser(template.rstrip(" \t\r\n"))
    bare = parser.skip_blanks() != "("
    shown = parser.text[parser.position :]
    root = parser.body(0) if bare else parser.filter(0)
    if parser.skip_blanks():
        raise FilterError("something follows the filter", parser.position)
    names = frozenset(match[1] or VALUE for match in _PLACEHOLDER.finditer(shown))
    return Filter(f"({shown})" if bare else shown, names, root)


def any_of(attributes: Sequence[str], values: Iterable[bytes]) -> Filter:
    """The filter for entries with one of ``values`` in one of ``attributes``. Without values it finds nothing."""
    pairs = [(attribute, value) for value in values for attribute in attributes]
    shown = "".join(f"({attribute}={_shown(value)})" for attribute, value in pairs)
    parts = [tlv(_EQUAL, octets(attribute) + tlv(0x04, value)) for attribute, value in pairs]
    return Filter(f"(|{shown})", frozenset(), _construct(_OR, parts))


def _shown(value: bytes) -> str:
    return _UNSAFE.sub(lambda match: b"\\%02x" % match[0][0], value).decode("ascii")


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
        assertion = self._assertion(0x04, value, match.end())
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
        parts.append(self._assertion(_MATCH_VALUE, value, match.end()))
        if match["dn"]:
            parts.append(boolean(True, _DN_ATTRIBUTES))
        return _construct(_EXTENSIBLE, parts)

    def _substrings(self, attribute: str, value: str, offset: int) -> _Part:
        chunks = value.split("*")
        parts: list[_Part] = []
        for index, chunk in enumerate(chunks):
            if chunk:
                tag = _INITIAL if index == 0 else _FINAL if index == len(chunks) - 1 else _ANY
                parts.append(self._assertion(tag, chunk, offset))
            offset += len(chunk) + 1
        if not parts:
            return octets(attribute, _PRESENT)
        return _construct(_SUBSTRINGS, [octets(attribute), _construct(0x30, parts)])

    def _assertion(self, tag: int, text: str, offset: int) -> _Part:
        """The element for one value, or part of one: its constant octets, and the placeholders between them."""
        if (star := text.find("*")) >= 0:
            raise FilterError("an asterisk in a value (write \\2a)", offset + star)
        if bad := _BAD_ESCAPE.search(text):
            raise FilterError("a backslash without two hexadecimal digits (write \\5c)", offset + bad.start())
        split = _PLACEHOLDER.split(text)  # every other item is the name of a variable, None for %s
        pieces = tuple(
            _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), piece.encode()) for piece in split[::2]
        )
        names = tuple(name or VALUE for name in split[1::2])
        return _Value(tag, pieces, names) if names else tlv(tag, pieces[0])
