"""Controls of LDAP messages (RFC 4511 section 4.1.11), and the one for answers in pages (RFC 2696). Pure.

What is read here comes from the directory: ``ProtocolError``, nothing else, for whatever does not fit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.directory.ber import (
    BOOLEAN,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    ProtocolError,
    boolean,
    expect,
    integer,
    octets,
    read_header,
    tlv,
)

PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"
PASSWORD_POLICY: Final = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105 - an object identifier
"""Asks with a bind for the state of the account, and answers it (draft-behera-ldap-password-policy-10 6.1, 6.2)."""

MAX_CONTROLS: Final = 20
"""Controls of one message."""

_CONTROLS: Final = 0xA0
_MAX_FIELDS: Final = 2
"""Behind the name of a control: its criticality and its value."""


class Control(NamedTuple):
    """A control of an answer. ``value`` is empty where there is none."""

    oid: str
    value: bytes = b""


def controls(*parts: bytes) -> bytes:
    """The ``controls`` field of a message, made of what ``control`` gives; empty without any."""
    return tlv(_CONTROLS, b"".join(parts)) if parts else b""


def control(oid: str, value: bytes | None = None, *, critical: bool = False) -> bytes:
    """One control. A server that does not know it passes over it, or with ``critical`` refuses the operation."""
    content = octets(oid) + (boolean(True) if critical else b"")
    return tlv(SEQUENCE, content if value is None else content + tlv(OCTET_STRING, value))


def paged_results(size: int, cookie: bytes = b"") -> bytes:
    """Ask for at most ``size`` entries, going on where the page ended that came with ``cookie`` (RFC 2696 section 3).

    Not critical: a server without pages answers all at once, which serves as well.
    """
    return control(PAGED_RESULTS, tlv(SEQUENCE, integer(size) + tlv(OCTET_STRING, cookie)))


def read_controls(data: bytes, start: int, stop: int) -> tuple[Control, ...]:
    """The controls of a message whose ``controls`` field fills ``start`` to ``stop``; none where that is empty."""
    if start == stop:
        return ()
    position, end = expect(data, start, stop, _CONTROLS)
    found: list[Control] = []
    while position < end:
        inner, position = expect(data, position, end, SEQUENCE)
        if len(found) >= MAX_CONTROLS:
            raise ProtocolError(f"more than {MAX_CONTROLS} controls")
        found.append(_read_control(data, inner, position))
    return tuple(found)


def _read_control(data: bytes, start: int, stop: int) -> Control:
    begin, position = expect(data, start, stop, OCTET_STRING)
    oid = data[begin:position].decode("ascii", "replace")
    value = b""
    fields = 0
    while position < stop:
        tag, begin, position = read_header(data, position, stop)
        fields += 1
        if fields > _MAX_FIELDS:
            raise ProtocolError(f"more than {_MAX_FIELDS} elements behind the name of a control")
        if tag == OCTET_STRING:
            value = data[begin:position]
        elif tag != BOOLEAN:
            raise ProtocolError(f"an element with tag 0x{tag:02x} in a control")
    return Control(oid, value)


def read_cookie(value: bytes) -> bytes:
    """The cookie in the value of an answer's ``PAGED_RESULTS``; empty behind the last page.

    The size beside it is the server's estimate of the whole, which may be anything.
    """
    start, stop = expect(value, 0, len(value), SEQUENCE)
    tag, _, position = read_header(value, start, stop)
    if tag != INTEGER:
        raise ProtocolError("no size in the answer for a page")
    begin, end = expect(value, position, stop, OCTET_STRING)
    return value[begin:end]
