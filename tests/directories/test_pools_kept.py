"""A reload keeps the connections to servers that stay the same, and lets go of the others (issue: hot reload)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import Snapshot, load
from gateway.config.schema import Server
from gateway.directory.pool import Pool
from gateway.directory.pools import Pools
from gateway.directory.tls import TlsSettingsError
from gateway.identity import Identity
from gateway.login import Attempt
from gateway.runtime import Live, Runtime
from gateway.telemetry.audit import NoAudit
from tests.directories.slapd import BASE_DN, COMPANY, Slapd, make_certificates

DEADLINE = 20.0


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "company", tls=True) as slapd:
        yield slapd


class House:
    """A runtime that is given one list of servers after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._generation = 0
        self.runtime: Runtime

    def snapshot(self, *servers: dict[str, object]) -> Snapshot:
        self._generation += 1
        settings = {"servers": json.dumps(servers), "state_dir": str(self._directory / "state"), "login__cache": "0"}
        return load([], {f"CLEARML__{key}": value for key, value in settings.items()}, generation=self._generation)

    async def reload(self, *servers: dict[str, object]) -> None:
        await self.runtime.reload(self.snapshot(*servers))

    @property
    def pools(self) -> list[Pool]:
        return [server.pool for server in self.runtime.current.servers]

    async def drained(self) -> None:
        """Nothing is left of earlier snapshots."""
        async with asyncio.timeout(DEADLINE):
            while self.runtime._draining_away:
                await asyncio.gather(*self.runtime._draining_away)


@asynccontextmanager
async def house(directory: Path, *servers: dict[str, object]) -> AsyncIterator[House]:
    made = House(directory)
    made.runtime = await Runtime.start(made.snapshot(*servers), NoAudit())
    try:
        yield made
    finally:
        await made.runtime.close()
        assert left_over() == []


def left_over() -> list[str]:
    """Tasks of the gateway that still run."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    return [code.cr_code.co_qualname for code in coroutines if "/gateway/" in code.cr_code.co_filename]  # type: ignore[union-attr]


def own_threads() -> int:
    """Without those of the loop's executor, which come as they are needed and stay."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


async def log_in(live: Live, username: str = "alan", password: str = "enigma") -> bool:
    attempt = Attempt(username, password, None, "clearml")
    return isinstance(await live.login.check(attempt), Identity)


def peers(slapd: Slapd) -> set[str]:
    """The other ends of the connections that slapd has, as the kernel names them."""
    ports = {f"{port:04X}" for port in (slapd.port, slapd.ldaps_port)}
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == "01" and local.rpartition(":")[2] in ports:
            found.add(remote)
    return found


async def test_nothing_changed(company: Slapd, tmp_path: Path) -> None:
    server = company.server()
    async with house(tmp_path, server) as here:
        assert await log_in(here.runtime.current)
        before, [pool] = peers(company), here.pools
        counters = (pool.connects, pool.binds, pool.searches, pool.state)
        for _ in range(3):
            await here.reload(server)
        await here.drained()
        assert here.pools == [pool]
        assert (pool.connects, pool.binds, pool.searches, pool.state) == counters
        assert peers(company) == before
        assert await log_in(here.runtime.current)
        assert peers(company) == before
        assert pool.binds == counters[1] + 1


async def test_what_is_no_matter_of_the_connection_keeps_it(company: Slapd, tmp_path: Path) -> None:
    async with house(tmp_path, company.server()) as here:
        [pool] = here.pools
        await here.reload(company.server(search_filter="(&(uid=%s)(uid=grace))", login_timeout=7))
        assert here.pools == [pool]
        assert not await log_in(here.runtime.current)
        assert await log_in(here.runtime.current, "grace", "cobol-1959")


async def test_one_of_two_changes(company: Slapd, tmp_path: Path) -> None:
    first, second = company.server(), company.server(name="second")
    async with house(tmp_path, first, second) as here:
        one, two = here.pools
        await here.reload(first, {**second, "request_timeout": 3})
        await here.drained()
        assert here.pools[0] is one
        assert here.pools[1] is not two
        assert (one.state.up, two.state.up, here.pools[1].state.up) == (True, False, True)
        assert len(peers(company)) == 2
        await here.reload({**second, "request_timeout": 3}, first)
        assert here.pools[1] is one, "the order is not theirs"


async def test_a_removed_server_drains_after_its_last_request(company: Slapd, tmp_path: Path) -> None:
    async with house(tmp_path, company.server(), company.server(name="going")) as here:
        staying, going = here.pools
        with here.runtime.request() as old:
            await here.reload(company.server())
            with here.runtime.request() as new:
                assert new is not old
                assert [server.pool for server in new.servers] == [staying]
                assert await log_in(new)
            assert going.state.up
            assert await going.bind(f"uid=alan,ou=people,{BASE_DN}", "enigma")
            assert await log_in(old)
        await here.drained()
        assert not going.state.up
        assert staying.state.up
        assert await log_in(here.runtime.current)


