"""The connections to a server with a trace of what is asked through them, for ``explain``. A login has none.

Passwords are passed on and never kept: of a bind the trace holds the name alone. Texts are the directory's own and may
hold anything; whoever prints them cleans them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal

from gateway.directory.filters import Filling
from gateway.directory.messages import Entry, Result, SearchRequest, result_name

if TYPE_CHECKING:
    from gateway.directory.bound import Bound
    from gateway.directory.pool import Pool

SHOWN_NAMES: Final = 5
"""Names of entries that a search's record keeps."""


@dataclass(slots=True)
class Operation:
    """One operation: what was asked and what came of it."""

    kind: Literal["bind", "search", "who am i"]
    dn: str
    """The name of a bind, empty for an anonymous one; the base of a search; who the directory says that one is."""
    scope: str = ""
    """``base``, ``one_level`` or ``subtree``."""
    filter: str = ""
    """As sent, in RFC 4515 text."""
    attributes: tuple[str, ...] = ()
    page_size: int = 0
    """Entries per page; 0 without pages."""
    host: str = ""
    """``host:port`` of who was asked."""
    new_connection: bool = False
    """Whether a connection was set up for it."""
    result: str = ""
    """Code and name of the result; empty where no answer came."""
    message: str = ""
    """The directory's own text, or why no answer came."""
    entries: int = 0
    found: list[str] = field(default_factory=list)
    """Names of the first ``SHOWN_NAMES`` entries."""
    present: list[str] = field(default_factory=list)
    """Attributes that the first entry came with, in lower case."""
    started: float = 0.0
    """Milliseconds since the trace began."""
    milliseconds: float = 0.0


class TracedPool:
    """Asks ``pool`` and records every operation, in order of asking; ``alone`` binds as ``service_dn``."""

    def __init__(self, pool: Pool, service_dn: str = "") -> None:
        self.operations: list[Operation] = []
        self._pool = pool
        self._service_dn = service_dn
        self._began = time.perf_counter()

    async def search(self, request: SearchRequest, value: Filling = "") -> tuple[list[Entry], Result]:
        """As ``Pool.search``."""
        with self.search_record(request, value) as operation:
            entries, result = await self._pool.search(request, value)
            _note_answer(operation, result, entries)
        return entries, result

    async def bind(self, dn: str, password: str) -> Result:
        """As ``Pool.bind``."""
        with self.record(Operation("bind", dn)) as operation:
            result = await self._pool.bind(dn, password)
            _note_answer(operation, result)
        return result

    def bound_as(self, dn: str, password: str) -> AbstractAsyncContextManager[TracedSession]:
        """As ``Pool.bound_as``."""
        return self.session(self._pool.bound_as(dn, password), dn)

    def alone(self) -> AbstractAsyncContextManager[TracedSession]:
        """As ``Pool.alone``."""
        return self.session(self._pool.alone(), self._service_dn)

    def anonymous(self) -> AbstractAsyncContextManager[TracedSession]:
        """As ``Pool.anonymous``."""
        return self.session(self._pool.anonymous(), "")

    @contextlib.asynccontextmanager
    async def session(self, opening: AbstractAsyncContextManager[Bound], dn: str) -> AsyncIterator[TracedSession]:
        """A connection of one's own, whose ``opening`` binds as ``dn``."""
        async with contextlib.AsyncExitStack() as stack:
            with self.record(Operation("bind", dn)) as operation:
                bound = await stack.enter_async_context(opening)
                _note_answer(operation, bound.result)
            yield TracedSession(self, bound)

    def search_record(self, request: SearchRequest, value: Filling) -> AbstractContextManager[Operation]:
        """The record of a search that is about to be sent. ``UnicodeEncodeError`` for what cannot be sent."""
        return self.record(
            Operation(
                "search", request.base, request.scope.name.lower(), request.filter.text(value), request.attributes,
                request.page_size,
            )
        )  # fmt: skip

    @contextlib.contextmanager
    def record(self, operation: Operation) -> Iterator[Operation]:
        """Around an operation. One that ends without an answer keeps why."""
        self.operations.append(operation)
        connects, started = self._pool.connects, self._now()
        operation.started = started
        try:
            yield operation
        except BaseException as error:
            operation.message = str(error) or "given up before an answer came"
            raise
        finally:
            operation.milliseconds = round(self._now() - started, 3)
            operation.host = str(self._pool.state.endpoint or "")
            operation.new_connection = self._pool.connects > connects

    def _now(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)


class TracedSession:
    """A connection of one's own, bound; made by ``TracedPool``."""

    def __init__(self, pool: TracedPool, bound: Bound) -> None:
        self._pool = pool
        self._bound = bound

    @property
    def result(self) -> Result:
        """As ``Bound.result``."""
        return self._bound.result

    async def search(self, request: SearchRequest, value: Filling = "") -> tuple[list[Entry], Result]:
        """As ``Bound.search``."""
        with self._pool.search_record(request, value) as operation:
            entries, result = await self._bound.search(request, value)
            _note_answer(operation, result, entries)
        return entries, result

    async def who_am_i(self) -> Result:
        """As ``Bound.who_am_i``."""
        with self._pool.record(Operation("who am i", "")) as operation:
            result = await self._bound.who_am_i()
            _note_answer(operation, result)
            operation.dn = result.value.decode(errors="replace")
        return result

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[TracedSession]:
        """As ``Bound.alone``: it is."""
        yield self

    def anonymous(self) -> AbstractAsyncContextManager[TracedSession]:
        """As ``Bound.anonymous``."""
        return self._pool.session(self._bound.anonymous(), "")


def round_trips(operations: Iterable[Operation]) -> int:
    """How often an answer was waited for and came: operations that were outstanding at the same time count once."""
    count, waiting_until = 0, -1.0
    for operation in sorted(filter(attrgetter("result"), operations), key=attrgetter("started")):
        if operation.started >= waiting_until:
            count += 1
        waiting_until = max(waiting_until, operation.started + operation.milliseconds)
    return count


def _note_answer(operation: Operation, result: Result, entries: Sequence[Entry] = ()) -> None:
    operation.result, operation.message = result_name(result.code), result.message
    operation.entries = len(entries)
    operation.found = [entry.dn for entry in entries[:SHOWN_NAMES]]
    operation.present = sorted(entries[0].attributes) if entries else []
