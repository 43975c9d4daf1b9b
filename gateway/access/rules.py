"""Access rules, compiled once: which policy a target meets, and why (forward-auth.md 10).

The first rule whose every criterion is met decides; after the last one ``default_policy`` does. Who is anonymous and
meets all of a rule but its subject may log in, where some login could help; otherwise nobody is sent to log in.

Everything about a subject, named groups of regular expressions included, is kept as alternatives: sets of terms of
which an identity must hold one whole set. The empty set is held by everybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from gateway.identity import LOCAL, Identity, fold_name

from .client_address import Address, NetworkSet
from .decision import Outcome, Policy
from .hosts import is_within, parse_host
from .subjects import Term, Terms, term_of, terms_of
from .target import Target

if TYPE_CHECKING:
    from gateway.config.schema import AccessControl, AccessRule, QueryCondition

Alternatives = tuple[Terms, ...]
NOBODY: Final[Terms] = frozenset()
FREE: Final[Alternatives] = (NOBODY,)
KNOWN_HOSTS: Final = 1024
"""Hosts whose rules are remembered; clients choose hosts, so there must be an end."""
_CAPTURES: Final = {"User": "user", "Group": "group"}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules make of a request."""

    outcome: Outcome
    """``PASS``, ``CHALLENGE`` or ``FORBID``. FORBID of somebody anonymous holds for everybody."""
    policy: Policy
    """The strictest policy that applied."""
    rule: int
    """Index of the rule that decided; -1: the default policy."""
    name: str
    """Its name; ``default_policy``."""
    basic: bool
    """Whether a password is accepted there. To be asked again of the decision that lets somebody pass."""
    headers: str
    """Name of the preset of identity headers; empty: the default one."""

    @property
    def why(self) -> str:
        """For the audit trail: the rule and its policy."""
        return f"{self.name}: {self.policy.name.lower()}"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule as it looked at a request."""

    rule: int
    name: str
    unmet: str
    """The first criterion that the request does not meet; empty where it meets all."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the target's path, and where the rules lead with it."""

    path: str
    steps: tuple[Step, ...]
    """Every rule that was looked at."""
    decision: Decision


class AccessRules:
    """The rules of one configuration."""

    def __init__(self, settings: AccessControl, servers: Iterable[str] = ()) -> None:
        known = (LOCAL, *servers)
        self._rules = [_Rule(index, rule, settings, known) for index, rule in enumerate(settings.rules)]
        self._default = _Verdicts(Policy[settings.default_policy.upper()], -1, "default_policy", basic=settings.basic)
        self._by_host: dict[str, list[tuple[_Rule, Alternatives]]] = {}
        terms = [term for rule in self._rules for subject in rule.subjects for term in subject]
        self._with_dns = any(kind == "group_dn" for kind, _, _ in terms)

    def terms(self, identity: Identity, token_label: str = "") -> Terms:
        """What an identity answers to: once for a session or token, then for each ``decide``."""
        return terms_of(identity, token_label, with_dns=self._with_dns)

    def decide(self, target: Target, client: Address | None, terms: Terms | None = None) -> Decision:
        """The strictest decision over all readings of the target's path.

        ``client`` None: unknown, so outside every network that opens and inside every one that closes. ``terms`` None:
        anonymous; ask first with None, for a bypass looks at no credential.
        """
        request = _Request(target, client, terms)
        rules = self._rules_for(target.host)
        decision = self._read(request, target.path, rules)
        for path in target.variants:
            other = self._read(request, path, rules)
            if _strictness(other) > _strictness(decision):
                decision = other
        return decision

    def explain(self, target: Target, client: Address | None, terms: Terms | None = None) -> Iterator[Reading]:
        """The same, reading by reading and rule by rule; the strictest of the decisions is that of ``decide``."""
        request = _Request(target, client, terms)
        applicable = self._rules_for(target.host)
        needs = {rule.index: alternatives for rule, alternatives in applicable}
        for path in (target.path, *target.variants):
            steps: list[Step] = []
            for rule in self._rules:
                unmet = rule.unmet(request, path, needs[rule.index]) if rule.index in needs else "domain"
                steps.append(Step(rule.index, rule.name, unmet))
                if not unmet:
                    break
            yield Reading(path, tuple(steps), self._read(request, path, applicable))

    def _rules_for(self, host: str) -> list[tuple[_Rule, Alternatives]]:
        """The rules that speak of a host, each with what its domains ask of the subject."""
        rules = self._by_host.get(host)
        if rules is None:
            rules = [(rule, needs) for rule in self._rules if (needs := rule.domain_needs(host))]
            if len(self._by_host) >= KNOWN_HOSTS:
                self._by_host.clear()
            self._by_host[host] = rules
        return rules

    def _read(self, request: _Request, path: str, rules: list[tuple[_Rule, Alternatives]]) -> Decision:
        last: _Verdicts = self._default
        asking: _Rule | None = None
        login_helps = False
        for rule, needs in rules:
            unmet = rule.unmet(request, path, needs)
            if not unmet:
                last = rule.verdicts
                break
            if request.anonymous and unmet == "subject":
                asking = asking or rule
                login_helps = login_helps or rule.verdicts.admits
        if not request.anonymous:
            return last.known
        if asking is None:
            return last.anonymous
        return asking.verdicts.challenge if login_helps or last.admits else last.anonymous


def _strictness(decision: Decision) -> tuple[bool, Policy]:
    return decision.outcome is Outcome.FORBID, decision.policy


