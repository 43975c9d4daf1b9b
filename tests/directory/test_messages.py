
"""LDAP messages: encoder and decoder against ldap3's, hostile messages by table, and a fuzz of the decoder."""

from __future__ import annotations

import os
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.directory import messages
from gateway.directory.ber import MAX_INTEGER, ProtocolError, frame, integer, octets, tlv
from gateway.directory.escape import MAX_DN
from gateway.directory.filters import compile_filter
from gateway.directory.messages import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    INTERMEDIATE_RESPONSE,
    NOTICE_OF_DISCONNECTION,
    SEARCH_DONE,
    SEARCH_ENTRY,
    SEARCH_REFERENCE,
    START_TLS,
    Dereference,
    Entry,
    Operation,
    Result,
    Scope,
    SearchRequest,
    abandon_request,
    bind_request,
    decode_operation,
    envelope,
    extended_request,
    open_envelope,
    unbind_request,
)
from tests.directory import ldap3_oracle

LIMIT = 1 << 20
IDS = st.one_of(st.sampled_from([0, 1, 127, 128, 255, 256, 32767, 32768, MAX_INTEGER]), st.integers(0, MAX_INTEGER))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,12}(;lang-[a-z]{2})?\Z")
FUZZ_CASES = 1_000_000 if os.environ.get("GATEWAY_SOAK") == "1" else 20_000


def decode(data: bytes) -> tuple[int, int, Operation]:
    """Message id, tag and operation of exactly one message, taken apart as a connection does."""
    begin, end = frame(data, 0, len(data), LIMIT)
    if not 0 < end <= len(data):
        raise ProtocolError("incomplete")
    message_id, tag, start, stop = open_envelope(data, begin, end)
    return message_id, tag, decode_operation(data, tag, start, stop)


# Encoders against ldap3


@given(IDS, TEXT.filter(bool), TEXT.filter(bool))
def test_bind_request(message_id: int, dn: str, password: str) -> None:
    theirs = ldap3_oracle.bind_operation(3, "SIMPLE", dn, "x")
    theirs["authentication"]["simple"] = password.encode()
    assert envelope(message_id, bind_request(dn, password)) == ldap3_oracle.message(message_id, theirs)


def test_anonymous_bind_request() -> None:
    theirs = ldap3_oracle.message(1, ldap3_oracle.bind_operation(3, "ANONYMOUS"))
    assert envelope(1, bind_request("", "")) == theirs


@given(IDS, IDS)
def test_abandon_request(message_id: int, abandoned: int) -> None:
    theirs = ldap3_oracle.message(message_id, ldap3_oracle.abandon_operation(abandoned))
    assert envelope(message_id, abandon_request(abandoned)) == theirs


def test_unbind_and_extended_request() -> None:
    assert envelope(7, unbind_request()) == ldap3_oracle.message(7, ldap3_oracle.unbind_operation())
    theirs = ldap3_oracle.message(7, ldap3_oracle.extended_operation(START_TLS))
    assert envelope(7, extended_request(START_TLS)) == theirs


@settings(deadline=None)
@given(
    IDS,
    TEXT,
    st.sampled_from(list(Scope)),
    st.sampled_from(list(Dereference)),
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.integers(0, MAX_INTEGER),
    st.integers(0, MAX_INTEGER),
    st.booleans(),
    TEXT.filter(bool),
)
def test_search_request(
    message_id: int,
    base: str,
    scope: Scope,
    dereference: Dereference,
    attributes: list[str],
    size_limit: int,
    time_limit: int,
    types_only: bool,
    value: str,
) -> None:
    ours = SearchRequest(
        base, compile_filter("(&(objectClass=person)(uid=%s))"), attributes, scope=scope, dereference=dereference,
        size_limit=size_limit, time_limit=time_limit, types_only=types_only,
    ).encode(value)  # fmt: skip
    escaped = "".join(f"\\{octet:02x}" for octet in value.encode())
    theirs = ldap3_oracle.search_operation(
        base, f"(&(objectClass=person)(uid={escaped}))", ["BASE", "LEVEL", "SUBTREE"][scope],
        ["NEVER", "SEARCH", "FINDING_BASE", "ALWAYS"][dereference], attributes, size_limit, time_limit,
        types_only, True, True,
    )  # fmt: skip
    assert envelope(message_id, ours) == ldap3_oracle.message(message_id, theirs)


