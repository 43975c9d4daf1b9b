"""Access rules, compiled once: which policy a target meets, and why (forward-auth.md 10).

The first rule whose every criterion is met decides; after the last one ``default_policy`` does. Who is anonymous and
meets all of a rule but its subject may log in, where some login could help; otherwise nobody is sent to log in.

Everything about a subject, named groups of regular expressions included, is kept as alternatives: sets of terms of
which an identity must hold one whole set. The empty set is held by everybody.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from gateway.identity import LOCAL, Identity, fold_name

from .client_address import Address, NetworkSet, parse_network
from .decision import Outcome, Policy
from .hosts import is_within, parse_host
from .patterns import Pattern
from .subjects import Term, Terms, term_of, terms_of
from .target import Target

if TYPE_CHECKING:
    from gateway.config.schema import AccessControl, AccessRule, QueryCondition

Alternatives = tuple[Terms, ...]
Parameters = Mapping[str, Sequence[str]]
"""The values of each key of a query."""
NOBODY: Final[Terms] = frozenset()
FREE: Final[Alternatives] = (NOBODY,)
KNOWN_HOSTS: Final = 1024
"""Hosts whose rules are remembered; clients choose hosts, so there must be an end."""
LONGEST_VALUE: Final = 1024
"""Characters of a parameter in which patterns are looked for. Of a longer one nobody can say: what closes is met."""
_CRITERIA: Final = ("methods", "resources", "query", "networks", "subject")
"""Of a rule about a host, as people look for what was meant."""
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
    unmet: tuple[str, ...]
    """The criteria that the request does not meet; ``domain`` alone where it is about another host."""


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
        self._settings, self._servers = settings, known
        self._rules = [_Rule(index, rule, settings, known) for index, rule in enumerate(settings.rules)]
        self._default = _Verdicts(Policy[settings.default_policy.upper()], -1, "default_policy", basic=settings.basic)
        self._by_host: dict[str, list[tuple[_Rule, Alternatives]]] = {}
        self._of_exact, self._of_others = _indexed(self._rules)
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

    def speak_of(self, host: str) -> bool:
        """Whether any rule is about a host in its one form, whoever asks for what."""
        return bool(self._rules_for(host))

    def explain(self, target: Target, client: Address | None, terms: Terms | None = None) -> Iterator[Reading]:
        """The same, reading by reading and rule by rule; the strictest of the decisions is that of ``decide``."""
        request = _Request(target, client, terms)
        applicable = self._rules_for(target.host)
        needs = {rule.index: alternatives for rule, alternatives in applicable}
        for path in (target.path, *target.variants):
            steps: list[Step] = []
            for rule in self._rules:
                unmet = self._all_unmet(rule.index, request, path, needs.get(rule.index, ()))
                steps.append(Step(rule.index, rule.name, unmet))
                if not unmet:
                    break
            yield Reading(path, tuple(steps), self._read(request, path, applicable))

    def _all_unmet(self, index: int, request: _Request, path: str, domain: Alternatives) -> tuple[str, ...]:
        """Each criterion of a rule that is not met by itself."""
        if not domain:
            return ("domain",)
        found: set[str] = set()
        for only in _CRITERIA:
            others = {key: () for key in _CRITERIA if key != only}
            rule = self._settings.rules[index].model_copy(update=others)
            found.add(_Rule(index, rule, self._settings, self._servers).unmet(request, path, domain))
        return tuple(name for name in _CRITERIA if name in found)

    def _rules_for(self, host: str) -> list[tuple[_Rule, Alternatives]]:
        """The rules that speak of a host, each with what its domains ask of the subject."""
        rules = self._by_host.get(host)
        if rules is None:
            rules = [(rule, needs) for rule in self._candidates(host) if (needs := rule.domain_needs(host))]
            if len(self._by_host) >= KNOWN_HOSTS:
                self._by_host.clear()
            self._by_host[host] = rules
        return rules

    def _candidates(self, host: str) -> Iterator[_Rule]:
        """The rules that may speak of a host, in order."""
        return heapq.merge(self._of_exact.get(host, ()), self._of_others, key=lambda rule: rule.index)

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


def _indexed(rules: Iterable[_Rule]) -> tuple[Mapping[str, Sequence[_Rule]], Sequence[_Rule]]:
    """The rules of hosts that are all written out, by host, and all others; each in their order."""
    of_exact: dict[str, list[_Rule]] = {}
    of_others = []
    for rule in rules:
        if rule.only_hosts:
            for host in rule.only_hosts:
                of_exact.setdefault(host, []).append(rule)
        else:
            of_others.append(rule)
    return of_exact, of_others


def _strictness(decision: Decision) -> tuple[bool, Policy, bool]:
    return decision.outcome is Outcome.FORBID, decision.policy, not decision.basic


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

    __slots__ = ("_queries", "anonymous", "client", "method", "query", "terms")

    def __init__(self, target: Target, client: Address | None, terms: Terms | None) -> None:
        self.method = target.method
        self.query = target.query
        self.client = client
        self.anonymous = terms is None
        self.terms = NOBODY if terms is None else terms
        self._queries: Sequence[Parameters] | None = None

    @property
    def queries(self) -> Sequence[Parameters]:
        """What the query may be to an application, read when the first rule asks."""
        if self._queries is None:
            self._queries = readings_of(self.query)
        return self._queries


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
        self._host_patterns = [Pattern(pattern, ignore_case=True) for pattern in rule.domain_regex]
        self._any_host = not rule.domain and not rule.domain_regex
        self._paths = [Pattern(pattern) for pattern in rule.resources]
        self._methods = frozenset(rule.methods)
        named = settings.networks
        networks = (named[text] if text in named else (parse_network(text),) for text in rule.networks)
        self._networks = NetworkSet(network for group in networks for network in group)
        self._anywhere = not rule.networks
        self._query = [[_condition(condition, self._closes) for condition in together] for together in rule.query]

    @property
    def only_hosts(self) -> frozenset[str]:
        """The hosts that it is about, where all are written out; else none."""
        return frozenset() if self._suffixes or self._host_patterns else self._hosts

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
        if self._query and not self._asked(request.queries):
            return "query"
        if domain is FREE and paths is FREE and not self.subjects:
            return ""
        asked = (domain, paths, self.subjects or FREE)
        held = all(any(terms <= request.terms for terms in alternatives) for alternatives in asked)
        return "" if held else "subject"

    def _near(self, client: Address | None) -> bool:
        return self._closes if client is None else client in self._networks

    def _asked(self, queries: Sequence[Parameters]) -> bool:
        """One way to read the query is enough to close, and all must open."""
        return (any if self._closes else all)(map(self._is_asked, queries))

    def _is_asked(self, parameters: Parameters) -> bool:
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


def _condition(written: QueryCondition, closes: bool) -> _Condition:
    value, operator = written.value, written.operator
    present = {"present": True, "absent": False}.get(operator)
    pattern = Pattern(value) if operator.endswith("pattern") else None
    negated = operator.startswith("not ")

    def test(given: str) -> bool:
        if pattern is None:
            return (given == value) is not negated
        if len(given) > LONGEST_VALUE:
            return closes
        return (pattern.find(given) is not None) is not negated

    return _Condition(written.key, test, present, negated)


def _met(condition: _Condition, parameters: Parameters, closes: bool) -> bool:
    """Whether a condition is met. Of a key that is repeated, one value is enough to close, and all must open: nobody
    knows which one the application takes. A key that is not there is unequal to everything."""
    given = parameters.get(condition.key, ())
    if condition.present is not None:
        return bool(given) is condition.present
    if not given:
        return condition.negated
    return any(map(condition.test, given)) if closes else all(map(condition.test, given))


def _captured(patterns: Iterable[Pattern], text: str) -> Alternatives:
    """What the patterns that are found in a text ask of the subject by their named groups."""
    needs: list[frozenset[Term]] = []
    for pattern in patterns:
        found = pattern.find(text)
        if found is None:
            continue
        if not found:
            return FREE
        needs.append(frozenset((_CAPTURES[name], "", fold_name(value)) for name, value in found.items()))
    return tuple(needs)


def readings_of(query: str) -> Sequence[Parameters]:
    """Each way in which applications read a query: ``;`` separates parameters or does not, blanks around their names
    count or do not. The first is that of forms (URL standard, application/x-www-form-urlencoded)."""
    readings = [parameters_of(text) for text in dict.fromkeys((query, query.replace(";", "&")))]
    trimmed = [_trimmed(found) for found in readings if any(key != key.strip() for key in found)]
    return readings + trimmed


def parameters_of(query: str) -> Parameters:
    """The values of each key of a query, decoded as forms are; octets that are no UTF-8 become U+FFFD."""
    parameters: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            parameters.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return parameters


def _trimmed(parameters: Parameters) -> Parameters:
    trimmed: dict[str, list[str]] = {}
    for key, values in parameters.items():
        trimmed.setdefault(key.strip(), []).extend(values)
    return trimmed
