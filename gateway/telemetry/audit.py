"""Audit events: who did what, with which outcome, one JSON object a line, in the form fixed from the first day."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, Protocol, TextIO

from gateway.printable import printable_json
from gateway.telemetry.logs import random_id, utc
from gateway.telemetry.writer import LineWriter

log = logging.getLogger(__name__)

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

    def reopen(self) -> None:
        """Go on in a new file, where the old one was renamed away. Raises OSError."""

    def close(self) -> bool:
        """Write what is queued, then stop; False where something is left."""


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

    def reopen(self) -> None:
        """There is no file."""

    def close(self) -> bool:
        """Nothing is queued."""
        return True


class AuditWriter:
    """Writes events from a thread of its own; says in the log at once when one is lost."""

    def __init__(self, stream: TextIO, path: Path | None = None) -> None:
        self._path = path
        self._writer = LineWriter(stream, "audit", _report_loss, owned=path is not None)

    def write(self, event: Event) -> None:
        """Queue one event."""
        self._writer.write(lambda: printable_json(_encode({name: getattr(event, name) for name in _FIELDS})))

    def reopen(self) -> None:
        """Open the file by its name again. Raises OSError."""
        if self._path is not None:
            self._writer.continue_on(_open(self._path))

    def close(self) -> bool:
        """Write what is queued, then stop."""
        return self._writer.close()


class SwitchedAudit:
    """The audit of a process whose ``audit.to`` may change while it runs."""

    def __init__(self, to: str) -> None:
        """Raises OSError."""
        self._to = to
        self._audit = open_audit(to)

    def write(self, event: Event) -> None:
        """Take one event."""
        self._audit.write(event)

    def reopen(self) -> None:
        """Go on in a new file. Raises OSError."""
        self._audit.reopen()

    def close(self) -> bool:
        """Write what is queued, then stop."""
        return self._audit.close()

    @asynccontextmanager
    async def switching(self, to: str) -> AsyncIterator[None]:
        """Go over to ``to`` where what is done meanwhile succeeds; else stay. Raises OSError before it is begun."""
        if to == self._to:
            yield
            return
        unused = await asyncio.to_thread(open_audit, to)
        try:
            yield
            self._to, self._audit, unused = to, unused, self._audit
        finally:
            await asyncio.to_thread(unused.close)


def open_audit(to: str) -> Audit:
    """Open the place named by ``audit.to``: ``stderr``, ``file:PATH`` or ``off``. Raises OSError."""
    if to == "off":
        return NoAudit()
    if to == "stderr":
        return AuditWriter(sys.stderr)
    path = Path(to.removeprefix("file:"))
    return AuditWriter(_open(path), path)


def _open(path: Path) -> TextIO:
    """Without waiting for the reader of a FIFO: where there is none, that is an error."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _report_loss(error: Exception) -> None:
    log.error("audit events are being lost: %s", error)
