"""Reading a request's body without trusting its length, and JSON without trusting its shape."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

BODY_SECONDS: Final = 30.0
"""How long a client may take to send its body."""


class BodyTooLarge(Exception):
    """More bytes than the limit, announced or sent: 413, and the connection ends."""


class BodyTooSlow(Exception):
    """The client stopped sending: 408, and the connection ends."""


class UnusableJson(ValueError):
    """Not JSON, JSON beyond the limits on depth and items, or no object where one is needed. The text says which, never
    what was sent."""


@dataclass(slots=True)
class _Received:
    """As much of a body as has come."""

    octets: bytearray = field(default_factory=bytearray, repr=False)
    begun: bool = False
    error: Exception | None = None
    """What went wrong with it."""


_RECEIVED: Final = web.RequestKey("gateway.body", _Received)
"""What came of a body before it was asked for."""


def check_announced(request: web.BaseRequest, limit: int) -> None:
    """Refuse a body that says itself that it is longer than ``limit`` bytes. Raises BodyTooLarge."""
    if (request.content_length or 0) > limit:
        raise BodyTooLarge


async def receive_body(request: web.BaseRequest, limit: int) -> None:
    """Wait for a body of at most ``limit`` bytes before anything is decided; ``read_body`` gives it.

    A client sends as slowly as it likes: what was decided before would rest on a time and a configuration that are
    gone. Of a longer one ``limit`` bytes are waited for at most, since nobody knows who sends it. Never raises for what
    a client does; ``read_body`` raises it.
    """
    if request.body_exists and (request.content_length or 0) <= limit:
        request[_RECEIVED] = received = _Received()
        try:
            await _receive(request, received, limit)
        except BodyTooLarge:
            pass
        except Exception as error:
            received.error = error


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """Read the body of at most ``limit`` bytes. Raises BodyTooLarge, BodyTooSlow."""
    check_announced(request, limit)
    if not request.body_exists:
        return b""
    received = request.get(_RECEIVED) or _Received()
    if received.error is not None:
        raise received.error
    await _receive(request, received, limit)
    return bytes(received.octets)


async def _receive(request: web.BaseRequest, received: _Received, limit: int) -> None:
    if not received.begun and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    received.begun = True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(received.octets) <= limit and (chunk := await request.content.readany()):
                received.octets += chunk
    except TimeoutError:
        raise BodyTooSlow from None
    if len(received.octets) > limit:
        raise BodyTooLarge


def parse_json(body: bytes, *, max_depth: int, max_items: int) -> Any:
    """Parse JSON text within limits. Raises UnusableJson."""
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise UnusableJson("malformed JSON") from None
    level: list[Any] = [value]
    items = depth = 0
    while level:
        depth += 1
        children = [child for node in level for child in _children(node)]
        items += len(children)
        if depth > max_depth or items > max_items:
            raise UnusableJson(f"JSON beyond {max_depth} levels or {max_items} items")
        level = [child for child in children if isinstance(child, dict | list)]
    return value


def parse_object(body: bytes, *, max_depth: int, max_items: int) -> dict[str, Any]:
    """Parse a JSON object within limits; an empty body is an empty one. Raises UnusableJson."""
    value = parse_json(body, max_depth=max_depth, max_items=max_items) if body.strip() else {}
    if not isinstance(value, dict):
        raise UnusableJson("expected a JSON object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnusableJson("a number beyond all bounds")
    return number


def _no_constant(name: str) -> None:
    raise UnusableJson(f"{name} is no JSON")


def _children(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()
