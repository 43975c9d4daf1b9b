"""LDAP messages (RFC 4511 section 4): encoders for what we send, a decoder for what a directory answers. Pure.

An encoder returns the ``protocolOp``; ``envelope`` puts it into an LDAPMessage. The decoder reads in two steps, so
that an answer nobody waits for any more costs no more than its first few octets: ``open_envelope`` gives message id,
kind and range of the operation, ``decode_operation`` the operation itself. Both raise ``ProtocolError``, nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.directory.ber import (
    ENUMERATED,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    ProtocolError,
    boolean,
    expect,
    integer,
    octets,
    read_header,
    read_integer,
    tlv,
)
from gateway.directory.controls import Control, controls, paged_results
from gateway.directory.escape import MAX_DN
from gateway.directory.filters import Filling, Filter

BIND_RESPONSE: Final = 0x61
SEARCH_ENTRY: Final = 0x64
SEARCH_DONE: Final = 0x65
SEARCH_REFERENCE: Final = 0x73
EXTENDED_RESPONSE: Final = 0x78
INTERMEDIATE_RESPONSE: Final = 0x79

_BIND_REQUEST, _SEARCH_REQUEST, _EXTENDED_REQUEST = 0x60, 0x63, 0x77
_ABANDON_REQUEST, _SIMPLE, _REQUEST_NAME = 0x50, 0x80, 0x80
_CONTROLS, _RESPONSE_NAME, _RESPONSE_VALUE = 0xA0, 0x8A, 0x8B
_RESULTS: Final = frozenset({BIND_RESPONSE, SEARCH_DONE, EXTENDED_RESPONSE})
_WITHOUT_CONTENT: Final = frozenset({SEARCH_REFERENCE, INTERMEDIATE_RESPONSE})

START_TLS: Final = "1.3.6.1.4.1.1466.20037"
WHO_AM_I: Final = "1.3.6.1.4.1.4203.1.11.3"
"""RFC 4532; it is answered with an authorization identity: ``dn:`` and a DN, or ``u:`` and a name."""
NOTICE_OF_DISCONNECTION: Final = "1.3.6.1.4.1.1466.20036"

MAX_ATTRIBUTES: Final = 2000
"""Attributes of one entry."""
MAX_VALUES: Final = 100_000
"""Values of one entry, over all its attributes: what is decoded without a pause."""
MAX_DESCRIPTION: Final = 256
"""Octets of an attribute description."""
MAX_RESULT_FIELDS: Final = 8
"""Fields of a result behind the diagnostic message; RFC 4511 knows four."""
MAX_TEXT: Final = 1000
"""Characters kept of a diagnostic message or a matched DN."""


class Scope(IntEnum):
    """RFC 4511 section 4.5.1.2."""

    BASE = 0
    ONE_LEVEL = 1
    SUBTREE = 2


class Dereference(IntEnum):
    """RFC 4511 section 4.5.1.3; the names are those of ``servers.dereference_aliases``."""

    NEVER = 0
    SEARCHING = 1
    FINDING = 2
    ALWAYS = 3


class Entry(NamedTuple):
    """One entry found. Attribute descriptions are lower-cased and keep their options (``cn;lang-de``)."""

    dn: str
    attributes: Mapping[str, list[bytes]]


class Result(NamedTuple):
    """An LDAPResult (RFC 4511 section 4.1.9). ``message`` is the server's diagnostic text, cut and cleaned."""

    code: int
    matched_dn: str = ""
    message: str = ""
    name: str = ""
    """``responseName`` of an extended response."""
    controls: tuple[Control, ...] = ()
    """Those of the message it came in."""
    value: bytes = b""
    """``responseValue`` of an extended response."""


Operation = Entry | Result | None
"""``None`` stands for what is read over: search references and intermediate responses."""


def envelope(message_id: int, operation: bytes) -> bytes:
    """The LDAPMessage with this id around ``operation``, behind which the field ``controls`` may follow."""
    return tlv(SEQUENCE, integer(message_id) + operation)


