"""What holders of tokens did, and what they were denied, for the audit trail (DECISIONS 33)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.grants.lockout import address_key
from gateway.serve.vault.paths import shown_path
from gateway.telemetry.audit import new_event
from gateway.tokens.vault_tokens import ROOT_PATH

if TYPE_CHECKING:
    from gateway.serve.vault.authority import Holder
    from gateway.serve.vault.call import Call, Question
    from gateway.telemetry.audit import Outcome

DIALECT = "vault"
_NAMED: Final = (["create"], ["roles"])
"""What names of roles stand behind, below ``auth/token``. Behind everything else there may be a token of any form."""


def note(call: Call, action: str, target: str) -> None:
    """Write the event of something that was done by a call's holder."""
    _write(call, call.holder, action, "success", f"by {call.holder.row.accessor}", target)


def note_denied(question: Question, holder: Holder) -> None:
    """Write the event of a request that the policies of its token do not allow."""
    _write(question, holder, "access", "failure", f"permission denied to {holder.row.accessor}", _asked(question))


def note_unknown(question: Question) -> None:
    """Write the event of a request whose token is none, or none any more: one a minute of each network."""
    network = address_key(question.client).shown if question.client else ""
    untold = question.live.strangers.untold((network,), question.now)
    if untold is not None:
        more = f"; {untold} like it were not told since the last one from {network or 'a unix socket'}"
        reason = "unknown token, or not from there" + (more if untold else "")
        _write(question, None, "access", "failure", reason, _asked(question))


def _asked(question: Question) -> str:
    segments = question.path.split("/")
    if segments[:2] == ["auth", "token"] and segments[2:3] not in _NAMED:
        segments = segments[:3]
    return f"{question.operation} {'/'.join(segments)}"


def _write(
    question: Question, holder: Holder | None, action: str, outcome: Outcome, reason: str, target: str
) -> None:
    server, user = _whose(holder) if holder else ("", "")
    event = new_event(
        time.time(), action, outcome, generation=question.live.generation, reason=reason,
        dialect=DIALECT, server=server, user=user, client=str(question.client or ""), target=shown_path(target),
    )  # fmt: skip
    question.live.audit.write(event)


def _whose(holder: Holder) -> tuple[str, str]:
    """Server and name of the person; of root its name alone, which no other token that is nobody's has."""
    if holder.identity is None:
        return "", holder.row.label if holder.row.path == ROOT_PATH else ""
    return holder.identity.account.server, holder.identity.account.username
