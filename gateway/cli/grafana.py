"""``ldap-gateway grafana settings``: the lines of ``grafana.ini`` that go with a configuration."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final
from urllib.parse import urlsplit

from gateway.cli.config import CONFIGURATION_ERROR, add_files_option, print_problems
from gateway.printable import printable

WRONG_ARGUMENTS: Final = 2


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    grafana = subparsers.add_parser("grafana", help="what to write into Grafana's own configuration")
    actions = grafana.add_subparsers(metavar="ACTION", required=True)
    settings = actions.add_parser("settings", help="print the lines of grafana.ini that go with the configuration")
    add_files_option(settings)
    settings.add_argument(
        "--delivery", choices=("proxy", "jwt"), help="by headers or by token; default: what the configuration needs"
    )
    settings.add_argument("--grafana-url", metavar="URL", default="", help="where people open Grafana (root_url)")
    settings.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings; what the operator should look at stands in comments, and on standard error."""
    from gateway.config.load import ConfigurationError, load
    from gateway.grants.grafana_settings import Unwritable, grafana_settings

    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    print_problems(snapshot.warnings)
    try:
        if arguments.grafana_url and not _is_web_url(arguments.grafana_url):
            raise Unwritable(f"--grafana-url {arguments.grafana_url}: expected a URL like https://grafana.example.com")
        settings = grafana_settings(snapshot.configuration, arguments.delivery, arguments.grafana_url)
    except Unwritable as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return WRONG_ARGUMENTS
    for warning in settings.warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    print(settings.text, end="")
    return 0


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
