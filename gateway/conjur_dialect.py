"""What the Conjur dialect works with under one configuration: services, tokens, API keys (conjur.md 5, 6)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from gateway.config.schema.conjur import EVERYBODY
from gateway.directory.realm import Outcome
from gateway.directory.recheck import Standing
from gateway.grants.mapping import Members
from gateway.identity import LOCAL, Account, Identity, fold_name
from gateway.sessions import Stale
from gateway.store.interface import PAGE
from gateway.tokens import keys as ring
from gateway.tokens.conjur import ConjurToken, Signer, Version, decode, verify
from gateway.tokens.conjur_keys import ApiKeys, is_api_key

if TYPE_CHECKING:
    from gateway.access.client_address import Network
    from gateway.config.schema import Configuration
    from gateway.config.schema.conjur import ConjurService
    from gateway.directory.bind import DirectoryServer
    from gateway.directory.recheck import Recheck
    from gateway.identities import Identities
    from gateway.store.interface import IdentityRow, Store

log = logging.getLogger(__name__)

MOST_OF_A_NAME: Final = 100
"""People of one name that are looked at: those of the servers, and those who had it before."""


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

    @classmethod
    def of(cls, server: str, settings: ConjurService, servers: Sequence[str]) -> Self:
        """``servers`` are the names of all, by which ``user:SERVER/NAME`` is told from a name with a slash."""
        entries = [_of_server(entry, server, servers) for entry in settings.allow if entry != EVERYBODY]
        return cls(server, settings.networks, EVERYBODY in settings.allow, Members(entries, servers))

    def allows(self, account: Account) -> bool:
        """Whether somebody has the privilege ``authenticate`` on it (conjur.md 5)."""
        is_own = fold_name(account.server) == fold_name(self.server)
        return is_own and (self.everybody or self.members.hold(account))


class ConjurDialect:
    """Made anew with each snapshot; what lasts is in the store."""

    def __init__(
        self,
        signers: Sequence[Signer],
        store: Store,
        identities: Identities,
        recheck: Recheck,
        directories: Sequence[DirectoryServer],
        configuration: Configuration,
    ) -> None:
        """The last of ``signers`` signs, all of them verify; there is at least one."""
        settings = configuration.conjur
        names = [server.name for server in configuration.servers]
        self.account = settings.account
        self.services: Mapping[str, Service] = {
            fold_name(name): Service.of(_configured(name, names), service, (LOCAL, *names))
            for name, service in settings.services.items()
        }
        """By the folded name of their server."""
        self.authn_alias = settings.authn_alias
        self.hide_ungranted = settings.hide_ungranted
        self._lifetime_seconds = int(settings.token_lifetime)
        self._signer = signers[-1]
        self._public_keys = {signer.fingerprint: signer.public_key for signer in signers}
        self._store = store
        self._identities = identities
        self._recheck = recheck
        self._directories = directories
        self._keys = ApiKeys(store, settings.account)
        realm = (server.name for server in configuration.servers if server.realm)
        self._realm = frozenset(map(fold_name, (LOCAL, *realm)))

    @classmethod
    async def load(
        cls,
        store: Store,
        identities: Identities,
        recheck: Recheck,
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
        if given := settings.signing_key.reveal():
            signers = [await asyncio.to_thread(Signer.load, given.encode())]
        else:
            pairs = await ring.ensure(store, f"conjur:{settings.account}", "RS256", now)
            signers = [Signer.load(pair.private, own=True) for pair in pairs]
        return cls(signers, store, identities, recheck, directories, configuration)

    @property
    def public_pem(self) -> str:
        """The public half of the key that signs, for services that verify on their own (conjur.md 6.4)."""
        return self._signer.public_pem

    def enabled(self, server: str) -> bool:
        """Whether there is a service of this server."""
        return fold_name(server) in self.services

    async def issue(
        self, identity: Identity, login: str, now: int, version: Version = "v5", networks: Sequence[str] = ()
    ) -> str:
        """The JSON text of a token; one of v4 holds neither the identity nor the networks.

        ``login``: as the directory stores the name (DECISIONS 10).
        """
        if version == "v4":
            return await asyncio.to_thread(self._signer.sign_v4, login, now)
        sign = self._signer.sign_v5
        return await asyncio.to_thread(sign, login, now, self._lifetime_seconds, tuple(networks), identity.id)

    def verify(self, encoded: str, now: int) -> ConjurToken:
        """Read a token as it comes in a header, base64 of either alphabet. Raises InvalidConjurToken."""
        return verify(decode(encoded), self._public_keys, now, self._lifetime_seconds)

    async def identity_of(self, token: ConjurToken) -> Identity | None:
        """Whose token it is, by what is known of them; None: nobody's any more. Raises StoreError.

        A token without identity is that of the one person of the realm who has the name; of several it is nobody's.
        Their directories are asked then whether those are still there who had the name before.
        """
        if token.identity_id:
            return await self._identities.by_id(token.identity_id, token.issued_at)
        rows = await self._called(token.login, self._realm)
        owners = await self._counting(rows, token.issued_at)
        if len(owners) > 1:
            now = int(time.time())
            gone = [await self._recheck.standing(row.id, now, at_once=True) is Standing.GONE for row in rows]
            rows = [row for row, is_gone in zip(rows, gone, strict=True) if not is_gone]
            owners = await self._counting(rows, token.issued_at)
        return owners[0] if len(owners) == 1 else None

    async def api_key(self, identity: Identity) -> str:
        """Somebody's key: the same one until it is rotated. Raises NoApiKeys and StoreError."""
        return await self._keys.of(await self._row(identity))

    async def rotate(self, identity: Identity) -> str:
        """Somebody's new key, durable on return; the one before is dead then, in every process. Raises NoApiKeys and
        StoreError."""
        return await self._keys.rotate(await self._row(identity))

    async def owner(self, login: str, servers: Iterable[str], key: str, now: int) -> Identity | None:
        """Who of these servers (``local`` among them) is called so and has this API key; None: nobody who still counts.

        The directory is asked about the owner where its last answer is older than ``session.refresh_interval``. Raises
        Stale where it cannot be asked and its last answer is too old, and StoreError.
        """
        if not is_api_key(key):
            return None
        wanted = frozenset(map(fold_name, servers))
        rows = await self._known_as(login, wanted) or await self._found_by(login, wanted)
        # All of them are tried, and each costs the same.
        owners = [row for row in rows if await self._keys.fits(row, key)]
        return await self._standing(owners[0], now) if owners else None

    async def _standing(self, row: IdentityRow, now: int) -> Identity | None:
        # Asked also about those whom what the directory said last does not let in: it may say something else by now.
        match await self._recheck.standing(row.id, now):
            case Standing.UNKNOWN:
                raise Stale
            case Standing.GOOD:
                return await self._identities.by_id(row.id, row.valid_after)
            case standing:
                log.info("conjur: the API key of %s/%s is refused: %s", row.server, row.username, standing.value)
                return None

    async def _counting(self, rows: Iterable[IdentityRow], issued_at: int) -> list[Identity]:
        """Those for whom what was issued then counts."""
        found = [await self._identities.by_id(row.id, issued_at) for row in rows]
        return [identity for identity in found if identity is not None]

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

    async def _called(self, name: str, servers: frozenset[str]) -> list[IdentityRow]:
        return await self._rows(lambda after: self._store.identities(username=name, after=after), servers)

    async def _known_as(self, login: str, servers: frozenset[str]) -> list[IdentityRow]:
        """Those of a name, and those of an address: a directory may find people by either."""
        by_name = await self._called(login, servers)
        if "@" not in login:
            return by_name
        by_address = await self._rows(lambda after: self._store.identities(email=login, after=after), servers)
        return list({row.id: row for row in (*by_name, *by_address)}.values())

    async def _found_by(self, login: str, servers: frozenset[str]) -> list[IdentityRow]:
        """Those whom a directory finds by another name than the one they go by, such as a ``userPrincipalName``.

        Raises Stale where there is nobody, and a directory could not be asked.
        """
        found, silent = [], False
        for directory in self._directories:
            if fold_name(directory.name) not in servers or not directory.searches_as_service:
                continue
            verdict = await directory.look_up(login)
            silent = silent or verdict.outcome is Outcome.UNREACHABLE
            row = await self._store.identity_of(directory.name, verdict.entry) if verdict.entry else None
            found += [row] if row else []
        if silent and not found:
            raise Stale
        return found

    async def _rows(
        self, page: Callable[[str], Awaitable[list[IdentityRow]]], servers: frozenset[str]
    ) -> list[IdentityRow]:
        """At most ``MOST_OF_A_NAME`` rows of these servers, their names folded."""
        found: list[IdentityRow] = []
        after: str | None = ""
        while after is not None and len(found) < MOST_OF_A_NAME:
            rows = await page(after)
            found += (row for row in rows if fold_name(row.server) in servers)
            after = rows[-1].id if len(rows) == PAGE else None
        return found[:MOST_OF_A_NAME]


def _configured(name: str, servers: Sequence[str]) -> str:
    return next((server for server in servers if fold_name(server) == fold_name(name)), name)


def _of_server(entry: str, server: str, servers: Sequence[str]) -> str:
    """``user:NAME`` in the list of a service is somebody of its server; elsewhere it is a local user."""
    kind, _, name = entry.partition(":")
    names_one = name.lower().startswith(tuple(f"{other.lower()}/" for other in servers))
    return entry if kind != "user" or names_one else f"user:{server}/{name.strip()}"
