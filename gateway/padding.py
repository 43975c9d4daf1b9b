"""How long a failed login takes, so that its time tells nothing about which names exist (DECISIONS 5).

A directory hashes the password of a name that it knows and nothing for one that it does not; with a slow hash that
alone would show in the answer. Local users' hashes are slow, too. So every failure takes at least as long as the
slowest of those, and as wrong passwords lately took wherever names are known.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

REMEMBERED: Final = 16
"""Wrong passwords of one server whose times count."""
LONGEST: Final = 2.0
"""Seconds that others' failures are held back at most for the sake of one; a directory may be slow for a while."""
JITTER: Final = 0.1
"""Part of the time that chance may add."""


class Padding:
    """``floor`` is the least time of a failure, in seconds; 0 turns all of it off."""

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._lately: dict[str, deque[float]] = {}

    @property
    def least(self) -> float:
        """What a failure takes at least, in seconds."""
        return max((self._floor, *(max(times) for times in self._lately.values()))) if self._floor else 0.0

    def raise_floor(self, seconds: float) -> None:
        """Some wrong password takes so long whatever happens."""
        if self._floor:
            self._floor = max(self._floor, seconds)

    def note(self, server: str, seconds: float) -> None:
        """A server, or the local users, took so long to refuse the password of a name that it knows.

        Failures of other kinds must not be noted: they are quick, and could push the slow ones out.
        """
        self._lately.setdefault(server, deque(maxlen=REMEMBERED)).append(min(seconds, LONGEST))

    def remaining(self, seconds: float) -> float:
        """What to wait before a failure is answered that has taken ``seconds``; 0 where it took long enough."""
        return max(0.0, self.least * (1 + JITTER * secrets.randbelow(1000) / 1000) - seconds)
