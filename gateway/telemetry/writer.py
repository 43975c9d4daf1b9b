"""A thread that writes lines, so that a slow disk or a full pipe delays no login and no shutdown."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TextIO

LINES_HELD: Final = 100_000
"""Lines that wait for a slow reader before further ones are dropped and counted."""

CLOSE_SECONDS: Final = 2.0
"""How long the last lines may take to be written when we end."""

Line = Callable[[], str]
"""Makes the line, in the thread: rendering costs more than handing over."""


class LineWriter:
    """Writes to one stream, and closes it at the end where it is ``owned``.

    ``write`` never blocks; what cannot be written is counted in ``lost``.
    """

    def __init__(
        self, stream: TextIO, name: str, on_loss: Callable[[Exception], None] | None = None, *, owned: bool = False
    ) -> None:
        self.lost = 0
        self._stream = stream
        self._owned = owned
        self._on_loss = on_loss
        self._held: queue.Queue[Line | TextIO | None] = queue.Queue(LINES_HELD)
        # A daemon thread: one that hangs in a write must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, line: Line) -> None:
        """Queue one line."""
        self._put(line)

    def continue_on(self, stream: TextIO) -> None:
        """Close the stream after what is queued and go on with another."""
        self._put(stream)

    def close(self) -> bool:
        """Write what is queued, for ``CLOSE_SECONDS`` at most; False where something is left."""
        self._put(None)
        self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive()

    def _put(self, item: Line | TextIO | None) -> None:
        try:
            self._held.put_nowait(item)
        except queue.Full:
            self.lost += 1

    def _run(self) -> None:
        while (item := self._held.get()) is not None:
            self._guarded(self._take, item)
        self._guarded(self._stream.close if self._owned else self._stream.flush)

    def _take(self, item: Line | TextIO) -> None:
        if callable(item):
            self._stream.write(item() + "\n")
        else:
            self._stream, old = item, self._stream
            old.close()
        if self._held.empty():
            self._stream.flush()

    def _guarded(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except (OSError, ValueError) as error:
            self.lost += 1
            if self.lost == 1 and self._on_loss is not None:
                self._on_loss(error)
