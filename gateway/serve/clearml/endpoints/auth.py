"""``auth.*``: tokens (clearml.md 3, 9)."""

from __future__ import annotations

from gateway.directory.recheck import Standing
from gateway.grants.mapping import SERVICE_ROLES
from gateway.identity import Identity
from gateway.login import RETRY_SECONDS
from gateway.serve.clearml import errors
from gateway.serve.clearml.authorize import by_token
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.serve.clearml.endpoints.login import end_session
from gateway.tokens.issuer import Revoked, acted_for, may_act_for
from gateway.tokens.jwt import InvalidToken


async def login(request: Request) -> Answer:
    """Give a token for whatever was presented: password, key, or a token to renew."""
    caller, subject = request.caller, request.caller.subject
    lifetime = _lifetime(request)
    if caller.token or caller.impersonates:
        subject, lifetime = await _still_good(request, subject, lifetime)
        reason = f"acting for {subject.label}" if caller.impersonates else "renewal"
        request.audit("token.issue", caller.own, "auth.login", reason)
    issued = request.live.issuer.issue(subject, lifetime, request.now)
    wants_cookie = request.flag("set_cookie", True) and (request.by_own_pages or not caller.from_cookie)
    return Answer({"token": issued.text}, (issued.text, lifetime) if wants_cookie else None)


async def get_token_for_user(request: Request) -> Answer:
    """A token for somebody, for services; it ends with the service, and never administrates the gateway.

    Role root may ask for any company, system for its own alone.
    """
    own = request.caller.own
    user_id, company = request.text("user"), request.text("company")
    known = own.grant.clearml_role == "root" or company == own.grant.company
    person = await request.live.identities.by_user_id(user_id, company) if known else None
    if person is None:
        raise errors.invalid_user_id(user_id, company)
    person, lifetime = await _still_good(request, person, _lifetime(request))
    request.audit("token.issue", own, "auth.get_token_for_user", f"acting for {person.label}")
    return Answer({"token": request.live.issuer.issue(person, lifetime, request.now).text})


async def _still_good(request: Request, subject: Identity, lifetime: int) -> tuple[Identity, int]:
    """Whom a new token is for, with the rights of this moment, and the seconds it may live.

    A token proves who somebody was when it was made; for a new one the directory is asked whether they still are, and
    whether those are who act for them. Where it cannot be asked at all, a token lives no longer than what was proved.
    """
    caller, live = request.caller, request.live
    for identity_id in dict.fromkeys(filter(None, (caller.own.id, caller.own.actor, subject.id))):
        match await live.recheck.standing(identity_id, request.now):
            case Standing.GONE:
                raise errors.revoked_token()
            case Standing.UNKNOWN:
                raise errors.unavailable(RETRY_SECONDS)
            case Standing.UNASKED if identity_id == subject.id != caller.own.id:
                lifetime = min(lifetime, await _seconds_of_login(request, subject))
            case Standing.UNASKED if caller.token:
                lifetime = min(lifetime, live.issuer.expires_at(caller.token) - request.now)
    own = await by_token(live, caller.token, request.now) if caller.token else caller.own
    if subject.id == own.id:
        return own, lifetime
    person = await live.identities.by_id(subject.id)
    if person is None:
        raise errors.revoked_token()
    if not may_act_for(own, person):
        raise errors.impersonation_refused(own.grant.clearml_role)
    return acted_for(person, own), lifetime


async def _seconds_of_login(request: Request, subject: Identity) -> int:
    """What is left of the token that a person's own last login gave them."""
    row = await request.live.store.identity(subject.id)
    left = row.checked_at + int(request.live.configuration.tokens.lifetime) - request.now if row is not None else 0
    if left <= 0:
        raise errors.impersonated_unproved(subject.user_id)
    return left


def _lifetime(request: Request) -> int:
    """Seconds of a token's life."""
    tokens = request.live.configuration.tokens
    return request.number("expiration_sec", int(tokens.lifetime), int(tokens.max_lifetime))


async def validate_token(request: Request) -> Answer:
    """Say whose token it is, for servers that hold no secret themselves, such as the file server."""
    try:
        identity: Identity = await request.live.issuer.identity_of(request.text("token"), request.now)
    except InvalidToken as error:
        return Answer({"valid": False, "msg": f"Invalid token (invalid jwt token): reason={error}"})
    except Revoked:
        return Answer({"valid": False, "msg": "Invalid token (revoked token)"})
    return Answer({"valid": True, "user": identity.user_id, "company": identity.grant.company})


async def logout(request: Request) -> Answer:
    """Remove the cookie, and end the session of the presented token; for those who are logged in."""
    await end_session(request)
    return Answer(cookie=("", 0))


async def fixed_users_mode(request: Request) -> Answer:
    """Tell older pages that there are passwords."""
    enabled = request.live.configuration.clearml.password_login
    return Answer({"enabled": enabled, "guest": {"enabled": False}, "server_errors": {}})


ENDPOINTS = (
    Endpoint("auth.login", login, login_body=True),
    Endpoint("auth.logout", logout, since="2.2", changes_state=True),
    Endpoint("auth.fixed_users_mode", fixed_users_mode, open=True),
    Endpoint("auth.get_token_for_user", get_token_for_user, roles=SERVICE_ROLES, login_body=True, changes_state=True),
    Endpoint("auth.validate_token", validate_token, roles=SERVICE_ROLES),
)
