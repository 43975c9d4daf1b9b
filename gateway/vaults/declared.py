"""Vaults that the configuration declares: read-only, beside those in the store (configuration.md 1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.grants.mapping import Members
from gateway.identity import LOCAL, Identity
from gateway.store.interface import VaultRow
from gateway.vaults.groups import Groups
from gateway.vaults.model import CONFIG, GROUP, USER, belongs_to, declared_vault_id
from gateway.vaults.text import prepare

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, DeclaredVault


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared vault."""

    name: str
    row: VaultRow
    person: Members | None
    """Whose it is, with scope ``user``."""

    def personal_to(self, identity: Identity) -> bool:
        """Whether it is this person's own."""
        known = self.person is not None and self.person.hold(identity.account)
        return known and belongs_to(self.row, identity.grant.company)


def declared_vaults(configuration: Configuration, groups: Groups) -> dict[str, Declared]:
    """Every declared vault by its id, in the order of the configuration. Reads all texts: takes long for large ones.

    Raises ValueError for a text that cannot be delivered, which the load of a configuration has refused before.
    """
    servers = (LOCAL, *(server.name for server in configuration.servers))
    made = [_made(name, vault, groups, servers) for name, vault in configuration.vaults.declared.items()]
    return {declared.row.id: declared for declared in made}


def delivered(vault: DeclaredVault) -> str:
    """The text as clients get it. Raises ``text.UnusableText``."""
    text = vault.data.reveal()
    return prepare(text, vault.format, shared=vault.scope != USER).delivered if vault.type == CONFIG else text


def _made(name: str, vault: DeclaredVault, groups: Groups, servers: tuple[str, ...]) -> Declared:
    owner, person = "", None
    if vault.scope == GROUP:
        group = groups.named(vault.group)
        owner = group.id if group is not None else vault.group
    if vault.scope == USER:
        person = Members([f"user:{vault.user}"], servers)
    row = VaultRow(
        id=declared_vault_id(name), company=vault.company, scope=vault.scope, owner=owner, type=vault.type,
        format=vault.format, enabled=vault.enabled, description=vault.description or name, text=vault.data.reveal(),
        delivered=delivered(vault), created_at=0, updated_at=0, updated_by="configuration",
    )  # fmt: skip
    return Declared(name, row, person)
