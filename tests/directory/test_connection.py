"""Connections to a real slapd, plain, StartTLS and LDAPS, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.directory.ber import integer, octets, tlv
from gateway.directory.connection import (
    AnswerTooLarge,
    Connection,
    ConnectionLost,
    EmptyPassword,
    Endpoint,
    ProtocolError,
    Unreachable,
)
from gateway.directory.filters import compile_filter
from gateway.directory.hosts import connect
from gateway.directory.messages import SEARCH_DONE, Entry, Result, Scope, SearchRequest, envelope
from gateway.directory.tls import tls_context
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD, Slapd, make_certificates
from tests.directory import ldap3_oracle

BY_UID = SearchRequest(BASE_DN, compile_filter("(&(objectClass=person)(uid=%s))"), ["uid", "mail", "memberOf"])
EVERYTHING = SearchRequest(BASE_DN, compile_filter("(objectClass=*)"))
SECONDS = 10.0


def authorities(slapd: Slapd) -> ssl.SSLContext:
    return tls_context(ca_files=[slapd.ca_file])[0]


@asynccontextmanager
async def connected(
    endpoint: Endpoint, context: ssl.SSLContext | None = None, *, max_message: int = 1 << 20, max_entries: int = 1000
) -> AsyncIterator[Connection]:
    connection = await connect(
        endpoint, context, timeout=SECONDS, max_message=max_message, max_entries=max_entries
    )  # fmt: skip
    try:
        yield connection
    finally:
        await connection.close()


TRANSPORTS: list[Callable[[Slapd], Endpoint]] = [
    lambda slapd: Endpoint("127.0.0.1", slapd.port),
    lambda slapd: Endpoint("localhost", slapd.port, "starttls"),
    lambda slapd: Endpoint("localhost", slapd.ldaps_port, "ldaps"),
    lambda slapd: Endpoint("127.0.0.1", slapd.ldaps_port, "ldaps"),
]


# Login, password, DN as slapd spells it, mail: company.ldif.
PEOPLE = [
    ("grace", "cobol-1959", "uid=grace,ou=people,dc=example,dc=com", [b"grace@example.com"]),
    ("jürgen", "pä:ss", "uid=jürgen,ou=people,dc=example,dc=com", [b"juergen@example.com"]),
    ("lovelace", "notes,on#engine", r"cn=Lovelace\2C Ada,ou=people,dc=example,dc=com", [b"lovelace@example.com"]),
    ("seven", "sieben", r"cn=\237 \2B Söhne,ou=people,dc=example,dc=com", [b"seven@example.com"]),
    ("bob", "st*r(light)\\", r"cn=Bob \22The (*) Star\22 \5C Smith,ou=people,dc=example,dc=com", [b"bob@example.com"]),
    ("o*(brien)", "transporter", "uid=o*(brien),ou=people,dc=example,dc=com", [b"obrien@example.com"]),
    ("nomail", "paper", "uid=nomail,ou=people,dc=example,dc=com", []),
]


@pytest.mark.parametrize("endpoint", TRANSPORTS, ids=["plain", "starttls", "ldaps", "ldaps by address"])
async def test_people_are_found_and_bind(endpoint: Callable[[Slapd], Endpoint], company: Slapd) -> None:
    context = authorities(company)
    async with connected(endpoint(company), context) as service, connected(endpoint(company), context) as person:
        assert (await service.bind(SERVICE_DN, SERVICE_PASSWORD, SECONDS)).code == 0
        for login, password, dn, mail in PEOPLE:
            entries, result = await service.search(BY_UID, login, SECONDS)
            assert (result.code, [entry.dn for entry in entries]) == (0, [dn])
            assert entries[0].attributes.get("mail", []) == mail
            assert (await person.bind(dn, password, SECONDS)).code == 0
            assert (await person.bind(dn, password + "x", SECONDS)).code == 49


async def test_results_that_are_no_errors(company: Slapd) -> None:
    async with connected(Endpoint("127.0.0.1", company.port)) as connection:
        assert await connection.search(BY_UID, "nobody", SECONDS) == ([], Result(0))
        missing = SearchRequest(f"ou=nowhere,{BASE_DN}", compile_filter("(uid=%s)"))
        assert (await connection.search(missing, "x", SECONDS))[1].code == 32
        limited = SearchRequest(BASE_DN, compile_filter("(objectClass=*)"), size_limit=3)
        entries, result = await connection.search(limited, "", SECONDS)
        assert (len(entries), result.code) == (3, 4)
        assert (await connection.bind(f"uid=locked,ou=people,{BASE_DN}", "x", SECONDS)).code in (48, 49)


async def test_the_service_may_not_read_passwords(company: Slapd) -> None:
    async with connected(Endpoint("127.0.0.1", company.port)) as connection:
        for who in ((SERVICE_DN, SERVICE_PASSWORD), None):
            if who:
                await connection.bind(*who, SECONDS)
            else:
                await connection.bind_without_password("", SECONDS)
            entries, _ = await connection.search(EVERYTHING, "", SECONDS)
            assert len(entries) > 20
            assert not any("userpassword" in entry.attributes for entry in entries)


async def test_searches_share_a_connection(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with connected(Endpoint("127.0.0.1", relay.port)) as connection:
            logins = [person[0] for person in PEOPLE] * 10
            answers = await asyncio.gather(*(connection.search(BY_UID, login, SECONDS) for login in logins))
            for login, (entries, result) in zip(logins, answers, strict=True):
                assert (result.code, entries[0].attributes["uid"]) == (0, [login.encode()])
            assert connection.outstanding == 0
        assert relay.connections == 1
    finally:
        await relay.close()


async def test_a_bind_is_alone(company: Slapd) -> None:
    """RFC 4511 section 4.2.1."""
    async with connected(Endpoint("127.0.0.1", company.port)) as connection:
        search = asyncio.create_task(connection.search(BY_UID, "grace", SECONDS))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await connection.bind(SERVICE_DN, SERVICE_PASSWORD, SECONDS)
        await search
        bind = asyncio.create_task(connection.bind(SERVICE_DN, SERVICE_PASSWORD, SECONDS))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await connection.search(BY_UID, "grace", SECONDS)
        assert (await bind).code == 0


@pytest.mark.parametrize("password", ["", "\0", "\0secret"])
async def test_an_empty_password_never_reaches_the_wire(password: str, company: Slapd) -> None:
    """grafana.md 2.1, RFC 4513 section 5.1.2."""
    relay = await Relay.start(company.host, company.port)
    try:
        async with connected(Endpoint("127.0.0.1", relay.port)) as connection:
            with pytest.raises(EmptyPassword):
                await connection.bind(SERVICE_DN, password, SECONDS)
            with pytest.raises(ValueError, match="without a name"):
                await connection.bind("", "secret", SECONDS)
            await asyncio.sleep(0)
            assert relay.sent == b""
            assert (await connection.bind(SERVICE_DN, SERVICE_PASSWORD, SECONDS)).code == 0
    finally:
        await relay.close()


async def test_closing_says_goodbye(company: Slapd) -> None:
    """RFC 4511 section 4.3: an unbind, then the end of the connection, which slapd answers by its own."""
    relay = await Relay.start(company.host, company.port)
    try:
        async with connected(Endpoint("127.0.0.1", relay.port)) as connection:
            await connection.search(BY_UID, "grace", SECONDS)
        with pytest.raises(ConnectionLost):
            await connection.search(BY_UID, "grace", SECONDS)
        async with asyncio.timeout(SECONDS):
            while not relay.sent.endswith(b"\x30\x05\x02\x01\x02\x42\x00"):
                await asyncio.sleep(0.01)
    finally:
        await relay.close()


# TLS


async def refused(endpoint: Endpoint, context: ssl.SSLContext) -> str:
    with pytest.raises(Unreachable) as caught:
        await connect(endpoint, context, timeout=SECONDS)
    assert str(caught.value).startswith(str(endpoint))
    return str(caught.value)


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
async def test_another_authority_is_refused(tls: str, company: Slapd, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    port = company.ldaps_port if tls == "ldaps" else company.port
    endpoint = Endpoint("localhost", port, "ldaps" if tls == "ldaps" else "starttls")
    for context, _ in (tls_context(ca_files=[tmp_path / "ca.pem"]), tls_context()):
        told = await refused(endpoint, context)
        assert "certificate refused: " in told
        assert told.endswith("(set root_ca_cert)")
    async with connected(endpoint, tls_context(skip_verify=True)[0]) as connection:
        assert len((await connection.search(BY_UID, "grace", SECONDS))[0]) == 1


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
async def test_another_host_name_is_refused(tls: str, company: Slapd) -> None:
    """127.0.0.2 leads to a relay in front of the same slapd, whose certificate names 127.0.0.1."""
    relay = Relay(company.host, company.ldaps_port if tls == "ldaps" else company.port)
    await relay.listen_on("127.0.0.2")
    try:
        endpoint = Endpoint("127.0.0.2", relay.port, "ldaps" if tls == "ldaps" else "starttls")
        told = await refused(endpoint, authorities(company))
        assert "certificate refused: IP address mismatch" in told
        assert "127.0.0.2" in told.removeprefix(str(endpoint))
        assert "root_ca_cert" not in told
    finally:
        await relay.close()


async def test_tls_version_and_cipher_hold(company: Slapd) -> None:
    endpoint = Endpoint("localhost", company.ldaps_port, "ldaps")
    context, _ = tls_context(
        ca_files=[company.ca_file], max_version="TLS1.2", ciphers=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
    )
    async with connected(endpoint, context) as connection:
        assert len((await connection.search(BY_UID, "grace", SECONDS))[0]) == 1
    context, _ = tls_context(ca_files=[company.ca_file], max_version="TLS1.2", ciphers=["TLS_RSA_WITH_AES_128_CBC_SHA"])
    told = await refused(endpoint, context)
    assert "TLS failed" in told or "reset" in told


async def test_tls_where_none_is_spoken_and_the_reverse(company: Slapd) -> None:
    await refused(Endpoint("localhost", company.port, "ldaps"), authorities(company))
    async with connected(Endpoint("127.0.0.1", company.ldaps_port)) as connection:
        with pytest.raises((ConnectionLost, ProtocolError)):
            await connection.search(BY_UID, "grace", SECONDS)


async def test_starttls_where_it_is_not_offered(own_slapd: Slapd) -> None:
    told = await refused(Endpoint("127.0.0.1", own_slapd.port, "starttls"), tls_context()[0])
    assert "StartTLS refused: 2 protocolError" in told


async def test_words_in_clear_behind_starttls_are_refused(company: Slapd) -> None:
    """An attacker in the middle may append answers in clear to that of StartTLS; they must not count."""
    relay = await Relay.start(company.host, company.port)
    relay.spoil = lambda data: data + envelope(2, tlv(0x61, integer(0, 0x0A) + octets("") + octets("")))
    try:
        with pytest.raises(Unreachable, match="in clear"):
            await connect(Endpoint("127.0.0.1", relay.port, "starttls"), authorities(company), timeout=SECONDS)
    finally:
        await relay.close()


# Limits


async def test_too_many_entries_fail_the_search_alone(company: Slapd) -> None:
    async with connected(Endpoint("127.0.0.1", company.port), max_entries=5) as connection:
        many = asyncio.create_task(connection.search(EVERYTHING, "", SECONDS))
        one = asyncio.create_task(connection.search(BY_UID, "grace", SECONDS))
        with pytest.raises(AnswerTooLarge):
            await many
        assert len((await one)[0]) == 1
        assert len((await connection.search(BY_UID, "alan", SECONDS))[0]) == 1


async def test_too_large_an_answer_fails_the_search_alone(company: Slapd) -> None:
    async with connected(Endpoint("127.0.0.1", company.port), max_message=1000) as connection:
        with pytest.raises(AnswerTooLarge):
            await connection.search(EVERYTHING, "", SECONDS)
        assert len((await connection.search(BY_UID, "alan", SECONDS))[0]) == 1


async def test_too_long_a_message_ends_the_connection(company: Slapd) -> None:
    async with connected(Endpoint("127.0.0.1", company.port), max_message=100) as connection:
        with pytest.raises(ProtocolError, match="over the limit of 100"):
            await connection.search(EVERYTHING, "", SECONDS)
        assert not connection.usable


# Every way to cut the stream


@asynccontextmanager
async def unconnected() -> AsyncIterator[Connection]:
    """A connection on one end of a socket pair, so that a test decides what each read brings."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    connection = Connection(Endpoint("pair", 0), max_message=1 << 20, max_entries=1000)
    await loop.create_connection(lambda: connection, sock=ours)
    try:
        yield connection
    finally:
        await connection.close()
        theirs.close()


