"""``ldap-gateway vaults list``, ``history ID`` and ``undo ID``: vaults and their versions, in a running daemon."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


def register_history(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them below ``vaults``."""
    from gateway.cli.admin import add_state_dir_option, guarded
    from gateway.cli.config import add_files_option

    history = actions.add_parser("history", help="say who wrote a vault when, or print one version")
    history.add_argument("--version", metavar="N", type=int, help="print the text of this version")
    undo = actions.add_parser("undo", help="make a vault what it was before; also brings back a deleted one")
    undo.add_argument("--version", metavar="N", type=int, help="what it was in this version")
    listing = actions.add_parser("list", help="list the stored vaults, without their texts")
    listing.add_argument("--deleted", action="store_true", help="those that were deleted and can be brought back")
    for parser, run in ((listing, run_list), (history, run_history), (undo, run_undo)):
        if parser is not listing:
            parser.add_argument("vault", metavar="ID", help="of the vault, as vaults list shows it")
        add_files_option(parser, meaning="a file of the daemon, to find its state_dir; no more")
        add_state_dir_option(parser)
        parser.set_defaults(run=guarded(run))


def run_list(arguments: argparse.Namespace) -> int:
    """Print a vault a line: its id, whose it is, and when it was written or deleted last."""
    from gateway.cli.admin import ask

    query = "?deleted=true" if arguments.deleted else ""
    data = ask(arguments, "GET", f"/admin/vaults/list{query}")
    for row in data["vaults"]:
        whose = " ".join(filter(None, (row["scope"], row["owner_name"])))
        what = f"{whose}, {row['type']}, {_state(row)}, {row['description']}".rstrip(", ")
        when = f"deleted {row['deleted_at']}" if arguments.deleted else row["at"]
        print(f"{row['id']}  {when}  {_one_line(row['by'])}  {_one_line(what)}")
    if not data["vaults"]:
        print("none", file=sys.stderr)
    return 0


def _state(row: Mapping[str, Any]) -> str:
    return "damaged" if row["damaged"] else "enabled" if row["enabled"] else "disabled"


def run_history(arguments: argparse.Namespace) -> int:
    """Print the versions, the newest first, or the text of one."""
    from gateway.cli.admin import ask

    version = {} if arguments.version is None else {"version": arguments.version}
    data = ask(arguments, "GET", f"/admin/vaults/history?{urlencode({'vault': arguments.vault, **version})}")
    if version:
        print(data["text"], end="" if data["text"].endswith("\n") else "\n")
        return 0
    if data["deleted"]:
        print(f"The vault was deleted at {data['deleted_at']}; vaults undo brings it back.")
    for row in data["versions"]:
        what = f"{_state(row)}, {row['format']}, {row['bytes']} bytes"
        print(f"{row['version']:>4}  {row['at']}  {_one_line(row['by'])}  {what}")
    return 0


def run_undo(arguments: argparse.Namespace) -> int:
    """Undo, and say what the vault's new version is."""
    from gateway.cli.admin import ask

    data = ask(arguments, "POST", "/admin/vaults/undo", {"vault": arguments.vault, "version": arguments.version})
    for warning in data["warnings"]:
        print(f"warning: line {warning['line']}, column {warning['column']}: {warning['message']}", file=sys.stderr)
    back = "is back" if data["deleted"] else "is"
    print(f"The vault {back} as it was in version {data['restored']}; that is version {data['version']} now.")
    return 0


def _one_line(text: str) -> str:
    """A name as a terminal may have it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
