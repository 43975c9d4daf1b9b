"""Rules that can never be met, because one before them takes all their requests (forward-auth.md 10).

Only what is certain is said: each criterion of the earlier rule must cover the same one of the later rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from gateway.access.hosts import MalformedHost, parse_host

from .fields import Network

if TYPE_CHECKING:
    from .access import AccessRule

MOST: Final = 400
"""Rules that are compared with each other; beyond, the comparison costs more than it is worth."""
_EVERY_PATH: Final = frozenset({"", "^", "^/", "/", ".*", "^.*", "^/.*", "^/.*$", "^.*$"})


def shadowing(
    rules: Sequence[AccessRule], networks: Mapping[str, Sequence[Network]]
) -> Iterator[tuple[int, int]]:
    """Index of each rule that can never be met, and of the first rule that sees to that."""
    for index, later in enumerate(rules[:MOST]):
        earlier = next((i for i in range(index) if _covers(rules[i], later, networks)), None)
        if earlier is not None:
            yield index, earlier


def _covers(first: AccessRule, second: AccessRule, networks: Mapping[str, Sequence[Network]]) -> bool:
    # A deny is met where the client is unknown, and by one of several values of a parameter; other rules are not.
    alike = first.policy == "deny" or second.policy != "deny"
    return (
        not (first.speaks_of_somebody and not first.subject)
        and _domains_cover(first, second)
        and (not first.resources or _within(second.resources, {*first.resources}, _EVERY_PATH))
        and (not first.methods or _within(second.methods, {*first.methods}))
        and (not first.networks or (alike and _networks_cover(first, second, networks)))
        and (not first.query or (alike and first.query == second.query))
        and (not first.subject or _subjects_cover(first, second))
    )


def _within(items: Sequence[str], known: set[str], all_of_it: frozenset[str] = frozenset()) -> bool:
    return bool(known & all_of_it) or (bool(items) and known.issuperset(items))


def _domains_cover(first: AccessRule, second: AccessRule) -> bool:
    if not first.domain and not first.domain_regex:
        return True
    if not second.domain and not second.domain_regex:
        return False
    try:
        covered = all(_domain_covered(domain, first.domain) for domain in second.domain)
    except MalformedHost:
        return False
    return covered and set(first.domain_regex).issuperset(second.domain_regex)


def _domain_covered(domain: str, by: Sequence[str]) -> bool:
    wildcard, host = domain.startswith("*."), parse_host(domain.removeprefix("*."))
    for known in by:
        known_host = parse_host(known.removeprefix("*."))
        if known.startswith("*."):
            if host.endswith(f".{known_host}") or (wildcard and host == known_host):
                return True
        elif not wildcard and host == known_host:
            return True
    return False


def _networks_cover(first: AccessRule, second: AccessRule, named: Mapping[str, Sequence[Network]]) -> bool:
    try:
        inner, outer = (
            [network for text in rule.networks for network in (named[text] if text in named else (ip_network(text),))]
            for rule in (second, first)
        )
    except ValueError:
        return False
    return bool(second.networks) and all(any(_is_part(network, whole) for whole in outer) for network in inner)


def _is_part(network: Network, whole: Network) -> bool:
    first, last = int(network.network_address), int(network.broadcast_address)
    same = network.version == whole.version
    return same and int(whole.network_address) <= first and last <= int(whole.broadcast_address)


def _subjects_cover(first: AccessRule, second: AccessRule) -> bool:
    known = [{text.lower() for text in together} for together in first.subject]
    return bool(second.subject) and all(
        any(terms <= {text.lower() for text in together} for terms in known) for together in second.subject
    )