def feed(connection: Connection, data: bytes) -> None:
    while data:
        buffer = connection.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        connection.buffer_updated(size)
        data = data[size:]


ENTRIES = [Entry(f"uid=u{n},dc=x", {"uid": [f"u{n}".encode()], "photo": [bytes([n]) * 150]}) for n in range(3)]


def answer(message_id: int) -> bytes:
    entries = [ldap3_oracle.message(message_id, ldap3_oracle.entry(entry.dn, entry.attributes)) for entry in ENTRIES]
    reference = envelope(message_id, tlv(0x73, octets("ldap://elsewhere")))
    done = envelope(message_id, tlv(SEARCH_DONE, integer(0, 0x0A) + octets("") + octets("done")))
    return b"".join(entries) + reference + done


async def test_every_split_point() -> None:
    async with unconnected() as connection:
        for cut in range(len(answer(1))):
            search = asyncio.create_task(connection.search(EVERYTHING, "", SECONDS))
            await asyncio.sleep(0)
            data = answer(cut + 1)
            feed(connection, data[:cut])
            feed(connection, data[cut:])
            assert await search == (ENTRIES, Result(0, "", "done"))


async def test_octet_by_octet_and_all_at_once() -> None:
    async with unconnected() as connection:
        for pieces in (1, 1 << 20):
            searches = [asyncio.create_task(connection.search(EVERYTHING, "", SECONDS)) for _ in range(2)]
            await asyncio.sleep(0)
            first = 1 if pieces == 1 else 3
            data = answer(first + 1) + answer(first)
            for position in range(0, len(data), pieces):
                feed(connection, data[position : position + pieces])
            assert await asyncio.gather(*searches) == [(ENTRIES, Result(0, "", "done"))] * 2


