"""The verbs of the store and the rows they speak of, independent of the engine.

All times are integer seconds since 1970 (UTC), all hashes SHA-256 (32 bytes). A write returns after its commit. Every
verb is a coroutine, so that an engine on the network can answer it; those documented as *inline* never suspend in the
embedded engine and cost microseconds. (configuration.md 2)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from gateway.grants.lockout import Counter, Key, Settings
from gateway.identity import Account, Group

PAGE: Final = 100
"""Rows in one page of a listing, unless the caller asks for fewer or more."""
TOUCH_SECONDS: Final = 60
"""``tokens_touch`` writes a row at most once in this time."""


class StoreError(Exception):
    """Something about the store is wrong; the text is for the operator and never holds a stored value."""


class Conflict(StoreError):
    """The write contradicts what is stored: a duplicate, a use too many, a lost race. Nothing was changed."""


class StoreUnavailable(StoreError):
    """The engine cannot answer now: closed, locked for too long, overloaded, disk full, file damaged."""


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """One person known to the gateway: one row per (server, entry). ``id`` is 32 hexadecimal digits."""

    id: str
    server: str
    external_id: str
    username: str
    dn: str
    name: str
    email: str
    groups: tuple[Group, ...]
    attributes: Mapping[str, tuple[str, ...]]
    granted: Mapping[str, object]
    """JSON of the last grant, for listings; a token is judged by the grant of the running configuration."""
    company: str
    role: str
    backend_id: str
    """The ClearML user id."""
    valid_after: int
    """Tokens issued before this time are dead."""
    created_at: int
    checked_at: int
    """When the directory last confirmed the entry."""
    gone_at: int | None
    """When the entry was found missing or disabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One stored token of any kind (configuration.md 3)."""

    hash: bytes = field(repr=False)
    """Of the token; of the secret for an access key."""
    accessor: str
    """Names the token without being it; the key itself for an access key."""
    kind: str
    """``access_key``, ``session``, ``personal`` or ``vault``."""
    identity: str | None
    """``IdentityRow.id`` of the owner."""
    created_at: int
    parent: str | None = None
    """Accessor of the token that made this one."""
    server: str = ""
    path: str = ""
    policies: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, object] = field(default_factory=dict)
    """Hosts, paths, CIDRs where it may be used (JSON)."""
    label: str = ""
    expires_at: int | None = None
    max_expires_at: int | None = None
    period: int | None = None
    """Seconds by which a periodic token is renewed."""
    uses_left: int | None = None
    """None: without limit."""
    renewable: bool = False
    orphan: bool = False
    last_used_at: int | None = None
    last_used_from: str = ""
    domain: str = ""
    remember: bool = False
    revoked_at: int | None = None

    def alive(self, now: int) -> bool:
        """Neither revoked, nor ended, nor used up at ``now``. ``Store.token`` returns dead rows too."""
        ended = self.expires_at is not None and self.expires_at <= now
        return self.revoked_at is None and not ended and self.uses_left != 0


@dataclass(frozen=True, slots=True)
class Touch:
    """A use of the token with this hash."""

    hash: bytes = field(repr=False)
    at: int
    address: str = ""


class RevokeBy(StrEnum):
    """What the value given to ``tokens_revoke`` names."""

    ACCESSOR = "accessor"
    """This token alone; those it made become orphans."""
    IDENTITY = "identity"
    SERVER = "server"
    TREE = "tree"
    """An accessor: this token and all its descendants."""
    PATH = "path"
    """Vault tokens made at this path or below it, and all their descendants."""


@dataclass(frozen=True, slots=True)
class WrappedRow:
    """An answer kept for whoever brings the wrapping token first (vault.md 10); the answer itself is apart."""

    hash: bytes = field(repr=False)
    """Of the wrapping token."""
    accessor: str
    creation_path: str
    wrapped_accessor: str
    """Of the token that the answer holds; empty when it holds none."""
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class WhitelistRow:
    """An e-mail address (folded) that may log in; pending until ``accepted_at``."""

    email: str
    role: str
    added_at: int
    added_by: str
    accepted_at: int | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A signing key. ``private`` is opened here and sealed in the database."""

    id: str
    purpose: str
    """``clearml``, ``jwks``, ``conjur:ACCOUNT`` or ``batch``."""
    algorithm: str
    private: bytes = field(repr=False)
    public: bytes
    not_before: int
    not_after: int | None = None
    retired_at: int | None = None

    def live(self, now: int) -> bool:
        """Whether tokens signed with it count at ``now``."""
        return self.not_before <= now and all(end is None or now < end for end in (self.not_after, self.retired_at))


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of the configuration that was written through an API. A secret one is sealed in the database."""

    path: tuple[str, ...]
    """Keys from the root of the tree; items of lists by name."""
    value: object = field(repr=False)
    """JSON; None removes what an earlier layer gives."""
    secret: bool
    """False for a removal."""
    at: int
    by: str
    generation: int
    """Of the layer, when this was written."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A value to write; with ``forget`` the stored one, or the stored removal, is dropped instead."""

    path: tuple[str, ...]
    value: object = field(default=None, repr=False)
    secret: bool = False
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """What an API has written of the configuration, as it stood after one write."""

    generation: int
    """Number of that write; 0 before the first."""
    settings: tuple[Setting, ...]
    """In the order of their paths."""


