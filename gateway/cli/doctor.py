"""``ldap-gateway doctor``: looks at all that a login needs of each directory, and says what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.cli.config import CONFIGURATION_ERROR, add_files_option, print_problems
from gateway.config.load import ConfigurationError, Snapshot, load

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Report, Step

FAILED: Final = 1
"""Exit code where any step failed; warnings are none."""
USAGE: Final = 2
"""Exit code of arguments that do not fit, as argparse has it."""
_INDENT: Final = 38
"""Where the texts begin, behind mark, step and time."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("doctor", help="examine each directory: connection, certificate, bind, searches")
    add_files_option(parser)
    parser.add_argument("--server", metavar="NAME", help="only this server")
    parser.add_argument("--user", metavar="NAME", default="", help="look this person up, with their groups")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine the directories of the configuration that ``serve`` would load with the same files and environment."""
    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    configured = snapshot.configuration.servers
    wanted = [server for server in configured if arguments.server in (None, server.name)]
    if arguments.server is not None and not wanted:
        names = ", ".join(server.name for server in configured) or "none"
        print(f"There is no server {arguments.server}; configured: {names}.", file=sys.stderr)
        return USAGE
    try:
        arguments.user.encode()
    except UnicodeEncodeError:
        print("The name after --user is not valid UTF-8.", file=sys.stderr)
        return USAGE
    logging.disable()  # what would be logged is said here
    try:
        return asyncio.run(_run(snapshot, wanted, arguments.user, as_json=arguments.json))
    finally:
        logging.disable(logging.NOTSET)


async def _run(snapshot: Snapshot, servers: Sequence[Server], user: str, *, as_json: bool) -> int:
    from gateway.directory.doctor.examination import examine
    from gateway.directory.doctor.report import worst

    reports = []
    for server in servers:
        reports.append(await examine(server, snapshot, user))
        if not as_json:
            print(_text(reports[-1]), flush=True)
    mark = worst([report.mark for report in reports])
    if as_json:
        print(json.dumps({"mark": mark, "servers": [report.as_json() for report in reports]}, indent=2))
    elif not reports:
        print("There are no servers in this configuration.")
    return FAILED if mark == "fail" else 0


def _text(report: Report) -> str:
    """A block: the server's name, then a line for each step, with the advice below it."""
    lines = [f"{report.server}: {report.mark}"]
    for step in report.steps:
        lines += _lines(step)
    return "\n".join([*lines, ""])


def _lines(step: Step) -> list[str]:
    took = "" if step.milliseconds is None else f"{step.milliseconds:.1f} ms"
    what = f"{step.subject}: {step.text}" if step.subject else step.text
    lines = [f"  {step.mark:<7}  {step.step:<14} {took:>10}  {what}"]
    if step.advice:
        where = f" [{step.key}: {step.origin}]" if step.key else ""
        lines.append(" " * _INDENT + f"-> {step.advice}{where}")
    elif step.key:
        lines.append(" " * _INDENT + f"-> {step.key}: {step.origin}")
    return lines