def bind_request(dn: str, password: str) -> bytes:
    """A simple bind, LDAP version 3."""
    return tlv(_BIND_REQUEST, integer(3) + octets(dn) + octets(password, _SIMPLE))


def unbind_request() -> bytes:
    """The end of the session; it has no answer."""
    return b"\x42\x00"


def abandon_request(message_id: int) -> bytes:
    """Asks the server to stop working on ``message_id``; it has no answer."""
    return integer(message_id, _ABANDON_REQUEST)


def extended_request(name: str) -> bytes:
    """An extended request without a value, such as ``START_TLS``."""
    return tlv(_EXTENDED_REQUEST, octets(name, _REQUEST_NAME))


class SearchRequest:
    """A search compiled once: ``encode`` only puts the assertion values between constant octets.

    ``attributes`` empty asks for all user attributes; ``("1.1",)`` for none (RFC 4511 section 4.5.1.8). ``size_limit``
    (entries) and ``time_limit`` (seconds) are for the server, 0 is no limit. ``entries_at_most`` and ``octets_at_most``
    are our own limits of the answer, below those that the connection has for all; 0 is no limit of its own.
    """

    def __init__(
        self,
        base: str,
        filter: Filter,  # noqa: A002 - the name of the field in RFC 4511
        attributes: Sequence[str] = (),
        *,
        scope: Scope = Scope.SUBTREE,
        dereference: Dereference = Dereference.NEVER,
        size_limit: int = 0,
        time_limit: int = 0,
        types_only: bool = False,
        entries_at_most: int = 0,
        octets_at_most: int = 0,
    ) -> None:
        self.base = base
        self.filter = filter
        self.attributes = tuple(attributes)
        self.scope = scope
        self.page_size = 0
        self.entries_at_most = entries_at_most
        self.octets_at_most = octets_at_most
        self._prefix = b"".join((
            octets(base),
            integer(scope, ENUMERATED),
            integer(dereference, ENUMERATED),
            integer(size_limit),
            integer(time_limit),
            boolean(types_only),
        ))  # fmt: skip
        self._suffix = tlv(SEQUENCE, b"".join(map(octets, self.attributes)))
        self._controls = b""

    def page(self, size: int, cookie: bytes = b"") -> SearchRequest:
        """The same search for one page of at most ``size`` entries, at first without a ``cookie`` (RFC 2696)."""
        paged = copy.copy(self)
        paged._controls = controls(paged_results(size, cookie))
        paged.page_size = size
        return paged

    def encode(self, value: Filling = "") -> bytes:
        """The operation with ``value`` in the filter, and its controls. ``ValueError`` for a lone surrogate."""
        return tlv(_SEARCH_REQUEST, self._prefix + self.filter.encode(value) + self._suffix) + self._controls


def open_envelope(data: bytes, begin: int, end: int) -> tuple[int, int, int, int]:
    """Message id, tag of the operation and the range of its content, for a message whose own content range (as
    ``ber.frame`` gives it) is ``begin`` to ``end``.
    """
    # Ids below 128 are three octets in all; the general reading costs five times as much.
    if end - begin > 3 and data[begin] == INTEGER and data[begin + 1] == 1 and data[begin + 2] < 0x80:
        message_id, position = data[begin + 2], begin + 3
    else:
        message_id, position = read_integer(data, begin, end)
    tag, content, content_end = read_header(data, position, end)
    if content_end != end:
        found, _, controls_end = read_header(data, content_end, end)
        if found != _CONTROLS or controls_end != end:
            raise ProtocolError("something other than controls follows the operation")
    return message_id, tag, content, content_end


def decode_operation(data: bytes, tag: int, start: int, stop: int) -> Operation:
    """The operation whose content fills ``start`` to ``stop``."""
    if tag == SEARCH_ENTRY:
        return _decode_entry(data, start, stop)
    if tag in _RESULTS:
        return _decode_result(data, start, stop)
    if tag in _WITHOUT_CONTENT:
        return None
    raise ProtocolError(f"an operation with tag 0x{tag:02x} that no client gets")


