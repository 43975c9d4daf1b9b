"""``ldap-gateway serve``: the daemon in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gateway import __version__
from gateway.cli.admin import ADMIN_SOCKET
from gateway.cli.config import add_files_option, print_problems
from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED
from gateway.config.load import ConfigurationError, Snapshot, load
from gateway.config.schema import QUICKSTART_HASH, Configuration, Secret
from gateway.config.watch import Watcher
from gateway.reload import Reloader
from gateway.runtime import Runtime, read_stored
from gateway.serve.application import Application, Runner
from gateway.serve.listeners import CurrentContext, UnixSite, listen
from gateway.store.interface import Layer, StoreError
from gateway.telemetry.audit import SwitchedAudit
from gateway.telemetry.logs import Log
from gateway.telemetry.notify import notify, watchdog_interval

log = logging.getLogger("gateway")

ADMIN_SOCKET_MODE: Final = 0o600
"""Of the socket by which the command line reaches the daemon (DECISIONS 26)."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("serve", help="run the daemon; SIGHUP reloads, SIGTERM drains")
    add_files_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the configuration and serve until SIGTERM or SIGINT."""
    try:
        snapshot, stored = _load(arguments.files)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    except (StoreError, OSError, ValueError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return FAILED
    configuration = snapshot.configuration
    try:
        audit = SwitchedAudit(configuration.audit.to)
    except OSError as error:
        print(f"audit.to: {error.filename}: {error.strerror}", file=sys.stderr)
        return CONFIGURATION_ERROR
    output = Log(configuration.log.level, configuration.log.format)
    try:
        code = _runner_of(configuration)(Daemon(arguments.files, snapshot, stored, audit, output).run())
    finally:
        _ignore_signals()
        written = [audit.close(), output.close()]
    if not all(written) or not _flushed():
        # Whoever read our output has stopped; waiting for them at exit would take for ever.
        os._exit(code)
    return code


def _on_signal(number: signal.Signals, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call back on the loop. Its own handlers leave the default behind when it closes, which would end the process in
    the middle of its end."""

    def soon(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(callback)

    signal.signal(number, soon)


def _ignore_signals() -> None:
    """The interpreter leaves the default in place of other handlers, when it ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _load(files: Sequence[Path]) -> tuple[Snapshot, int]:
    """The configuration to start with, what APIs wrote included, and the generation of that.

    It lies in the store that the other layers name, which may not be complete without it. Raises ConfigurationError,
    StoreError, OSError, ValueError.
    """
    try:
        snapshot = load(files, os.environ)
        stored = _stored(snapshot.configuration)
    except ConfigurationError as error:
        if error.partial is None or not error.whole or not (stored := _stored(error.partial)).settings:
            raise
    if stored.settings:
        snapshot = load(files, os.environ, stored=stored.settings)
    return snapshot, stored.generation


def _stored(configuration: Configuration) -> Layer:
    """What APIs wrote. An early SIGTERM waits until the store is closed again."""
    held = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        return asyncio.run(read_stored(configuration))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


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
    """Listeners, signals, reloads and the runtime of one process."""

    def __init__(
        self, files: Sequence[Path], snapshot: Snapshot, stored: int, audit: SwitchedAudit, output: Log
    ) -> None:
        self._files = files
        self._snapshot = snapshot
        self._stored = stored
        self._audit = audit
        self._output = output
        self._stop = asyncio.Event()
        self._http = snapshot.configuration.http
        self._runners: list[Runner] = []
        self._watcher: Watcher | None = None
        self._reopening: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Serve; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            _on_signal(number, loop, self._stop.set)
        early = asyncio.Event()
        _on_signal(signal.SIGHUP, loop, early.set)
        for note in self._snapshot.notes:
            log.info("%s", note)
        for problem in self._snapshot.warnings:
            log.warning("%s", problem)
        try:
            runtime = await Runtime.start(self._snapshot, self._audit)
        except (StoreError, OSError, ValueError) as error:
            log.error("cannot start: %s", error)
            return FAILED
        try:
            reloader = Reloader(
                self._files, dict(os.environ), self._snapshot, runtime, self._audit, self._configure,
                stored=self._stored,
            )  # fmt: skip
            _on_signal(signal.SIGHUP, loop, lambda: reloader.request("signal"))
            _on_signal(signal.SIGUSR1, loop, lambda: self._reopen_audit(reloader))
            if early.is_set():
                reloader.request("signal")
            return await self._serve(runtime, reloader)
        finally:
            await runtime.close()

    def _reopen_audit(self, reloader: Reloader) -> None:
        self._reopening = asyncio.create_task(reloader.reopen_audit())

    async def _serve(self, runtime: Runtime, reloader: Reloader) -> int:
        application = Application(runtime, reloader)
        everybody = Runner(application.handle, self._http, application.known)
        administration = Runner(application.handle_by_admin_socket, self._http)
        self._runners = [everybody, administration]
        settings = reloader.snapshot.configuration.reload
        self._watcher = Watcher(
            reloader.files_changed,
            poll=settings.poll, settle=settings.settle, missing_grace=settings.missing_grace, events=settings.watch,
        )  # fmt: skip
        reloader.follow(self._watcher)
        tasks: list[asyncio.Task[None]] = []
        try:
            await asyncio.gather(*(runner.setup() for runner in self._runners))
            tls = CurrentContext(lambda: runtime.current.tls)
            addresses = await listen(everybody, reloader.snapshot.configuration.listen, tls)
            await _open_admin_socket(administration, self._snapshot.configuration.state_dir / ADMIN_SOCKET)
            self._announce(runtime, reloader, addresses)
            work = (reloader.run(), self._watcher.run(), _keep_watchdog_content())
            tasks = [asyncio.create_task(part) for part in work]
            await self._stop.wait()
            runtime.draining = True
            notify(STOPPING=1, STATUS="draining")
            await asyncio.sleep(self._http.drain_delay)
        except OSError as error:
            log.error("cannot listen: %s", error.strerror)
            return FAILED
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in self._runners))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        log.info("stopped")
        return 0

    def _configure(self, configuration: Configuration) -> None:
        """Take over what a new snapshot says about the process itself."""
        self._output.configure(configuration.log.level, configuration.log.format)
        self._http, settings = configuration.http, configuration.reload
        for runner in self._runners:
            runner.configure(self._http)
        if self._watcher is not None:
            self._watcher.configure(
                poll=settings.poll, settle=settings.settle, missing_grace=settings.missing_grace, events=settings.watch
            )

    def _announce(self, runtime: Runtime, reloader: Reloader, addresses: Sequence[str]) -> None:
        log.info("ldap-gateway %s listens on %s", __version__, ", ".join(addresses))
        published = any(user.password_hash == Secret(QUICKSTART_HASH) for user in self._snapshot.configuration.users)
        if published and (http := [address for address in addresses if address.startswith("http")]):
            log.info("try: curl -s -u ada:lovelace %s/auth.login", http[0])
        for name, state in runtime.directories().items():
            if state == "down":
                log.warning("server %s is down; logins against it answer 503 until it is back", name)
        reloader.audit_start()
        notify(READY=1, STATUS=reloader.status)


async def _open_admin_socket(runner: Runner, path: Path) -> None:
    """Logins are served without it, too."""
    try:
        await UnixSite(runner, path, ADMIN_SOCKET_MODE).start()
    except OSError as error:
        log.warning("%s: %s; the command line cannot reach this daemon", path, error.strerror or error)


async def _keep_watchdog_content() -> None:
    interval = watchdog_interval()
    while interval is not None:
        notify(WATCHDOG=1)
        await asyncio.sleep(interval)
