"""Groups from directories that answer in pieces, too much, too little or without end; and the pure parts of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.schema import Server
from gateway.directory import group_names
from gateway.directory import nested as nesting
from gateway.directory.connection import DirectoryError, ServiceBindFailed
from gateway.directory.escape import DnError, comparable_dn, escape_dn_value, parse_dn
from gateway.directory.group_names import GroupNames, naming_context
from gateway.directory.groups import CHUNK, MAX_GROUP, GroupReader
from gateway.directory.messages import Entry
from gateway.directory.nested import ancestors
from gateway.directory.pool import Endpoint, Pool
from gateway.directory.searches import AT_ONCE, EMPTY_PAGES, SearchFailed, all_values
from gateway.directory.sids import is_sid, sibling
from gateway.identity import Group
from tests.directory import ldap3_oracle
from tests.directory.small_directory import Answer, Search, SmallDirectory

DC = "DC=ad,DC=example,DC=org"
ADA = f"CN=Ada,OU=People,{DC}"
SECONDS = 10.0


def server_of(**settings: Any) -> Server:
    given = {"name": "corp", "host": "127.0.0.1", "search_base_dns": [f"OU=People,{DC}"], **settings}
    return Server.model_validate(given)


@asynccontextmanager
async def reading(
    answer: Callable[[Search], Answer | None], **settings: Any
) -> AsyncIterator[tuple[SmallDirectory, Callable[..., Any]]]:
    """The directory, and what reads the groups of an entry with these attributes."""
    directory = await SmallDirectory.start(answer)
    pool = Pool([Endpoint("127.0.0.1", directory.port)], bind_dn="cn=svc", bind_password="x", request_timeout=SECONDS)
    await pool.start()
    reader = GroupReader(server_of(**settings))

    async def groups(**attributes: Sequence[bytes]) -> list[str]:
        entry = Entry(ADA, {name.replace("_", ";", 1).replace("_", "="): list(values) for name, values in attributes.items()})
        return [group.name for group in await reader.groups(pool, entry, "ada")]

    try:
        yield directory, groups
    finally:
        await pool.close()
        await directory.close()


def dn(number: int) -> str:
    return f"CN=g{number},OU=Groups,{DC}"


def group(number: int) -> tuple[str, dict[str, list[bytes]]]:
    return dn(number), {"cn": [f"g{number}".encode()]}


def sid(number: int) -> bytes:
    return b"\x01\x05" + b"\0\0\0\0\0\x05" + b"\x15\0\0\0" + b"DOMAINSIDabc" + number.to_bytes(4, "little")


def nothing(search: Search) -> Answer:
    return Answer()


# Ranges (MS-ADTS 3.1.1.3.1.3.3)


def in_ranges(total: int, size: int) -> Callable[[Search], Answer]:
    values = [dn(number).encode() for number in range(total)]

    def answer(search: Search) -> Answer:
        assert (search.base, search.scope) == (ADA, 0)
        (asked,) = search.attributes
        start = int(asked.partition("range=")[2].removesuffix("-*"))
        end = start + size
        name = f"memberOf;range={start}-{'*' if end >= total else end - 1}"
        return Answer([(ADA, {name: values[start:end]})])

    return answer


@pytest.mark.parametrize(("total", "size", "searches"), [(4, 2, 1), (5, 2, 2), (4000, 1500, 2)])
async def test_member_of_in_ranges(total: int, size: int, searches: int) -> None:
    async with reading(in_ranges(total, size)) as (directory, groups):
        first = {"memberof": [], f"memberof_range_0-{size - 1}": [dn(number).encode() for number in range(size)]}
        assert await groups(**first) == [f"g{number}" for number in range(total)]
        assert len(directory.searches) == searches


async def test_ranges_stop_at_max_groups(caplog: pytest.LogCaptureFixture) -> None:
    async with reading(in_ranges(1_000_000, 10), max_groups=25) as (directory, groups):
        assert len(await groups(**{"memberof_range_0-9": [dn(number).encode() for number in range(10)]})) == 25
        assert len(directory.searches) == 2
    assert "more than 25 groups" in caplog.text


async def test_no_more_values_are_parsed_than_max_groups() -> None:
    """One person's ``memberOf`` may have as many values as fit into a message."""
    async with reading(nothing, max_groups=25) as (_, groups):
        assert len(await groups(memberof=[dn(number).encode() for number in range(50_000)])) == 25
    values = [dn(number).encode() for number in range(50_000)]
    assert len(await all_values(None, Entry(ADA, {"memberof": values}), "memberof", 25)) == 26  # type: ignore[arg-type]


