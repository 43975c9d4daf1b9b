"""Opaque tokens, and recognising any presented string by its form alone (configuration.md 3). Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import string
from enum import StrEnum
from typing import Final

from gateway.tokens import jwt

PERSONAL_PREFIX: Final = "lgp_"
MAX_SIZE: Final = jwt.MAX_SIZE
"""Characters of a presented string; a longer one is nobody's."""
_ACCESSOR_LENGTH: Final = 24
_ACCESSOR_ALPHABET: Final = string.ascii_letters + string.digits
_ACCESS_KEY: Final = re.compile(r"[A-Z0-9]{30}")


class Form(StrEnum):
    """The dialect a presented token belongs to, if any."""

    PERSONAL = "personal"
    VAULT_SERVICE = "vault-service"
    VAULT_BATCH = "vault-batch"
    CLEARML = "clearml"
    CONJUR = "conjur"
    FOREIGN = "foreign"
    """The application's own: skip it."""


_PREFIXES: Final = {
    PERSONAL_PREFIX: Form.PERSONAL,
    "hvs.": Form.VAULT_SERVICE,
    "s.": Form.VAULT_SERVICE,
    "hvb.": Form.VAULT_BATCH,
    "b.": Form.VAULT_BATCH,
}


def mint(prefix: str = "") -> str:
    """A new token: ``prefix`` and 43 characters of base64url, 32 random bytes."""
    return prefix + secrets.token_urlsafe(32)


def mint_accessor() -> str:
    """A new accessor: 24 random letters and digits, 142 bits."""
    return "".join(secrets.choice(_ACCESSOR_ALPHABET) for _ in range(_ACCESSOR_LENGTH))


def accessor_of(text: str) -> str:
    """The accessor that belongs to a text: always the same."""
    number, letters = int.from_bytes(digest(text)), []
    for _ in range(_ACCESSOR_LENGTH):
        number, index = divmod(number, len(_ACCESSOR_ALPHABET))
        letters.append(_ACCESSOR_ALPHABET[index])
    return "".join(letters)


def digest(token: str) -> bytes:
    """SHA-256: what the store and the caches know a token by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def is_access_key(text: str) -> bool:
    """Whether ``text`` has the form of a ClearML access key, which is never sent to a directory (DECISIONS 14)."""
    return _ACCESS_KEY.fullmatch(text) is not None


def form_of(presented: str) -> Form:
    """The form of a string from a client. Proves nothing: the dialect still verifies it or looks it up."""
    if len(presented) > MAX_SIZE or not presented.isascii():
        return Form.FOREIGN
    for prefix, form in _PREFIXES.items():
        if presented.startswith(prefix):
            return form
    claims = jwt.unverified_claims(presented)
    if claims is not None and isinstance(claims.get("session_id"), str):
        return Form.CLEARML
    return Form.CONJUR if _is_conjur(presented) else Form.FOREIGN


def _is_conjur(presented: str) -> bool:
    """Base64 or base64url, padded, of a JSON object with ``protected`` (v5) or ``data`` (v4)."""
    try:
        content = json.loads(base64.b64decode(presented.replace("-", "+").replace("_", "/"), validate=True))
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and ("protected" in content or "data" in content)
