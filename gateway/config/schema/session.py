"""How long what the directory said is believed (configuration.md 1.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .fields import Interval
from .section import Finding, Section


class Session(Section):
    """Re-checks of people whose token is renewed."""

    refresh_interval: Interval = 300.0
    """How long after the directory was asked for a person it is not asked again; ``always`` (0) or ``never``."""
    max_stale: Interval = 3600.0
    """How long its last answer counts while it cannot be asked; then renewal answers 503. ``never``: no end."""

    def findings(self) -> Iterator[Finding]:
        if math.isfinite(self.refresh_interval) and self.max_stale < self.refresh_interval:
            message = "is shorter than session.refresh_interval"
            yield Finding(("max_stale",), message, rests_on=(("refresh_interval",),))
