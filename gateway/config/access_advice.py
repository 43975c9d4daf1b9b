"""What the configuration of forward auth says and can hardly mean: warnings, found without the network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from gateway.access.hosts import parse_authority, parse_host
from gateway.access.session_cookies import CookieScopes
from gateway.identity import LOCAL, fold_name

from .schema import AccessRule, Configuration
from .schema.meant import nearest
from .schema.section import Finding

_QUERY: Final = re.compile(r"(?:\\\?|\[\?\]|[\w/)\]]\?)\(?[\w.%-]+=")
"""``?key=`` in an expression, its question mark escaped or not."""
_OF_SERVER: Final = re.compile(r"(?:user|group):\s*(([^/=]+)/.+)", re.IGNORECASE | re.DOTALL)


def doubtful_access(configuration: Configuration) -> Iterator[Finding]:
    """Findings of severity ``warning`` alone, with places from the root."""
    for index, network in enumerate(configuration.trusted_proxies):
        if network.prefixlen == 0:
            message = f"{network} is everybody: whoever reaches the gateway is believed to be any client, at any host"
            yield Finding(("trusted_proxies", index), message, "warning")
    seen: Counter[str] = Counter()
    for index, rule in enumerate(configuration.access_control.rules):
        seen[fold_name(rule.name)] += 1
        if seen[fold_name(rule.name)] == 2:
            message = f"there is another rule {rule.name} before it: logs cannot tell them apart"
            yield Finding(("access_control", "rules", index, "name"), message, "warning")
        yield from (finding.below("access_control", "rules", index) for finding in _of_rule(rule))
    yield from _server_findings(configuration)
    yield from _redirect_findings(configuration)
    if "personal" not in configuration.access_control.accept:
        message = "without personal, the tokens that people make on the page of their account open nothing"
        yield Finding(("access_control", "accept"), message, "warning")
    if configuration.group_mappings and not configuration.users:
        message = "is for local users, and there are none: servers have group_mappings of their own"
        yield Finding(("group_mappings", 0), message, "warning", absence=True, rests_on=(("users",),))


def _of_rule(rule: AccessRule) -> Iterator[Finding]:
    criteria = (rule.domain, rule.domain_regex, rule.resources, rule.methods, rule.networks, rule.query, rule.subject)
    if rule.policy == "bypass" and not any(criteria):
        yield Finding(("policy",), "opens every path of every host to everybody: it has no criterion", "warning")
    if rule.policy == "bypass" and rule.basic is not None:
        yield Finding(("basic",), "has no effect: a bypass looks at no credential", "warning")
    for index, pattern in enumerate(rule.resources):
        if _QUERY.search(pattern):
            message = "the query is no part of the path, so this finds nothing: use query = [{ key = ... }]"
            yield Finding(("resources", index), message, "warning")


def _server_findings(configuration: Configuration) -> Iterator[Finding]:
    """Subjects of servers that do not exist. Names may hold slashes, so others must be written with servers, or the
    name be much like that of one."""
    known = (LOCAL, *(server.name for server in configuration.servers))
    folded = [server.lower() for server in known]
    named = [
        (index, place, found[1].strip(), found[2])
        for index, rule in enumerate(configuration.access_control.rules)
        for place, together in enumerate(rule.subject)
        for text in together
        if (found := _OF_SERVER.fullmatch(text))
    ]
    unknown = [row for row in named if not row[2].lower().startswith(tuple(f"{server}/" for server in folded))]
    for index, place, _, server in unknown:
        if len(unknown) < len(named) or nearest(server.lower(), folded):
            message = f"there is no server {server}; there are {', '.join(known)}"
            where = ("access_control", "rules", index, "subject", place)
            yield Finding(where, message, "warning", absence=True, rests_on=(("servers",),))


def _redirect_findings(configuration: Configuration) -> Iterator[Finding]:
    control, cookies = configuration.access_control, configuration.session.cookies
    if not control.default_redirect.startswith("https://"):
        return
    try:
        authority = urlsplit(control.default_redirect).netloc
        host = parse_authority(authority)[0]
        scopes = CookieScopes([(cookie.domain, cookie.portal_url) for cookie in cookies], configuration.public_url)
        is_known = scopes.for_host(host) is not None or host in map(parse_host, control.redirect_hosts)
    except ValueError:
        return  # said of the hosts that cannot be read
    if not is_known:
        message = f"{authority} is outside session.cookies and redirect_hosts: nobody is logged in there"
        rests_on = (("session", "cookies"), ("access_control", "redirect_hosts"), ("public_url",))
        yield Finding(("access_control", "default_redirect"), message, "warning", rests_on=rests_on)
