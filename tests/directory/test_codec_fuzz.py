"""A million spoiled answers through a whole connection: nothing but its own errors, no hang, no growth (acceptance 6).

What is spoiled was recorded from a real slapd, or is what other products say and slapd does not. It arrives in pieces,
as from a network, and what is accepted goes on to everything that reads it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.schema import Server
from gateway.directory.account import AccountReader, external_id
from gateway.directory.account_state import EXPIRED_CONTROL, entry_restrictions, login_restriction
from gateway.directory.ber import DirectoryError, ProtocolError, integer, octets, tlv
from gateway.directory.connection import Connection, Endpoint
from gateway.directory.controls import PAGED_RESULTS, PASSWORD_POLICY, control, controls, read_cookie
from gateway.directory.filters import compile_filter
from gateway.directory.hosts import connect
from gateway.directory.messages import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    INTERMEDIATE_RESPONSE,
    NOTICE_OF_DISCONNECTION,
    SEARCH_DONE,
    SEARCH_ENTRY,
    SEARCH_REFERENCE,
    Entry,
    Result,
    SearchRequest,
    envelope,
)
from gateway.directory.sids import is_sid, sibling
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.directory import ldap3_oracle
from tests.directory.small_directory import elements
from tests.directory.test_messages import FUZZ_CASES, mutate

MAX_MESSAGE = 100 * 1024
REQUEST = SearchRequest(BASE_DN, compile_filter("(uid=%s)"))
READER = AccountReader(Server(name="corp", urls=("ldap://127.0.0.1",), search_base_dns=(BASE_DN,)))
SID = bytes.fromhex("010500000000000515000000a065cf7e784b9b5fe77c8770091c0100")


def result(kind: int, code: int = 0, text: str = "", more: bytes = b"") -> bytes:
    return tlv(kind, integer(code, 0x0A) + octets("") + octets(text) + more)


def wide(message: bytes) -> bytes:
    """With a length field of four octets, as Active Directory writes them."""
    ((tag, content),) = elements(message)
    return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content


PERSON = ldap3_oracle.entry("CN=Ada,DC=ad", {
    "objectSid": [SID], "objectGUID": [bytes(range(16))], "primaryGroupID": [b"513"], "userAccountControl": [b"514"],
    "accountExpires": [b"126227808000000000"], "memberOf;range=0-1499": [b"cn=a,dc=x", b"cn=b,dc=x"], "pwdReset": [b"TRUE"],
    "krbPasswordExpiration": [b"20200101000000Z"], "photo": [bytes(9000)],
})  # fmt: skip
POLICY = [control(PASSWORD_POLICY, bytes.fromhex(value)) for value in ("3003810101", "3008a003800101810102", "3005a003810102")]
OTHERS = {
    "search": [
        wide(ldap3_oracle.message(1, PERSON)),
        ldap3_oracle.message(1, ldap3_oracle.entry("cn=larger than a buffer", {"jpegPhoto": [bytes(70_000)]})),
        envelope(1, tlv(SEARCH_REFERENCE, octets("ldap://elsewhere/dc=x"))),
        envelope(1, tlv(INTERMEDIATE_RESPONSE, octets("1.2.3", 0x80) + tlv(0x81, b"state"))),
        envelope(1, result(SEARCH_DONE, 10, "go away", tlv(0xA3, octets("ldap://elsewhere/")))),
        envelope(1, result(SEARCH_DONE, 4, "too many")),
    ],
    "bind": [
        *(envelope(1, result(BIND_RESPONSE, 49) + controls(value)) for value in POLICY),
        envelope(1, result(BIND_RESPONSE) + controls(control(EXPIRED_CONTROL, b"0"), *POLICY)),
        wide(envelope(1, result(BIND_RESPONSE, 49, "80090308: LdapErr: DSID-0C0903A9, comment: error, data 775, v1db1\0"))),
        envelope(1, result(BIND_RESPONSE, 53, "Account inactivated. Contact system administrator.")),
    ],
}
UNASKED = [
    envelope(0, result(EXTENDED_RESPONSE, 52, "shutting down", octets(NOTICE_OF_DISCONNECTION, 0x8A))),
    envelope(2, result(SEARCH_DONE)),
]


@pytest.fixture
async def recorded(company: Slapd) -> AsyncIterator[dict[str, list[bytes]]]:
    """What slapd answers to searches with and without pages, and to binds; every message with the id 1."""
    relay = await Relay.start("127.0.0.1", company.port)
    connection = await connect(
        Endpoint("127.0.0.1", relay.port), None, timeout=10, max_message=1 << 20, max_entries=1000
    )
    people = SearchRequest(BASE_DN, compile_filter("(|(objectClass=person)(cn=*))"), ("*", "+"))
    await connection.bind(SERVICE_DN, "wrong", 10)
    await connection.bind(SERVICE_DN, SERVICE_PASSWORD, 10)
    await connection.search(people, "", 10)
    await connection.search(people.page(5), "", 10)
    await connection.search(SearchRequest("dc=none", people.filter), "", 10)
    await connection.close()
    said: dict[str, list[bytes]] = {"search": [], "bind": []}
    for _, message in elements(bytes(relay.answered)):
        (_, _), (kind, operation), *more = elements(message)
        with_controls = b"".join(tlv(tag, content) for tag, content in more)
        said["bind" if kind == BIND_RESPONSE else "search"].append(envelope(1, tlv(kind, operation) + with_controls))
    await relay.close()
    yield said


class Wire(asyncio.Transport):
    """The end of a connection that a loop would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """What we say does not matter here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    close = abort = pause_reading


def feed(connection: Connection, wire: Wire, chance: random.Random, data: bytes) -> None:
    """In pieces of any size, into the room that the connection gives, for as long as it listens."""
    largest = chance.choice((1, 7, 200, len(data))) if len(data) < 2000 else chance.choice((1500, len(data)))
    while data and wire.reading:
        room = connection.get_buffer(-1)
        assert room, "a loop would spin for ever"
        size = min(len(room), chance.randint(1, max(largest, 1)), len(data))
        room[:size] = data[:size]
        data = data[size:]
        connection.buffer_updated(size)


def read_all(answer: tuple[list[Entry], Result] | Result) -> None:
    """Everything that makes something of what a directory said."""
    entries, found = answer if not isinstance(answer, Result) else ([], answer)
    for entry in entries:
        external_id(entry)
        READER.account(entry, "ada")
        entry_restrictions(entry.attributes, time.time())
        for values in entry.attributes.values():
            assert all(sibling(value, b"513") is None or is_sid(value) for value in values)
    login_restriction(entries[0].attributes if entries else {}, found, time.time())
    for given in found.controls:
        if given.oid == PAGED_RESULTS:
            read_cookie(given.value)


async def one_case(chance: random.Random, kind: str, data: bytes) -> str:
    """What became of it."""
    wire, connection = Wire(), Connection(Endpoint("127.0.0.1", 389), max_message=MAX_MESSAGE, max_entries=50)
    connection.connection_made(wire)
    if kind == "bind":
        asked: asyncio.Task[tuple[list[Entry], Result] | Result] = asyncio.ensure_future(connection.bind("cn=x", "y", 60))
    else:
        asked = asyncio.ensure_future(connection.search(REQUEST, "ada", 60))
    await asyncio.sleep(0)
    feed(connection, wire, chance, data)
    connection.abort()
    try:
        read_all(await asked)
        return "read"
    except ProtocolError:
        return "refused"
    except DirectoryError:
        return "unanswered"


def resident() -> int:
    """Octets of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_spoiled_answers(recorded: dict[str, list[bytes]]) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    said = {kind: recorded[kind] + OTHERS[kind] for kind in recorded}
    anything = [*said["search"], *said["bind"], *UNASKED]
    outcomes = dict.fromkeys(("read", "refused", "unanswered"), 0)
    settled, slowest, number = 0, 0.0, 0
    while number < FUZZ_CASES:
        kind = chance.choice(("search", "bind"))
        messages = [chance.choice(said[kind] if chance.random() < 0.9 else anything) for _ in range(chance.randint(1, 3))]
        data = b"".join(mutate(chance, message) if chance.random() < 0.6 else message for message in messages)
        begun = time.process_time()
        try:
            outcomes[await one_case(chance, kind, data)] += 1
        except Exception as error:
            pytest.fail(f"{error!r} for {kind} {data.hex()} (seed {seed})")
        slowest = max(slowest, time.process_time() - begun)
        number += len(messages)
        if not settled and number > FUZZ_CASES // 4:
            gc.collect()
            settled = resident()
    gc.collect()
    assert resident() - settled < 8_000_000
    assert slowest < 2.0, f"seed {seed}"
    assert all(count > FUZZ_CASES // 50 for count in outcomes.values()), outcomes


KINDS = {BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE}


async def test_what_is_recorded_is_enough(recorded: dict[str, list[bytes]]) -> None:
    """Unspoiled, all of it is read; every kind of answer is there."""
    chance = random.Random(1)
    for kind, messages in recorded.items():
        last = [message for message in messages if elements(elements(message)[0][1])[1][0] != SEARCH_ENTRY]
        assert len(last) >= 2
        for message in last:
            assert await one_case(chance, kind, message) == "read"
    found = {elements(elements(message)[0][1])[1][0] for messages in recorded.values() for message in messages}
    assert found == KINDS
    assert any(PAGED_RESULTS.encode() in message for message in recorded["search"])
