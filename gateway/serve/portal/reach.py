"""What a person may reach: links on the page after login, and whether a way back leads anywhere for them.

The rules decide; this only asks them beforehand. A host that no rule speaks of need not be behind us at all, so nothing
is said about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from gateway.access.decision import Outcome
from gateway.access.hosts import parse_host
from gateway.access.target import Malformed, Target, auth_request_target

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.access.client_address import Address
    from gateway.access.subjects import Terms
    from gateway.config.schema import Configuration
    from gateway.runtime import Live


TURN_SECONDS: Final = 0.005
"""How long the links of one person may hold everybody else up, but for what one link takes."""


@dataclass(frozen=True, slots=True)
class Link:
    """A place to go."""

    title: str
    url: str


class Reach:
    """Asks the rules of one snapshot."""

    def __init__(self, live: Live, portal_hosts: Collection[str]) -> None:
        self._rules = live.access.rules
        self._scopes = live.access.scopes
        self._own = portal_hosts
        self._insecure = live.configuration.access_control.allow_insecure_targets
        given = live.configuration.portal.links
        links = [Link(link.title or urlsplit(link.url).netloc, link.url) for link in given]
        self._links = links or list(_domains(live.configuration, portal_hosts))
        self._are_given = bool(links)
        self._targets: dict[Link, Target | None] = {}

    async def links(self, terms: Terms, client: Address | None) -> list[Link]:
        """The links that lead somewhere for a person.

        There may be a thousand links and as many rules that speak of each: others are answered in between.
        """
        found: list[Link] = []
        begun = time.perf_counter()
        for link in self._links:
            if self._leads(link, terms, client):
                found.append(link)
            if time.perf_counter() - begun > TURN_SECONDS:
                await asyncio.sleep(0)
                begun = time.perf_counter()
        return found

    def refuses(self, url: str, terms: Terms, client: Address | None) -> bool:
        """Whether rules that speak of a URL's host close it to a person; ``url`` may be a path of ours."""
        target = self._target(url)
        if target is None or target.host in self._own or not self._rules.speak_of(target.host):
            return False
        return not self._passes(target, client, terms)

    def _leads(self, link: Link, terms: Terms, client: Address | None) -> bool:
        if link not in self._targets:
            self._targets[link] = self._target(link.url)
        target = self._targets[link]
        if self._are_given and (target is None or not self._rules.speak_of(target.host)):
            return True
        return self._passes(target, client, terms)

    def _target(self, url: str) -> Target | None:
        parts = urlsplit(url)
        try:
            # A browser asks for the root of a host that is written without a path.
            asked = urlunsplit(parts._replace(path=parts.path or "/", fragment=""))
            return auth_request_target([asked], ["GET"], insecure=self._insecure)
        except Malformed:
            return None

    def _passes(self, target: Target | None, client: Address | None, terms: Terms) -> bool:
        if target is None:
            return False
        if self._scopes.for_host(target.host) is None:
            # No cookie of ours goes there, so nobody is anybody.
            return self._rules.decide(target, client).outcome is Outcome.PASS
        return self._rules.decide(target, client, terms).outcome is Outcome.PASS


def _domains(configuration: Configuration, portal_hosts: Collection[str]) -> Iterator[Link]:
    """The exact domains of rules."""
    domains = (domain for rule in configuration.access_control.rules for domain in rule.domain)
    hosts = dict.fromkeys(parse_host(domain) for domain in domains if not domain.startswith("*."))
    yield from (Link(host, f"https://{host}/") for host in hosts if host not in portal_hosts)
