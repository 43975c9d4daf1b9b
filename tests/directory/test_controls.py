"""Controls against ldap3's, hostile ones by table, and a fuzz of their decoder (RFC 4511 4.1.11, RFC 2696)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.directory import controls as own
from gateway.directory.ber import ProtocolError, boolean, integer, octets, tlv
from gateway.directory.controls import PAGED_RESULTS, Control, read_controls, read_cookie
from gateway.directory.filters import compile_filter
from gateway.directory.messages import SearchRequest, envelope
from tests.directory import ldap3_oracle
from tests.directory.test_messages import FUZZ_CASES, mutate

OIDS = st.from_regex(r"\A[0-2](\.[0-9]{1,4}){1,8}\Z")


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1), st.binary(max_size=300))
def test_a_page_is_asked_for_as_ldap3_does(size: int, cookie: bytes) -> None:
    request = SearchRequest("dc=x", compile_filter("(cn=a)"), ["cn"])
    operation = ldap3_oracle.search_operation("dc=x", "(cn=a)", "SUBTREE", "NEVER", ["cn"], 0, 0, False, True, True)
    asked = ldap3_oracle.message(7, operation, ldap3_oracle.paged_search_control(False, size, cookie))
    # ldap3 writes criticality FALSE, which RFC 4511 section 5.1 (DEFAULT) leaves out.
    ours = envelope(7, request.page(size, cookie).encode())
    message, rest = ldap3_oracle.request(ours)
    assert not rest
    assert ldap3_oracle.page_asked(message["controls"]) == (size, cookie)
    assert not message["controls"][0]["criticality"]
    theirs, _ = ldap3_oracle.request(asked)
    assert message["protocolOp"] == theirs["protocolOp"]
    assert bytes(message["controls"][0]["controlValue"]) == bytes(theirs["controls"][0]["controlValue"])


def test_a_request_without_pages_has_no_controls() -> None:
    request = SearchRequest("dc=x", compile_filter("(cn=a)"), ["cn"])
    request.page(10)
    operation = ldap3_oracle.search_operation("dc=x", "(cn=a)", "SUBTREE", "NEVER", ["cn"], 0, 0, False, True, True)
    assert envelope(7, request.encode()) == ldap3_oracle.message(7, operation)


@settings(deadline=None)
@given(st.lists(st.tuples(OIDS, st.none() | st.binary(max_size=100), st.booleans()), max_size=5))
def test_controls_of_ldap3_are_read(given_controls: list[tuple[str, bytes | None, bool]]) -> None:
    theirs = [
        ldap3_oracle.build_control(oid, critical, value, encode_control_value=False)
        for oid, value, critical in given_controls
    ]
    plain = ldap3_oracle.message(1, ldap3_oracle.result("SearchResultDone", 0, "", ""))
    whole = ldap3_oracle.message(1, ldap3_oracle.result("SearchResultDone", 0, "", ""), *theirs)
    field = whole[whole.index(plain[5:]) + len(plain) - 5 :]
    expected = tuple(Control(oid, value or b"") for oid, value, _ in given_controls)
    assert read_controls(field, 0, len(field)) == expected


@settings(deadline=None)
@given(OIDS, st.none() | st.binary(max_size=100), st.booleans())
def test_what_is_written_is_read(oid: str, value: bytes | None, critical: bool) -> None:
    field = own.controls(own.control(oid, value, critical=critical))
    assert read_controls(field, 0, len(field)) == (Control(oid, value or b""),)


@given(st.binary(max_size=300))
def test_cookies(cookie: bytes) -> None:
    assert read_cookie(bytes(ldap3_oracle.page_answer(cookie)["controlValue"])) == cookie


COOKIES_READ = [
    ("no estimate: -1", tlv(0x30, b"\x02\x01\xff" + tlv(4, b"x")), b"x"),
    ("an estimate of eight octets", tlv(0x30, tlv(2, b"\x01" * 8) + tlv(4, b"x")), b"x"),
    ("something behind the cookie", tlv(0x30, integer(0) + tlv(4, b"x") + octets("y")), b"x"),
]


@pytest.mark.parametrize(("value", "cookie"), [row[1:] for row in COOKIES_READ], ids=[row[0] for row in COOKIES_READ])
def test_cookies_read(value: bytes, cookie: bytes) -> None:
    assert read_cookie(value) == cookie


COOKIES_REFUSED = [
    ("nothing", b""),
    ("an empty sequence", tlv(0x30, b"")),
    ("no cookie", tlv(0x30, integer(0))),
    ("no size", tlv(0x30, tlv(4, b"x"))),
    ("a cookie longer than the value", tlv(0x30, integer(0) + b"\x04\x7fx")),
]


@pytest.mark.parametrize("value", [row[1] for row in COOKIES_REFUSED], ids=[row[0] for row in COOKIES_REFUSED])
def test_cookies_refused(value: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_cookie(value)


CONTROLS_REFUSED = [
    ("another field", tlv(0xA1, b"")),
    ("no sequence", tlv(0xA0, octets("1.2"))),
    ("no type", tlv(0xA0, tlv(0x30, b""))),
    ("a type that is no string", tlv(0xA0, tlv(0x30, integer(1)))),
    ("a number in a control", tlv(0xA0, tlv(0x30, octets("1.2") + integer(1)))),
    ("a value longer than the control", tlv(0xA0, tlv(0x30, octets("1.2") + b"\x04\x05x"))),
    ("too many", tlv(0xA0, tlv(0x30, octets("1.2")) * (own.MAX_CONTROLS + 1))),
    ("too many fields", tlv(0xA0, tlv(0x30, octets("1.2") + octets("") * 3))),
]


@pytest.mark.parametrize("field", [row[1] for row in CONTROLS_REFUSED], ids=[row[0] for row in CONTROLS_REFUSED])
def test_controls_refused(field: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_controls(field, 0, len(field))


SEEDS = [
    tlv(0xA0, tlv(0x30, octets(PAGED_RESULTS) + boolean(True) + tlv(4, tlv(0x30, integer(0) + tlv(4, b"cookie"))))),
    tlv(0xA0, tlv(0x30, octets("1.3.6.1.4.1.42.2.27.8.5.1")) + tlv(0x30, octets("1.2.3") + tlv(4, b"x" * 200))),
]


def test_fuzz_of_controls() -> None:
    """Nothing but ProtocolError; what is read is no longer than what was sent."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    read = 0
    for _ in range(FUZZ_CASES):
        data = mutate(chance, chance.choice(SEEDS))
        try:
            found = read_controls(data, 0, len(data))
            read += 1
            assert sum(len(control.value) for control in found) <= len(data)
            for control in found:
                read_cookie(control.value)
        except ProtocolError:
            continue
        except Exception as error:
            pytest.fail(f"{error!r} for {data.hex()} (seed {seed})")
    assert 0 < read < FUZZ_CASES
