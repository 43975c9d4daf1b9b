"""What may be shown of a directory's answers: secrets hidden, octets as base64, long ones cut. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

from gateway.printable import MAX_TEXT

HIDDEN: Final = "(hidden)"
MAX_VALUES: Final = 20
"""Values shown of one attribute."""

_SECRET: Final = frozenset({
    "2.5.4.35",  # userPassword
    "currentvalue", "initialauthincoming", "initialauthoutgoing", "ipanttrustauthincoming", "ipanttrustauthoutgoing",
    "ipatokenotpkey", "krbextradata", "krbmkey", "krbprincipalkey", "krbpwdhistory", "lmpwdhistory",
    "msfve-keypackage", "mslaps-encrypteddsrmpasswordhistory", "mslaps-encryptedpasswordhistory",
    "nsds5replicacredentials", "nsmultiplexorcredentials", "nsslapd-rootpw", "ntpwdhistory", "olcrootpw",
    "passwordhistory", "priorvalue", "pwdhistory", "sambapasswordhistory", "supplementalcredentials",
    "trustauthincoming", "trustauthoutgoing", "userpkcs12",
})  # fmt: skip
"""Attributes that hold passwords, keys or what they can be guessed from, in lower case, but for those that end so:"""
_SECRET_ENDINGS: Final = ("password", "passwd", "pwd", "passphrase", "secret", "privatekey", "hash")


def is_secret(attribute: str) -> bool:
    """Say whether the values of an attribute, named in any case and with options, are never shown."""
    name = attribute.partition(";")[0].lower()
    return name in _SECRET or name.endswith(_SECRET_ENDINGS)


def shown_values(attribute: str, values: Iterable[bytes]) -> list[str]:
    """The values as text, at most ``MAX_VALUES``; what is no text as ``base64:...``, of a secret that it is there."""
    if is_secret(attribute):
        return [HIDDEN]
    found = list(values)
    shown = [_shown(value) for value in found[:MAX_VALUES]]
    return shown + ([f"... and {len(found) - MAX_VALUES} more"] if len(found) > MAX_VALUES else [])


def _shown(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _cut(f"base64:{base64.b64encode(value).decode()}")
    printable = all(letter.isprintable() or letter in "\t\r\n" for letter in text)
    return _cut(text if printable else f"base64:{base64.b64encode(value).decode()}")


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
