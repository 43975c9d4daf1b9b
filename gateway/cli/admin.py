"""``ldap-gateway config reload|status|forget|diff``: talk to the running daemon over its admin socket (DECISIONS 26).

Exit codes: 0, 1 where no daemon answers or it holds a change back, 78 for a bad configuration.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED
from gateway.config.schema.units import duration_text

ADMIN_SOCKET: Final = "admin.sock"
"""In ``state_dir``."""
PACKAGED: Final = Path("/var/lib/ldap-gateway")
"""The state directory of a daemon that systemd runs, or a container; asked where nothing names another."""

_SECONDS: Final = 120.0
"""How long a reload may take: it builds the connections to every directory."""


_BY: Final = {
    "start": "at the start",
    "file": "by the watcher",
    "signal": "by a signal",
    "api": "by another reload",
    "stored": "because an API wrote it",
}
_JUST_NOW: Final = 60
"""Seconds for which a reload that comes too late shows what the one before it changed."""


class NotDone(Exception):
    """The daemon cannot be asked, or refused; the text says why."""


def register_remote(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands below ``config`` that need a running daemon."""
    reload = _add(commands, "reload", "make the daemon read its configuration again, and wait")
    reload.add_argument("--dry-run", action="store_true", help="only say what would change")
    reload.set_defaults(run=guarded(run_reload))
    status = _add(commands, "status", "say what configuration is in force, and what the last reload came to")
    status.add_argument("--format", choices=("text", "json"), default="text")
    status.set_defaults(run=guarded(run_status))
    forget = _add(commands, "forget", "drop a value that was written through an API, and reload")
    forget.add_argument("key", metavar="KEY", help="dotted path; everything stored below it goes, too")
    forget.set_defaults(run=guarded(run_forget))
    diff = _add(commands, "diff", "say what a reload with -c FILE, or with the daemon's own files, would change")
    diff.add_argument(
        "--against", metavar="OLD", action="append", type=Path, help="compare with this file instead of the daemon"
    )
    diff.set_defaults(run=guarded(run_diff))


def add_running_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--running`` to a command that also works without a daemon."""
    parser.add_argument("--running", action="store_true", help="as the daemon has it, with what APIs wrote")
    add_state_dir_option(parser)


def add_state_dir_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--state-dir``, by which a command finds the daemon's socket."""
    parser.add_argument(
        "--state-dir", metavar="DIR", type=Path,
        help="the daemon's; default: what -c FILE says, else CLEARML__state_dir, else $STATE_DIRECTORY, else var, else "
        f"{PACKAGED}",
    )  # fmt: skip


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    from gateway.cli.config import add_files_option

    parser = commands.add_parser(name, help=text)
    add_files_option(parser, meaning="" if name == "diff" else "a file of the daemon, to find its state_dir; no more")
    add_state_dir_option(parser)
    return parser


