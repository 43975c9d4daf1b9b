"""``ldap-gateway explain access``: which access rule decides about a request, rule by rule.

Somebody who is no local user is looked up in their directory, as a login does before the password; where ``--group``
says what they are in, nothing is asked. Exit codes: 0 where the request would pass, 1 where not, 2 for a request that
no proxy could ask about and for people who cannot be told, 78 for a bad configuration.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from gateway.access.client_address import MalformedAddress, parse_address
from gateway.access.decision import Outcome
from gateway.access.rules import AccessRules, Decision, Reading, Step
from gateway.access.session_cookies import CookieScopes
from gateway.access.target import Malformed, Target, auth_request_target
from gateway.cli.assumed_person import Person, person_of
from gateway.cli.config import add_files_option, loaded
from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED, USAGE
from gateway.config.layer import distinct
from gateway.config.load import Snapshot
from gateway.config.schema import AccessRule
from gateway.explain import WrongArguments
from gateway.grants.mapping import Refused
from gateway.identity import fold_name
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.access.client_address import Address

NOBODY: Final = "somebody anonymous"
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
    parser.add_argument("--group", metavar="[SERVER/]NAME", dest="groups", action="append", default=[],
                        help="a group, instead of those that they have; no directory is asked")  # fmt: skip
    parser.add_argument("--token", metavar="LABEL", default="", help="the personal token that they come by")
    parser.add_argument("--method", default="GET", help="default: GET")
    parser.add_argument("--ip", metavar="ADDRESS", default="", help="the client's address; without it: unknown")
    add_files_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain one request."""
    if (snapshot := loaded(arguments.files)) is None:
        return CONFIGURATION_ERROR
    control = snapshot.configuration.access_control
    try:
        if (arguments.groups or arguments.token) and not arguments.user:
            raise WrongArguments("--group and --token need --user: whose?")
        target = _target(arguments.url, arguments.method, insecure=control.allow_insecure_targets)
        client = parse_address(arguments.ip) if arguments.ip else None
        person = person_of(snapshot, arguments.user, arguments.groups) if arguments.user else None
    except MalformedAddress:
        return _wrong("--ip: expected an IP address")
    except (Malformed, Refused, WrongArguments) as error:
        return _wrong(str(error))
    rules = AccessRules(control, [server.name for server in snapshot.configuration.servers])
    terms = rules.terms(person.identity, arguments.token) if person else None
    decision = rules.decide(target, client, terms)
    print(f"{target.method} {target.url}")
    print(printable(f"  from {client or 'an unknown address (--ip names one)'}, {_described(person, arguments.token)}"))
    who = person.identity.label if person else NOBODY
    explanation = Explanation(snapshot, client)
    for line in explanation.lines(target, who, list(rules.explain(target, client, terms)), decision):
        print(printable(line))
    return 0 if decision.outcome is Outcome.PASS else FAILED


def _wrong(text: str) -> int:
    print(f"error: {printable(text)}", file=sys.stderr)
    return USAGE


def _described(person: Person | None, token: str) -> str:
    """Somebody with what is taken for granted of them."""
    if person is None:
        return NOBODY
    groups = ", ".join(group.name or group.dn for group in person.identity.account.groups)
    by = f", by the personal token {token}" if token else ""
    return f"{person.identity.label}, in {groups or 'no group'}{by}{person.remark}"


class Explanation:
    """How the rules of one configuration look at requests of one client."""

    def __init__(self, snapshot: Snapshot, client: Address | None) -> None:
        self._snapshot = snapshot
        self._client = client
        self._rules = snapshot.configuration.access_control.rules
        self._keys = distinct(rule.name for rule in self._rules)

    def lines(self, target: Target, who: str, readings: Sequence[Reading], decision: Decision) -> Iterator[str]:
        """Each rule that was looked at in each reading of the target's path, and what comes of it."""
        for reading in readings:
            yield f"path {reading.path}"
            yield from map(self._line, reading.steps)
            made = reading.decision
            yield f"  decides: {made.name}, {made.policy.name.lower()}: {_WORDS[made.outcome]}"
        if len(readings) > 1:
            yield f"The path can be read in {len(readings)} ways; the strictest counts."
        yield f"{who} {_WORDS[decision.outcome]} ({decision.why})"
        session = self._snapshot.configuration.session
        cookies = [(cookie.domain, cookie.portal_url) for cookie in session.cookies]
        scopes = CookieScopes(cookies, self._snapshot.configuration.public_url)
        if decision.outcome is Outcome.CHALLENGE and scopes.for_host(target.host) is None:
            yield "but no session cookie goes to this host, so browsers are refused (session.cookies)"

    def _line(self, step: Step) -> str:
        rule = self._rules[step.rule]
        unmet = ", ".join(f"{name} ({self._asked(rule, name)})" for name in step.unmet)
        return f"  {step.name} ({self._place(step.rule)}): {f'not met: {unmet}' if unmet else 'met'}"

    def _asked(self, rule: AccessRule, criterion: str) -> str:
        """What a rule asks for, as it is written."""
        match criterion:
            case "domain":
                return ", ".join((*rule.domain, *rule.domain_regex))
            case "networks":
                return ", ".join(rule.networks) + ("" if self._client else "; --ip names an address")
            case "query":
                return " or ".join(
                    " and ".join(f"{one.key} {one.operator} {one.value}".rstrip() for one in together)
                    for together in rule.query
                )
            case "subject":
                named = ("what its expressions name",) if rule.subject_is_named else ()
                return " or ".join((*(" and ".join(together) for together in rule.subject), *named))
            case _:
                return ", ".join(getattr(rule, criterion))

    def _place(self, index: int) -> str:
        """File and line where a rule begins: that of its first key."""
        path = ("access_control", "rules", fold_name(self._keys[index]))
        origins = [self._snapshot.origins.get((*path, key), ())[-1:] for key in AccessRule.model_fields]
        places = sorted((one for (one,) in filter(None, origins)), key=lambda one: (one.line, one.column))
        return str(next((one for one in places if one.kind == "file"), self._snapshot.origin((*path, "policy"))))


def _target(url: str, method: str, *, insecure: bool) -> Target:
    """What a browser would ask for: without fragment, with a path. Raises Malformed."""
    if not method.isupper():
        raise Malformed("--method: expected a word in capitals, such as GET")
    if "://" not in url:
        raise Malformed("--url: expected a whole URL, such as https://app.example.com/path")
    sent = re.sub(r"(://[^/?]*)(?=\?|$)", r"\1/", _FRAGMENT.sub("", url), count=1)
    return auth_request_target([sent], [method], insecure=insecure)
