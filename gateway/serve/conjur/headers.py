"""What headers say to the Conjur dialect: credentials, a token, the form of an answer (conjur.md 2.1-2.3). Pure."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

from gateway.access.credentials import Kind, presented

_TOKEN: Final = re.compile(r'token\s*=\s*(?:"([^"]*)"|([^\s",;]+))\s*[,;]?', re.IGNORECASE)
_NEVER: Final = re.compile(r"q\s*=\s*0(?:\.0*)?", re.IGNORECASE)


class NoToken(Exception):
    """The request shows no token."""


class UnreadableToken(Exception):
    """There is a token that cannot be read."""


def basic_credentials(lines: Sequence[str]) -> tuple[str, str] | None:
    """Login and password of the lines of ``Authorization``: Basic, in UTF-8, else in Latin-1; None where there are no
    good ones.

    Neither is empty, and neither holds control characters.
    """
    in_utf8 = [_in_utf8(line) for line in lines]
    shown = presented(in_utf8, (), (), cookie_name="", basic=True, is_ours=lambda _: False)
    return (shown.username, shown.password) if shown.kind is Kind.PASSWORD else None


def _in_utf8(line: str) -> str:
    """``conjur-api`` 0.2.0, ``conjur`` 7.1 and ``conjur-client`` 0.1.1 send Latin-1, curl and Ruby UTF-8."""
    scheme, _, value = line.strip().partition(" ")
    try:
        octets = b64decode(value.strip(), validate=True)
    except ValueError:
        return line
    try:
        octets.decode()
    except UnicodeDecodeError:
        return f"{scheme} {b64encode(octets.decode('latin-1').encode()).decode()}"
    return line


def token_of(lines: Sequence[str]) -> str:
    """What stands between the quotes of ``Authorization: Token token="..."``, the quotes being optional.

    Raises NoToken where there is no header of this scheme, and UnreadableToken.
    """
    if not lines:
        raise NoToken
    scheme, _, value = lines[0].strip().partition(" ")
    if scheme.lower() != "token":
        raise NoToken
    found = _TOKEN.fullmatch(value.strip())
    if found is None or any(line != lines[0] for line in lines):
        raise UnreadableToken
    return (found[1] or found[2] or "").strip()


def accepts_base64(lines: Sequence[str]) -> bool:
    """Whether the lines of ``Accept-Encoding`` name ``base64``, in any case, and not with a quality of 0."""
    for item in ",".join(lines).split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        if coding.lower() == "base64":
            return not any(map(_NEVER.fullmatch, parameters))
    return False
