"""One request of the Conjur dialect, as its endpoints are given it, and how it is answered (conjur.md 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.serve.answer import NAME, json_response

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.conjur_dialect import ConjurDialect
    from gateway.runtime import Live
    from gateway.serve.conjur.paths import Route
    from gateway.serve.seldom import Seldom

DIALECT: Final = "conjur"
"""The dialect's name in audit events."""
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose route is known and whose body has arrived."""

    live: Live
    conjur: ConjurDialect
    request: web.BaseRequest
    route: Route
    path: str
    """Undecoded, as audit events show it."""
    query: str
    """Undecoded."""
    client: Address | None
    """None on a unix socket."""
    now: int
    """Seconds since 1970."""
    passwords: Seldom
    """Which uses of a password in place of a key the log has."""


class Refusal(Exception):
    """An answer that says no. Never holds a credential."""

    def __init__(
        self,
        status: int,
        *,
        text: str = "",
        code: str = "",
        message: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A plain ``text``, a JSON error of ``code`` and ``message``, or nothing."""
        super().__init__(f"refused with {status}")
        self.status = status
        self.text = text
        self.code = code
        self.message = message
        self.headers = headers or {}


def later(status: int, seconds: int) -> Refusal:
    """A refusal that ends by itself."""
    return Refusal(status, headers={"Retry-After": str(seconds)})


def refused(refusal: Refusal) -> web.Response:
    """The answer of a refusal."""
    if refusal.code:
        error = {"error": {"code": refusal.code, "message": refusal.message}}
        response = json_response(refusal.status, error, refusal.headers)
    else:
        response = plain(refusal.status, refusal.text, refusal.headers)
    if refusal.status in (408, 413):
        response.force_close()
    return response


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A text that nobody on the way may keep; without a type where it is empty."""
    fixed = {"Server": NAME, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if text:
        fixed["Content-Type"] = TEXT
    return web.Response(status=status, body=text.encode() if text else None, headers={**fixed, **(headers or {})})