# Decoder against ldap3's encoder and its fast decoder


@settings(deadline=None)
@given(IDS, TEXT, st.dictionaries(NAMES.map(str.lower), st.lists(st.binary(max_size=200), max_size=4), max_size=5))
def test_entries(message_id: int, dn: str, attributes: dict[str, list[bytes]]) -> None:
    data = ldap3_oracle.message(message_id, ldap3_oracle.entry(dn, attributes))
    assert decode(data) == (message_id, SEARCH_ENTRY, Entry(dn, attributes))
    theirs = ldap3_oracle.decode_message_fast(data)["payload"]
    assert theirs[0][3].decode() == dn
    listed = {attribute[3][0][3].decode(): [value[3] for value in attribute[3][1][3]] for attribute in theirs[1][3]}
    assert listed == attributes


@settings(deadline=None)
@given(IDS, st.sampled_from(["BindResponse", "SearchResultDone", "ExtendedResponse"]), st.integers(0, 90), TEXT, TEXT)
def test_results(message_id: int, kind: str, code: int, matched_dn: str, text: str) -> None:
    try:
        data = ldap3_oracle.message(message_id, ldap3_oracle.result(kind, code, matched_dn, text))
    except Exception:  # ldap3 knows no such code
        return
    tag = {"BindResponse": BIND_RESPONSE, "SearchResultDone": SEARCH_DONE}.get(kind, EXTENDED_RESPONSE)
    cleaned = ["".join(c if c.isprintable() else " " for c in shown).strip() for shown in (matched_dn, text)]
    assert decode(data) == (message_id, tag, Result(code, *cleaned))


# Messages by hand

