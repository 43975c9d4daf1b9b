"""What the Conjur dialect works with under one configuration: services, tokens, API keys (conjur.md 5, 6)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from gateway.bounded import keep
from gateway.config.schema.conjur import EVERYBODY
from gateway.directory.realm import Outcome, Privilege, Rule, Verdict, conclude
from gateway.directory.recheck import Standing
from gateway.grants.mapping import Members
from gateway.identity import LOCAL, Account, Identity, fold_name
from gateway.sessions import Stale
from gateway.store.interface import PAGE
from gateway.tokens.conjur import CLOCK_SKEW, MAX_LIFETIME, ConjurToken, Signer, Version, decode, verify
from gateway.tokens.conjur_keys import ApiKeys
from gateway.tokens.conjur_salts import Salts
from gateway.tokens.key_pairs import KeyPairs

if TYPE_CHECKING:
    from gateway.access.client_address import Network
    from gateway.config.schema import Configuration
    from gateway.config.schema.conjur import ConjurService
    from gateway.directory.bind import DirectoryServer
    from gateway.directory.local_users import LocalUsers
    from gateway.directory.recheck import Recheck
    from gateway.identities import Identities
    from gateway.slots import Asking
    from gateway.store.interface import IdentityRow, KeyRow, Store

log = logging.getLogger(__name__)

MOST_OF_A_NAME: Final = 1000
"""People of one name that are looked at: those of the servers, and those who had it before."""
MOST_ALIASES: Final = 10_000
"""Remembered names under which directories found people, beside their own."""
_NOT_THEIRS: Final = "the key is not theirs, or no longer good"
_LONGEST_LIFE: Final = MAX_LIFETIME + CLOCK_SKEW
"""Seconds after a new key was made in which tokens of the one before may still count: other processes may have been
signing with it at that moment."""


_Alias = tuple[str, frozenset[str]]
"""A folded name, and the folded names of the servers that were asked about it."""


class NoApiKeys(Exception):
    """Nobody could tell whether the owner of a key is still there (``recheck = "none"``)."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the ``authn-ldap`` authenticator, which is one server (conjur.md 1)."""

    server: str
    """As its name is written in the configuration."""
    networks: tuple[Network, ...]
    """From where people may log in; empty: from anywhere."""
    everybody: bool
    members: Members = field(repr=False)
    path: tuple[str, ...]
    """Of the key of the configuration that says who may log in."""

    @classmethod
    def of(cls, name: str, settings: ConjurService, servers: Sequence[str]) -> Self:
        """``name`` as it is written for the service. ``servers`` are the names of all, by which ``user:SERVER/NAME`` is
        told from a name with a slash."""
        server, path = _configured(name, servers), ("conjur", "services", name, "allow")
        entries = [_of_server(entry, server, servers) for entry in settings.allow if entry != EVERYBODY]
        return cls(server, settings.networks, EVERYBODY in settings.allow, Members(entries, servers), path)

    @property
    def key(self) -> str:
        """``path``, dotted."""
        return ".".join(self.path)

    def allows(self, account: Account) -> bool:
        """Whether somebody has the privilege ``authenticate`` on it (conjur.md 5)."""
        is_own = fold_name(account.server) == fold_name(self.server)
        return is_own and (self.everybody or self.members.hold(account))

    def refusal(self, account: Account) -> str:
        """Why somebody may not log in, for the operator; empty where they may."""
        return "" if self.allows(account) else f"{self.key} names neither {account.username} nor a group of theirs"


def services_of(configuration: Configuration) -> dict[str, Service]:
    """Every service, by the folded name of its server."""
    servers = (LOCAL, *(server.name for server in configuration.servers))
    services = configuration.conjur.services
    return {fold_name(name): Service.of(name, service, servers) for name, service in services.items()}


