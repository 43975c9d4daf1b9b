"""How long what the directory said is believed (configuration.md 1.5)."""

from __future__ import annotations

from collections.abc import Iterator

from .fields import Duration
from .section import Finding, Section


class Session(Section):
    """Re-checks of people whose token is renewed."""

    refresh_interval: Duration = 300.0
    """How long after the directory was asked for a person it is not asked again."""
    max_stale: Duration = 3600.0
    """How long its last answer counts while it cannot be asked; then renewal answers 503."""

    def findings(self) -> Iterator[Finding]:
        if self.max_stale < self.refresh_interval:
            yield Finding(("max_stale",), "is shorter than session.refresh_interval")
