"""``login.*``: how one may log in, and out (clearml.md 6.5, 9)."""

from __future__ import annotations

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
    await end_session(request)
    return Answer(cookie=None if request.from_elsewhere else ("", 0))


async def end_session(request: Request) -> None:
    """Revoke the presented token until its end; anything else than a good token is passed over."""
    if request.given is None or request.given.scheme != "bearer":
        return
    try:
        identity = await request.live.issuer.revoke(request.given.value, request.now)
    except (InvalidToken, Revoked):
        return
    request.audit("token.revoke", identity, request.endpoint)


ENDPOINTS = (
    Endpoint("login.supported_modes", supported_modes, open=True),
    Endpoint("login.logout", logout, since="2.13", open=True, changes_state=True),
)
