"""The body of a request: JSON, whatever its content type says, but for forms that look like forms (vault.md 1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from gateway.serve.body import BodyTooLarge, BodyTooSlow, UnusableJson, parse_json, read_body
from gateway.serve.vault.reply import VaultError

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.config.schema.process import Http

_FORM: Final = "application/x-www-form-urlencoded"
_MERGE: Final = "application/merge-patch+json"
_LONG: Final = 16 * 1024
"""Bytes from which on a body is parsed in a thread."""
_MOST_FIELDS: Final = 1000


async def fields_of(request: web.BaseRequest, http: Http, limit: int) -> dict[str, Any]:
    """What the body says, of at most ``limit`` bytes. Raises VaultError 400, 408, 413 and 415."""
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if request.method == "PATCH" and content_type != _MERGE:
        raise VaultError(415, f"PATCH requires Content-Type: {_MERGE}")
    try:
        body = await read_body(request, limit)
    except BodyTooLarge:
        raise VaultError(413, "request body too large") from None
    except BodyTooSlow:
        raise VaultError(408, "the request body did not come in time") from None
    parse = _form if content_type == _FORM and body.lstrip()[:1] not in (b"{", b"[") else _json
    if len(body) < _LONG:
        return parse(body, http)
    return await asyncio.to_thread(parse, body, http)


def _json(body: bytes, http: Http) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        body.decode()  # the parser of the standard library lets halves of characters through, here and as escapes
        value = parse_json(body, max_depth=http.max_json_depth, max_items=http.max_json_items)
        _check_characters(body, value)
    except UnusableJson as error:
        raise VaultError(400, f"failed to decode JSON input: {error}") from None
    except UnicodeError:
        raise VaultError(400, "failed to decode JSON input: text that is not valid UTF-8") from None
    if value is not None and not isinstance(value, dict):
        raise VaultError(400, "failed to decode JSON input: expected an object")
    return value or {}


def _check_characters(body: bytes, value: Any) -> None:
    """Raises UnicodeError."""
    if b"\\u" not in body:
        return
    texts = [value]
    while texts:
        node = texts.pop()
        if isinstance(node, str):
            node.encode()
        elif isinstance(node, dict):
            texts += (*node, *node.values())
        elif isinstance(node, list):
            texts += node


def _form(body: bytes, http: Http) -> dict[str, Any]:
    """Repeated keys join with a comma."""
    try:
        most = min(_MOST_FIELDS, http.max_json_items)
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most, errors="strict")
    except ValueError:
        raise VaultError(400, "failed to decode form input") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found
