"""What the Vault dialect works with under one configuration: mounts, tokens, policies, the answers it has wrapped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.grants.policies.book import PolicyBook
from gateway.tokens.vault_batch import BatchTokens, load_keys
from gateway.tokens.vault_children import TokenRole
from gateway.tokens.vault_tokens import VaultTokens
from gateway.tokens.vault_ttl import Caps
from gateway.tokens.vault_wrapping import Wrappings
from gateway.vault_mounts import Mounts
from gateway.vault_renewals import Renewals

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.config.schema.vault import TokenRole as RoleSettings
    from gateway.directory.recheck import Recheck
    from gateway.identities import Identities
    from gateway.store.interface import Store


@dataclass(frozen=True, slots=True)
class VaultDialect:
    """Made anew with each snapshot; what lasts is in the store."""

    mounts: Mounts
    tokens: VaultTokens
    renewals: Renewals
    policies: PolicyBook
    roles: Mapping[str, TokenRole]
    """What ``auth/token/create/NAME`` allows, by name."""
    wrappings: Wrappings
    caps: Caps
    """Lease times where no mount has its own."""

    @classmethod
    async def load(
        cls, store: Store, identities: Identities, recheck: Recheck, configuration: Configuration, now: int
    ) -> Self:
        """Read the keys of batch tokens, and every policy. Raises StoreError, and PolicyError naming the policy."""
        settings = configuration.vault
        mounts, caps = Mounts(configuration), Caps(int(settings.default_lease_ttl), int(settings.max_lease_ttl))
        tokens = VaultTokens(
            store,
            identities,
            BatchTokens(await load_keys(store, now)),
            root_token=settings.root_token.reveal(),
            uuids=settings.compatibility == "0.7",
            cache_size=configuration.tokens.cache_size,
        )
        return cls(
            mounts=mounts,
            tokens=tokens,
            renewals=Renewals(tokens, recheck, identities, mounts, unchecked=settings.renew_unchecked, caps=caps),
            policies=await asyncio.to_thread(PolicyBook, settings.policies),
            roles={name: _role(name, role) for name, role in settings.token_roles.items()},
            wrappings=Wrappings(store, tokens.mint),
            caps=caps,
        )


def _role(name: str, role: RoleSettings) -> TokenRole:
    return TokenRole(
        name=name,
        allowed_policies=role.allowed_policies,
        disallowed_policies=role.disallowed_policies,
        allowed_policies_glob=role.allowed_policies_glob,
        disallowed_policies_glob=role.disallowed_policies_glob,
        orphan=role.orphan,
        renewable=role.renewable,
        path_suffix=role.path_suffix,
        explicit_max_ttl=int(role.token_explicit_max_ttl),
        period=int(role.token_period),
        cidrs=role.token_bound_cidrs,
        no_default_policy=role.token_no_default_policy,
        num_uses=role.token_num_uses,
        type=role.token_type,
    )
