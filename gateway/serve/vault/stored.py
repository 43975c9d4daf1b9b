"""What holders of tokens write of the configuration: policies, kinds of tokens (DECISIONS 22)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gateway.reload_report import shown_list
from gateway.serve.vault.reply import Reply, VaultError
from gateway.serve.vault.trail import note
from gateway.settings import FORGOTTEN, NotWritten, changes_to, pinned_by
from gateway.store.interface import Layer, SettingChange

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.serve.vault.call import Call

Values = Mapping[tuple[str, ...], object]
"""Paths from the root of the tree, and what is to stand there; None: nothing."""


async def store(call: Call, values_for: Callable[[Snapshot], Values]) -> Reply:
    """Write, durable and in force on return, what ``values_for`` makes of the snapshot in force.

    What a variable decides is kept and said. Raises VaultError 400 where it cannot be used, and StoreError.
    """
    pinned: list[str] = []
    keys: list[str] = []

    def plan(snapshot: Snapshot, layer: Layer) -> list[SettingChange]:
        values = values_for(snapshot)
        keys[:] = map(".".join, values)
        written = (path for path, value in values.items() if value is not FORGOTTEN)
        pinned[:] = filter(None, (pinned_by(snapshot, path) for path in written))
        return changes_to(values, snapshot, layer)

    identity, row = call.holder.identity, call.holder.row
    try:
        await call.live.write(plan, identity.label if identity else row.label or row.accessor)
    except NotWritten as refused:
        raise VaultError(400, str(refused)) from None
    if keys:
        note(call, "configuration.write", f"{call.operation} {call.path}: {shown_list(keys)}")
    return Reply(warnings=[f"what was written has no effect while {origin} is set" for origin in dict.fromkeys(pinned)])
