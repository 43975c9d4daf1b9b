"""Who is calling: Authorization header or cookie, roles, impersonation (clearml.md 2, 4, 5)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from gateway.grants.mapping import ADMIN_ROLES
from gateway.identity import Identity
from gateway.login import Attempt, Denied, Failed, Throttled, Unavailable
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import DIALECT
from gateway.tokens.issuer import Revoked, acted_for
from gateway.tokens.jwt import InvalidToken

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.runtime import Live

_MAX_WORKER: Final = 128
"""Characters of a machine's name that are kept."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request presents."""

    scheme: Literal["basic", "bearer"]
    value: str
    from_cookie: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller."""

    own: Identity
    """Who presented the credentials."""
    identity: Identity
    """Whom the call is for, in the role that counts."""
    subject: Identity
    """Whom a new token would be for, in the own role."""
    token: str = ""
    """The presented token; empty after a login by password or key."""
    from_cookie: bool = False

    @property
    def impersonates(self) -> bool:
        """Whether the caller acts for somebody else."""
        return self.subject.id != self.own.id


def presented(authorization: str, cookie: str) -> Credentials | None:
    """Read the header, or else the cookie; None where there is neither.

    Schemes are taken in any case. Raises ApiError 401/10 for other ones.
    """
    if not authorization:
        return Credentials("bearer", cookie, from_cookie=True) if cookie else None
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        return Credentials("basic", value.strip())
    if scheme.lower() == "bearer":
        return Credentials("bearer", value.strip())
    raise errors.bad_scheme()


def split_basic(value: str) -> tuple[str, str]:
    """User name and password of Basic credentials, cut at the first colon.

    Stray characters are skipped as the API server does; the bytes are UTF-8 where they are valid as such (curl), else
    Latin-1 (SDK, browsers). Raises ApiError 401/21 for wrong padding and 400/12 for control characters in the name.
    """
    try:
        octets = base64.b64decode(value.encode("ascii", "ignore"))
    except binascii.Error as error:
        raise errors.malformed_credentials(str(error)) from None
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    username, _, password = text.partition(":")
    if any(character < " " or character == "\x7f" for character in username):
        raise errors.validation("control characters in the user name")
    return username, password


async def authenticate(
    live: Live, given: Credentials, client: Address | None, target: str, worker: str, now: int
) -> Caller:
    """Check credentials. Raises ApiError."""
    if given.scheme == "bearer":
        identity = await by_token(live, given.value, now)
        return Caller(identity, identity, identity, given.value, given.from_cookie)
    username, password = split_basic(given.value)
    keys_only = not live.configuration.clearml.password_login
    match await live.login.check(Attempt(username, password, client, DIALECT, target, keys_only, worker)):
        case Identity() as identity:
            return Caller(identity, identity, identity)
        case Denied():
            raise errors.bad_login()
        case Throttled(retry_after):
            raise errors.throttled(retry_after)
        case Unavailable(retry_after=retry_after):
            raise errors.unavailable(retry_after)
        case Failed():
            raise errors.internal()


async def by_token(live: Live, token: str, now: int) -> Identity:
    """Whose token it is. Raises ApiError 401/30."""
    try:
        return await live.issuer.identity_of(token, now)
    except InvalidToken as error:
        raise errors.invalid_token(str(error)) from None
    except Revoked:
        raise errors.revoked_token() from None


async def impersonate(live: Live, caller: Caller, headers: Mapping[str, str]) -> Caller:
    """Apply Impersonate-As (become that user) and Act-As (for that user, with the own role). Raises ApiError.

    Role root may do so in any company, system and admin in their own (clearml.md 2). Nobody becomes an administrator of
    the gateway by it (DECISIONS 8), and who acts for somebody already acts for nobody else: whom a token names as actor
    must be who had it made.
    """
    become, act = (_either(headers, f"{name}-As") for name in ("Impersonate", "Act"))
    if become and act:
        raise errors.both_impersonation_headers()
    user_id = become or act
    if not user_id:
        return caller
    own = caller.own.grant
    if caller.own.actor:
        raise errors.impersonation_by_acting()
    if own.clearml_role not in ADMIN_ROLES:
        raise errors.impersonation_refused(own.clearml_role)
    other = await live.identities.by_user_id(user_id, own.reach)
    if other is None:
        raise errors.impersonated_unknown(user_id, own.company)
    if other.id == caller.own.id:
        return caller
    subject = acted_for(other, caller.own)
    if become:
        return replace(caller, identity=subject, subject=subject)
    acting = replace(subject, grant=replace(subject.grant, clearml_role=own.clearml_role))
    return replace(caller, identity=acting, subject=subject)


def worker_of(headers: Mapping[str, str]) -> str:
    """The machine that a program says it runs on; empty where it does not."""
    return _either(headers, "Worker")[:_MAX_WORKER]


def _either(headers: Mapping[str, str], name: str) -> str:
    """A header by its new or its old prefix; octets that are not UTF-8 are Latin-1, as programs send them."""
    value = headers.get(f"X-Clearml-{name}", "") or headers.get(f"X-Trains-{name}", "")
    octets = value.encode("utf-8", "surrogateescape")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")
