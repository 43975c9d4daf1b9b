"""``ldap-gateway grafana settings``: the lines of ``grafana.ini`` that go with a configuration."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.cli.config import add_files_option, loaded, print_problems
from gateway.cli.exit_codes import CONFIGURATION_ERROR, USAGE
from gateway.config.grafana_ini import PREFIX, SUFFIX
from gateway.config.reading import real_path
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.config.load import Snapshot


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
    from gateway.config.grafana_advice import doubtful_delivery
    from gateway.config.load import Problem
    from gateway.grants.grafana_settings import Unwritable, grafana_settings

    if (snapshot := loaded(arguments.files)) is None:
        return CONFIGURATION_ERROR
    main = snapshot.ldap_toml
    if main is not None and main.path is None and not snapshot.configuration.servers:
        message = "[auth.ldap] is not enabled, so there is no server: give the ldap.toml itself, with -c"
        print_problems([Problem(main.origin, "", message)])
        return CONFIGURATION_ERROR
    said_below = tuple(finding.message for finding in doubtful_delivery(snapshot.configuration))
    print_problems(problem for problem in snapshot.warnings if not problem.message.startswith(said_below))
    before = tuple(_first_steps(snapshot))
    for step in before:
        print(f"warning: first: {printable(step, len(step))}", file=sys.stderr)
    try:
        if arguments.grafana_url and not _is_web_url(arguments.grafana_url):
            raise Unwritable(f"--grafana-url {arguments.grafana_url}: expected a URL like https://grafana.example.com")
        settings = grafana_settings(snapshot.configuration, arguments.delivery, arguments.grafana_url, before)
    except Unwritable as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return USAGE
    for warning in settings.warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    print(settings.text, end="")
    return 0


def _first_steps(snapshot: Snapshot) -> Iterator[str]:
    """What must not come through ``[auth.ldap]`` any more when the settings switch it off."""
    main = snapshot.ldap_toml
    if main is None or main.path is None:
        return
    if real_path(main.path) not in map(real_path, snapshot.files):
        yield (
            f"give the gateway the file itself, -c {main.path}, in the place of what names it ({main.origin}): these "
            "lines switch [auth.ldap] off, and with it every server of that file"
        )
    for name in ("skip_org_role_sync", "allow_sign_up"):
        origin = snapshot.origin(f"grafana.{name}")
        if origin.place.startswith(PREFIX) or origin.place.lower().endswith(SUFFIX):
            value = str(getattr(snapshot.configuration.grafana, name)).lower()
            yield f"write grafana.{name} = {value} into a file of the gateway: {origin} counts no longer then"
    if os.environ.get(f"{PREFIX}ENABLED"):
        yield f"take {PREFIX}ENABLED out of Grafana's environment, where it wins over these lines"


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