async def test_a_message_longer_than_the_buffer() -> None:
    async with unconnected() as connection:
        for size in (70_000, 500_000, 10):
            big = Entry("cn=big", {"photo": [b"x" * size]})
            search = asyncio.create_task(connection.search(EVERYTHING, "", SECONDS))
            await asyncio.sleep(0)
            message_id = {70_000: 1, 500_000: 2, 10: 3}[size]
            feed(connection, ldap3_oracle.message(message_id, ldap3_oracle.entry(big.dn, big.attributes)))
            feed(connection, answer(message_id))
            assert (await search)[0] == [big, *ENTRIES]
        assert len(connection.get_buffer(-1).obj) == 64 * 1024  # type: ignore[arg-type]


async def outcome(connection: Connection, request: SearchRequest, data: list[bytes]) -> tuple[int, object]:
    """The number of the piece with which it ended, and the entries or the error."""
    search = asyncio.create_task(connection.search(request, "", SECONDS))
    await asyncio.sleep(0)
    taken = 0
    while connection.outstanding:
        feed(connection, data[taken])
        taken += 1
    (ended,) = await asyncio.gather(search, return_exceptions=True)
    return taken - 1, ended if isinstance(ended, BaseException) else ended[0]


def entry_of(message_id: int, values: int, octets_each: int = 2) -> bytes:
    return ldap3_oracle.message(message_id, ldap3_oracle.entry("uid=x", {"a": [b"x" * octets_each] * values}))