async def test_a_server_that_comes_back_while_it_drains(company: Slapd, tmp_path: Path) -> None:
    async with house(tmp_path, company.server()) as here:
        [pool] = here.pools
        with here.runtime.request():
            await here.reload()
            await here.reload(company.server())
            assert here.pools == [pool]
        await here.drained()
        assert pool.state.up
        await here.reload()
        await here.drained()
        assert not pool.state.up
        await here.reload(company.server())
        assert here.pools != [pool]
        assert await log_in(here.runtime.current)


async def test_certificates_count_by_what_they_hold(company: Slapd, tmp_path: Path) -> None:
    """Replaced by the same bytes: kept. By another authority: a new pool, which does not trust the server any more."""
    authority = tmp_path / "ca.pem"
    shutil.copy(company.ca_file, authority)
    make_certificates(tmp_path / "other")
    server = company.server(urls=[company.ldaps_url], root_ca_cert=[str(authority)])
    async with house(tmp_path, server) as here:
        [first] = here.pools
        assert await log_in(here.runtime.current)
        authority.unlink()
        shutil.copy(company.ca_file, authority)
        await here.reload(server)
        assert here.pools == [first]
        shutil.copy(tmp_path / "other" / "ca.pem", authority)
        await here.reload(server)
        [second] = here.pools
        assert second is not first
        assert not second.state.up
        assert not await log_in(here.runtime.current)
        shutil.copy(company.ca_file, authority)
        await here.reload(server)
        assert await log_in(here.runtime.current)
        await here.drained()
        assert [pool.state.up for pool in (first, second, *here.pools)] == [False, False, True]