DONE = integer(0, 0x0A) + octets("") + octets("")
READ = [
    ("RFC 4511 4.5.3, a reference is read over", envelope(5, tlv(SEARCH_REFERENCE, octets("ldap://x"))), (5, SEARCH_REFERENCE, None)),
    ("RFC 4511 4.13, intermediate", envelope(5, tlv(INTERMEDIATE_RESPONSE, b"")), (5, INTERMEDIATE_RESPONSE, None)),
    ("RFC 4511 4.1.9, referral in a result", envelope(5, tlv(SEARCH_DONE, integer(10, 0x0A) + octets("") + octets("") + tlv(0xA3, octets("ldap://x")))), (5, SEARCH_DONE, Result(10))),
    ("RFC 4511 4.1.11, controls behind", tlv(0x30, integer(5) + tlv(SEARCH_DONE, DONE) + tlv(0xA0, tlv(0x30, octets("1.2")))), (5, SEARCH_DONE, Result(0))),
    ("RFC 4511 4.4.1, notice of disconnection", envelope(0, tlv(EXTENDED_RESPONSE, integer(52, 0x0A) + octets("") + octets("bye") + octets(NOTICE_OF_DISCONNECTION, 0x8A))), (0, EXTENDED_RESPONSE, Result(52, "", "bye", NOTICE_OF_DISCONNECTION))),
    ("AD pads its texts with NUL", envelope(1, tlv(BIND_RESPONSE, integer(49, 0x0A) + octets("") + octets("data 52e\0"))), (1, BIND_RESPONSE, Result(49, "", "data 52e"))),
    ("a text cannot forge a line of the log", envelope(1, tlv(BIND_RESPONSE, integer(1, 0x0A) + octets("") + octets("no\r\nINFO yes\x1b[2J"))), (1, BIND_RESPONSE, Result(1, "", "no  INFO yes [2J"))),
    ("a text that is not UTF-8 is shown all the same", envelope(1, tlv(BIND_RESPONSE, integer(1, 0x0A) + octets("") + tlv(4, b"a\xff"))), (1, BIND_RESPONSE, Result(1, "", "a\ufffd"))),
    ("names are lower-cased, options kept", envelope(1, tlv(SEARCH_ENTRY, octets("") + tlv(0x30, tlv(0x30, octets("CN;Lang-DE") + tlv(0x31, octets("x")))))), (1, SEARCH_ENTRY, Entry("", {"cn;lang-de": [b"x"]}))),
    ("an attribute twice", envelope(1, tlv(SEARCH_ENTRY, octets("") + tlv(0x30, tlv(0x30, octets("a") + tlv(0x31, octets("x"))) + tlv(0x30, octets("A") + tlv(0x31, octets("y")))))), (1, SEARCH_ENTRY, Entry("", {"a": [b"x", b"y"]}))),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_messages_read(data: bytes, expected: tuple[int, int, Operation]) -> None:
    assert decode(data) == expected


def entry_with(attributes: bytes, dn: bytes = b"\x04\x00") -> bytes:
    return envelope(1, tlv(SEARCH_ENTRY, dn + attributes))


REFUSED = [
    ("no message id", tlv(0x30, tlv(SEARCH_DONE, DONE))),
    ("a negative message id", tlv(0x30, b"\x02\x01\xff" + tlv(SEARCH_DONE, DONE))),
    ("no operation", tlv(0x30, integer(1))),
    ("a request", envelope(1, bind_request("cn=x", "y"))),
    ("an unknown operation", envelope(1, tlv(0x7F, b""))),
    ("octets behind the operation", tlv(0x30, integer(1) + tlv(SEARCH_DONE, DONE) + b"\x00")),
    ("an element behind the controls", tlv(0x30, integer(1) + tlv(SEARCH_DONE, DONE) + tlv(0xA0, b"") + tlv(4, b""))),
    ("a result without a text", envelope(1, tlv(SEARCH_DONE, integer(0, 0x0A) + octets("")))),
    ("a result code that is no enumerated", envelope(1, tlv(SEARCH_DONE, integer(0) + octets("") + octets("")))),
    ("a broken referral", envelope(1, tlv(SEARCH_DONE, DONE + b"\xa3\x05x"))),
    ("an empty entry", envelope(1, tlv(SEARCH_ENTRY, b""))),
    ("a DN that is not UTF-8 (RFC 4511 4.1.3)", entry_with(tlv(0x30, b""), tlv(4, b"cn=\xff"))),
    ("a description that is not ASCII", entry_with(tlv(0x30, tlv(0x30, tlv(4, b"\xc3\xa4") + tlv(0x31, b""))))),
    ("attributes that are no sequence", entry_with(tlv(0x31, b""))),
    ("octets behind the attributes", entry_with(tlv(0x30, b"") + b"\x00")),
    ("an attribute without values", entry_with(tlv(0x30, tlv(0x30, octets("cn"))))),
    ("octets behind the values", entry_with(tlv(0x30, tlv(0x30, octets("cn") + tlv(0x31, b"") + b"\x00")))),
    ("a value that is no octet string", entry_with(tlv(0x30, tlv(0x30, octets("cn") + tlv(0x31, integer(1)))))),
    ("a value longer than its set", entry_with(tlv(0x30, tlv(0x30, octets("cn") + tlv(0x31, b"\x04\x7fx"))))),
    ("more attributes than the limit", entry_with(tlv(0x30, b"".join(tlv(0x30, octets(f"a{n}") + tlv(0x31, b"")) for n in range(messages.MAX_ATTRIBUTES + 1))))),
    ("one attribute again and again, without values", entry_with(tlv(0x30, tlv(0x30, octets("a") + tlv(0x31, b"")) * (messages.MAX_ATTRIBUTES + 1)))),
    ("a long DN", entry_with(tlv(0x30, b""), octets("o=" + "x" * MAX_DN))),
    ("a long description", entry_with(tlv(0x30, tlv(0x30, octets("a" * (messages.MAX_DESCRIPTION + 1)) + tlv(0x31, b""))))),
    ("a result of very many fields", envelope(1, tlv(SEARCH_DONE, DONE + b"\x80\x00" * (messages.MAX_RESULT_FIELDS + 1)))),
    ("more values than the limit", entry_with(tlv(0x30, tlv(0x30, octets("a") + tlv(0x31, b"\x04\x00" * (messages.MAX_VALUES + 1)))))),
]  # fmt: skip


@pytest.mark.parametrize("data", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_messages_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert "cn" not in str(caught.value)


def test_as_much_as_the_limits_allow() -> None:
    many = b"".join(tlv(0x30, octets("a") + tlv(0x31, octets(str(n)))) for n in range(messages.MAX_ATTRIBUTES))
    _, _, entry = decode(entry_with(tlv(0x30, many), octets("o=" + "x" * (MAX_DN - 2))))
    assert isinstance(entry, messages.Entry)
    assert (len(entry.dn), len(entry.attributes["a"])) == (MAX_DN, messages.MAX_ATTRIBUTES)


def test_a_long_text_is_cut() -> None:
    data = envelope(1, tlv(BIND_RESPONSE, integer(49, 0x0A) + octets("") + octets("ä" * 100_000)))
    _, _, operation = decode(data)
    assert isinstance(operation, Result)
    assert operation.message == "ä" * messages.MAX_TEXT


def test_a_lone_surrogate_is_refused_before_the_wire() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        SearchRequest("", compile_filter("(uid=%s)")).encode("\ud800")
    with pytest.raises(ValueError, match="surrogates"):
        bind_request("cn=x", "\ud800")


# Fuzz

SEEDS = [row[1] for row in READ] + [
    ldap3_oracle.message(3, ldap3_oracle.entry("uid=ada,ou=people,dc=example,dc=com", {
        "uid": [b"ada"], "memberof": [b"cn=admins,dc=x", b"cn=dev,dc=x"], "photo": [bytes(range(200))],
    })),
    ldap3_oracle.message(4, ldap3_oracle.result("BindResponse", 49, "dc=x", "80090308: LdapErr: DSID-0C09044E, data 52e")),
]  # fmt: skip


def mutate(chance: random.Random, data: bytes) -> bytes:
    """A few octets changed, removed, doubled or put in; sometimes nothing but noise."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        where = chance.randrange(len(changed) + 1)
        kind = chance.randrange(5)
        if kind == 0 and where < len(changed):
            changed[where] = chance.choice([0, 1, 0x30, 0x7F, 0x80, 0x84, 0xFF, chance.randrange(256)])
        elif kind == 1:
            del changed[where : where + chance.randint(1, 8)]
        elif kind == 2:
            changed[where:where] = changed[where : where + chance.randint(1, 20)]
        elif kind == 3:
            changed[where:where] = chance.randbytes(chance.randint(1, 6))
        else:
            changed = bytearray(b"\x30" + chance.randbytes(chance.randint(0, 60)))
    return bytes(changed)


def test_fuzz_of_the_decoder() -> None:
    """Nothing but ProtocolError, whatever comes; what is accepted is bounded by what was sent."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    accepted = 0
    tracemalloc.start()
    try:
        for _ in range(FUZZ_CASES):
            data = mutate(chance, chance.choice(SEEDS))
            try:
                _, _, operation = decode(data)
            except ProtocolError:
                continue
            except Exception as error:
                pytest.fail(f"{error!r} for {data.hex()} (seed {seed})")
            accepted += 1
            if isinstance(operation, Entry):
                values = [value for values in operation.attributes.values() for value in values]
                assert sum(map(len, [*operation.attributes, *values])) <= len(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert 0 < accepted < FUZZ_CASES


@given(st.binary(max_size=300))
def test_noise(data: bytes) -> None:
    for prefix in (b"", b"\x30", tlv(0x30, integer(1))[:1]):
        try:
            decode(prefix + data)
        except ProtocolError:
            continue
