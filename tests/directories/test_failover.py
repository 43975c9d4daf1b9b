"""Two hosts of one server of which the first is dead (acceptance 4; vault.md 4.1; grafana.md 2.2, hosts in order)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.directory.connection import Endpoint, Unreachable
from gateway.directory.failover import HEAD_START
from gateway.directory.pool import Pool
from gateway.directory.realm import Outcome
from tests.admin_client import by_socket
from tests.daemon import running
from tests.directories.directory_logins import one_server
from tests.directories.faulty import (
    ADA,
    ADA_PASSWORD,
    PEOPLE,
    SERVICE,
    SERVICE_BIND,
    START_TLS,
    USER_BIND,
    Faulty,
    code,
)
from tests.directories.process import free_port
from tests.directories.test_broken_directories import broken, settings

CONNECT_LIMIT = 8.0
"""``timeout``: a login that waited for a dead host would take longer than that."""
SLOW: dict[str, object] = {
    "timeout": CONNECT_LIMIT,
    "request_timeout": CONNECT_LIMIT,
    "login_timeout": 2 * CONNECT_LIMIT,
    "pool": {"backoff": 60, "probe": 60},
}
SINGLE: dict[str, object] = {"bind_dn": f"uid=%s,{PEOPLE}", "bind_password": None}


@contextmanager
def refusing() -> Iterator[str]:
    yield f"ldap://127.0.0.1:{free_port()}"


@contextmanager
def accepting(scheme: str = "ldap") -> Iterator[str]:
    """Accepts and says nothing, no TLS either."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"


def hung_in_tls() -> AbstractContextManager[str]:
    return accepting("ldaps")