class Store(Protocol):
    """What every engine does. Any verb may raise ``StoreUnavailable``."""

    async def migrate(self) -> None:
        """Bring the schema to the newest version; ``StoreError`` when it is newer than this program knows."""

    async def close(self) -> None:
        """Finish what was queued and let go of everything. Later calls raise ``StoreUnavailable``."""

    async def prune(self, now: int, limit: int = 500) -> int:
        """Delete what has ended, at most ``limit`` rows of each kind, and return how many; repeat until it is 0.

        Ended are sessions revoked until now, tokens expired or revoked, wrapped answers nobody came for, failures past
        their window and lock. A pruned
        access key needs no trace: anything of its form is never sent to a directory.
        """

    def version(self) -> int:
        """A number that moves when any process wrote, this one included. Microseconds; compare for inequality only."""

    async def identity_save(
        self,
        account: Account,
        *,
        company: str,
        role: str,
        backend_id: str,
        granted: Mapping[str, object],
        now: int,
    ) -> IdentityRow:
        """Insert or update by (server, external_id). ``id``, ``created_at`` and ``valid_after`` of a known row stay."""

    async def identity(self, identity_id: str) -> IdentityRow | None:
        """Inline."""

    async def identity_of(self, server: str, external_id: str) -> IdentityRow | None:
        """Inline."""

    async def identities(
        self, *, backend_id: str | None = None, username: str | None = None, after: str = "", limit: int = PAGE
    ) -> list[IdentityRow]:
        """One page in the order of ``id``, beginning behind ``after``. ``username`` is compared folded. Inline."""

    async def identity_invalidate(self, identity_id: str, valid_after: int) -> bool:
        """Kill tokens issued before ``valid_after``, which never moves back. False: no such identity."""

    async def identity_gone(self, identity_id: str, at: int) -> bool:
        """Note that the entry is missing or disabled since ``at``. False: no such identity."""

    async def token_add(self, row: TokenRow) -> None:
        """``Conflict`` when hash or accessor exist."""

    async def token(self, token_hash: bytes) -> TokenRow | None:
        """Dead or alive; see ``TokenRow.alive``. Inline."""

    async def token_by_accessor(self, accessor: str) -> TokenRow | None:
        """Dead or alive. Inline."""

    async def tokens(
        self,
        *,
        kind: str | None = None,
        identity: str | None = None,
        server: str | None = None,
        after: str = "",
        limit: int = PAGE,
    ) -> list[TokenRow]:
        """One page in the order of the accessor, dead rows included until they are pruned."""

    async def token_use(self, token_hash: bytes) -> int:
        """Count down a limited token and return what is left; ``Conflict`` when no use was left or it is revoked."""

    async def token_renew(self, accessor: str, expires_at: int) -> bool:
        """Set a new end, at most ``max_expires_at``. False: no such token, or revoked."""

    async def tokens_touch(self, batch: Sequence[Touch]) -> None:
        """Note last uses, each row at most once in ``TOUCH_SECONDS``. Unknown hashes are passed over."""

    async def tokens_revoke(self, by: RevokeBy, value: str, at: int) -> int:
        """Revoke in one transaction and return how many were alive until then."""

    async def wrap_put(self, row: WrappedRow, response: bytes) -> None:
        """Keep an answer, sealed in the database. ``Conflict`` when hash or accessor exist."""

    async def wrap_peek(self, token_hash: bytes) -> WrappedRow | None:
        """Ended or not, without its answer. Inline."""

    async def wrap_take(self, token_hash: bytes) -> tuple[WrappedRow, bytes] | None:
        """Remove it and return it with its answer, to one caller only; ``SealBroken``. It may have ended."""

    async def revoke_session(self, session_id: str, identity: str, until: int | None) -> None:
        """Refuse ClearML tokens of this session until their ``exp`` (None: for ever)."""

    async def session_revoked(self, session_id: str) -> bool:
        """Inline."""

    async def failures(self, keys: Sequence[Key]) -> Mapping[bytes, Counter]:
        """The counters that exist, by key hash. Inline."""

    async def failure_add(self, keys: Sequence[Key], now: int, settings: Settings) -> Mapping[bytes, Counter]:
        """Count one failure on every key in one step, starting locks by ``lockout.count``; the counters afterwards.

        Above ``settings.max_entries`` rows some are evicted, oldest first, in this order: what has ended, names without
        an entry (unlocked, locked), addresses, accounts, locked addresses. A locked account never is.
        """

    async def failures_clear(self, keys: Sequence[Key]) -> int:
        """Forget these counters; how many there were."""

    async def failures_list(self, after: bytes = b"", limit: int = PAGE) -> list[Counter]:
        """One page in the order of the key hash. Inline."""

    async def whitelist(self, email: str | None = None) -> list[WhitelistRow]:
        """All entries, or the one for this address. Inline."""

    async def whitelist_add(self, entries: Mapping[str, str], now: int, by: str) -> list[str]:
        """Add address -> role; returns the folded addresses that are new. An existing entry stays as it is."""

    async def whitelist_remove(self, emails: Sequence[str]) -> list[str]:
        """Remove pending entries; returns the folded addresses that went."""

    async def whitelist_accept(self, email: str, identity: str, now: int) -> bool:
        """Mark as accepted at the first login. False: no entry, or accepted before."""

    async def domains(self) -> list[str]:
        """Folded, sorted. Inline."""

    async def domains_set(self, domains: Sequence[str]) -> None:
        """Replace the whole list."""

    async def preferences(self, identity: str) -> dict[str, object]:
        """Dotted path -> JSON value. Inline."""

    async def preferences_set(self, identity: str, changes: Mapping[str, object]) -> int:
        """Write each path, or remove it where the value is None; how many were given."""

    async def layer(self) -> Layer:
        """The API's layer of the configuration; ``SealBroken`` when the master key is another one. Inline."""

    async def layer_write(
        self, changes: Sequence[SettingChange], expected_generation: int, *, at: int, by: str
    ) -> int:
        """Make all changes, in order, or none; the new generation.

        ``Conflict`` when somebody else has written since the layer was read. ``ValueError`` or ``TypeError`` for an
        empty path and for what is not JSON.
        """

    async def keys(self) -> list[KeyRow]:
        """The key ring, oldest first; ``SealBroken`` when the master key is another one. Inline."""

    async def key_add(self, key: KeyRow, *, unless_live_at: int | None = None) -> bool:
        """Add a key, with a time only if its purpose has none that is live then. Whether it was added."""

    async def key_retire(self, key_id: str, at: int) -> bool:
        """End a key. False: no such key, or retired before."""
