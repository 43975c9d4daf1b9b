"""``ldap-gateway config``: look at the configuration without running the daemon."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.config.load import ConfigurationError, Problem, load

CONFIGURATION_ERROR: Final = 78
"""Exit code of a bad configuration (``EX_CONFIG`` of sysexits.h); service managers do not restart on it."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("config", help="check the configuration")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="name everything that is wrong; exit 0 or 78")
    add_files_option(check)
    check.set_defaults(run=run)


def add_files_option(parser: argparse.ArgumentParser) -> None:
    """Add ``-c FILE``, which may be repeated; ``arguments.files`` is the list of paths."""
    parser.add_argument(
        "-c",
        "--config",
        dest="files",
        metavar="FILE",
        action="append",
        type=Path,
        default=[],
        help="configuration file (.conf, .toml, .yaml, .json); later ones win; without one: environment only",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check the configuration that ``serve`` would load with the same files and environment."""
    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    print_problems(snapshot.warnings)
    print("The configuration is good.")
    return 0


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems to stderr, one a line."""
    for problem in problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)
