"""``ldap-gateway doctor``: looks at all that a login needs of each directory, and says what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.cli.config import add_files_option, loaded
from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED, USAGE
from gateway.cli.explain import add_password_options, read_password
from gateway.config.load import Snapshot
from gateway.explain import WrongArguments
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Report, Step

_INDENT: Final = 38
"""Where the texts begin, behind mark, step and time."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("doctor", help="examine each directory: connection, certificate, bind, searches")
    add_files_option(parser)
    parser.add_argument("--server", metavar="NAME", help="only this server")
    parser.add_argument("--user", metavar="NAME", default="", help="look this person up, with their groups")
    add_password_options(parser, "--user's")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine the directories of the configuration that ``serve`` would load with the same files and environment."""
    if (snapshot := loaded(arguments.files)) is None:
        return CONFIGURATION_ERROR
    try:
        servers = _wanted(snapshot, arguments.server)
        password = _password(arguments, snapshot)
    except WrongArguments as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return USAGE
    logging.disable()  # what would be logged is said here
    try:
        return asyncio.run(_run(snapshot, servers, arguments.user, password, as_json=arguments.json))
    finally:
        logging.disable(logging.NOTSET)


def _wanted(snapshot: Snapshot, name: str | None) -> Sequence[Server]:
    """Raises ``WrongArguments`` where there is none."""
    configured = snapshot.configuration.servers
    if not configured:
        where = " in " + ", ".join(map(str, snapshot.files)) if snapshot.files else ": give -c FILE"
        raise WrongArguments("; ".join([f"no servers are configured{where}", *map(str, snapshot.notes)]))
    if name is None:
        return configured
    if not (wanted := [server for server in configured if server.name == name]):
        known = ", ".join(server.name for server in configured)
        raise WrongArguments(f"there is no server {name}; known: {known}")
    return wanted


def _password(arguments: argparse.Namespace, snapshot: Snapshot) -> str:
    """The person's; empty for none. Raises ``WrongArguments``."""
    from gateway.explain.conjur import unsent_key

    password = read_password(arguments)
    if password is not None and not arguments.user:
        raise WrongArguments("--password is that of a person: say whose with --user")
    try:
        arguments.user.encode()
        (password or "").encode()
    except UnicodeEncodeError:
        raise WrongArguments("the name after --user, or the password, is not valid UTF-8") from None
    if password is not None and (not password.strip() or password[0] == "\0"):
        raise WrongArguments("the password is empty")
    if reason := unsent_key(snapshot.configuration, password):
        raise WrongArguments(reason)
    return password or ""


async def _run(snapshot: Snapshot, servers: Sequence[Server], user: str, password: str, *, as_json: bool) -> int:
    from gateway.directory.doctor.examination import examine
    from gateway.directory.doctor.report import worst

    reports = []
    at_once = not as_json and not user  # what is said of a person hangs on all servers
    for server in servers:
        reports.append(await examine(server, snapshot, user, password))
        if at_once:
            print(_text(reports[-1]), flush=True)
    if having := ", ".join(report.server for report in reports if report.has_person):
        for report in reports:
            report.excuse_person(having)
    if not as_json and not at_once:
        print("\n".join(map(_text, reports)))
    mark = worst([report.mark for report in reports])
    if as_json:
        print(json.dumps({"mark": mark, "servers": [report.as_json() for report in reports]}, indent=2))
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
