"""From a snapshot to live objects: builds, swaps, drains. The only place that wires the rooms together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.access.compiled import Access
from gateway.activity import FLUSH_SECONDS, Activity
from gateway.conjur_dialect import ConjurDialect
from gateway.directory.bind import DirectoryServer
from gateway.directory.local_users import LocalUsers
from gateway.directory.pools import Pools
from gateway.directory.reachable import Reachability
from gateway.directory.realm import Realm
from gateway.directory.recheck import Recheck
from gateway.freshness import Freshness
from gateway.gate import Turns
from gateway.gentle import let_others_first
from gateway.identities import Identities
from gateway.listener_tls import tls_of
from gateway.login import Login
from gateway.serve.seldom import Seldom
from gateway.sessions import Sessions
from gateway.store.interface import Layer, SettingChange, StoreError
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from gateway.tokens.access_keys import AccessKeys
from gateway.tokens.grafana_tokens import GrafanaTokens
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import KeyRing
from gateway.tokens.personal import PersonalTokens
from gateway.vault_dialect import VaultDialect
from gateway.vaults.book import Book
from gateway.vaults.ready import Answers

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Configuration, Server
    from gateway.store.interface import Store
    from gateway.telemetry.audit import Audit

log = logging.getLogger(__name__)

PRUNE_SECONDS: Final = 60.0
HASH_THREADS: Final = 64
"""As many as ``login.hash_threads`` may be; they are made as they are needed."""
Plan = Callable[["Snapshot", Layer], Sequence[SettingChange]]
"""From the snapshot in force and what APIs have written so far to what is to be written. Runs in a thread; what it
raises goes to whoever writes."""
Write = Callable[[Plan, str], Awaitable["Snapshot"]]
"""See ``Reloader.write``."""
DRAIN_SECONDS: Final = 30.0
"""How long requests of a replaced snapshot may run before its connections are closed under them."""


@dataclass(slots=True)
class Live:
    """What one snapshot became. A request takes it once and keeps it to its end."""

    snapshot: Snapshot
    store: Store
    audit: Audit
    identities: Identities
    login: Login
    issuer: Issuer
    recheck: Recheck
    keys: AccessKeys
    vaults: Book
    freshness: Freshness
    sessions: Sessions
    personal: PersonalTokens
    vault: VaultDialect
    grafana: GrafanaTokens
    conjur: ConjurDialect | None
    """None while ``conjur.account`` is empty."""
    activity: Activity
    access: Access
    local: LocalUsers
    servers: tuple[DirectoryServer, ...]
    pools: Pools
    """Where the servers' pools come from, and return to."""
    write: Write
    """Changes the configuration."""
    tls: ssl.SSLContext | None
    """What handshakes of ``https://`` listeners are made with; None without one."""
    reachability: Reachability = field(default_factory=Reachability)
    """Whether the servers take connections, for those who ask for that."""
    answers: Answers = field(default_factory=Answers)
    """What known tokens were answered."""
    strangers: Seldom = field(default_factory=Seldom)
    """Which refusals of unknown tokens the audit trail of the Vault dialect has."""
    requests: int = 0
    """Requests that hold it."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it was replaced and the last request has let go."""

    @property
    def configuration(self) -> Configuration:
        """The validated configuration."""
        return self.snapshot.configuration

    @property
    def generation(self) -> int:
        """Number of the snapshot."""
        return self.snapshot.generation

    async def close(self) -> None:
        """Let go of the pools; those that no other snapshot uses close."""
        await self.freshness.close()
        await self.reachability.close()
        await asyncio.gather(*(self.pools.release(server.pool) for server in self.servers))


async def read_stored(configuration: Configuration) -> Layer:
    """What APIs wrote, before there is a runtime. Raises StoreError, OSError, ValueError."""
    if not configuration.database.exists():
        return Layer(0, ())
    store = await _open_store(configuration)
    try:
        return await store.layer()
    finally:
        await store.close()


