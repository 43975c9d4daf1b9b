"""The process itself: TLS of listeners, HTTP limits, store, log and audit (configuration.md 1.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .fields import AuditTarget, Duration, Flag, Int, OptionalPath, Size, StoreUrl
from .section import Section


class ListenerTls(Section):
    """TLS of the listeners that are written ``https://``."""

    cert_file: OptionalPath = None
    """Certificate in PEM, those of intermediate authorities behind it. A new one is taken without a restart."""
    key_file: OptionalPath = None
    """Its key in PEM, without a passphrase."""
    min_version: Literal["TLS1.2", "TLS1.3"] = "TLS1.2"
    """Oldest version of TLS that is spoken."""


class Http(Section):
    """Limits of the HTTP side."""

    max_body: Size = 1024 * 1024
    """Largest request body; above it: 413 before reading."""
    max_login_body: Size = 64 * 1024
    """Largest body of a login request; above it: 413 before reading."""
    max_header: Annotated[Size, Field(ge=8 * 1024, le=1024 * 1024)] = 32 * 1024
    """Longest request line, and longest header; above it: 431."""
    max_headers: Annotated[Int, Field(ge=32, le=1000)] = 128
    """Most headers; above it: 431."""
    max_json_depth: Annotated[Int, Field(ge=1, le=500)] = 64
    """Deepest nesting of a JSON body; above it: 400."""
    max_json_items: Annotated[Int, Field(ge=1)] = 10_000
    """Most values in a JSON body; above it: 400."""
    keepalive: Duration = 90.0
    """How long an idle connection is kept."""
    drain_delay: Duration = 0.0
    """At shutdown: how long readiness is red before listeners close."""
    shutdown: Duration = 20.0
    """At shutdown: how long running requests may take to finish."""


class Reload(Section):
    """How changed files are noticed and applied."""

    watch: Flag = True
    """Be woken by the operating system's file events. Without it, and where they stay out, ``poll`` finds changes."""
    poll: Annotated[Duration, Field(ge=0.01, le=3600)] = 2.0
    """How often the files are looked at."""
    settle: Annotated[Duration, Field(le=3600)] = 1.0
    """How long files must have been left alone before they are read."""
    hold: Annotated[Duration, Field(le=3600)] = 3.0
    """How long a change that removes more than half of servers, rules, users or mappings must have stood."""
    missing_grace: Annotated[Duration, Field(le=3600)] = 5.0
    """How long a file may be absent before that counts as a change."""


class Store(Section):
    """Where tokens, identities and vaults are kept."""

    url: StoreUrl = "sqlite"
    """``sqlite`` (``state_dir/gateway.db``) or ``sqlite:///PATH``."""
    synchronous: Literal["full", "normal"] = "full"
    """``full``: a write survives a power cut. ``normal``: it survives only the end of the process."""

    def path(self, state_dir: Path) -> Path:
        """The database file."""
        return state_dir / "gateway.db" if self.url == "sqlite" else Path(self.url.removeprefix("sqlite://"))


class Log(Section):
    """The log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is written."""
    format: Literal["auto", "text", "json"] = "auto"
    """``auto``: text on a terminal, else one JSON object a line."""


class Audit(Section):
    """The audit trail: one JSON object a line."""

    to: AuditTarget = "stderr"
    """``stderr``, ``file:PATH`` or ``off``."""
