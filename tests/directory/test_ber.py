"""BER primitives: round trips, every way to cut an element short, and the limits (RFC 4511 section 5.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.ber import (
    ENUMERATED,
    INTEGER,
    MAX_INTEGER,
    OCTET_STRING,
    ProtocolError,
    boolean,
    expect,
    frame,
    integer,
    octets,
    read_header,
    read_integer,
    tlv,
)

LIMIT = 1 << 20

# X.690 8.1.3 (lengths), 8.3 (integers), RFC 4511 5.1 (boolean).
ENCODED = [
    ("short length", tlv(0x04, b"x" * 127)[:3], b"\x04\x7fx"),
    ("one octet of length", tlv(0x04, b"x" * 128)[:4], b"\x04\x81\x80x"),
    ("two octets of length", tlv(0x04, b"x" * 256)[:5], b"\x04\x82\x01\x00x"),
    ("zero", integer(0), b"\x02\x01\x00"),
    ("127", integer(127), b"\x02\x01\x7f"),
    ("128 needs a leading zero", integer(128), b"\x02\x02\x00\x80"),
    ("maxInt", integer(MAX_INTEGER), b"\x02\x04\x7f\xff\xff\xff"),
    ("enumerated", integer(2, ENUMERATED), b"\x0a\x01\x02"),
    ("true is FF", boolean(True), b"\x01\x01\xff"),
    ("false", boolean(False), b"\x01\x01\x00"),
    ("UTF-8", octets("ä"), b"\x04\x02\xc3\xa4"),
]


@pytest.mark.parametrize(("encoded", "expected"), [row[1:] for row in ENCODED], ids=[row[0] for row in ENCODED])
def test_encoding(encoded: bytes, expected: bytes) -> None:
    assert encoded == expected


@given(st.binary(max_size=70_000), st.integers(0, 255))
def test_what_is_written_is_read(content: bytes, tag: int) -> None:
    data = b"??" + tlv(tag, content) + b"rest"
    found, begin, end = read_header(data, 2, len(data))
    assert (found, data[begin:end], data[end:]) == (tag, content, b"rest")
    assert expect(data, 2, len(data), tag) == (begin, end)


@given(st.integers(0, MAX_INTEGER))
def test_integers_round_trip(value: int) -> None:
    data = integer(value)
    assert read_integer(data, 0, len(data)) == (value, len(data))


# Lengths that are legal but longer than necessary: Active Directory sends 84 00 00 00 nn everywhere.
@pytest.mark.parametrize("length", [b"\x81\x01", b"\x82\x00\x01", b"\x84\x00\x00\x00\x01"])
def test_long_lengths_are_read(length: bytes) -> None:
    data = b"\x04" + length + b"x"
    begin, end = expect(data, 0, len(data), OCTET_STRING)
    assert data[begin:end] == b"x"


HOSTILE = [
    ("nothing", b""),
    ("a tag alone", b"\x04"),
    ("content missing", b"\x04\x05abc"),
    ("indefinite length (RFC 4511 5.1)", b"\x04\x80abc\x00\x00"),
    ("length field cut short", b"\x04\x84\x00\x00"),
    ("five octets of length", b"\x04\x85\x00\x00\x00\x00\x01x"),
    ("the reserved length FF", b"\x04\xff" + b"\x00" * 127),
    ("four gigabytes announced", b"\x04\x84\xff\xff\xff\xffx"),
    ("another tag", b"\x05\x00"),
]


@pytest.mark.parametrize("data", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_elements(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        expect(data, 0, len(data), OCTET_STRING)
    assert "abc" not in str(caught.value)


HOSTILE_INTEGERS = [
    ("no octets", b"\x02\x00"),
    ("negative", b"\x02\x01\x80"),
    ("five octets", b"\x02\x05\x00\x00\x00\x00\x01"),
    ("above maxInt", b"\x02\x04\x80\x00\x00\x00"),
    ("an enumerated", b"\x0a\x01\x00"),
]


@pytest.mark.parametrize("data", [row[1] for row in HOSTILE_INTEGERS], ids=[row[0] for row in HOSTILE_INTEGERS])
def test_hostile_integers(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_integer(data, 0, len(data), INTEGER)


FRAMES = [
    ("nothing yet", b"", (0, 0)),
    ("a tag", b"\x30", (0, 0)),
    ("short, content missing", b"\x30\x0c", (2, 14)),
    ("long, length incomplete", b"\x30\x84\x00\x00", (0, 0)),
    ("long, length complete", b"\x30\x84\x00\x00\x01\x00", (6, 262)),
    ("at the limit", b"\x30\x83\x0f\xff\xfb", (5, LIMIT)),
]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in FRAMES], ids=[row[0] for row in FRAMES])
def test_frames(data: bytes, expected: tuple[int, int]) -> None:
    assert frame(data, 0, len(data), LIMIT) == expected


HOSTILE_FRAMES = [
    ("another protocol", b"HTTP/1.1 400"),
    ("one wrong octet is enough", b"\x15"),
    ("over the limit", b"\x30\x83\x0f\xff\xfc"),
    ("four gigabytes", b"\x30\x84\xff\xff\xff\xff"),
    ("indefinite", b"\x30\x80"),
    ("too many octets of length", b"\x30\x88\x00"),
]


@pytest.mark.parametrize("data", [row[1] for row in HOSTILE_FRAMES], ids=[row[0] for row in HOSTILE_FRAMES])
def test_hostile_frames(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        frame(data, 0, len(data), LIMIT)


@given(st.binary(max_size=64))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    for read in (lambda: read_header(data, 0, len(data)), lambda: frame(data, 0, len(data), LIMIT)):
        try:
            read()
        except ProtocolError:
            continue
