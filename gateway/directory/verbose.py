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
_SECRET_NAME: Final = re.compile(r"passw|pwd|secret|credential|hash|token|key|pkcs12", re.IGNORECASE)
"""In names of attributes that hold a password, its hash or a key, with any directory: ``userPassword``,
``unicodePwd``, ``sambaNTPassword``, ``ipaNTHash``, ``krbPrincipalKey``, ``supplementalCredentials``."""
_STORED_PASSWORD: Final = re.compile(rb"\{[a-z0-9._/-]+\}.", re.IGNORECASE | re.DOTALL)
"""A value that is a password in a scheme of its own (RFC 2307 5.3), whatever its attribute is called."""


def described(entry: Entry, account: Account) -> str:
    """The entry and its groups, on one line of at most ``LONGEST_LINE`` characters."""
    pieces = [f"{account.username} logged in: dn={_short(entry.dn)}", *_attributes(entry)]
    groups = [_short(group.value or group.name) for group in account.groups[:_MOST_VALUES]]
    more = len(account.groups) - len(groups)
    groups_text = " | ".join(groups) + (f" and {more} more" if more else "")
    pieces.append(f"groups: {groups_text or 'none'}")
    return printable("; ".join(pieces), LONGEST_LINE)


def _attributes(entry: Entry) -> Iterator[str]:
    """The attributes that were asked for. Those that list groups too come as groups, and are long."""
    for name, values in entry.attributes.items():
        if name.lower() in _GROUPS or not values:
            continue
        texts = ["(hidden)" if _hidden(name, value) else _text(value) for value in values[:_MOST_VALUES]]
        yield f"{name}={' | '.join(texts)}"


def _hidden(name: str, value: bytes) -> bool:
    return bool(_SECRET_NAME.search(name) or _STORED_PASSWORD.match(value))


def _text(value: bytes) -> str:
    """A value as text; the octets of what is none, such as an ``objectGUID``, in hexadecimal."""
    try:
        return _short(value.decode("utf-8"))
    except UnicodeDecodeError:
        return f"0x{value[:32].hex()}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
