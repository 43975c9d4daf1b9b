"""Is this person still there: asked when a token is renewed, never when it is used (DECISIONS 11)."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.directory.account import external_id
from gateway.directory.bind import DirectoryServer, SearchFailed
from gateway.directory.connection import DirectoryError
from gateway.grants.mapping import Refused
from gateway.identity import Identity

if TYPE_CHECKING:
    from gateway.config.schema import Session
    from gateway.identities import Identities
    from gateway.store.interface import Store

log = logging.getLogger(__name__)


class Standing(enum.Enum):
    """What a re-check found."""

    GOOD = "good"
    GONE = "gone"
    UNKNOWN = "unknown"
    """The directory could not be asked, and the last answer is too old."""


class Recheck:
    """Asks a person's directory again, at most once in ``session.refresh_interval``."""

    def __init__(
        self, servers: Iterable[DirectoryServer], store: Store, identities: Identities, settings: Session
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._store = store
        self._identities = identities
        self._settings = settings

    async def standing(self, identity: Identity, now: int) -> Standing:
        """Look a person up where the login found them; what has changed is stored.

        Local users and services stand in the configuration itself, and people of a server without a service account
        can be looked up by nobody: both are good as they are. While the directory cannot be asked, an answer counts
        for ``session.max_stale``.
        """
        server = self._servers.get(identity.account.server)
        row = await self._store.identity(identity.id)
        if server is None or not server.searches_as_service or row is None:
            return Standing.GOOD
        age = now - row.checked_at
        if age < self._settings.refresh_interval:
            return Standing.GOOD
        try:
            return await self._ask(server, identity, now)
        except (DirectoryError, SearchFailed) as error:
            log.warning("server %s: %s could not be looked up again: %s", server.name, identity.label, error)
            return Standing.GOOD if age < self._settings.max_stale else Standing.UNKNOWN

    async def _ask(self, server: DirectoryServer, identity: Identity, now: int) -> Standing:
        known = identity.account
        entry = await server.find_again(known.dn, (known.username, known.email))
        if entry is None or external_id(entry) != known.external_id:
            await self._store.identity_gone(identity.id, now)
            return Standing.GONE
        try:
            await self._identities.save(await server.read(server.pool, entry, known.username), now)
        except Refused as refusal:
            log.info("server %s: %s is refused a new token: %s", server.name, identity.label, refusal)
            return Standing.GONE
        return Standing.GOOD
