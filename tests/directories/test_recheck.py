"""DECISIONS 11: renewing a token asks the directory, using one does not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ldap3
import pytest

from gateway.config.load import load
from gateway.directory.local_users import LocalUsers
from gateway.directory.recheck import Recheck, Standing
from gateway.identities import Identities
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from tests.daemon import Daemon, running
from tests.directories.directory_logins import logins, renewal, use
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

ALAN = f"uid=alan,ou=people,{BASE_DN}"


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as started:
        yield started


@pytest.fixture
def admin(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with slapd.administration() as connection:
        yield connection


def environment(slapd: Slapd, refresh: str = "0s", stale: str = "1h", **server: object) -> dict[str, str]:
    given = slapd.server(**{"request_timeout": 1, "clearml": {"groups": {"admins": ["developers"]}}, **server})
    return {
        "CLEARML__servers": json.dumps([given]),
        "CLEARML__session__refresh_interval": refresh,
        "CLEARML__session__max_stale": stale,
    }


def test_who_was_removed_gets_no_new_token(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        assert renewal(daemon, token) == (200, 0)
        admin.delete(ALAN)
        assert daemon.user(token)["name"] == "Alan Turing"  # not asked
        assert renewal(daemon, token) == (401, 30)
        assert use(daemon, token) == (401, 30)


def test_a_filter_that_finds_the_person_no_more_ends_renewal(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """How a directory without account states says disabled."""
    given = environment(slapd, search_filter="(&(uid=%s)(!(employeeType=left)))")
    with running(tmp_path, environment=given) as daemon:
        token = daemon.token("alan", "enigma")
        admin.modify(ALAN, {"employeeType": [(ldap3.MODIFY_ADD, ["left"])]})
        assert renewal(daemon, token) == (401, 30)


def test_lost_groups_are_lost_at_renewal(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        assert daemon.user(token)["role"] == "admin"
        admin.modify(f"cn=developers,ou=groups,{BASE_DN}", {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert renewal(daemon, token) == (200, 0)
        assert daemon.user(token)["role"] == "user"


def test_a_rehired_name_is_somebody_else(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        admin.delete(ALAN)
        names = {"uid": "alan", "cn": "Another Alan", "sn": "Alan"}
        admin.add(ALAN, "inetOrgPerson", {**names, "userPassword": "enigma"})
        assert renewal(daemon, token) == (401, 30)
        assert daemon.login("alan", "enigma").status == 200
        assert renewal(daemon, token) == (401, 30)


@pytest.mark.parametrize("interval", ["5m", "never"])
def test_within_the_interval_nobody_is_asked(slapd: Slapd, tmp_path: Path, interval: str) -> None:
    with running(tmp_path, environment=environment(slapd, refresh=interval)) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        assert renewal(daemon, token) == (200, 0)


def test_after_the_interval_somebody_is(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """session.refresh_interval; ``always`` is no interval at all."""
    with running(tmp_path, environment=environment(slapd, refresh="1s")) as daemon:
        token = daemon.token("alan", "enigma")
        admin.delete(ALAN)
        wait_for_renewal(daemon, token, (401, 30))
    with running(tmp_path, environment=environment(slapd, refresh="always")) as daemon:
        token = daemon.token("grace", "cobol-1959")
        admin.delete(ALAN.replace("alan", "grace"))
        assert renewal(daemon, token) == (401, 30)


def wait_for_renewal(daemon: Daemon, token: str, verdict: tuple[int, int]) -> None:
    """Ask until that is the answer; until then renewals succeed."""
    deadline = time.monotonic() + 15
    while (answered := renewal(daemon, token)) != verdict:
        assert answered == (200, 0)
        assert time.monotonic() < deadline
        time.sleep(0.1)


# max_stale, verdict of a renewal while the directory is down
STALE = [("1h", (200, 0)), ("never", (200, 0)), ("0s", (503, 0)), ("always", (503, 0))]


@pytest.mark.parametrize(("stale", "verdict"), STALE)
def test_the_last_answer_counts_for_a_while(slapd: Slapd, tmp_path: Path, stale: str, verdict: tuple[int, int]) -> None:
    with running(tmp_path, environment=environment(slapd, stale=stale)) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        assert renewal(daemon, token) == verdict
        assert daemon.user(token)["name"] == "Alan Turing"


def test_the_last_answer_ends(slapd: Slapd, tmp_path: Path) -> None:
    """session.max_stale is a hard limit; a directory that is back ends it."""
    with running(tmp_path, environment=environment(slapd, stale="2s", pool={"backoff": "0.2s"})) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        wait_for_renewal(daemon, token, (503, 0))
        assert daemon.call("/auth.login", bearer=token).headers["Retry-After"]
        assert use(daemon, token) == (200, 0)
        slapd.run()
        deadline = time.monotonic() + 15
        while renewal(daemon, token) != (200, 0):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize(("stale", "verdict"), STALE[:3:2])
def test_a_silent_directory_holds_no_renewal_up(slapd: Slapd, tmp_path: Path, stale: str, verdict: tuple[int, int]) -> None:
    """login_timeout ends it, however long a single operation may take and however many names there are to try."""
    given = environment(slapd, stale=stale, login_timeout=1, request_timeout=60)
    with running(tmp_path, environment=given) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.pause()
        try:
            assert daemon.call("/auth.login", bearer=token, timeout=10).verdict == verdict
            daemon.wait_for("alan could not be looked up again: no answer within login_timeout (1 s)")
            assert use(daemon, token) == (200, 0)
        finally:
            slapd.resume()
        assert daemon.call("/auth.login", bearer=token, timeout=10).verdict == (200, 0)


def test_many_renewals_while_the_directory_is_silent(slapd: Slapd, tmp_path: Path) -> None:
    """None of them waits for another, and using tokens goes on meanwhile."""
    given = environment(slapd, login_timeout=2, request_timeout=60)
    with running(tmp_path, environment=given) as daemon, ThreadPoolExecutor(30) as threads:
        token = daemon.token("alan", "enigma")
        slapd.pause()
        try:
            waiting = [threads.submit(renewal, daemon, token) for _ in range(29)]
            assert use(daemon, token) == (200, 0)
            assert {done.result(12) for done in waiting} == {(200, 0)}
        finally:
            slapd.resume()


def test_single_bind_renews_within_limits(slapd: Slapd, tmp_path: Path) -> None:
    """There is nobody to ask with: recheck is none."""
    given = environment(slapd, bind_dn=f"uid=%s,ou=people,{BASE_DN}", bind_password="")
    with running(tmp_path, environment=given) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        assert renewal(daemon, token) == (200, 0)


async def test_many_renewals_of_one_person_at_once_are_one_question(slapd: Slapd, tmp_path: Path) -> None:
    """Also when one of those who wait leaves; and the next one asks anew."""
    configuration = load([], environment(slapd)).configuration
    store = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(b"k" * 32))
    await store.migrate()
    threads = ThreadPoolExecutor(1)
    [server] = configuration.servers
    try:
        async with logins(server) as room:
            identities = Identities(store, configuration, LocalUsers((), threads, 1))
            recheck = Recheck([room.directory], store, identities, configuration.session)
            verdict = await room.verdict("alan", "enigma")
            assert verdict.account is not None
            alan = await identities.admit(verdict.account, "alan", int(time.time()) - 60)
            before = room.directory.pool.searches
            waiting = [asyncio.create_task(recheck.standing(alan.id, int(time.time()))) for _ in range(50)]
            await asyncio.sleep(0)
            waiting.pop(0).cancel()
            assert set(await asyncio.gather(*waiting)) == {Standing.GOOD}
            once = room.directory.pool.searches - before
            assert await recheck.standing(alan.id, int(time.time()) + 60) is Standing.GOOD
            assert once == room.directory.pool.searches - before - once
    finally:
        threads.shutdown()
        await store.close()
