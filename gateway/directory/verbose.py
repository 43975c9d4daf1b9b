"""What ``verbose_logging`` tells of a person who logs in: the answered attributes and the groups, never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.directory.messages import Entry
    from gateway.identity import Account

LONGEST_LINE: Final = 4000
"""Characters of one line."""
_LONGEST_VALUE: Final = 256
_MOST_VALUES: Final = 50
_GROUPS: Final = frozenset({"memberof", "ismemberof", "tokengroups", "nsrole"})
_SECRET_NAME: Final = re.compile(
    r"pass|pw|secret|credential|hash|salt|token|key|private|pkcs12|otp|seed|recovery|verifier|^pin|pin$|pincode",
    re.IGNORECASE,
)
"""In names of attributes that hold a password, its hash, a key or what makes one-time passwords, with any directory:
``userPassword``, ``unicodePwd``, ``sambaNTPassword``, ``ipaNTHash``, ``krbPrincipalKey``, ``supplementalCredentials``,
``radiusUserPW``, ``totpSeed``, ``userPin``. Rather some harmless ones too (``passportNumber``)."""
_STORED_SECRET: Final = re.compile(
    r"\s*(?:\{[\w./+-]+\}.|[\w-]*\$[\w-]+\$|-----BEGIN |otpauth:)", re.IGNORECASE | re.DOTALL
)
"""A value that is a secret whatever its attribute is called: a password in a scheme of its own (RFC 2307 5.3) or in
that of crypt(3) (``$6$...``, ``$argon2id$...``, ``pbkdf2_sha256$1000$...``), a PEM file, the address of a one-time
password."""
_BINARY: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HIDDEN: Final = "(hidden)"


def described(entry: Entry, account: Account) -> str:
    """The entry and its groups, on one line of at most ``LONGEST_LINE`` characters."""
    pieces = [f"{account.username} logged in: dn={_short(entry.dn)}", *_attributes(entry)]
    groups = [_text(group.value or group.name) for group in account.groups[:_MOST_VALUES]]
    more = len(account.groups) - len(groups)
    groups_text = " | ".join(groups) + (f" and {more} more" if more else "")
    pieces.append(f"groups: {groups_text or 'none'}")
    line = printable("; ".join(pieces), LONGEST_LINE)
    # Escapes have made it longer.
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def _attributes(entry: Entry) -> Iterator[str]:
    """The attributes that were asked for. Those that list groups too come as groups, and are long."""
    for name, values in entry.attributes.items():
        if name.lower() in _GROUPS or not values:
            continue
        secret = bool(_SECRET_NAME.search(name))
        texts = [_HIDDEN if secret else _octets(value) for value in values[:_MOST_VALUES]]
        yield f"{name}={' | '.join(texts)}"


def _octets(value: bytes) -> str:
    """A value; of what is no text, such as an ``objectGUID``, only how long it is: it may be a key."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    return f"({len(value)} octets)" if _BINARY.search(text) else _text(text)


def _text(text: str) -> str:
    return _HIDDEN if _STORED_SECRET.match(text) else _short(text)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
