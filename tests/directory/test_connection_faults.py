"""What goes wrong on the way: a relay holds up, cuts and spoils what a real slapd says; slapd is killed and stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest

from gateway.directory.ber import integer, octets, tlv
from gateway.directory.connection import (
    Connection,
    ConnectionLost,
    Endpoint,
    ProtocolError,
    ServiceBindFailed,
    TimedOut,
    Unreachable,
)
from gateway.directory.filters import compile_filter
from gateway.directory.hosts import bind_service, connect
from gateway.directory.messages import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    NOTICE_OF_DISCONNECTION,
    SEARCH_DONE,
    SearchRequest,
    abandon_request,
    envelope,
)
from gateway.directory.tls import tls_context
from tests.directories.process import free_port
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD, Slapd

BY_UID = SearchRequest(BASE_DN, compile_filter("(&(objectClass=person)(uid=%s))"), ["uid"])
EVERYTHING = SearchRequest(BASE_DN, compile_filter("(objectClass=*)"))
SECONDS = 10.0
SHORT = 0.1
DONE = integer(0, 0x0A) + octets("") + octets("")


@asynccontextmanager
async def relayed(slapd: Slapd) -> AsyncIterator[tuple[Relay, Connection]]:
    relay = await Relay.start(slapd.host, slapd.port)
    connection = await connect(Endpoint("127.0.0.1", relay.port), None, timeout=SECONDS)
    try:
        yield relay, connection
    finally:
        await connection.close()
        await relay.close()


async def heard(relay: Relay, octets_sent: bytes) -> None:
    """Until the client has sent these octets."""
    async with asyncio.timeout(SECONDS):
        while octets_sent not in relay.sent:
            await asyncio.sleep(0.005)


async def test_a_late_answer_is_read_over(company: Slapd) -> None:
    """RFC 4511 section 4.11: the search is abandoned; what still comes for it disturbs nobody."""
    async with relayed(company) as (relay, connection):
        relay.hold()
        with pytest.raises(TimedOut):
            await connection.search(EVERYTHING, "", SHORT)
        await heard(relay, envelope(2, abandon_request(1)))
        assert (connection.usable, connection.outstanding) == (False, 0)
        relay.let_go()
        assert len((await connection.search(BY_UID, "grace", SECONDS))[0]) == 1
        assert connection.usable


async def test_a_cancelled_search_is_abandoned(company: Slapd) -> None:
    async with relayed(company) as (relay, connection):
        relay.hold()
        search = asyncio.create_task(connection.search(EVERYTHING, "", SECONDS))
        other = asyncio.create_task(connection.search(BY_UID, "grace", SECONDS))
        await asyncio.sleep(0)
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search
        await heard(relay, envelope(3, abandon_request(1)))
        relay.let_go()
        assert len((await other)[0]) == 1
        assert connection.usable


async def test_silence_in_the_middle_of_an_answer_is_silence(company: Slapd) -> None:
    async with relayed(company) as (relay, connection):

        def beginning(data: bytes) -> bytes:
            relay.forget()
            return data[:40]

        relay.spoil = beginning
        with pytest.raises(TimedOut):
            await connection.search(EVERYTHING, "", 3 * SHORT)
        assert relay.answered
        assert (connection.silent, connection.usable) == (True, False)


async def test_one_slow_answer_among_others_is_no_silence(company: Slapd) -> None:
    """An unsolicited notification that means nothing to us (RFC 4511 section 4.4) stands for the answers of others."""
    async with relayed(company) as (relay, connection):
        relay.hold()
        search = asyncio.create_task(connection.search(EVERYTHING, "", 3 * SHORT))
        while not search.done():
            relay.inject(envelope(0, tlv(EXTENDED_RESPONSE, DONE + octets("1.2.3.4", 0x8A))))
            await asyncio.sleep(0.01)
        assert isinstance(search.exception(), TimedOut)
        assert connection.usable


async def test_a_search_cancelled_after_long_silence_leaves_it_silent(company: Slapd) -> None:
    """The limit of a whole login may be shorter than that of an operation."""
    async with relayed(company) as (relay, connection):
        relay.forget()
        for timeout, usable in ((SECONDS, True), (2 * SHORT, False)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5 * SHORT):
                    await connection.search(BY_UID, "grace", timeout)
            assert connection.usable is usable


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_bind_given_up_ends_the_connection(how: str, company: Slapd) -> None:
    async with relayed(company) as (relay, connection):
        relay.hold()
        timeout = SHORT if how == "timeout" else SECONDS
        bind = asyncio.create_task(connection.bind(SERVICE_DN, SERVICE_PASSWORD, timeout))
        await heard(relay, SERVICE_PASSWORD.encode())
        if how == "cancel":
            bind.cancel()
        with pytest.raises((TimedOut, asyncio.CancelledError)):
            await bind
        assert not connection.usable
        with pytest.raises(ConnectionLost):
            await connection.search(BY_UID, "grace", SECONDS)


@pytest.mark.parametrize("octets_passed", [0, 1, 3, 20, 200, 400])
async def test_cut_in_the_middle_of_an_answer(octets_passed: int, company: Slapd) -> None:
    async with relayed(company) as (relay, connection):
        relay.cut_after = octets_passed
        searches = [asyncio.create_task(connection.search(EVERYTHING, "", SECONDS)) for _ in range(3)]
        for answer in await asyncio.gather(*searches, return_exceptions=True):
            assert isinstance(answer, ConnectionLost)
            assert f":{relay.port}" in str(answer)
        assert not connection.usable


SPOILT = [
    ("another protocol", lambda data: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("noise behind", lambda data: data + b"\xff\xff\xff" if data.endswith(DONE) else data),
    ("the first octet lost", lambda data: data[1:]),
    ("zeros", lambda data: bytes(len(data))),
    ("an id nobody used", lambda data: envelope(999, tlv(SEARCH_DONE, DONE))),
    ("an answer of another kind", lambda data: envelope(1, tlv(0x61, DONE))),
    ("StartTLS answered unasked", lambda data: envelope(1, tlv(EXTENDED_RESPONSE, DONE))),
    ("four gigabytes announced", lambda data: b"\x30\x84\xff\xff\xff\xff"),
]


@pytest.mark.parametrize("spoil", [row[1] for row in SPOILT], ids=[row[0] for row in SPOILT])
async def test_spoilt_answers(spoil: object, company: Slapd) -> None:
    async with relayed(company) as (relay, connection):
        relay.spoil = spoil  # type: ignore[assignment]
        if spoil is SPOILT[1][1]:
            assert len((await connection.search(BY_UID, "grace", SECONDS))[0]) == 1
            async with asyncio.timeout(SECONDS):
                while connection.usable:
                    await asyncio.sleep(0.005)
            return
        with pytest.raises(ProtocolError, match=f":{relay.port}: "):
            await connection.search(BY_UID, "grace", SECONDS)
        assert not connection.usable


async def test_notice_of_disconnection(company: Slapd) -> None:
    """RFC 4511 section 4.4.1; any other unsolicited notification is ignored (section 4.4)."""
    async with relayed(company) as (relay, connection):
        ends: list[Connection] = []
        connection.on_lost = ends.append
        other = integer(0, 0x0A) + octets("") + octets("") + octets("1.2.3.4", 0x8A)
        relay.inject(envelope(0, tlv(EXTENDED_RESPONSE, other)))
        await connection.search(BY_UID, "grace", SECONDS)
        relay.hold()
        search = asyncio.create_task(connection.search(BY_UID, "grace", SECONDS))
        notice = integer(52, 0x0A) + octets("") + octets("going down") + octets(NOTICE_OF_DISCONNECTION, 0x8A)
        relay.inject(envelope(0, tlv(EXTENDED_RESPONSE, notice)))
        with pytest.raises(ConnectionLost, match=r"disconnected by the directory: 52 unavailable \(going down\)"):
            await search
        assert ends == [connection]


# Result code (RFC 4511 appendix A) and text of the directory, name and password, what the operator reads.
ACCOUNT = f"the service account {SERVICE_DN}"
CHECK, NO_PASSWORD = "; check bind_dn and bind_password", f"{ACCOUNT} without a password"
REFUSALS = [
    (49, "", SERVICE_DN, "x", f"{ACCOUNT} was refused: 49 invalidCredentials{CHECK}"),
    (49, "data 52e", SERVICE_DN, "x", f"{ACCOUNT} was refused: 49 invalidCredentials (data 52e){CHECK}"),
    (53, "", SERVICE_DN, "", f"{NO_PASSWORD} was refused: 53 unwillingToPerform; set bind_password"),
    (48, "", "", "", "an anonymous bind was refused: 48 inappropriateAuthentication; set bind_dn and bind_password, or unset anonymous_group_search"),
    (8, "", SERVICE_DN, "x", f"{ACCOUNT} was refused: 8 strongerAuthRequired; set start_tls or use_ssl"),
    (51, "", SERVICE_DN, "x", f"{ACCOUNT} was refused: 51 busy"),
    (4242, "", SERVICE_DN, "x", f"{ACCOUNT} was refused: 4242{CHECK}"),
]


@pytest.mark.parametrize(("code", "message", "dn", "password", "told"), REFUSALS)
async def test_a_refused_service_says_what_to_look_at(
    code: int, message: str, dn: str, password: str, told: str, company: Slapd
) -> None:
    async with relayed(company) as (relay, connection):
        answer = integer(code, 0x0A) + octets("") + octets(message)
        relay.spoil = lambda data: envelope(1, tlv(BIND_RESPONSE, answer))
        with pytest.raises(ServiceBindFailed) as caught:
            await bind_service(connection, dn, password, SECONDS)
        assert str(caught.value) == f"127.0.0.1:{relay.port}: {told}"
        assert caught.value.code == code
        assert not connection.usable


async def test_slapd_killed_under_a_search(own_slapd: Slapd) -> None:
    connection = await connect(Endpoint("127.0.0.1", own_slapd.port), None, timeout=SECONDS)
    own_slapd.pause()
    searches = [asyncio.create_task(connection.search(EVERYTHING, "", SECONDS)) for _ in range(5)]
    await asyncio.sleep(0)
    own_slapd.kill()
    answers = await asyncio.gather(*searches, return_exceptions=True)
    assert all(isinstance(answer, ConnectionLost) for answer in answers)
    await connection.close()


async def test_slapd_that_hangs(own_slapd: Slapd) -> None:
    connection = await connect(Endpoint("127.0.0.1", own_slapd.port), None, timeout=SECONDS)
    own_slapd.pause()
    with pytest.raises(TimedOut):
        await connection.search(EVERYTHING, "", SHORT)
    assert not connection.usable
    await connection.close()


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
async def test_tls_that_hangs(tls: Literal["ldaps", "starttls"], company: Slapd) -> None:
    relay = await Relay.start(company.host, company.ldaps_port if tls == "ldaps" else company.port)
    relay.hold()
    try:
        with pytest.raises(Unreachable, match="in time"):
            await connect(Endpoint("127.0.0.1", relay.port, tls), tls_context()[0], timeout=SHORT)
    finally:
        await relay.close()


async def test_starttls_cut(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    relay.cut_after = 5
    try:
        with pytest.raises(Unreachable, match=f":{relay.port}: "):
            await connect(Endpoint("127.0.0.1", relay.port, "starttls"), tls_context()[0], timeout=SECONDS)
    finally:
        await relay.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "::1", "localhost"])
async def test_nobody_listens(host: str) -> None:
    endpoint = Endpoint(host, free_port())
    with pytest.raises(Unreachable) as caught:
        await connect(endpoint, None, timeout=SECONDS)
    assert str(caught.value).startswith(str(endpoint))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "..", "", "x\0y"])
async def test_names_that_cannot_be_resolved(host: str) -> None:
    with pytest.raises(Unreachable):
        await connect(Endpoint(host, free_port()), None, timeout=SECONDS)


async def test_nobody_accepts() -> None:
    """A full queue of connections swallows the handshake, as a firewall that drops packets does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            with pytest.raises(Unreachable, match="no connection in time"):
                await connect(Endpoint("127.0.0.1", port), None, timeout=SHORT)
        finally:
            for filler in fillers:
                filler.close()


async def test_a_peer_that_never_reads_costs_bounded_memory() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        connection = await connect(Endpoint("127.0.0.1", port), None, timeout=SECONDS)
        long = "x" * 100_000
        searches = [asyncio.create_task(connection.search(BY_UID, long, SECONDS)) for _ in range(200)]
        answers = await asyncio.gather(*searches, return_exceptions=True)
        assert all(isinstance(answer, ConnectionLost) and "does not read" in str(answer) for answer in answers)
        await connection.close()


async def test_no_secret_in_any_error(company: Slapd) -> None:
    """DECISIONS 40: texts of errors never hold a password."""
    secret = "planted-secret-7391"
    async with relayed(company) as (relay, connection):
        relay.spoil = lambda data: bytes(relay.sent)
        with pytest.raises(ProtocolError) as caught:
            await connection.bind(SERVICE_DN, secret, SECONDS)
        assert secret in relay.sent.decode(errors="replace")
        assert secret not in repr(caught.value) + str(connection.ending)
