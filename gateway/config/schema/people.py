"""Local users, login and lockout, tokens (configuration.md 1.4)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from .fields import Duration, Flag, Int, Secret, SecretText, Text, Texts
from .section import Finding, Section

ClearmlRole = Literal["", "guest", "annotator", "user", "superuser", "admin"]
"""A ClearML role that a person may have; ``system`` and ``root`` belong to services alone (clearml.md 5)."""

QUICKSTART_USER: Final = "ada"
QUICKSTART_HASH: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$kRTMEb27vzE1PahsnelJzg$RD07Rez3+TT8ajorUznSupppKk+BBamZS72dh4zl6cg"
)
"""Hash of the published password of ``conf/quickstart.conf`` (DECISIONS 27)."""
PLAIN_FORM: Final = "$gateway-hmac-sha256$"
"""Beginning of the form that a plain password of ``fixed_users.users`` takes in memory; never read from a file."""

_ARGON2ID: Final = re.compile(
    r"\$argon2id\$v=19\$m=\d{1,8},t=\d{1,4},p=\d{1,3}\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{16,256}", re.ASCII
)
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}", re.ASCII)


def plain_form(password: str, salt: bytes) -> Secret:
    """``$gateway-hmac-sha256$<salt>$<digest>``, both base64: how a plain password is held in memory.

    Fast on purpose: the plain text already stands in the file this came from, so a slow hash would protect nothing.
    """
    digest = hmac.digest(salt, password.encode("utf-8", "surrogatepass"), hashlib.sha256)
    salt_text, digest_text = (base64.b64encode(part).decode("ascii") for part in (salt, digest))
    return Secret(f"{PLAIN_FORM}{salt_text}${digest_text}")


def check_password_hash(text: str) -> None:
    """Accept argon2id (PHC string) and bcrypt.

    :raises ValueError: for anything else, never showing it.
    """
    if _ARGON2ID.fullmatch(text) is None and _BCRYPT.fullmatch(text) is None:
        raise ValueError("expected an argon2id ($argon2id$...) or bcrypt ($2b$...) hash, not a password")


class User(Section):
    """A local user. Local users are tried first; a name found here is decided here."""

    username: Annotated[Text, Field(min_length=1, max_length=256)]
    """Login name, compared folded."""
    name: Text = ""
    """Display name."""
    email: Text = ""
    """E-mail address."""
    groups: Texts = ()
    """Names of the user's groups."""
    password_hash: SecretText = Secret()
    """argon2id or bcrypt hash."""
    disabled: Flag = False
    """Refuse the user, and do not look for the name elsewhere."""
    clearml_role: ClearmlRole = ""
    """ClearML role, where it is not to follow from ``group_mappings`` or ``admins``."""

    @field_validator("password_hash", mode="before")
    @classmethod
    def _known_hash(cls, value: object) -> object:
        if isinstance(value, str) and value:
            try:
                check_password_hash(value)
            except ValueError as error:
                raise PydanticCustomError("value", "{message}", {"message": str(error)}) from None
        return value

    def findings(self) -> Iterator[Finding]:
        if not self.password_hash and not self.disabled:
            yield Finding(("password_hash",), "is needed, unless the user is disabled", absence=True)


class Lockout(Section):
    """Wrong passwords, counted per account over all dialects, and per client address."""

    failures: Annotated[Int, Field(ge=1)] = 5
    """Wrong passwords within ``window`` that lock an account."""
    window: Duration = 900.0
    """Time in which failures add up."""
    duration: Duration = 900.0
    """How long an account stays locked."""
    address_failures: Annotated[Int, Field(ge=1)] = 50
    """Failures within ``window`` after which a client address (IPv6: its /64) is throttled."""
    max_entries: Annotated[Int, Field(ge=1000)] = 100_000
    """Most accounts and addresses that are remembered."""


class Login(Section):
    """How logins are carried out."""

    cache: Duration = 30.0
    """How long a successful login is remembered; 0 turns it off."""
    cache_size: Annotated[Int, Field(ge=1)] = 10_000
    """Most remembered logins."""
    concurrency: Annotated[Int, Field(ge=1)] = 64
    """Most logins at one time."""
    queue: Annotated[Int, Field(ge=0)] = 1000
    """Most logins that wait; beyond: 503 with ``Retry-After``."""
    floor: Duration = 0.25
    """Least time that a failed login takes."""
    hash_threads: Annotated[Int, Field(ge=1, le=64)] = 2
    """Threads that check password hashes of local users."""


class Tokens(Section):
    """Tokens and the key that seals what is stored."""

    lifetime: Duration = 30 * 86400.0
    """Lifetime of a ClearML token."""
    max_lifetime: Duration = 365 * 86400.0
    """Longest lifetime that a client may ask for."""
    personal_lifetime: Annotated[Duration, Field(gt=0)] = 90 * 86400.0
    """Lifetime of a personal token, unless a shorter one is asked for."""
    master_key: SecretText = Secret()
    """32 bytes in base64; without it one is made in ``state_dir/master.key``."""
    cache_size: Annotated[Int, Field(ge=1)] = 100_000
    """Most verified tokens that are remembered."""

    def findings(self) -> Iterator[Finding]:
        if not self.lifetime:
            yield Finding(("lifetime",), "must be longer than 0")
        if self.max_lifetime < self.lifetime:
            yield Finding(("max_lifetime",), "is shorter than tokens.lifetime", rests_on=(("lifetime",),))
        if self.master_key and not _is_key(self.master_key.reveal()):
            yield Finding(("master_key",), "expected 32 bytes in base64 (openssl rand -base64 32)")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.strip(), validate=True)) == 32
    except (binascii.Error, ValueError):
        return False