@contextmanager
def swallowing() -> Iterator[str]:
    """A full queue of connections: no answer to SYN, as from a host that is switched off."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        yield f"ldap://127.0.0.1:{silent.getsockname()[1]}"


@contextmanager
def unknown() -> Iterator[str]:
    yield "ldap://no-such-host.invalid"


DEAD = [refusing, accepting, hung_in_tls, swallowing, unknown]


@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("mode", [{}, SINGLE], ids=["service", "single"])
async def test_the_second_serves(dead: Callable[[], AbstractContextManager[str]], mode: dict[str, object]) -> None:
    """The login succeeds within the connect limit; those that follow do not wait for the first host at all."""
    second = await Faulty.start()
    with dead() as url:
        urls = [url, f"ldap://127.0.0.1:{second.port}"]
        begun = time.monotonic()
        async with broken(second, **{**SLOW, **mode, "urls": urls}) as made:
            assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
            assert time.monotonic() - begun < CONNECT_LIMIT
            begun = time.monotonic()
            for _ in range(20):
                assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
            assert time.monotonic() - begun < HEAD_START
            first, last = made.directory.pool.hosts
            assert (first.state, last.state, made.directory.pool.state.endpoint) == ("down", "up", last.endpoint)
            assert first.error.startswith(str(first.endpoint))
            assert first.retry_seconds >= 0


@pytest.mark.parametrize("mode", [{}, SINGLE], ids=["service", "single"])
async def test_a_host_that_falls_silent_while_in_use(mode: dict[str, object]) -> None:
    """One login meets the silence; then the other host serves, and no further login waits for the silent one."""
    first, second = await Faulty.start(), await Faulty.start()
    quick = {**SLOW, "request_timeout": 0.3, "login_timeout": CONNECT_LIMIT, **mode}
    async with broken(first, second, **quick) as made:
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
        assert second.connections == 0
        first.fall_silent()
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.UNREACHABLE
        begun = time.monotonic()
        outcomes = []
        while Outcome.OK not in outcomes:
            outcomes.append((await made.verdict("ada", ADA_PASSWORD)).outcome)
            assert time.monotonic() - begun < CONNECT_LIMIT
        connections = first.connections
        for _ in range(10):
            assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
        assert first.connections == connections


@pytest.mark.parametrize("mode", [{}, SINGLE], ids=["service", "single"])
@pytest.mark.parametrize("how", ["refuses", "silent"])
async def test_the_probe_returns_to_the_first(how: str, mode: dict[str, object]) -> None:
    """In the background: the logins in between all succeed, and none is needed for the return."""
    first, second = await Faulty.start(), await Faulty.start()
    quick = {"timeout": 0.2, "request_timeout": 0.2, "pool": {"backoff": 0.2, "probe": 0.1}, **mode}
    if how == "refuses":
        await first.refuse()
    else:
        first.fall_silent()
    async with broken(first, second, **quick) as made:
        pool = made.directory.pool
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
        for _ in range(20):
            assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
            await asyncio.sleep(0.02)
        binds = second.binds[ADA]
        assert first.binds[ADA] == 0
        if how == "refuses":
            await first.listen()
        else:
            first.heal()
        async with asyncio.timeout(CONNECT_LIMIT):
            while pool.state.endpoint != pool.hosts[0].endpoint:
                await asyncio.sleep(0.01)
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
        assert (first.binds[ADA], second.binds[ADA]) == (1, binds)
        assert [host.state for host in pool.hosts] == ["up", "up"]


MODES: list[tuple[str, dict[str, object]]] = [
    ("service", {}),
    ("anonymous", {"bind_dn": None, "bind_password": None}),
    ("single", SINGLE),
    ("direct", {"bind_dn": None, "bind_password": None, "user_attr": "uid", "user_dn": PEOPLE}),
]


@pytest.mark.parametrize("changes", [row[1] for row in MODES], ids=[row[0] for row in MODES])
@pytest.mark.parametrize("refusal", [None, 49, 53, 51, 52, 1, 32], ids=lambda code: f"code {code}" if code else "wrong")
async def test_a_refused_password_is_never_tried_at_the_next_host(changes: dict[str, Any], refusal: int | None) -> None:
    """vault.md 4.1: only connecting fails over. Each wrong password counts at the directory."""
    first, second = await Faulty.start(USER_BIND, code(refusal) if refusal else None), await Faulty.start()
    async with broken(first, second, **changes) as made:
        password = ADA_PASSWORD if refusal else "wrong"
        for tries in range(1, 4):
            assert (await made.verdict("ada", password)).outcome is not Outcome.OK
            assert (first.binds[ADA], second.binds.total(), second.connections) == (tries, 0, 0)


async def test_a_refused_service_account_is_tried_at_no_other_host() -> None:
    """Neither at once nor by the next logins: each host would count one more failure of the account."""
    first, second = await Faulty.start(SERVICE_BIND, code(49)), await Faulty.start()
    async with broken(first, second, pool={"backoff": 60, "probe": 0.05}) as made:
        for _ in range(5):
            verdict = await made.verdict("ada", ADA_PASSWORD)
            assert (verdict.outcome, "check bind_dn and bind_password" in verdict.reason) == (Outcome.UNREACHABLE, True)
            await asyncio.sleep(0.05)
        assert (first.binds[SERVICE], second.binds.total()) == (1, 0)


@pytest.mark.parametrize("number", [3, 51, 52])
async def test_a_busy_host_is_passed_over(number: int) -> None:
    """RFC 4511 appendix A: that is the host's trouble, not the account's."""
    first, second = await Faulty.start(SERVICE_BIND, code(number)), await Faulty.start()
    async with broken(first, second) as made:
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
        assert second.binds[ADA] == 1


async def test_start_tls_that_fails_is_the_hosts_failure() -> None:
    """vault.md 4.1: "failure = this URL failed; never continue in clear"."""
    first, second = await Faulty.start(START_TLS, code(2)), await Faulty.start(START_TLS, code(52))
    async with broken(first, second, start_tls=True, ssl_skip_verify=True) as made:
        verdict = await made.verdict("ada", ADA_PASSWORD)
        assert verdict.outcome is Outcome.UNREACHABLE
        for directory in (first, second):
            assert f"127.0.0.1:{directory.port}: StartTLS refused" in verdict.reason
            assert directory.connections > 0
            assert directory.binds.total() == 0


async def test_a_crowd_asks_a_dead_host_once() -> None:
    """Only one at a time asks a host that failed; the others learn at once that there is nothing to be had."""
    port = free_port()
    pool = Pool([Endpoint("127.0.0.1", port)], connect_timeout=CONNECT_LIMIT, service=False)
    with pytest.raises(Unreachable, match="Connection refused"):
        await pool.bind(ADA, ADA_PASSWORD)
    async with asyncio.timeout(CONNECT_LIMIT):
        while pool.hosts[0].retry_seconds:
            await asyncio.sleep(0.01)
    with socket.create_server(("127.0.0.1", port)) as silent:
        crowd = [asyncio.create_task(pool.bind(ADA, ADA_PASSWORD, timeout=1)) for _ in range(16)]
        done, waiting = await asyncio.wait(crowd, timeout=0.5)
        assert (len(done), len(waiting)) == (15, 1)
        assert all(isinstance(task.exception(), Unreachable) for task in done)
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
        await asyncio.gather(*crowd, return_exceptions=True)
        await pool.close()


async def test_closed_in_the_middle_of_a_race() -> None:
    """``broken`` sees to it that no task and no connection is left."""
    first, second = await Faulty.start(), await Faulty.start()
    first.fall_silent()
    second.fall_silent()
    async with broken(first, second, **SLOW) as made:
        login = asyncio.create_task(made.verdict("ada", ADA_PASSWORD))
        async with asyncio.timeout(CONNECT_LIMIT):
            while not second.connections:
                await asyncio.sleep(0.01)
        await made.directory.pool.close()
        assert (await login).outcome is Outcome.UNREACHABLE


# What administrators see


async def test_each_host_is_shown(tmp_path: Path) -> None:
    """``/admin/status`` and ``config status`` name hosts and errors; ``/healthz/ready`` does not."""
    second = await Faulty.start()
    dead = free_port()
    item = settings(second, urls=[f"ldap://127.0.0.1:{dead}", f"ldap://127.0.0.1:{second.port}"], name="corp")
    await asyncio.to_thread(_look_at_the_status, tmp_path, item, dead, second.port)
    await second.close()


def _look_at_the_status(tmp_path: Path, item: dict[str, object], dead: int, port: int) -> None:
    with running(tmp_path, environment=one_server(item)) as daemon:
        status = by_socket(tmp_path, "/admin/status")
        corp = status.json["directories"]["corp"]
        assert (corp["state"], corp["host"], corp["error"]) == ("up", f"127.0.0.1:{port}", "")
        first, last = corp["hosts"]
        assert (first["host"], first["state"]) == (f"127.0.0.1:{dead}", "down")
        assert first["error"] == f"127.0.0.1:{dead}: Connection refused"
        assert first["retry_seconds"] >= 0
        assert (last["state"], last["error"], last["retry_seconds"]) == ("up", "", 0)
        assert all(host["since"].endswith("Z") for host in (corp, first, last))
        assert json.loads(daemon.call("/healthz/ready").body) == {"status": "ok", "directories": {"up": 1, "down": 0}}
        assert str(item["bind_password"]).encode() not in status.body
        command = [sys.executable, "-m", "gateway", "config", "status", "--state-dir", str(tmp_path / "state")]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert f"directory corp   up since {corp['since']} on 127.0.0.1:{port}" in told
        assert f"127.0.0.1:{dead} down since {first['since']}: 127.0.0.1:{dead}: Connection refused" in told
