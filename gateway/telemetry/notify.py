"""Messages to systemd (sd_notify(3)), in own code: the libraries for it are unmaintained or need a compiler."""

from __future__ import annotations

import os
import socket
import time


def notify(**fields: str | int) -> bool:
    """Send fields such as ``READY=1`` or ``STATUS=...`` in one datagram; False where nobody listens.

    The manager may be gone at exit, so errors of the socket are swallowed.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    if path.startswith("@"):
        path = "\0" + path[1:]
    message = "\n".join(f"{name}={str(value).replace(chr(10), ' ')}" for name, value in fields.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(message.encode(), path)
    except OSError:
        return False
    return True


def reloading() -> bool:
    """Say that a reload begins; ``notify(READY=1, STATUS=...)`` must follow, after a failed one too."""
    return notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


def watchdog_interval() -> float | None:
    """Seconds between two ``WATCHDOG=1``, a third of what systemd waits; None where it does not watch us."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 3_000_000
