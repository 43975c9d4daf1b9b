"""``auth.*``: tokens (clearml.md 3, 9)."""

from __future__ import annotations

from gateway.directory.recheck import Standing
from gateway.grants.mapping import SERVICE_ROLES
from gateway.identity import Identity
from gateway.login import RETRY_SECONDS
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.tokens.issuer import Revoked
from gateway.tokens.jwt import InvalidToken


async def login(request: Request) -> Answer:
    """Give a token for whatever was presented: password, key, or a token to renew."""
    caller = request.caller
    lifetime = _lifetime(request)
    if caller.token or caller.impersonates:
        lifetime = await _still_good(request, lifetime)
        reason = f"acting for {caller.subject.label}" if caller.impersonates else "renewal"
        request.audit("token.issue", caller.own, "auth.login", reason)
    issued = request.live.issuer.issue(caller.subject, lifetime, request.now)
    wants_cookie = request.flag("set_cookie", True) and (request.by_own_pages or not caller.from_cookie)
    return Answer({"token": issued.text}, (issued.text, lifetime) if wants_cookie else None)


async def _still_good(request: Request, lifetime: int) -> int:
    """The seconds a new token may live.

    A token proves who somebody was when it was made; for a new one the directory is asked whether they still are. Where
    it cannot be asked at all, renewal prolongs nothing.
    """
    caller, live = request.caller, request.live
    for identity in {caller.own.id: caller.own, caller.subject.id: caller.subject}.values():
        match await live.recheck.standing(identity, request.now):
            case Standing.GONE:
                raise errors.revoked_token()
            case Standing.UNKNOWN:
                raise errors.unavailable(RETRY_SECONDS)
            case Standing.UNASKED if caller.token:
                lifetime = min(lifetime, live.issuer.expires_at(caller.token) - request.now)
    return lifetime


def _lifetime(request: Request) -> int:
    """Seconds: ``expiration_sec``, its fraction cut off; null and 0 mean the default."""
    wanted = request.parameters.get("expiration_sec")
    tokens = request.live.configuration.tokens
    if wanted is None:
        return int(tokens.lifetime)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        raise errors.validation("error for field 'expiration_sec'. expected a number of seconds")
    if not 0 <= wanted <= tokens.max_lifetime:
        raise errors.validation(f"error for field 'expiration_sec'. expected up to {int(tokens.max_lifetime)} seconds")
    return int(wanted) or int(tokens.lifetime)


async def validate_token(request: Request) -> Answer:
    """Say whose token it is, for servers that hold no secret themselves, such as the file server."""
    try:
        identity: Identity = await request.live.issuer.identity_of(request.text("token"), request.now)
    except InvalidToken as error:
        return Answer({"valid": False, "msg": f"Invalid token (invalid jwt token): reason={error}"})
    except Revoked:
        return Answer({"valid": False, "msg": "Invalid token (revoked token)"})
    return Answer({"valid": True, "user": identity.user_id, "company": identity.grant.company})


ENDPOINTS = (
    Endpoint("auth.login", login, login_body=True),
    Endpoint("auth.validate_token", validate_token, roles=SERVICE_ROLES),
)