class ConjurDialect:
    """Made anew with each snapshot; what lasts is in the store."""

    def __init__(
        self,
        signing: Signer | KeyPairs[Signer],
        store: Store,
        identities: Identities,
        recheck: Recheck,
        local: LocalUsers,
        directories: Sequence[DirectoryServer],
        configuration: Configuration,
    ) -> None:
        """``signing``: the configured key, or those of the ring."""
        settings = configuration.conjur
        self.account = settings.account
        self.services: Mapping[str, Service] = services_of(configuration)
        """By the folded name of their server."""
        self.authn_alias = settings.authn_alias
        self.hide_ungranted = settings.hide_ungranted
        self._lifetime_seconds = int(settings.token_lifetime)
        self._signing = signing
        self._store = store
        self._identities = identities
        self._recheck = recheck
        self._local = local
        self._directories = directories
        self._keys = ApiKeys(store, settings.account)
        self._salts = Salts(store, settings.account)
        self._session = configuration.session
        self._aliases: OrderedDict[_Alias, tuple[str, int]] = OrderedDict()

    @classmethod
    async def load(
        cls,
        store: Store,
        identities: Identities,
        recheck: Recheck,
        local: LocalUsers,
        directories: Sequence[DirectoryServer],
        configuration: Configuration,
        now: int,
    ) -> Self | None:
        """None while ``conjur.account`` is empty.

        The signing key of the account is made where there is none, and none is configured. Raises StoreError, and
        UnusableKey for a configured one.
        """
        settings = configuration.conjur
        if not settings.account:
            return None
        signing: Signer | KeyPairs[Signer]
        if given := settings.signing_key.reveal():
            signing = await asyncio.to_thread(Signer.load, given.encode())
        else:
            signing = KeyPairs(store, f"conjur:{settings.account}", "RS256", _read, lifetime=_LONGEST_LIFE)
            await signing.open(now)
        return cls(signing, store, identities, recheck, local, directories, configuration)

    @property
    def ring(self) -> KeyPairs[Signer] | None:
        """The keys of the account; None where ``conjur.signing_key`` is configured."""
        return None if isinstance(self._signing, Signer) else self._signing

    async def follow(self) -> None:
        """Take over what any process has changed about the signing keys. Raises KeyRingError and StoreError."""
        if self.ring is not None:
            await self.ring.follow()

    def public_pem(self, now: int) -> str:
        """The public half of the key that signs, for services that verify on their own (conjur.md 6.4).

        As of ``follow``. Raises KeyRingError.
        """
        return self._signer(now).public_pem

    def enabled(self, server: str) -> bool:
        """Whether there is a service of this server."""
        return fold_name(server) in self.services

    async def issue(
        self, identity: Identity, login: str, now: int, version: Version = "v5", networks: Sequence[str] = ()
    ) -> str:
        """The JSON text of a token; one of v4 holds neither the identity nor the networks.

        ``login``: as the directory stores the name (DECISIONS 10). Raises KeyRingError and StoreError.
        """
        await self.follow()
        signer, salt, issued_at = self._signer(now), self._salts.of(identity.id), identity.issue_time(now)
        if version == "v4":
            return await asyncio.to_thread(signer.sign_v4, login, issued_at, salt)
        lifetime = self._lifetime_seconds - (issued_at - now)
        return await asyncio.to_thread(signer.sign_v5, login, issued_at, lifetime, tuple(networks), identity.id, salt)

    def verify(self, encoded: str, now: int) -> ConjurToken:
        """Read a token as it comes in a header, base64 of either alphabet, with the keys that count as of ``follow``.

        Raises InvalidConjurToken.
        """
        signing = self._signing
        signers = [signing] if isinstance(signing, Signer) else [key.signer for key in signing.counting(now)]
        public_keys = {signer.fingerprint: signer.public_key for signer in signers}
        return verify(decode(encoded), public_keys, now, self._lifetime_seconds)

    async def identity_of(self, token: ConjurToken) -> Identity | None:
        """Whose token it is, by what is known of them; None: nobody's any more. Raises StoreError.

        The salt tells who of all that have, or had, the name of a v4 token it was made for; and that a token is not
        another account's, nor of another gateway or program with the same signing key.
        """
        if token.version == "v4":
            rows = [row async for row in self._called(token.login)]
            ids = [row.id for row in rows if self._salts.fits(row.id, token)]
        else:
            ids = [token.identity_id] if self._salts.fits(token.identity_id, token) else []
        return await self._identities.by_id(ids[0], token.issued_at) if ids else None

    async def named_in(self, token: ConjurToken) -> Identity | None:
        """Whose name is in a token that another program signed with ``conjur.signing_key``, such as a Conjur server
        that shares it: it proves a name and no identity, so it is for ``/whoami`` and nothing that lets in.

        None where the key is the ring's own, where the token holds an identity, and where several have, or had, the
        name. One of v4 could be another account's. Raises StoreError.
        """
        if self.ring is not None or token.version == "v4" or token.identity_id:
            return None
        rows = [row async for row in self._called(token.login)]
        return await self._identities.by_id(rows[0].id, token.issued_at) if len(rows) == 1 else None

    async def api_key(self, identity: Identity) -> str:
        """Somebody's key: the same one until it is rotated. Raises NoApiKeys and StoreError."""
        return await self._keys.of(await self._row(identity))

    async def rotate(self, identity: Identity, shown: str = "") -> str:
        """Somebody's new key, durable on return; the one before is dead then, in every process.

        With ``shown``, the key that asks for it, Conflict where that has ended. Raises NoApiKeys and StoreError.
        """
        return await self._keys.rotate(await self._row(identity), shown)

    async def owner(
        self, login: str, privilege: Privilege, key: str, now: int, asking: Asking = nullcontext
    ) -> Identity | Verdict:
        """Who of the servers in ``privilege`` (``local`` among them) is called so and has this API key; the verdict
        where that is nobody who still counts.

        The directory is asked about the owner where its last answer is older than ``session.refresh_interval``. Who is
        called so is what the store knows; where none of them has the key, whomever the directories find. That costs
        them the same for every name, and is remembered as long as what they say of people is. Only within ``asking()``
        is any directory asked. Raises Stale where the owner's directory cannot be asked and its last answer is too old,
        StoreError, and what ``asking`` raises.
        """
        servers = frozenset(map(fold_name, privilege))
        alias = fold_name(login), servers
        # All of them are tried, and each costs the same.
        rows = [row async for row in self._called(login) if fold_name(row.server) in servers]
        owners = [row for row in rows if await self._keys.fits(row, key)]
        if not owners and (row := await self._found_as(alias, key, now - self._session.refresh_interval)):
            owners = [row]
        if owners:
            return await self._standing(owners[0], now, asking)
        refusals = []
        for directory in self._asked(login, privilege):
            async with asking():
                verdict = await directory.look_up(login, evenly=True)
            if row := await self._found(verdict, alias, key, now):
                return await self._standing(row, now, asking)
            refusals.append(_refusal(verdict, privilege[directory.name]))
            if verdict.outcome is Outcome.ERROR:
                break
        # Before any refusal of another server, which could make a client throw a good key away.
        silent = [refusal for refusal in refusals if refusal.outcome is Outcome.UNREACHABLE]
        return conclude(silent or refusals) if refusals else Verdict("", Outcome.INVALID, _NOT_THEIRS)

    async def _found(self, verdict: Verdict, alias: _Alias, key: str, now: int) -> IdentityRow | None:
        """Whom a look-up found, if it is their key; where a server is silent, whom it found when it last answered."""
        if verdict.outcome is Outcome.UNREACHABLE:
            row = await self._found_as(alias, key, now - self._session.max_stale)
            return row if row and row.server == verdict.server else None
        row = await self._store.identity_of(verdict.server, verdict.entry) if verdict.entry else None
        if row is None or not await self._keys.fits(row, key):
            return None
        keep(self._aliases, alias, (row.id, now), MOST_ALIASES)
        return row

    async def _found_as(self, alias: _Alias, key: str, since: float) -> IdentityRow | None:
        """Whom a directory has found so since then, if it is their key."""
        identity_id, found_at = self._aliases.get(alias, ("", 0))
        row = await self._store.identity(identity_id) if identity_id and found_at > since else None
        return row if row and await self._keys.fits(row, key) else None

    def _signer(self, now: int) -> Signer:
        return self._signing if isinstance(self._signing, Signer) else self._signing.signer(now)

    def _asked(self, login: str, privilege: Privilege) -> list[DirectoryServer]:
        """A name of a local user never reaches a directory, on routes where those log in (DECISIONS 2)."""
        if LOCAL in privilege and self._local.knows(login):
            return []
        return [server for server in self._directories if server.name in privilege and server.searches_first]

    async def _standing(self, row: IdentityRow, now: int, asking: Asking) -> Identity | Verdict:
        # Asked also about those whom what the directory said last does not let in: it may say something else by now.
        standing = self._recheck.known(row, now)
        if standing is None:
            async with asking():
                standing = await self._recheck.standing(row.id, now)
        match standing:
            case Standing.UNKNOWN:
                raise Stale
            case Standing.GOOD:
                identity = await self._identities.by_id(row.id)
                return identity or Verdict(row.server, Outcome.INVALID, "the key's owner is let in no more")
            case _:
                log.info("conjur: the API key of %s/%s is refused: %s", row.server, row.username, standing.value)
                return Verdict(row.server, Outcome.INVALID, f"the key's owner is {standing.value}")

    async def _row(self, identity: Identity) -> IdentityRow:
        if not self._recheck.can_ask(identity):
            log.warning(
                "conjur: no API key for %s: without a service account of the server (recheck = none) nobody could tell "
                "whether the owner is still there", identity.label,
            )  # fmt: skip
            raise NoApiKeys
        row = await self._store.identity(identity.id)
        if row is None:
            raise NoApiKeys
        return row

    async def _called(self, name: str) -> AsyncIterator[IdentityRow]:
        """Everybody of a name, and those who had it before, ``MOST_OF_A_NAME`` at most."""
        after, most = "", MOST_OF_A_NAME
        while most > 0 and (rows := await self._store.identities(username=name, after=after, limit=min(PAGE, most))):
            for row in rows:
                yield row
            after, most = rows[-1].id, most - len(rows)


def _read(row: KeyRow) -> Signer:
    return Signer.load(row.private, own=True)


def _refusal(verdict: Verdict, rule: Rule | None) -> Verdict:
    """What a look-up comes to where the key is not of whom it found: a known login without privilege is told so."""
    if verdict.outcome in (Outcome.UNREACHABLE, Outcome.ERROR, Outcome.NOT_FOUND):
        return verdict
    if rule and verdict.account and (refusal := rule(verdict.account)):
        return Verdict(verdict.server, Outcome.UNGRANTED, f"{refusal}; and {_NOT_THEIRS}")
    return Verdict(verdict.server, Outcome.INVALID, _NOT_THEIRS)


def _configured(name: str, servers: Sequence[str]) -> str:
    return next((server for server in servers if fold_name(server) == fold_name(name)), name)


def _of_server(entry: str, server: str, servers: Sequence[str]) -> str:
    """``user:NAME`` in the list of a service is somebody of its server; elsewhere it is a local user."""
    kind, _, name = entry.partition(":")
    names_one = name.lower().startswith(tuple(f"{other.lower()}/" for other in servers))
    return entry if kind != "user" or names_one else f"user:{server}/{name.strip()}"