async def test_a_search_may_have_limits_of_its_own() -> None:
    """Values count for the memory that they take: two octets on the wire are forty in here."""
    few = SearchRequest("dc=x", compile_filter("(a=b)"), entries_at_most=3)
    small = SearchRequest("dc=x", compile_filter("(a=b)"), octets_at_most=100_000)
    async with unconnected() as connection:
        number, error = await outcome(connection, few, [entry_of(1, 1)] * 10)
        assert (number, type(error)) == (3, AnswerTooLarge)
        number, error = await outcome(connection, small, [entry_of(3, 500)] * 10)
        assert (number, type(error)) == (2, AnswerTooLarge)
        references = [envelope(5, tlv(0x73, octets("ldap://" + "x" * 30_000)))] * 10
        number, error = await outcome(connection, small, references)
        assert (number, type(error)) == (3, AnswerTooLarge)
        data = [entry_of(7, 400), entry_of(7, 400), envelope(7, tlv(SEARCH_DONE, integer(0, 0x0A) + octets("") * 2))]
        number, found = await outcome(connection, small, data)
        assert (number, len(found)) == (2, 2)  # type: ignore[arg-type]
        assert connection.usable


async def test_all_searches_together_have_a_limit() -> None:
    async with unconnected() as connection:
        each = 3 << 20  # of four messages of 1 MiB each; together eight
        for first in (1, 7):
            tasks = [asyncio.create_task(connection.search(EVERYTHING, "", SECONDS)) for _ in range(3)]
            await asyncio.sleep(0)
            for message_id in range(first, first + 3):
                for _ in range(each >> 19):
                    feed(connection, entry_of(message_id, 1, (1 << 19) - 100))
            last = first + 2
            assert isinstance((await asyncio.gather(tasks[-1], return_exceptions=True))[0], AnswerTooLarge)
            for message_id in range(first, last):
                feed(connection, envelope(message_id, tlv(SEARCH_DONE, integer(0, 0x0A) + octets("") * 2)))
            assert [len((await task)[0]) for task in tasks[:2]] == [6, 6]
            connection._last_id = 6
        assert connection.usable


