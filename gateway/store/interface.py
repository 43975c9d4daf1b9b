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
from gateway.store.counters import Counters
from gateway.store.wrapped import WrappedRow

PAGE: Final = 100
"""Rows in one page of a listing, unless the caller asks for fewer or more."""
PURGE_KEY_SECONDS: Final = 24 * 3600
"""How long a key pair that is rotated is still listed when it has ended."""
PURGE_SECONDS: Final = 30 * 24 * 3600
"""How long the versions of a deleted vault are kept."""
OWN_VAULTS: Final = 20
"""Personal vaults of one person; as many deleted ones are kept."""
TOUCH_SECONDS: Final = 60
"""``tokens_touch`` writes a row at most once in this time."""


class StoreError(Exception):
    """Something about the store is wrong; the text is for the operator and never holds a stored value."""


class Conflict(StoreError):
    """The write contradicts what is stored: a duplicate, a use too many, a lost race. Nothing was changed."""


class OverLimit(StoreError):
    """Somebody would have more than one person may. Nothing was changed; the text is for them."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRow:
    """A ClearML vault as it stands. Both texts are opened here and sealed in the database."""

    id: str
    company: str
    """Whose it is; of scope ``user`` the owner's when it was saved last."""
    scope: str
    """``organization``, ``group`` or ``user``."""
    owner: str
    """Id of a group or of an identity; empty for the organisation."""
    type: str
    format: str
    enabled: bool
    description: str
    text: str = field(repr=False)
    """As it was written."""
    delivered: str = field(repr=False)
    """As clients get it."""
    created_at: int
    updated_at: int
    updated_by: str
    version: int = 0
    """Counts the saves from 1, the one before a deletion included; 0: not stored."""
    damaged: bool = False
    """Its texts do not open: another master key, or changed bytes. Both are empty here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultVersion:
    """What a vault was before a later save, or before its deletion."""

    vault: str
    version: int
    company: str
    scope: str
    owner: str
    type: str
    format: str
    enabled: bool
    description: str
    text: str = field(repr=False)
    at: int
    """When this version was saved."""
    by: str
    damaged: bool = False
    """Its text does not open, and is empty here."""
    deleted_at: int | None = None
    """When the vault was deleted; None while it exists."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group made through an API."""

    id: str
    company: str
    name: str
    description: str
    members: frozenset[str]
    """Ids of identities."""


@dataclass(frozen=True, slots=True)
class OwnersRoom:
    """How much the vaults of one owner may take."""

    vaults: int
    bytes: int
    """Of their texts together."""


