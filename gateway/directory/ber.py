"""BER primitives for LDAP: the subset RFC 4511 section 5.1 allows (definite lengths, low tag numbers).

Everything read here is hostile until proven otherwise: each function checks against the end of its enclosing element
before it looks at a byte, and raises ``ProtocolError`` with a text that never contains the bytes themselves.
Positions are offsets into ``data``; a range is ``start`` inclusive, ``stop`` exclusive.
"""

from __future__ import annotations

from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

MAX_INTEGER: Final = 2**31 - 1
"""``maxInt`` of RFC 4511 section 4.1.1."""

MAX_LENGTH_OCTETS: Final = 4
"""Octets after the first of a length field. Active Directory always sends four."""


class DirectoryError(Exception):
    """The directory did not give a usable answer. The text is meant for the operator and holds no secret."""


class ProtocolError(DirectoryError):
    """The peer sent bytes that are not LDAP, or more of them than the limits allow."""


def tlv(tag: int, content: bytes) -> bytes:
    """One element: tag, the shortest definite length, content."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A non-negative INTEGER or ENUMERATED in two's complement, in as few octets as possible."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    """A BOOLEAN; true is 0xFF (RFC 4511 section 5.1)."""
    return tlv(tag, b"\xff" if value else b"\x00")


def octets(text: str, tag: int = OCTET_STRING) -> bytes:
    """An OCTET STRING of UTF-8 text. Raises ``UnicodeEncodeError`` (a ``ValueError``) for a lone surrogate."""
    return tlv(tag, text.encode())


def read_header(data: bytes, start: int, stop: int) -> tuple[int, int, int]:
    """The element at ``start``: its tag and the range of its content, which lies within ``stop``."""
    if stop - start < 2:
        raise ProtocolError("an element is cut short")
    tag = data[start]
    length = data[start + 1]
    begin = start + 2
    if length >= 0x80:
        length, begin = _long_length(data, length & 0x7F, begin, stop)
    end = begin + length
    if end > stop:
        raise ProtocolError("an element reaches beyond the one around it")
    return tag, begin, end


def _long_length(data: bytes, count: int, start: int, stop: int) -> tuple[int, int]:
    if not 1 <= count <= MAX_LENGTH_OCTETS:
        raise ProtocolError("an indefinite length" if count == 0 else f"a length field of {count} octets")
    begin = start + count
    if begin > stop:
        raise ProtocolError("a length field is cut short")
    return int.from_bytes(data[start:begin], "big"), begin


def expect(data: bytes, start: int, stop: int, tag: int) -> tuple[int, int]:
    """The content range of the element at ``start``, which must carry ``tag``."""
    begin = start + 2
    # The common case, here for speed; whatever is unusual goes the long way, which also finds the words for it.
    if begin <= stop and data[start] == tag and (length := data[start + 1]) < 0x80 and begin + length <= stop:
        return begin, begin + length
    found, begin, end = read_header(data, start, stop)
    if found != tag:
        raise ProtocolError(f"an element with tag 0x{found:02x} where 0x{tag:02x} belongs")
    return begin, end


def read_integer(data: bytes, start: int, stop: int, tag: int = INTEGER) -> tuple[int, int]:
    """The non-negative integer at ``start`` and the offset behind it. At most ``MAX_INTEGER``, in up to four octets."""
    begin, end = expect(data, start, stop, tag)
    if not 1 <= end - begin <= 4 or data[begin] & 0x80:
        raise ProtocolError("an integer out of range")
    return int.from_bytes(data[begin:end], "big"), end


def frame(data: bytes, start: int, stop: int, limit: int) -> tuple[int, int]:
    """The content range of the LDAPMessage that begins at ``start``; ``(0, 0)`` while its header is incomplete.

    The message need not be there yet: the range may reach beyond ``stop``. Raises ``ProtocolError`` as soon as the
    header shows that it is no message or would exceed ``limit`` octets, so that no more of it is read than necessary.
    """
    if stop > start and data[start] != SEQUENCE:
        raise ProtocolError("this is not LDAP: a message does not begin with a sequence")
    if stop - start < 2:
        return 0, 0
    length = data[start + 1]
    begin = start + 2
    if length >= 0x80:
        count = length & 0x7F
        if count <= MAX_LENGTH_OCTETS and begin + count > stop:
            return 0, 0
        length, begin = _long_length(data, count, begin, stop)
    end = begin + length
    if end - start > limit:
        raise ProtocolError(f"a message of {end - start} octets is over the limit of {limit}")
    return begin, end
