"""The trace around a pool: every operation is in it, with its result or why there is none, and never a password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.directory.connection import DirectoryError, EmptyPassword, ServiceBindFailed
from gateway.directory.filters import any_of, compile_filter
from gateway.directory.messages import SearchRequest
from gateway.directory.pool import Endpoint, Pool
from gateway.directory.traced import SHOWN_NAMES, Operation, TracedPool, round_trips
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.directory.small_directory import SmallDirectory

PEOPLE = f"ou=people,{BASE_DN}"
GRACE, PASSWORD = f"uid=grace,{PEOPLE}", "cobol-1959"
BY_UID = SearchRequest(PEOPLE, compile_filter("(uid=%s)"), ("uid",))
ALL = SearchRequest(PEOPLE, compile_filter("(uid=*)"), ("1.1",))


@asynccontextmanager
async def traced(port: int, **settings: object) -> AsyncIterator[TracedPool]:
    given = {"bind_dn": SERVICE_DN, "bind_password": SERVICE_PASSWORD, "request_timeout": 5.0, **settings}
    pool = Pool([Endpoint("127.0.0.1", port)], **given)  # type: ignore[arg-type]
    await pool.start()
    try:
        yield TracedPool(pool, SERVICE_DN)
    finally:
        await pool.close(0)


def brief(operations: list[Operation]) -> list[tuple[str, str, str, int]]:
    return [(one.kind, one.dn, one.result.partition(" ")[0], one.entries) for one in operations]


async def test_every_operation(company: Slapd) -> None:
    """What the pool offers, in order of asking, sessions within sessions included."""
    async with traced(company.port) as pool:
        entries, _ = await pool.search(BY_UID, "grace")
        assert [entry.dn for entry in entries] == [GRACE]
        assert (await pool.bind(GRACE, PASSWORD)).code == 0
        assert (await pool.bind(GRACE, "wrong")).code == 49
        async with pool.bound_as(GRACE, PASSWORD) as session:
            assert session.result.code == 0
            await session.search(BY_UID, "alan")
            async with session.alone() as same:
                await same.search(BY_UID, "linus")
            async with session.anonymous() as nobody:
                await nobody.search(BY_UID, "bob")
        async with pool.alone() as service, pool.anonymous() as nobody:
            await service.search(ALL)
            await nobody.search(ALL)
        operations = pool.operations
    found = len([one for one in operations if one.dn == PEOPLE]) and operations[-1].entries
    assert brief(operations) == [
        ("search", PEOPLE, "0", 1), ("bind", GRACE, "0", 0), ("bind", GRACE, "49", 0), ("bind", GRACE, "0", 0),
        ("search", PEOPLE, "0", 1), ("search", PEOPLE, "0", 1), ("bind", "", "0", 0), ("search", PEOPLE, "0", 1),
        ("bind", SERVICE_DN, "0", 0), ("bind", "", "0", 0), ("search", PEOPLE, "0", found), ("search", PEOPLE, "0", found),
    ]  # fmt: skip
    assert found > SHOWN_NAMES == len(operations[-1].found)
    assert {one.host for one in operations} == {f"127.0.0.1:{company.port}"}
    assert operations[1].new_connection and not operations[2].new_connection
    assert all(one.milliseconds > 0 for one in operations) and round_trips(operations) == len(operations)
    assert PASSWORD not in repr(operations) and SERVICE_PASSWORD not in repr(operations)
    assert (operations[0].filter, operations[0].scope, operations[0].attributes) == ("(uid=grace)", "subtree", ("uid",))


async def test_who_one_is_to_the_directory(company: Slapd) -> None:
    """RFC 4532."""
    async with traced(company.port) as pool, pool.bound_as(GRACE, PASSWORD) as session:
        assert (await session.who_am_i()).value == f"dn:{GRACE}".encode()
        assert brief(pool.operations)[1:] == [("who am i", f"dn:{GRACE}", "0", 0)]
        assert round_trips(pool.operations) == 2


async def test_a_page_is_told(company: Slapd) -> None:
    """RFC 2696."""
    async with traced(company.port) as pool:
        await pool.search(ALL.page(3))
        await pool.search(ALL)
        paged, whole = pool.operations
        assert (paged.page_size, paged.entries, whole.page_size) == (3, 3, 0)


async def test_what_ends_without_an_answer(company: Slapd) -> None:
    """Each exception goes on as it is, and says in the trace why there is no result."""
    async with traced(company.port, bind_password="wrong") as pool:
        with pytest.raises(ServiceBindFailed):
            await pool.search(BY_UID, "grace")
        with pytest.raises(ServiceBindFailed):
            async with pool.alone():
                raise AssertionError
        with pytest.raises(EmptyPassword):
            await pool.bind(GRACE, "")
        assert [one.result for one in pool.operations] == ["", "", ""]
        assert all(one.message for one in pool.operations) and "wrong" not in repr(pool.operations)
        assert round_trips(pool.operations) == 0


async def test_a_cancelled_search() -> None:
    directory = await SmallDirectory.start(lambda search: None)
    try:
        async with traced(directory.port) as pool:
            task = asyncio.create_task(pool.search(BY_UID, "ada"))
            async with asyncio.timeout(5):
                while not directory.searches:
                    await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [(one.result, one.message) for one in pool.operations] == [("", "given up before an answer came")]
    finally:
        await directory.close()


async def test_an_error_inside_a_session_is_not_the_bind_s(company: Slapd) -> None:
    async with traced(company.port) as pool:
        with pytest.raises(DirectoryError, match="of the caller"):
            async with pool.bound_as(GRACE, PASSWORD):
                raise DirectoryError("of the caller")
        assert brief(pool.operations) == [("bind", GRACE, "0", 0)]


def operation(started: float, milliseconds: float, result: str = "0 success") -> Operation:
    return Operation("search", "", started=started, milliseconds=milliseconds, result=result)


TRIPS = [
    ("none", [], 0),
    ("one after the other", [operation(0, 1), operation(1, 1), operation(2.5, 1)], 3),
    ("together", [operation(0, 5), operation(0.1, 1), operation(0.2, 2)], 1),
    ("overlapping chain", [operation(0, 2), operation(1, 2), operation(2.5, 2)], 1),
    ("one long, then one", [operation(0, 5), operation(1, 1), operation(5, 1)], 2),
    ("without an answer", [operation(0, 1), operation(2, 1, "")], 1),
]


@pytest.mark.parametrize(("operations", "trips"), [row[1:] for row in TRIPS], ids=[row[0] for row in TRIPS])
def test_round_trips(operations: list[Operation], trips: int) -> None:
    """What somebody waits for: operations outstanding at the same time count once."""
    assert round_trips(operations) == round_trips(operations[::-1]) == trips


def test_a_placeholder_inside_a_value_is_shown_as_it_is() -> None:
    """What ``any_of`` sends has no placeholders, whatever the values look like."""
    compiled = any_of(("member",), [b"cn=100%s {0} {{.Username}}"])
    assert compiled.text("ada") == "(|(member=cn=100%s {0} {{.Username}}))"