async def test_values_that_are_too_long_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async with reading(nothing) as (_, groups):
        assert await groups(memberof=[b"cn=a,dc=x", b"cn=" + b"x" * MAX_GROUP, b"a=," * 3000, b"cn=b,dc=x"]) == ["a", "b"]
    assert caplog.text.count("are passed over") == 1


async def test_names_of_entries_that_are_too_long_are_passed_over() -> None:
    found = [group(1), (dn(2), {"cn": [b"x" * (MAX_GROUP + 1)]}), (f"OU={'x' * MAX_GROUP},{DC}", {"cn": [b"g2"]}), group(3)]
    settings = {"group_search_filter": "(member={{.UserDN}})", "group_search_base_dns": [DC]}
    async with reading(lambda search: Answer(found), **settings) as (_, groups):
        assert await groups() == ["g1", "g3"]


async def test_others_get_their_turn_while_groups_are_read() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with reading(nothing) as (_, groups):
        task = asyncio.create_task(other())
        assert len(await groups(memberof=[dn(number).encode() for number in range(20 * CHUNK)])) == 20 * CHUNK
        assert turns >= 10
        turns = 0
        asked = iter([[Group(f"g{number}", dn(number), dn(number)) for number in range(2000)], []])

        async def parents(dns: Sequence[str]) -> list[Group]:
            return next(asked)

        assert len(await ancestors([Group("a", dn(1), dn(1))], parents, depth=2, limit=5000)) == 1999
        assert turns >= 10
        task.cancel()


def test_long_texts_are_not_kept() -> None:
    """What a cache holds of a directory's text has a limit (names of groups, DNs above them)."""
    names = GroupNames(server_of())
    for read, cache in ((lambda text: names.of_member_of([text]), group_names._cached_group), (compared, nesting._cached)):
        read(dn(77_777))
        before = cache.cache_info().currsize
        read(f"CN=g77778,OU={'x' * 2000},{DC}")
        assert cache.cache_info().currsize == before
        read(dn(77_779))
        assert cache.cache_info().currsize in (before + 1, 8192)


def compared(text: str) -> None:
    async def parents(dns: Sequence[str]) -> list[Group]:
        return []

    asyncio.run(ancestors([Group("g", text, text)], parents, depth=1, limit=10))


RANGES_WRONG = [
    ("nothing more", Answer([(ADA, {})])),
    ("no entry", Answer()),
    ("an empty range", Answer([(ADA, {"memberOf;range=2-*": []})])),
    ("the same again", Answer([(ADA, {"memberOf;range=0-1": [b"cn=a", b"cn=b"]})])),
    ("another attribute", Answer([(ADA, {"memberOfX;range=2-*": [b"cn=a"]})])),
    ("no number", Answer([(ADA, {"memberOf;range=2": [b"cn=a"]})])),
    ("a number too long", Answer([(ADA, {f"memberOf;range=2-{'9' * 200}": [b"cn=a"]})])),
    ("gone", Answer(code=32)),
]


@pytest.mark.parametrize("answer", [row[1] for row in RANGES_WRONG], ids=[row[0] for row in RANGES_WRONG])
async def test_ranges_that_lead_nowhere(answer: Answer) -> None:
    async with reading(lambda search: answer) as (directory, groups):
        with pytest.raises(SearchFailed):
            await groups(**{"memberof_range_0-1": [b"cn=a,dc=x", b"cn=b,dc=x"]})
        assert len(directory.searches) == 1


# Pages (RFC 2696)

PAGED = {"group_search_filter": "(member={{.UserDN}})", "page_size": 2, "group_search_base_dns": [DC]}


def in_pages(total: int) -> Callable[[Search], Answer]:
    """As OpenLDAP: a cookie holds on the connection that it was given on."""

    def answer(search: Search) -> Answer:
        assert search.page is not None
        size, cookie = search.page
        start, connection = map(int, cookie.split(b"@")) if cookie else (0, search.connection)
        if connection != search.connection:
            return Answer(code=53)
        end = start + size
        following = b"" if end >= total else b"%d@%d" % (end, connection)
        return Answer([group(number) for number in range(start, min(end, total))], cookie=following)

    return answer


