"""The pool in fair weather: round trips counted, connections shared and reused (issue: 32 logins, 4 binds)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.directory.connection import AnswerTooLarge, DirectoryError, EmptyPassword, TimedOut, Unreachable
from gateway.directory.filters import compile_filter
from gateway.directory.messages import SearchRequest
from gateway.directory.pool import Endpoint, Pool, ServiceBindFailed
from gateway.directory.tls import tls_context
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

BY_UID = SearchRequest(BASE_DN, compile_filter("(&(objectClass=person)(uid=%s))"), ["uid"])
GROUPS = SearchRequest(f"ou=groups,{BASE_DN}", compile_filter("(|(member=%s)(memberUid=%s))"), ["cn"])
EVERYTHING = SearchRequest(BASE_DN, compile_filter("(objectClass=*)"))
GRACE = f"uid=grace,ou=people,{BASE_DN}"
PASSWORD = "cobol-1959"
SERVICE: dict[str, Any] = {"bind_dn": SERVICE_DN, "bind_password": SERVICE_PASSWORD}
SECONDS = 10.0


@asynccontextmanager
async def started(*endpoints: Endpoint, **settings: Any) -> AsyncIterator[Pool]:
    pool = Pool(endpoints, **settings)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()
        assert left_over() == []


def left_over() -> list[str]:
    """Tasks of the pool that still run."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    return [code.cr_code.co_qualname for code in coroutines if "/gateway/" in code.cr_code.co_filename]  # type: ignore[union-attr]


def plain(slapd: Slapd) -> Endpoint:
    return Endpoint(slapd.host, slapd.port)


async def log_in(pool: Pool, login: str, password: str) -> int:
    entries, _ = await pool.search(BY_UID, login)
    result = await pool.bind(entries[0].dn, password)
    await pool.search(GROUPS, entries[0].dn)
    return result.code


@pytest.mark.parametrize("tls", ["none", "starttls", "ldaps"])
async def test_a_login_is_three_round_trips(tls: Any, company: Slapd) -> None:
    endpoint = Endpoint("localhost", company.ldaps_port if tls == "ldaps" else company.port, tls)
    context, _ = tls_context(ca_files=[company.ca_file])
    async with started(endpoint, tls_context=context, **SERVICE) as pool:
        assert (pool.state.up, pool.state.endpoint, pool.state.error) == (True, endpoint, "")
        for _ in range(3):
            assert await log_in(pool, "grace", PASSWORD) == 0
            assert await log_in(pool, "grace", "wrong") == 49
        assert (pool.connects, pool.binds, pool.searches, pool.lost) == (2, 6, 12, 0)
    assert not pool.state.up


async def test_many_logins_through_few_binds(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), binds=4, **SERVICE) as pool:
            logins = [log_in(pool, "grace", PASSWORD if n % 2 else "wrong") for n in range(32)]
            assert await asyncio.gather(*logins) == [49, 0] * 16
            assert pool.connects == relay.connections == 5
            assert pool.binds == 32
    finally:
        await relay.close()


async def test_more_searches_than_a_server_lets_wait(company: Slapd) -> None:
    """slapd closes an anonymous connection with more than 100 waiting operations (conn_max_pending)."""
    async with started(plain(company)) as pool:
        answers = await asyncio.gather(*(pool.search(BY_UID, "grace") for _ in range(1000)))
        assert all(len(entries) == 1 for entries, _ in answers)
        assert (pool.connects, pool.lost) == (1, 0)


async def test_the_connection_used_last_is_used_next(company: Slapd) -> None:
    async with started(plain(company), **SERVICE) as pool:
        await asyncio.gather(*(pool.bind(GRACE, PASSWORD) for _ in range(3)))
        assert pool.connects == 4
        for _ in range(10):
            await pool.bind(GRACE, PASSWORD)
        assert pool.connects == 4


async def test_idle_connections_are_closed(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), idle_seconds=0.05, probe_seconds=0.05, **SERVICE) as pool:
            await asyncio.gather(*(pool.bind(GRACE, PASSWORD) for _ in range(4)))
            async with asyncio.timeout(SECONDS):
                while relay.sent.count(b"\x42\x00") < 4:
                    await asyncio.sleep(0.01)
            assert (await pool.search(BY_UID, "grace"))[1].code == 0
            assert (pool.connects, pool.lost) == (5, 0)
    finally:
        await relay.close()


async def test_single_bind(company: Slapd) -> None:
    """grafana.md 2.2: bind as the person and search on that connection; nobody else's bind comes between."""
    async with started(plain(company), service=False) as pool:

        async def one(login: str, password: str) -> str:
            async with pool.bound_as(f"uid={login},ou=people,{BASE_DN}", password) as bound:
                assert bound.result.code == 0
                (entry,), _ = await bound.search(BY_UID, login)
                return entry.dn.split(",")[0]

        people = [("grace", PASSWORD), ("alan", "enigma"), ("linus", "dontpanic")] * 5
        found = await asyncio.gather(*(one(*person) for person in people))
        assert found == [f"uid={login}" for login, _ in people]
        assert pool.binds == pool.searches == 15
        async with pool.bound_as(GRACE, "wrong") as bound:
            assert bound.result.code == 49
            with pytest.raises(RuntimeError):
                await bound.search(BY_UID, "grace")
        with pytest.raises(DirectoryError, match="no service account"):
            await pool.search(BY_UID, "grace")
        assert pool.state.up


