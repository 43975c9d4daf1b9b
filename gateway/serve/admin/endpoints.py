"""``/admin/...``: each endpoint is a path, a method and a function from a call to status and data (DECISIONS 26).

=============================  =====================================================================================
``GET /admin/status``          what is in force, since when, what the last reload came to
``GET /admin/config``          every key in force with its origins
``POST /admin/reload``         reload and wait: 200, or 422 with every error; ``?dry_run`` applies nothing
``POST /admin/config/diff``    ``{"files": [absolute paths]}``: what a reload with them would change; admin socket only
``POST /admin/config/forget``  ``{"key": dotted path}``: drop what an API wrote there or below, then reload
=============================  =====================================================================================
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.serve.admin.callers import Caller, Refusal, audit
from gateway.serve.admin.views import change_views, config_views, problem_views, status_view
from gateway.store.interface import Conflict, SettingChange

if TYPE_CHECKING:
    from gateway.reload import Attempt, Reloader, Tried
    from gateway.runtime import Live, Runtime

Answer = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an administrator."""

    runtime: Runtime
    reloader: Reloader
    live: Live
    caller: Caller
    query: Mapping[str, str]
    fields: Mapping[str, Any]
    """Of the JSON body."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers a path."""

    method: str
    function: Callable[[Call], Awaitable[Answer]]


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
    return _tried(call, await call.reloader.compare([Path(file) for file in files]))


async def forget(call: Call) -> Answer:
    """Remove a stored value and everything below it, so that files and defaults count again."""
    key = call.fields.get("key")
    if not isinstance(key, str) or not key:
        raise Refusal(400, "key: expected a dotted path")
    layer = await call.live.store.layer()
    paths = [setting.path for setting in layer.settings if f"{'.'.join(setting.path)}.".startswith(f"{key}.")]
    if not paths:
        raise Refusal(404, f"nothing is stored for {key}")
    gone = [SettingChange(path, forget=True) for path in paths]
    try:
        await call.live.store.layer_write(gone, layer.generation, at=int(time.time()), by=call.caller.user)
    except Conflict:
        raise Refusal(409, "the stored configuration has just changed; try again") from None
    audit(call.live, call.caller, "configuration.forget", "success", target=key)
    code, data = _attempted(call, await call.reloader.reload())
    return code, {"forgotten": [".".join(path) for path in paths], **data}


def _attempted(call: Call, attempt: Attempt) -> Answer:
    data = {
        "outcome": attempt.outcome,
        "generation": attempt.generation,
        "errors": problem_views(attempt.problems, "error"),
        "warnings": problem_views(attempt.problems, "warning"),
    }
    if attempt.outcome == "failed":
        return 422, data
    pending = list(call.reloader.pending_restart)
    return 200, {**data, "changes": change_views(attempt.changes), "pending_restart": pending}


def _tried(call: Call, tried: Tried) -> Answer:
    data = {
        "outcome": "failed" if tried.snapshot is None else "would be applied",
        "generation": call.reloader.snapshot.generation,
        "errors": problem_views(tried.problems, "error"),
        "warnings": problem_views(tried.problems, "warning"),
    }
    return (422, data) if tried.snapshot is None else (200, {**data, "changes": change_views(tried.changes)})


ENDPOINTS: Final = {
    "/admin/status": Endpoint("GET", status),
    "/admin/config": Endpoint("GET", config),
    "/admin/reload": Endpoint("POST", reload),
    "/admin/config/diff": Endpoint("POST", diff),
    "/admin/config/forget": Endpoint("POST", forget),
}
