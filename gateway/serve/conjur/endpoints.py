"""What each route of the Conjur dialect does (conjur.md 2)."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.access.client_address import is_trusted
from gateway.conjur_dialect import NoApiKeys
from gateway.identity import fold_name
from gateway.serve.answer import json_response
from gateway.serve.body import read_body
from gateway.serve.conjur.call import Call, Refusal, plain
from gateway.serve.conjur.headers import NoToken, UnreadableToken, accepts_base64, basic_credentials, token_of
from gateway.serve.conjur.logins import Admitted, admitted, no_keys
from gateway.serve.conjur.paths import Action, Family, names_only
from gateway.serve.conjur.trail import Code, failed, log, succeeded
from gateway.store.interface import Conflict
from gateway.tokens.conjur import InvalidConjurToken, MalformedConjurToken

if TYPE_CHECKING:
    from gateway.identity import Identity
    from gateway.tokens.conjur import ConjurToken, Version

_INSTALLED: Final = ("authn", "authn-ldap")


async def log_in(call: Call) -> web.Response:
    """Credentials become the API key, the same one each time until it is rotated (conjur.md 2.1)."""
    who, _ = await _shown(call)
    return await _key(call, who, call.conjur.api_key(who.identity))


async def rotate(call: Call) -> web.Response:
    """Credentials become another API key. The one before ends at once: shown twice at one moment, it still gives one.

    In Conjur whoever has the privilege rotates the key of somebody else, whom ``role`` names; here nobody does.
    """
    who, secret = await _shown(call)
    if not names_only(call.query, call.conjur.account, who.identity.account.username):
        failed(call, who.identity.account.username, "role names somebody else, whose key is theirs to rotate")
        raise Refusal(403)
    try:
        return await _key(call, who, call.conjur.rotate(who.identity, "" if who.by_password else secret))
    except Conflict:
        failed(call, who.identity.account.username, Code.INVALID)
        raise Refusal(401) from None


async def _shown(call: Call) -> tuple[Admitted, str]:
    shown = basic_credentials(call.request.headers.getall("Authorization", ()))
    if shown is None:
        raise Refusal(401)
    return await admitted(call, *shown), shown[1]


async def _key(call: Call, who: Admitted, made: Awaitable[str]) -> web.Response:
    try:
        key = await made
    except NoApiKeys:
        raise no_keys(call, who) from None
    succeeded(call, who.identity, who.service)
    return plain(200, key)


async def authenticate(call: Call) -> web.Response:
    """A key, or a password, becomes a token: the body byte for byte, neither trimmed nor parsed (conjur.md 2.2)."""
    body = await read_body(call.request, call.live.configuration.http.max_login_body)
    try:
        secret = body.decode()
    except UnicodeDecodeError:
        secret = ""  # refused as such
    who = await admitted(call, call.route.login, secret)
    if who.by_password:
        _tell_of_password(call, who.identity)
    version: Version = "v4" if call.route.family is Family.V4 else "v5"
    login, networks = who.identity.account.username, tuple(map(str, who.networks))
    text = await call.conjur.issue(who.identity, login, call.now, version, networks)
    succeeded(call, who.identity, who.service)
    if accepts_base64(call.request.headers.getall("Accept-Encoding", ())):
        return _token(b64encode(text.encode()), {"Content-Type": "text/plain", "Content-Encoding": "base64"})
    return _token(text.encode(), {"Content-Type": "application/json"})


def _tell_of_password(call: Call, identity: Identity) -> None:
    if call.passwords.untold((identity.id,), call.now) is not None:
        log.info("%s authenticates with the password, which is deprecated: log in for an API key", identity.label)


def _token(body: bytes, headers: dict[str, str]) -> web.Response:
    """``no-transform``: a proxy that compresses would change what clients decode (RFC 9111 5.2.2.6)."""
    response = plain(200, "", {"Cache-Control": "no-store, no-transform", "Vary": "Accept-Encoding", **headers})
    response.body = body
    return response


async def whoami(call: Call) -> web.Response:
    """Whose token it is."""
    token, _ = await _holder(call)
    issued_at = datetime.fromtimestamp(token.issued_at, UTC)
    return json_response(200, {
        "client_ip": str(call.client or ""),
        "user_agent": call.request.headers.get("User-Agent"),
        "account": call.conjur.account,
        "username": token.login,
        "token_issued_at": issued_at.isoformat(timespec="milliseconds"),
    })  # fmt: skip


async def _holder(call: Call) -> tuple[ConjurToken, Identity]:
    """The token of a request, and whose it is. Raises Refusal with Conjur's texts (conjur.md 3)."""
    await call.conjur.follow()
    try:
        token = call.conjur.verify(token_of(call.request.headers.getall("Authorization", ())), call.now)
    except NoToken:
        raise Refusal(401, text="Authorization missing") from None
    except (UnreadableToken, MalformedConjurToken):
        raise Refusal(401, text="Malformed authorization token") from None
    except InvalidConjurToken:
        raise Refusal(401, text="Unauthorized: Invalid token") from None
    identity = await call.conjur.identity_of(token) or await call.conjur.named_in(token)
    if identity is None:
        raise Refusal(401, text="Unauthorized: Invalid token")
    networks = [ipaddress.ip_network(cidr) for cidr in token.cidrs]
    if networks and (call.client is None or not is_trusted(call.client, networks)):
        raise Refusal(403, text="IP address rejected")
    return token, identity