async def _end_local_users(live: Live) -> None:
    """For a snapshot that nothing can keep from coming into force."""
    try:
        await live.identities.end_local_users(int(time.time()))
    except StoreError as error:
        log.error("what former local users hold could not be ended, nor will it be before the next reload: %s", error)


async def _open_store(configuration: Configuration) -> Store:
    given = configuration.tokens.master_key.reveal() or None
    sealer = Sealer(await asyncio.to_thread(load_master_key, configuration.state_dir, given))
    store = SqliteStore.open(configuration.database, synchronous=configuration.store.synchronous, sealer=sealer)
    try:
        await store.migrate()
    except BaseException:
        await store.close()
        raise
    return store


class Runtime:
    """The running daemon: the store, which outlives snapshots, and the snapshot in force."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self.store = store
        self.draining = False
        self.writer: Write | None = None
        """What changes the configuration for those who hold a snapshot; the reloader puts itself here."""
        self._audit = audit
        self._current: Live | None = None
        self._turns = Turns()
        self._pools = Pools()
        self._activity = Activity(store)
        self._hash_threads = ThreadPoolExecutor(HASH_THREADS, "password-hash", initializer=let_others_first)
        self._draining_away: dict[asyncio.Task[None], Live] = {}
        self._chores: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, snapshot: Snapshot, audit: Audit) -> Runtime:
        """Open the store and build the first snapshot. Raises StoreError, OSError, ValueError."""
        store = await _open_store(snapshot.configuration)
        try:
            runtime = cls(store, audit)
            runtime._current = await runtime._build(snapshot)
        except BaseException:
            await store.close()
            raise
        await _end_local_users(runtime.current)
        chores = (runtime._prune_now_and_then(), runtime._write_uses_now_and_then())
        runtime._chores = [asyncio.create_task(chore) for chore in chores]
        return runtime

    @property
    def current(self) -> Live:
        """The live objects of the snapshot in force."""
        if self._current is None:
            raise RuntimeError("the runtime was not started")
        return self._current

    @contextlib.contextmanager
    def request(self) -> Iterator[Live]:
        """Hold the snapshot in force for one request."""
        live = self.current
        live.requests += 1
        try:
            yield live
        finally:
            live.requests -= 1
            if not live.requests and live is not self._current:
                live.idle.set()

    async def reload(self, snapshot: Snapshot, commit: Callable[[], Awaitable[None]] | None = None) -> None:
        """Build the new snapshot, swap it in, and let the old one drain; on an error the old one stays in force.

        ``commit`` is done when all is built, and nothing can fail after it; files of certificates do not count as
        changed then.
        """
        built = await self._build(snapshot, files=commit is None)
        try:
            if commit is not None:
                await commit()
            await _end_local_users(built)
        except BaseException:
            await built.close()
            raise
        old, self._current = self.current, built
        task = asyncio.create_task(self._drain(old))
        self._draining_away[task] = old
        task.add_done_callback(self._draining_away.pop)

    def directories(self) -> dict[str, str]:
        """State of each server's connections, for readiness: no addresses, no errors."""
        return {server.name: "up" if server.pool.state.up else "down" for server in self.current.servers}

    async def close(self) -> None:
        """Close everything; to be called when no request runs any more."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        for old in self._draining_away.values():
            old.idle.set()
        await asyncio.gather(*self._draining_away, return_exceptions=True)
        if self._current is not None:
            await self._current.close()
            await self._write_uses()
        self._hash_threads.shutdown(wait=False, cancel_futures=True)
        await self.store.close()

    async def _build(self, snapshot: Snapshot, *, files: bool = True) -> Live:
        configuration = snapshot.configuration
        async with contextlib.AsyncExitStack() as undo:
            local = LocalUsers(configuration.users, self._hash_threads, configuration.login.hash_threads)
            servers = [await self._server(server, undo, files=files) for server in configuration.servers]
            live = await self._wire(snapshot, local, servers)
            await live.identities.save_local_users(int(time.time()))
            await asyncio.gather(*(server.pool.start() for server in servers))
            await self._warn_of_closed_doors(live)
            await self._warn_of_revoked_root(live)
            undo.pop_all()
        return live

    async def _server(self, server: Server, undo: contextlib.AsyncExitStack, *, files: bool) -> DirectoryServer:
        pool = (None if files else self._pools.keep(server)) or await self._pools.acquire(server)
        undo.push_async_callback(self._pools.release, pool)
        return DirectoryServer(server, pool)

    async def _wire(self, snapshot: Snapshot, local: LocalUsers, servers: list[DirectoryServer]) -> Live:
        configuration = snapshot.configuration
        identities = await asyncio.to_thread(Identities, self.store, configuration, local)  # indexes every mapping
        realm = Realm(local, servers, identities.unmapped)
        access = await asyncio.to_thread(Access.of, configuration)
        recheck = Recheck(servers, self.store, identities, configuration.session)
        freshness = Freshness(recheck, self.store, configuration.session)
        now = int(time.time())
        ring = await KeyRing.load(self.store, now, configuration.clearml.token_secret.reveal() or None)
        keys = AccessKeys(self.store, identities, recheck, self._activity)
        return Live(
            snapshot=snapshot,
            store=self.store,
            audit=self._audit,
            identities=identities,
            login=Login(snapshot, realm, self.store, identities, keys, self._audit, self._turns, local),
            issuer=Issuer(ring.clearml_secrets(now), self.store, identities, configuration),
            recheck=recheck,
            keys=keys,
            vaults=await asyncio.to_thread(Book, self.store, configuration),  # reads every declared text
            freshness=freshness,
            sessions=Sessions(self.store, identities, freshness, self._activity, configuration.session),
            personal=PersonalTokens(self.store, identities, freshness, configuration.tokens),
            vault=await VaultDialect.load(self.store, identities, recheck, configuration, now),
            grafana=await GrafanaTokens.load(self.store, configuration, now),
            conjur=await ConjurDialect.load(self.store, identities, recheck, local, servers, configuration, now),
            activity=self._activity,
            access=access,
            local=local,
            servers=tuple(servers),
            pools=self._pools,
            write=self._write_settings,
            tls=await asyncio.to_thread(tls_of, configuration, snapshot.contents),
        )

    async def _warn_of_closed_doors(self, live: Live) -> None:
        waiting = ", ".join(sorted(live.identities.invited_only))
        if waiting and not await self.store.whitelist() and not await self.store.domains():
            log.warning(
                "nobody of %s can log in, administrators included: the whitelist is empty; ldap-gateway whitelist add "
                "EMAIL or @DOMAIN lets them in, default_company everyone", waiting,
            )  # fmt: skip

    async def _warn_of_revoked_root(self, live: Live) -> None:
        """When the token is new to this process: not again with each write through an API."""
        before = self._current.configuration.vault.root_token if self._current else None
        if live.configuration.vault.root_token != before and await live.vault.tokens.is_root_revoked():
            log.warning("vault.root_token was revoked and is refused: nobody is root until another one is configured")

    async def _write_settings(self, plan: Plan, by: str) -> Snapshot:
        if self.writer is None:
            raise RuntimeError("nothing takes over changes of the configuration")
        return await self.writer(plan, by)

    async def _drain(self, old: Live) -> None:
        try:
            if old.requests:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await old.idle.wait()
        except TimeoutError:
            log.warning("requests of generation %d still run; connections that only they use end now", old.generation)
        finally:
            await old.close()

    async def _prune(self) -> None:
        removed = 1
        while removed:
            removed = await self.store.prune(int(time.time()))

    async def _prune_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await self._prune()
            except Exception:
                log.exception("expired rows could not be removed; the next attempt is in %g s", PRUNE_SECONDS)

    async def _write_uses(self) -> None:
        await self._activity.flush(int(time.time()), self.current.configuration.session.inactivity)

    async def _write_uses_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._write_uses()
