"""``/admin/vaults/``: which vaults there are, what one was before, and making it that again.

============================  ======================================================================================
``GET .../list``              every stored vault; ``?deleted=true``: those deleted that can be brought back
``GET .../history?vault=ID``  every version that is kept, the newest first; ``&version=N``: that one with its text
``POST .../undo``             ``{"vault": ID}``, or with ``"version": N``: also brings back a deleted vault
============================  ======================================================================================
"""

from __future__ import annotations

import time
from typing import Any

from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.store.interface import Conflict, VaultRow, VaultVersion
from gateway.telemetry.logs import utc
from gateway.vaults.book import NothingToUndo
from gateway.vaults.model import USER, InvalidField, UnknownVault
from gateway.vaults.turns import TooManyWaiting


async def listing(call: Call) -> Answer:
    """Tell which vaults are stored, or were deleted and can be brought back; no texts."""
    wanted = call.query.get("deleted", "")
    if wanted not in ("", "true", "false"):
        raise Refusal(400, "deleted: expected true or false")
    found = await call.live.vaults.listed(deleted=wanted == "true")
    names, people = await call.live.vaults.group_names(), {}
    for row in found:
        if row.scope == USER and row.owner not in people:
            person = await call.live.store.identity(row.owner)
            people[row.owner] = row.owner if person is None else f"{person.server}/{person.username}"
    known = {**names, **people}
    return 200, {"vaults": [{**_entry(row), "owner_name": known.get(row.owner, row.owner)} for row in found]}


def _entry(row: VaultRow | VaultVersion) -> dict[str, Any]:
    if isinstance(row, VaultRow):
        return {"id": row.id, **_shown(row)}
    return {"id": row.vault, **_shown(row), "deleted_at": utc(row.deleted_at or 0)}


async def history(call: Call) -> Answer:
    """Tell who wrote a vault when; texts, which may hold secrets, only of the version that is asked for."""
    vault_id, wanted = call.query.get("vault", ""), call.query.get("version", "")
    current, kept = await call.live.vaults.history(vault_id)
    versions: list[VaultRow | VaultVersion] = [*([current] if current is not None else []), *kept]
    if not versions:
        raise Refusal(404, "vault: there is none with this id, and nothing is kept of one")
    if not wanted:
        deleted_at = kept[0].deleted_at if current is None else None
        shown = None if deleted_at is None else utc(deleted_at)
        return 200, {"deleted": current is None, "deleted_at": shown, "versions": [_shown(row) for row in versions]}
    found = next((row for row in versions if str(row.version) == wanted), None)
    if found is None:
        raise Refusal(404, "version: not among those that are kept")
    audit(call.live, call.caller, "vault.read", "success", target=f"{vault_id} version {found.version}")
    return 200, {**_shown(found), "text": found.text}


async def undo(call: Call) -> Answer:
    """Make a vault what it was."""
    vault_id, version = call.fields.get("vault"), call.fields.get("version")
    if not isinstance(vault_id, str) or not vault_id:
        raise Refusal(400, "vault: expected the id of a vault")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise Refusal(400, "version: expected a number")
    try:
        saved = await call.live.vaults.undo(vault_id, version, by=call.caller.label, now=int(time.time()))
    except UnknownVault:
        raise Refusal(404, "nothing is kept of this vault from before, or not this version") from None
    except NothingToUndo as error:
        raise Refusal(409, f"{error}: name another version") from None
    except TooManyWaiting:
        raise Refusal(429, "too many requests of this user are waiting", {"Retry-After": "2"}) from None
    except InvalidField as error:
        raise Refusal(400, f"{error.name}: {error.message}") from None
    except Conflict:
        raise Refusal(409, "the vault has just changed; try again") from None
    audit(call.live, call.caller, "vault.undo", "success", target=vault_id)
    return 200, {
        "vault": vault_id, "version": saved.version, "restored": saved.restored, "deleted": saved.deleted,
        "warnings": [w._asdict() for w in saved.warnings],
    }  # fmt: skip


def _shown(row: VaultRow | VaultVersion) -> dict[str, Any]:
    at, by = (row.updated_at, row.updated_by) if isinstance(row, VaultRow) else (row.at, row.by)
    return {
        "version": row.version, "at": utc(at), "by": by, "company": row.company, "scope": row.scope, "owner": row.owner,
        "type": row.type,
        "format": row.format, "enabled": row.enabled, "description": row.description,
        "bytes": len(row.text.encode()), "damaged": row.damaged,
    }  # fmt: skip