async def test_one_read_takes_little_beyond_what_is_waited_for() -> None:
    """Both loops read again and again while there is something, and look after nobody else meanwhile."""
    async with unconnected() as connection:
        search = asyncio.create_task(connection.search(EVERYTHING, "", SECONDS))
        await asyncio.sleep(0)
        long = entry_of(1, 1, 700_000)
        feed(connection, long[:500_000])
        assert connection.get_buffer(-1).nbytes <= len(long) - 500_000
        feed(connection, long[500_000:])
        assert connection.get_buffer(-1).nbytes <= 16 * 1024
        feed(connection, envelope(1, tlv(SEARCH_DONE, integer(0, 0x0A) + octets("") * 2)))
        assert len((await search)[0]) == 1


async def test_others_get_their_turn_between_long_messages() -> None:
    """Octets that have arrived already are read without a look at anything else, as far as the loops are concerned."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    connection = Connection(Endpoint("pair", 0), max_message=1 << 20, max_entries=1000)
    await loop.create_connection(lambda: connection, sock=ours)
    search = asyncio.create_task(connection.search(EVERYTHING, "", SECONDS))
    try:
        await asyncio.sleep(0)
        pending = connection._pending[1]
        data = entry_of(1, 1, 40_000) * 4
        assert theirs.send(data) == len(data)
        seen = set()
        async with asyncio.timeout(SECONDS):
            while len(pending.entries) < 4:
                seen.add(len(pending.entries))
                await asyncio.sleep(0)
        assert seen == {0, 1, 2, 3}
    finally:
        search.cancel()
        await connection.close()
        theirs.close()


async def test_scopes(company: Slapd) -> None:
    async with connected(Endpoint("127.0.0.1", company.port)) as connection:
        found = {}
        for scope in Scope:
            request = SearchRequest(f"ou=people,{BASE_DN}", compile_filter("(objectClass=*)"), ["1.1"], scope=scope)
            entries, _ = await connection.search(request, "", SECONDS)
            assert all(entry.attributes == {} for entry in entries)
            found[scope] = len(entries)
        assert found[Scope.BASE] == 1
        assert found[Scope.SUBTREE] == found[Scope.ONE_LEVEL] + 1
