"""The login cycle against slapd with 10,000 users, concurrency 16: search, bind, group search.

Baseline: ldap3 with its SAFE_SYNC strategy, pooled in 16 threads, the fastest way measured with that library. Both run
in this process, in turns, and both must find exactly the groups a user has. Then ours over LDAPS, with its connections
pooled alike, against ours in clear.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import local

import ldap3
import uvloop

from bench.directory import (
    GROUP_BASE,
    GROUP_FILTER,
    GROUPS_EACH,
    PEOPLE,
    SERVICE,
    SERVICE_PASSWORD,
    USERS,
    dn,
    large_directory,
    name,
    password,
)
from gateway.config.schema import Secret, Server
from gateway.config.schema.servers import Pool
from gateway.directory.bind import DirectoryServer
from gateway.directory.pools import make_pool
from gateway.directory.realm import Outcome
from tests.directories.slapd import Slapd

CONCURRENCY = 16
OURS, THEIRS = 12_000, 1_200
ROUNDS = 3


class Open:
    """No lockout: the cycle alone is measured."""

    async def admits_name(self, server: str) -> bool:
        return True

    async def admits_entry(self, server: str, entry: str) -> bool:
        return True


async def logins_at_once(login: Callable[[int], Awaitable[None]], count: int) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await login(number * 7919 % USERS)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def measure_ours(slapd: Slapd, url: str) -> tuple[float, float, float]:
    """Logins per second, then seconds of CPU per login: ours and slapd's."""
    server = Server(
        name="bench",
        urls=(url,),
        root_ca_cert=(slapd.ca_file,),
        bind_dn=SERVICE,
        bind_password=Secret(SERVICE_PASSWORD),
        search_base_dns=(PEOPLE,),
        group_search_filter=GROUP_FILTER,
        group_search_filter_user_attribute="dn",
        group_search_base_dns=(GROUP_BASE,),
        pool=Pool(binds=CONCURRENCY),
    )
    directory = DirectoryServer(server, await make_pool(server))
    await directory.pool.start()
    gate = Open()

    async def login(number: int) -> None:
        verdict = await directory.authenticate(name(number), password(number), gate)
        assert verdict.outcome is Outcome.OK and verdict.account is not None, verdict.reason
        assert len(verdict.account.groups) == GROUPS_EACH

    await logins_at_once(login, 500)
    started, cpu, server_cpu = time.perf_counter(), time.process_time(), slapd.cpu_seconds()
    await logins_at_once(login, OURS)
    seconds = time.perf_counter() - started
    figures = OURS / seconds, (time.process_time() - cpu) / OURS, (slapd.cpu_seconds() - server_cpu) / OURS
    await directory.pool.close()
    return figures


def measure_theirs(slapd: Slapd) -> tuple[float, float, float]:
    held = local()
    opened: list[ldap3.Connection] = []
    server = ldap3.Server("127.0.0.1", slapd.port, get_info=ldap3.NONE)

    def connect() -> ldap3.Connection:
        strategy = ldap3.SAFE_SYNC
        connection = ldap3.Connection(server, SERVICE, SERVICE_PASSWORD, client_strategy=strategy, auto_bind=True)
        opened.append(connection)
        return connection

    def login(number: int) -> None:
        if not hasattr(held, "service"):
            held.service, held.person = connect(), connect()
        wanted = ["uid", "displayName", "mail", "entryUUID"]
        _, _, found, _ = held.service.search(PEOPLE, f"(uid={name(number)})", attributes=wanted)
        bound, *_ = held.person.rebind(found[0]["dn"], password(number))
        assert bound
        _, _, groups, _ = held.service.search(GROUP_BASE, f"(member={dn(number)})", attributes=["cn"])
        assert len(groups) == GROUPS_EACH

    with ThreadPoolExecutor(CONCURRENCY) as threads:
        list(threads.map(login, (n * 7919 % USERS for n in range(64))))
        started, cpu, server_cpu = time.perf_counter(), time.process_time(), slapd.cpu_seconds()
        list(threads.map(login, (n * 7919 % USERS for n in range(THEIRS))))
        seconds = time.perf_counter() - started
        figures = THEIRS / seconds, (time.process_time() - cpu) / THEIRS, (slapd.cpu_seconds() - server_cpu) / THEIRS
    for connection in opened:
        connection.unbind()
    return figures


def medians(rounds: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    rate, cpu, server_cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    return rate, cpu, server_cpu


def main() -> None:
    plain, tls, ldap3_threads = [], [], []
    with large_directory() as slapd:
        for _ in range(ROUNDS):
            plain.append(uvloop.run(measure_ours(slapd, slapd.url)))
            tls.append(uvloop.run(measure_ours(slapd, slapd.ldaps_url)))
            ldap3_threads.append(measure_theirs(slapd))
    ours, ours_tls, theirs = medians(plain), medians(tls), medians(ldap3_threads)
    print(f"ratio    {ours[0] / theirs[0]:8.1f} x rate   {theirs[1] / ours[1]:7.1f} x less CPU   (aim: 15 x rate)")
    print(f"LDAPS    {ours_tls[1] / ours[1]:8.2f} x the CPU of plain   (aim: at most 1.3)")
    for label, (rate, cpu, server_cpu) in {"gateway": ours, "LDAPS": ours_tls, "ldap3": theirs}.items():
        print(f"{label:8} {rate:8.0f} logins/s  {cpu * 1e6:7.0f} us CPU per login  {server_cpu * 1e6:6.0f} us of slapd")
    # Two processes share the cores: what slapd itself needs per login is a limit that no client passes.
    limit = (os.cpu_count() or 1) / (ours[1] + ours[2])
    print(f"limit    {limit:8.0f} logins/s by the CPU of both on {os.cpu_count()} cores")
