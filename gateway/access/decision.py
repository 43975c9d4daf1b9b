"""What is decided of a request, and how each endpoint says it (forward-auth.md 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Final


class Policy(IntEnum):
    """What a rule asks for, in order of strictness."""

    BYPASS = 0
    AUTHENTICATED = 1
    TWO_FACTOR = 2
    """Never satisfied until a second factor exists (DECISIONS 31)."""
    DENY = 3


class Outcome(Enum):
    """What is decided of a request."""

    PASS = "pass"  # noqa: S105 - the name of an outcome
    CHALLENGE = "challenge"
    """A login may help."""
    BAD_CREDENTIALS = "bad credentials"
    """An Authorization header was presented and is not good."""
    BAD_PROXY_CREDENTIALS = "bad proxy credentials"
    """The same of Proxy-Authorization."""
    FORBID = "forbid"
    """No login helps."""
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"
    """What the decision rests on cannot be asked."""
    THROTTLED = "throttled"


class Endpoint(StrEnum):
    """Which kind of proxy asks; they understand different status codes."""

    AUTH_REQUEST = "auth-request"
    """nginx: 2xx passes, 401 and 403 are relayed, all else becomes 500."""
    FORWARD_AUTH = "forward-auth"
    """Traefik, Caddy, HAProxy: 2xx passes, all else is relayed."""
    EXT_AUTHZ = "ext-authz"
    """Envoy: 200 passes, no other status does."""


class Caller(Enum):
    """Who will see the answer."""

    BROWSER = "browser"
    """A person who can be sent to the portal."""
    SCRIPT = "script"
    """A script in a page; a Basic challenge would open the browser's own password box over the page."""
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers of an answer. Headers that carry an identity, and the body, are for others to add."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


RETRY_SECONDS: Final = 5
_NO_STORE: Final = ("Cache-Control", "no-store")
_VARY: Final = ("Vary", "Accept, Cookie")
_BASIC: Final = 'Basic realm="ldap-gateway", charset="UTF-8"'
_BEARER: Final = 'Bearer realm="ldap-gateway"'
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


def caller_of(method: str, headers: Mapping[str, str]) -> Caller:
    """Who is behind a request, by its original method and the headers that the proxy passed on.

    ``headers`` ignore case. ``Accept: */*`` alone is no browser, and the User-Agent never counts.
    """
    mode, destination = headers.get("Sec-Fetch-Mode", ""), headers.get("Sec-Fetch-Dest", "")
    if headers.get("X-Requested-With", "").lower() == "xmlhttprequest":
        return Caller.SCRIPT
    if mode not in ("", "navigate") or destination not in ("", "document"):
        return Caller.SCRIPT
    if "text/html" not in headers.get("Accept", "").lower():
        return Caller.PROGRAM
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    form_post = method == "POST" and (kind in _FORM_TYPES or (not kind and mode == "navigate"))
    return Caller.BROWSER if method in ("GET", "HEAD") or form_post else Caller.PROGRAM


def answer(
    outcome: Outcome,
    endpoint: Endpoint,
    *,
    method: str = "GET",
    caller: Caller = Caller.PROGRAM,
    location: str = "",
    basic: bool = True,
    retry_seconds: int = RETRY_SECONDS,
) -> Answer:
    """Say a decision in the words of an endpoint.

    ``method`` is the target's; ``location`` where a browser logs in, or finds out why somebody who has is refused;
    ``basic``: whether a password may be offered.
    """
    nginx = endpoint is Endpoint.AUTH_REQUEST
    retry = ("Retry-After", str(retry_seconds))
    match outcome:
        case Outcome.PASS:
            return Answer(200, (_NO_STORE,))
        case Outcome.CHALLENGE if caller is Caller.BROWSER and location:
            status = 401 if nginx else 302 if method in ("GET", "HEAD") else 303
            return Answer(status, (_NO_STORE, _VARY, ("Location", location)))
        case Outcome.CHALLENGE | Outcome.BAD_CREDENTIALS:
            vary = (_VARY,) if outcome is Outcome.CHALLENGE else ()
            return Answer(401, (_NO_STORE, *vary, _challenge("WWW-Authenticate", caller, basic=basic)))
        case Outcome.BAD_PROXY_CREDENTIALS:
            name = "WWW-Authenticate" if nginx else "Proxy-Authenticate"
            return Answer(401 if nginx else 407, (_NO_STORE, _challenge(name, caller, basic=True)))
        case Outcome.MALFORMED:
            return Answer(403 if nginx else 400, (_NO_STORE,))
        case Outcome.UNAVAILABLE:
            return Answer(503, (_NO_STORE, retry))
        case Outcome.THROTTLED:
            return Answer(401 if nginx else 429, (_NO_STORE, retry))
        case Outcome.FORBID if caller is Caller.BROWSER and location:
            # nginx drops the body of an answer, but lets its configuration read the headers.
            return Answer(403, (_NO_STORE, _VARY, ("Link", f'<{location}>; rel="help"')))
        case _:
            return Answer(403, (_NO_STORE,))


def _challenge(name: str, caller: Caller, *, basic: bool) -> tuple[str, str]:
    return name, _BASIC if basic and caller is Caller.PROGRAM else _BEARER
