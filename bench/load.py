"""A small HTTP load generator for loopback: a fixed number of requests over keep-alive connections, then it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def _connection(port: int, numbers: list[int], request_of: Callable[[int], bytes], expected: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while numbers:
            writer.write(request_of(numbers.pop()))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(expected):
                raise RuntimeError(f"unexpected answer: {head[:100]!r}")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


async def load(
    port: int, requests: int, connections: int, request_of: Callable[[int], bytes], expected: bytes = b"HTTP/1.1 200"
) -> float:
    """Send the requests; returns how many were answered per second."""
    numbers = list(range(requests))
    started = time.perf_counter()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_connection(port, numbers, request_of, expected))
    return requests / (time.perf_counter() - started)
