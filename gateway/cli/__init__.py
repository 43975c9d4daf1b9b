"""The command line: one module a command, each thin."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from gateway import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``ldap-gateway``; returns the exit code (78: bad configuration, as EX_CONFIG of sysexits.h)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["serve"]:
        _expect_signals()
    # Imported here, because a signal may come while the server's libraries are still being read.
    from gateway.cli import (
        config,
        conjur,
        doctor,
        explain,
        grafana,
        keys,
        lockout,
        serve,
        tokens,
        users,
        vault,
        vaults,
        whitelist,
    )

    parser = argparse.ArgumentParser(
        prog="ldap-gateway", description="One login daemon between your programs and the LDAP you already have."
    )
    parser.add_argument("--version", action="version", version=f"ldap-gateway {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        serve, config, doctor, explain, conjur, grafana, users, tokens, lockout, keys, vault, vaults, whitelist,
    ):  # fmt: skip
        command.register(subparsers)
    parsed = parser.parse_args(given)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _expect_signals() -> None:
    """Until the event loop takes over: SIGTERM ends us in order, also as PID 1, where it would be ignored, and a SIGHUP
    that comes before there is anything to reload is none."""
    # An exception could be taken for one of whatever is just being imported.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
