"""Audit events: who did what, with which outcome, one JSON object a line, in the form fixed from the first day."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, Protocol, TextIO

from gateway.telemetry.logs import random_id, utc

EVENTS_HELD = 100_000
"""Events that wait for a slow disk or reader; further ones are counted and reported as lost."""

Outcome = Literal["success", "failure", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One audit event; the fields and their order are part of the interface (DECISIONS 33)."""

    time: str
    id: str
    generation: int
    action: str
    """What was attempted: ``login``, ``token.issue``, ``token.revoke``, ``configuration.apply``."""
    outcome: Outcome
    reason: str
    """For the operator alone, never sent to the caller: ``wrong password``, ``locked``, ``not whitelisted``."""
    dialect: str
    server: str
    user: str
    client: str
    """Address of the client, empty for a unix socket."""
    target: str
    """What was asked for: an endpoint, a host and path, a configuration key."""


_FIELDS: Final = tuple(each.name for each in fields(Event))
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


class Audit(Protocol):
    """Where audit events go."""

    def write(self, event: Event) -> None:
        """Take one event; never blocks."""

    def close(self) -> None:
        """Write what is queued, then stop."""


def new_event(
    now: float,
    action: str,
    outcome: Outcome,
    *,
    generation: int = 0,
    reason: str = "",
    dialect: str = "",
    server: str = "",
    user: str = "",
    client: str = "",
    target: str = "",
) -> Event:
    """Make an event with a fresh id; ``now`` is in seconds since 1970."""
    identifier = random_id()
    return Event(utc(now), identifier, generation, action, outcome, reason, dialect, server, user, client, target)


class NoAudit:
    """``audit.to = "off"``."""

    def write(self, event: Event) -> None:
        """Forget the event."""

    def close(self) -> None:
        """Nothing is queued."""


class AuditWriter:
    """Writes events from a thread of its own, so that a slow disk delays no login."""

    def __init__(self, stream: TextIO, *, owned: bool) -> None:
        self._stream = stream
        self._owned = owned
        self._held: queue.Queue[Event | None] = queue.Queue(EVENTS_HELD)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def write(self, event: Event) -> None:
        """Queue one event."""
        try:
            self._held.put_nowait(event)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is queued, then stop; says so when events were lost."""
        self._held.put(None)
        self._thread.join()
        if self._lost:
            sys.stderr.write(f"{self._lost} audit events were lost: the output could not be written fast enough\n")
        if self._owned:
            self._stream.close()

    def _run(self) -> None:
        while (event := self._held.get()) is not None:
            try:
                self._stream.write(_encode({name: getattr(event, name) for name in _FIELDS}) + "\n")
                if self._held.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self._lost += 1


def open_audit(to: str) -> Audit:
    """Open the place named by ``audit.to``: ``stderr``, ``file:PATH`` or ``off``. Raises OSError."""
    if to == "off":
        return NoAudit()
    if to == "stderr":
        return AuditWriter(sys.stderr, owned=False)
    descriptor = os.open(Path(to.removeprefix("file:")), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return AuditWriter(os.fdopen(descriptor, "w", encoding="utf-8"), owned=True)
