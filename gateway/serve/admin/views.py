"""The JSON forms of what ``/admin/`` answers. Secrets are hidden before they come here; times are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.config.show import rows, shown_tree
from gateway.telemetry.logs import utc

if TYPE_CHECKING:
    from gateway.config.difference import Change
    from gateway.config.load import Snapshot
    from gateway.config.origin import Problem
    from gateway.directory.bind import DirectoryServer
    from gateway.directory.pool import HostState
    from gateway.reload import Held, Reloader
    from gateway.reload_report import Attempt
    from gateway.runtime import Runtime


def problem_views(problems: Iterable[Problem], severity: str) -> list[dict[str, Any]]:
    """Errors, or warnings: ``file`` may also be a variable's name; line and column are 0 where there are none."""
    return [
        {
            "file": problem.place,
            "line": problem.line,
            "column": problem.column,
            "path": problem.path,
            "message": problem.message,
        }
        for problem in problems
        if problem.severity == severity
    ]


MOST_CHANGES: Final = 1000
"""Changes that an answer tells; tens of thousands would hold up everybody else while they are written out."""


def change_views(changes: Sequence[Change]) -> dict[str, Any]:
    """Changed keys with what they were and become, and how many more there are."""
    told = [
        {"key": change.path, "old": change.old, "new": change.new, "restart": change.restart, "text": str(change)}
        for change in changes[:MOST_CHANGES]
    ]
    return {"changes": told, "more_changes": len(changes) - len(told)}


def config_views(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every key with its value and where that came from, then what that overrides. Takes long for many keys."""
    return [
        {
            "key": ".".join(row.path),
            "value": row.value,
            "origins": [str(origin) for origin in row.origins],
            "default": row.origins[0].kind == "default",
        }
        for row in rows(shown_tree(snapshot.configuration, snapshot.origins))
    ]


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    """The record of one reload."""
    return {
        "time": utc(attempt.began_at),
        "seconds": round(attempt.seconds, 3),
        "trigger": attempt.trigger,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "hash": attempt.digest,
        "errors": problem_views(attempt.problems, "error"),
        "warnings": problem_views(attempt.problems, "warning"),
    }


def in_force_view(applied: Attempt, now: float) -> dict[str, Any]:
    """How what is in force came to be, for those who ask for a reload and find nothing changed."""
    return {
        "time": utc(applied.began_at + applied.seconds),
        "seconds_ago": round(max(0.0, now - applied.began_at - applied.seconds), 1),
        "trigger": applied.trigger,
        **change_views(applied.changes),
    }


def status_view(runtime: Runtime, reloader: Reloader) -> dict[str, Any]:
    """What the daemon is doing, for administrators: it names files and servers."""
    snapshot, watcher = reloader.snapshot, reloader.watcher
    return {
        "version": __version__,
        "status": reloader.status,
        "draining": runtime.draining,
        "generation": snapshot.generation,
        "hash": reloader.hash,
        "files": [str(file) for file in snapshot.files],
        "started": utc(reloader.started_at),
        "loaded": utc(reloader.loaded_at),
        "warnings": problem_views(snapshot.warnings, "warning"),
        "last_reload": attempt_view(reloader.last),
        "last_reload_successful": reloader.successful,
        "reloads": [
            {"trigger": trigger, "outcome": outcome, "count": count}
            for (trigger, outcome), count in sorted(reloader.counts.items())
        ],
        "held": reloader.held and _held_view(reloader.held),
        "pending_restart": list(reloader.pending_restart),
        "watch": {"mode": watcher.mode, "errors": watcher.errors} if watcher else {"mode": "off", "errors": 0},
        "directories": {server.name: directory_view(server) for server in runtime.current.servers},
    }


def directory_view(server: DirectoryServer) -> dict[str, Any]:
    """How one server and each of its hosts fare. Errors name hosts and the service account, never its password.

    A directory that is up may yet be of no use, when what is asked of it is wrong: ``last_failure`` tells that.
    """
    pool, failure = server.pool, server.last_failure
    state = pool.state
    return {
        "state": "up" if state.up else "down",
        "since": utc(state.since),
        "host": str(state.endpoint) if state.up else "",
        "error": state.error,
        "last_failure": failure and {"time": utc(failure.at), "text": failure.text},
        "hosts": [_host_view(host) for host in pool.hosts],
    }


def _host_view(host: HostState) -> dict[str, Any]:
    """``retry_seconds``: until it is asked again at the earliest, 0 where it is not left alone."""
    return {
        "host": str(host.endpoint),
        "tls": host.endpoint.tls,
        "state": host.state,
        "since": utc(host.since),
        "error": host.error,
        "retry_seconds": round(host.retry_seconds, 1),
    }


def _held_view(held: Held) -> dict[str, Any]:
    return {"reason": held.reason, "since": utc(held.since), "file": str(held.file or "")}
