"""Failures tell nothing by their time, and no directory that hangs keeps local users out (DECISIONS 5, 13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest

from gateway.directory.local_users import LocalUsers
from gateway.login import Attempt, Denied, Unavailable
from gateway.runtime import Live
from tests.directory.small_directory import Answer, SmallDirectory
from tests.serve.gateway_room import Room, room_of

QUICK = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()
SLOW = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(9)).decode()
TEXT = """
users = [{ username = ada, password_hash = "QUICK" }, { username = bob, password_hash = "SLOW" }]
servers = [{ name = corp, url = "ldap://127.0.0.1:PORT", search_base_dns = ["dc=x"], search_filter = "(uid=%s)", timeout = 20s }]
login { floor = FLOOR, concurrency = 1, queue = 1 }
lockout { failures = 2, address_failures = 100 }
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("QUICK", QUICK).replace("SLOW", SLOW)


@pytest.fixture
async def directory() -> AsyncIterator[SmallDirectory]:
    """Knows nobody."""
    opened = await SmallDirectory.start(lambda _: Answer())
    yield opened
    await opened.close()


def text(port: int, floor: str = "1ms") -> str:
    return TEXT.replace("PORT", str(port)).replace("FLOOR", floor)


async def fails(room: Room, user: str) -> None:
    assert isinstance(await room.live.login.check(Attempt(user, "wrong", None, "test")), Denied)


def held_back(live: Live) -> float:
    least: float = live.login.padding.least
    return least


@pytest.mark.parametrize("user", ["nobody", "ada", "bob"])
async def test_the_first_failure_already_takes_as_long(tmp_path: Path, directory: SmallDirectory, user: str) -> None:
    """Whoever it is, an unknown name that only a quick directory was asked for included."""
    async with room_of(tmp_path, text(directory.port)) as room:
        slowest = await room.live.local.slowest_seconds()
        assert slowest > 0.001
        assert held_back(room.live) == 0.001
        await fails(room, user)
        assert held_back(room.live) >= slowest


async def test_a_locked_account_is_held_back_like_all(tmp_path: Path, directory: SmallDirectory) -> None:
    async with room_of(tmp_path, text(directory.port)) as room:
        for _ in range(3):
            await fails(room, "ada")
        await room.runtime.reload(room.live.snapshot)
        await fails(room, "ada")
        assert held_back(room.live) >= await room.live.local.slowest_seconds()


async def test_local_users_count_when_their_hashes_wait_for_each_other(tmp_path: Path, directory: SmallDirectory) -> None:
    async with room_of(tmp_path, text(directory.port) + "login.hash_threads = 1\n") as room:
        async with room.live.local._slots:
            waiting = asyncio.create_task(fails(room, "ada"))
            await asyncio.sleep(0.2)
        await waiting
        assert held_back(room.live) >= 0.2


async def test_nothing_is_measured_without_a_floor(tmp_path: Path, directory: SmallDirectory) -> None:
    async with room_of(tmp_path, text(directory.port, "0")) as room:
        await fails(room, "nobody")
        assert held_back(room.live) == 0.0


async def test_the_slowest_hash_is_found_whatever_the_order(tmp_path: Path, directory: SmallDirectory) -> None:
    async with room_of(tmp_path, text(directory.port)) as room:
        users, threads = room.live.configuration.users, room.runtime._hash_threads
        quick = await LocalUsers([users[0]], threads, 1).slowest_seconds()
        both = [await LocalUsers(order, threads, 1).slowest_seconds() for order in (users, users[::-1])]
        assert min(both) > quick > 0
        assert await LocalUsers((), threads, 1).slowest_seconds() == 0


async def test_a_directory_that_hangs_keeps_no_local_user_out(tmp_path: Path) -> None:
    """One is asked, one waits, a third is told to come again; local users have a queue of their own."""
    go = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server, room_of(tmp_path, text(server.sockets[0].getsockname()[1])) as room:
        attempts = [Attempt(f"u{number}", "x", None, "test") for number in range(3)]
        strangers = [asyncio.create_task(room.live.login.check(attempt)) for attempt in attempts]
        try:
            [refused], waiting = await asyncio.wait(strangers, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            result = refused.result()
            assert isinstance(result, Unavailable) and "login.queue" in result.reason
            assert (await room.login("ada")).account.username == "ada"
            assert not any(each.done() for each in waiting)
        finally:
            go.set()
            await asyncio.gather(*strangers)
