"""``ldap-gateway whitelist add|remove|list``: who may log in in ClearML's whitelist mode, through a running daemon."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.cli.exit_codes import FAILED

_AT_ONCE: Final = 200
"""Entries in one request: 200 of the longest addresses are below the daemon's limit on bodies."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from gateway.cli.admin import guarded
    from gateway.grants.mapping import ROLES

    whitelist = subparsers.add_parser("whitelist", help="who may log in where no default_company admits everyone")
    actions = whitelist.add_subparsers(metavar="ACTION", required=True)
    add = _action(actions, "add", "invite people by address, or everyone of a domain")
    add.add_argument("--role", choices=ROLES, default="user", help="ClearML role of the people; default: user")
    add.set_defaults(run=guarded(run_add))
    remove = _action(actions, "remove", "withdraw what nobody has accepted yet, and domains")
    remove.set_defaults(run=guarded(run_remove))
    for action in (add, remove):
        action.add_argument("entries", metavar="EMAIL|@DOMAIN", nargs="+")
    listing = _action(actions, "list", "print it")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    listing.set_defaults(run=guarded(run_list))


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    from gateway.cli.admin import add_state_dir_option
    from gateway.cli.config import add_files_option

    parser = actions.add_parser(name, help=text)
    add_files_option(parser, meaning="a file of the daemon, to find its state_dir; no more")
    add_state_dir_option(parser)
    return parser


def run_add(arguments: argparse.Namespace) -> int:
    """Add entries, and print those that are new."""
    return _change(arguments, "add", "added", {"role": arguments.role})


def run_remove(arguments: argparse.Namespace) -> int:
    """Remove entries, and print those that went."""
    return _change(arguments, "remove", "removed", {})


def _change(arguments: argparse.Namespace, action: str, word: str, fields: Mapping[str, str]) -> int:
    from gateway.cli.admin import ask

    changed, kept, servers = [], [], []
    for entries in _portions(arguments.entries):
        data = ask(arguments, "POST", f"/admin/whitelist/{action}", {"entries": entries, **fields})
        changed += data[word]
        kept += data["kept"]
        servers = data["servers"]
    for entry in changed:
        print(f"{word} {entry}")
    for entry in kept:
        print(f"unchanged {entry['email']}: {_why(entry, action)}", file=sys.stderr)
    if not changed and not kept:
        print("Nothing changed.")
    if not servers:
        print("note: no server is in whitelist mode, so this lets nobody in nor out", file=sys.stderr)
    return FAILED if kept else 0


def _why(entry: Mapping[str, str], action: str) -> str:
    if not entry["accepted_by"]:
        return f"invited with role {entry['role']}; for another one remove the entry and add it again"
    accepted = f"accepted by {entry['accepted_by']} with role {entry['role']}"
    if action == "remove":
        return f"{accepted}; the entry can go when the directory has them no more"
    return f"{accepted}; change roles by clearml.admin_users, clearml.groups or group_mappings of the server"


def run_list(arguments: argparse.Namespace) -> int:
    """Print the whitelist, one entry a line, or as JSON."""
    from gateway.cli.admin import ask

    data = ask(arguments, "GET", "/admin/whitelist")
    if arguments.format == "json":
        print(json.dumps(data, ensure_ascii=False, indent=2))
        return 0
    for domain in data["domains"]:
        print(f"@{domain}  everyone, role user")
    for entry in data["entries"]:
        state = f"accepted {entry['accepted']}" if entry["accepted"] else f"pending since {entry['added']}"
        print(f"{entry['email']}  {state}, role {entry['role']}")
    print(f"Whitelist mode: {', '.join(data['servers']) or 'no server'}", file=sys.stderr)
    return 0


def _portions(entries: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(entries), _AT_ONCE):
        yield entries[start : start + _AT_ONCE]
