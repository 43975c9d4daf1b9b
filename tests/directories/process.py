"""What the real directories of tests have in common: a process on ports of its own, which the tests stop again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import ldap3

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 20.0


class DirectoryProcess(ABC):
    """One directory server. A context manager that stops it."""

    admin: tuple[str, str]
    """DN and password of who may change everything."""

    def __init__(self, directory: Path, host: str, port: int, ldaps_port: int) -> None:
        self.directory = directory
        self.host = host
        self.port = port
        self.ldaps_port = ldaps_port
        """0 where it speaks no TLS."""
        self.ca_file = directory / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Starts it in the foreground; it may end with its standard input."""

    @property
    def logs(self) -> Sequence[Path]:
        """What to show when it does not start."""
        return (self.directory / "output.log",)

    @contextlib.contextmanager
    def administration(self) -> Iterator[ldap3.Connection]:
        """A connection that may change everything; what the directory refuses is raised."""
        server = ldap3.Server(self.host, self.port, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, *self.admin, auto_bind=True, raise_exceptions=True)
        try:
            yield connection
        finally:
            connection.unbind()

    def bind(self, user: str, password: str) -> tuple[int, str]:
        """Result code and diagnostic message of a simple bind by other code than ours."""
        connection = ldap3.Connection(ldap3.Server(self.host, self.port, get_info=ldap3.NONE), user, password)
        try:
            connection.bind()
            return int(connection.result["result"]), str(connection.result["message"])
        finally:
            connection.unbind()

    @property
    def pid(self) -> int:
        """Process id; raises when it is not running."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._process.pid

    def run(self) -> None:
        """Start the process and wait until it answers on all its ports."""
        with (self.directory / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment()
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not all(_answers(self.host, port) for port in (self.port, self.ldaps_port) if port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                told = "\n".join(log.read_text(errors="replace")[-2000:] for log in self.logs if log.exists())
                raise RuntimeError(f"{type(self).__name__} did not start: {told}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait. Harmless when it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            process.send_signal(number)
            if number != signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def search_path() -> str:
    """``PATH`` with where Debian keeps servers, which an ordinary user's has not."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def environment() -> dict[str, str]:
    """Ours, with ``search_path``."""
    return {**os.environ, "PATH": search_path()}


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
