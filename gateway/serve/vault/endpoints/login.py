"""``auth/<mount>/login/<username>``: a name and a password become a token (vault.md 2, 4, 6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.identity import LOCAL, Identity
from gateway.login import MAX_SHOWN, Attempt, Denied, Failed, LoginResult, Throttled, Unavailable
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field
from gateway.serve.vault.reply import Reply, VaultError, permission_denied
from gateway.serve.vault.routes import Route
from gateway.serve.vault.trail import DIALECT
from gateway.telemetry.audit import Outcome, new_event
from gateway.tokens.vault_login import admits, login_token
from gateway.tokens.vault_lookup import auth_block
from gateway.tokens.vault_tokens import bound
from gateway.tokens.vault_ttl import Refused

if TYPE_CHECKING:
    from gateway.vault_mounts import MountPoint

_EMPTY: Final = "password cannot be of zero length when passwordless binds are being denied"
_REFUSED: Final = "ldap operation failed: failed to bind as user"
_UNREACHABLE: Final = "error connecting to host: no LDAP server answers"
_LATER: Final = "the login could not be decided now; try again later"


async def login(call: Call) -> Reply:
    """Check a password; whatever token was sent along does not count."""
    mount = call.live.vault.mounts.all[call.parameters["mount"]]
    typed = call.parameters["username"].strip()
    is_key = call.live.login.is_key(typed)
    # A key in small letters would be taken for a person, and its secret shown to a directory.
    name = typed if is_key else normalised(mount, typed)
    client = None if call.client is None else str(call.client)
    if not bound(mount.settings.token_bound_cidrs, client):
        _note(call, "login", name, "failure", reason="from outside token_bound_cidrs")
        raise permission_denied()
    if not name:
        raise VaultError(400, "missing username")
    password = call.text("password")
    if not password:
        raise VaultError(400, _EMPTY)
    # Keys of programs are nobody's here: of a server they are refused without a look.
    server = LOCAL if is_key else mount.login_server
    attempt = Attempt(name, password, call.client, DIALECT, call.path, server=server)
    identity = admitted(await call.live.login.check(attempt), call.path)
    if not admits(mount, identity.account.server, client):
        _note(call, "login", name, "failure", identity, reason="from outside token_bound_cidrs of the server")
        raise VaultError(400, _REFUSED)
    return await _issued(call, mount, identity, name, client)


def normalised(mount: MountPoint, name: str) -> str:
    """A name without blanks around it as it counts from here on, for the lockout and in the token: in lower case."""
    return name if mount.server is not None and mount.server.case_sensitive_names else name.lower()


def admitted(result: LoginResult, path: str) -> Identity:
    """Who logged in. Raises VaultError, the same for every name and password that are not right.

    A directory that cannot be asked is 400: clients repeat what fails with 5xx, and each time would count as a wrong
    password where the directory counts.
    """
    match result:
        case Identity():
            return result
        case Denied(locked=True):
            raise permission_denied()
        case Denied():
            raise VaultError(400, _REFUSED)
        case Failed(server=server) if server:
            raise VaultError(400, _REFUSED)
        case Throttled(retry_after=seconds):
            text = f'request path "{path}": rate limit quota exceeded'
            raise VaultError(429, text, retry_after=seconds)
        case Unavailable(server=""):
            raise VaultError(503, _LATER, retry_after=result.retry_after)
        case Unavailable():
            raise VaultError(400, _UNREACHABLE)
        case _:
            raise VaultError(500, "internal error")


async def _issued(call: Call, mount: MountPoint, identity: Identity, name: str, client: str | None) -> Reply:
    try:
        new = login_token(mount, identity, call.live.identities.policies(identity, name), name, client)
        issued = await call.live.vault.tokens.issue(new, call.now)
    except Refused as refused:
        _note(call, "token.issue", name, "failure", identity, reason=str(refused))
        raise VaultError(400, str(refused)) from None
    accessor = issued.row.accessor or "batch token"
    _note(call, "token.issue", name, "success", identity, reason=f"{accessor}: {', '.join(issued.row.policies)}")
    auth = auth_block(issued.row, call.now, issued.text)
    return Reply(data={}, auth=auth, warnings=(*issued.warnings, *_without_groups(mount, identity)))


def _without_groups(mount: MountPoint, identity: Identity) -> list[str]:
    """A word to those who expected policies of their groups."""
    if mount.server is None or identity.account.groups or not mount.server.group_bases:
        return []
    shown = "; ".join(mount.server.group_bases)
    return [f'no LDAP groups found in groupDN "{shown}"; only policies from locally-defined groups available']


def _note(
    call: Call, action: str, name: str, outcome: Outcome, identity: Identity | None = None, *, reason: str
) -> None:
    account = identity.account if identity else None
    event = new_event(
        time.time(), action, outcome, generation=call.live.generation, reason=reason, dialect=DIALECT,
        server=account.server if account else "", user=account.username if account else name[:MAX_SHOWN],
        client=str(call.client or ""), target=call.path,
    )  # fmt: skip
    call.live.audit.write(event)


ROUTES = (
    Route(
        "auth/{mount}/login/{username*}",
        {Operation.UPDATE: login},
        (Field("password", help="Password of the user."),),
        open=True,
        help="Logs in with a user name and a password.",
    ),
)
