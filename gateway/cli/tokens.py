"""``ldap-gateway sessions list|revoke`` and ``tokens list|revoke``: what people hold, through a running daemon.

``sessions`` speaks of logins at the portal; ``tokens`` of everything: sessions, personal tokens, access keys and, where
a person's are all revoked, ClearML tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.printable import printable

_SESSION: Final = "session"
KINDS: Final = {"": "tokens", _SESSION: "sessions", "personal": "personal tokens", "access_key": "access keys"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    sessions = subparsers.add_parser("sessions", help="who is logged in at the portal, and ending that")
    sessions_actions = sessions.add_subparsers(metavar="ACTION", required=True)
    _add_list(sessions_actions, _SESSION)
    _add_revoke(sessions_actions, _SESSION, "every session of this person, and nothing else")
    tokens = subparsers.add_parser("tokens", help="sessions, tokens and access keys of people, and ending them")
    tokens_actions = tokens.add_subparsers(metavar="ACTION", required=True)
    listing = _add_list(tokens_actions, "")
    listing.add_argument("--kind", choices=[*filter(None, KINDS)], help="default: all")
    everything = "everything this person holds: sessions, personal tokens, access keys, ClearML tokens"
    _add_revoke(tokens_actions, "", everything)


def _add_list(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], kind: str
) -> argparse.ArgumentParser:
    listing = actions.add_parser("list", help="print them, one a line")
    listing.add_argument("user", metavar="USER", nargs="?", default="", help="of this person: NAME or SERVER/NAME")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    return _finish(listing, run_list, kind)


def _add_revoke(actions: argparse._SubParsersAction[argparse.ArgumentParser], kind: str, all_of_it: str) -> None:
    revoke = actions.add_parser("revoke", help="end those that are named, or all of one person")
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("accessors", metavar="ACCESSOR", nargs="*", default=[], help="first on a line of list")
    which.add_argument("--user", metavar="USER", help=all_of_it)
    _finish(revoke, run_revoke, kind)


def _finish(
    action: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], kind: str
) -> argparse.ArgumentParser:
    from gateway.cli.admin import add_state_dir_option, guarded
    from gateway.cli.config import add_files_option

    action.set_defaults(run=guarded(run), kind=kind)
    add_files_option(action, meaning="a file of the daemon, to find its state_dir; no more")
    add_state_dir_option(action)
    return action


def run_list(arguments: argparse.Namespace) -> int:
    """Print what there is, one a line, or as JSON."""
    from gateway.cli.admin import ask_pages

    rows = ask_pages(arguments, "/admin/sessions", "tokens", user=arguments.user, kind=arguments.kind or "")
    if arguments.format == "json":
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for row in sorted(rows, key=lambda row: (row["user"], row["created"], row["accessor"])):
        print(printable("  ".join((row["accessor"], row["kind"], row["user"], ", ".join(_told(row))))))
    if not rows:
        print("none", file=sys.stderr)
    return 0


def _told(row: Mapping[str, Any]) -> list[str]:
    used = f"used {row['used']}" + (f" from {row['used_from']}" if row["used_from"] else "")
    unused = ["never used"] if row["kind"] in KINDS else []  # uses of other kinds are noted in part, or not at all
    places = [*row["hosts"], *row["paths"], *filter(None, [row["domain"]])]
    return [
        *filter(None, [row["label"]]),
        f"made {row['created']}",
        *([used] if row["used"] else unused),
        f"ends {row['ends']}" if row["ends"] else "without end",
        *([f"for {' '.join(places)}"] if places else []),
        *(["remembered"] if row["remembered"] else []),
        *(["does not count now: its owner is not let in"] if row["barred"] else []),
    ]


def run_revoke(arguments: argparse.Namespace) -> int:
    """Revoke, and print how much was ended."""
    from gateway.cli.admin import ask

    if arguments.user is not None:
        fields = {"user": arguments.user, "kind": arguments.kind}
        data = ask(arguments, "POST", "/admin/sessions/revoke", fields)
        counts = [f"{KINDS.get(kind, kind)} {count}" for kind, count in data["revoked"].items()]
        counts += [] if arguments.kind else [f"{kind} all" for kind in data["unlisted"]]
        print(f"revoked of {printable(data['user'])}: {', '.join(counts)}")
        if arguments.kind:
            kept = ", ".join(("personal tokens", "access keys", *data["unlisted"]))
            print(f"Their {kept} still count; tokens revoke --user ends those, too.", file=sys.stderr)
        print("Their password still logs in, unless the directory refuses it.", file=sys.stderr)
        return 0
    for accessor in arguments.accessors:
        data = ask(arguments, "POST", "/admin/sessions/revoke", {"accessor": accessor})
        for kind, count in data["revoked"].items():
            done = "revoked" if count else "had ended before:"
            print(f"{done} {kind} {printable(accessor)} of {printable(data['user'])}")
    return 0
