"""``config check --connect``: whether each directory can be reached, lets the service account in and has the bases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.config.load import Problem, Snapshot
from gateway.config.schema.servers import SEARCH_MODES
from gateway.config.schema.units import duration_text
from gateway.directory.connection import DirectoryError, ServiceBindFailed
from gateway.directory.filters import compile_filter
from gateway.directory.messages import Scope, SearchRequest, result_name
from gateway.directory.pools import make_pool
from gateway.identity import fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.pool import Pool

_ANY: Final = compile_filter("(objectClass=*)")
_TURN: Final = 2.0
"""Seconds after which a further host is tried as well, and a little more."""


async def unreachable(snapshot: Snapshot) -> tuple[Problem, ...]:
    """What is wrong with each directory, all asked at once, each for as long as its own limits say."""
    servers = snapshot.configuration.servers
    found = await asyncio.gather(*(_Connecting(snapshot, server).problems() for server in servers))
    return tuple(problem for problems in found for problem in problems)


class _Connecting:
    """Asks one directory."""

    def __init__(self, snapshot: Snapshot, server: Server) -> None:
        self._snapshot = snapshot
        self._server = server
        self._address = "urls" if server.urls else "host"

    async def problems(self) -> list[Problem]:
        server = self._server
        connecting = 2 * (server.timeout or 10.0) + server.request_timeout
        pool = await make_pool(server)
        try:
            await pool.start(connecting + _TURN * len(server.endpoints))
            if server.mode in SEARCH_MODES:
                return await self._of_bases(pool)
            return [] if pool.state.up else [self._problem(self._address, pool.state.error)]
        finally:
            await pool.close()

    async def _of_bases(self, pool: Pool) -> list[Problem]:
        found = []
        for key, base in self._bases():
            try:
                _, result = await pool.search(SearchRequest(base, _ANY, ("1.1",), scope=Scope.BASE))
            except ServiceBindFailed as error:
                return [self._problem("bind_password" if self._server.bind_password else "bind_dn", str(error))]
            except DirectoryError as error:
                if not pool.state.up:
                    return [self._problem(self._address, str(error))]
                found.append(self._problem(key, f"{base}: {error}"))
            else:
                if result.code:
                    found.append(self._problem(key, f"{base}: {result_name(result.code)}"))
        return found

    def _bases(self) -> Iterator[tuple[str, str]]:
        """What the service account searches below. Without any the root is asked, to see that somebody answers."""
        server = self._server
        yield from (("search_base_dns", base) for base in server.user_bases)
        if not server.anonymous_group_search:
            yield from (("group_search_base_dns", base) for base in server.group_search_base_dns)

    def _problem(self, key: str, text: str) -> Problem:
        """A problem where the key is written, or where the server is; which limits count is said with a time-out."""
        server, table = self._server, f"servers.{fold_name(self._server.name)}"
        if "in time" in text:
            limits = {"timeout": server.timeout or 10.0, "request_timeout": server.request_timeout}
            text += f" ({', '.join(f'{name} = {duration_text(seconds)}' for name, seconds in limits.items())})"
        origin = self._snapshot.origin(f"{table}.{key}")
        if origin.kind == "default":
            origin = self._snapshot.origin(f"{table}.name")
        return Problem(origin, f"servers.{server.name}.{key}", text)
