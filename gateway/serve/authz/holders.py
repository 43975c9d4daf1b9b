"""Who holds a session or token, with everything that answers need of them, for as long as nothing can have changed.

A known holder costs a look at the store's version, once in a turn of the event loop. When any process changed what
holders rest on, when the directory is due to be asked again, or an end has come, the holder is found anew.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.access.decision import Endpoint
from gateway.access.limits import Limits
from gateway.access.subjects import Terms
from gateway.bounded import keep
from gateway.directory.recheck import Standing
from gateway.identity import LOCAL, fold_name
from gateway.serve.authz.reply import Reply, passing
from gateway.serve.seldom import Seldom
from gateway.sessions import Stale
from gateway.tokens.conjur import ExpiredConjurToken, InvalidConjurToken
from gateway.tokens.issuer import Revoked
from gateway.tokens.jwt import InvalidToken
from gateway.tokens.opaque import digest
from gateway.tokens.vault_children import cidrs_of
from gateway.tokens.vault_tokens import bound

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.store.interface import Store

log = logging.getLogger(__name__)

Key = tuple[bytes, str]
"""Hash of what is held, and the domain it counts in."""
EXPIRED: Final = "Signature has expired"
"""Why a token of ours is refused that would be good otherwise."""


@dataclass(slots=True)
class Holder:
    """Somebody who showed something good."""

    identity: Identity
    terms: Terms
    limits: Limits = field(default_factory=Limits)
    token_hash: bytes = field(default=b"", repr=False)
    """Of a stored session or token, whose uses are noted."""
    version: int = -1
    """Of the store, when this was found."""
    until: float = 0.0
    """When this must be found anew at the latest, seconds since 1970."""
    idle_seconds: float = math.inf
    """How long after its last use it ends."""
    replies: dict[tuple[Endpoint, str], Reply] = field(default_factory=dict)
    """What lets this person's requests pass, by endpoint and preset of identity headers."""


