"""Directories that are down, die, hang, come back, or are one of several (issue, acceptance 6)."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.directory.ber import integer, octets, tlv
from gateway.directory.connection import ConnectionLost, ProtocolError, TimedOut, Unreachable
from gateway.directory.messages import EXTENDED_RESPONSE, NOTICE_OF_DISCONNECTION, envelope
from gateway.directory.pool import Endpoint, Pool, ServiceBindFailed
from gateway.directory.tls import tls_context
from tests.directories.process import free_port
from tests.directories.relay import Relay
from tests.directories.slapd import Slapd
from tests.directory.test_pool import BY_UID, EVERYTHING, GRACE, PASSWORD, SECONDS, SERVICE, left_over, plain, started


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def works(pool: Pool) -> bool:
    entries, _ = await pool.search(BY_UID, "grace")
    return len(entries) == 1 and (await pool.bind(GRACE, PASSWORD)).code == 0


async def test_down_at_start_and_back_by_itself(own_slapd: Slapd) -> None:
    own_slapd.stop()
    async with started(plain(own_slapd), **SERVICE) as pool:
        assert not pool.state.up
        assert str(own_slapd.port) in pool.state.error
        with pytest.raises(Unreachable):
            await pool.search(BY_UID, "grace")
        with pytest.raises(Unreachable):
            await pool.bind(GRACE, PASSWORD)
        own_slapd.run()
        await until(lambda: pool.state.up)
        assert await works(pool)


@pytest.mark.parametrize("settings", [SERVICE, {"service": False}], ids=["service", "single bind"])
async def test_start_does_not_wait_for_a_silent_directory(settings: dict[str, Any], company: Slapd) -> None:
    """The timeouts of a connection are ten seconds each; the first attempt goes on without ``start``."""
    relay = await Relay.start(company.host, company.port)
    relay.hold()
    context, _ = tls_context(ca_files=[company.ca_file])
    endpoint = Endpoint("localhost", relay.port, "starttls")
    try:
        async with asyncio.timeout(8):
            closed = Pool([endpoint] * 3, tls_context=context, **settings)
            async with started(endpoint, tls_context=context, **settings) as pool:
                assert not pool.state.up
                await closed.start()
                assert not closed.state.up
                await closed.close()
                relay.let_go()
                await until(lambda: pool.state.up)
                # The first attempt of each pool; the other went on to its second host after a while.
                assert (pool.connects, relay.connections) == (1, 3)
                assert (await pool.bind(GRACE, PASSWORD)).code == 0
    finally:
        await relay.close()


@pytest.mark.parametrize("settings", [SERVICE, {"service": False}], ids=["service", "single bind"])
async def test_close_while_it_starts(settings: dict[str, Any], company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    relay.hold()
    try:
        pool = Pool([Endpoint("localhost", relay.port, "starttls")], tls_context=tls_context()[0], **settings)
        starting = asyncio.create_task(pool.start())
        await until(lambda: len(relay.sent) > 0)
        begun = time.monotonic()
        await pool.close()
        await starting
        assert time.monotonic() - begun < 4  # the timeouts are 10 s, the time to drain is 5 s
        assert left_over() == []
        assert "closed" in pool.state.error
    finally:
        await relay.close()


@pytest.mark.parametrize("tls", ["none", "ldaps"])
async def test_refused_at_start_is_known_at_once(tls: Any) -> None:
    for settings in (SERVICE, {"service": False}):
        async with started(Endpoint("127.0.0.1", free_port(), tls), tls_context=tls_context()[0], **settings) as pool:
            assert not pool.state.up
            assert "refused" in pool.state.error.lower()


async def test_killed_under_a_search_and_restarted(own_slapd: Slapd) -> None:
    async with started(plain(own_slapd), **SERVICE) as pool:
        assert await works(pool)
        own_slapd.pause()
        running = [asyncio.create_task(pool.search(EVERYTHING)) for _ in range(5)]
        running += [asyncio.create_task(pool.bind(GRACE, PASSWORD)) for _ in range(5)]  # type: ignore[list-item]
        await asyncio.sleep(0.05)
        own_slapd.kill()
        async with asyncio.timeout(SECONDS):
            answers = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(answer, Unreachable) for answer in answers)
        assert not pool.state.up
        own_slapd.run()
        await until(lambda: pool.state.up)
        assert await works(pool)
        assert pool.lost > 0


async def test_restarted_between_two_logins(own_slapd: Slapd) -> None:
    async with started(plain(own_slapd), **SERVICE) as pool:
        for _ in range(3):
            assert await works(pool)
            own_slapd.restart()
            assert await works(pool)


async def test_down_means_a_quick_no(own_slapd: Slapd) -> None:
    """The budget is for a thousand refusals, not for one: no login waits, and hardly any asks the dead host."""
    async with started(plain(own_slapd), **SERVICE) as pool:
        own_slapd.kill()
        started_at = time.monotonic()
        answers = await asyncio.gather(*(pool.search(BY_UID, "grace") for _ in range(1000)), return_exceptions=True)
        assert all(isinstance(answer, Unreachable) for answer in answers)
        assert time.monotonic() - started_at < SECONDS / 2


async def test_a_hanging_directory_costs_a_deadline_and_then_nothing(own_slapd: Slapd) -> None:
    async with started(
        plain(own_slapd), request_timeout=0.2, connect_timeout=0.2, backoff_seconds=SECONDS, **SERVICE
    ) as pool:
        assert await works(pool)
        own_slapd.pause()
        started_at = time.monotonic()
        for _ in range(3):
            with pytest.raises(Unreachable):
                await pool.search(BY_UID, "grace")
        for _ in range(50):
            with pytest.raises(Unreachable):
                await pool.search(BY_UID, "grace")
        assert time.monotonic() - started_at < SECONDS / 2
        with pytest.raises(Unreachable):
            await pool.bind(GRACE, PASSWORD)
        own_slapd.resume()
        await until(lambda: pool.state.up)
        assert await works(pool)


async def test_a_search_lost_underneath_is_sent_once_more(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            relay.cut_after = 30
            entries, _ = await pool.search(EVERYTHING)
            assert len(entries) > 20
            assert (pool.searches, pool.connects, pool.lost) == (2, 2, 1)
    finally:
        await relay.close()


async def test_but_only_once(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            relay.spoil = lambda data: relay.drop() or b"" if b"ou=people" in data else data
            with pytest.raises(ConnectionLost):
                await pool.search(EVERYTHING)
            assert pool.searches == 2
    finally:
        await relay.close()


async def test_a_bind_is_repeated_only_on_a_connection_that_was_idle(company: Slapd) -> None:
    """Each wrong password counts at the directory: what may have been read there is not sent again by habit."""
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), service=False) as pool:
            await pool.bind(GRACE, PASSWORD)
            relay.cut_after = 3
            assert (await pool.bind(GRACE, PASSWORD)).code == 0
            assert (pool.binds, pool.connects, pool.lost) == (3, 2, 1)
            async with pool.bound_as(GRACE, PASSWORD):
                relay.cut_after = 3
                with pytest.raises(ConnectionLost):
                    await pool.bind(GRACE, PASSWORD)
            assert pool.binds == 5
    finally:
        await relay.close()


# Connections that a firewall has forgotten


@pytest.mark.parametrize("how", ["the deadline of the bind", "the deadline of the login"])
async def test_one_silent_bind_makes_all_idle_connections_suspect(how: str, company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), service=False) as pool:
            await asyncio.gather(*(pool.bind(GRACE, PASSWORD) for _ in range(4)))
            assert (pool.binds, pool.connects) == (4, 4)
            relay.forget()
            with pytest.raises((TimedOut, TimeoutError)):
                async with asyncio.timeout(0.2 if "login" in how else SECONDS):
                    await pool.bind(GRACE, PASSWORD, timeout=0.3 if "login" in how else 0.2)
            for _ in range(3):
                assert (await pool.bind(GRACE, PASSWORD, timeout=SECONDS)).code == 0
            assert (pool.binds, pool.connects) == (8, 5)
    finally:
        await relay.close()


@pytest.mark.parametrize("first", ["search", "bind"])
async def test_a_forgotten_pool_costs_one_login(first: str, company: Slapd) -> None:
    """Whichever connection is the first to be found dead, the next login meets new ones only."""
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            assert await works(pool)
            relay.forget()
            with pytest.raises(TimedOut):
                if first == "search":
                    await pool.search(BY_UID, "grace", timeout=0.2)
                else:
                    await pool.bind(GRACE, PASSWORD, timeout=0.2)
            assert await works(pool)
            assert pool.connects == 4
    finally:
        await relay.close()


async def test_what_was_used_in_the_meantime_is_not_suspect(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            assert await works(pool)
            relay.forget()
            silent = asyncio.create_task(pool.bind(GRACE, PASSWORD, timeout=0.3))
            await until(lambda: relay.sent.count(PASSWORD.encode()) == 2)
            assert (await pool.bind(GRACE, PASSWORD)).code == 0
            with pytest.raises(TimedOut):
                await silent
            connects = pool.connects
            async with pool.bound_as(GRACE, PASSWORD, timeout=SECONDS) as bound:
                assert bound.result.code == 0
            await until(lambda: pool.connects == connects + 1)  # the service connection, by the keeper
            assert pool.state.up
    finally:
        await relay.close()


async def test_notice_of_disconnection_is_a_loss(company: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    notice = integer(51, 0x0A) + octets("") + octets("restart") + octets(NOTICE_OF_DISCONNECTION, 0x8A)
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            relay.inject(envelope(0, tlv(EXTENDED_RESPONSE, notice)))
            await until(lambda: pool.lost == 1)
            assert "disconnected by the directory: 51 busy (restart)" in caplog.text
            await until(lambda: pool.state.up)
            assert await works(pool)
    finally:
        await relay.close()


async def test_spoilt_answers_end_in_errors_and_a_new_connection(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            relay.spoil = lambda data: b"\x30\x03\x02\x01\x00" + data
            with pytest.raises((ProtocolError, Unreachable)):
                await pool.search(BY_UID, "grace")
            relay.spoil = None
            await until(lambda: pool.state.up)
            assert await works(pool)
    finally:
        await relay.close()


async def test_connections_that_hardly_live_are_not_made_in_a_tight_loop(company: Slapd) -> None:
    """A balancer without a directory behind it accepts, answers a bind from its memory, perhaps, and hangs up."""
    relay = await Relay.start(company.host, company.port)
    try:
        async with started(Endpoint("127.0.0.1", relay.port), **SERVICE) as pool:
            for lost in range(1, 4):
                relay.drop()
                await until(lambda lost=lost: pool.lost == lost)  # type: ignore[misc]
                if lost < 3:
                    await until(lambda: pool.state.up)
            with pytest.raises(Unreachable):
                await pool.search(BY_UID, "grace")
            assert relay.connections == 3
            await until(lambda: pool.state.up)
            assert await works(pool)
    finally:
        await relay.close()


# Several hosts


async def test_the_next_host_serves_and_the_first_takes_over_again(own_slapd: Slapd, company: Slapd) -> None:
    first, second = plain(own_slapd), plain(company)
    own_slapd.stop()
    async with started(first, second, probe_seconds=0.1, **SERVICE) as pool:
        assert (pool.state.up, pool.state.endpoint) == (True, second)
        assert await works(pool)
        own_slapd.run()
        await until(lambda: pool.state.endpoint == first)
        assert await works(pool)
        own_slapd.kill()
        await until(lambda: pool.state.endpoint == second and pool.state.up)
        assert await works(pool)


async def test_no_login_waits_for_a_host_known_to_be_silent(company: Slapd) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        first = Endpoint("127.0.0.1", silent.getsockname()[1])
        async with started(
            first, plain(company), request_timeout=0.3, connect_timeout=0.3, probe_seconds=0.05, **SERVICE
        ) as pool:
            assert pool.state.endpoint == plain(company)
            slowest = 0.0
            for _ in range(100):
                begun = time.monotonic()
                assert await works(pool)
                slowest = max(slowest, time.monotonic() - begun)
                await asyncio.sleep(0.01)
            assert slowest < 0.25


async def test_searches_under_way_survive_the_return_to_the_first_host(own_slapd: Slapd, company: Slapd) -> None:
    relay = await Relay.start(company.host, company.port)
    own_slapd.stop()
    try:
        second = Endpoint("127.0.0.1", relay.port)
        async with started(plain(own_slapd), second, probe_seconds=0.05, **SERVICE) as pool:
            relay.hold()
            search = asyncio.create_task(pool.search(EVERYTHING))
            own_slapd.run()
            await until(lambda: pool.state.endpoint == plain(own_slapd))
            relay.let_go()
            assert len((await search)[0]) > 20
            assert pool.searches == 1
    finally:
        await relay.close()


async def test_a_refused_service_account_is_not_tried_at_every_host(company: Slapd, own_slapd: Slapd) -> None:
    settings = {"bind_dn": SERVICE["bind_dn"], "bind_password": "wrong"}
    pool = Pool([plain(company), plain(own_slapd)], **settings)
    with pytest.raises(ServiceBindFailed, match=str(company.port)):
        await pool.search(BY_UID, "grace")
    await pool.close()


async def test_all_hosts_down_names_them_all() -> None:
    endpoints = [Endpoint("127.0.0.1", free_port()), Endpoint("localhost", free_port(), "none")]
    async with started(*endpoints) as pool:
        with pytest.raises(Unreachable) as caught:
            await pool.search(BY_UID, "grace")
        assert all(str(endpoint) in str(caught.value) for endpoint in endpoints)


# Giving up


async def test_cancelled_logins_leave_nothing_behind(company: Slapd) -> None:
    async with started(plain(company), binds=3, **SERVICE) as pool:
        for round_ in range(60):
            tasks: list[asyncio.Task[Any]] = []
            for _ in range(8):
                tasks += [
                    asyncio.create_task(pool.search(BY_UID, "grace")),
                    asyncio.create_task(pool.bind(GRACE, PASSWORD)),
                ]
            for _ in range(round_ % 12):
                await asyncio.sleep(0)
            for task in tasks[:: 1 + round_ % 3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        answers = await asyncio.gather(*(pool.bind(GRACE, PASSWORD) for _ in range(12)))
        assert [answer.code for answer in answers] == [0] * 12
        assert await works(pool)


async def test_a_connection_that_comes_too_late_is_kept_for_the_next(company: Slapd) -> None:
    relay = await Relay.start(company.host, company.ldaps_port)
    context, _ = tls_context(ca_files=[company.ca_file])
    try:
        async with started(
            Endpoint("localhost", relay.port, "ldaps"), tls_context=context, binds=1, **SERVICE
        ) as pool:
            relay.hold()
            with pytest.raises(TimedOut):
                await pool.bind(GRACE, PASSWORD, timeout=0.05)
            relay.let_go()
            assert (await pool.bind(GRACE, PASSWORD)).code == 0
            assert (pool.connects, relay.connections) == (2, 2)
    finally:
        await relay.close()


async def test_close_while_everything_goes_wrong(own_slapd: Slapd) -> None:
    pool = Pool([plain(own_slapd)], request_timeout=SECONDS, **SERVICE)
    await pool.start()
    own_slapd.pause()
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(pool.bind(GRACE, PASSWORD)) for _ in range(20)]
    tasks += [asyncio.create_task(pool.search(EVERYTHING)) for _ in range(20)]
    await asyncio.sleep(0.05)
    await pool.close(drain_seconds=0.05)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, Unreachable) for answer in answers)
    assert left_over() == []


async def test_the_log_says_when_it_goes_down_and_comes_back(
    own_slapd: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gateway.directory.pool"):
        async with started(plain(own_slapd), name="corp", **SERVICE) as pool:
            own_slapd.kill()
            await until(lambda: not pool.state.up)
            own_slapd.run()
            await until(lambda: pool.state.up)
    levels = [(record.levelname, "corp" in record.getMessage()) for record in caplog.records]
    assert levels == [("INFO", True), ("WARNING", True), ("INFO", True)]
    assert SERVICE["bind_password"] not in caplog.text
