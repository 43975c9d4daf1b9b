"""The Conjur dialect (configuration.md 1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from gateway import __version__
from gateway.tokens.conjur import MAX_LIFETIME, Signer, UnusableKey

from .fields import Duration, ExactTexts, Flag, Items, Networks, Secret, SecretText, Text, matching, no_items
from .section import Finding, Section

EVERYBODY = "all"


class ConjurService(Section):
    """A service of the ``authn-ldap`` authenticator; its name is that of a server."""

    allow: ExactTexts = ()
    """Who may log in: ``all``, or a list of ``user:NAME`` (of this server), ``group:NAME`` and ``group:DN``."""
    networks: Networks = ()
    """Networks from which they may; empty means any."""

    def findings(self) -> Iterator[Finding]:
        if not self.allow:
            yield Finding(("allow",), "is needed: all, or a list of user:NAME and group:NAME", absence=True)
        for index, entry in enumerate(self.allow):
            kind, _, name = entry.partition(":")
            if entry != EVERYBODY and (kind not in ("user", "group") or not name.strip()):
                yield Finding(("allow", index), "expected all, user:NAME, group:NAME or group:DN")
            elif entry == EVERYBODY and len(self.allow) > 1:
                yield Finding(("allow", index), "is everybody, so the rest of the list has no effect", "warning")


class ConjurSync(Section):
    """What ``ldap-gateway conjur sync-policy`` reads from the directory, as Conjur's LDAP Sync does."""

    user_filter: Text = ""
    """Filter of the users (RFC 4515). Default: everybody whom the server's ``search_filter`` can find."""
    group_filter: Text = ""
    """Filter of the groups. Default: the usual classes of groups."""
    user_attr: Annotated[Text, matching(r"[A-Za-z][A-Za-z0-9;-]*|", "the name of an attribute")] = ""
    """Attribute that names a user. Default: the server's ``attributes.username``, the name that tokens carry."""
    group_attr: Annotated[Text, matching(r"[A-Za-z][A-Za-z0-9;-]*|", "the name of an attribute")] = ""
    """Attribute that names a group. Default: the server's ``group_attr``."""
    base_dns: ExactTexts = ()
    """Where users and groups are. Default: where the server searches them."""


class Conjur(Section):
    """What Conjur clients are told, and which services there are."""

    account: Annotated[Text, matching(r"[^/:\s]*", "a name without blanks, / and :")] = ""
    """Account of the users; empty turns the dialect off."""
    services: Items[ConjurService] = Field(default_factory=no_items)
    """Services by server; a server that is not here has none."""
    authn_alias: Flag = True
    """Let ``/authn/`` try the servers too, not only local users."""
    hide_ungranted: Flag = False
    """Answer 401 instead of 403 to who may not log in, so that nobody learns which names the directory has."""
    token_lifetime: Annotated[Duration, Field(ge=1, le=MAX_LIFETIME)] = 480.0
    """How long a token counts."""
    signing_key: SecretText = Field(default_factory=Secret)
    """RSA key (PEM, at least 2048 bits) that signs tokens; without it the key ring has one for each account."""
    version: Annotated[Text, matching(r"\d+\.\d+\.\d+", "a version such as 1.21.0")] = __version__
    """Version that clients are told. Default: the gateway's own."""
    sync: ConjurSync = Field(default_factory=ConjurSync)

    def findings(self) -> Iterator[Finding]:
        if self.services and not self.account:
            message = "is not set, so there is no service: clients name it (CONJUR_ACCOUNT) with each request"
            yield Finding(("account",), message, "warning", absence=True)
        if key := self.signing_key.reveal():
            try:
                Signer.load(key.encode())
            except UnusableKey as error:
                yield Finding(("signing_key",), str(error))
