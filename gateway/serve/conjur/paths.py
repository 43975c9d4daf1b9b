"""From a raw path to the route of the Conjur dialect that it names (conjur.md 1, 2). Pure.

Paths are cut at literal slashes and each segment is decoded once, so ``host%2Fapps%2Fbackup`` is one login, and two
spellings of a name are one.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from gateway.identity import fold_name
from gateway.serve.target import percent_decoded

NOBODY: Final = "\0"
"""What a segment means that cannot be decoded: no service, account or login may hold it."""
_HOST: Final = "host/"
_BROKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Family(enum.Enum):
    """Which of Conjur's authenticators, and of which time, a path belongs to."""

    V4 = "/api/authn-ldap/"
    LDAP = "/authn-ldap/"
    AUTHN = "/authn/"
    SERVER = "/"
    """Neither: paths that are not below an authenticator."""

    @property
    def authenticator(self) -> str:
        """Its name, as Conjur writes it."""
        return "authn" if self is Family.AUTHN else "authn-ldap"


class Action(enum.Enum):
    """What a route does."""

    LOGIN = "login"
    AUTHENTICATE = "authenticate"
    ROTATE = "api_key"
    STATUS = "status"
    PUBLIC_KEY = "public_key"
    WHOAMI = "whoami"
    INFO = "info"
    AUTHENTICATORS = "authenticators"

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that are answered."""
        match self:
            case Action.AUTHENTICATE:
                return ("POST",)
            case Action.ROTATE:
                return ("PUT",)
            case _:
                return ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Route:
    """One path. What it does not name is empty; ``NOBODY`` where it names what nobody has."""

    action: Action
    family: Family
    service: str = ""
    account: str = ""
    login: str = ""


_EXACT: Final = {
    "/whoami": Route(Action.WHOAMI, Family.SERVER),
    "/info": Route(Action.INFO, Family.SERVER),
    "/authenticators": Route(Action.AUTHENTICATORS, Family.SERVER),
}

_PATTERNS: Final = {
    Family.V4: ("users/login", "users/:login/authenticate", "users/api_key"),
    Family.LDAP: (
        ":account/login", ":service/:account/login",
        ":account/:login/authenticate", ":service/:account/:login/authenticate",
        ":account/api_key", ":service/:account/api_key",
        ":service/:account/status", ":account/public_key",
    ),
    Family.AUTHN: (":account/login", ":account/:login/authenticate", ":account/api_key"),
}  # fmt: skip
"""The last segment is the action; no two patterns match one path."""

_ROUTES: Final = {family: [pattern.split("/") for pattern in patterns] for family, patterns in _PATTERNS.items()}
_PREFIXES: Final = tuple(family.value for family in _ROUTES)


def is_conjur(path: str) -> bool:
    """Whether a raw path is this dialect's, good or bad."""
    return path in _EXACT or path.startswith(_PREFIXES)


def route_of(path: str) -> Route | None:
    """The route of a raw path; None where there is none. An empty segment, the one behind a last slash too, is none."""
    for family, patterns in _ROUTES.items():
        if path.startswith(family.value):
            segments = path.removeprefix(family.value).split("/")
            return next((_route(family, pattern, segments) for pattern in patterns if _fits(pattern, segments)), None)
    return _EXACT.get(path)


def _fits(pattern: list[str], segments: list[str]) -> bool:
    return len(pattern) == len(segments) and all(
        segment if part.startswith(":") else part == segment for part, segment in zip(pattern, segments, strict=True)
    )


def _route(family: Family, pattern: list[str], segments: list[str]) -> Route:
    named = {part[1:]: decoded(segment) for part, segment in zip(pattern, segments, strict=True) if part[0] == ":"}
    return Route(Action(pattern[-1]), family, **named)


def names_only(query: str, account: str, login: str) -> bool:
    """Whether every ``role`` of a query, if there is any, is that of a login: ``[ACCOUNT:]user:NAME``, or a host's."""
    roles = parse_qs(query, keep_blank_values=True, errors="replace").get("role", ())
    return all(fold_name(role.removeprefix(f"{account}:")) == fold_name(role_of(login)) for role in roles)


def role_of(login: str) -> str:
    """What Conjur calls whoever has a login: ``user:NAME`` or ``host:NAME``."""
    return f"host:{login.removeprefix(_HOST)}" if login.startswith(_HOST) else f"user:{login}"


def decoded(segment: str) -> str:
    """A segment percent-decoded once; ``NOBODY`` where that is not possible or gives no UTF-8."""
    try:
        return NOBODY if _BROKEN.search(segment) else percent_decoded(segment)
    except UnicodeError:
        return NOBODY