async def test_a_search_left_running_does_not_spoil_the_next_bind(company: Slapd) -> None:
    async with started(plain(company), service=False, binds=1) as pool:
        async with pool.bound_as(GRACE, PASSWORD) as bound:
            left = asyncio.create_task(bound.search(EVERYTHING))
            await asyncio.sleep(0)
        assert (await pool.bind(GRACE, PASSWORD)).code == 0
        await asyncio.gather(left, return_exceptions=True)


async def test_anonymous_service(company: Slapd) -> None:
    async with started(plain(company)) as pool:
        assert (await pool.search(BY_UID, "grace"))[1].code == 0


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"bind_dn": SERVICE_DN, "bind_password": "wrong"}, 49),
        ({"bind_dn": f"cn=nobody,{BASE_DN}", "bind_password": "x"}, 49),
        ({"bind_dn": SERVICE_DN}, 53),
    ],
    ids=["wrong password", "unknown account", "unauthenticated bind, which slapd refuses"],
)
async def test_a_refused_service_is_not_a_wrong_password(settings: Any, code: int, company: Slapd) -> None:
    async with started(plain(company), **settings) as pool:
        assert not pool.state.up
        for _ in range(3):
            with pytest.raises(ServiceBindFailed, match=f"refused: {code}") as caught:
                await pool.search(BY_UID, "grace")
            assert caught.value.code == code
        assert settings.get("bind_password", "-") not in pool.state.error.split()
        assert str(code) in pool.state.error


async def test_empty_passwords_and_names(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            before = bytes(relay.sent)
            for password in ("", "\0x"):
                with pytest.raises(EmptyPassword):
                    await pool.bind(GRACE, password)
                with pytest.raises(EmptyPassword):
                    async with pool.bound_as(GRACE, password):
                        pass
            with pytest.raises(ValueError, match="without a name"):
                await pool.bind("", "x")
            assert (bytes(relay.sent), pool.binds, pool.connects) == (before, 0, 1)
    finally:
        await relay.close()


async def test_who_must_wait_waits_within_the_own_deadline(company: Slapd) -> None:
    async with started(plain(company), binds=1, **SERVICE) as pool:
        async with pool.bound_as(GRACE, PASSWORD):
            with pytest.raises(TimedOut, match="1 binds are running"):
                await pool.bind(GRACE, PASSWORD, timeout=0.05)
            waiting = asyncio.create_task(pool.bind(GRACE, PASSWORD))
            cancelled = asyncio.create_task(pool.bind(GRACE, PASSWORD))
            await asyncio.sleep(0)
            cancelled.cancel()
        assert (await waiting).code == 0
        assert (await pool.bind(GRACE, PASSWORD)).code == 0
        assert pool.connects == 2


async def test_limits_reach_the_connection(company: Slapd) -> None:
    async with started(plain(company), max_entries=3) as pool:
        with pytest.raises(AnswerTooLarge):
            await pool.search(EVERYTHING)
        assert (await pool.search(BY_UID, "grace"))[1].code == 0
        assert pool.lost == 0


async def test_close_lets_running_operations_end(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            await pool.bind(GRACE, PASSWORD)
            relay.hold()
            search = asyncio.create_task(pool.search(BY_UID, "grace"))
            bind = asyncio.create_task(pool.bind(GRACE, PASSWORD))
            await asyncio.sleep(0)
            closing = asyncio.create_task(pool.close())
            await asyncio.sleep(0)
            with pytest.raises(Unreachable, match="closed"):
                await pool.search(BY_UID, "alan")
            relay.let_go()
            assert len((await search)[0]) == 1
            assert (await bind).code == 0
            await closing
    finally:
        await relay.close()


async def test_close_does_not_wait_for_ever(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            await pool.bind(GRACE, PASSWORD)
            relay.hold()
            running: list[asyncio.Task[Any]] = [
                asyncio.create_task(pool.search(BY_UID, "grace")),
                asyncio.create_task(pool.bind(GRACE, PASSWORD)),
            ]
            await asyncio.sleep(0)
            async with asyncio.timeout(SECONDS / 2):
                await pool.close(drain_seconds=0.1)
            answers = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(answer, Unreachable) for answer in answers)
    finally:
        await relay.close()


async def test_settings_that_make_no_pool(company: Slapd) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Pool([])
    with pytest.raises(ValueError, match="TLS context"):
        Pool([Endpoint("localhost", company.ldaps_port, "ldaps")])
    with pytest.raises(ValueError, match="without a name"):
        Pool([plain(company)], bind_password="x")


async def test_the_company_is_what_its_file_says(company: Slapd) -> None:
    """Every password of company.ldif opens its entry, so that later tests may rely on the file."""
    people = []
    for record in COMPANY.read_text("utf-8").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line and not line.startswith("#"))
        if "userPassword" in fields:
            people.append((fields["dn"], fields["userPassword"]))
    assert len(people) > 12
    async with started(plain(company), **SERVICE) as pool:
        assert [(await pool.bind(dn, password)).code for dn, password in people] == [0] * len(people)
        groups, _ = await pool.search(GROUPS, f"cn=admins,ou=groups,{BASE_DN}")
        assert [entry.dn for entry in groups] == [f"cn=all staff,ou=groups,{BASE_DN}"]
        assert len((await pool.search(BY_UID, "sam"))[0]) == 2
