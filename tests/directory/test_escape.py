
"""RFC 4514 and RFC 4515 text forms; ldap3's escaping and DN parser are the second opinion."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.escape import (
    MAX_DN,
    MAX_PAIRS,
    DnError,
    comparable_dn,
    escape_dn_value,
    escape_filter_value,
    normalise_dn,
    parse_dn,
)
from tests.directory import ldap3_oracle

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TYPES = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}\Z")

# vault.md 4.3, RFC 4515 section 3.
FILTER_VALUES = [
    ("a*b", r"a\2ab"),
    ("x)(objectClass=*", r"x\29\28objectClass=\2a"),
    ("back\\slash", r"back\5cslash"),
    ("nul\0", r"nul\00"),
    ("Ž", r"\c5\bd"),
    ("plain name", "plain name"),
]

# vault.md 4.3, RFC 4514 section 2.4.
DN_VALUES = [
    ("#x", r"\#x"),
    ("a#b", r"a\#b"),
    ("a,b", r"a\,b"),
    (" a ", r"\ a\ "),
    (" ", r"\ "),
    ("Ž", r"\c5\bd"),
    ('"+;<>\\', r"\"\+\;\<\>\\"),
    ("a=b", "a=b"),
    ("nul\0\n", r"nul\00\0a"),
    ("x,ou=other", r"x\,ou=other"),
    ("\\2c", r"\\2c"),
]


@pytest.mark.parametrize(("value", "escaped"), FILTER_VALUES)
def test_filter_values(value: str, escaped: str) -> None:
    assert escape_filter_value(value) == escaped


@given(TEXT)
def test_filter_values_against_ldap3(value: str) -> None:
    ours = escape_filter_value(value)
    raw = bytearray()
    position = 0
    while position < len(ours):
        step = 3 if ours[position] == "\\" else 1
        raw += bytes.fromhex(ours[position + 1 : position + 3]) if step == 3 else ours[position].encode()
        position += step
    assert raw.decode() == value
    if value.isascii():
        assert ours == ldap3_oracle.escape_filter_chars(value)


@pytest.mark.parametrize(("value", "escaped"), DN_VALUES)
def test_dn_values(value: str, escaped: str) -> None:
    assert escape_dn_value(value) == escaped


@given(st.lists(st.lists(st.tuples(TYPES, TEXT), min_size=1, max_size=3), max_size=4))
def test_what_is_escaped_parses_back(rdns: list[list[tuple[str, str]]]) -> None:
    dn = ",".join("+".join(f"{kind}={escape_dn_value(value)}" for kind, value in rdn) for rdn in rdns)
    assert parse_dn(dn) == rdns


@given(TEXT.filter(lambda value: value and value.isprintable() and value.strip(" ") == value and "=" not in value))
def test_ldap3_reads_our_dns(value: str) -> None:
    dn = f"cn={escape_dn_value(value)},dc=x"
    assert [part[0] for part in ldap3_oracle.parse_dn(dn)] == ["cn", "dc"]


PARSED = [
    ("RFC 4514 4, simple", "UID=jsmith,DC=example,DC=net", [[("UID", "jsmith")], [("DC", "example")], [("DC", "net")]]),
    ("RFC 4514 4, multi-valued", "OU=Sales+CN=J.  Smith,DC=x", [[("OU", "Sales"), ("CN", "J.  Smith")], [("DC", "x")]]),
    ("RFC 4514 4, escaped quote and comma", r"CN=James \"Jim\" Smith\, III,DC=x", [[("CN", 'James "Jim" Smith, III')], [("DC", "x")]]),
    ("RFC 4514 4, carriage return", r"CN=Before\0dAfter", [[("CN", "Before\rAfter")]]),
    ("RFC 4514 4, BER", "1.3.6.1.4.1.1466.0=#04024869", [[("1.3.6.1.4.1.1466.0", "Hi")]]),
    ("RFC 4514 4, UTF-8", r"CN=Lu\C4\8Di\C4\87", [[("CN", "Lučić")]]),
    ("RFC 2253 4, semicolons and blanks", "cn = a ; dc = x", [[("cn", "a")], [("dc", "x")]]),
    ("RFC 2253 4, OID prefix", "OID.2.5.4.3=a", [[("2.5.4.3", "a")]]),
    ("escaped blank at the end stays", r"cn=a\ ,dc=x", [[("cn", "a ")], [("dc", "x")]]),
    ("escaped backslash, then blanks", r"cn=a\\  ,dc=x", [[("cn", "a\\")], [("dc", "x")]]),
    ("blanks only", "  ", []),
    ("empty value", "cn=,dc=x", [[("cn", "")], [("dc", "x")]]),
    ("slapd's spelling", r"cn=\237 \2B S", [[("cn", "#7 + S")]]),
]  # fmt: skip


@pytest.mark.parametrize(("dn", "rdns"), [row[1:] for row in PARSED], ids=[row[0] for row in PARSED])
def test_parsing(dn: str, rdns: list[list[tuple[str, str]]]) -> None:
    assert parse_dn(dn) == rdns


@pytest.mark.parametrize(
    "dn",
    ["cn", "cn=a,", ",cn=a", "=a", "cn=a,,dc=x", r"cn=a\x", "cn=a\\", r"cn=\ff", 'cn="a"', "cn=#zz", "cn=#0405", "c n=a",
     "cn=a\0", "cn=a+", "ü=a", "cn=a<b", "*", "a=," * MAX_PAIRS + "a=", "a=+" * MAX_PAIRS + "a=", "cn=" + "x" * MAX_DN],
)  # fmt: skip
def test_no_dn(dn: str) -> None:
    with pytest.raises(DnError):
        parse_dn(dn)


def test_dns_as_long_as_the_limits_allow() -> None:
    assert len(parse_dn("a=," * (MAX_PAIRS - 1) + "a=")) == MAX_PAIRS
    assert parse_dn("cn=" + "x" * (MAX_DN - 3)) == [[("cn", "x" * (MAX_DN - 3))]]
    assert comparable_dn("CN=" + "X" * MAX_DN) == "CN=" + "X" * MAX_DN


NORMALISED = [
    ("case and blanks", "CN=Ada  LOVELACE , DC = Example", "cn=ada lovelace,dc=example"),
    ("order of a multi-valued RDN", "sn=B+cn=A,dc=x", "cn=a+sn=b,dc=x"),
    ("one spelling of escapes", r"cn=a\2Cb,dc=x", r"cn=a\,b,dc=x"),
    ("umlauts in the clear", r"uid=J\C3\BCrgen", "uid=jürgen"),
    ("semicolon", "cn=a;dc=x", "cn=a,dc=x"),
    ("sharp s", "cn=STRASSE", "cn=strasse"),
]


@pytest.mark.parametrize(("dn", "normal"), [row[1:] for row in NORMALISED], ids=[row[0] for row in NORMALISED])
def test_normalising(dn: str, normal: str) -> None:
    assert normalise_dn(dn) == normal


@given(st.lists(st.tuples(TYPES, TEXT), min_size=1, max_size=4))
def test_normalising_twice_changes_nothing(pairs: list[tuple[str, str]]) -> None:
    once = normalise_dn(",".join(f"{kind}={escape_dn_value(value)}" for kind, value in pairs))
    assert normalise_dn(once) == once


@pytest.mark.parametrize("dn", ["cn=" + "a" * 300_000 + '"', "cn=" + " " * 300_000 + '"', "cn=" + "\\2" * 150_000,
                                "c" * 300_000, " " * 300_000 + "x"])  # fmt: skip
def test_hostile_dns_cost_linear_time(dn: str) -> None:
    started = time.process_time()
    with pytest.raises(DnError):
        parse_dn(dn)
    assert time.process_time() - started < 5
