"""Text forms of names and assertion values: RFC 4514 (distinguished names) and RFC 4515 (filters). Pure.

A DN is parsed the way directories read one: besides RFC 4514 the separator ``;``, blanks around ``=`` and separators,
and the prefix ``OID.`` of RFC 2253 are accepted; a quoted value is not.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.identity import fold_name

MAX_DN: Final = 8192
"""Characters of a distinguished name, and octets of one that a directory answers. Servers keep to less."""
MAX_PAIRS: Final = 64
"""``type=value`` pairs of a distinguished name."""

Rdn = list[tuple[str, str]]
"""One relative distinguished name: its (type, value) pairs, values unescaped."""

_FILTER_UNSAFE: Final = re.compile(r"[\0()*\\]|[^\0-\x7f]")
_DN_SPECIAL: Final = re.compile(r'["#+,;<>\\]|[\0-\x1f\x7f]')
_DN_UNSAFE: Final = re.compile(r'["#+,;<>\\]|[^ -~]')
_ESCAPE: Final = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)")
# Possessive quantifiers: a value that does not fit is refused in linear time.
_PAIR: Final = re.compile(
    r"""\ *+ (?:oid\.)?+ (?P<type> [a-z][a-z0-9_-]*+ | [0-9]++(?:\.[0-9]++)*+ ) \ *+ = \ *+
        (?P<value> (?: [^"+,;<>\\\0]++ | \\[0-9a-f]{2} | \\[ "#+,;<=>\\] )*+ )
        (?P<end> [+,;] | \Z )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


class DnError(ValueError):
    """Text that is not a distinguished name, or not usable as one. The text names the position."""


def _hexadecimal(match: re.Match[str]) -> str:
    return "".join(f"\\{octet:02x}" for octet in match[0].encode())


def escape_filter_value(text: str) -> str:
    """``text`` as an RFC 4515 assertion value: NUL ``( ) * \\`` and all but ASCII as ``\\hh`` per UTF-8 octet."""
    return _FILTER_UNSAFE.sub(_hexadecimal, text)


def _escape_special(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if match[0] in '"#+,;<>\\' else _hexadecimal(match)


def _escape_ends(text: str) -> str:
    if text.endswith(" "):
        text = text[:-1] + "\\ "
    return f"\\{text}" if text.startswith(" ") else text


def escape_dn_value(text: str, *, equals: bool = False) -> str:
    """``text`` as an RFC 4514 attribute value; ``#`` at any position (Active Directory), all but ASCII as ``\\hh``.

    Existing backslashes are data, never taken as an escape. ``" a"`` gives ``"\\ a"``, ``"Ž"`` gives ``"\\c5\\bd"``.
    ``equals`` writes ``=`` as ``\\=``, as Active Directory asks for and RFC 4514 allows.
    """
    escaped = _escape_ends(_DN_UNSAFE.sub(_escape_special, text))
    return escaped.replace("=", "\\=") if equals else escaped


def _unescape_piece(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1].replace("\\", "")).decode() if match[1] else match[2]


def _unescape(raw: str) -> str:
    if raw.startswith("#"):
        return _ber_string(raw[1:].rstrip(" "))
    text = raw.rstrip(" ")
    if len(text) < len(raw) and (len(text) - len(text.rstrip("\\"))) % 2:
        text += " "
    return _ESCAPE.sub(_unescape_piece, text) if "\\" in text else text


def _ber_string(digits: str) -> str:
    """The text inside a ``#``-value: hexadecimal digits of one BER string of less than 128 octets."""
    data = bytes.fromhex(digits)
    if len(data) < 2 or data[1] != len(data) - 2 or data[1] > 0x7F:
        raise ValueError("not one BER string")
    return data[2:].decode()


def parse_dn(dn: str) -> list[Rdn]:
    """The RDNs of ``dn``, left to right; types as written, values unescaped. ``""`` is the root, an empty list.

    Raises ``DnError`` with the position of the first part that is no ``type=value``, and beyond ``MAX_DN`` and
    ``MAX_PAIRS``: it is read where nobody may be kept waiting.
    """
    rdns: list[Rdn] = []
    if len(dn) > MAX_DN:
        raise DnError(f"not a distinguished name: longer than {MAX_DN} characters")
    position, separator, pairs = 0, ",", 0
    if not dn.strip(" "):
        return rdns
    while separator:
        if (pairs := pairs + 1) > MAX_PAIRS:
            raise DnError(f"not a distinguished name: more than {MAX_PAIRS} parts")
        match = _PAIR.match(dn, position)
        if match is None:
            raise DnError(f"not a distinguished name: no usable type=value at position {position}")
        try:
            pair = (match["type"], _unescape(match["value"]))
        except ValueError:
            raise DnError(f"not a distinguished name: a bad value at position {match.start('value')}") from None
        if separator == "+":
            rdns[-1].append(pair)
        else:
            rdns.append([pair])
        separator, position = match["end"], match.end()
    return rdns


def normalise_dn(dn: str) -> str:
    """One spelling for all that name the same entry: types lower-cased, values folded (RFC 4518) and re-escaped,
    pairs of a multi-valued RDN sorted, separators ``,`` and ``+`` without blanks. Raises ``DnError``.
    """
    return ",".join("+".join(sorted(_normalise_pair(*pair) for pair in rdn)) for rdn in parse_dn(dn))


def comparable_dn(dn: str) -> str:
    """The normalised DN, or the text itself where it is none: for comparing what a directory answered."""
    try:
        return normalise_dn(dn)
    except DnError:
        return dn


def _normalise_pair(kind: str, value: str) -> str:
    return f"{kind.lower()}={_DN_SPECIAL.sub(_escape_special, fold_name(value))}"
