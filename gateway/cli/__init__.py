"""The command line: one module a command, each thin."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gateway import __version__
from gateway.cli import config, serve, users


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``ldap-gateway``; returns the exit code (78: bad configuration, as EX_CONFIG of sysexits.h)."""
    parser = argparse.ArgumentParser(
        prog="ldap-gateway", description="One login daemon between your programs and the LDAP you already have."
    )
    parser.add_argument("--version", action="version", version=f"ldap-gateway {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, config, users):
        command.register(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return 130
    return code
