"""The tokens of the Vault dialect: made, found, used, renewed, revoked (vault.md 6, 8; configuration.md 3).

A service token is a row of the store; a batch token is its own record; the root token is configured. A token lives
while every token it descends from does: a parent that ended, was revoked or was pruned takes its children with it,
whatever their rows say. So one that is made while its parent is revoked is dead, too.
"""

from __future__ import annotations

import hmac
import math
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from gateway.bounded import keep
from gateway.grants.policies.book import ROOT_POLICY
from gateway.store.interface import Conflict, RevokeBy, TokenRow
from gateway.tokens.opaque import digest, mint, mint_accessor
from gateway.tokens.vault_batch import PREFIX as BATCH_PREFIX
from gateway.tokens.vault_batch import BatchTokens
from gateway.tokens.vault_children import MAX_DEPTH, NewToken, cidrs_of
from gateway.tokens.vault_lookup import seconds_of, type_of
from gateway.tokens.vault_ttl import SYSTEM, Caps, Lifetime, Refused, Terms, last_end, lifetime

if TYPE_CHECKING:
    from gateway.identities import Identities
    from gateway.identity import Identity
    from gateway.store.interface import Store

KIND: Final = "vault"
"""``TokenRow.kind`` of every token here."""
SERVICE_PREFIX: Final = "hvs."
ROOT_PATH: Final = "auth/token/root"
_ENDS: Final = "ends"
"""In ``TokenRow.limits`` of a batch token: what ``Store.path_ends`` said of its path when it was made."""
_NEVER: Final = 2**62
_LIST_PAGE: Final = 1000


class Denied(Exception):
    """Unknown, ended, revoked, used up, or from an address it is not bound to: 403, and no more is said."""


