"""Makes the tokens of preset ``grafana-jwt``, and remembers them for half their life (DECISIONS 17)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from gateway.bounded import keep
from gateway.grants.organisations import Organisations
from gateway.tokens.grafana import claims_of
from gateway.tokens.key_set import KeySet

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.identity import Identity
    from gateway.store.interface import Store

MOST: Final = 10_000
"""Tokens that are remembered."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A token, and when another one is due. Times are in seconds since 1970."""

    text: str = field(repr=False)
    made_at: int
    renew_at: int

    def counts(self, now: int) -> bool:
        """Whether it may still be handed out; after the clock was set back it is of the future, and may not."""
        return self.made_at <= now < self.renew_at


class GrafanaTokens:
    """Tokens under one configuration."""

    def __init__(self, configuration: Configuration, keys: KeySet) -> None:
        settings = configuration.grafana.jwt
        self.keys = keys
        self._organisations = Organisations(configuration)
        self._issuer = configuration.public_url
        self._audience = settings.audience
        self._lifetime = int(settings.lifetime)
        self._minted: OrderedDict[Hashable, Minted] = OrderedDict()

    @classmethod
    async def load(cls, store: Store, configuration: Configuration, now: int) -> Self:
        """With the store's key set. Raises KeyRingError and StoreError."""
        return cls(configuration, await KeySet.load(store, configuration.grafana.jwt, now))

    def mint(self, identity: Identity, now: int) -> Minted:
        """A token that counts for at least half of ``grafana.jwt.lifetime``; people of whom there is the same to say
        share it. Raises KeyRingError.
        """
        claims = claims_of(identity, self._organisations)
        said = tuple(tuple(value) if isinstance(value, list) else value for value in claims.values())
        signer = self.keys.signer(now)
        known = self._minted.get((said, signer.key_id))
        if known is not None and known.counts(now):
            return known
        times = {"iat": now, "nbf": now, "exp": now + self._lifetime}
        text = signer.sign({"iss": self._issuer, "aud": self._audience, **times, **claims})
        minted = Minted(text, now, now + self._lifetime // 2)
        keep(self._minted, (said, signer.key_id), minted, MOST)
        return minted