async def test_a_failed_build_lets_go_of_what_it_took(company: Slapd, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    shutil.copy(company.ca_file, authority)
    second = company.server(name="second", urls=[company.ldaps_url], root_ca_cert=[str(authority)])
    async with house(tmp_path, company.server(), second) as here:
        old, before = here.runtime.current, here.pools
        new = here.snapshot(company.server(), company.server(name="third"), {**second, "timeout": 3})
        authority.write_text("no certificate")
        for _ in range(3):
            with pytest.raises(TlsSettingsError, match="no usable certificate"):
                await here.runtime.reload(new)
        assert here.runtime.current is old
        assert here.pools == before
        assert len(peers(company)) == 2
        await here.reload()
        await here.drained()
        assert not any(pool.state.up for pool in before)
        assert await settled(company, 0)


async def settled(slapd: Slapd, count: int) -> bool:
    """Whether slapd comes to have so many connections: the kernel needs a moment for the last farewell."""
    for _ in range(200):
        if len(peers(slapd)) == count:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_reload_that_is_cancelled_leaves_nothing(company: Slapd, tmp_path: Path) -> None:
    async with house(tmp_path, company.server()) as here:
        before = here.pools
        for tick in range(30):
            changed = company.server(request_timeout=3 + tick)
            task = asyncio.create_task(here.reload(changed, company.server(name="second")))
            await asyncio.sleep(tick / 2000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await here.reload(company.server())
        await here.drained()
        assert await settled(company, 1)
        assert len(here.pools) == len(before) == 1


async def test_after_the_acknowledgement_nobody_meets_the_old_snapshot(company: Slapd, tmp_path: Path) -> None:
    acknowledged = 1
    stop = asyncio.Event()

    async def client(here: House) -> int:
        logins = 0
        while not stop.is_set():
            known = acknowledged
            with here.runtime.request() as live:
                assert live.generation >= known
                assert await log_in(live)
                logins += 1
        return logins

    async with house(tmp_path, company.server()) as here:
        clients = [asyncio.create_task(client(here)) for _ in range(8)]
        for number in range(20):
            await here.reload(company.server(request_timeout=5 + number % 2))
            acknowledged = here.runtime.current.generation
            await asyncio.sleep(0.02)
        stop.set()
        assert all(await asyncio.gather(*clients))
        await here.drained()


async def test_fifty_reloads_leak_nothing(company: Slapd, tmp_path: Path) -> None:
    kept = company.server()
    async with house(tmp_path, kept, company.server(name="second")) as here:
        await here.reload(kept, company.server(name="second"))
        await here.drained()
        files, tasks, threads = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), own_threads()
        [pool, _] = here.pools
        for number in range(50):
            await here.reload(kept, company.server(name="second", request_timeout=4 + number % 2))
        await here.drained()
        assert await settled(company, 2)
        assert here.pools[0] is pool
        assert pool.connects == 1
        assert len(os.listdir("/proc/self/fd")) == files
        assert len(asyncio.all_tasks()) == tasks
        assert own_threads() == threads


async def test_a_dead_directory_delays_no_reload(company: Slapd, tmp_path: Path) -> None:
    """Its pool is kept, with what it knows of the hosts."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = company.server(urls=[f"ldap://127.0.0.1:{silent.getsockname()[1]}"], request_timeout=60)
        async with house(tmp_path, server) as here:
            [pool] = here.pools
            async with asyncio.timeout(1.5):
                for _ in range(10):
                    await here.reload(server)
            assert here.pools == [pool]
            assert not pool.state.up


async def test_the_end_comes_while_a_snapshot_drains(company: Slapd, tmp_path: Path) -> None:
    with ExitStack() as forgotten:
        async with asyncio.timeout(DEADLINE), house(tmp_path, company.server()) as here:
            [first] = here.pools
            forgotten.enter_context(here.runtime.request())
            await here.reload(company.server(request_timeout=3))
            [second] = here.pools
            assert first is not second
        assert not first.state.up
        assert not second.state.up
        assert await settled(company, 0)


BASE: dict[str, Any] = {
    "name": "corp",
    "urls": ["ldap://127.0.0.1:1"],
    "bind_dn": "cn=svc",
    "bind_password": "planted",
    "search_base_dns": ["dc=example"],
}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"search_base_dns": ["dc=other"], "realm": False, "max_groups": 7}, True),
        ({"group_mappings": [{"group_dn": "cn=a", "admin": True}]}, True),
        ({"root_ca_cert": ["/dev/null"]}, True),  # without TLS nobody reads it
        ({"name": "other"}, False),
        ({"urls": ["ldap://127.0.0.1:2"]}, False),
        ({"urls": ["ldap://127.0.0.1:1", "ldap://127.0.0.1:2"]}, False),
        ({"urls": ["ldaps://127.0.0.1:1"]}, False),
        ({"start_tls": True}, False),
        ({"bind_dn": "cn=other"}, False),
        ({"bind_password": "planted2"}, False),
        ({"bind_dn": "cn=%s", "bind_mode": "single"}, False),
        ({"timeout": 5}, False),
        ({"request_timeout": 5}, False),
        ({"pool": {"binds": 3}}, False),
        ({"pool": {"idle": 3}}, False),
        ({"pool": {"backoff": 3}}, False),
        ({"pool": {"probe": 3}}, False),
        ({"pool": {"max_message": 4096}}, False),
        ({"pool": {"max_entries": 3}}, False),
    ],
)
async def test_which_settings_a_pool_is_made_of(changes: dict[str, Any], kept: bool) -> None:
    """configuration.md 1.3."""
    pools = Pools()
    first = await pools.acquire(Server.model_validate(BASE))
    second = await pools.acquire(Server.model_validate({**BASE, **changes}))
    assert (first is second) is kept
    for pool in (first, second):
        await pools.release(pool)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"ssl_skip_verify": True}, False),
        ({"min_tls_version": "TLS1.3"}, False),
        ({"max_tls_version": "TLS1.2"}, False),
        ({"tls_ciphers": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}, False),
        ({"root_ca_cert": []}, False),
        ({"client_cert": "server.pem", "client_key": "server.key"}, False),
    ],
)
async def test_which_settings_of_tls_a_pool_is_made_of(changes: dict[str, Any], kept: bool, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    files = {name: str(tmp_path / changes[name]) for name in ("client_cert", "client_key") if name in changes}
    base = {**BASE, "urls": ["ldaps://127.0.0.1:1"], "root_ca_cert": [str(tmp_path / "ca.pem")]}
    pools = Pools()
    first = await pools.acquire(Server.model_validate(base))
    second = await pools.acquire(Server.model_validate({**base, **changes, **files}))
    assert (first is second) is kept
    for pool in (first, second):
        await pools.release(pool)


async def test_each_certificate_file_counts(tmp_path: Path) -> None:
    """Certificate and key are replaced one after the other: the old pair stays until the new one fits."""
    make_certificates(tmp_path)
    make_certificates(tmp_path / "next")
    files = {"client_cert": str(tmp_path / "server.pem"), "client_key": str(tmp_path / "server.key")}
    server = Server.model_validate({**BASE, "start_tls": True, "root_ca_cert": [str(tmp_path / "ca.pem")], **files})
    pools = Pools()
    first = await pools.acquire(server)
    shutil.copy(tmp_path / "next" / "server.pem", tmp_path / "server.pem")
    with pytest.raises(TlsSettingsError, match="no certificate with its unencrypted key"):
        await pools.acquire(server)
    shutil.copy(tmp_path / "next" / "server.key", tmp_path / "server.key")
    second = await pools.acquire(server)
    assert second is not first
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(TlsSettingsError, match=r"ca\.pem: cannot be read: No such file"):
        await pools.acquire(server)
    await pools.release(first)
    await pools.release(second)


async def test_authorities_of_the_system_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = Server.model_validate({**BASE, "urls": ["ldaps://127.0.0.1:1"]})
    pools = Pools()
    first = await pools.acquire(server)
    assert await pools.acquire(server) is first
    make_certificates(tmp_path)
    second = await pools.acquire(server)
    assert second is not first
    for pool in (first, first, second):
        await pools.release(pool)


def test_a_pool_does_not_show_its_password() -> None:
    """DECISIONS 40."""
    pools = Pools()
    pool = asyncio.run(pools.acquire(Server.model_validate(BASE)))
    assert "planted" not in repr(vars(pools)) + repr(pools._shared[0])
    asyncio.run(pools.release(pool))