@dataclass(frozen=True, slots=True)
class Held:
    """A live token, and whose it is."""

    row: TokenRow
    identity: Identity | None
    """None for tokens that are nobody's: root's, and orphans."""
    ends_at: float = math.inf
    """When it ends unless something changes, by its own end or that of a token it descends from: seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token just made."""

    text: str = field(repr=False)
    row: TokenRow
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Renewed:
    """A token with its new end."""

    row: TokenRow
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was found alive, good until its end or any write to the store."""

    held: Held
    version: int


class VaultTokens:
    """The Vault tokens of one configuration."""

    def __init__(
        self,
        store: Store,
        identities: Identities,
        batch: BatchTokens,
        *,
        root_token: str = "",
        uuids: bool = False,
        cache_size: int = 100_000,
    ) -> None:
        """``root_token`` is ``vault.root_token``; ``uuids`` says that new tokens look as Vault 0.7 made them."""
        self._store = store
        self._identities = identities
        self._batch = batch
        self._root = _root_row(root_token, batch.accessor(root_token)) if root_token else None
        self._uuids = uuids
        self._cache: OrderedDict[bytes, _Known] = OrderedDict()
        self._cache_size = cache_size

    def mint(self) -> str:
        """The text of a new service token."""
        return str(uuid.uuid4()) if self._uuids else mint(SERVICE_PREFIX)

    # who holds what

    async def authenticate(self, text: str, address: str | None, now: int) -> Held:
        """The token of a request from ``address`` (None: a local socket), counting the use. ``Denied``.

        To be called once a request, whether it is then allowed or not: uses count either way (vault.md 6).
        """
        held = await self.find(text, now)
        if held is None or not bound(cidrs_of(held.row), address):
            raise Denied
        if held.row.uses_left is None:
            return held
        try:
            left = await self._store.token_use(held.row.hash)
        except Conflict:
            raise Denied from None
        return replace(held, row=replace(held.row, uses_left=left))

    async def find(self, text: str, now: int) -> Held | None:
        """A live token by its text, counting nothing."""
        key = digest(text)
        version = self._store.version()
        known = self._cache.get(key)
        if known is not None and known.version == version and now < known.held.ends_at:
            return known.held
        self._cache.pop(key, None)
        row = self._batch.open(text) if text.startswith(BATCH_PREFIX) else await self._row(key)
        held = None if row is None else await self._alive(row, now)
        if held is not None and held.row.uses_left is None:
            keep(self._cache, key, _Known(held, version), self._cache_size)
        return held

    async def find_accessor(self, accessor: str, now: int) -> Held | None:
        """A live token by its accessor, counting nothing."""
        row = await self._row_of(accessor)
        return None if row is None else await self._alive(row, now)

    async def accessors(self, now: int) -> list[str]:
        """Of all live tokens that are stored."""
        found: list[str] = []
        page: Sequence[TokenRow] = await self._store.tokens(kind=KIND, limit=_LIST_PAGE)
        while page:
            found += (row.accessor for row in page if row.alive(now))
            page = await self._store.tokens(kind=KIND, after=page[-1].accessor, limit=_LIST_PAGE)
        return found

    # making and renewing

    async def issue(self, new: NewToken, now: int) -> Issued:
        """Make a token; a service token is durable, and found by its accessor, before anybody knows its text.

        ``Refused`` for what cannot be made, ``Denied`` when its parent was revoked meanwhile.
        """
        if new.type == "batch" and (new.num_uses or new.terms.period):
            raise Refused("'token_type' cannot be 'batch' with a period or a limit of uses")
        life = Lifetime(0) if new.endless else lifetime(new.terms, new.caps)
        row = _new_row(new, life.ttl, now)
        if new.type == "batch":
            ends = await self._store.path_ends(row.path)
            row = replace(row, limits={**row.limits, **({_ENDS: ends} if ends else {})})
            return Issued(self._batch.seal(row), row, life.warnings)
        text = new.text or self.mint()
        row = replace(row, hash=digest(text), accessor=mint_accessor())
        if len(await self._line(row) or ()) > MAX_DEPTH:
            raise Refused(f"no more than {MAX_DEPTH} tokens can descend from one another")
        try:
            await self._store.token_add(row)
        except Conflict:
            raise Refused("cannot create a token with a duplicate ID") from None
        if new.parent is not None and await self._alive(row, now) is None:
            await self._store.tokens_revoke(RevokeBy.TREE, row.accessor, now)
            raise Denied
        return Issued(text, row, life.warnings)

    async def renew(
        self, row: TokenRow, now: int, *, increment: int = 0, terms: Terms | None = None, caps: Caps = SYSTEM
    ) -> Renewed:
        """Give a live token a new end, never past the one it was made with. ``Refused``; ``Denied`` if it just died.

        ``terms`` are those its login would give today; without them those it was made with go on. Whether its
        owner still is who he was is for the caller to ask the directory before (vault.md 6).
        """
        if type_of(row) == "batch":
            raise Refused("batch tokens cannot be renewed")
        if not row.renewable or row.expires_at is None:
            raise Refused("lease is not renewable")
        if increment < 0:
            raise Refused("increment cannot be negative")
        life = lifetime(terms or _terms_of(row), caps, age=max(0, now - row.created_at), increment=increment)
        end = min(now + life.ttl, row.max_expires_at or _NEVER)
        if end <= now:
            raise Refused("past the max TTL, cannot renew")
        if not await self._store.token_renew(row.accessor, end):
            raise Denied
        return Renewed(replace(row, expires_at=end), life.warnings)

    # revoking

    async def revoke(self, text: str, now: int) -> bool:
        """End a token and all it made; durable, and seen by every process, on return. False: there was none.

        ``Refused`` for batch tokens. A wrapping token goes with the answer it wraps.
        """
        if text.startswith(BATCH_PREFIX):
            raise Refused("batch tokens cannot be revoked")
        key = digest(text)
        row = await self._row(key)
        if row is None:
            return await self._store.wrap_take(key) is not None
        return await self._revoke(row, now)

    async def revoke_accessor(self, accessor: str, now: int) -> bool:
        """As ``revoke``, by accessor."""
        row = await self._row_of(accessor)
        return row is not None and await self._revoke(row, now)

    async def revoke_orphan(self, text: str, now: int) -> bool:
        """End a token alone; those it made become orphans."""
        row = await self._row(digest(text))
        if row is None or row is self._root:
            return row is not None and await self._revoke(row, now)
        return await self._store.tokens_revoke(RevokeBy.ACCESSOR, row.accessor, now) > 0

    async def revoke_path(self, path: str, now: int) -> int:
        """End the tokens made at a path or below: ``auth/ldap``, ``auth/ldap/login/tesla``, and all those made.

        Batch tokens end, too, but nobody knows how many there were.
        """
        return await self._store.tokens_revoke(RevokeBy.PATH, path.strip("/"), now)

    async def _revoke(self, row: TokenRow, now: int) -> bool:
        if row is self._root:
            await self._store.revoke_session(_forbidden(row), "", None)
        revoked = await self._store.tokens_revoke(RevokeBy.TREE, row.accessor, now)
        return row is self._root or revoked > 0

    async def is_root_revoked(self) -> bool:
        """Whether the configured root token was revoked, which holds until another one is configured."""
        return self._root is not None and await self._store.session_revoked(_forbidden(self._root))

    # rows

    async def _row(self, key: bytes) -> TokenRow | None:
        """Dead or alive, but of this dialect."""
        if self._root is not None and hmac.compare_digest(key, self._root.hash):
            return self._root
        row = await self._store.token(key)
        return row if row is not None and row.kind == KIND else None

    async def _row_of(self, accessor: str) -> TokenRow | None:
        if self._root is not None and accessor == self._root.accessor:
            return self._root
        row = await self._store.token_by_accessor(accessor)
        return row if row is not None and row.kind == KIND else None

    async def _line(self, row: TokenRow) -> list[TokenRow] | None:
        """The token and those it descends from; None where one of them is gone, or there are too many."""
        line = [row]
        while (parent := line[-1].parent) is not None:
            above = await self._row_of(parent)
            if above is None or len(line) > MAX_DEPTH:
                return None
            line.append(above)
        return line

    async def _alive(self, row: TokenRow, now: int) -> Held | None:
        """The token with its owner; None for a dead one."""
        line = await self._line(row)
        if line is None or not all(one.alive(now) for one in line):
            return None
        if type_of(row) == "batch" and await self._store.path_ends(row.path) != seconds_of(row, _ENDS):
            return None
        if line[-1] is self._root and await self.is_root_revoked():
            return None
        identity = None
        if row.identity is not None:
            identity = await self._identities.by_id(row.identity, row.created_at)
            if identity is None:
                return None
        return Held(row, identity, min(one.expires_at or math.inf for one in line))


def _new_row(new: NewToken, ttl: int, now: int) -> TokenRow:
    """Without hash and accessor."""
    limits: dict[str, object] = {
        "creation_ttl": ttl,
        "ttl": new.terms.ttl,
        "max_ttl": new.terms.max_ttl,
        "explicit_max_ttl": new.terms.explicit_max_ttl,
        "cidrs": list(new.cidrs),
        "role": new.role,
        "type": new.type,
    }
    return TokenRow(
        hash=b"",
        accessor="",
        kind=KIND,
        identity=new.identity,
        created_at=max(now, new.valid_after),
        parent=new.parent,
        server=new.server,
        path=new.path,
        policies=new.policies,
        meta=new.meta,
        limits={name: value for name, value in limits.items() if value},
        label=new.display_name,
        expires_at=now + ttl if ttl else None,
        max_expires_at=None if new.endless else last_end(new.terms, new.caps, now),
        period=new.terms.period or None,
        uses_left=new.num_uses or None,
        renewable=new.renewable and new.type == "service",
        orphan=new.parent is None,
    )


def _terms_of(row: TokenRow) -> Terms:
    return Terms(
        ttl=seconds_of(row, "ttl"),
        max_ttl=seconds_of(row, "max_ttl"),
        explicit_max_ttl=seconds_of(row, "explicit_max_ttl"),
        period=row.period or 0,
    )


def _root_row(text: str, accessor: str) -> TokenRow:
    # The accessor comes of the text, so that what it made dies with it when another one is configured.
    return TokenRow(
        hash=digest(text),
        accessor=accessor,
        kind=KIND,
        identity=None,
        created_at=0,
        path=ROOT_PATH,
        policies=(ROOT_POLICY,),
        label="root",
        orphan=True,
    )


def _forbidden(root: TokenRow) -> str:
    """Under this name a revoked root token stays refused for ever; other such names are 32 hexadecimal digits."""
    return f"vault-root:{root.hash.hex()}"


@lru_cache(maxsize=1024)
def _network(cidr: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(cidr, strict=False)
    except ValueError:
        return None


def bound(cidrs: Sequence[str], address: str | None) -> bool:
    """Whether what is bound to these may be used from there (None: a local socket); to none: from anywhere.

    Bounds that cannot be read let nobody in.
    """
    if not cidrs:
        return True
    try:
        given = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(given, IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return any(network is not None and given in network for network in map(_network, cidrs))
