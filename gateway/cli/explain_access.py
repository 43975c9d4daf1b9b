"""``ldap-gateway explain access``: which access rule decides about a request, rule by rule.

Asks no directory: a local user is as the configuration has it, anybody else is in the groups that are named. Exit
codes: 0 where the request would pass, 1 where not, 2 for a request that no proxy could ask about, 78 for a bad
configuration.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from gateway.access.client_address import Address, MalformedAddress, parse_address
from gateway.access.decision import Outcome
from gateway.access.rules import AccessRules, Decision, Reading
from gateway.access.session_cookies import CookieScopes
from gateway.access.target import Malformed, Target, auth_request_target
from gateway.cli.config import CONFIGURATION_ERROR, add_files_option, print_problems
from gateway.config.load import ConfigurationError, Snapshot, load
from gateway.grants.mapping import Grants, Refused
from gateway.identity import LOCAL, Account, Group, Identity, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration

REFUSED: Final = 1
WRONG_ARGUMENTS: Final = 2
_FRAGMENT: Final = re.compile("#.*", re.DOTALL)
_WORDS: Final = {
    Outcome.PASS: "passes",
    Outcome.CHALLENGE: "is asked to log in",
    Outcome.FORBID: "is refused, and no login would help",
}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``access`` to the commands of ``explain``."""
    parser = commands.add_parser("access", help="say which access rule decides about a request; exit 0 where it passes")
    parser.add_argument("--url", required=True, help="as in the browser: https://app.example.com/path?query")
    parser.add_argument("--user", metavar="[SERVER/]NAME", default="", help="who is logged in; without it: nobody")
    parser.add_argument("--group", metavar="NAME", dest="groups", action="append", default=[],
                        help="a group of theirs; for local users those of the configuration count, too")  # fmt: skip
    parser.add_argument("--method", default="GET", help="default: GET")
    parser.add_argument("--ip", metavar="ADDRESS", default="", help="the client's address; without it: unknown")
    add_files_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain one request."""
    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    configuration = snapshot.configuration
    insecure = configuration.access_control.allow_insecure_targets
    try:
        target = auth_request_target([_as_sent(arguments.url)], [arguments.method], insecure=insecure)
        client = parse_address(arguments.ip) if arguments.ip else None
        identity = assumed(configuration, arguments.user, arguments.groups) if arguments.user else None
    except (Malformed, MalformedAddress, Refused) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_ARGUMENTS
    rules = AccessRules(configuration.access_control, [server.name for server in configuration.servers])
    terms = rules.terms(identity) if identity else None
    decision = rules.decide(target, client, terms)
    who = identity.label if identity else "somebody anonymous"
    for line in explanation(snapshot, target, client, who, list(rules.explain(target, client, terms)), decision):
        print(line)
    return 0 if decision.outcome is Outcome.PASS else REFUSED


def explanation(
    snapshot: Snapshot,
    target: Target,
    client: Address | None,
    who: str,
    readings: Sequence[Reading],
    decision: Decision,
) -> Iterator[str]:
    """The lines: the target, each rule that was looked at in each reading of its path, and what comes of it."""
    yield f"{target.method} {target.url}"
    yield f"  from {client or 'an unknown address'}, {who}"
    for reading in readings:
        yield f"path {ascii(reading.path)[1:-1] if not reading.path.isprintable() else reading.path}"
        for step in reading.steps:
            verdict = f"not met: {step.unmet}" if step.unmet else "met"
            yield f"  {step.name} ({_place(snapshot, step.name)}): {verdict}"
        made = reading.decision
        yield f"  decides: {made.name}, {made.policy.name.lower()}: {_WORDS[made.outcome]}"
    if len(readings) > 1:
        yield f"The path can be read in {len(readings)} ways; the strictest counts."
    yield f"{who} {_WORDS[decision.outcome]} ({decision.why})"
    cookies = [(cookie.domain, cookie.portal_url) for cookie in snapshot.configuration.session.cookies]
    scopes = CookieScopes(cookies, snapshot.configuration.public_url)
    if decision.outcome is Outcome.CHALLENGE and scopes.for_host(target.host) is None:
        yield "but no session cookie goes to this host, so browsers are refused (session.cookies)"


def assumed(configuration: Configuration, name: str, groups: Sequence[str]) -> Identity:
    """The identity of a local user, or of anybody in the groups that are named. Raises Refused as a login does."""
    servers = [server.name for server in configuration.servers if name.lower().startswith(f"{server.name.lower()}/")]
    server = max(servers, key=len, default=LOCAL)
    username = name[len(server) + 1 :] if servers else name.removeprefix(f"{LOCAL}/")
    held = tuple(Group(group, group if "=" in group else "", group) for group in groups)
    account = Account(server, username, username, groups=held)
    for user in configuration.users if server == LOCAL else ():
        if fold_name(user.username) == fold_name(username):
            own = tuple(Group(group, "", group) for group in user.groups)
            account = Account(LOCAL, user.username, user.username, user.name, user.email, groups=(*own, *held))
    return Identity("", "", account, Grants(configuration).grant(account), 0)


def _as_sent(url: str) -> str:
    """The URL as a browser asks for it: without fragment, with a path."""
    url = _FRAGMENT.sub("", url)
    return re.sub(r"(://[^/?]*)(?=\?|$)", r"\1/", url, count=1)


def _place(snapshot: Snapshot, rule: str) -> str:
    """File and line of a rule, as its policy is written."""
    return str(snapshot.origin(f"access_control.rules.{fold_name(rule)}.policy"))
