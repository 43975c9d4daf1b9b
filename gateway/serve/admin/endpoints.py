"""``/admin/...``: each endpoint is a path, a method and a function from a call to status and data (DECISIONS 26).

=============================  =====================================================================================
``GET /admin/status``          what is in force, since when, what the last reload came to
``GET /admin/config``          every key in force with its origins
``POST /admin/reload``         reload and wait: 200, or 422 with every error; ``?dry_run`` applies nothing
``POST /admin/config/diff``    ``{"files": [absolute paths]}``: what a reload with them would change; admin socket only
``POST /admin/config/forget``  ``{"key": dotted path}``: drop what an API wrote there or below, then reload
``/admin/vault/mappings``...   see ``vault_mappings.py``
``GET /admin/vaults/merged``   see ``merged_vaults.py``
``/admin/vaults/``...          see ``vault_history.py``
``/admin/whitelist``...        see ``whitelist.py``
``/admin/sessions``...         see ``sessions.py``
``/admin/lockout``...          see ``lockout.py``
``/admin/keys``...             see ``keys.py``
=============================  =====================================================================================
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config.difference import pending_keys
from gateway.serve.admin import keys, lockout, merged_vaults, sessions, vault_history, vault_mappings, whitelist
from gateway.serve.admin.call import Answer, Call, Endpoint
from gateway.serve.admin.callers import Refusal, audit
from gateway.serve.admin.views import change_views, config_views, in_force_view, problem_views, status_view
from gateway.store.interface import Conflict, SettingChange

if TYPE_CHECKING:
    from gateway.reload_report import Attempt
    from gateway.reload_tried import Tried

async def status(call: Call) -> Answer:
    """What the daemon is doing."""
    return 200, status_view(call.runtime, call.reloader)


async def config(call: Call) -> Answer:
    """The configuration in force, secrets hidden."""
    snapshot = call.reloader.snapshot
    return 200, {"generation": snapshot.generation, "keys": await asyncio.to_thread(config_views, snapshot)}


async def reload(call: Call) -> Answer:
    """Reload, or only try to."""
    if call.query.get("dry_run", "0") not in ("0", "false"):
        return _tried(call, await call.reloader.compare())
    audit(call.live, call.caller, "configuration.reload", "success")
    return _attempted(call, await call.reloader.reload())


async def diff(call: Call) -> Answer:
    """Compare files with what is in force. They are read as the daemon's user, so remote callers may not name any."""
    if not call.caller.by_socket:
        raise Refusal(403, "only over the admin socket")
    files = call.fields.get("files", [])
    if not isinstance(files, list) or not all(isinstance(file, str) and file.startswith("/") for file in files):
        raise Refusal(400, "files: expected a list of absolute paths")
    if any(not _is_file_name(file) for file in files):
        raise Refusal(400, "files: not valid text")
    return _tried(call, await call.reloader.compare([Path(file) for file in files]))


def _is_file_name(text: str) -> bool:
    try:
        return "\0" not in text and bool(os.fsencode(text))
    except UnicodeEncodeError:
        return False


async def forget(call: Call) -> Answer:
    """Remove a stored value and everything below it, so that files and defaults count again.

    Only where the rest can be used: else nothing is removed, and the errors are told.
    """
    key = call.fields.get("key")
    if not isinstance(key, str) or not key:
        raise Refusal(400, "key: expected a dotted path")
    layer = await call.live.store.layer()
    gone = [setting.path for setting in layer.settings if _is_at_or_below(setting.path, key)]
    if not gone:
        raise Refusal(404, f"nothing is stored for {key}")
    rest = replace(layer, settings=tuple(setting for setting in layer.settings if setting.path not in gone))
    if (tried := await call.reloader.compare(stored=rest)).snapshot is None:
        return _tried(call, tried)
    changes = [SettingChange(path, forget=True) for path in gone]
    try:
        await call.live.store.layer_write(changes, layer.generation, at=int(time.time()), by=call.caller.user)
    except Conflict:
        raise Refusal(409, "the stored configuration has just changed; try again") from None
    audit(call.live, call.caller, "configuration.forget", "success", target=key)
    code, data = _attempted(call, await call.reloader.reload("stored"))
    return code, {"forgotten": [".".join(path) for path in gone], **data}


def _is_at_or_below(path: tuple[str, ...], key: str) -> bool:
    """By whole elements: a name within a path may hold dots."""
    return any(".".join(path[:length]) == key for length in range(1, len(path) + 1))


def _attempted(call: Call, attempt: Attempt) -> Answer:
    data = {
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "generation": attempt.generation,
        "errors": problem_views(attempt.problems, "error"),
        "warnings": problem_views(attempt.problems, "warning"),
    }
    if attempt.outcome == "failed":
        return 422, data
    if attempt.outcome == "unchanged":
        data["in_force"] = in_force_view(call.reloader.applied, time.time())
    pending = list(call.reloader.pending_restart)
    return 200, {**data, **change_views(attempt.changes), "pending_restart": pending}


def _tried(call: Call, tried: Tried) -> Answer:
    data = {
        "outcome": "failed" if tried.snapshot is None else "would be applied",
        "generation": call.reloader.snapshot.generation,
        "errors": problem_views(tried.problems, "error"),
        "warnings": problem_views(tried.problems, "warning"),
    }
    if tried.snapshot is None:
        return 422, data
    would_hold = call.reloader.doubts(tried)
    pending = pending_keys(tried.snapshot.written, call.reloader.begun_with)
    return 200, {**data, **change_views(tried.changes), "would_hold": would_hold, "pending_restart": pending}


ENDPOINTS: Final = {
    "/admin/status": Endpoint("GET", status),
    "/admin/config": Endpoint("GET", config),
    "/admin/reload": Endpoint("POST", reload, parameters=("dry_run",)),
    "/admin/config/diff": Endpoint("POST", diff, fields=("files",)),
    "/admin/config/forget": Endpoint("POST", forget, fields=("key",)),
    "/admin/vaults/merged": Endpoint("GET", merged_vaults.merged, parameters=("user", "format")),
    "/admin/vaults/list": Endpoint("GET", vault_history.listing, parameters=("deleted",)),
    "/admin/vaults/history": Endpoint("GET", vault_history.history, parameters=("vault", "version")),
    "/admin/vaults/undo": Endpoint("POST", vault_history.undo, fields=("vault", "version")),
    "/admin/vault/mappings": Endpoint("GET", vault_mappings.show, parameters=("mount",)),
    "/admin/vault/mappings/replace": Endpoint(
        "POST", vault_mappings.replace, fields=("mount", "document", "dry_run"), large=True
    ),
    "/admin/whitelist": Endpoint("GET", whitelist.show),
    "/admin/whitelist/add": Endpoint("POST", whitelist.add, fields=("entries", "role")),
    "/admin/whitelist/remove": Endpoint("POST", whitelist.remove, fields=("entries",)),
    "/admin/sessions": Endpoint("GET", sessions.listing, parameters=("user", "kind", "after")),
    "/admin/sessions/revoke": Endpoint("POST", sessions.revoke, fields=("accessor", "user", "kind")),
    "/admin/lockout": Endpoint("GET", lockout.listing, parameters=("all", "after")),
    "/admin/lockout/clear": Endpoint("POST", lockout.clear, fields=("user", "address")),
    "/admin/keys": Endpoint("GET", keys.listing),
    "/admin/keys/rotate": Endpoint("POST", keys.rotate, fields=("purpose", "now", "force")),
}
