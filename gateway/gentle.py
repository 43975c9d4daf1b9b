"""Lets a thread load a large configuration without holding up the requests that are answered meanwhile."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SWITCH_SECONDS: Final = 0.0005
"""How long the loading thread may keep the interpreter from the event loop; Python's 5 ms would delay every step of
every request by as much."""
MANY_OBJECTS: Final = 50_000
"""New objects whose search for cycles would take too long: some 10 ms."""
SEARCHED_AFTER: Final = 50
"""Large loads after which the collector searches everything once, which takes some tenths of a second."""


class GentleLoading:
    """Keeps a load in a thread from holding up the event loop.

    Python's switch interval would delay every step of every request, and its search for cycles among the many objects
    of a large configuration all of them at once. Snapshots have no cycles, so they are put where it does not search.
    What else there is at that moment is searched now and then, or the cycles of requests would stay for ever.
    """

    def __init__(self) -> None:
        self._unsearched = 0

    @contextmanager
    def requests_first(self) -> Iterator[None]:
        """Around everything that a thread does for a load."""
        interval, collecting = sys.getswitchinterval(), gc.isenabled()
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.disable()
        try:
            yield
        finally:
            if gc.get_count()[0] > MANY_OBJECTS:
                self._set_aside()
            if collecting:
                gc.enable()
            sys.setswitchinterval(interval)

    def _set_aside(self) -> None:
        self._unsearched += 1
        if self._unsearched >= SEARCHED_AFTER:
            self._unsearched = 0
            gc.unfreeze()
            gc.collect()
        gc.freeze()