async def info(_: Call) -> web.Response:
    """What only Conjur Enterprise tells. On a 401 the command line asks for the account; a 404 ends its ``init``."""
    raise Refusal(401)


async def authenticators(call: Call) -> web.Response:
    """What there is, for everybody to see."""
    services = sorted(f"authn-ldap/{service.server}" for service in call.conjur.services.values())
    enabled = ["authn", *services]
    return json_response(200, {"installed": list(_INSTALLED), "configured": enabled, "enabled": enabled})


async def status(call: Call) -> web.Response:
    """Whether people can log in to a service: a connection to its directory is tried, unlike in Conjur, which has no
    check for LDAP. For whoever may authenticate there; 403, 404 and 500 as Conjur's other checks have them.
    """
    _, identity = await _holder(call)
    service = call.conjur.services.get(fold_name(call.route.service))
    if service is None or call.route.account != call.conjur.account:
        return _status(404, "CONJ00005E The webservice is not defined")
    if not service.allows(identity.account) and not identity.grant.admin:
        return _status(403, "CONJ00006E The role does not have 'authenticate' privilege")
    engine = next(server for server in call.live.servers if server.name == service.server)
    server = next(server for server in call.live.configuration.servers if server.name == service.server)
    if problem := engine.unusable or await call.live.reachability.unreachable_because(server):
        log.warning("server %s: %s", service.server, problem)
        return _status(500, "the directory cannot be used; see the log of the gateway")
    return json_response(200, {"status": "ok"})


def _status(code: int, error: str) -> web.Response:
    return json_response(code, {"status": "error", "error": error})


async def public_key(call: Call) -> web.Response:
    """The public half of the key that signs tokens, in PEM, for services that verify them (conjur.md 6.4)."""
    if call.route.account != call.conjur.account:
        raise Refusal(404)
    await call.conjur.follow()
    return plain(200, call.conjur.public_pem(call.now), {"Content-Type": "application/x-pem-file"})


Endpoint = Callable[[Call], Awaitable[web.Response]]
ENDPOINTS: Final[dict[Action, Endpoint]] = {
    Action.LOGIN: log_in,
    Action.AUTHENTICATE: authenticate,
    Action.ROTATE: rotate,
    Action.STATUS: status,
    Action.PUBLIC_KEY: public_key,
    Action.WHOAMI: whoami,
    Action.INFO: info,
    Action.AUTHENTICATORS: authenticators,
}
