"""Who logs in: Conjur's order of checks over the one login of the gateway (conjur.md 3, DECISIONS 3).

Authenticator enabled, account and login known, privilege, credentials, address: each is decided before the next is
looked at. What a client presents in place of a password may be its API key, which no directory ever sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from gateway.access.client_address import is_trusted
from gateway.directory.realm import Outcome, Privilege, Rule, Verdict
from gateway.identity import LOCAL, Identity, fold_name
from gateway.login import Attempt, Denied, Failed, LoginResult, Owner, Throttled, Unavailable
from gateway.serve.conjur.call import DIALECT, Call, Refusal, later
from gateway.serve.conjur.paths import Action, Family
from gateway.serve.conjur.trail import Code, failed
from gateway.sessions import Stale
from gateway.tokens.access_keys import KeyUndecided
from gateway.tokens.conjur_keys import is_api_key

if TYPE_CHECKING:
    from gateway.access.client_address import Network
    from gateway.conjur_dialect import Service
    from gateway.slots import Asking

ADMIN: Final = "admin"
_NO_KEYS: Final = "this server gives no API keys"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who logged in."""

    identity: Identity
    service: str
    """The server whose service admitted them; empty for local users."""
    networks: tuple[Network, ...]
    """From where they may use what they get; empty: from anywhere."""
    by_password: bool


@dataclass(frozen=True, slots=True)
class _Door:
    """Where a login is tried."""

    server: str
    """The one that is named; empty: the realm."""
    services: dict[str, Service | None] = field(repr=False)
    """Of each server that may be asked. Local users have no service."""

    @property
    def privilege(self) -> Privilege:
        return {server: _rule(service) for server, service in self.services.items()}


async def admitted(call: Call, login: str, secret: str) -> Admitted:
    """Whose login and password, or API key, it is. Raises Refusal."""
    door = _door(call, login)
    by_password = not is_api_key(secret)
    # Keys of ClearML's programs are nobody's here: of a server they are refused without a look.
    server = LOCAL if call.live.login.is_key(login.strip()) else door.server
    result = await call.live.login.check(
        Attempt(
            login, secret, call.client, DIALECT, call.path, server=server, privilege=door.privilege,
            owner=None if by_password else _owner(call, door, login, secret),
        )
    )  # fmt: skip
    if not isinstance(result, Identity):
        _refuse(call, login, result)
    if _is_admin(result.account.username):
        failed(call, login, Code.ADMIN)
        raise Refusal(401)
    service = door.services.get(result.account.server)
    networks = service.networks if service else ()
    if networks and (call.client is None or not is_trusted(call.client, networks)):
        failed(call, login, Code.ORIGIN)
        raise Refusal(401 if call.route.action is Action.AUTHENTICATE else 403)
    return Admitted(result, service.server if service else "", networks, by_password)


def _door(call: Call, login: str) -> _Door:
    """Raises Refusal where nobody can log in."""
    route, conjur = call.route, call.conjur
    if route.family is not Family.V4 and route.account != conjur.account:
        raise _refusal(call, login, Code.UNKNOWN_ACCOUNT)
    if route.service:
        service = conjur.services.get(fold_name(route.service))
        if service is None:
            raise _refusal(call, login, _no_service(call, route.service))
        door = _Door(service.server, {service.server: service})
    elif route.family is Family.AUTHN and not conjur.authn_alias:
        door = _Door(LOCAL, {LOCAL: None})
    else:
        realm = [server.name for server in call.live.servers if server.in_realm and conjur.enabled(server.name)]
        door = _Door("", {LOCAL: None, **{name: conjur.services[fold_name(name)] for name in realm}})
    if _is_admin(login):
        raise _refusal(call, login, Code.ADMIN)
    return door


def _refusal(call: Call, login: str, code: Code) -> Refusal:
    failed(call, login, code)
    return Refusal(401)


def _no_service(call: Call, name: str) -> Code:
    is_server = any(fold_name(server.name) == fold_name(name) for server in call.live.servers)
    return Code.NOT_ENABLED if is_server else Code.NO_SERVICE


def _is_admin(login: str) -> bool:
    return fold_name(login) == ADMIN


def _rule(service: Service | None) -> Rule | None:
    return None if service is None or service.everybody else service.refusal


def _owner(call: Call, door: _Door, login: str, secret: str) -> Owner:
    async def owner(asking: Asking) -> Identity | Verdict:
        try:
            return await call.conjur.owner(login, door.privilege, secret, call.now, asking)
        except Stale:
            raise KeyUndecided("the directory cannot be asked about the key's owner") from None

    return owner


def _refuse(call: Call, login: str, result: LoginResult) -> NoReturn:
    """Raises Refusal. During an outage that is no 401, which would make clients throw good credentials away."""
    authenticates = call.route.action is Action.AUTHENTICATE
    match result:
        case Denied(outcome=Outcome.UNGRANTED):
            failed(call, login, Code.NO_PRIVILEGE, known=True)
            raise Refusal(401 if call.conjur.hide_ungranted else 403)
        case Denied(outcome=outcome):
            code = Code.UNKNOWN_LOGIN if outcome is Outcome.NOT_FOUND else Code.INVALID
            failed(call, login, code, known=True)
            raise Refusal(401)
        case Throttled(retry_after=seconds):
            failed(call, login, "too many failures from this address", known=True)
            raise later(429, seconds)
        case Unavailable(retry_after=seconds):
            failed(call, login, "it cannot be decided at the moment", known=True)
            raise later(503, seconds)
        case Failed(server=name) if _unusable(call, name):
            failed(call, login, "the filter of the server cannot be used", known=True)
            if authenticates:
                raise Refusal(401)
            raise Refusal(422, code="unprocessable_entity", message="the filter of the server cannot be used")
        case _:
            failed(call, login, "an error that the log tells of", known=True)
            raise Refusal(500)


def _unusable(call: Call, name: str) -> bool:
    return any(server.name == name and server.unusable for server in call.live.servers)


def no_keys(call: Call, admitted: Admitted) -> Refusal:
    """The refusal of an API key where nobody could ask again whether its owner is still there (DECISIONS 11)."""
    failed(call, admitted.identity.account.username, _NO_KEYS)
    message = f"{_NO_KEYS}, because it has no service account to look people up with: authenticate with the password"
    return Refusal(422, code="unprocessable_entity", message=message)
