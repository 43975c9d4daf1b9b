"""Who of a directory may log in to a Conjur service: everybody is read and judged as a login does it (conjur.md 5).

Where groups are on the entry of a person (``memberOf``) that costs nothing more; where a login searches for them, it
costs each person the searches of a login, ``AT_ONCE`` people at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.conjur_dialect import Service
from gateway.directory.escape import comparable_dn
from gateway.directory.searches import AT_ONCE, in_chunks, together
from gateway.identity import LOCAL, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.directory.bind import DirectoryServer
    from gateway.directory.messages import Entry
    from gateway.grants.conjur_policy import PersonEntry
    from gateway.identity import Account

Read = tuple["PersonEntry", "Entry"]


class Clients:
    """Takes people with their entries, and keeps who may log in to the service of ``directory``."""

    def __init__(self, directory: DirectoryServer, configuration: Configuration) -> None:
        self._directory = directory
        servers = (LOCAL, *(server.name for server in configuration.servers))
        services = configuration.conjur.services
        name = next(name for name in services if fold_name(name) == fold_name(directory.name))
        self.service = Service.of(name, services[name], servers)
        alone = {entry: services[name].model_copy(update={"allow": (entry,)}) for entry in services[name].allow}
        self._fruitless = {entry: Service.of(name, one, servers) for entry, one in alone.items()}
        self.requested = directory.requested
        """Attributes that must be asked for."""
        self.dns: set[str] = set()
        """The DNs of those who may, normalised."""

    @property
    def fruitless(self) -> list[str]:
        """The entries of the service's ``allow`` by which nobody was let in."""
        return list(self._fruitless)

    async def add(self, people: Sequence[Read]) -> None:
        """Judge some more. Raises SearchFailed and DirectoryError."""
        if self.service.everybody:
            self.dns.update(comparable_dn(entry.dn) for _, entry in people)
            self._fruitless.clear()
            return
        for some in in_chunks(people, AT_ONCE):
            for account in await together(*(self._account(*one) for one in some)):
                self._judge(account)

    async def _account(self, person: PersonEntry, entry: Entry) -> Account:
        return await self._directory.read(self._directory.pool, entry, person.name)

    def _judge(self, account: Account) -> None:
        if not self.service.allows(account):
            return
        self.dns.add(comparable_dn(account.dn))
        for entry in [entry for entry, service in self._fruitless.items() if service.allows(account)]:
            del self._fruitless[entry]