@lru_cache(maxsize=1024)
def _description(raw: bytes) -> str:
    try:
        return raw.decode("ascii").lower()
    except UnicodeDecodeError:
        raise ProtocolError("an attribute description that is not ASCII") from None


def _decode_entry(data: bytes, start: int, stop: int) -> Entry:
    begin, end = expect(data, start, stop, OCTET_STRING)
    if end - begin > MAX_DN:
        raise ProtocolError(f"the DN of an entry has more than {MAX_DN} octets")
    try:
        dn = data[begin:end].decode()
    except UnicodeDecodeError:
        raise ProtocolError("the DN of an entry is not UTF-8") from None
    position, end = expect(data, end, stop, SEQUENCE)
    if end != stop:
        raise ProtocolError("something follows the attributes of an entry")
    attributes: dict[str, list[bytes]] = {}
    room, attributes_left = MAX_VALUES, MAX_ATTRIBUTES
    while position < end:
        inner, position = expect(data, position, end, SEQUENCE)
        begin, inner = expect(data, inner, position, OCTET_STRING)
        if inner - begin > MAX_DESCRIPTION:
            raise ProtocolError(f"an attribute description of more than {MAX_DESCRIPTION} octets")
        name = _description(data[begin:inner])
        inner, values_end = expect(data, inner, position, SET)
        if values_end != position:
            raise ProtocolError("something follows the values of an attribute")
        values = _decode_values(data, inner, values_end)
        room -= len(values)
        attributes_left -= 1
        if room < 0 or attributes_left < 0:
            raise ProtocolError("an entry with more attributes or values than the limit")
        if name in attributes:
            attributes[name] += values
        else:
            attributes[name] = values
    return Entry(dn, attributes)


def _decode_values(data: bytes, position: int, end: int) -> list[bytes]:
    values = []
    while position < end:
        begin, position = expect(data, position, end, OCTET_STRING)
        values.append(data[begin:position])
    return values


def _decode_result(data: bytes, start: int, stop: int) -> Result:
    code, position = read_integer(data, start, stop, ENUMERATED)
    matched_begin, matched_end = expect(data, position, stop, OCTET_STRING)
    message_begin, position = expect(data, matched_end, stop, OCTET_STRING)
    name, value = "", b""
    matched_dn, message = _text(data, matched_begin, matched_end), _text(data, message_begin, position)
    fields = 0
    while position < stop:
        if (fields := fields + 1) > MAX_RESULT_FIELDS:
            raise ProtocolError("a result with more fields than the limit")
        tag, begin, position = read_header(data, position, stop)
        if tag == _RESPONSE_NAME:
            name = _text(data, begin, position)
        elif tag == _RESPONSE_VALUE:
            value = data[begin:position]
    return Result(code, matched_dn, message, name, value=value)


def _text(data: bytes, begin: int, end: int) -> str:
    """Text for people: cut, and without what could forge a line of a log."""
    if begin == end:
        return ""
    return plain_text(data[begin : min(end, begin + 4 * MAX_TEXT)].decode(errors="replace")[:MAX_TEXT])


def plain_text(text: str) -> str:
    """``text`` with a blank for each character that cannot be printed, and without blanks at its ends."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


_RESULT_NAMES: Final = {
    0: "success",
    1: "operationsError",
    2: "protocolError",
    3: "timeLimitExceeded",
    4: "sizeLimitExceeded",
    7: "authMethodNotSupported",
    8: "strongerAuthRequired",
    10: "referral",
    11: "adminLimitExceeded",
    13: "confidentialityRequired",
    19: "constraintViolation",
    21: "invalidAttributeSyntax",
    32: "noSuchObject",
    34: "invalidDNSyntax",
    48: "inappropriateAuthentication",
    49: "invalidCredentials",
    50: "insufficientAccessRights",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    80: "other",
}


def result_name(code: int) -> str:
    """A result code as operators know it, ``49 invalidCredentials`` (RFC 4511 appendix A); the number if unknown."""
    return f"{code} {_RESULT_NAMES.get(code, '')}".rstrip()