class VersionOfTurn:
    """The store's version, read once in a turn of the event loop.

    Whoever revoked something is told so in a later turn than the write, so what they send after that is read in
    another turn than this one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version: int | None = None

    def get(self) -> int:
        """Raises StoreError."""
        if self._version is None:
            self._version = self._store.version()
            asyncio.get_running_loop().call_soon(self._forget)
        return self._version

    def _forget(self) -> None:
        self._version = None


class Holders:
    """Holders under one snapshot."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._known: OrderedDict[Key, Holder] = OrderedDict()
        realm = (server.name for server in live.configuration.servers if server.realm)
        self._realm = frozenset(map(fold_name, (LOCAL, *realm)))
        self._most = live.configuration.tokens.cache_size
        self._version = VersionOfTurn(live.store)
        self._seldom = Seldom()
        self._anonymous: dict[tuple[Endpoint, str], Reply] = {}

    def lives(self, holder: Holder, now: int) -> bool:
        """Whether a holder is who it was, by what can be seen without asking anybody. Raises StoreError."""
        if now >= holder.until or holder.version != self._version.get():
            return False
        if holder.idle_seconds == math.inf:
            return True
        return now < self._live.activity.last(holder.token_hash) + holder.idle_seconds

    def touch(self, holder: Holder, now: int, address: str) -> None:
        """Note a use of what somebody holds."""
        if holder.token_hash:
            self._live.activity.note(holder.token_hash, now, address)

    def known(self, key: Key, now: int) -> Holder | None:
        """A holder found before, who still lives."""
        holder = self._known.get(key)
        return holder if holder is not None and self.lives(holder, now) else None

    async def by_session(self, value: str, domain: str, now: int) -> Holder | None:
        """Whose session a cookie's value is; None: nobody's. Raises Stale and StoreError."""
        key = digest(value), domain
        if (holder := self.known(key, now)) is not None:
            return holder
        version = self._live.store.version()
        session = await self._live.sessions.current([value], domain, now)
        if session is None:
            self._known.pop(key, None)
            return None
        row, settings = session.row, self._live.configuration.session
        holder = self._holder(key, session.identity)
        holder.token_hash = row.hash
        holder.idle_seconds = math.inf if row.remember else settings.inactivity
        return await self._keep(key, holder, version, row.expires_at or 0)

    async def by_personal(self, text: str, now: int) -> Holder | None:
        """Whose personal token it is; None: nobody's. Raises Stale and StoreError."""
        key = digest(text), ""
        if (holder := self.known(key, now)) is not None:
            return holder
        version = self._live.store.version()
        token = await self._live.personal.current(text, now)
        if token is None:
            self._known.pop(key, None)
            return None
        holder = self._holder(key, token.identity, token.row.label)
        holder.token_hash, holder.limits = token.row.hash, token.limits
        return await self._keep(key, holder, version, token.row.expires_at or 0)

    async def by_clearml(self, text: str, now: int) -> Holder | None:
        """Whose ClearML token it is; None where it is ours and not good.

        One that was made by impersonation never counts here. Raises LookupError where it is not ours, Stale and
        StoreError.
        """
        key = digest(text), ""
        if (holder := self.known(key, now)) is not None:
            return holder
        version = self._live.store.version()
        try:
            identity = await self._live.issuer.identity_of(text, now)
            ends_at = self._live.issuer.expires_at(text)
        except Revoked:
            return None
        except InvalidToken as error:
            if error.reason == EXPIRED:
                return None
            raise LookupError("another's token") from None
        if await self._is_gone(identity, now) or identity.actor:
            return None
        return await self._keep(key, self._holder(key, identity), version, ends_at)

    async def by_vault(self, text: str, client: Address | None, now: int) -> Holder | None:
        """Whose Vault token it is; None where it is ours and does not count here: it is nobody's, has a limit of uses,
        or is bound to other addresses (DECISIONS 21), or its owner is of a server outside the realm: who may enable a
        mount through the API must not make an ada for these rules (DECISIONS 3).

        Of the policies of its owner it shows those it holds. Raises LookupError where it is not ours, Stale and
        StoreError.
        """
        key, version = (digest(text), ""), self._live.store.version()
        held = await self._live.vault.tokens.find(text, now)
        if held is None:
            self._known.pop(key, None)
            raise LookupError("another's token")
        identity, row = held.identity, held.row
        if identity is None or row.uses_left is not None or not bound(cidrs_of(row), str(client) if client else None):
            return None
        if not self._in_realm(identity):
            return None
        if (holder := self.known(key, now)) is not None:
            return holder
        if await self._is_gone(identity, now):
            return None
        holder = self._holder(key, identity)
        policies = set(map(fold_name, row.policies))
        holder.terms = frozenset(term for term in holder.terms if term[0] != "policy" or term[2] in policies)
        return await self._keep(key, holder, version, held.ends_at)

    async def by_conjur(self, text: str, client: Address | None, now: int) -> Holder | None:
        """Whose Conjur token it is; None where it is ours and does not count here: it has expired, is bound to other
        addresses, or its owner is gone, or of a server outside the realm.

        Raises LookupError where it is not ours, Stale and StoreError.
        """
        conjur, key, version = self._live.conjur, (digest(text), ""), self._live.store.version()
        if conjur is None:
            raise LookupError("there is no Conjur dialect")
        await conjur.follow()
        try:
            token = conjur.verify(text, now)
        except ExpiredConjurToken:
            return None
        except InvalidConjurToken:
            raise LookupError("another's token") from None
        if not bound(token.cidrs, str(client) if client else None):
            return None
        if (holder := self.known(key, now)) is not None:
            return holder
        identity = await conjur.identity_of(token)
        if identity is None or not self._in_realm(identity):
            return None
        if await self._is_gone(identity, now):
            return None
        return await self._keep(key, self._holder(key, identity), version, token.expires_at)

    async def _is_gone(self, identity: Identity, now: int) -> bool:
        """Whether the directory no longer has somebody. Raises Stale where that is not known, and StoreError."""
        standing = await self._live.freshness.standing(identity, now)
        if standing is Standing.UNKNOWN:
            raise Stale
        return standing is Standing.GONE

    def by_login(self, identity: Identity) -> Holder:
        """Who has just shown their password; not remembered here."""
        return Holder(identity, self._live.access.rules.terms(identity))

    def passing(self, holder: Holder | None, endpoint: Endpoint, preset: str, now: int) -> Reply | None:
        """What lets the requests of a holder pass, or of nobody; rendered once, or with each token. None where that has
        no room. Raises StoreError.
        """
        presets = self._live.access.presets
        token = self._live.grafana.mint(holder.identity, now) if holder and presets.needs_token(preset) else None
        replies = self._anonymous if holder is None else holder.replies
        reply = replies.get((endpoint, preset))
        if reply is None or (token and token is not reply.token):
            text = token.text if token else ""
            headers = presets.render(holder.identity, preset, text) if holder else presets.anonymous(preset)
            if holder and headers.dropped:
                self._warn(holder.identity, preset, headers.dropped)
            if headers.lacks_token:
                return None
            reply = replies[endpoint, preset] = passing(endpoint, headers, token)
        return reply

    def _in_realm(self, identity: Identity) -> bool:
        return fold_name(identity.account.server) in self._realm

    def _warn(self, identity: Identity, preset: str, dropped: Sequence[str]) -> None:
        """Who shows a password with each request is rendered each time, and told of once in a while."""
        if self._seldom.untold((identity.id, preset), int(time.time())) is not None:
            log.warning("identity headers of %s: %s", identity.label, "; ".join(dropped))

    def _holder(self, key: Key, identity: Identity, label: str = "") -> Holder:
        """With what was made of the same identity before."""
        old = self._known.get(key)
        if old is not None and old.identity == identity:
            return Holder(identity, old.terms, replies=old.replies)
        return Holder(identity, self._live.access.rules.terms(identity, label))

    async def _keep(self, key: Key, holder: Holder, version: int, ends_at: float) -> Holder:
        holder.version = version
        holder.until = min(ends_at, await self._live.freshness.good_until(holder.identity))
        keep(self._known, key, holder, self._most)
        return holder
