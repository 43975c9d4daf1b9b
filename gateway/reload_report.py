"""What attempts to take over a configuration came to, and how that is told in the log and in audit events."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.difference import Change
from gateway.config.origin import Problem
from gateway.telemetry.audit import Event, new_event

log = logging.getLogger(__name__)

Trigger = Literal["start", "file", "signal", "api", "stored"]
Outcome = Literal["applied", "unchanged", "failed", "held"]
KEYS_SHOWN: Final = 50
"""Changed keys that an audit event names."""

@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt to reload came to."""

    began_at: float
    """Seconds since 1970."""
    seconds: float
    trigger: Trigger
    outcome: Outcome
    generation: int
    """In force afterwards."""
    digest: str
    """Of the names and bytes that were read; empty where nothing was."""
    reason: str = ""
    """Why it was held; else empty."""
    problems: tuple[Problem, ...] = ()
    changes: tuple[Change, ...] = ()


def tell(attempt: Attempt, status: str, pending_restart: Sequence[str]) -> None:
    """Write the log of one attempt."""
    match attempt.outcome:
        case "applied":
            for problem in attempt.problems:
                log.warning("%s", problem)
            log.info("configuration applied: %s; changed: %s", status, shown_list(_with_remarks(attempt.changes)))
            _tell_pending(pending_restart)
        case "unchanged":
            log.info("%s; what is written is in force already", status)
            _tell_pending(pending_restart)
        case "held":
            log.warning("%s", status)
        case "failed":
            for problem in attempt.problems:
                if problem.severity == "error":
                    log.error("reload: %s", problem)
            log.error("%s", status)


def _with_remarks(made: Sequence[Change]) -> list[str]:
    """The changed keys: ``tls.cert_file (valid until 2027-02-20 14:00 UTC)``."""
    shown = (f"{change.path} ({change.remark})" if change.remark else change.path for change in made)
    return list(dict.fromkeys(shown))


def _tell_pending(keys: Sequence[str]) -> None:
    if keys:
        log.warning("changed, but in force only after a restart: %s", ", ".join(keys))


def event_of(attempt: Attempt, target: str) -> Event:
    applied = attempt.outcome == "applied"
    return new_event(
        time.time(),
        "configuration.apply",
        "success" if applied else "failure",
        generation=attempt.generation,
        reason=attempt.trigger if applied else f"{attempt.trigger}: {_why_not(attempt)}",
        target=target if applied else "",
    )


def _why_not(attempt: Attempt) -> str:
    if attempt.reason:
        return attempt.reason
    errors = [problem for problem in attempt.problems if problem.severity == "error"]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}" if errors else attempt.outcome


def shown_keys(made: Sequence[Change]) -> str:
    """The changed keys without their values: ``lockout.failures, users.ada and 3 more``."""
    return shown_list(list(dict.fromkeys(change.path for change in made)))


def shown_list(keys: Sequence[str]) -> str:
    """As many keys as an event has room for."""
    shown = ", ".join(keys[:KEYS_SHOWN]) or "nothing"
    return shown if len(keys) <= KEYS_SHOWN else f"{shown} and {len(keys) - KEYS_SHOWN} more"
