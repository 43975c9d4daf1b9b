"""``ldap-gateway serve``: the daemon in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from gateway import __version__
from gateway.cli.config import CONFIGURATION_ERROR, add_files_option, print_problems
from gateway.config.load import ConfigurationError, Snapshot, load
from gateway.config.schema import QUICKSTART_HASH, Configuration, Secret, UnixAddress
from gateway.runtime import Runtime
from gateway.serve.application import Application, make_runner
from gateway.store.interface import StoreError
from gateway.telemetry.audit import Audit, new_event, open_audit
from gateway.telemetry.logs import Log
from gateway.telemetry.notify import notify, reloading, watchdog_interval

log = logging.getLogger("gateway")

SOCKET_MODE: Final = 0o660

_AT_START: Final = (
    "listen", "state_dir", "store", "uvloop", "audit", "tokens.master_key",
    "http.keepalive", "http.drain_delay", "http.shutdown",
)  # fmt: skip
"""Keys that are applied when the daemon starts, and only then."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("serve", help="run the daemon; SIGHUP reloads, SIGTERM drains")
    add_files_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the configuration and serve until SIGTERM or SIGINT."""
    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    configuration = snapshot.configuration
    try:
        audit = open_audit(configuration.audit.to)
    except OSError as error:
        print(f"audit.to: {error.filename}: {error.strerror}", file=sys.stderr)
        return CONFIGURATION_ERROR
    output = Log(configuration.log.level, configuration.log.format)
    try:
        code = _runner_of(configuration)(Daemon(arguments.files, snapshot, audit, output).run())
    finally:
        written = [audit.close(), output.close()]
    if not all(written) or not _flushed():
        # Whoever read our output has stopped; waiting for them at exit would take for ever.
        os._exit(code)
    return code


def _flushed() -> bool:
    try:
        sys.stderr.flush()
    except OSError:
        return False
    return True


def _runner_of(configuration: Configuration) -> Callable[[Coroutine[Any, Any, int]], int]:
    if configuration.uvloop:
        try:
            import uvloop
        except ImportError:
            log.info("uvloop is not installed; plain asyncio works too")
        else:
            return uvloop.run
    return asyncio.run


class Daemon:
    """Listeners, signals and the runtime of one process."""

    def __init__(self, files: Sequence[Path], snapshot: Snapshot, audit: Audit, output: Log) -> None:
        self._files = files
        self._snapshot = snapshot
        self._started_with = snapshot.configuration
        self._audit = audit
        self._output = output
        self._stop = asyncio.Event()
        self._reload_wanted = asyncio.Event()

    async def run(self) -> int:
        """Serve; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        for problem in self._snapshot.warnings:
            log.warning("%s", problem)
        try:
            runtime = await Runtime.start(self._snapshot, self._audit)
        except (StoreError, OSError, ValueError) as error:
            log.error("cannot start: %s", error)
            return 1
        http = self._snapshot.configuration.http
        runner = make_runner(Application(runtime), keepalive=http.keepalive, shutdown=http.shutdown)
        try:
            await runner.setup()
            addresses = await listen(runner, self._snapshot.configuration)
            self._announce(runtime, addresses)
            await self._serve(runtime)
            runtime.draining = True
            notify(STOPPING=1, STATUS="draining")
            await asyncio.sleep(http.drain_delay)
        except OSError as error:
            log.error("cannot listen: %s", error.strerror)
            return 1
        finally:
            await runner.cleanup()
            await runtime.close()
        log.info("stopped")
        return 0

    def _announce(self, runtime: Runtime, addresses: Sequence[str]) -> None:
        log.info("ldap-gateway %s listens on %s", __version__, ", ".join(addresses))
        published = any(user.password_hash == Secret(QUICKSTART_HASH) for user in self._snapshot.configuration.users)
        if published and (http := [address for address in addresses if address.startswith("http")]):
            log.info("try: curl -s -u ada:lovelace %s/auth.login", http[0])
        for name, state in runtime.directories().items():
            if state == "down":
                log.warning("server %s is down; logins against it answer 503 until it is back", name)
        self._audit_configuration("success", "")
        notify(READY=1, STATUS=self._status())

    def _status(self) -> str:
        return f"generation {self._snapshot.generation}, serving"

    async def _serve(self, runtime: Runtime) -> None:
        """Wait for signals, reload when asked, and keep systemd's watchdog content, until told to stop."""
        stop = asyncio.create_task(self._stop.wait())
        watchdog = asyncio.create_task(_keep_watchdog_content())
        try:
            while not stop.done():
                wanted = asyncio.create_task(self._reload_wanted.wait())
                await asyncio.wait((stop, wanted), return_when=asyncio.FIRST_COMPLETED)
                wanted.cancel()
                if self._reload_wanted.is_set() and not stop.done():
                    self._reload_wanted.clear()
                    await self._reload(runtime)
        finally:
            stop.cancel()
            watchdog.cancel()

    async def _reload(self, runtime: Runtime) -> None:
        """Apply the files anew; whatever goes wrong, the running snapshot stays in force."""
        reloading()
        generation = self._snapshot.generation + 1
        outcome, status = "failure", "reload failed, the configuration of before stays in force"
        try:
            snapshot = await asyncio.to_thread(load, self._files, dict(os.environ), generation=generation)
            await runtime.reload(snapshot)
            self._audit.reopen()
        except ConfigurationError as error:
            for problem in error.problems:
                log.error("reload: %s", problem)
        except (StoreError, OSError, ValueError) as error:
            log.error("reload: %s", error)
        except Exception:
            log.exception("reload")
        else:
            self._warn_of_restart(snapshot.configuration)
            self._snapshot = snapshot
            self._output.configure(snapshot.configuration.log.level, snapshot.configuration.log.format)
            for problem in snapshot.warnings:
                log.warning("%s", problem)
            outcome, status = "success", self._status()
        log.log(logging.INFO if outcome == "success" else logging.ERROR, "%s", status)
        self._audit_configuration(outcome, "" if outcome == "success" else status)
        notify(READY=1, STATUS=status)

    def _warn_of_restart(self, new: Configuration) -> None:
        old = self._started_with
        pending = [key for key in _AT_START if attrgetter(key)(new) != attrgetter(key)(old)]
        if pending:
            log.warning("changed, but in force only after a restart: %s", ", ".join(pending))

    def _audit_configuration(self, outcome: str, reason: str) -> None:
        self._audit.write(
            new_event(
                time.time(),
                "configuration.apply",
                "success" if outcome == "success" else "failure",
                generation=self._snapshot.generation,
                reason=reason,
                target=", ".join(map(str, self._files)) or "environment",
            )
        )


