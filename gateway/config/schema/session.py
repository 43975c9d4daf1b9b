"""Sessions of people, their cookies, and the pages of the portal (configuration.md 1.5, forward-auth.md 9)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from gateway.access.hosts import MalformedHost, is_within, parse_host
from gateway.access.session_cookies import domain_problem

from .fields import Duration, Flag, Int, Interval, KeyedBy, Text, WebUrl
from .section import Finding, Section


class SessionCookie(Section):
    """A domain whose hosts share one login."""

    domain: Annotated[Text, Field(min_length=1)]
    """The domain; the cookie goes to it and to every host below it."""
    portal_url: WebUrl
    """Address of the portal within the domain."""

    def findings(self) -> Iterator[Finding]:
        if problem := domain_problem(self.domain):
            yield Finding(("domain",), problem)
            return
        if not self.portal_url.startswith("https://"):
            yield Finding(("portal_url",), "expected https://: browsers keep no Secure cookie of another address")
        try:
            inside = is_within(parse_host(urlsplit(self.portal_url).hostname or ""), parse_host(self.domain))
        except MalformedHost:
            inside = False
        if not inside:
            yield Finding(("portal_url",), "is not within the domain, so its cookie would be refused")


class Session(Section):
    """Sessions of people who logged in at the portal, and re-checks of everybody whose token is renewed."""

    cookies: Annotated[tuple[SessionCookie, ...], KeyedBy("domain")] = ()
    """Domains whose hosts share one login; without any there is one cookie, for the host of ``public_url`` alone."""
    expiration: Annotated[Duration, Field(gt=0)] = 3600.0
    """How long a session lasts at most."""
    inactivity: Annotated[Duration, Field(gt=0)] = 300.0
    """How long a session lasts without a request; not for remembered ones."""
    remember_me: Duration = 30 * 86400.0
    """How long a remembered session lasts; 0: nobody is remembered."""
    refresh_interval: Interval = 300.0
    """How long after the directory was asked for a person it is not asked again; ``always`` (0) or ``never``."""
    max_stale: Interval = 3600.0
    """How long its last answer counts while it cannot be asked; then renewal answers 503. ``never``: no end."""
    fast_path: Flag = True
    """Answer known sessions and tokens before the request is parsed in full."""
    max_per_user: Annotated[Int, Field(ge=1)] = 100
    """Most sessions of one person; the oldest ends."""

    def findings(self) -> Iterator[Finding]:
        if math.isfinite(self.refresh_interval) and self.max_stale < self.refresh_interval:
            message = "is shorter than session.refresh_interval"
            yield Finding(("max_stale",), message, rests_on=(("refresh_interval",),))
        if self.inactivity > self.expiration:
            message = "is longer than session.expiration, so it never counts"
            yield Finding(("inactivity",), message, "warning", rests_on=(("expiration",),))


class PortalLink(Section):
    """A link on the page after login."""

    url: WebUrl
    """Where it leads."""
    title: Text = ""
    """What it says; empty: the host."""


class Portal(Section):
    """The pages of the login portal."""

    title: Text = "Sign in"
    """Heading of the login page."""
    links: Annotated[tuple[PortalLink, ...], KeyedBy("url")] = ()
    """Links on the page after login; without any, the exact domains of rules that the person passes."""