def guarded(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command that prints why the daemon did not do it, and returns 1."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments)
        except NotDone as error:
            print(f"error: {error}", file=sys.stderr)
            return FAILED

    return run


def run_reload(arguments: argparse.Namespace) -> int:
    """Reload, and print what changed or every error."""
    data = ask(arguments, "POST", "/admin/reload" + ("?dry_run=1" if arguments.dry_run else ""))
    if arguments.dry_run:
        return _print_changes(data, "Nothing would change.")
    if data["outcome"] == "unchanged":
        _print_in_force(data["generation"], data["in_force"])
    elif code := _print_changes(data, "Nothing changed."):
        return code
    else:
        print(f"Generation {data['generation']} is in force.")
    _print_pending(data["pending_restart"])
    return 0


def _print_in_force(generation: int, applied: Mapping[str, Any]) -> None:
    """Whoever reloads what the watcher has just applied wants to see it all the same."""
    ago = round(applied["seconds_ago"])
    print(f"Already in force: generation {generation} was applied {_BY[applied['trigger']]}, {duration_text(ago)} ago.")
    if ago <= _JUST_NOW:
        _print_change_lines(applied)


def run_forget(arguments: argparse.Namespace) -> int:
    """Forget stored values."""
    data = ask(arguments, "POST", "/admin/config/forget", {"key": arguments.key})
    if "forgotten" in data:
        print(f"Forgotten: {', '.join(data['forgotten'])}")
    return _print_changes(data, "Nothing changed.")


def run_diff(arguments: argparse.Namespace) -> int:
    """Compare files with the running daemon, or with other files."""
    if arguments.against:
        return _diff_locally(arguments.against, arguments.files)
    files = [str(file.absolute()) for file in arguments.files]
    data = ask(arguments, "POST", "/admin/config/diff", {"files": files})
    return _print_changes(data, "Nothing would change.")


def _show_running(arguments: argparse.Namespace) -> int:
    keys = ask(arguments, "GET", "/admin/config")["keys"]
    shown = [row for row in keys if not (arguments.set and row["default"])]
    if arguments.format == "json":
        print(json.dumps(shown, ensure_ascii=False, indent=2))
        return 0
    for row in shown:
        over = f" (overrides {', '.join(row['origins'][1:])})" if row["origins"][1:] else ""
        told = f"  # {row['origins'][0]}{over}" if arguments.origin else ""
        print(f"{row['key']} = {json.dumps(row['value'], ensure_ascii=False)}{told}")
    return 0


run_show_running: Final = guarded(_show_running)
"""Print every key of the running daemon, one a line, or as JSON."""


def run_status(arguments: argparse.Namespace) -> int:
    """Print the status; the exit code tells whether the last reload came through."""
    data = ask(arguments, "GET", "/admin/status")
    if arguments.format == "json":
        print(json.dumps(data, ensure_ascii=False, indent=2))
    else:
        for name, value in _status_lines(data):
            print(f"{name:16} {value}".rstrip())
    if data["held"]:
        return FAILED
    return 0 if data["last_reload_successful"] else CONFIGURATION_ERROR


def _status_lines(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    last, held, watch = data["last_reload"], data["held"], data["watch"]
    lines = [
        ("ldap-gateway", f"{data['version']}, started {data['started']}"),
        ("status", data["status"]),
        ("configuration", f"{', '.join(data['files']) or 'environment'}, loaded {data['loaded']}"),
        ("hash", data["hash"]),
        ("last reload", f"{last['outcome']}, by {last['trigger']}, {last['time']}, took {last['seconds']} s"),
        *(("", f"  error: {_problem_text(problem)}") for problem in last["errors"]),
        *(("", f"  warning: {_problem_text(problem)}") for problem in last["warnings"]),
        ("watching", f"{watch['mode']}, {watch['errors']} errors"),
        *_directory_lines(data["directories"]),
    ]
    if held:
        lines.append(("held", f"{held['reason']}, since {held['since']}"))
    if data["pending_restart"]:
        lines.append(("needs a restart", ", ".join(data["pending_restart"])))
    return lines


def _directory_lines(directories: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A line for each server, and one for each host of a server that has several or is down."""
    if not directories:
        yield "directories", "none"
    for name, server in directories.items():
        yield f"directory {name}", f"{server['state']} since {server['since']}" + _named(" on ", server["host"])
        if server["state"] != "up" or len(server["hosts"]) > 1:
            for host in server["hosts"]:
                retry = f", asked again in {host['retry_seconds']} s" if host["retry_seconds"] else ""
                yield "", f"  {host['host']} {host['state']} since {host['since']}{_named(': ', host['error'])}{retry}"
        if failure := server["last_failure"]:
            yield "", f"  last failure {failure['time']}: {failure['text']}"


def _named(before: str, text: str) -> str:
    return before + text if text else ""


def ask(
    arguments: argparse.Namespace, method: str, path: str, fields: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """One call to the daemon: the data of an answer 200 or 422. Raises NotDone."""
    directory, broken = state_dir(arguments.state_dir, arguments.files)
    file = directory / ADMIN_SOCKET
    connection = _UnixConnection(file)
    try:
        connection.request(method, path, json.dumps(fields) if fields is not None else None)
        response = connection.getresponse()
        status, data = response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        hint = " (state_dir cannot be read from the file, which is broken)" if broken else ""
        raise NotDone(f"no daemon answers at {file}: {why}{hint}; -c FILE or --state-dir names its directory") from None
    finally:
        connection.close()
    if status not in (200, 422):
        raise NotDone(str(data.get("error", status)))
    answer: Mapping[str, Any] = data
    return answer


def ask_pages(arguments: argparse.Namespace, path: str, name: str, **parameters: str) -> list[Mapping[str, Any]]:
    """What all pages of a listing hold under ``name``. Raises NotDone."""
    found: list[Mapping[str, Any]] = []
    after = ""
    while True:
        data = ask(arguments, "GET", f"{path}?{urlencode({**parameters, 'after': after})}")
        found += data[name]
        if not (after := data["next"]):
            return found


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, file: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._file = file

    def connect(self) -> None:
        """Connect to the socket's file. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._file))


def state_dir(given: Path | None, files: Sequence[Path]) -> tuple[Path, bool]:
    """The daemon's state directory, as far as it can be told from here, and whether the files were of no help."""
    if given is not None:
        return given, False
    if files:
        from gateway.config.load import load
        from gateway.config.origin import ConfigurationError

        # What is wrong with the files the daemon can tell; that may be what it is asked about.
        try:
            return load(files, os.environ).configuration.state_dir, False
        except ConfigurationError as error:
            if error.partial is not None and error.whole:
                return error.partial.state_dir, False
    variables = {name.lower(): value for name, value in os.environ.items()}
    named = variables.get("clearml__state_dir") or variables.get("state_directory", "").split(":")[0]
    if not named and not files and (PACKAGED / ADMIN_SOCKET).exists() and not Path("var", ADMIN_SOCKET).exists():
        return PACKAGED, False
    return Path(named or "var"), bool(files)


def _diff_locally(old_files: Sequence[Path], new_files: Sequence[Path]) -> int:
    from gateway.cli.config import print_problems
    from gateway.config.difference import changes
    from gateway.config.load import load
    from gateway.config.origin import ConfigurationError

    try:
        old, new = (load(files, os.environ).configuration for files in (old_files, new_files))
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    made = changes(old, new)
    for change in made:
        print(change)
    if not made:
        print("Nothing would change.")
    return 0


def _print_changes(data: Mapping[str, Any], nothing: str) -> int:
    """Print warnings and changes, or errors; returns the exit code."""
    _print_problems(data["errors"], "error")
    _print_problems(data["warnings"], "warning")
    if data["outcome"] == "failed":
        return CONFIGURATION_ERROR
    _print_change_lines(data)
    if data.get("would_hold"):
        print(f"By itself it would wait: {data['would_hold']}")
    if data["outcome"] == "would be applied":
        _print_pending(data["pending_restart"])
    if data["outcome"] == "held":
        print(f"held: {data['reason']}", file=sys.stderr)
        return FAILED
    if not data["changes"]:
        print(nothing)
    return 0


def _print_change_lines(data: Mapping[str, Any]) -> None:
    for change in data["changes"]:
        print(change["text"])
    if data["more_changes"]:
        print(f"... and {data['more_changes']} more")


def _print_pending(keys: Sequence[str]) -> None:
    if keys:
        print(f"In force only after a restart: {', '.join(keys)}")


def _print_problems(problems: Sequence[Mapping[str, Any]], severity: str) -> None:
    for problem in problems:
        print(f"{severity}: {_problem_text(problem)}", file=sys.stderr)


def _problem_text(problem: Mapping[str, Any]) -> str:
    place = f"{problem['file']}:{problem['line']}:{problem['column']}" if problem["line"] else problem["file"]
    path = f"{problem['path']}: " if problem["path"] else ""
    return f"{place}: {path}{problem['message']}"
