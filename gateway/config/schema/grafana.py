"""What Grafana is told (configuration.md 1.6)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from .fields import Duration, Flag, Int, Text, matching
from .section import Section

LONGEST_LIFETIME: Final = 3600.0
"""Seconds that a token may count; a key that has stopped signing is published for at least as long."""


class GrafanaJwt(Section):
    """The signed tokens of preset ``grafana-jwt``; their issuer is ``public_url``."""

    audience: Annotated[Text, matching(r"\S(?:.*\S)?", "a text without blanks around it")] = "grafana"
    """Claim ``aud``; Grafana compares it (``expect_claims``)."""
    lifetime: Annotated[Duration, Field(ge=60, le=LONGEST_LIFETIME)] = 300.0
    """How long a token counts; a new one is made when half of that is over."""
    algorithm: Literal["ES256", "RS256"] = "ES256"
    """``ES256`` or ``RS256``; a change begins with a new key, and counts when that signs."""
    key_overlap: Annotated[Duration, Field(ge=60, le=7 * 86400)] = 900.0
    """How long a new key is published before it signs, and an old one after its last token has ended: more than
    Grafana's ``cache_ttl``."""


class Grafana(Section):
    """What Grafana is told of people, by headers and by signed tokens."""

    default_org: Annotated[Int, Field(ge=1)] = 1
    """The organisation that people are added to by themselves (Grafana's ``auto_assign_org_id``); ``X-WEBAUTH-ROLE``
    speaks for it alone."""
    skip_org_role_sync: Flag = False
    """Tell Grafana no roles and no administrators, and refuse nobody for want of a role: it keeps its own."""
    allow_sign_up: Flag = True
    """Let Grafana make users at their first login; for ``ldap-gateway grafana settings`` alone."""
    jwt: GrafanaJwt = Field(default_factory=GrafanaJwt)
