"""Access rules of forward auth (configuration.md 1.5, forward-auth.md 10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from gateway.access.client_address import parse_network
from gateway.access.hosts import MalformedHost, parse_host
from gateway.access.subjects import KINDS

from .fields import (
    ExactTexts,
    Flag,
    Form,
    Items,
    KeyedBy,
    Networks,
    OptionalFlag,
    Ports,
    Subjects,
    Text,
    Texts,
    conditions,
    no_items,
)
from .meant import asked, meant, nearest
from .regexes import named_groups, regex_problem, regex_warning
from .section import Finding, Section
from .shadowed import shadowing

_ELSEWHERE: Final = {
    "one_factor": "authenticated", "onefactor": "authenticated", "1fa": "authenticated", "auth": "authenticated",
    "allow": "bypass", "public": "bypass", "none": "bypass", "twofactor": "two_factor", "2fa": "two_factor",
    "block": "deny", "forbid": "deny", "reject": "deny",
}  # fmt: skip
"""What policies are called in other programs, Authelia above all."""


def _one_of(*policies: str) -> BeforeValidator:
    """A check that names what may have been meant."""

    def check(value: object) -> object:
        if isinstance(value, str) and value not in policies:
            there = f"{', '.join(map(repr, policies[:-1]))} or {policies[-1]!r}"
            known = {word: policy for word, policy in _ELSEWHERE.items() if policy in policies}
            message = f"expected {there}{meant(value, policies, known)}"
            raise PydanticCustomError("value", "{message}", {"message": message})
        return value

    return BeforeValidator(check)


PolicyName = Literal["bypass", "authenticated", "two_factor", "deny"]
DefaultPolicy = Literal["deny", "authenticated"]
Operator = Literal["equal", "not equal", "present", "absent", "pattern", "not pattern"]
SUBJECT: Final = re.compile(r"(?:user|group|policy|role|token):\s*\S.*", re.IGNORECASE | re.DOTALL)
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)
_DIALECTS: Final = ("personal", "clearml", "vault", "conjur")
_SOMEBODY: Final = frozenset({"User", "Group"})
_ROLES: Final = ("guest", "annotator", "user", "superuser", "admin", "system", "root")


class QueryCondition(Section):
    """One condition on the query of a URL."""

    key: Text
    """Name of the parameter."""
    operator: Operator = "equal"
    """How its values are compared."""
    value: Text = ""
    """With what; a regular expression (RE2) for the patterns."""

    def findings(self) -> Iterator[Finding]:
        if self.operator.endswith("pattern"):
            if problem := regex_problem(self.value):
                yield Finding(("value",), problem)
        elif self.operator in ("present", "absent") and self.value:
            yield Finding(("value",), f"has no meaning with {self.operator}")


class AccessRule(Section):
    """What may be reached by whom. Every criterion that is given must be met."""

    name: Annotated[Text, Field(min_length=1, max_length=256)]
    """Word for it in logs; unnamed rules are called rule, rule2, ..."""
    domain: Texts = ()
    """Hosts: exact, or ``*.example.com`` for everything below."""
    domain_regex: ExactTexts = ()
    """Regular expressions (RE2) searched in the host, without regard to case; besides ``domain``."""
    resources: ExactTexts = ()
    """Regular expressions (RE2) searched in the path, which is decoded, cleaned and without query."""
    methods: Texts = ()
    """Methods, in capitals."""
    networks: Texts = ()
    """Networks of the client, or names of ``access_control.networks``."""
    query: Annotated[tuple[tuple[QueryCondition, ...], ...], Form.CONDITIONS, conditions()] = ()
    """Conditions on parameters of the URL: a list of alternatives, each a condition or a list of them."""
    subject: Subjects = ()
    """Who: a list of alternatives, each ``user:``, ``group:``, ``policy:``, ``role:`` or ``token:`` with a name, or a
    list of such that must all hold."""
    policy: Annotated[PolicyName, _one_of(*get_args(PolicyName))]
    """``bypass``: nobody need log in. ``authenticated``: somebody must have. ``two_factor``: so far nobody may.
    ``deny``: nobody may."""
    basic: OptionalFlag = None
    """Accept a user name and password with the request itself; not given: as ``access_control.basic``."""
    headers: Text = ""
    """Preset of identity headers; empty: ``identity_headers.preset``."""

    def findings(self) -> Iterator[Finding]:
        yield from self._domain_findings()
        for key, patterns in (("domain_regex", self.domain_regex), ("resources", self.resources)):
            yield from _pattern_findings(key, patterns, opens=self.policy in ("bypass", "authenticated"))
        for index, method in enumerate(self.methods):
            if not _METHOD.fullmatch(method):
                yield Finding(("methods", index), "expected a method in capitals, such as GET")
        for index, together in enumerate(self.query):
            for condition in together:
                # Conditions have no place of their own: what is wrong is said of the alternative.
                for finding in condition.findings():
                    message = f"{'.'.join(map(str, finding.place))}: {finding.message}"
                    yield Finding(("query", index), message, finding.severity)
        yield from self._subject_findings()
        if self.policy == "two_factor":
            yield Finding(("policy",), "two_factor is never satisfied: this version has no second factor", "warning")

    @property
    def speaks_of_somebody(self) -> bool:
        """Whether it has a subject, named groups of regular expressions included."""
        return bool(self.subject) or self.subject_is_named

    @property
    def subject_is_named(self) -> bool:
        """Whether its expressions have named groups."""
        return any(map(named_groups, (*self.domain_regex, *self.resources)))

    def _domain_findings(self) -> Iterator[Finding]:
        for index, domain in enumerate(self.domain):
            try:
                parse_host(domain.removeprefix("*."))
            except MalformedHost:
                yield Finding(("domain", index), "expected a host such as app.example.com, or *.example.com")

    def _subject_findings(self) -> Iterator[Finding]:
        for index, together in enumerate(self.subject):
            if not together or not all(SUBJECT.fullmatch(text) for text in together):
                message = "expected user:NAME, group:NAME, group:DN, policy:NAME, role:NAME or token:NAME"
                message += next(filter(None, map(_meant_subject, together)), "")
                yield Finding(("subject", index), message)
                continue
            kinds = {text.partition(":")[0].lower() for text in together}
            if kinds == {"token"}:
                message = "people name their tokens themselves: add the user or group whose token it must be"
                yield Finding(("subject", index), message, "warning")
            for text in together:
                kind, _, name = text.partition(":")
                if kind.lower() == "role" and name.strip().lower() not in _ROLES:
                    yield Finding(("subject", index), f"there is no role of this name: {', '.join(_ROLES)}", "warning")
        if self.policy == "bypass" and self.speaks_of_somebody:
            place = "subject" if self.subject else "policy"
            yield Finding((place,), "a bypass asks nobody who they are: use policy authenticated with a subject")


class AccessControl(Section):
    """Who may reach what behind the proxies that ask: the first rule that is met decides."""

    default_policy: Annotated[DefaultPolicy, _one_of(*get_args(DefaultPolicy))] = "deny"
    """What holds where no rule is met."""
    rules: Annotated[tuple[AccessRule, ...], KeyedBy("name")] = ()
    """Rules, in order."""
    networks: Items[Networks] = Field(default_factory=no_items)
    """Networks by name, for rules."""
    accept: Texts = ("personal",)
    """Bearer tokens that count: ``personal``, ``clearml``, ``vault``, ``conjur``."""
    basic: Flag = True
    """Accept a user name and password with the request itself, unless a rule says otherwise."""
    allow_insecure_targets: Flag = False
    """Let targets be ``http``. Browsers send no session cookie there."""
    preflight: Literal["check", "pass"] = "check"
    """``pass``: let CORS preflights through where a login would be asked for."""
    redirect_hosts: Texts = ()
    """Hosts to which people may return after a login, besides those of ``session.cookies``."""
    redirect_ports: Ports = ()
    """Ports at which they may, besides those of the scheme."""
    default_redirect: Text = "/account"
    """Where people go who came from nowhere in particular."""

    def findings(self) -> Iterator[Finding]:
        for index, rule in enumerate(self.rules):
            for place, network in enumerate(rule.networks):
                if network not in self.networks and not _is_network(network):
                    message = "expected a network such as 10.0.0.0/8, or a name of access_control.networks"
                    message += asked(nearest(network, self.networks))
                    yield Finding(("rules", index, "networks", place), message, rests_on=(("networks",),))
        for index, earlier in shadowing(self.rules, self.networks):
            message = f"can never be met: {self.rules[earlier].name} stands before it and takes all its requests"
            yield Finding(("rules", index), message, "warning", rests_on=(("rules", earlier),))
        for index, dialect in enumerate(self.accept):
            if dialect not in _DIALECTS:
                yield Finding(("accept", index), f"expected one of {', '.join(_DIALECTS)}{meant(dialect, _DIALECTS)}")
        for index, host in enumerate(self.redirect_hosts):
            try:
                parse_host(host)
            except MalformedHost:
                yield Finding(("redirect_hosts", index), "expected a host such as app.example.com, without a port")
        if not _is_way_back(self.default_redirect):
            yield Finding(("default_redirect",), "expected a path such as /account, or an https:// URL")


def _meant_subject(text: str) -> str:
    """``groups:dev`` or ``group=dev``; nothing where it is well."""
    kind, separator, name = text.partition(":" if ":" in text else "=")
    found = nearest(kind.strip().lower(), KINDS)
    return asked(f"{found}:{name.strip()}") if separator and found and not SUBJECT.fullmatch(text) else ""


def _is_network(text: str) -> bool:
    try:
        parse_network(text)
    except ValueError:
        return False
    return True


def _is_way_back(text: str) -> bool:
    if text.startswith("/"):
        return re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", text) is not None
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _pattern_findings(key: str, patterns: tuple[str, ...], *, opens: bool) -> Iterator[Finding]:
    for index, pattern in enumerate(patterns):
        if problem := regex_problem(pattern):
            yield Finding((key, index), problem)
        elif named_groups(pattern) - _SOMEBODY:
            yield Finding((key, index), "a named group is User or Group, in this case: write (?:...) for any other")
        elif warning := regex_warning(pattern, ends=opens and key == "domain_regex", begins=opens):
            yield Finding((key, index), warning, "warning")
