"""``ldap-gateway users hash-password``: make the value for ``users[].password_hash``."""

from __future__ import annotations

import argparse
import getpass
import sys

from gateway.cli.exit_codes import FAILED


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    users = subparsers.add_parser("users", help="local users")
    actions = users.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser("hash-password", help="read a password, print its hash for users[].password_hash")
    action.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Ask twice on a terminal, else read one line from standard input; the password is never an argument."""
    from gateway.directory.local_users import hash_password

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            print("The two passwords differ.", file=sys.stderr)
            return FAILED
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password.strip():
        print("An empty password is never accepted at login.", file=sys.stderr)
        return FAILED
    print(hash_password(password))
    return 0