async def listen(runner: web.ServerRunner, configuration: Configuration) -> list[str]:
    """Open every listener; returns their addresses. Raises OSError."""
    shown = []
    for address in configuration.listen:
        site: web.BaseSite
        if isinstance(address, UnixAddress):
            site = UnixSite(runner, address.path)
        else:
            site = web.TCPSite(runner, address.host or None, address.port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or "no such address"
            raise OSError(error.errno, f"{address}: {why} (listen)") from error
        shown.append(str(address) if isinstance(address, UnixAddress) else f"http://{_bound(runner)}")
    return shown


class UnixSite(web.UnixSite):
    """A unix socket that proxies of our group may use, removed when we stop.

    A socket that a killed process left behind is replaced; one that somebody answers on, and a file that is none, are
    not: the event loop would remove either without asking.
    """

    def __init__(self, runner: web.ServerRunner, path: Path) -> None:
        super().__init__(runner, str(path))
        self._file = path
        self._own: tuple[int, int] | None = None

    async def start(self) -> None:
        """Open the socket. Raises OSError."""
        if self._file.exists() and (not self._file.is_socket() or await asyncio.to_thread(_answers, self._file)):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(self._file))
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            await super().start()
        finally:
            os.umask(before)
        self._own = _file_id(self._file)

    async def stop(self) -> None:
        """Close the socket, and remove it where it is still ours."""
        await super().stop()
        if self._own is not None and _file_id(self._file) == self._own:
            self._file.unlink()


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _bound(runner: web.ServerRunner) -> str:
    """Address of the listener opened last, with the port the system chose where 0 was asked for."""
    name = runner.addresses[-1]
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


async def _keep_watchdog_content() -> None:
    interval = watchdog_interval()
    while interval is not None:
        notify(WATCHDOG=1)
        await asyncio.sleep(interval)
