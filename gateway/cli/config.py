"""``ldap-gateway config``: look at the configuration, alone or as a running daemon has it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gateway.cli import config_schema
from gateway.cli.admin import add_running_option, register_remote, run_show_running
from gateway.config.load import ConfigurationError, Problem, Snapshot, load
from gateway.config.show import FORMATS, shown_tree, written

CONFIGURATION_ERROR: Final = 78
"""Exit code of a bad configuration (``EX_CONFIG`` of sysexits.h); service managers do not restart on it."""
UNREACHABLE: Final = 1
"""Exit code of ``check --connect`` where a directory does not answer."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("config", help="check, show and compare configurations")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="name everything that is wrong; exit 0 or 78")
    add_files_option(check)
    check.add_argument("--strict", action="store_true", help="take warnings for errors")
    check.add_argument("--connect", action="store_true", help="also ask the directories; exit 1 where one is down")
    check.add_argument("--format", choices=("text", "json"), default="text", help="how problems are printed")
    check.set_defaults(run=run_check)
    show = commands.add_parser("show", help="print every value in force; secrets as ******")
    add_files_option(show)
    show.add_argument("--origin", action="store_true", help="say where each value came from, and what it overrides")
    show.add_argument("--format", choices=FORMATS, default="hocon")
    add_running_option(show)
    show.set_defaults(run=run_show)
    config_schema.register(commands)
    register_remote(commands)


def add_files_option(parser: argparse.ArgumentParser, meaning: str = "") -> None:
    """Add ``-c FILE``, which may be repeated; ``arguments.files`` is the list of paths."""
    parser.add_argument(
        "-c",
        "--config",
        dest="files",
        metavar="FILE",
        action="append",
        type=Path,
        default=[],
        help=meaning or "configuration file (.conf, .toml, .yaml, .json); later ones win; none: environment only",
    )


def run_check(arguments: argparse.Namespace) -> int:
    """Check the configuration that ``serve`` would load with the same files and environment."""
    snapshot: Snapshot | None = None
    try:
        snapshot = load(arguments.files, os.environ)
        problems = snapshot.warnings
    except ConfigurationError as error:
        problems = error.problems
    bad = snapshot is None or (arguments.strict and bool(problems))
    unreachable: tuple[Problem, ...] = ()
    if snapshot is not None and not bad and arguments.connect:
        logging.disable()  # what would be logged is said here
        try:
            unreachable = tuple(asyncio.run(_connect(snapshot)))
        finally:
            logging.disable(logging.NOTSET)
    if arguments.format == "json":
        print(json.dumps([_as_json(problem) for problem in (*problems, *unreachable)], ensure_ascii=False, indent=2))
    else:
        print_problems((*problems, *unreachable))
        for note in snapshot.notes if snapshot is not None else ():
            print(f"note: {note}", file=sys.stderr)
        if not bad and not unreachable:
            print("The configuration is good." + (" The directories answer." if arguments.connect else ""))
    if bad:
        return CONFIGURATION_ERROR
    return UNREACHABLE if unreachable else 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print the configuration that ``serve`` would load with the same files and environment, or the running one."""
    if arguments.running:
        return run_show_running(arguments)
    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    print_problems(snapshot.warnings)
    tree = shown_tree(snapshot.configuration, snapshot.origins)
    print(written(tree, arguments.format, origin=arguments.origin), end="")
    return 0


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems to stderr, one a line."""
    for problem in problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)


def _as_json(problem: Problem) -> dict[str, Any]:
    fields = asdict(problem)
    fields["origin"] = problem.origin._asdict()
    return fields


async def _connect(snapshot: Snapshot) -> list[Problem]:
    """Connect to each server, with the service account where there is one, and look at each of its bases."""
    from gateway.directory.connection import DirectoryError
    from gateway.directory.filters import compile_filter
    from gateway.directory.messages import Scope, SearchRequest, result_name
    from gateway.directory.pools import make_pool

    found: list[Problem] = []
    for server in snapshot.configuration.servers:
        path = f"servers.{server.name}"
        pool = await make_pool(server)
        try:
            await pool.start()
            if not pool.state.up:
                found.append(Problem(snapshot.origin(f"{path}.name"), path, pool.state.error))
                continue
            for base in server.search_base_dns if server.mode != "single" else ():
                request = SearchRequest(base, compile_filter("(objectClass=*)"), ("1.1",), scope=Scope.BASE)
                try:
                    _, result = await pool.search(request)
                except DirectoryError as error:
                    found.append(Problem(snapshot.origin(f"{path}.search_base_dns"), path, f"{base}: {error}"))
                    continue
                if result.code:
                    key = f"{path}.search_base_dns"
                    found.append(Problem(snapshot.origin(key), key, f"{base}: {result_name(result.code)}"))
        finally:
            await pool.close()
    return found