class _Verdicts:
    """The decisions that one rule, or the default, can come to, made once."""

    def __init__(self, policy: Policy, index: int, name: str, *, basic: bool, headers: str = "") -> None:
        def decision(outcome: Outcome, shown: Policy = policy) -> Decision:
            return Decision(outcome, shown, index, name, basic, headers)

        self.admits = policy in (Policy.BYPASS, Policy.AUTHENTICATED)
        self.challenge = decision(Outcome.CHALLENGE, Policy.AUTHENTICATED)
        self.known = decision(Outcome.PASS if self.admits else Outcome.FORBID)
        self.anonymous = self.challenge if policy is Policy.AUTHENTICATED else self.known


class _Request:
    """What does not change from rule to rule."""

    __slots__ = ("_parameters", "anonymous", "client", "method", "query", "terms")

    def __init__(self, target: Target, client: Address | None, terms: Terms | None) -> None:
        self.method = target.method
        self.query = target.query
        self.client = client
        self.anonymous = terms is None
        self.terms = NOBODY if terms is None else terms
        self._parameters: Mapping[str, Sequence[str]] | None = None

    @property
    def parameters(self) -> Mapping[str, Sequence[str]]:
        """The values of each key of the query, read when the first rule asks."""
        if self._parameters is None:
            self._parameters = parameters_of(self.query)
        return self._parameters


class _Rule:
    """One rule, compiled."""

    def __init__(self, index: int, rule: AccessRule, settings: AccessControl, servers: Sequence[str]) -> None:
        policy = Policy[rule.policy.upper()]
        basic = settings.basic if rule.basic is None else rule.basic
        self.index = index
        self.name = rule.name
        self.verdicts = _Verdicts(policy, index, rule.name, basic=basic, headers=rule.headers)
        self.subjects: Alternatives = tuple(
            frozenset(term_of(text, servers) for text in together) for together in rule.subject
        )
        self._closes = policy is Policy.DENY
        exact = [domain for domain in rule.domain if not domain.startswith("*.")]
        self._hosts = frozenset(map(parse_host, exact))
        self._suffixes = tuple(parse_host(domain[2:]) for domain in rule.domain if domain.startswith("*."))
        self._host_patterns = [re.compile(pattern, re.IGNORECASE) for pattern in rule.domain_regex]
        self._any_host = not rule.domain and not rule.domain_regex
        self._paths = [re.compile(pattern) for pattern in rule.resources]
        self._methods = frozenset(rule.methods)
        named = settings.networks
        networks = (named[text] if text in named else (ip_network(text),) for text in rule.networks)
        self._networks = NetworkSet(network for group in networks for network in group)
        self._anywhere = not rule.networks
        self._query = [[_condition(condition) for condition in together] for together in rule.query]

    def domain_needs(self, host: str) -> Alternatives:
        """What its domains ask of the subject of a request to a host; nothing at all: it is not about that host."""
        if self._any_host or host in self._hosts:
            return FREE
        if any(host != suffix and is_within(host, suffix) for suffix in self._suffixes):
            return FREE
        return _captured(self._host_patterns, host)

    def unmet(self, request: _Request, path: str, domain: Alternatives) -> str:
        """The first criterion that a request to a host of this rule does not meet; the subject comes last."""
        if self._methods and request.method not in self._methods:
            return "methods"
        if not self._anywhere and not self._near(request.client):
            return "networks"
        paths = _captured(self._paths, path) if self._paths else FREE
        if not paths:
            return "resources"
        if self._query and not self._asked(request.parameters):
            return "query"
        if domain is FREE and paths is FREE and not self.subjects:
            return ""
        asked = (domain, paths, self.subjects or FREE)
        held = all(any(terms <= request.terms for terms in alternatives) for alternatives in asked)
        return "" if held else "subject"

    def _near(self, client: Address | None) -> bool:
        return self._closes if client is None else client in self._networks

    def _asked(self, parameters: Mapping[str, Sequence[str]]) -> bool:
        return any(all(_met(condition, parameters, self._closes) for condition in together) for together in self._query)


@dataclass(frozen=True, slots=True)
class _Condition:
    """One condition on the query."""

    key: str
    test: Callable[[str], bool]
    """Of one value of the key."""
    present: bool | None
    """Whether it asks only for the key to be there, or not to be."""
    negated: bool


def _condition(written: QueryCondition) -> _Condition:
    value, operator = written.value, written.operator
    present = {"present": True, "absent": False}.get(operator)
    pattern = re.compile(value) if operator.endswith("pattern") else None
    negated = operator.startswith("not ")

    def test(given: str) -> bool:
        return (given == value if pattern is None else pattern.search(given) is not None) is not negated

    return _Condition(written.key, test, present, negated)


def _met(condition: _Condition, parameters: Mapping[str, Sequence[str]], closes: bool) -> bool:
    """Whether a condition is met. Of a key that is repeated, one value is enough to close, and all must open: nobody
    knows which one the application takes. A key that is not there is unequal to everything."""
    given = parameters.get(condition.key, ())
    if condition.present is not None:
        return bool(given) is condition.present
    if not given:
        return condition.negated
    return any(map(condition.test, given)) if closes else all(map(condition.test, given))


def _captured(patterns: Iterable[re.Pattern[str]], text: str) -> Alternatives:
    """What the patterns that are found in a text ask of the subject by their named groups."""
    needs: list[frozenset[Term]] = []
    for pattern in patterns:
        if found := pattern.search(text):
            if not pattern.groupindex:
                return FREE
            named = ((kind, found[group]) for group, kind in _CAPTURES.items() if group in pattern.groupindex)
            needs.append(frozenset((kind, "", fold_name(value or "")) for kind, value in named))
    return tuple(needs)


def parameters_of(query: str) -> Mapping[str, Sequence[str]]:
    """The values of each key of a query, decoded as forms are; octets that are no UTF-8 become U+FFFD."""
    parameters: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            parameters.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return parameters