@pytest.mark.parametrize(("total", "searches"), [(0, 1), (1, 1), (2, 1), (3, 3), (7, 5)])
async def test_pages(total: int, searches: int) -> None:
    async with reading(in_pages(total), **PAGED) as (directory, groups):
        assert await groups() == [f"g{number}" for number in range(total)]
        assert len(directory.searches) == searches
        assert directory.binds == ["cn=svc"] * (1 if searches == 1 else 2)


async def test_pages_of_several_bases() -> None:
    async with reading(in_pages(5), **PAGED | {"group_search_base_dns": [DC, f"OU=x,{DC}"]}) as (directory, groups):
        assert await groups() == [f"g{number}" for number in range(5)]
        assert len(directory.searches) == 2 + 2 * 3


async def test_a_server_that_knows_no_pages() -> None:
    """RFC 2696 section 3: the control is not critical, so that all comes at once."""
    async with reading(lambda search: Answer([group(1), group(2), group(3)]), **PAGED) as (directory, groups):
        assert await groups() == ["g1", "g2", "g3"]
        assert len(directory.searches) == 1


@pytest.mark.parametrize("code", [2, 11, 12, 53])
async def test_a_server_that_refuses_pages(code: int) -> None:
    def answer(search: Search) -> Answer:
        return Answer(code=code) if search.page else Answer([group(1), group(2), group(3)])

    async with reading(answer, **PAGED) as (directory, groups):
        assert await groups() == ["g1", "g2", "g3"]
        assert [search.page is None for search in directory.searches] == [False, True]


async def test_pages_without_end(caplog: pytest.LogCaptureFixture) -> None:
    def endless(search: Search) -> Answer:
        assert search.page is not None
        number = int(search.page[1] or b"0")
        return Answer([group(number)], cookie=b"%d" % (number + 1))

    async with reading(endless, **PAGED, max_groups=10) as (directory, groups):
        assert len(await groups()) == 10
        assert len(directory.searches) == 12
    assert "more than 10 groups" in caplog.text


async def test_empty_pages_without_end() -> None:
    async with reading(lambda search: Answer(cookie=b"more"), **PAGED) as (directory, groups):
        with pytest.raises(SearchFailed, match="without an end"):
            await groups()
        assert len(directory.searches) == 1 + EMPTY_PAGES + 1


async def test_a_few_empty_pages_are_no_end() -> None:
    def answer(search: Search) -> Answer:
        assert search.page is not None
        number = int(search.page[1] or b"0")
        return Answer([group(1)]) if number > 5 else Answer(cookie=b"%d" % (number + 1))

    async with reading(answer, **PAGED) as (_, groups):
        assert await groups() == ["g1"]


async def test_a_page_that_fails() -> None:
    def answer(search: Search) -> Answer:
        assert search.page is not None
        return Answer(code=51) if search.page[1] else Answer([group(1)], cookie=b"x")

    async with reading(answer, **PAGED) as (_, groups):
        with pytest.raises(SearchFailed, match="51 busy") as caught:
            await groups()
        assert caught.value.passing


@pytest.mark.parametrize("value", [None, b"", b"\x30\x00", b"\x30\x03\x02\x01\x00", b"\x04\x01x"])
async def test_a_malformed_answer_for_a_page(value: bytes | None) -> None:
    spoilt = ldap3_oracle.build_control("1.2.840.113556.1.4.319", False, value, encode_control_value=False)
    async with reading(lambda search: Answer([group(1)], raw_controls=[spoilt]), **PAGED) as (_, groups):
        with pytest.raises(DirectoryError):
            await groups()


# tokenGroups


def tokens(sids: Sequence[bytes], known: int) -> Callable[[Search], Answer]:
    def answer(search: Search) -> Answer:
        if search.attributes == ("tokenGroups",):
            assert (search.base, search.scope) == (ADA, 0)
            return Answer([(ADA, {"tokenGroups": sids} if sids else {})])
        assert search.base == DC
        assert {name for name, _ in search.pairs} == {"objectSid"}
        wanted = {value for _, value in search.pairs}
        return Answer([group(number) for number in range(known) if sid(number) in wanted])

    return answer


