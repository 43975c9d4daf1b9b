"""Issues tokens for identities and says whose a presented token is (configuration.md 3, clearml.md 4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gateway.bounded import keep
from gateway.grants.mapping import ADMIN_ROLES
from gateway.identity import Account, Grant, Identity
from gateway.telemetry.logs import random_id
from gateway.tokens import jwt
from gateway.tokens.opaque import digest

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.identities import Identities
    from gateway.store.interface import Store

ISSUER: Final = "ldap-gateway"
CLOCK_SKEW: Final = 30
"""Seconds by which a token may be of the future: this machine's clock, or another's, was set back, or it was issued in
the second of a revocation (``Identity.issue_time``)."""
_SERVICE: Final = "service:"
_LATEST: Final = 1 << 53
"""Numeric dates beyond are no dates: every reader of JSON can still hold this one."""


class Revoked(Exception):
    """The token verifies, but its session was logged out, or its owner is gone."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token."""

    text: str
    lifetime_seconds: int


@dataclass(slots=True)
class _Verified:
    """A token that verified, kept so that the next request with it costs a hash and a look-up."""

    identity: Identity
    claims: dict[str, Any]
    version: int


class Issuer:
    """The ClearML tokens of one configuration; the first secret signs, all of them verify."""

    def __init__(
        self, secrets: Sequence[bytes], store: Store, identities: Identities, configuration: Configuration
    ) -> None:
        self._secrets = tuple(secrets)
        self._store = store
        self._identities = identities
        self._clearml = configuration.clearml
        self._services = {service.id: service for service in service_identities(configuration).values()}
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()
        self._cache_size = configuration.tokens.cache_size

    def issue(self, identity: Identity, lifetime_seconds: int, now: int) -> Issued:
        """Sign a ClearML token; nothing is stored for it (DECISIONS 16)."""
        clearml = self._clearml
        claims = {
            # Nothing may be added to this object: a server that shares the secret refuses other keys in it.
            "identity": {
                "user": identity.user_id,
                "company": identity.grant.company,
                "role": identity.grant.clearml_role,
                "user_name": identity.account.name or identity.account.username,
                "company_name": identity.grant.company_name,
            },
            "iat": identity.issue_time(now),
            "exp": now + lifetime_seconds,
            "session_id": random_id(),
            "auth_type": "Bearer",
            "env": "<unknown>",
            "api_version": clearml.api_version,
            "server_version": clearml.server_version,
            "server_build": "",
            "feature_set": clearml.feature_set,
            "tenant": identity.grant.company,
            "iss": ISSUER,
            "sub": identity.id,
        }
        if identity.actor:
            claims["act"] = {"sub": identity.actor}
        return Issued(jwt.encode(claims, self._secrets[0]), lifetime_seconds)

    async def identity_of(self, token: str, now: int) -> Identity:
        """Whose token it is. Raises jwt.InvalidToken and Revoked.

        A verified token stays verified until the store's version moves; then revocation and owner are read anew.
        """
        key = digest(token)
        version = self._store.version()
        known = self._cache.get(key)
        if known is not None and known.version == version and now < known.claims["exp"]:
            return known.identity
        claims = known.claims if known is not None and now < known.claims["exp"] else self._decode(token, now)
        identity = await self._owner(claims)
        if identity is None:
            self._cache.pop(key, None)
            raise Revoked
        keep(self._cache, key, _Verified(identity, claims, version), self._cache_size)
        return identity

    def expires_at(self, token: str) -> int:
        """When a token ends that ``identity_of`` has just accepted; seconds since 1970."""
        expires_at: int = self._cache[digest(token)].claims["exp"]
        return expires_at

    async def revoke(self, token: str, now: int) -> Identity:
        """End the session of a token. Raises as ``identity_of`` does; durable on return."""
        identity = await self.identity_of(token, now)
        claims = self._cache[digest(token)].claims
        await self._store.revoke_session(claims["session_id"], identity.id, claims["exp"])
        return identity

    def _decode(self, token: str, now: int) -> dict[str, Any]:
        claims = self._verify(token, now)
        for name, kind in (("exp", int), ("iat", int), ("session_id", str), ("sub", str)):
            if not isinstance(claims.get(name), kind):
                raise jwt.InvalidToken(f'Token is missing the "{name}" claim')
        for name, usable in (
            ("exp", claims["exp"] <= _LATEST),
            ("iat", claims["iat"] >= 0),
            ("session_id", is_text(claims["session_id"])),
            ("sub", is_text(claims["sub"])),
            ("act", "act" not in claims or (isinstance(claims["act"], dict) and is_text(claims["act"].get("sub")))),
        ):
            if not usable:
                raise jwt.InvalidToken(f'Invalid "{name}" claim')
        return claims

    def _verify(self, token: str, now: int) -> dict[str, Any]:
        """Try the key that signs, then those that have signed before."""
        *others, last = self._secrets
        for secret in others:
            try:
                return jwt.decode(token, secret, now, early=CLOCK_SKEW)
            except jwt.InvalidToken as error:
                if error.reason != jwt.BAD_SIGNATURE:
                    raise
        return jwt.decode(token, last, now, early=CLOCK_SKEW)

    async def _owner(self, claims: Mapping[str, Any]) -> Identity | None:
        if await self._store.session_revoked(claims["session_id"]):
            return None
        identity = await self._identity(claims["sub"], claims["iat"])
        if identity is None or "act" not in claims:
            return identity
        # A token made by impersonation lives no longer than whoever made it, and than their right to.
        actor = await self._identity(claims["act"]["sub"], claims["iat"])
        if actor is None or not may_act_for(actor, identity):
            return None
        return acted_for(identity, actor)

    async def _identity(self, subject: str, issued_at: int) -> Identity | None:
        if subject.startswith(_SERVICE):
            return self._services.get(subject)
        return await self._identities.by_id(subject, issued_at)


def may_act_for(actor: Identity, person: Identity) -> bool:
    """Whether somebody's role lets them act for a person, or for themselves: root in any company, system and admin in
    their own (clearml.md 2)."""
    return actor.grant.clearml_role in ADMIN_ROLES and actor.grant.reach in (None, person.grant.company)


def acted_for(person: Identity, actor: Identity) -> Identity:
    """A person as somebody else acts for them: never as administrator of the gateway (DECISIONS 8)."""
    return replace(
        person,
        actor=actor.id,
        actor_label=actor.label,
        valid_after=max(person.valid_after, actor.valid_after),
        grant=replace(person.grant, admin=False),
    )


def is_text(value: object) -> bool:
    """Whether it is a string, and one that can be written: JSON can spell halves of surrogate pairs."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def service_identities(configuration: Configuration) -> dict[str, Identity]:
    """The services of ``clearml.credentials`` by name; they are no people and have no stored row.

    The id changes with the secret, so that a new one ends the tokens that the old one gave.
    """
    clearml = configuration.clearml
    return {
        name: Identity(
            id=f"{_SERVICE}{name}:{digest(service.user_key + service.user_secret.reveal()).hex()[:16]}",
            user_id=f"__{name}__",
            account=Account(server="", external_id=name, username=name, name=name),
            grant=Grant(company=clearml.company, company_name=clearml.company_name, clearml_role=service.role),
            created_at=0,
        )
        for name, service in clearml.credentials.items()
    }
