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
    lifetime = _lifetime(request)
    if request.caller.token:
        await _still_good(request)
    issued = request.live.issuer.issue(request.identity, lifetime, request.now)
    cookie = (issued.text, lifetime) if request.flag("set_cookie", True) else None
    return Answer({"token": issued.text}, cookie)


async def _still_good(request: Request) -> None:
    """A token proves who somebody was when it was made; for a new one the directory is asked whether they still are."""
    match await request.live.recheck.standing(request.identity, request.now):
        case Standing.GONE:
            raise errors.revoked_token()
        case Standing.UNKNOWN:
            raise errors.unavailable(RETRY_SECONDS)


def _lifetime(request: Request) -> int:
    """Seconds: ``expiration_sec``, its fraction cut off; null and 0 mean the default."""
    wanted = request.parameters.get("expiration_sec")
    tokens = request.live.configuration.tokens
    if wanted is None or (not isinstance(wanted, bool) and wanted == 0):
        return int(tokens.lifetime)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        raise errors.validation("error for field 'expiration_sec'. expected a number of seconds")
    if not 1 <= wanted <= tokens.max_lifetime:
        raise errors.validation(f"error for field 'expiration_sec'. expected 1 to {int(tokens.max_lifetime)} seconds")
    return int(wanted)


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
