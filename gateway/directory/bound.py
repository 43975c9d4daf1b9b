"""A connection of one's own, bound as a person, as the service or as nobody in particular. The pool lends it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from gateway.directory.connection import Connection
from gateway.directory.filters import Filling
from gateway.directory.hosts import require_service
from gateway.directory.messages import Entry, Result, SearchRequest

if TYPE_CHECKING:
    from gateway.directory.pool import Pool


class Bound:
    """A connection of one's own, inside ``Pool.bound_as``, ``alone`` or ``anonymous``."""

    def __init__(self, pool: Pool, connection: Connection, result: Result, deadline: float) -> None:
        self.result = result
        """Result of the bind; search only when its code is 0."""
        self._pool = pool
        self._connection = connection
        self._deadline = deadline

    async def search(self, request: SearchRequest, value: Filling = "") -> tuple[list[Entry], Result]:
        """As ``Pool.search``, but on this connection and without a second try."""
        if self.result.code:
            raise RuntimeError("the bind of this connection failed")
        self._pool.searches += 1
        with self._pool.listening(self._connection):
            return await self._connection.search(request, value, self._pool.remaining(self._deadline))

    async def who_am_i(self) -> Result:
        """As ``Connection.who_am_i``."""
        with self._pool.listening(self._connection):
            return await self._connection.who_am_i(self._pool.remaining(self._deadline))

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[Bound]:
        """As ``Pool.alone``: it is."""
        yield self

    @contextlib.asynccontextmanager
    async def anonymous(self) -> AsyncIterator[Bound]:
        """As ``Pool.anonymous``. No second connection, which others who hold one might wait for too: it stays so."""
        with self._pool.listening(self._connection):
            left = self._pool.remaining(self._deadline)
            self.result = await self._connection.bind_without_password("", left)
        require_service(self.result, self._connection.endpoint)
        yield self
