"""``ldap-gateway lockout list|clear``: who is locked after failed logins, and letting them try again at once."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from ipaddress import ip_address

from gateway.printable import printable


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from gateway.cli.admin import add_state_dir_option, guarded
    from gateway.cli.config import add_files_option

    lockout = subparsers.add_parser("lockout", help="who is locked after failed logins, and lifting that")
    actions = lockout.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="print the locks: accounts, typed names and addresses")
    listing.add_argument("--all", action="store_true", help="failures that have locked nothing yet, too")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    listing.set_defaults(run=guarded(run_list))
    clear = actions.add_parser("clear", help="forget the failed logins of somebody, or from somewhere")
    clear.add_argument("who", metavar="USER|ADDRESS", help="NAME, SERVER/NAME or IP address, as list shows it")
    clear.set_defaults(run=guarded(run_clear))
    for action in (listing, clear):
        add_files_option(action, meaning="a file of the daemon, to find its state_dir; no more")
        add_state_dir_option(action)


def run_list(arguments: argparse.Namespace) -> int:
    """Print what is counted, the last failure last."""
    from gateway.cli.admin import ask_pages

    counters = ask_pages(arguments, "/admin/lockout", "counters", all="true" if arguments.all else "false")
    if arguments.format == "json":
        print(json.dumps(counters, ensure_ascii=False, indent=2))
        return 0
    for counter in sorted(counters, key=lambda counter: (counter["last"], counter["of"])):
        until = f", locked until {counter['locked_until']}" if counter["locked_until"] else ""
        failures = f"{counter['failures']} failures, the last {counter['last']}"
        print(f"{printable(counter['of'])}  {counter['kind']}  {failures}{until}")
    if not counters:
        print("none", file=sys.stderr)
    return 0


def run_clear(arguments: argparse.Namespace) -> int:
    """Clear, and print what was counted until now."""
    from gateway.cli.admin import ask

    is_address = _is_address(arguments.who)
    fields = {"address" if is_address else "user": arguments.who}
    cleared = ask(arguments, "POST", "/admin/lockout/clear", fields)["cleared"]
    for shown in cleared:
        print(f"cleared {printable(shown)}")
    if not cleared:
        print("Nothing was counted here.")
    if not cleared and not is_address:
        print("The directory may have locked the account itself; this tells: ldap-gateway explain login "
              f"{shlex.quote(printable(arguments.who))}")  # fmt: skip
    return 0


def _is_address(text: str) -> bool:
    try:
        ip_address(text.removesuffix("/64"))
    except ValueError:
        return False
    return True
