"""The Conjur dialect (configuration.md 1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from .fields import Duration, ExactTexts, Flag, Items, Networks, Secret, SecretText, Text, matching, no_items
from .section import Finding, Section

EVERYBODY = "all"


class ConjurService(Section):
    """A service of the ``authn-ldap`` authenticator; its name is that of a server."""

    allow: ExactTexts = ()
    """Who may log in: ``all``, or a list of ``user:NAME``, ``group:NAME`` and ``group:DN``."""
    networks: Networks = ()
    """Networks from which they may; empty means any."""

    def findings(self) -> Iterator[Finding]:
        if not self.allow:
            yield Finding(("allow",), "is needed: all, or a list of user:NAME and group:NAME", absence=True)
        for index, entry in enumerate(self.allow):
            kind, _, name = entry.partition(":")
            if entry != EVERYBODY and (kind not in ("user", "group") or not name.strip()):
                yield Finding(("allow", index), "expected all, user:NAME, group:NAME or group:DN")


class Conjur(Section):
    """What Conjur clients are told, and which services there are. So far the keys are checked and have no effect."""

    account: Annotated[Text, matching(r"[^/:\s]*", "a name without blanks, / and :")] = ""
    """Account of the users; empty turns the dialect off."""
    services: Items[ConjurService] = Field(default_factory=no_items)
    """Services by server; a server that is not here has none."""
    authn_alias: Flag = True
    """Let ``/authn/`` try the servers too, not only local users."""
    token_lifetime: Annotated[Duration, Field(gt=0, le=5 * 3600)] = 480.0
    """How long a token counts."""
    signing_key: SecretText = Field(default_factory=Secret)
    """RSA key (PEM) that signs tokens; without it the key ring has one."""

    def findings(self) -> Iterator[Finding]:
        if self.account or self.services:
            yield Finding((), "is checked and has no effect: this version does not speak to Conjur clients", "warning")
