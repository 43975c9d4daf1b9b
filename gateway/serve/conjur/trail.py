"""What the Conjur dialect leaves behind: the log lines and codes of Conjur, so that existing alerts still match
(conjur.md 3), and the audit events of everything that ``Login`` does not write itself (DECISIONS 33).
"""

from __future__ import annotations

import enum
import logging
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.login import MAX_SHOWN
from gateway.printable import printable
from gateway.serve.conjur.call import DIALECT, Call
from gateway.serve.conjur.paths import Action, Family, role_of
from gateway.telemetry.audit import Outcome, new_event

if TYPE_CHECKING:
    from gateway.identity import Identity

log = logging.getLogger(__name__)

_ACCOUNT_SHOWN: Final = 64
"""Characters of an account that is not ours."""
_VERBS: Final = {
    Action.LOGIN: ("logged in", "log in"),
    Action.AUTHENTICATE: ("authenticated", "authenticate"),
    Action.ROTATE: ("rotated the API key", "rotate the API key"),
}


class Code(enum.Enum):
    """Why, in Conjur's words."""

    INVALID = "CONJ00002E Invalid credentials"
    ORIGIN = "CONJ00003E User is not authorized to login from the current origin"
    NOT_ENABLED = "CONJ00004E The authenticator is not enabled"
    NO_SERVICE = "CONJ00005E The webservice is not defined"
    NO_PRIVILEGE = "CONJ00006E The role does not have 'authenticate' privilege"
    UNKNOWN_LOGIN = "CONJ00007E The role is not defined"
    UNKNOWN_ACCOUNT = "CONJ00008E The account is not defined"
    ADMIN = "CONJ00017E admin is not allowed to authenticate with this authenticator"


def succeeded(call: Call, identity: Identity, service: str) -> None:
    """Tell of a success, by the name that the directory has."""
    account, done = identity.account, _VERBS[call.route.action][0]
    log.info("%s successfully %s with %s", _role(call, account.username), done, _by(call, service))
    if call.route.action is not Action.LOGIN:
        _write(call, "success", account.username, account.server, "")


def failed(call: Call, login: str, why: Code | str, *, known: bool = False) -> None:
    """Tell of a refusal; ``known``: ``Login`` has written its audit event."""
    reason = why.value if isinstance(why, Code) else why
    told = (_role(call, login), _VERBS[call.route.action][1], _by(call, call.route.service), reason)
    log.info("%s failed to %s with %s: %s", *told)
    if not known:
        _write(call, "failure", login[:MAX_SHOWN], "", reason)


def _write(call: Call, outcome: Outcome, user: str, server: str, reason: str) -> None:
    action = "login"
    if outcome == "success":
        action = "token.issue" if call.route.action is Action.AUTHENTICATE else "key.rotate"
    event = new_event(
        time.time(), action, outcome, generation=call.live.generation, reason=reason, dialect=DIALECT,
        server=server, user=user, client=str(call.client or ""), target=call.path,
    )  # fmt: skip
    call.live.audit.write(event)


def _role(call: Call, login: str) -> str:
    return printable(f"{_account(call)}:{role_of(login)}", MAX_SHOWN)


def _account(call: Call) -> str:
    """The one that was asked for; where that is not ours, without the blanks and colons that could forge a line."""
    asked, ours = call.route.account, call.conjur.account
    return quote(asked, safe="")[:_ACCOUNT_SHOWN] if asked and asked != ours else ours


def _by(call: Call, service: str) -> str:
    authenticator = f"authenticator {call.route.family.authenticator}"
    if not service or call.route.family is Family.AUTHN:
        return authenticator
    name = f"{_account(call)}:webservice:conjur/{call.route.family.authenticator}/{service}"
    return f"{authenticator} service {printable(name, MAX_SHOWN)}"
