"""``ldap-gateway explain``: why a login comes out as it does, what a filter finds, which access rule decides.

Exit codes: 0 where the person would be let in, or the search was answered; 1 where not; 2 for arguments that cannot be
asked; 78 for a bad configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import explain_access
from gateway.cli.config import add_files_option, loaded, print_problems
from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED, USAGE
from gateway.explain import WrongArguments
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.config.load import Snapshot

MAX_LINE: Final = 64 * 1024
"""Octets read of a password."""

_Answer = tuple[Any, list[str], bool]
"""The document, its lines, and whether all is well."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("explain", help="say why a login or a request comes out as it does, or try a filter")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    login = commands.add_parser("login", help="go through a login of one name; exit 0 where it is let in")
    login.add_argument("user", metavar="USER")
    login.add_argument("--server", metavar="NAME", default="", help="ask this server alone, in the realm or not")
    login.set_defaults(run=run_login)
    search = commands.add_parser("search", help="try a filter: how many entries, and the first of them")
    search.add_argument("--server", metavar="NAME", required=True)
    search.add_argument("--filter", metavar="FILTER", default="", help="default: the server's search_filter")
    search.add_argument("--base", metavar="DN", action="append", default=[], help="default: the server's bases")
    search.add_argument("--user", metavar="NAME", default="", help="what %%s, {0} or {{.Username}} stands for")
    search.add_argument("--attributes", metavar="A,B", default="", help="default: those that a login asks for")
    search.set_defaults(run=run_search)
    for command in (login, search):
        add_files_option(command)
        add_password_options(command, "the user's")
        command.add_argument("--json", action="store_true", help="print one JSON document")
    explain_access.register(commands)


def add_password_options(parser: argparse.ArgumentParser, whose: str) -> None:
    """Add ``--password`` and ``--password-stdin``, for ``read_password``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--password", action="store_true", help=f"ask for {whose} password")
    group.add_argument("--password-stdin", action="store_true", help=f"read {whose} password, one line")


def run_login(arguments: argparse.Namespace) -> int:
    """Explain a login."""
    from gateway.explain.login import explain_login
    from gateway.explain.text import login_text

    def ask(snapshot: Snapshot) -> _Answer:
        password = read_password(arguments)
        answer = asyncio.run(explain_login(snapshot, arguments.user, password, arguments.server))
        return answer, login_text(answer), answer.admitted

    return _run(arguments, ask)


def run_search(arguments: argparse.Namespace) -> int:
    """Try a filter."""
    from gateway.explain.search import Question, explain_search
    from gateway.explain.text import search_text

    def ask(snapshot: Snapshot) -> _Answer:
        attributes = tuple(filter(None, map(str.strip, arguments.attributes.split(","))))
        question = Question(
            arguments.server, arguments.filter, arguments.base, arguments.user, attributes, read_password(arguments)
        )
        answer = asyncio.run(explain_search(snapshot, question))
        return answer, search_text(answer), not answer.error

    return _run(arguments, ask)


def _run(arguments: argparse.Namespace, ask: Callable[[Snapshot], _Answer]) -> int:
    if (snapshot := loaded(arguments.files)) is None:
        return CONFIGURATION_ERROR
    print_problems(snapshot.warnings)
    try:
        document, lines, good = ask(snapshot)
    except WrongArguments as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return USAGE
    # All but ASCII is escaped: what a directory answers must not reach a terminal as it is.
    print(json.dumps(asdict(document), indent=2) if arguments.json else "\n".join(lines))
    return 0 if good else FAILED


def read_password(arguments: argparse.Namespace) -> str | None:
    """The password, or None where none was offered. It is never an argument. Raises ``WrongArguments``."""
    if arguments.password:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)  # else it would be shown as it is typed
                return getpass.getpass("Password: ")
        except (EOFError, getpass.GetPassWarning):
            raise WrongArguments("there is no terminal to ask for the password on: use --password-stdin") from None
    if arguments.password_stdin:
        return sys.stdin.buffer.readline(MAX_LINE).decode("utf-8", "surrogateescape").rstrip("\r\n")
    return None
