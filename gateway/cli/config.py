"""``ldap-gateway config``: look at the configuration, alone or as a running daemon has it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gateway.cli import config_schema
from gateway.cli.admin import add_running_option, register_remote, run_show_running
from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED
from gateway.config.load import DEFAULT, ConfigurationError, Problem, Snapshot, load
from gateway.config.show import FORMATS, only_set, shown_tree, written

_NOTHING: Final = Problem(DEFAULT, "", "nothing to check: no -c FILE, and the environment has no servers and no users")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("config", help="check, show and compare configurations")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="name everything that is wrong; exit 0 or 78")
    add_files_option(check)
    check.add_argument("--strict", action="store_true", help="take warnings for errors")
    check.add_argument("--connect", action="store_true", help="also ask the directories; exit 1 where that fails")
    check.add_argument("--format", choices=("text", "json"), default="text", help="how problems are printed")
    check.set_defaults(run=run_check)
    show = commands.add_parser("show", help="print every value in force; secrets as ******")
    add_files_option(show)
    show.add_argument("--origin", action="store_true", help="say where each value came from, and what it overrides")
    show.add_argument("--set", action="store_true", help="only what is set somewhere, no defaults")
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
        help=meaning
        or "configuration file (.conf, .toml, .yaml, .json, or a grafana.ini); later ones win; none: environment only",
    )


def run_check(arguments: argparse.Namespace) -> int:
    """Check the configuration that ``serve`` would load with the same files and environment."""
    snapshot: Snapshot | None = None
    notes: tuple[Problem, ...] = ()
    try:
        snapshot = load(arguments.files, os.environ)
        problems, notes = snapshot.warnings, snapshot.notes
    except ConfigurationError as error:
        problems = error.problems
    if snapshot is not None and not arguments.files and _is_empty(snapshot):
        problems = (*(problem for problem in problems if problem.origin.kind != "default"), _NOTHING)
        snapshot = None
    bad = snapshot is None or (arguments.strict and bool(problems))
    unreachable: tuple[Problem, ...] = ()
    if snapshot is not None and not bad and arguments.connect:
        unreachable = _connect(snapshot)
    if arguments.format == "json":
        print(json.dumps([_as_json(problem) for problem in (*problems, *unreachable)], ensure_ascii=False, indent=2))
    else:
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        print_problems((*problems, *unreachable))
        if snapshot is not None and not bad and not unreachable:
            print(_praise(snapshot, connected=arguments.connect))
    if bad:
        return CONFIGURATION_ERROR
    return FAILED if unreachable else 0


def _connect(snapshot: Snapshot) -> tuple[Problem, ...]:
    from gateway.cli import config_connect

    logging.disable()  # what would be logged is said here
    try:
        return asyncio.run(config_connect.unreachable(snapshot))
    finally:
        logging.disable(logging.NOTSET)


def _is_empty(snapshot: Snapshot) -> bool:
    return not snapshot.configuration.servers and not snapshot.configuration.users


def _praise(snapshot: Snapshot, *, connected: bool) -> str:
    """No more than was looked at."""
    if _is_empty(snapshot):
        return "Nothing is wrong with the configuration, but nobody can log in."
    told = "The configuration is good."
    if connected and snapshot.configuration.servers:
        return f"{told} The directories can be reached; ldap-gateway doctor looks further."
    return f"{told} There is no directory to connect to." if connected else told


def run_show(arguments: argparse.Namespace) -> int:
    """Print the configuration that ``serve`` would load with the same files and environment, or the running one."""
    if arguments.running:
        return run_show_running(arguments)
    if (snapshot := loaded(arguments.files)) is None:
        return CONFIGURATION_ERROR
    print_problems(snapshot.warnings)
    tree = shown_tree(snapshot.configuration, snapshot.origins)
    if arguments.set:
        tree = only_set(tree)
    print(written(tree, arguments.format, origin=arguments.origin), end="")
    return 0


def loaded(files: Sequence[Path]) -> Snapshot | None:
    """What ``serve`` would load with the same files and environment; None where that is wrong, which is printed."""
    try:
        return load(files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return None


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems to stderr, one a line."""
    for problem in problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)


def _as_json(problem: Problem) -> dict[str, Any]:
    fields = asdict(problem)
    fields["origin"] = problem.origin._asdict()
    return fields
