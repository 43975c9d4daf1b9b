"""``ldap-gateway config schema``: what can be configured, for editors and for people."""

from __future__ import annotations

import argparse
import json
from typing import Final

FORMATS: Final = ("json", "markdown")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("schema", help="print the JSON Schema of configuration files, or the reference page")
    parser.add_argument("--format", choices=FORMATS, default="json")
    parser.set_defaults(run=run_schema)


def run_schema(arguments: argparse.Namespace) -> int:
    """Print what can be configured."""
    print(schema_text(arguments.format), end="")
    return 0


def schema_text(form: str) -> str:
    """The JSON Schema or the reference page, by one of ``FORMATS``."""
    from gateway.config.json_schema import json_schema
    from gateway.config.reference import reference

    if form == "markdown":
        return reference()
    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"
