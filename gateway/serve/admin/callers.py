"""Who may administrate: the daemon's own user and root over the admin socket, administrators by password or token.

A cookie never counts here, and no token that was made by impersonation (DECISIONS 8).
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.access.client_address import MalformedAddress
from gateway.identity import LOCAL, Account, Identity
from gateway.login import Attempt, Denied, Failed, LoginResult, Throttled, Unavailable
from gateway.serve.clearml.authorize import presented, split_basic
from gateway.serve.clearml.errors import ApiError
from gateway.serve.client import client_of
from gateway.serve.cross_site import SAFE_METHODS, comes_from_elsewhere
from gateway.telemetry.audit import new_event
from gateway.tokens.issuer import Revoked
from gateway.tokens.jwt import InvalidToken

if TYPE_CHECKING:
    from gateway.runtime import Live

DIALECT: Final = "admin"

_CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid, gid (``struct ucred``, unix(7))."""
_ASK: Final = {"WWW-Authenticate": 'Basic realm="ldap-gateway", charset="UTF-8"'}


class Refusal(Exception):
    """An answer other than 200; the text is sent to the caller."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Caller:
    """An administrator."""

    server: str
    user: str
    client: str
    """Address of the client; empty for a unix socket."""
    by_socket: bool
    """Whether by the admin socket: somebody who can read the daemon's files anyway."""

    @property
    def label(self) -> str:
        """``server/username``, or the user of the socket."""
        return f"{self.server}/{self.user}" if self.server else self.user


def caller_by_socket(request: web.BaseRequest) -> Caller:
    """The caller at the admin socket, whom the kernel names. Raises Refusal 403."""
    connection = request.transport and request.transport.get_extra_info("socket")
    try:
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size) if connection else b""
        _, uid, _ = _CREDENTIALS.unpack(peer)
    except (OSError, struct.error):
        raise Refusal(403, "the client has gone") from None
    if uid not in (0, os.geteuid()):
        raise Refusal(403, "only root and the daemon's own user may use this socket")
    return Caller("", f"uid {uid}", "", by_socket=True)


async def caller_by_credentials(
    live: Live, request: web.BaseRequest, path: str, action: str = "", subject: str = ""
) -> Caller:
    """The caller at any other listener, by Basic or Bearer. Raises Refusal.

    ``action`` and ``subject`` are what the audit event of somebody without the right says was wanted, and of whom; by
    default the path.
    """
    own_origins = live.configuration.web_origins
    if request.method not in SAFE_METHODS and comes_from_elsewhere(request.headers, own_origins):
        # Browsers add a password that they remember to requests of other sites, too.
        raise Refusal(403, "another site made the browser send this")
    try:
        client = client_of(request, live.configuration.trusted_proxies)
        given = presented(request.headers.get("Authorization", ""), cookie="")
        if given is None:
            raise Refusal(401, "credentials are needed", _ASK)
        if given.scheme == "bearer":
            identity = await _by_token(live, given.value)
        else:
            username, password = split_basic(given.value)
            identity = _admitted(await live.login.check(Attempt(username, password, client, DIALECT, path)))
    except MalformedAddress:
        raise Refusal(400, "malformed X-Forwarded-For header") from None
    except ApiError as error:
        raise Refusal(error.code, error.message, _ASK if error.code == 401 else None) from None
    account = identity.account
    caller = Caller(account.server, account.username, str(client or ""), by_socket=False)
    if not identity.grant.admin or identity.actor:
        reason = f"not an administrator{f', by {identity.actor_label}' if identity.actor else _who_would_be(account)}"
        audit(live, caller, action or f"admin {path}", "failure", target=subject, reason=reason)
        raise Refusal(403, "only administrators of the gateway may do this (admins)")
    return caller


def audit(live: Live, caller: Caller, action: str, outcome: str, *, target: str = "", reason: str = "") -> None:
    """Write the audit event of what an administrator did, or wanted to do."""
    event = new_event(
        time.time(), action, "success" if outcome == "success" else "failure", generation=live.generation,
        reason=reason, dialect=DIALECT, server=caller.server, user=caller.user, client=caller.client, target=target,
    )  # fmt: skip
    live.audit.write(event)


def _who_would_be(account: Account) -> str:
    """How ``admins`` would name somebody: a server is part of the name, which is easily forgotten (DECISIONS 8).

    Empty for services, which it cannot name.
    """
    if not account.server:
        return ""
    name = account.username if account.server == LOCAL else f"{account.server}/{account.username}"
    return f": admins names neither user:{name} nor one of their groups"


async def _by_token(live: Live, token: str) -> Identity:
    try:
        return await live.issuer.identity_of(token, int(time.time()))
    except (InvalidToken, Revoked):
        raise Refusal(401, "the token is not valid", _ASK) from None


def _admitted(result: LoginResult) -> Identity:
    match result:
        case Denied():
            raise Refusal(401, "wrong name or password", _ASK)
        case Throttled(retry_after):
            raise Refusal(429, "too many failures from this address", {"Retry-After": str(retry_after)})
        case Unavailable(server=server, retry_after=retry_after):
            why = f": server {server} cannot be asked" if server else ""
            raise Refusal(503, f"the login cannot be decided now{why}", {"Retry-After": str(retry_after)})
        case Failed():
            raise Refusal(500, "the directory answered in an unforeseen way; see the log")
    return result
