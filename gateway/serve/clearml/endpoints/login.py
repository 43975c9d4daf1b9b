"""``login.*``: how one may log in, and out (clearml.md 6.5, 9)."""

from __future__ import annotations

from gateway.serve.clearml import errors
from gateway.serve.clearml.authorize import Credentials
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.tokens.issuer import Revoked
from gateway.tokens.jwt import InvalidToken


async def supported_modes(request: Request) -> Answer:
    """Tell the web UI to show a password form, and whether its cookie is still good; a bad token is no error."""
    return Answer(
        {
            "authenticated": await _authenticated(request),
            "basic": {"enabled": request.live.configuration.clearml.password_login, "guest": {"enabled": False}},
            "server_errors": {"es_connection_error": False, "missed_es_upgrade": False},
            "sso": {},
            "sso_providers": [],
        }
    )


async def _authenticated(request: Request) -> bool:
    if request.given is None or request.given.scheme != "bearer":
        return False
    try:
        await request.live.issuer.identity_of(request.given.value, request.now)
    except (InvalidToken, Revoked):
        return False
    return True


async def logout(request: Request) -> Answer:
    """Remove the cookie, and end the session of the presented token where there is a good one."""
    given = request.given
    if given is not None and given.scheme == "bearer":
        if given.from_cookie and not request.by_own_pages:
            raise errors.cross_site()
        await _revoke(request, given)
    return Answer(cookie=None if request.from_elsewhere else ("", 0))


async def _revoke(request: Request, given: Credentials) -> None:
    try:
        identity = await request.live.issuer.revoke(given.value, request.now)
    except (InvalidToken, Revoked):
        return
    request.audit("token.revoke", identity, "login.logout")


ENDPOINTS = (
    Endpoint("login.supported_modes", supported_modes, open=True),
    Endpoint("login.logout", logout, since="2.13", open=True),
)
