"""Searches whose failure means something to a login: several at once, in pages, by attributes in ranges."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, Protocol, TypeVar

from gateway.directory.controls import PAGED_RESULTS, read_cookie
from gateway.directory.filters import Filling, compile_filter
from gateway.directory.messages import Entry, Result, Scope, SearchRequest, result_name

log = logging.getLogger(__name__)

_T = TypeVar("_T")

SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
NO_SUCH_OBJECT: Final = 32
PASSING: Final = frozenset({
    3,  # timeLimitExceeded
    51,  # busy
    52,  # unavailable
})  # fmt: skip
"""Result codes after which trying again makes sense."""

AT_ONCE: Final = 8
"""Searches of one login that are outstanding at the same time."""
EMPTY_PAGES: Final = 20
"""Pages without an entry, in a row, after which a directory is taken to be in a loop."""

_NO_PAGES: Final = frozenset({
    2,  # protocolError
    11,  # adminLimitExceeded
    12,  # unavailableCriticalExtension
    53,  # unwillingToPerform
})  # fmt: skip
_TLS, _ELSEWHERE = "; set start_tls or use_ssl", "; it refers to another directory, which is not asked: name that one"
GENERAL_ADVICE: Final = {8: _TLS, 10: f"{_ELSEWHERE} in host or urls", 13: _TLS}
"""What to look at, by result code (RFC 4511 appendix A) whatever was asked; begins with ``; ``."""
ADVICE: Final = GENERAL_ADVICE | {
    1: "; Active Directory answers so where nobody is bound: set bind_dn and bind_password",
    3: "; the server's time limit: index the attributes of search_filter and group_search_filter there",
    4: "; the server's size limit cuts the answer short: raise it for the service account, or set page_size",
    11: "; a limit of the server: raise it for the service account, or narrow search_base_dns",
    32: "; check search_base_dns and group_search_base_dns",
    49: "; check bind_dn and bind_password",
    50: "; the service account (bind_dn), or nobody in particular, may not search there",
    53: "; the server does not search for nobody in particular, or not so: check bind_dn and search_filter",
}
"""What to look at, by result code of a search; begins with ``; ``."""
_ANY: Final = compile_filter("(objectClass=*)")
_RANGE: Final = re.compile(r";range=(\d{1,9})-(\d{1,9}|\*)\Z")


class Searcher(Protocol):
    """The service connection, or one that is bound as a person."""

    async def search(self, request: SearchRequest, value: Filling = "") -> tuple[list[Entry], Result]:
        """Search with ``value`` in place of the filter's placeholders."""

    def alone(self) -> AbstractAsyncContextManager[Searcher]:
        """A connection with the same rights that nobody shares."""

    def anonymous(self) -> AbstractAsyncContextManager[Searcher]:
        """A connection that nobody shares, with the rights of nobody in particular."""


class Session(Searcher, Protocol):
    """A connection of one's own, bound as a person."""

    @property
    def result(self) -> Result:
        """Result of the bind; search only when its code is 0."""

    async def who_am_i(self) -> Result:
        """As whom the directory takes the connection (RFC 4532)."""


class Connections(Searcher, Protocol):
    """What a login asks of the connections to a server: those of ``pool.Pool``, or the same with a trace."""

    async def bind(self, dn: str, password: str) -> Result:
        """Check a password."""

    def bound_as(self, dn: str, password: str) -> AbstractAsyncContextManager[Session]:
        """A connection bound as ``dn``, whatever the result."""


class SearchFailed(Exception):
    """The directory refused a search; the text names result code and base."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing
        """Whether trying again makes sense."""


async def together(*waiting: Awaitable[_T]) -> list[_T]:
    """All results, in order. When one fails the others end before the exception goes on; a single one needs no task."""
    if len(waiting) == 1:
        return [await waiting[0]]
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def ask(
    searcher: Searcher, request: SearchRequest, value: Filling = "", *, accept: frozenset[int] = frozenset()
) -> list[Entry]:
    """The entries found. The result codes ``accept`` are as good as success.

    But a size limit is not, where it leaves less than two entries: one must not be taken for the only one (vault.md
    4.2). Raises DirectoryError and SearchFailed.
    """
    entries, result = await searcher.search(request, value)
    few = result.code == SIZE_LIMIT_EXCEEDED and len(entries) < 2
    _require(request, result, accept - {SIZE_LIMIT_EXCEEDED} if few else accept)
    return entries


async def ask_all(
    searcher: Searcher, requests: Sequence[SearchRequest], value: Filling = "", *, accept: frozenset[int] = frozenset()
) -> list[list[Entry]]:
    """As ``ask`` for each of ``requests``, which go out together."""
    if len(requests) == 1:
        return [await ask(searcher, requests[0], value, accept=accept)]
    answers: list[list[Entry]] = []
    for some in in_chunks(requests, AT_ONCE):
        answers += await together(*(ask(searcher, request, value, accept=accept) for request in some))
    return answers


def in_chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """``items`` in portions of ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _require(request: SearchRequest, result: Result, accept: frozenset[int]) -> None:
    if result.code == SUCCESS:
        return
    detail = f" ({result.message})" if result.message else ""
    text = f"search below {request.base!r} refused: {result_name(result.code)}{detail}"
    if result.code not in accept:
        raise SearchFailed(text + ADVICE.get(result.code, ""), passing=result.code in PASSING)
    if result.code == NO_SUCH_OBJECT:
        log.warning("%s; nothing is found there%s", text, ADVICE[NO_SUCH_OBJECT])


