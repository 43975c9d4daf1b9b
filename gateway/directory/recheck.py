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

    def asks(self, identity: Identity) -> bool:
        """Whether there is a directory that can be asked about a person without their password."""
        server = self._servers.get(identity.account.server)
        return server is not None and server.searches_as_service

    async def standing(self, identity: Identity, now: int) -> Standing:
        """Look a person up as the login did; what has changed is stored.

        Local users and services stand in the configuration itself and are good as they are. While the directory
        cannot be asked, its last answer counts for ``session.max_stale``.
        """
        server = self._servers.get(identity.account.server)
        row = await self._store.identity(identity.id)
        if server is None or row is None:
            return Standing.GOOD
        if not server.searches_as_service:
            return Standing.UNASKED
        age = now - row.checked_at
        if age < self._settings.refresh_interval:
            return Standing.GOOD
        try:
            return await self._ask(server, row, now)
        except (DirectoryError, SearchFailed, TimeoutError) as error:
            why = str(error) or f"no answer within login_timeout ({server.timeout:g} s)"
            log.warning("server %s: %s could not be looked up again: %s", server.name, identity.label, why)
            return Standing.GOOD if age < self._settings.max_stale else Standing.UNKNOWN

    async def _ask(self, server: DirectoryServer, row: IdentityRow, now: int) -> Standing:
        typed = typed_name(row)
        account = barred = None
        async with asyncio.timeout(server.timeout):
            entry = await server.find_again(row.external_id, (typed, row.username, row.email))
            if entry is not None:
                barred = renewal_restriction(entry.attributes, now)
                account = await server.read(server.pool, entry, typed)
        if entry is None or (barred and barred.state.lasting):
            log.info("server %s: %s: %s", server.name, row.username, barred.text if barred else "found no more")
            await self._store.identity_gone(row.id, now)
            # Should they come back, what they held before stays dead.
            await self._store.identity_invalidate(row.id, now)
            return Standing.GONE
        try:
            if barred:
                raise Refused(barred.text)
            if account is not None:
                await self._identities.admit(account, typed, now)
        except Refused as refusal:
            log.info("server %s: %s is refused a new token: %s", server.name, row.username, refusal)
            return Standing.GONE
        return Standing.GOOD
