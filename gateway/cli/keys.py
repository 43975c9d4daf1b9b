"""``ldap-gateway keys list|rotate``: the keys behind Grafana's and Conjur's tokens, through a running daemon."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

_TIMES: Final = (("signs_from", "signs from"), ("counts_until", "counts until"))
_CAUTIONS: Final = {
    ("jwks", True): "Grafana refuses everybody until it has fetched the key set again, which takes up to its "
    "cache_ttl: restart Grafana now",
    ("conjur", False): "programs that check Conjur tokens by the public key need the new one now",
    ("conjur", True): "every Conjur token has ended: programs that hold one must authenticate again, and those that "
    "check tokens by the public key need the new one now",
}
"""By purpose, and whether the old keys have ended."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from gateway.cli.admin import add_state_dir_option, guarded
    from gateway.cli.config import add_files_option

    keys = subparsers.add_parser("keys", help="the keys behind Grafana's and Conjur's tokens, and replacing them")
    actions = keys.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="print the keys, oldest first")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    listing.set_defaults(run=guarded(run_list))
    rotate = actions.add_parser("rotate", help="make a new key")
    rotate.add_argument(
        "purpose", metavar="PURPOSE",
        help="jwks: /.well-known/jwks.json, signs after grafana.jwt.key_overlap; conjur: the Conjur API, signs at once",
    )  # fmt: skip
    rotate.add_argument(
        "--now", action="store_true",
        help="sign with it at once, and end the others and all they have signed: where one was stolen. Grafana refuses "
        "everybody until it has fetched the set again",
    )  # fmt: skip
    rotate.add_argument("--force", action="store_true", help="even where a new key has yet to sign")
    rotate.set_defaults(run=guarded(run_rotate))
    for action in (listing, rotate):
        add_files_option(action, meaning="a file of the daemon, to find its state_dir; no more")
        add_state_dir_option(action)


def run_list(arguments: argparse.Namespace) -> int:
    """Print what there is."""
    from gateway.cli.admin import ask

    keys = ask(arguments, "GET", "/admin/keys")["keys"]
    if arguments.format == "json":
        print(json.dumps(keys, ensure_ascii=False, indent=2))
        return 0
    for key in keys:
        times = [f", {what} {key[name]}" for name, what in _TIMES if key[name]]
        print(f"{key['id']}  {key['purpose']}  {key['algorithm']}  {key['state']}{''.join(times)}")
    return 0


def run_rotate(arguments: argparse.Namespace) -> int:
    """Rotate, and print the new key."""
    from gateway.cli.admin import ask

    fields = {"purpose": arguments.purpose, "now": arguments.now, "force": arguments.force}
    key = ask(arguments, "POST", "/admin/keys/rotate", fields)["key"]
    print(f"{key['id']} is published and signs from {key['signs_from']}.")
    if caution := _CAUTIONS.get((arguments.purpose, arguments.now)):
        print(f"warning: {caution}", file=sys.stderr)
    return 0
