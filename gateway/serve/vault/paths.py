"""From the raw target of a request to what is asked of which path, and paths as they may be shown (vault.md 1)."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.printable import printable
from gateway.serve.target import percent_decoded
from gateway.serve.vault.call import Operation
from gateway.serve.vault.fields import parse_flag
from gateway.serve.vault.reply import VaultError

_PREFIX: Final = "/v1/"
_METHODS: Final = {
    "GET": Operation.READ,
    "HEAD": Operation.READ,
    "POST": Operation.UPDATE,
    "PUT": Operation.UPDATE,
    "DELETE": Operation.DELETE,
    "PATCH": Operation.PATCH,
}
_MOST_PARAMETERS: Final = 200
_LONGEST_SHOWN: Final = 512
_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(hv[sb]\.|lgp_|eyJ)[A-Za-z0-9_.=-]{16,}|[sb]\.[A-Za-z0-9]{24}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
"""Tokens of every form that has one; those of a Vault of 2017 are UUIDs."""


def operation_of(method: str, query: dict[str, Any]) -> Operation:
    """What a request does; the keys of the query that say so are taken out of it. Raises VaultError."""
    operation = _METHODS.get(method)
    if operation is None:
        raise VaultError(405, "unsupported operation")
    if operation is not Operation.READ:
        return operation
    # Of several the first counts: that is where a rewritten verb has put its own.
    asked = {name: query.pop(name, "") for name in ("help", "list", "scan")}
    words = {name: value[0] if isinstance(value, list) else value for name, value in asked.items()}
    if words["help"]:
        return Operation.HELP
    if _flag(words["scan"]):
        return Operation.SCAN
    return Operation.LIST if _flag(words["list"]) else Operation.READ


def decoded_path(raw: str, operation: Operation) -> str:
    """The path behind ``/v1/``, percent-decoded once; that of a listing ends in a slash. Raises VaultError 400."""
    try:
        path = percent_decoded(raw.removeprefix(_PREFIX))
    except UnicodeError:
        raise VaultError(400, "path is not valid UTF-8") from None
    if not path.isprintable():
        raise VaultError(400, "path contains non-printable characters")
    listing = operation in (Operation.LIST, Operation.SCAN)
    if path.endswith("/") and operation in (Operation.UPDATE, Operation.PATCH):
        raise VaultError(400, "cannot write to a path ending in '/'")
    path = path.removesuffix("/")
    if not path:
        raise VaultError(404)
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise VaultError(400, "path has empty segments, or '.' or '..'")
    return f"{path}/" if listing else path


def shown_path(path: str) -> str:
    """A path for logs and refusals: of a token that somebody put into it only the form, such as ``hvs....``."""
    return printable(_TOKEN.sub(lambda found: f"{found[1] or ''}...", path), _LONGEST_SHOWN)


def query_of(text: str) -> dict[str, Any]:
    """A query, values of repeated keys as lists. Raises VaultError 400."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict")
    except ValueError:
        raise VaultError(400, "failed to parse the query") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        known = found.get(name)
        found[name] = value if known is None else [*known, value] if isinstance(known, list) else [known, value]
    return found


def _flag(text: str) -> bool:
    try:
        return bool(text) and parse_flag(text)
    except ValueError:
        raise VaultError(400, 'failed to parse "list" or "scan": expected a bool') from None
