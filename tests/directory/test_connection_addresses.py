"""A host with several addresses (RFC 8305; vault.md 4.1: tried within the timeout), on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from gateway.directory.connection import Connection, Endpoint, Unreachable
from gateway.directory.hosts import HEAD_START, connect_to
from gateway.directory.tls import tls_context
from tests.directories.slapd import make_certificates

SECONDS = 10.0
Tls = Literal["none", "ldaps"]


class Listener:
    """Accepts on one address, and counts; with TLS where it has a context."""

    def __init__(self) -> None:
        self.accepted = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                pass
        self.ended.set()
        writer.transport.abort()


@asynccontextmanager
async def listening(address: str, port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.serve, address, port, ssl=context)
    try:
        yield listener
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """A full queue of connections swallows the handshake, as a firewall that drops packets does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


def common_port() -> int:
    """A port that is free on every address of these tests."""
    while True:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            stack.enter_context(socket.socket()).bind(("127.0.0.2", port))
            stack.enter_context(socket.socket(socket.AF_INET6)).bind(("::1", port))
            return port


def peer(connection: Connection) -> str:
    return str(connection._transport.get_extra_info("peername")[0])


@asynccontextmanager
async def connected(
    addresses: list[str], port: int, tls: Tls = "none", context: ssl.SSLContext | None = None, timeout: float = SECONDS
) -> AsyncIterator[Connection]:
    connection = await connect_to(addresses, Endpoint("localhost", port, tls), context, timeout=timeout)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1", "127.0.0.2"], ["::1", "127.0.0.2"]], ids=["one family", "two families"]
)
async def test_the_first_address_alone_where_it_answers(addresses: list[str]) -> None:
    port = common_port()
    async with listening(addresses[0], port) as first, listening(addresses[1], port) as second:
        for _ in range(5):
            async with connected(addresses, port) as connection:
                assert peer(connection) == addresses[0]
        assert (first.accepted, second.accepted) == (5, 0)


@pytest.mark.parametrize("first", ["127.0.0.2", "::1"])
async def test_a_refusal_costs_no_time(first: str) -> None:
    """RFC 8305 section 5: the next attempt starts at once when one fails."""
    port = common_port()
    async with listening("127.0.0.1", port):
        begun = time.monotonic()
        for _ in range(20):
            async with connected([first, "127.0.0.1"], port) as connection:
                assert peer(connection) == "127.0.0.1"
        assert time.monotonic() - begun < 20 * HEAD_START


@pytest.mark.parametrize("first", ["127.0.0.2", "::1"])
async def test_a_swallowed_packet_costs_a_head_start(first: str) -> None:
    port = common_port()
    with swallowing(first, port):
        async with listening("127.0.0.1", port):
            begun = time.monotonic()
            async with connected([first, "127.0.0.1"], port) as connection:
                assert peer(connection) == "127.0.0.1"
            assert HEAD_START <= time.monotonic() - begun + 0.01 < SECONDS / 2


async def test_the_time_is_for_all_addresses_together() -> None:
    port, addresses = common_port(), ["127.0.0.2", "127.0.0.1", "::1"]
    with swallowing("127.0.0.2", port), swallowing("127.0.0.1", port):
        begun = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            await connect_to(addresses, Endpoint("localhost", port), None, timeout=2.5 * HEAD_START)
        assert time.monotonic() - begun < SECONDS / 2
    assert str(caught.value) == (
        f"localhost:{port}: 127.0.0.2: no connection in time; 127.0.0.1: no connection in time; ::1: Connection refused"
    )


async def test_a_reason_that_all_share_is_told_once() -> None:
    endpoint = Endpoint("localhost", common_port())
    with pytest.raises(Unreachable) as caught:
        await connect_to(["127.0.0.1", "127.0.0.2"], endpoint, None, timeout=SECONDS)
    assert str(caught.value) == f"{endpoint}: Connection refused"


# TLS


def server_context(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return context


async def test_a_hung_handshake_does_not_hide_the_next_address(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    port, context = common_port(), tls_context(ca_files=[tmp_path / "ca.pem"])[0]
    async with listening("127.0.0.2", port) as silent, listening("127.0.0.1", port, server_context(tmp_path)):
        async with connected(["127.0.0.2", "127.0.0.1"], port, "ldaps", context) as connection:
            assert peer(connection) == "127.0.0.1"
        assert silent.accepted == 1
        async with asyncio.timeout(SECONDS):
            await silent.ended.wait()  # the loser is closed


async def test_a_wrong_certificate_does_not_hide_the_next_address(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        make_certificates(tmp_path / name)
    port, context = common_port(), tls_context(ca_files=[tmp_path / "right" / "ca.pem"])[0]
    wrong, right = server_context(tmp_path / "wrong"), server_context(tmp_path / "right")
    async with listening("127.0.0.2", port, wrong), listening("127.0.0.1", port, right):
        async with connected(["127.0.0.2", "127.0.0.1"], port, "ldaps", context) as connection:
            assert peer(connection) == "127.0.0.1"
        with pytest.raises(Unreachable, match=r"certificate refused: .* \(set root_ca_cert\)"):
            await connect_to(["127.0.0.2"], Endpoint("localhost", port, "ldaps"), context, timeout=SECONDS)


async def test_the_certificate_must_name_the_host_and_not_the_address(tmp_path: Path) -> None:
    """vault.md 4.1: verified against the URL's host, whatever that resolves to."""
    make_certificates(tmp_path, ["127.0.0.1", "other.example"])
    port, context = common_port(), tls_context(ca_files=[tmp_path / "ca.pem"])[0]
    async with listening("127.0.0.1", port, server_context(tmp_path)):
        with pytest.raises(Unreachable, match="Hostname mismatch"):
            await connect_to(["127.0.0.1"], Endpoint("localhost", port, "ldaps"), context, timeout=SECONDS)
        for host in ("127.0.0.1", "other.example"):
            endpoint = Endpoint(host, port, "ldaps")
            await (await connect_to(["127.0.0.1"], endpoint, context, timeout=SECONDS)).close()


async def test_cancelled_in_the_middle_nothing_stays_open() -> None:
    port = common_port()
    with swallowing("127.0.0.2", port):
        async with listening("127.0.0.1", port) as silent:
            endpoint = Endpoint("localhost", port, "ldaps")
            addresses = ["127.0.0.2", "127.0.0.1"]
            racing = asyncio.create_task(connect_to(addresses, endpoint, tls_context()[0], timeout=SECONDS))
            async with asyncio.timeout(SECONDS):
                while not silent.accepted:
                    await asyncio.sleep(0.01)
            racing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await racing
            async with asyncio.timeout(SECONDS):
                await silent.ended.wait()
