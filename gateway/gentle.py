"""Lets threads load a large configuration, or check passwords, without holding up the requests answered meanwhile."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

SWITCH_SECONDS: Final = 0.0005
"""How long the loading thread may keep the interpreter from the event loop; Python's 5 ms would delay every step of
every request by as much."""
MANY_OBJECTS: Final = 50_000
"""New objects whose search for cycles would take too long: some 10 ms."""
SEARCHED_AFTER: Final = 50
"""Large loads after which the collector searches everything once, which takes some tenths of a second."""
NICER: Final = 10
"""How much nicer than the event loop a thread is that only computes: a ninth of its share where they share a core."""


def let_others_first() -> None:
    """Have the calling thread, which only computes, run when nothing else of ours wants to.

    Hashes take tens of milliseconds each, and on a busy core the scheduler would give them as much as the event loop.
    """
    if sys.platform == "linux":  # where threads have priorities of their own
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)


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
