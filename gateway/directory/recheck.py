"""Is this person still there: asked when a token is renewed, never when it is used (DECISIONS 11)."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.directory.account_state import renewal_restriction
from gateway.directory.bind import DirectoryServer
from gateway.directory.connection import DirectoryError
from gateway.directory.searches import SearchFailed
from gateway.grants.mapping import Refused
from gateway.identities import typed_name

if TYPE_CHECKING:
    from gateway.config.schema import Session
    from gateway.identities import Identities
    from gateway.identity import Identity
    from gateway.store.interface import IdentityRow, Store

log = logging.getLogger(__name__)


class Standing(enum.Enum):
    """What a re-check found."""

    GOOD = "good"
    GONE = "gone"
    """Not there any more, or not let in by the directory or the configuration."""
    UNKNOWN = "unknown"
    """The directory could not be asked, and the last answer is too old."""
    UNASKED = "unasked"
    """There is nobody to ask with; what was proved by password counts no longer than it did."""


class Recheck:
    """Asks a person's directory again, at most once in ``session.refresh_interval``."""

    def __init__(
        self, servers: Iterable[DirectoryServer], store: Store, identities: Identities, settings: Session
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._store = store
        self._identities = identities
        self._settings = settings
        self._under_way: dict[str, asyncio.Task[Standing]] = {}

    def can_ask(self, identity: Identity) -> bool:
        """Whether there is somebody to ask about this person, or no need to (DECISIONS 11)."""
        server = self._servers.get(identity.account.server)
        return server is None or server.searches_as_service

    def asks(self, identity: Identity) -> bool:
        """Whether there is a directory that can be asked about a person without their password."""
        server = self._servers.get(identity.account.server)
        return server is not None and server.searches_as_service

    async def standing(self, identity_id: str, now: int, *, at_once: bool = False) -> Standing:
        """Look a person up as the login did; what has changed is stored.

        GOOD says what the directory told, and nothing about what the configuration makes of it by now.

        Local users and services stand in the configuration itself and are good as they are. While the directory
        cannot be asked, its last answer counts for ``session.max_stale``; with ``at_once`` it counts for nothing.
        """
        row = await self._store.identity(identity_id)
        if row is None:
            return Standing.GOOD
        if (known := self.known(row, now, at_once=at_once)) is not None:
            return known
        server, age = self._servers[row.server], now - row.checked_at
        try:
            return await self._ask_once(server, row, now)
        except (DirectoryError, SearchFailed, TimeoutError) as error:
            why = str(error) or f"no answer within login_timeout ({server.timeout:g} s)"
            log.warning("server %s: %s could not be looked up again: %s", server.name, row.username, why)
            return Standing.GOOD if age < self._settings.max_stale and not at_once else Standing.UNKNOWN

    def known(self, row: IdentityRow, now: int, *, at_once: bool = False) -> Standing | None:
        """What ``standing`` answers about a stored person without asking their directory; None where it asks."""
        server = self._servers.get(row.server)
        if server is None:
            return Standing.GOOD
        if row.gone_at is not None:
            return Standing.GONE
        if not server.searches_as_service:
            return Standing.UNASKED
        is_young = now - row.checked_at < self._settings.refresh_interval
        return Standing.GOOD if is_young and not at_once else None

    async def _ask_once(self, server: DirectoryServer, row: IdentityRow, now: int) -> Standing:
        """A hundred agents of one person who renew at once cost one look-up; it goes on when one of them leaves."""
        task = self._under_way.get(row.id)
        if task is None:
            task = self._under_way[row.id] = asyncio.create_task(self._ask(server, row, now))
            task.add_done_callback(lambda done: self._forget(row.id, done))
        return await asyncio.shield(task)

    def _forget(self, identity_id: str, task: asyncio.Task[Standing]) -> None:
        del self._under_way[identity_id]
        if not task.cancelled():
            task.exception()  # told to those who wait, if there still are any

    async def _ask(self, server: DirectoryServer, row: IdentityRow, now: int) -> Standing:
        typed = typed_name(row)
        account = barred = None
        async with asyncio.timeout(server.timeout):
            entry, name = await server.find_again(row.external_id, (typed, row.username, row.email))
            if entry is not None:
                barred = renewal_restriction(entry.attributes, now)
                account = await server.read(server.pool, entry, name)
        if entry is None or (barred and barred.state.lasting):
            log.info("server %s: %s: %s", server.name, row.username, barred.text if barred else "found no more")
            await self._store.identity_gone(row.id, now)
            # Should they come back, what they held before stays dead; that of this very second too.
            await self._store.identity_invalidate(row.id, now + 1)
            return Standing.GONE
        try:
            if barred:
                raise Refused(barred.text)
            if account is not None:
                await self._identities.admit(account, name, now)
        except Refused as refusal:
            log.info("server %s: %s is refused a new token: %s", server.name, row.username, refusal)
            return Standing.GONE
        return Standing.GOOD
