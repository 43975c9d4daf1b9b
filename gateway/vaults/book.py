"""Which vaults a person gets. So far: the own, empty user vault that the web UI expects of everyone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from gateway.identity import Identity


@dataclass(frozen=True, slots=True)
class Vault:
    """One configuration vault (clearml.md 7.1)."""

    id: str
    scope: str = "user"
    enabled: bool = True
    type: str = "config"
    format: str = "hocon"
    description: str = ""
    data: str = ""


def user_vault_id(identity: Identity) -> str:
    """The id of a person's own vault: the same at every look, though nothing is stored before the first write."""
    return hashlib.sha256(f"user vault of {identity.id}".encode()).hexdigest()[:32]


def vaults_of(identity: Identity, *, types: Collection[str] = (), enabled_only: bool = False) -> list[Vault]:
    """The vaults a person gets, of the given types only (empty: all), and only enabled ones where asked."""
    own = Vault(user_vault_id(identity))
    return [vault for vault in (own,) if (not types or vault.type in types) and (vault.enabled or not enabled_only)]
