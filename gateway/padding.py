"""How long a failed login takes, so that its time tells nothing about which names exist (DECISIONS 5).

A directory hashes the password of a name that it knows and nothing for one that it does not; with a slow hash that
alone would show in the answer. So every failure takes at least as long as wrong passwords lately took.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

REMEMBERED: Final = 16
"""Wrong passwords whose times count."""
LONGEST: Final = 2.0
"""Seconds that others' failures are held back at most for the sake of one; a directory may be slow for a while."""
JITTER: Final = 0.1
"""Part of the time that chance may add."""


class Padding:
    """``floor`` is the least time of a failure, in seconds; 0 turns all of it off."""

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._lately: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        """A directory took so long to refuse the password of a name that it knows.

        Failures of other kinds must not be noted: they are quick, and could push the slow ones out.
        """
        self._lately.append(min(seconds, LONGEST))

    def remaining(self, seconds: float) -> float:
        """What to wait before a failure is answered that has taken ``seconds``; 0 where it took long enough."""
        if not self._floor:
            return 0.0
        whole = max(self._floor, *self._lately) if self._lately else self._floor
        return max(0.0, whole * (1 + JITTER * secrets.randbelow(1000) / 1000) - seconds)
