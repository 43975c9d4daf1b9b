"""``ldap-gateway vaults merged USER``: what the vaults of somebody come to, as a running daemon has them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

FORMATS = ("hocon", "json", "yaml")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from gateway.cli.admin import add_state_dir_option, guarded
    from gateway.cli.config import add_files_option
    from gateway.cli.vault_history import register_history

    vaults = subparsers.add_parser("vaults", help="ClearML configuration vaults")
    actions = vaults.add_subparsers(metavar="ACTION", required=True)
    merged = actions.add_parser("merged", help="print the configuration that the vaults of USER come to")
    merged.add_argument("user", metavar="USER", help="name, SERVER/NAME or ClearML user id of who has logged in before")
    merged.add_argument(
        "--origin", action="store_true", help="print a key a line, with the vault, line and column that set it"
    )
    merged.add_argument("--format", choices=FORMATS, default="hocon")
    add_files_option(merged, meaning="a file of the daemon, to find its state_dir; no more")
    add_state_dir_option(merged)
    merged.set_defaults(run=guarded(run_merged))
    register_history(actions)


def run_merged(arguments: argparse.Namespace) -> int:
    """Print the merged configuration. What clients lose of it is told on standard error."""
    from gateway.cli.admin import ask

    query = urlencode({"user": arguments.user, "format": arguments.format})
    data = ask(arguments, "GET", f"/admin/vaults/merged?{query}")
    names = {vault["id"]: _name(vault) for vault in data["vaults"]}
    for lost in data["dropped"]:
        print(f"lost: {_place(lost, names)}: {lost['message']}", file=sys.stderr)
    for vault in data["vaults"]:
        if vault["needs"]:
            print(f"needs {', '.join(vault['needs'])}: {_name(vault)}; clients without lose it", file=sys.stderr)
    if not arguments.origin:
        print(data["text"], end="")
    elif arguments.format == "json":
        print(json.dumps({"vaults": data["vaults"], "keys": data["keys"]}, ensure_ascii=False, indent=2))
    else:
        for line in _lines(data, names):
            print(line)
    return 0


def _lines(data: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    for row in data["keys"]:
        over = ", ".join(_place(place, names) for place in row["overrides"])
        value = row.get("written") or json.dumps(row["value"], ensure_ascii=False)
        told = f" (overrides {over})" if over else ""
        yield f"{_dotted(row['key'])} = {value}  # {_place(row, names)}{told}"
    if data["more_keys"]:
        yield f"... and {data['more_keys']} more"


def _dotted(path: list[str]) -> str:
    return ".".join(json.dumps(key, ensure_ascii=False) if "." in key else key for key in path)


def _place(place: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return f"{names.get(place['vault'], place['vault'])}:{place['line']}:{place['column']}"


def _name(vault: Mapping[str, Any]) -> str:
    """A vault in a few words."""
    group = f" {vault['group_name'] or vault['group']}" if vault["scope"] == "group" else ""
    return f"{vault['scope']}{group} {vault['description'] or vault['id']}"