@pytest.mark.parametrize(("count", "searches"), [(1, 2), (CHUNK, 2), (CHUNK + 1, 3), (4000, 41)])
async def test_token_groups(count: int, searches: int) -> None:
    """vault.md 5: thousands are normal; unreadable ones are passed over."""
    async with reading(tokens(list(map(sid, range(count))), count // 2 + 1), use_token_groups=True) as (directory, groups):
        assert await groups() == [f"g{number}" for number in range(count // 2 + 1)]
        assert len(directory.searches) == searches


async def test_malformed_sids_are_passed_over() -> None:
    sids = [sid(1), b"", b"\x01", b"S-1-5-32-545", sid(2)[:-1], sid(2) + b"x", b"\x02" + sid(3)[1:], b"\x01\xff" + sid(3)[2:], sid(4)]
    async with reading(tokens(sids, 10), use_token_groups=True) as (directory, groups):
        assert await groups() == ["g1", "g4"]
        assert len(directory.searches[1].pairs) == 2


async def test_no_token_groups_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with reading(tokens([], 0), use_token_groups=True) as (directory, groups):
        assert await groups() == []
        assert len(directory.searches) == 1
    assert "is this Active Directory?" in caplog.text


async def test_no_more_sids_than_max_groups() -> None:
    async with reading(tokens(list(map(sid, range(100_000))), 0), use_token_groups=True, max_groups=250) as (directory, groups):
        assert await groups() == []
        assert [len(search.pairs) for search in directory.searches] == [0, 100, 100, 50]


PRIMARY = [
    ("as it should be", [sid(1)], [b"7"], True),
    ("largest", [sid(1)], [b"4294967295"], True),
    ("too large", [sid(1)], [b"4294967296"], False),
    ("no SID", [], [b"7"], False),
    ("no number", [sid(1)], [], False),
    ("a malformed SID", [b"x"], [b"7"], False),
    ("letters", [sid(1)], [b"x"], False),
    ("negative", [sid(1)], [b"-1"], False),
    ("digits of another script", [sid(1)], ["٧".encode()], False),
    ("very long", [sid(1)], [b"7" * 5000], False),
    ("empty", [sid(1)], [b""], False),
]


@pytest.mark.parametrize(("sids", "ids", "asked"), [row[1:] for row in PRIMARY], ids=[row[0] for row in PRIMARY])
async def test_primary_group(sids: list[bytes], ids: list[bytes], asked: bool) -> None:
    def answer(search: Search) -> Answer:
        assert search.pairs == (("objectSid", sid(int(ids[0]))),)
        return Answer([group(7)])

    async with reading(answer, primary_group=True) as (directory, groups):
        assert await groups(objectsid=sids, primarygroupid=ids, memberof=[b"CN=a,DC=x"]) == ["a", *(["g7"] if asked else [])]
        assert len(directory.searches) == asked


@given(st.binary(max_size=80), st.binary(max_size=12))
def test_sids(data: bytes, number: bytes) -> None:
    """MS-DTYP 2.4.2.2; what comes out is a SID, or nothing."""
    found = sibling(data, number)
    assert found is None or (is_sid(found) and found[:-4] == data[:-4] and int.from_bytes(found[-4:], "little") == int(number))


# Nested groups


def nested(edges: dict[int, list[int]]) -> Callable[[Search], Answer]:
    """``edges``: group to the groups that it is in."""

    def answer(search: Search) -> Answer:
        asked = {value.decode() for name, value in search.pairs if name == "member"}
        assert asked == {value.decode() for name, value in search.pairs if name == "uniqueMember"}
        return Answer([group(above) for above in sorted({above for low, over in edges.items() if dn(low) in asked for above in over})])

    return answer


async def test_nested_groups_one_search_a_level() -> None:
    edges = {0: [1, 2], 1: [3], 2: [3], 3: [0, 4]}
    async with reading(nested(edges), nested_groups=True) as (directory, groups):
        assert await groups(memberof=[dn(0).encode()]) == ["g0", "g1", "g2", "g3", "g4"]
        assert len(directory.searches) == 4
        assert {search.base for search in directory.searches} == {DC}


async def test_nested_groups_of_many() -> None:
    """A level asks in chunks, no more at once than a server bears."""
    edges = {number: [10_000 + number // 10] for number in range(4000)}
    async with reading(nested(edges), nested_groups=True) as (directory, groups):
        assert len(await groups(memberof=[dn(number).encode() for number in range(4000)])) == 4400
        assert len(directory.searches) == 4000 // CHUNK + 400 // CHUNK
        assert 4000 // CHUNK > AT_ONCE


async def test_nested_groups_without_end(caplog: pytest.LogCaptureFixture) -> None:
    def endless(search: Search) -> Answer:
        return Answer([group(int(value[4 : value.index(b",")]) * 3 + more) for name, value in search.pairs if name == "member" for more in range(1, 4)])

    async with reading(endless, nested_groups=True, nested_depth=100, max_groups=50) as (directory, groups):
        assert len(await groups(memberof=[dn(0).encode()])) == 50
        assert len(directory.searches) < 6
    assert "more than 50 groups" in caplog.text


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13),
    st.lists(st.integers(0, 12), max_size=3),
    st.integers(1, 14),
)
def test_ancestors(edges: dict[int, list[int]], direct: list[int], depth: int) -> None:
    """Everything within so many steps, once, and every group is asked about once."""
    asked: list[str] = []

    async def parents(dns: Sequence[str]) -> list[Group]:
        asked.extend(dns)
        return [Group(f"g{over}", dn(over).lower()) for low, above in edges.items() if comparable_dn(dn(low)) in map(comparable_dn, dns) for over in above]

    expected, level = set(direct), set(direct)
    for _ in range(depth):
        level = {over for low in level for over in edges.get(low, [])} - expected
        expected |= level
    found = asyncio.run(ancestors([Group(f"g{number}", dn(number)) for number in direct], parents, depth=depth, limit=1000))
    assert sorted(group.name for group in found) == sorted(f"g{number}" for number in expected - set(direct))
    assert len(asked) == len(set(map(comparable_dn, asked)))


# What fails


@pytest.mark.parametrize(("code", "passing"), [(1, False), (3, True), (4, False), (32, False), (50, False), (51, True), (52, True)])
@pytest.mark.parametrize("changes", [PAGED, PAGED | {"page_size": 0}, {"use_token_groups": True}, {"nested_groups": True}])
async def test_result_codes(code: int, passing: bool, changes: dict[str, Any]) -> None:
    """RFC 4511 4.1.9: half a list is no list; the time limit and a busy server are worth another try."""
    async with reading(lambda search: Answer([group(1)], code=code), **changes) as (_, groups):
        with pytest.raises(SearchFailed, match=rf"refused: {code} ") as caught:
            await groups(memberof=[dn(0).encode()])
        assert caught.value.passing is passing


async def test_a_refused_anonymous_bind() -> None:
    """vault.md 4 step 10: refused, and the connection serves again."""
    async with reading(in_pages(3), **PAGED, anonymous_group_search=True) as (directory, groups):
        assert await groups() == ["g0", "g1", "g2"]
        directory.refused.add("")
        for _ in range(20):
            with pytest.raises(ServiceBindFailed, match="49 invalidCredentials"):
                await groups()
        directory.refused.clear()
        assert await groups() == ["g0", "g1", "g2"]
        assert directory.connections == 2


async def test_a_refused_service_bind_before_the_second_page() -> None:
    """It is not tried again by the next logins: each time counts towards a lock of the account."""
    async with reading(in_pages(3), **PAGED) as (directory, groups):
        assert await groups() == ["g0", "g1", "g2"]
        directory.refused.add("cn=svc")
        binds = directory.binds.count("cn=svc")
        for _ in range(20):
            with pytest.raises(ServiceBindFailed, match="49 invalidCredentials"):
                await groups()
        assert directory.binds.count("cn=svc") == binds + 1


async def test_one_of_several_searches_fails() -> None:
    """The others do not outlive it."""

    def answer(search: Search) -> Answer | None:
        return Answer(code=51) if search.base == DC else None

    async with reading(answer, **PAGED | {"page_size": 0, "group_search_base_dns": [f"OU=x,{DC}", DC]}) as (directory, groups):
        with pytest.raises(SearchFailed):
            await groups()
        async with asyncio.timeout(SECONDS):
            while not directory.abandoned:
                await asyncio.sleep(0.005)


async def test_silence_ends_with_the_login() -> None:
    """Whatever it is at; the searches are abandoned."""
    async with reading(lambda search: None, **PAGED) as (directory, groups):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await groups()
        async with asyncio.timeout(SECONDS):
            while not directory.abandoned:
                await asyncio.sleep(0.005)


async def test_cancelled_between_pages() -> None:
    """The connection of one's own goes back, and serves the next."""

    def answer(search: Search) -> Answer | None:
        assert search.page is not None
        return None if search.page[1] else Answer([group(1)], cookie=b"x")

    async with reading(answer, **PAGED) as (directory, groups):
        for _ in range(20):
            asked = len(directory.searches)
            task = asyncio.create_task(groups())
            async with asyncio.timeout(SECONDS):
                while len(directory.searches) < asked + 3:
                    await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


# Names (vault.md 5)


def named(value: str, **settings: Any) -> str:
    (found,) = GroupNames(server_of(**settings)).of_listing([value])
    return found.name


NAMES = [
    ("first cn", "cn=a,ou=b,cn=c", "a"),
    ("any case", "Cn=a,dc=x", "a"),
    ("in any RDN", "ou=x,CN=a,dc=x", "a"),
    ("multi-valued RDN", "ou=x+cn=a,dc=x", "a"),
    ("semicolons", "ou=x;cn=a;dc=x", "a"),
    ("escaped comma", "cn=a\\, b,dc=x", "a, b"),
    ("hexadecimal comma", "cn=a\\2C b,dc=x", "a, b"),
    ("hexadecimal UTF-8", "cn=\\c5\\bd,dc=x", "Ž"),
    ("BER", "cn=#0c0161,dc=x", "a"),
    ("BER that is none", "cn=#0c0561,dc=x", "cn=#0c0561,dc=x"),
    ("blanks", "cn = a , dc = x", "a"),
    ("no DN", "admins", "admins"),
    ("no cn", "ou=admins,dc=x", "ou=admins,dc=x"),
    ("hardly a DN", "cn=admins,", "cn=admins,"),
    ("not the type that ends so", "xcn=a,dc=x", "xcn=a,dc=x"),
]


@pytest.mark.parametrize(("value", "name"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_names(value: str, name: str) -> None:
    assert named(value, preset="vault", group_attr="memberOf") == name


@pytest.mark.parametrize(("value", "name"), [("CN=a,dc=x", "a"), ("cn=a,dc=x", "cn=a,dc=x"), ("cn=a,CN=b", "b"), ("Cn=a", "Cn=a")])
def test_names_as_before_1_11(value: str, name: str) -> None:
    assert named(value, preset="vault", use_pre111_group_cn_behavior=True) == name


@given(st.text(min_size=1, max_size=40))
def test_a_plain_value_is_the_name(value: str) -> None:
    """vault.md 5, G: whatever it looks like."""
    names = GroupNames(server_of())
    (found,) = names.of_entry(Entry("cn=x,dc=y", {"cn": [value.encode("utf-8", "replace")]}))
    assert found.name == value.encode("utf-8", "replace").decode()


@given(st.text(max_size=60) | st.text("cn=,;+\\#2Ca \"", max_size=30))
def test_any_value_has_a_name(value: str) -> None:
    for changes in ({}, {"preset": "vault"}, {"group_search_base_dns": ["dc=x"]}):
        names = GroupNames(server_of(**changes))
        (found,) = names.of_member_of([value])
        assert found.value == value


CONTEXTS = [
    ("CN=Ada,OU=People,DC=ad,DC=example,DC=org", "DC=ad,DC=example,DC=org"),
    ("uid=a, ou=b , dc = x", "dc=x"),
    ("uid=a,o=Company\\, Inc", "o=Company\\, Inc"),
    ("dc=a,ou=b,dc=c", "dc=c"),
    ("dc=a,dc=b", "dc=a,dc=b"),
    ("cn=a,dc=b+ou=c", "dc=b+ou=c"),
]


@pytest.mark.parametrize(("name", "context"), CONTEXTS)
def test_naming_contexts(name: str, context: str) -> None:
    assert naming_context(name) == context
    assert parse_dn(name)[-len(parse_dn(context)) :] == parse_dn(context)


@pytest.mark.parametrize("name", ["", "  ", "no DN"])
def test_no_naming_context(name: str) -> None:
    with pytest.raises(DnError):
        naming_context(name)


def test_fuzz_of_values() -> None:
    """A directory's values, mutated: a name or a DN each, and never an exception."""
    chance = random.Random()
    names = GroupNames(server_of(group_attr="memberOf"))
    for _ in range(5000):
        raw = bytearray(f"cn={escape_dn_value('a, b')},ou=x+cn=y,dc=z;dc=#0c0161".encode())
        for _ in range(chance.randint(1, 5)):
            raw[chance.randrange(len(raw))] = chance.choice(b",;+=\\#\"\0 \xff\xc3a1")
        names.of_listing([raw.decode("utf-8", "replace")])
        list(names.of_entry(Entry(raw.decode("utf-8", "replace"), {})))
