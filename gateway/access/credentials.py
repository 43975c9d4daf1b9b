"""Which of the presented credentials decides (forward-auth.md 7): the first that is there, good or bad.

A bad one never falls through to a weaker one, so nobody is let in by a forgotten cookie who showed a wrong password.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from .session_cookies import session_values

LONGEST_BASIC: Final = 4096
"""Characters of Basic credentials, in base64."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
"""``token68`` of RFC 9110 11.2."""


class Kind(Enum):
    """What decides."""

    NOTHING = "nothing"
    """Nobody showed anything of ours."""
    TOKEN = "token"  # noqa: S105 - the name of a kind
    PASSWORD = "password"  # noqa: S105 - the name of a kind
    SESSION = "session"
    INVALID = "invalid"
    """There is something, and it can be no credential of ours."""


@dataclass(frozen=True, slots=True)
class Presented:
    """The credential that decides. It never shows itself."""

    kind: Kind
    proxy: bool = False
    """Whether it came in ``Proxy-Authorization``."""
    token: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    sessions: tuple[str, ...] = field(default=(), repr=False)
    """Candidates, to be tried in order."""


NOTHING: Final = Presented(Kind.NOTHING)


def presented(
    authorization: Sequence[str],
    proxy_authorization: Sequence[str],
    cookies: Sequence[str],
    *,
    cookie_name: str,
    basic: bool,
    is_ours: Callable[[str], bool],
) -> Presented:
    """The credential that decides, from all lines of the three headers.

    ``basic``: whether the rule takes a password in ``Authorization``. ``is_ours`` knows a token of ours by its form
    (configuration.md 3) and that its dialect is accepted; another Bearer belongs to the application.
    """
    scheme, value = _parted(authorization)
    if scheme == "bearer" and is_ours(value):
        return Presented(Kind.TOKEN, token=value)
    if scheme == "twice":
        return Presented(Kind.INVALID)
    proxy_scheme, proxy_value = _parted(proxy_authorization)
    if proxy_scheme == "basic":
        return _basic(proxy_value, proxy=True)
    if proxy_scheme == "bearer" and is_ours(proxy_value):
        return Presented(Kind.TOKEN, proxy=True, token=proxy_value)
    if proxy_scheme in ("bearer", "twice"):
        return Presented(Kind.INVALID, proxy=True)
    if scheme == "basic" and basic:
        return _basic(value, proxy=False)
    sessions = session_values(cookies, cookie_name) if cookies else ()
    return Presented(Kind.SESSION, sessions=sessions) if sessions else NOTHING


def _parted(lines: Sequence[str]) -> tuple[str, str]:
    """Scheme in small letters, and what follows; ``twice`` where the lines contradict each other."""
    if not lines:
        return "", ""
    if len(lines) > 1 and any(line != lines[0] for line in lines):
        return "twice", ""
    scheme, _, value = lines[0].strip().partition(" ")
    return scheme.lower(), value.strip()


def _basic(value: str, *, proxy: bool) -> Presented:
    """RFC 7617, in UTF-8. Neither part may be empty: a directory takes an empty password for an anonymous bind."""
    invalid = Presented(Kind.INVALID, proxy=proxy)
    if len(value) > LONGEST_BASIC or _BEARER.fullmatch(value) is None:
        return invalid
    try:
        text = b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return invalid
    username, _, password = text.partition(":")
    if not username.strip() or not password or _CONTROL.search(text):
        return invalid
    return Presented(Kind.PASSWORD, proxy=proxy, username=username, password=password)
