"""What holders of tokens did, for the audit trail (DECISIONS 33)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.serve.vault.paths import shown_path
from gateway.telemetry.audit import new_event

if TYPE_CHECKING:
    from gateway.serve.vault.call import Call

DIALECT = "vault"


def note(call: Call, action: str, target: str) -> None:
    """Write the event of something that was done by a call's holder."""
    holder = call.holder
    account = holder.identity.account if holder.identity else None
    event = new_event(
        time.time(), action, "success", generation=call.live.generation, reason=f"by {holder.row.accessor}",
        dialect=DIALECT, server=account.server if account else "", user=account.username if account else "",
        client=str(call.client or ""), target=shown_path(target),
    )  # fmt: skip
    call.live.audit.write(event)