async def ask_in_pages(
    searcher: Searcher,
    requests: Sequence[SearchRequest],
    value: Filling = "",
    *,
    size: int,
    limit: int,
    accept: frozenset[int] = frozenset(),
) -> list[list[Entry]]:
    """As ``ask_all``, in pages of ``size`` entries; no more pages are asked for once there are more than ``limit``.

    The first pages share the connection. A search with a second one is made again on a connection of its own: OpenLDAP
    keeps the place of one paged search per connection, so that two of them would disturb each other. A server that
    refuses pages is asked without.
    """
    answers = []
    for some in in_chunks(requests, AT_ONCE):
        first = await together(*(searcher.search(request.page(size), value) for request in some))
        for request, (entries, result) in zip(some, first, strict=True):
            if result.code in _NO_PAGES:
                entries = await ask(searcher, request, value, accept=accept)
            else:
                _require(request, result, accept)
                if _cookie(result):
                    async with searcher.alone() as own:
                        entries = await _turn_pages(own, request, value, size, limit)
            answers.append(entries)
    return answers


async def _turn_pages(
    searcher: Searcher, request: SearchRequest, value: Filling, size: int, limit: int
) -> list[Entry]:
    found: list[Entry] = []
    async with aclosing(pages(searcher, request, value, size=size)) as turned:
        async for entries in turned:
            found += entries
            if len(found) > limit:
                break
    return found


async def pages(
    searcher: Searcher, request: SearchRequest, value: Filling = "", *, size: int
) -> AsyncGenerator[list[Entry]]:
    """What ``request`` finds, in pages of ``size`` entries; all at once where the server refuses pages.

    ``searcher`` is one that nobody shares (``Searcher.alone``). Raises DirectoryError and SearchFailed.
    """
    cookie, empty = b"", 0
    while empty <= EMPTY_PAGES:
        entries, result = await searcher.search(request.page(size, cookie), value)
        if not cookie and result.code in _NO_PAGES:
            entries = await ask(searcher, request, value)
        else:
            _require(request, result, frozenset())
        yield entries
        empty = 0 if entries else empty + 1
        cookie = _cookie(result)
        if not cookie:
            return
    raise SearchFailed(f"search below {request.base!r}: pages without entries and without an end", passing=False)


def _cookie(result: Result) -> bytes:
    """Where the next page begins; empty where there is none. Raises ProtocolError."""
    return next((read_cookie(found.value) for found in result.controls if found.oid == PAGED_RESULTS), b"")


async def all_values(searcher: Searcher, entry: Entry, attribute: str, limit: int) -> list[bytes]:
    """The values of an attribute (its name in lower case), of which Active Directory gives so many at a time.

    It then answers ``memberOf;range=0-1499`` and waits to be asked for ``memberOf;range=1500-*`` (MS-ADTS
    3.1.1.3.1.3.3). At most ``limit`` and one more.
    """
    if found := entry.attributes.get(attribute):
        return found[: limit + 1]
    found, following = _range(entry, attribute, 0)
    while following and len(found) <= limit:
        attributes = (f"{attribute};range={following}-*",)
        request = SearchRequest(entry.dn, _ANY, attributes, scope=Scope.BASE, entries_at_most=1)
        answer = await ask(searcher, request)
        more, next_following = _range(answer[0], attribute, following) if answer else ([], 0)
        if not more:
            raise SearchFailed(f"{entry.dn}: {attribute} ends before its last value", passing=True)
        found, following = found + more, next_following
    return found[: limit + 1]


def _range(entry: Entry, attribute: str, start: int) -> tuple[list[bytes], int]:
    """The values from number ``start`` on, and the number of the next one; 0 behind the last."""
    for name, values in entry.attributes.items():
        if name.startswith(attribute) and (match := _RANGE.fullmatch(name, len(attribute))) and int(match[1]) == start:
            return values, 0 if match[2] == "*" else start + len(values)
    return [], 0