class Store(Counters, Protocol):
    """What every engine does. Any verb may raise ``StoreUnavailable``."""

    async def migrate(self) -> None:
        """Bring the schema to the newest version; ``StoreError`` when it is newer than this program knows."""

    async def close(self) -> None:
        """Finish what was queued and let go of everything. Later calls raise ``StoreUnavailable``."""

    async def prune(self, now: int, limit: int = 500) -> int:
        """Delete what has ended, at most ``limit`` rows of each kind, and return how many; repeat until it is 0.

        Ended are sessions revoked until now, tokens expired or revoked, wrapped answers nobody came for, failures past
        their window and lock, versions of vaults deleted ``PURGE_SECONDS`` ago, keys of ``jwks`` and ``conjur:ACCOUNT``
        that ended ``PURGE_KEY_SECONDS`` ago (others stay, so that what they signed can be refused by name). A pruned
        access key needs no trace: anything of its form is never sent to a directory.
        """

    def version(self) -> int:
        """A number that moves when any process, this one included, changed what known tokens and answers rest on.

        That is everything but new tokens and people, uses of tokens, when people were last looked up, failures,
        preferences and settings. Microseconds; compare for inequality only.
        """

    async def identity_save(
        self,
        account: Account,
        *,
        company: str,
        role: str,
        backend_id: str,
        granted: Mapping[str, object],
        now: int,
        accepts: str = "",
    ) -> IdentityRow:
        """Insert or update by (server, external_id). ``id``, ``created_at`` and ``valid_after`` of a known row stay.

        With ``accepts`` the whitelist's entry of that address becomes accepted by this identity in the same step;
        ``Conflict``, and nothing is stored, where there is none or another identity has accepted it.
        """

    async def identity(self, identity_id: str) -> IdentityRow | None:
        """Inline."""

    async def identity_of(self, server: str, external_id: str) -> IdentityRow | None:
        """Inline."""

    async def identities(
        self, *, backend_id: str | None = None, username: str | None = None, after: str = "", limit: int = PAGE
    ) -> list[IdentityRow]:
        """One page in the order of ``id``, beginning behind ``after``. ``username`` is compared folded. Inline."""

    async def identities_of_server(self, server: str, *, after: str = "", limit: int = PAGE) -> list[IdentityRow]:
        """One page, in the order of ``external_id`` and beginning behind ``after``, of those who are not gone."""

    async def identities_of_company(self, company: str, *, offset: int = 0, limit: int = PAGE) -> list[IdentityRow]:
        """One page, in the order of ``id``, of those who were of a company when last seen and are not gone."""

    async def identity_invalidate(self, identity_id: str, valid_after: int) -> bool:
        """Kill tokens issued before ``valid_after``, which moves on by a second at least. False: no such identity."""

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

    async def token_label(self, accessor: str, label: str) -> bool:
        """Name a token anew. False: no such token, or revoked."""

    async def tokens_touch(self, batch: Sequence[Touch]) -> None:
        """Note last uses, each row at most once in ``TOUCH_SECONDS``. Unknown hashes are passed over."""

    async def tokens_revoke(self, by: RevokeBy, value: str, at: int) -> int:
        """Revoke in one transaction and return how many were alive until then. By ``PATH`` moves ``path_ends``, too."""

    async def path_ends(self, path: str) -> int:
        """A number that moves with each revocation by ``PATH`` that is about this path; 0 before the first. Inline.

        For tokens that are in no store: one that was made under another number has ended.
        """

    async def wrap_put(self, row: WrappedRow, response: bytes) -> None:
        """Keep an answer, sealed in the database. ``Conflict`` when hash or accessor exist, ``OverLimit`` when too many
        of its holder's wait."""

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
        """Remove entries that are pending, or whose person is gone; returns the folded addresses that went."""

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

    async def layer_generation(self) -> int:
        """That of ``layer``, quickly. Inline."""

    async def layer_write(self, changes: Sequence[SettingChange], expected_generation: int, *, at: int, by: str) -> int:
        """Make all changes, in order, or none; the new generation.

        ``Conflict`` when somebody else has written since the layer was read. ``ValueError`` or ``TypeError`` for an
        empty path and for what is not JSON.
        """

    def vaults_revision(self) -> int:
        """A number that moves when any process wrote a vault or a group. Inline; compare for inequality only."""

    async def vault(self, vault_id: str) -> VaultRow | None:
        """A text that does not open makes it ``damaged``, for the verbs below as well. Inline."""

    async def vaults(self, scopes: Sequence[str], owner: str | None = None) -> list[VaultRow]:
        """The vaults of these scopes (of one owner), in the order of their creation."""

    async def vault_save(
        self, vault: VaultRow, expected_version: int, *, keep: int, room: OwnersRoom | None = None
    ) -> int:
        """Insert (``expected_version`` 0) or replace; the new version. What was before is kept as a version.

        Of the kept versions the newest ``keep`` stay. ``Conflict`` when the stored vault has another version than
        expected; ``OverLimit`` when the vaults of this scope and owner would not fit into ``room``. Scope, place in the
        order and time of creation of a known vault, be it deleted, stay as they are; ``vault.version`` counts for
        nothing.
        """

    async def vaults_delete(self, vault_ids: Sequence[str], at: int) -> int:
        """Delete those that exist and return how many; each remains as a version for ``PURGE_SECONDS``.

        Of scope ``user`` the ``OWN_VAULTS`` that were deleted last remain, for each owner.
        """

    async def vaults_deleted(self) -> list[VaultVersion]:
        """The last version of each deleted vault that is kept, the last deleted first."""

    async def vault_versions(self, vault_id: str) -> list[VaultVersion]:
        """What was kept of a vault, the newest first, its present state not among it."""

    async def groups(self) -> list[GroupRow]:
        """All groups made through an API, in the order of their creation. Inline."""

    async def group_save(self, group: GroupRow) -> None:
        """Insert or replace by id. ``Conflict`` when another group of the company has the name (folded)."""

    async def groups_delete(self, group_ids: Sequence[str]) -> int:
        """Delete those that exist and return how many. Vaults of the group stay and apply to nobody."""

    async def keys(self) -> list[KeyRow]:
        """The key ring, oldest first; ``SealBroken`` when the master key is another one. Inline."""

    async def key_add(self, key: KeyRow, *, unless_live_at: int | None = None) -> bool:
        """Add a key, with a time only if its purpose has none that is live then. Whether it was added."""

    async def key_retire(self, key_id: str, at: int) -> bool:
        """End a key. False: no such key, or it ends by then anyway."""
